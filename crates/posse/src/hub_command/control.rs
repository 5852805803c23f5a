//! The hub's end of the control socket: the same requests that a guard takes, as far as they make
//! sense, and the hub's own.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    os::unix::net::UnixStream,
    path::Path,
    sync::Arc,
};

use anyhow::Result;
use hub::{Caller, Core, NewBan, Release, Report};
use model::Prefix;
use serde_json::json;
use store::Recorder;
use tokio::runtime::Handle;

use super::desk;
use crate::control::{PATIENCE, REQUEST_BYTES_MAX, Reply, Request, listen, record};

struct Desk {
    core: Core,
    runtime: Handle,
    /// For the record's state in `posse status`.
    recorder: Arc<Recorder>,
}

pub(super) fn serve(
    dir: &Path,
    core: &Core,
    runtime: Handle,
    recorder: &Arc<Recorder>,
) -> Result<()> {
    let desk = Arc::new(Desk {
        core: core.clone(),
        runtime,
        recorder: Arc::clone(recorder),
    });
    listen(dir, desk, converse)
}

/// Requests one after another, so that a listing in pages needs one connection.
fn converse(stream: &UnixStream, desk: &Desk) -> Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut line = String::new();
    BufReader::new(stream.take(REQUEST_BYTES_MAX)).read_line(&mut line)?;
    let reply = match serde_json::from_str(&line) {
        Ok(request) => desk.answer(request),
        Err(e) => failed(&format!("not a request: {e}")),
    };
    let mut text = serde_json::to_vec(&reply)?;
    text.push(b'\n');
    let mut out = stream;
    out.write_all(&text)?;
    Ok(())
}

fn failed(why: &str) -> Reply {
    Reply {
        error: Some(why.to_owned()),
        ..Reply::default()
    }
}

impl Desk {
    fn answer(&self, request: Request) -> Reply {
        match request {
            Request::Ban {
                prefix,
                seconds,
                reason,
                by,
            } => self.ban(&self.core.operator(&by), prefix, seconds, reason),
            Request::Unban { prefix, by } => self.unban(&self.core.operator(&by), prefix),
            Request::Status => {
                let mut status = json!({ "hub": self.core.status() });
                if let Some(map) = status.as_object_mut() {
                    let record = self.recorder.status();
                    map.insert(
                        "record".to_owned(),
                        json!({
                            "size": record.size,
                            "queued": record.queued,
                            "lost": record.lost,
                            "paused": record.paused,
                        }),
                    );
                }
                Reply {
                    status: Some(status),
                    ..Reply::default()
                }
            }
            Request::Explain { address } => self.explain(address),
            Request::Hub { order, by } => {
                let operator = self.core.operator(&by);
                let done = desk::carry_out(&self.core, &operator, order);
                match self.runtime.block_on(done) {
                    Ok(reply) => reply,
                    Err(e) => failed(&e.to_string()),
                }
            }
            Request::Record { entries } => record(&self.recorder, entries),
            Request::Acknowledge { .. }
            | Request::Digest
            | Request::Unacknowledged
            | Request::Watch => failed("this is a hub; ask a guard for that"),
        }
    }

    fn ban(&self, by: &Caller, prefix: Prefix, seconds: u64, reason: String) -> Reply {
        let report = Report {
            bans: vec![NewBan {
                prefix,
                seconds,
                kind: "ban".to_owned(),
                origin: "posse".to_owned(),
                scenario: reason,
            }],
            ..Report::default()
        };
        match self.runtime.block_on(self.core.report(by, vec![report])) {
            Ok(done) => {
                let first = done.first();
                let refused = first
                    .and_then(|d| d.bans.first())
                    .and_then(|b| b.as_ref().err());
                Reply {
                    error: refused.map(|why| format!("refused: {prefix}: {why}")),
                    prefixes: if refused.is_none() {
                        vec![prefix]
                    } else {
                        Vec::new()
                    },
                    index: first.and_then(|d| d.index),
                    told: Some(self.core.status().members_connected),
                    ..Reply::default()
                }
            }
            Err(e) => failed(&e.to_string()),
        }
    }

    fn unban(&self, by: &Caller, prefix: Option<Prefix>) -> Reply {
        let release = Release {
            prefix,
            within: true,
            all: prefix.is_none(),
            reason: "operator's decision".to_owned(),
            ..Release::default()
        };
        match self.runtime.block_on(self.core.release(by, release)) {
            Ok(done) => Reply {
                prefixes: done.prefixes,
                index: done.index,
                told: Some(self.core.status().members_connected),
                ..Reply::default()
            },
            Err(e) => failed(&e.to_string()),
        }
    }

    fn explain(&self, address: std::net::IpAddr) -> Reply {
        let by = self.core.operator("explain");
        let told = by.communities.iter().filter_map(|community| {
            let asked = self.core.explain(&by, community, Prefix::host(address));
            let told = self.runtime.block_on(asked).ok()?;
            Some(json!({ "community": community, "explanation": told }))
        });
        Reply {
            fleet: told.collect(),
            ..Reply::default()
        }
    }
}
