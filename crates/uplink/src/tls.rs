//! TLS towards the hub: nothing is trusted but the CA that the token named.

use std::sync::Arc;

use ring::digest::{SHA256, digest};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{
        CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
    },
    pki_types::{
        CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime,
        pem::PemObject as _,
    },
};

use crate::{error::UplinkError, join::Token, membership::Membership};

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn roots(authority: &str) -> Result<RootCertStore, UplinkError> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate(authority)?)?;
    Ok(roots)
}

fn certificate(pem: &str) -> Result<CertificateDer<'static>, UplinkError> {
    CertificateDer::from_pem_slice(pem.as_bytes())
        .map_err(|_| UplinkError::Key("the hub's certificate cannot be read"))
}

/// Whether the certificate is the one that the token names.
pub(crate) fn is_named(pem: &str, token: &Token) -> bool {
    certificate(pem).is_ok_and(|found| digest(&SHA256, &found).as_ref() == token.authority)
}

/// For a member: the pinned CA, and our certificate.
pub(crate) fn member(membership: &Membership) -> Result<Arc<ClientConfig>, UplinkError> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(membership.certificate.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|_| UplinkError::Key("the client certificate cannot be read"))?;
    let key = PrivatePkcs8KeyDer::from(membership.tls_key.bytes().to_vec());
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots(&membership.authority)?)
        .with_client_auth_cert(chain, PrivateKeyDer::Pkcs8(key))?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(Arc::new(config))
}

/// For one who wants to join: the hub must show the CA that the token names, and a certificate
/// of that CA for the name we called.
pub(crate) fn stranger(token: &Token) -> Result<Arc<ClientConfig>, UplinkError> {
    let provider = provider();
    let verifier = Pinned {
        authority: token.authority,
        algorithms: provider.signature_verification_algorithms,
        provider: Arc::clone(&provider),
    };
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(Arc::new(config))
}

#[derive(Debug)]
struct Pinned {
    authority: [u8; 32],
    algorithms: WebPkiSupportedAlgorithms,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let named = |c: &&CertificateDer<'_>| digest(&SHA256, c).as_ref() == self.authority;
        let authority = intermediates.iter().find(named);
        let unknown = || rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
        let mut roots = RootCertStore::empty();
        roots.add(authority.ok_or_else(unknown)?.clone().into_owned())?;
        let verifier = WebPkiServerVerifier::builder_with_provider(
            Arc::new(roots),
            Arc::clone(&self.provider),
        )
        .build()
        .map_err(|_| unknown())?;
        verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
