//! Starts and ends `journalctl` on a thread of its own, so that the thread that reads the lines
//! needs neither the right to start a program nor the time to wait for its end.
//!
//! The reading thread makes the pipes and hears by them: a child that cannot be started closes
//! its output at once. Dropped, every child is killed and waited for.

use std::{
    collections::BTreeMap,
    io::{self, PipeReader, Read as _},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, Sender, SyncSender, channel, sync_channel},
    },
    thread::{self, JoinHandle},
};

use rustix::pipe::{PipeFlags, pipe_with};

/// Of what a child said on standard error.
const SAID_BYTES_MAX: u64 = 4_096;

/// The thread that starts programs. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Children(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    orders: Option<Sender<Order>>,
    thread: Option<JoinHandle<()>>,
    next: AtomicU64,
}

enum Order {
    Start {
        id: u64,
        command: Box<Command>,
        errors: PipeReader,
        farewell: SyncSender<String>,
    },
    End {
        id: u64,
    },
}

/// A child that was ordered; ended when dropped.
#[derive(Debug)]
pub(crate) struct Running {
    id: u64,
    pub(crate) output: PipeReader,
    children: Children,
}

impl Children {
    pub fn start() -> io::Result<Self> {
        let (orders, inbox) = channel();
        let thread = thread::Builder::new()
            .name("children".into())
            .spawn(move || look_after(&inbox))?;
        Ok(Self(Arc::new(Shared {
            orders: Some(orders),
            thread: Some(thread),
            next: AtomicU64::new(0),
        })))
    }

    /// Has `command` started with its output into the pipe that comes back; how it ended comes
    /// by the receiver.
    pub(crate) fn order(&self, mut command: Command) -> io::Result<(Running, Receiver<String>)> {
        let (output, to_output) = pipe()?;
        let (errors, to_errors) = pipe()?;
        command
            .stdin(Stdio::null())
            .stdout(to_output)
            .stderr(to_errors);
        let id = self.0.next.fetch_add(1, Ordering::Relaxed);
        let (farewell, heard) = sync_channel(1);
        let order = Order::Start {
            id,
            command: Box::new(command),
            errors,
            farewell,
        };
        self.send(order)?;
        let running = Running {
            id,
            output,
            children: self.clone(),
        };
        Ok((running, heard))
    }

    fn send(&self, order: Order) -> io::Result<()> {
        let gone = || io::Error::from(io::ErrorKind::BrokenPipe);
        let orders = self.0.orders.as_ref().ok_or_else(gone)?;
        orders.send(order).map_err(|_| gone())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Fails when the thread is gone, and all children with it.
        let _ = self.children.send(Order::End { id: self.id });
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.orders = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn pipe() -> io::Result<(PipeReader, std::io::PipeWriter)> {
    let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
    Ok((read.into(), write.into()))
}

struct Kept {
    child: Child,
    errors: PipeReader,
    farewell: SyncSender<String>,
}

fn look_after(inbox: &Receiver<Order>) {
    let mut kept: BTreeMap<u64, Kept> = BTreeMap::new();
    for order in inbox {
        match order {
            Order::Start {
                id,
                mut command,
                errors,
                farewell,
            } => match command.spawn() {
                Ok(child) => {
                    let one = Kept {
                        child,
                        errors,
                        farewell,
                    };
                    kept.insert(id, one);
                }
                Err(error) => {
                    let _ = farewell.try_send(format!("journalctl cannot be started: {error}"));
                }
            },
            Order::End { id } => {
                if let Some(one) = kept.remove(&id) {
                    end(one);
                }
            }
        }
    }
    kept.into_values().for_each(end);
}

fn end(mut one: Kept) {
    // Fails when it has ended already.
    let _ = one.child.kill();
    let status = one
        .child
        .wait()
        .map_or_else(|e| e.to_string(), |status| status.to_string());
    // All who could write are gone, unless the child left children of its own.
    let mut said = Vec::new();
    let _ = rustix::io::ioctl_fionbio(&one.errors, true);
    let _ = one.errors.take(SAID_BYTES_MAX).read_to_end(&mut said);
    let said = String::from_utf8_lossy(&said);
    let text = format!(
        "journalctl ended ({status}): {}",
        said.trim().replace('\n', "; ")
    );
    let _ = one.farewell.try_send(text);
}
