//! TLS at the hub's port: its own authority, and client certificates where they come.
//!
//! A handshake without a client certificate is taken: whoever joins has none yet, and third
//! parties have keys. Which route needs one is the routes' matter; who its holder is, the
//! registry's.

pub(crate) mod ca;

use std::{
    net::IpAddr,
    sync::{Arc, PoisonError, RwLock},
};

use rustls::{
    RootCertStore, ServerConfig,
    server::{ClientHello, NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier},
    sign::CertifiedKey,
};

use crate::error::HubError;
use ca::Authority;

/// The server's own certificate; made anew while the hub runs.
pub(crate) struct Own {
    current: RwLock<Arc<CertifiedKey>>,
    authority: Arc<Authority>,
    names: Vec<String>,
    addresses: Vec<IpAddr>,
}

impl Own {
    pub(crate) fn new(
        authority: Arc<Authority>,
        names: Vec<String>,
        addresses: Vec<IpAddr>,
    ) -> Result<Arc<Self>, HubError> {
        let current = make(&authority, &names, &addresses)?;
        Ok(Arc::new(Self {
            current: RwLock::new(current),
            authority,
            names,
            addresses,
        }))
    }

    pub(crate) fn renew(&self) -> Result<(), HubError> {
        let fresh = make(&self.authority, &self.names, &self.addresses)?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(())
    }
}

impl std::fmt::Debug for Own {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Own")
            .field("names", &self.names)
            .finish_non_exhaustive()
    }
}

impl ResolvesServerCert for Own {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(
            &self.current.read().unwrap_or_else(PoisonError::into_inner),
        ))
    }
}

fn make(
    authority: &Authority,
    names: &[String],
    addresses: &[IpAddr],
) -> Result<Arc<CertifiedKey>, HubError> {
    let leaf = authority.server(names, addresses)?;
    let key = rustls::crypto::ring::sign::any_ecdsa_type(&leaf.key)?;
    Ok(Arc::new(CertifiedKey::new(leaf.chain, key)))
}

pub(crate) fn config(own: &Arc<Own>) -> Result<Arc<ServerConfig>, HubError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(own.authority.certificate().clone())?;
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .allow_unauthenticated()
            .build()
            .map_err(|e| HubError::Usage(format!("the hub's own root certificate: {e}")))?;
    let resolver: Arc<dyn ResolvesServerCert> = Arc::clone(own) as _;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(resolver);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    // Streams last for days: what resumption would save is not worth its memory.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}
