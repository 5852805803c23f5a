//! Who keeps the case while a pack of it is written.
//!
//! The files are written with the caller's rights, the state folder is read with its owner's: as
//! root these are two, and a thread can have rights of its own. So the keeper is a thread that
//! steps down, puts the pack together, and then hands out the exhibits' bytes, each after the look
//! is durable on the ledger.

use std::{
    io::{self, Read},
    path::PathBuf,
    thread::{self, JoinHandle},
};

use anyhow::{Context as _, Result, anyhow};
use casework::pack::Pack;
use courtpack::{Exhibits, PackIoError};
use crossbeam_channel::{Receiver, Sender, bounded};

use crate::service;

const CHUNK: usize = 256 << 10;
/// Chunks on their way from the keeper to the writer.
const UNDER_WAY: usize = 4;

/// What the keeper must be able to do, on its own thread.
pub(super) trait Keep: Send + 'static {
    fn pack(&mut self) -> Result<Pack>;
    /// Records the look, then gives the bytes.
    fn open(&mut self, exhibit: &str) -> Result<Box<dyn Read>>;
    /// Records that the pack was made.
    fn written(&mut self, pack: &Pack) -> Result<()>;
}

enum Wish {
    Open(String, Sender<io::Result<Vec<u8>>>),
    Written(Sender<Result<()>>),
}

/// The writer's end.
pub(super) struct Keeper {
    wishes: Option<Sender<Wish>>,
    thread: Option<JoinHandle<()>>,
}

impl Keeper {
    /// Starts the keeper of a state folder, and waits for the pack.
    pub(super) fn start(state: PathBuf, keep: impl Keep) -> Result<(Self, Pack)> {
        let (wishes, incoming) = bounded(1);
        let (done, pack) = bounded(1);
        let thread = thread::Builder::new()
            .name("keeper".to_owned())
            .spawn(move || serve(&state, keep, &done, &incoming))
            .context("cannot start a thread")?;
        let keeper = Self {
            wishes: Some(wishes),
            thread: Some(thread),
        };
        let pack = pack.recv().map_err(|_| {
            anyhow!("the keeper of the case died; this is a fault of the program")
        })??;
        Ok((keeper, pack))
    }

    fn wish(&self, wish: Wish) -> Result<(), PackIoError> {
        let gone = || PackIoError::NoBytes {
            exhibit: "the case".to_owned(),
            why: "its keeper is gone".to_owned(),
        };
        let wishes = self.wishes.as_ref().ok_or_else(gone)?;
        wishes.send(wish).map_err(|_| gone())
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.wishes = None;
        if let Some(thread) = self.thread.take() {
            // A keeper that panicked has said so.
            let _ = thread.join();
        }
    }
}

impl Exhibits for Keeper {
    fn open(&mut self, exhibit: &str) -> Result<Box<dyn Read + '_>, PackIoError> {
        let (to, from) = bounded(UNDER_WAY);
        self.wish(Wish::Open(exhibit.to_owned(), to))?;
        Ok(Box::new(Chunks {
            from,
            chunk: Vec::new(),
            at: 0,
        }))
    }

    fn written(&mut self) -> Result<(), PackIoError> {
        let (to, from) = bounded(1);
        self.wish(Wish::Written(to))?;
        let failed = |why: String| PackIoError::NotRecorded { why };
        match from.recv() {
            Ok(Ok(())) => Ok(()),
            Ok(Err(e)) => Err(failed(format!("{e:#}"))),
            Err(_) => Err(failed("its keeper is gone".to_owned())),
        }
    }
}

fn serve(
    state: &std::path::Path,
    mut keep: impl Keep,
    done: &Sender<Result<Pack>>,
    wishes: &Receiver<Wish>,
) {
    let pack = service::step_down(state).and_then(|()| keep.pack());
    let known = pack.as_ref().ok().cloned();
    // The writer may have given up; then there is nobody to tell.
    let _ = done.send(pack);
    let Some(pack) = known else { return };
    for wish in wishes {
        match wish {
            Wish::Open(exhibit, to) => match keep.open(&exhibit) {
                Ok(mut bytes) => pour(&mut *bytes, &to),
                Err(e) => {
                    let _ = to.send(Err(io::Error::other(format!("{e:#}"))));
                }
            },
            Wish::Written(to) => {
                let _ = to.send(keep.written(&pack));
            }
        }
    }
}

fn pour(bytes: &mut dyn Read, to: &Sender<io::Result<Vec<u8>>>) {
    loop {
        let mut chunk = Vec::with_capacity(CHUNK);
        let read = bytes.take(CHUNK as u64).read_to_end(&mut chunk);
        let (last, message) = match read {
            Ok(0) => return,
            Ok(_) => (false, Ok(chunk)),
            Err(e) => (true, Err(e)),
        };
        // A writer that gave up wants no more.
        if to.send(message).is_err() || last {
            return;
        }
    }
}

/// Bytes that come in chunks over a channel.
struct Chunks {
    from: Receiver<io::Result<Vec<u8>>>,
    chunk: Vec<u8>,
    at: usize,
}

impl Read for Chunks {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        if self.at == self.chunk.len() {
            match self.from.recv() {
                Ok(chunk) => (self.chunk, self.at) = (chunk?, 0),
                Err(_) => return Ok(0),
            }
        }
        let left = self.chunk.get(self.at..).unwrap_or_default();
        let n = left.len().min(to.len());
        if let (Some(to), Some(from)) = (to.get_mut(..n), left.get(..n)) {
            to.copy_from_slice(from);
        }
        self.at += n;
        Ok(n)
    }
}
