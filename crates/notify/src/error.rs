//! What can be wrong with the configuration of alerts, or with a channel.

use std::path::PathBuf;

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum NotifyError {
    /// The configuration cannot be meant.
    #[error("alerts.channel {channel:?}: {message}; {fix}")]
    Channel {
        channel: String,
        message: String,
        fix: String,
    },
    #[error("[alerts] {message}; {fix}")]
    Alerts { message: String, fix: String },
    #[error("{}: cannot {action}: {why}", path.display())]
    Io {
        path: PathBuf,
        action: &'static str,
        why: String,
    },
    #[error(
        "{} can be read by everybody (mode {mode:03o}); run: chmod 600 {}",
        path.display(), path.display()
    )]
    Exposed { path: PathBuf, mode: u32 },
    #[error(
        "the credential {name:?} is not there; give it to the service with \
         LoadCredential={name}:PATH, or use the key that ends in _file"
    )]
    Credential { name: String },
    #[error("{what} cannot be used: {why}")]
    Setup { what: &'static str, why: String },
    #[error("cannot start the thread {name}: {why}")]
    Thread { name: &'static str, why: String },
}

impl NotifyError {
    /// What is wrong, and what to do.
    pub fn parts(&self) -> (String, String) {
        match self {
            Self::Channel {
                channel,
                message,
                fix,
            } => (
                format!("alerts.channel {channel:?}: {message}"),
                fix.clone(),
            ),
            Self::Alerts { message, fix } => (format!("[alerts] {message}"), fix.clone()),
            Self::Io { .. }
            | Self::Exposed { .. }
            | Self::Credential { .. }
            | Self::Setup { .. }
            | Self::Thread { .. } => (self.to_string(), "see docs/alerts.md".to_owned()),
        }
    }

    /// The channel it is about.
    pub fn channel(&self) -> Option<&str> {
        match self {
            Self::Channel { channel, .. } => Some(channel),
            Self::Alerts { .. }
            | Self::Io { .. }
            | Self::Exposed { .. }
            | Self::Credential { .. }
            | Self::Setup { .. }
            | Self::Thread { .. } => None,
        }
    }
}
