//! The `[console]` part of the configuration, and what makes it safe to serve.

use std::{
    fs::File,
    io::Read as _,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use crate::{
    ConsoleError,
    gate::{Gate, Token},
    limits::{TOKEN_BYTES_MAX, TOKEN_BYTES_MIN},
};

/// Where the page is when nothing is configured.
pub const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9_107);

#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ConsoleConfig {
    /// Serve the status page and metrics.
    pub enabled: bool,
    /// Address and port.
    pub listen: SocketAddr,
    /// Further names by which browsers may call this machine, such as that of a proxy before it.
    pub hosts: Vec<String>,
    /// Allow an address that other machines can reach; needs `token_file`.
    pub allow_remote: bool,
    /// A file with the secret that readers must show.
    pub token_file: Option<PathBuf>,
}

impl Default for ConsoleConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            listen: DEFAULT_LISTEN,
            hosts: Vec::new(),
            allow_remote: false,
            token_file: None,
        }
    }
}

impl ConsoleConfig {
    /// Who may come in; an error when the configuration would let everybody.
    pub(crate) fn gate(&self) -> Result<Gate, ConsoleError> {
        let listen = self.listen;
        if !listen.ip().is_loopback() {
            if !self.allow_remote {
                return Err(ConsoleError::Remote { listen });
            }
            if self.token_file.is_none() {
                return Err(ConsoleError::RemoteWithoutToken { listen });
            }
        }
        let token = self.token_file.as_deref().map(read_token).transpose()?;
        Ok(Gate::new(&self.hosts, listen.ip(), token))
    }
}

fn read_token(path: &Path) -> Result<Token, ConsoleError> {
    let at = |source| ConsoleError::TokenFile {
        path: path.to_owned(),
        source,
    };
    let file = File::open(path).map_err(at)?;
    let mode = file.metadata().map_err(at)?.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(ConsoleError::TokenReadable {
            path: path.to_owned(),
            mode,
        });
    }
    let mut text = String::new();
    file.take(TOKEN_BYTES_MAX as u64)
        .read_to_string(&mut text)
        .map_err(at)?;
    let text = text.trim();
    if text.len() < TOKEN_BYTES_MIN {
        return Err(ConsoleError::TokenShort {
            path: path.to_owned(),
            least: TOKEN_BYTES_MIN,
        });
    }
    Ok(Token::new(text))
}

#[cfg(test)]
mod tests {
    use std::{fs::Permissions, os::unix::fs::PermissionsExt as _};

    use super::*;

    fn remote() -> ConsoleConfig {
        ConsoleConfig {
            listen: "0.0.0.0:9107".parse().unwrap(),
            ..ConsoleConfig::default()
        }
    }

    #[test]
    fn the_default_is_loopback_only() {
        assert!(ConsoleConfig::default().listen.ip().is_loopback());
        assert!(ConsoleConfig::default().gate().is_ok());
    }

    #[test]
    fn other_machines_need_two_keys() {
        assert!(matches!(remote().gate(), Err(ConsoleError::Remote { .. })));
        let allowed = ConsoleConfig {
            allow_remote: true,
            ..remote()
        };
        assert!(matches!(
            allowed.gate(),
            Err(ConsoleError::RemoteWithoutToken { .. })
        ));
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        std::fs::write(&path, "0123456789abcdef0123\n").unwrap();
        let keyed = ConsoleConfig {
            token_file: Some(path.clone()),
            ..allowed
        };
        let mode = |mode| std::fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        mode(0o644);
        assert!(matches!(
            keyed.gate(),
            Err(ConsoleError::TokenReadable { .. })
        ));
        mode(0o600);
        assert!(keyed.gate().is_ok());
        std::fs::write(&path, "short\n").unwrap();
        assert!(matches!(keyed.gate(), Err(ConsoleError::TokenShort { .. })));
    }
}
