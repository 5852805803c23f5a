//! Keeps what is known of this machine fresh, beside the guard's thread: reading `/proc` takes
//! longer than a ban may.

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

use confine::{Mode, Thread};
use model::HostFacts;

use crate::sandbox;

const REFRESH: Duration = Duration::from_secs(2);

/// The latest facts; cheap to ask.
#[derive(Clone)]
pub(crate) struct Facts(Arc<Mutex<Arc<HostFacts>>>);

impl Facts {
    /// Gathers once, then keeps gathering in the background for the life of the process: started
    /// before the sandbox, which would hide other processes from it, with walls of its own.
    pub(crate) fn watch(walls: Mode) -> std::io::Result<Self> {
        let facts = Self(Arc::new(Mutex::new(Arc::new(gather()))));
        let shared = facts.clone();
        thread::Builder::new().name("facts".into()).spawn(move || {
            if let Err(e) = sandbox::tighten(walls, Thread::Facts) {
                eprintln!("posse: SANDBOX INCOMPLETE: the facts thread: {e:#}");
            }
            loop {
                thread::sleep(REFRESH);
                let fresh = gather();
                // The same facts keep their place, so that a changed pointer means changed facts.
                if fresh != *shared.latest() {
                    *shared.0.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(fresh);
                }
            }
        })?;
        Ok(facts)
    }

    pub(crate) fn latest(&self) -> Arc<HostFacts> {
        Arc::clone(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

pub(crate) fn gather() -> HostFacts {
    let session = std::env::var("SSH_CONNECTION").ok();
    sense::host::facts(
        Path::new("/proc"),
        Path::new("/etc/resolv.conf"),
        session.as_deref(),
    )
}
