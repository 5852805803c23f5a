//! Asking others over HTTP: bounded in time and bytes, no redirects.

use std::{io::Read as _, sync::Arc, time::Duration};

use ureq::{
    Agent,
    http::header::CONTENT_TYPE,
    tls::{Certificate, RootCerts, TlsConfig},
};

use crate::OpenLogError;

const HEADER_BYTES_MAX: usize = 32 << 10;
/// Of a whole question and its answer.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

pub(crate) fn agent(url: &str) -> Agent {
    let mut config = Agent::config_builder()
        .timeout_global(Some(PATIENCE))
        .http_status_as_error(false)
        // A redirect would lead to someone whom nobody configured.
        .max_redirects(0)
        .max_redirects_will_error(false)
        .max_response_header_size(HEADER_BYTES_MAX)
        .user_agent("Posse");
    if url.starts_with("https:") {
        let certificates = rustls_native_certs::load_native_certs().certs;
        let roots = certificates
            .iter()
            .map(|der| Certificate::from_der(der).to_owned())
            .collect::<Vec<_>>();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = TlsConfig::builder()
            .unversioned_rustls_crypto_provider(provider)
            .root_certs(RootCerts::from(roots))
            .build();
        config = config.tls_config(tls);
    }
    config.build().new_agent()
}

pub(crate) fn post(
    agent: &Agent,
    url: &str,
    kind: &str,
    body: &[u8],
    bytes_max: usize,
) -> Result<Answer, OpenLogError> {
    let failed = |why: String| OpenLogError::Http {
        url: url.to_owned(),
        why,
    };
    let mut response = agent
        .post(url)
        .header(CONTENT_TYPE, kind)
        .send(body)
        .map_err(|e| failed(e.to_string()))?;
    let mut bytes = Vec::new();
    response
        .body_mut()
        .as_reader()
        .take(bytes_max as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(|e| failed(e.to_string()))?;
    if bytes.len() > bytes_max {
        return Err(failed(format!("it answered more than {bytes_max} bytes")));
    }
    Ok(Answer {
        status: response.status().as_u16(),
        body: bytes,
    })
}

/// What stands below a prefix, with or without its slash.
pub(crate) fn below(prefix: &str, path: &str) -> String {
    format!("{}/{path}", prefix.trim_end_matches('/'))
}
