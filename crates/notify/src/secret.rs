//! Secrets: read from files or systemd credentials, never shown.

use std::{
    fmt,
    fs::File,
    io::Read as _,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use crate::error::NotifyError;

const BYTES_MAX: u64 = 16 << 10;
/// Where systemd keeps the service's credentials when a person, not the service, asks.
const SERVICE_CREDENTIALS: &str = "/run/credentials/posse.service";

/// Where a secret is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    File(PathBuf),
    /// systemd's `LoadCredential=`.
    Credential(String),
}

/// Does not show itself.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(String);

impl Secret {
    pub(crate) const fn new(text: String) -> Self {
        Self(text)
    }

    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

impl Place {
    pub(crate) fn read(&self) -> Result<Secret, NotifyError> {
        match self {
            Self::File(path) => {
                let mode = metadata(path)?;
                if mode & 0o007 != 0 {
                    return Err(NotifyError::Exposed {
                        path: path.clone(),
                        mode: mode & 0o777,
                    });
                }
                read(path)
            }
            Self::Credential(name) => {
                let folder = std::env::var_os("CREDENTIALS_DIRECTORY")
                    .map_or_else(|| PathBuf::from(SERVICE_CREDENTIALS), PathBuf::from);
                let path = folder.join(name);
                if !path.exists() {
                    return Err(NotifyError::Credential { name: name.clone() });
                }
                read(&path)
            }
        }
    }
}

fn io(path: &Path, action: &'static str, error: &std::io::Error) -> NotifyError {
    NotifyError::Io {
        path: path.to_owned(),
        action,
        why: error.to_string(),
    }
}

fn metadata(path: &Path) -> Result<u32, NotifyError> {
    let meta = std::fs::metadata(path).map_err(|e| io(path, "read the secret", &e))?;
    Ok(meta.permissions().mode())
}

/// The file without the line end that editors leave.
fn read(path: &Path) -> Result<Secret, NotifyError> {
    let mut text = String::new();
    File::open(path)
        .and_then(|file| file.take(BYTES_MAX).read_to_string(&mut text))
        .map_err(|e| io(path, "read the secret", &e))?;
    let text = text.trim_end_matches(['\r', '\n']);
    if text.is_empty() || text.contains(char::is_control) {
        return Err(NotifyError::Io {
            path: path.to_owned(),
            action: "use the secret",
            why: "it must be one line of text".into(),
        });
    }
    Ok(Secret(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_one_line_in_a_closed_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("password");
        let set = |text: &str, mode: u32| {
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            Place::File(path.clone()).read()
        };
        assert_eq!(set("hunter2\n", 0o600).unwrap().reveal(), "hunter2");
        assert!(matches!(
            set("hunter2\n", 0o644),
            Err(NotifyError::Exposed { mode: 0o644, .. })
        ));
        for bad in ["", "\n", "a\nb"] {
            assert!(set(bad, 0o600).is_err(), "{bad:?}");
        }
        assert!(Place::File("/nonexistent/x".into()).read().is_err());
        assert_eq!(format!("{:?}", set("hunter2", 0o640).unwrap()), "(secret)");
    }
}
