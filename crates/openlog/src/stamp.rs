//! RFC 3161 as bytes: the question put to a time stamping authority, and its answer checked.
//! Pure: the time and the certificates trusted come in as arguments.
//!
//! DER and CMS (RFC 5652) are read by RustCrypto's crates, certificates and signatures checked by
//! webpki over ring; the few structures of RFC 3161 itself stand here, because the published
//! ones refuse fractions of a second.

use cms::{
    cert::{CertificateChoices, x509::Certificate, x509::spki::AlgorithmIdentifierOwned},
    content_info::ContentInfo,
    signed_data::{SignedAttributes, SignedData, SignerIdentifier, SignerInfo},
};
use der::{
    Any, Decode as _, Encode as _, Sequence, Tag, Tagged as _,
    asn1::{Int, ObjectIdentifier, OctetString, OctetStringRef},
    oid::AssociatedOid,
};
use ledger::Hash;
use model::Timestamp;
use ring::digest;
use rustls::pki_types::{CertificateDer, SignatureVerificationAlgorithm, TrustAnchor, UnixTime};
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert, ring as algs};

const SIGNED_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.2");
const TST_INFO: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.1.4");
const CONTENT_TYPE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.3");
const MESSAGE_DIGEST: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.4");
const SIGNING_CERTIFICATE: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.2.12");
const SIGNING_CERTIFICATE_V2: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.2.47");
const SHA_256: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1");
const SHA_384: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.2");
const SHA_512: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.3");
/// id-kp-timeStamping, 1.3.6.1.5.5.7.3.8, as webpki wants it.
const TIME_STAMPING: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x08];

const TOKEN_BYTES_MAX: usize = store::STAMP_BYTES_MAX;
const CERTIFICATES_MAX: usize = 16;

/// Why a time stamp is not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StampError {
    #[error("more than {max} bytes")]
    TooLong { max: usize },
    #[error("{part} cannot be read: {why}")]
    Malformed { part: &'static str, why: String },
    #[error("the authority refused: status {status}{text}")]
    Refused { status: u8, text: String },
    #[error("there is no token in the answer")]
    NoToken,
    #[error("it is a stamp of something else")]
    OtherData,
    #[error("it answers another question (nonce)")]
    OtherNonce,
    #[error("it has {count} signers instead of one")]
    Signers { count: usize },
    #[error("its signer's certificate is not in it")]
    NoCertificate,
    #[error("the signature does not hold: {why}")]
    Signature { why: String },
    #[error("its signer is not vouched for: {why}")]
    Chain { why: String },
    #[error("not a certificate in PEM: {why}")]
    Ca { why: String },
}

/// What is stamped: a SHA-256 value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Imprint(pub [u8; 32]);

impl Imprint {
    /// Of a checkpoint, byte for byte as it is kept.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Hash::of(&[bytes]).0)
    }
}

/// A token that was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    pub at: Timestamp,
    /// Of the authority, as it numbers its stamps; hex.
    pub serial: String,
    /// Whether the signer's certificate leads to one that is trusted.
    pub vouched: bool,
}

#[derive(Sequence)]
struct MessageImprint {
    hash_algorithm: AlgorithmIdentifierOwned,
    hashed_message: OctetString,
}

#[derive(Sequence)]
struct TimeStampReq {
    version: u8,
    message_imprint: MessageImprint,
    nonce: Int,
    cert_req: bool,
}

#[derive(Sequence)]
struct PkiStatusInfo {
    status: u8,
    #[asn1(optional = "true")]
    rest: Option<Any>,
    #[asn1(optional = "true")]
    fail_info: Option<Any>,
}

#[derive(Sequence)]
struct TimeStampResp {
    status: PkiStatusInfo,
    #[asn1(optional = "true")]
    token: Option<ContentInfo>,
}

#[derive(Sequence)]
struct Accuracy {
    #[asn1(optional = "true")]
    seconds: Option<u64>,
    #[asn1(context_specific = "0", tag_mode = "IMPLICIT", optional = "true")]
    millis: Option<u16>,
    #[asn1(context_specific = "1", tag_mode = "IMPLICIT", optional = "true")]
    micros: Option<u16>,
}

/// RFC 3161 section 2.4.2.
#[derive(Sequence)]
struct TstInfo {
    version: u8,
    policy: ObjectIdentifier,
    message_imprint: MessageImprint,
    serial_number: Int,
    /// A GeneralizedTime, which may have fractions of a second here.
    gen_time: Any,
    #[asn1(optional = "true")]
    accuracy: Option<Accuracy>,
    #[asn1(default = "Default::default")]
    ordering: bool,
    #[asn1(optional = "true")]
    nonce: Option<Int>,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", optional = "true")]
    tsa: Option<Any>,
    #[asn1(context_specific = "1", tag_mode = "IMPLICIT", optional = "true")]
    extensions: Option<cms::cert::x509::ext::Extensions>,
}

/// RFC 5035: of the certificate that signed. The hash of its bytes comes first in version 1,
/// after the algorithm (SHA-256 where it is left out) in version 2.
#[derive(Sequence)]
struct EssCertIdV2 {
    #[asn1(optional = "true")]
    hash_algorithm: Option<AlgorithmIdentifierOwned>,
    cert_hash: OctetString,
    #[asn1(optional = "true")]
    issuer_serial: Option<Any>,
}

#[derive(Sequence)]
struct SigningCertificate {
    certs: Vec<EssCertIdV2>,
    #[asn1(optional = "true")]
    policies: Option<Any>,
}

/// A TimeStampReq that asks for the signer's certificate too. `random` makes the answer ours.
pub fn request(imprint: Imprint, random: [u8; 8]) -> Result<Vec<u8>, StampError> {
    let malformed = unreadable("the question");
    let request = TimeStampReq {
        version: 1,
        message_imprint: MessageImprint {
            hash_algorithm: AlgorithmIdentifierOwned {
                oid: SHA_256,
                parameters: Some(Any::null()),
            },
            hashed_message: OctetString::new(imprint.0).map_err(malformed)?,
        },
        nonce: nonce(random)?,
        cert_req: true,
    };
    request.to_der().map_err(malformed)
}

/// A positive number whose first byte is not zero, so that it has one form.
fn nonce(random: [u8; 8]) -> Result<Int, StampError> {
    let mut bytes = random;
    if let Some(first) = bytes.first_mut() {
        *first = *first & 0x3f | 0x40;
    }
    Int::new(&bytes).map_err(unreadable("the nonce"))
}

/// Checks an authority's answer (`TimeStampResp`): that it grants, is about `imprint`, answers
/// the question with `random` (where that is still known), is signed by the certificate it names,
/// and that this leads to one of `roots` for time stamping. Without roots the last is left out.
pub fn checked(
    answer: &[u8],
    imprint: Imprint,
    random: Option<[u8; 8]>,
    roots: &[TrustAnchor<'_>],
) -> Result<Token, StampError> {
    if answer.len() > TOKEN_BYTES_MAX {
        return Err(StampError::TooLong {
            max: TOKEN_BYTES_MAX,
        });
    }
    let answer = TimeStampResp::from_der(answer).map_err(unreadable("the answer"))?;
    // RFC 3161 section 2.4.2: 0 granted, 1 granted with modifications.
    if answer.status.status > 1 {
        return Err(StampError::Refused {
            status: answer.status.status,
            text: status_text(&answer.status),
        });
    }
    let token = answer.token.ok_or(StampError::NoToken)?;
    if token.content_type != SIGNED_DATA {
        return Err(other_than("the token", "it is no SignedData"));
    }
    let signed: SignedData = token.content.decode_as().map_err(unreadable("the token"))?;
    let content = tst_info(&signed)?;
    let info = TstInfo::from_der(&content).map_err(unreadable("the stamp"))?;
    let said = &info.message_imprint;
    if said.hash_algorithm.oid != SHA_256 || said.hashed_message.as_bytes() != imprint.0 {
        return Err(StampError::OtherData);
    }
    if let Some(random) = random
        && info.nonce.as_ref() != Some(&nonce(random)?)
    {
        return Err(StampError::OtherNonce);
    }
    let at = time(&info.gen_time)?;
    signature(&signed, &content, at, roots)?;
    Ok(Token {
        at,
        serial: info
            .serial_number
            .as_bytes()
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect(),
        vouched: !roots.is_empty(),
    })
}

/// The certificates of a PEM file as ends of chains.
pub(crate) fn roots(pem: &str) -> Result<Vec<TrustAnchor<'static>>, StampError> {
    use rustls::pki_types::pem::PemObject as _;
    let bad = |why: String| StampError::Ca { why };
    let mut roots = Vec::new();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        let certificate = certificate.map_err(|e| bad(e.to_string()))?;
        let anchor = anchor_from_trusted_cert(&certificate).map_err(|e| bad(e.to_string()))?;
        roots.push(anchor.to_owned());
    }
    if roots.is_empty() {
        return Err(bad("there is none in it".to_owned()));
    }
    Ok(roots)
}

fn tst_info(signed: &SignedData) -> Result<Vec<u8>, StampError> {
    let part = "the token";
    if signed.encap_content_info.econtent_type != TST_INFO {
        return Err(other_than(part, "its content is no TSTInfo"));
    }
    let content = signed.encap_content_info.econtent.as_ref();
    let content = content.ok_or_else(|| other_than(part, "it has no content"))?;
    let octets: &OctetStringRef = &content.decode_as().map_err(unreadable(part))?;
    Ok(octets.as_bytes().to_vec())
}

/// RFC 5652 section 5.4, RFC 3161 section 2.3, RFC 5816.
fn signature(
    signed: &SignedData,
    content: &[u8],
    at: Timestamp,
    roots: &[TrustAnchor<'_>],
) -> Result<(), StampError> {
    let signers = signed.signer_infos.0.as_slice();
    let [signer] = signers else {
        return Err(StampError::Signers {
            count: signers.len(),
        });
    };
    let attributes = signer
        .signed_attrs
        .as_ref()
        .ok_or_else(|| bad_signature("nothing says what was signed"))?;
    says_so(attributes, signer, content)?;
    let certificates = certificates(signed)?;
    let (_, own_der) = certificates
        .iter()
        .find(|(certificate, _)| is_signer(certificate, signer))
        .ok_or(StampError::NoCertificate)?;
    named(attributes, own_der)?;
    // RFC 5652 section 5.4: signed is the SET, not the implicitly tagged field.
    let message = attributes.to_der().map_err(unreadable("the signer"))?;
    let der = CertificateDer::from(own_der.as_slice());
    let end =
        EndEntityCert::try_from(&der).map_err(|e| StampError::Chain { why: e.to_string() })?;
    let holds = ALGORITHMS.iter().any(|algorithm| {
        end.verify_signature(*algorithm, &message, signer.signature.as_bytes())
            .is_ok()
    });
    if !holds {
        return Err(bad_signature("not by this certificate"));
    }
    if roots.is_empty() {
        return Ok(());
    }
    let others: Vec<CertificateDer<'_>> = certificates
        .iter()
        .filter(|(_, der)| der != own_der)
        .map(|(_, der)| CertificateDer::from(der.as_slice()))
        .collect();
    chain(&end, &others, at, roots)
}

/// The signed attributes are about this content.
fn says_so(
    attributes: &SignedAttributes,
    signer: &SignerInfo,
    content: &[u8],
) -> Result<(), StampError> {
    let kind = attribute(attributes, CONTENT_TYPE);
    if kind.and_then(|v| v.decode_as::<ObjectIdentifier>().ok()) != Some(TST_INFO) {
        return Err(bad_signature("it is over another kind of content"));
    }
    let digest = digest_of(&signer.digest_alg.oid)
        .ok_or_else(|| bad_signature("its digest is not SHA-256, SHA-384 or SHA-512"))?;
    let said = attribute(attributes, MESSAGE_DIGEST);
    let said = said.and_then(|v| v.decode_as::<OctetString>().ok());
    let is = digest::digest(digest, content);
    if said.is_none_or(|said| said.as_bytes() != is.as_ref()) {
        return Err(bad_signature("it is over another stamp"));
    }
    Ok(())
}

/// RFC 5652 section 11: each of those that matter here is there once, with one value.
fn attribute(attributes: &SignedAttributes, oid: ObjectIdentifier) -> Option<&Any> {
    let mut of_type = attributes.iter().filter(|a| a.oid == oid);
    match (of_type.next(), of_type.next()) {
        (Some(one), None) => match one.values.as_slice() {
            [value] => Some(value),
            _ => None,
        },
        _ => None,
    }
}

fn bad_signature(why: &str) -> StampError {
    StampError::Signature {
        why: why.to_owned(),
    }
}

/// That the certificate led to a root when it stamped, and may stamp.
fn chain(
    end: &EndEntityCert<'_>,
    others: &[CertificateDer<'_>],
    at: Timestamp,
    roots: &[TrustAnchor<'_>],
) -> Result<(), StampError> {
    let seconds = u64::try_from(at.seconds()).unwrap_or(0);
    let time = UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds));
    let usage = KeyUsage::required(TIME_STAMPING);
    match end.verify_for_usage(ALGORITHMS, roots, others, time, usage, None, None) {
        Ok(_) => Ok(()),
        Err(e) => Err(StampError::Chain { why: e.to_string() }),
    }
}

const ALGORITHMS: &[&dyn SignatureVerificationAlgorithm] = &[
    algs::RSA_PKCS1_2048_8192_SHA256,
    algs::RSA_PKCS1_2048_8192_SHA384,
    algs::RSA_PKCS1_2048_8192_SHA512,
    algs::ECDSA_P256_SHA256,
    algs::ECDSA_P256_SHA384,
    algs::ECDSA_P384_SHA256,
    algs::ECDSA_P384_SHA384,
    algs::ED25519,
];

/// The signed attributes must name the certificate, so that no other one of the same key can take
/// its place.
fn named(attributes: &SignedAttributes, certificate: &[u8]) -> Result<(), StampError> {
    let nothing = || bad_signature("it does not name its certificate");
    let (value, default) = match attribute(attributes, SIGNING_CERTIFICATE_V2) {
        Some(value) => (value, &digest::SHA256),
        None => match attribute(attributes, SIGNING_CERTIFICATE) {
            Some(value) => (value, &digest::SHA1_FOR_LEGACY_USE_ONLY),
            None => return Err(nothing()),
        },
    };
    let named: SigningCertificate = value
        .decode_as()
        .map_err(unreadable("the name of the certificate"))?;
    let first = named.certs.first().ok_or_else(nothing)?;
    let algorithm = match &first.hash_algorithm {
        None => default,
        Some(algorithm) => digest_of(&algorithm.oid)
            .ok_or_else(|| bad_signature("it names its certificate by an unknown digest"))?,
    };
    if digest::digest(algorithm, certificate).as_ref() == first.cert_hash.as_bytes() {
        Ok(())
    } else {
        Err(bad_signature("it names another certificate"))
    }
}

/// With their exact bytes.
fn certificates(signed: &SignedData) -> Result<Vec<(Certificate, Vec<u8>)>, StampError> {
    let mut all = Vec::new();
    let kept = signed.certificates.iter().flat_map(|set| set.0.iter());
    for choice in kept.take(CERTIFICATES_MAX) {
        if let CertificateChoices::Certificate(certificate) = choice {
            let der = certificate.to_der().map_err(unreadable("a certificate"))?;
            all.push((certificate.clone(), der));
        }
    }
    Ok(all)
}

fn is_signer(certificate: &Certificate, signer: &SignerInfo) -> bool {
    let own = &certificate.tbs_certificate;
    match &signer.sid {
        SignerIdentifier::IssuerAndSerialNumber(id) => {
            own.issuer == id.issuer && own.serial_number == id.serial_number
        }
        SignerIdentifier::SubjectKeyIdentifier(id) => own
            .extensions
            .iter()
            .flatten()
            .filter(|e| e.extn_id == cms::cert::x509::ext::pkix::SubjectKeyIdentifier::OID)
            .any(|e| {
                OctetString::from_der(e.extn_value.as_bytes())
                    .is_ok_and(|found| found.as_bytes() == id.0.as_bytes())
            }),
    }
}

fn digest_of(oid: &ObjectIdentifier) -> Option<&'static digest::Algorithm> {
    match *oid {
        SHA_256 => Some(&digest::SHA256),
        SHA_384 => Some(&digest::SHA384),
        SHA_512 => Some(&digest::SHA512),
        _ => None,
    }
}

/// `YYYYMMDDhhmmss[.f…]Z` (RFC 3161 section 2.4.2).
fn time(value: &Any) -> Result<Timestamp, StampError> {
    let bad = || other_than("the stamp's time", "it is no GeneralizedTime in UTC");
    if value.tag() != Tag::GeneralizedTime {
        return Err(bad());
    }
    let text = std::str::from_utf8(value.value()).map_err(|_| bad())?;
    let whole = text.get(..14).ok_or_else(bad)?;
    let rest = text.get(14..).ok_or_else(bad)?;
    let fraction = rest.strip_suffix('Z').ok_or_else(bad)?;
    let plain = |digits: &str| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    if !plain(whole) || !(fraction.is_empty() || fraction.strip_prefix('.').is_some_and(plain)) {
        return Err(bad());
    }
    let part = |from: usize, to: usize| whole.get(from..to).unwrap_or_default();
    let text = format!(
        "{}-{}-{}T{}:{}:{}{}Z",
        part(0, 4),
        part(4, 6),
        part(6, 8),
        part(8, 10),
        part(10, 12),
        part(12, 14),
        fraction.get(..10).unwrap_or(fraction)
    );
    text.parse().map_err(|_| bad())
}

/// What the authority says to people, as far as it is text.
fn status_text(status: &PkiStatusInfo) -> String {
    let Some(rest) = &status.rest else {
        return String::new();
    };
    let text: String = String::from_utf8_lossy(rest.value())
        .chars()
        .filter(|c| !c.is_control())
        .take(200)
        .collect();
    format!(" {text:?}")
}

fn unreadable(part: &'static str) -> impl Fn(der::Error) -> StampError + Copy {
    move |e| StampError::Malformed {
        part,
        why: e.to_string(),
    }
}

fn other_than(part: &'static str, why: &str) -> StampError {
    StampError::Malformed {
        part,
        why: why.to_owned(),
    }
}

#[cfg(test)]
mod tests;
