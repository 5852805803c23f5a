//! The hub's own certificate authority: an ECDSA P-256 root made at the first start, and the
//! short-lived certificates below it.
//!
//! A certificate says nothing but "the registry knows me": who its holder is stands in `hub.db`
//! under the SHA-256 of the certificate.

use std::{io, net::IpAddr, os::unix::fs::OpenOptionsExt as _, path::Path, time::Duration};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PublicKeyData, SanType, SerialNumber,
    SignatureAlgorithm,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use sha2::{Digest as _, Sha256};

use crate::{
    error::HubError,
    registry::{Fingerprint, Hash},
};

const KEY_FILE: &str = "hub-ca.key";
const CERTIFICATE_FILE: &str = "hub-ca.pem";
const ROOT_LIFE: Duration = Duration::from_secs(20 * 366 * 86_400);
pub(crate) const SERVER_LIFE: Duration = Duration::from_secs(30 * 86_400);
pub(crate) const CLIENT_LIFE: Duration = Duration::from_secs(7 * 86_400);
/// A certificate is valid since so long ago: a member's clock may be behind by hours.
const BEHIND: Duration = Duration::from_secs(2 * 86_400);
/// SEC 1 section 2.3.3: 0x04, x, y.
const POINT_BYTES: usize = 65;

pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    der: CertificateDer<'static>,
    pem: String,
}

/// A certificate with the key that only this process has.
pub(crate) struct Leaf {
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) key: PrivateKeyDer<'static>,
}

/// A member's public key, as it came.
struct MemberKey([u8; POINT_BYTES]);

impl PublicKeyData for MemberKey {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}

impl Authority {
    /// Reads the root from the state folder, or makes it. The key never leaves the folder.
    pub(crate) fn open(dir: &Path) -> Result<Self, HubError> {
        let key_path = dir.join(KEY_FILE);
        let pem_path = dir.join(CERTIFICATE_FILE);
        let text = match std::fs::read_to_string(&key_path) {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
                let certificate = root_params().self_signed(&key)?;
                write(&pem_path, certificate.pem().as_bytes(), 0o644)?;
                let text = key.serialize_pem();
                // The key last: a start that was cut short begins anew.
                write(&key_path, text.as_bytes(), 0o600)?;
                text
            }
            Err(e) => return Err(HubError::io("read", &key_path, e)),
        };
        let key = KeyPair::from_pem(&text)?;
        let pem =
            std::fs::read_to_string(&pem_path).map_err(|e| HubError::io("read", &pem_path, e))?;
        let der = first_certificate(&pem).ok_or_else(|| HubError::Certificate(pem_path))?;
        Ok(Self {
            issuer: Issuer::new(root_params(), key),
            der,
            pem,
        })
    }

    pub(crate) fn fingerprint(&self) -> Fingerprint {
        Hash(Sha256::digest(&self.der).into())
    }

    pub(crate) const fn certificate(&self) -> &CertificateDer<'static> {
        &self.der
    }

    pub(crate) fn pem(&self) -> &str {
        &self.pem
    }

    /// A certificate for the hub's own port.
    pub(crate) fn server(&self, names: &[String], addresses: &[IpAddr]) -> Result<Leaf, HubError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut params = leaf_params("posse hub", SERVER_LIFE)?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        for name in names {
            let name = name.as_str().try_into()?;
            params.subject_alt_names.push(SanType::DnsName(name));
        }
        let ips = addresses.iter().copied().map(SanType::IpAddress);
        params.subject_alt_names.extend(ips);
        let certificate = params.signed_by(&key, &self.issuer)?;
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        Ok(Leaf {
            chain: vec![certificate.der().clone(), self.der.clone()],
            key: PrivateKeyDer::Pkcs8(key),
        })
    }

    /// A certificate for a member's key (an uncompressed point), as PEM, with its fingerprint.
    pub(crate) fn client(
        &self,
        name: &str,
        point: &[u8],
    ) -> Result<(String, Fingerprint), HubError> {
        let point: [u8; POINT_BYTES] = point.try_into().map_err(|_| HubError::TlsKey)?;
        if point.first() != Some(&4) {
            return Err(HubError::TlsKey);
        }
        let mut params = leaf_params(name, CLIENT_LIFE)?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = params.signed_by(&MemberKey(point), &self.issuer)?;
        let fingerprint = Hash(Sha256::digest(certificate.der()).into());
        Ok((certificate.pem(), fingerprint))
    }
}

fn root_params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = named("posse hub authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let now = std::time::SystemTime::now();
    params.not_before = (now - BEHIND).into();
    params.not_after = (now + ROOT_LIFE).into();
    params
}

fn leaf_params(name: &str, life: Duration) -> Result<CertificateParams, HubError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = named(name);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    let now = std::time::SystemTime::now();
    params.not_before = (now - BEHIND).into();
    params.not_after = (now + life).into();
    let mut serial = [0; 16];
    getrandom::fill(&mut serial)?;
    // RFC 5280 section 4.1.2.2: positive.
    serial[0] = serial[0] & 0x7f | 0x40;
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    Ok(params)
}

fn named(name: &str) -> DistinguishedName {
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, name);
    subject
}

fn first_certificate(pem: &str) -> Option<CertificateDer<'static>> {
    use rustls::pki_types::pem::PemObject as _;
    CertificateDer::from_pem_slice(pem.as_bytes()).ok()
}

/// Whole or not at all.
pub(crate) fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<(), HubError> {
    use std::io::Write as _;
    let fault = |e| HubError::io("write", path, e);
    let beside = path.with_extension("new");
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(mode);
    let mut file = options.open(&beside).map_err(fault)?;
    file.write_all(bytes).map_err(fault)?;
    file.sync_all().map_err(fault)?;
    std::fs::rename(&beside, path).map_err(fault)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_survives_a_restart_and_is_private() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let first = Authority::open(dir.path()).unwrap().fingerprint();
        assert_eq!(Authority::open(dir.path()).unwrap().fingerprint(), first);
        let mode = std::fs::metadata(dir.path().join(KEY_FILE))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn what_is_no_point_gets_no_certificate() {
        let dir = tempfile::tempdir().unwrap();
        let ca = Authority::open(dir.path()).unwrap();
        assert!(ca.client("a", &[4; 64]).is_err());
        assert!(ca.client("a", &[3; 65]).is_err());
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        assert!(ca.client("a", key.public_key_raw()).is_ok());
    }
}
