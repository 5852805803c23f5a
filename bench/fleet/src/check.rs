//! What every guard checks of every frame, done once for frames with the same bytes.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError, RwLock},
};

use anyhow::{Result, ensure};
use fleet::{Body, Frame, Generation, Offer, Roster};

use crate::identity::Identities;

/// Frames whose check is remembered.
const KNOWN_MAX: usize = 20_000;

/// What a guard needs to know of a frame.
#[derive(Clone, Copy)]
pub(crate) struct Known {
    pub(crate) from: Generation,
    pub(crate) to: Generation,
    pub(crate) kind: Kind,
}

#[derive(Clone, Copy)]
pub(crate) enum Kind {
    Hello,
    /// With the earliest time at which the hub accepted one of its statements.
    Change {
        accepted_ms: u64,
    },
    Digest,
    Offer(Offer),
}

pub(crate) struct Checks {
    known: RwLock<HashMap<(u32, usize), Known>>,
    roster: Mutex<Roster>,
}

impl Checks {
    pub(crate) fn new(identities: &Identities) -> Self {
        let roster = Roster::new(identities.community.clone(), identities.roster_key);
        Self {
            known: RwLock::default(),
            roster: Mutex::new(roster),
        }
    }

    /// The greatest serial of the roster that the crowd shares.
    pub(crate) fn roster_serial(&self) -> u64 {
        let roster = self.roster.lock().unwrap_or_else(PoisonError::into_inner);
        roster.serial()
    }

    /// The same bytes were checked before, or are checked now: the form, every signature.
    pub(crate) fn look(&self, frame: &[u8]) -> Result<Known> {
        let place = (crc32fast::hash(frame), frame.len());
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.get(&place) {
            return Ok(*known);
        }
        drop(known);
        let checked = self.check(frame)?;
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= KNOWN_MAX {
            known.clear();
        }
        known.insert(place, checked);
        Ok(checked)
    }

    fn check(&self, frame: &[u8]) -> Result<Known> {
        let frame = Frame::decode(frame)?;
        let mut roster = self.roster.lock().unwrap_or_else(PoisonError::into_inner);
        let kind = match &frame.body {
            Body::Hello { roster: entries } => {
                for entry in entries {
                    if entry.entry().serial > roster.serial() {
                        roster.take(entry.clone())?;
                    }
                }
                Kind::Hello
            }
            Body::Change {
                roster: entries,
                statements,
            } => {
                for entry in entries {
                    if entry.entry().serial > roster.serial() {
                        roster.take(entry.clone())?;
                    }
                }
                for accepted in statements {
                    let key = roster.active(accepted.signed.read()?.key)?.key;
                    accepted.signed.verify(&key)?;
                }
                let earliest = statements.iter().map(|accepted| accepted.at.0).min();
                Kind::Change {
                    accepted_ms: earliest.unwrap_or(frame.now.0),
                }
            }
            Body::Digest { swept_to, .. } => {
                ensure!(frame.now.seconds() >= *swept_to, "a digest of the future");
                Kind::Digest
            }
            Body::Offer(offer) => Kind::Offer(*offer),
        };
        Ok(Known {
            from: frame.from,
            to: frame.to,
            kind,
        })
    }
}
