//! The status page and metrics of a running guard: what happens now, whom it banned and why, what
//! it refused, what it kept out, and whether it works.
//!
//! Stands at the very end of the data's way, behind a queue of news that drops rather than waits.
//! It looks and never acts: no request changes anything. It must not hold up the guard: it shares
//! no lock with it, reads the store through a connection of its own on a thread of its own, and a
//! page that cannot be served is only that. What it prints was written by attackers, so all of it
//! is escaped, and every answer forbids scripts but its own.
//!
//! Two threads own what changes: `console-news` hears the guard and writes the picture, `console`
//! runs the server; `console-history` answers questions about the store.

#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)
)]

mod chart;
mod clock;
mod config;
mod error;
mod gate;
mod history;
mod limits;
mod live;
mod metrics;
mod pages;
mod picture;
mod routes;
mod rows;
#[cfg(test)]
mod samples;
mod server;
mod shared;
mod text;
mod view;

use std::{
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    sync::Arc,
    thread,
};

use crossbeam_channel::Receiver;
use model::News;

pub use config::{ConsoleConfig, DEFAULT_LISTEN};
pub use error::ConsoleError;
pub use shared::Latest;

use crate::{history::History, pages::Pages, shared::Shared};

/// What the console looks at.
pub struct Inputs {
    /// Everything the guard tells from now on.
    pub news: Receiver<Arc<News>>,
    /// The newest numbers; must not block.
    pub latest: Latest,
    /// The state folder, for what happened before.
    pub state: PathBuf,
}

/// Starts serving and returns where. What is wrong with the configuration or the port comes back
/// as an error; from then on the console lives and dies without the guard.
pub fn start(config: &ConsoleConfig, inputs: Inputs) -> Result<SocketAddr, ConsoleError> {
    let gate = config.gate()?;
    let pages = Pages::new().map_err(|source| ConsoleError::Template { source })?;
    let listen = config.listen;
    let refused = |source| ConsoleError::Listen { listen, source };
    let listener = TcpListener::bind(listen).map_err(refused)?;
    listener.set_nonblocking(true).map_err(refused)?;
    let address = listener.local_addr().map_err(refused)?;

    let no_thread = |source| ConsoleError::Thread { source };
    let ledger = openlog::router(inputs.state.clone());
    let history = History::begin(inputs.state).map_err(no_thread)?;
    let shared = Shared::new(gate, pages, history, inputs.latest, clock::now());
    let shared = Arc::new(shared);
    let hearer = Arc::clone(&shared);
    let news = inputs.news;
    thread::Builder::new()
        .name("console-news".into())
        .spawn(move || news.iter().for_each(|one| hearer.hear(&one)))
        .map_err(no_thread)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(no_thread)?;
    thread::Builder::new()
        .name("console".into())
        .spawn(move || {
            if let Err(e) = runtime.block_on(server::serve(listener, shared, ledger)) {
                tracing::error!(error = %e, "the status page ended");
            }
        })
        .map_err(no_thread)?;
    Ok(address)
}
