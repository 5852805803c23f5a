//! Hand-overs between organisations: which act may follow, and by whom.

use std::sync::Arc;

use casework::handover::{CLOCKS_APART_MAX, Handover, HandoverError, api::Done, number};
use fleet::OrgId;
use model::{Entry, HandoverAct, Timestamp};

use super::{Outcome, Turn, Worker};
use crate::{
    caller::Caller,
    error::OrderError,
    gate::{self, Act},
    limits,
    registry::{HandoverFile, Record},
};

impl Worker {
    /// Takes one act. `key` is the hand-over's place here (`acme/HO-2026-0001`); of an offer it is
    /// made from the offer itself.
    pub(super) fn hand_over(
        &self,
        by: &Caller,
        key: &str,
        mut act: HandoverAct,
        turn: &mut Turn,
    ) -> Outcome<Done> {
        let file = match &act {
            HandoverAct::Offered { from, to, .. } => {
                gate::may(by, Act::Offer)?;
                self.new_handover(by, from, to, number(act.handover()))?
            }
            _ => self.known_handover(by, key, &act)?,
        };
        let mut file = file;
        set_handover(&mut act, &file.key);
        if !is_near(act.at(), turn.at) {
            return Err(refused(&HandoverError::Clock).into());
        }
        // The number of a request is given here, where all of them are known.
        if let (HandoverAct::MoreAsked { request, .. }, false) = (&mut act, file.acts.is_empty()) {
            let sum = Handover::of(&file.acts).map_err(|e| refused(&e))?;
            *request = sum.next_request();
        }
        file.acts.push(act.clone());
        Handover::of(&file.acts).map_err(|e| refused(&e))?;
        let handover = file.key.clone();
        self.put(Record::Handover(file))?;
        turn.entries.push(Entry::Handover(act.clone()));
        Ok(Done {
            handover,
            index: 0,
            act,
        })
    }

    fn new_handover(
        &self,
        by: &Caller,
        from: &str,
        to: &str,
        number: &str,
    ) -> Outcome<HandoverFile> {
        if by.organisation.as_str() != from {
            let text = format!("the offer is of {from}, the member of {}", by.organisation);
            return Err(OrderError::Refused(text).into());
        }
        let unknown = || {
            OrderError::Refused(format!(
                "no organisation {to:?} can receive here; the hub's operator invites it: \
                 posse hub invite --org {to} --role police"
            ))
        };
        let to: OrgId = to.parse().map_err(|_| unknown())?;
        let view = self.shared.view();
        let registry = &view.registry;
        let receives = registry
            .members
            .values()
            .any(|m| m.organisation == to && m.role == fleet::Role::Police && !m.revoked);
        if !receives {
            return Err(unknown().into());
        }
        let key = format!("{}/{number}", by.organisation);
        if registry.handovers.contains_key(&key) {
            return Err(refused(&HandoverError::OfferedTwice { handover: key }).into());
        }
        let max = limits::HANDOVERS_MAX;
        if registry.handovers.len() >= max {
            return Err(OrderError::TooMany {
                max,
                what: "hand-overs",
            }
            .into());
        }
        Ok(HandoverFile {
            key,
            from: by.organisation.clone(),
            to,
            acts: Vec::new(),
        })
    }

    /// Whoever has no part in a hand-over is told that there is none.
    fn known_handover(&self, by: &Caller, key: &str, act: &HandoverAct) -> Outcome<HandoverFile> {
        let view = self.shared.view();
        let known = view.registry.handovers.get(key);
        let file = known.ok_or(OrderError::Unknown)?;
        let (is_sender, is_receiver) = (
            by.organisation == file.from,
            by.organisation == file.to && gate::may(by, Act::Receive).is_ok(),
        );
        if !is_sender && !is_receiver {
            return Err(OrderError::Unknown.into());
        }
        let fits = match act {
            HandoverAct::Answered { .. } => is_sender && gate::may(by, Act::Offer).is_ok(),
            _ => is_receiver,
        };
        if !fits {
            let text = "this step is the other side's of the hand-over".to_owned();
            return Err(OrderError::Refused(text).into());
        }
        Ok(HandoverFile::clone(file))
    }
}

fn refused(error: &HandoverError) -> OrderError {
    OrderError::Refused(error.to_string())
}

fn is_near(a: Timestamp, b: Timestamp) -> bool {
    a.since(b).max(b.since(a)) <= CLOCKS_APART_MAX
}

fn set_handover(act: &mut HandoverAct, key: &str) {
    match act {
        HandoverAct::Offered { handover, .. }
        | HandoverAct::Received { handover, .. }
        | HandoverAct::Declined { handover, .. }
        | HandoverAct::Looked { handover, .. }
        | HandoverAct::MoreAsked { handover, .. }
        | HandoverAct::Answered { handover, .. }
        | HandoverAct::OutcomeReported { handover, .. } => key.clone_into(handover),
    }
}

/// What a caller sees of hand-overs: its own side's, and nothing else.
pub(crate) fn seen_by<'a>(
    by: &'a Caller,
    all: impl Iterator<Item = &'a Arc<HandoverFile>> + 'a,
) -> impl Iterator<Item = &'a Arc<HandoverFile>> + 'a {
    let receives = gate::may(by, Act::Receive).is_ok();
    let offers = gate::may(by, Act::Offer).is_ok();
    all.filter(move |file| {
        (receives && file.to == by.organisation) || (offers && file.from == by.organisation)
    })
}
