//! Why there is no status page. The guard goes on without it.

use std::{io, net::SocketAddr, path::PathBuf};

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConsoleError {
    #[error("{listen} cannot be had; set [console] listen to a free port")]
    Listen {
        listen: SocketAddr,
        source: io::Error,
    },
    #[error(
        "[console] listen = \"{listen}\" can be reached from other machines; use a loopback \
         address (and a tunnel or proxy), or set allow_remote = true and token_file"
    )]
    Remote { listen: SocketAddr },
    #[error(
        "[console] listen = \"{listen}\" can be reached from other machines and nothing is asked \
         of them; set token_file to a file with a secret"
    )]
    RemoteWithoutToken { listen: SocketAddr },
    #[error("[console] token_file {} cannot be read", path.display())]
    TokenFile { path: PathBuf, source: io::Error },
    #[error(
        "[console] token_file {} has mode {mode:o}, so others can read it; chmod 600 it",
        path.display()
    )]
    TokenReadable { path: PathBuf, mode: u32 },
    #[error(
        "[console] token_file {} holds less than {least} characters; \
         make one with: openssl rand -hex 24",
        path.display()
    )]
    TokenShort { path: PathBuf, least: usize },
    #[error("cannot start a thread for the status page")]
    Thread { source: io::Error },
    /// A mistake in a template; a test renders them all.
    #[error("a template cannot be used")]
    Template { source: minijinja::Error },
}
