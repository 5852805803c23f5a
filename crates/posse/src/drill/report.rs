//! What the parts of a drill tell the drill: one JSON object a line on standard output, each with
//! the moment it was said.

use std::{io::Write as _, net::IpAddr};

use model::Timestamp;
use serde::{Deserialize, Serialize};

use crate::clock;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub(super) enum Step {
    /// An attempt was answered.
    Attempt {
        number: usize,
    },
    /// An attempt, begun at `sent`, was not answered any more.
    CutOff {
        number: usize,
        sent: Timestamp,
    },
    /// The first hostile packet was sent.
    FirstPacket,
    /// Whether the connection held open since the start still answers.
    Held {
        alive: bool,
    },
    /// The service wrote a log line about this peer.
    Line {
        peer: IpAddr,
    },
    NeverCutOff,
    /// The service listens.
    Ready,
    /// The benign client's round.
    Served {
        ok: bool,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Said {
    pub(super) at: Timestamp,
    #[serde(flatten)]
    pub(super) step: Step,
}

pub(super) fn say(step: &Step) {
    say_at(clock::now(), step);
}

pub(super) fn say_at(at: Timestamp, step: &Step) {
    let said = Said {
        at,
        step: step.clone(),
    };
    if let Ok(mut line) = serde_json::to_vec(&said) {
        line.push(b'\n');
        // A drill that is gone does not hear us; the next write of the real work ends us.
        std::io::stdout().lock().write_all(&line).ok();
    }
}
