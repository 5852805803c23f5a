//! What can go wrong between a guard and its hub; each says what to do next.

use std::{io, path::PathBuf};

#[derive(Debug, thiserror::Error)]
pub enum UplinkError {
    #[error("{path}: {doing}")]
    File {
        path: PathBuf,
        doing: &'static str,
        source: io::Error,
    },
    #[error("{path} is damaged ({why}); {next}")]
    Damaged {
        path: PathBuf,
        why: &'static str,
        next: &'static str,
    },
    #[error("{text:?} is no hub's address; write https://hub.example.net:7443")]
    Address { text: String },
    #[error("not a whole token; copy all of what `posse hub invite` printed (pj1.…)")]
    Token,
    #[error(transparent)]
    Fleet(#[from] fleet::FleetError),
    #[error("{hub}: no connection")]
    Connect { hub: String, source: io::Error },
    #[error("{hub}: no answer within {seconds} s")]
    Silent { hub: String, seconds: u64 },
    #[error("{hub}: the connection broke")]
    Broken { hub: String, source: hyper::Error },
    #[error("{hub} answered {status}: {text}")]
    Refused {
        hub: String,
        status: u16,
        code: Box<str>,
        text: Box<str>,
        retry_after: Option<std::time::Duration>,
        last_sequence: Option<u64>,
        /// Places of the ops because of which nothing of a statement was taken.
        ops: Box<[usize]>,
    },
    #[error("{hub}: its answer cannot be used: {why}")]
    Answer { hub: String, why: String },
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
    #[error("a key could not be made: {0}")]
    Key(&'static str),
    #[error(
        "this machine is a member of {hub} as {organisation} already; \
         use --replace to leave it for the new one"
    )]
    Member { hub: String, organisation: String },
    #[error("a thread could not be started")]
    Thread(#[source] io::Error),
    #[error("the firewall: {0}")]
    Firewall(#[from] enforce::EnforceError),
}

impl UplinkError {
    /// The hub knows us no longer: waiting will not help, joining again will.
    pub(crate) fn is_expulsion(&self) -> bool {
        matches!(
            self,
            Self::Refused {
                status: 401 | 403,
                ..
            }
        ) || self.is_certificate_refused()
    }

    /// An alert of the TLS layer about our certificate.
    fn is_certificate_refused(&self) -> bool {
        let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(self);
        while let Some(error) = cause {
            let text = error.to_string();
            if [
                "CertificateRevoked",
                "CertificateExpired",
                "CertificateUnknown",
                "AccessDenied",
            ]
            .iter()
            .any(|alert| text.contains(alert))
            {
                return true;
            }
            cause = error.source();
        }
        false
    }

    pub(crate) const fn retry_after(&self) -> Option<std::time::Duration> {
        match self {
            Self::Refused { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// The error and its causes in one line.
    pub(crate) fn in_full(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            text += &format!(": {error}");
            cause = error.source();
        }
        text
    }
}
