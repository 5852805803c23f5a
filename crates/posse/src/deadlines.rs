//! Wakes people: orders taken in that are near their deadline or beyond it, and offers that nobody
//! signed for. A thread of its own beside a guard or a hub; it only reads the ledger, and tells
//! each thing once in the life of the process. It holds nobody up.

use std::{collections::BTreeSet, path::Path, sync::Arc, time::Duration};

use anyhow::Result;
use casework::intake::{Pressure, orders};
use model::{AuthorityAct, Entry, Happening, Notice, Timestamp};
use store::{Recorder, Store};

use crate::{clock, feed::Feed, handover_command};

const LOOK_EVERY: Duration = Duration::from_secs(60);
/// An offer that waits so long is told of.
const UNANSWERED: Duration = Duration::from_secs(7 * 86_400);

/// Begins to look, first at once.
pub(crate) fn watch(state: &Path, recorder: Arc<Recorder>, feed: Option<Feed>) -> Result<()> {
    let state = state.to_owned();
    std::thread::Builder::new()
        .name("deadlines".into())
        .spawn(move || {
            let mut told = BTreeSet::new();
            loop {
                look(&state, &recorder, feed.as_ref(), &mut told);
                std::thread::sleep(LOOK_EVERY);
            }
        })?;
    Ok(())
}

fn look(
    state: &Path,
    recorder: &Recorder,
    feed: Option<&Feed>,
    told: &mut BTreeSet<(&'static str, String)>,
) {
    let Ok(store) = Store::open_read_only(state) else {
        return;
    };
    let now = clock::now();
    let found = match notices(&store, now) {
        Ok(found) => found,
        Err(e) => {
            tracing::warn!(error = %e, "the deadlines on record cannot be read");
            return;
        }
    };
    for (code, about, text) in found {
        if !told.insert((code, about)) {
            continue;
        }
        let notice = Notice {
            at: now,
            code: code.to_owned(),
            text,
            prefixes: Vec::new(),
        };
        if let Some(feed) = feed {
            feed.say(now, Happening::Notice(notice.clone()));
        }
        recorder.offer(vec![Entry::Notice(notice)]);
    }
}

/// Code, what it is about, and the words.
fn notices(store: &Store, now: Timestamp) -> Result<Vec<(&'static str, String, String)>> {
    let acts = store.authority_acts()?;
    let mut found = of_orders(acts.iter().map(|(_, act)| act), now);
    for (id, to, waits) in handover_command::unanswered(store)? {
        if waits >= UNANSWERED {
            let span = casework::span_in_words(waits);
            let text = format!("{id} was offered to {to} and not received for {span}; ask them");
            found.push(("offer_unanswered", id, text));
        }
    }
    Ok(found)
}

fn of_orders<'a>(
    acts: impl Iterator<Item = &'a AuthorityAct>,
    now: Timestamp,
) -> Vec<(&'static str, String, String)> {
    let told = |order: casework::intake::Order| {
        let code = match order.pressure(now) {
            Pressure::Done | Pressure::Running => return None,
            Pressure::Alarm => "order_alarm",
            Pressure::Breach => "order_breach",
        };
        let (id, what) = (&order.taken.order, &order.taken.instrument);
        let text = format!(
            "{id} ({what} of {}, {}): {}",
            order.taken.issuer,
            order.taken.country,
            order.in_words(now)
        );
        Some((code, id.clone(), text))
    };
    orders(acts).into_iter().filter_map(told).collect()
}

#[cfg(test)]
mod tests {
    use model::OrderTaken;

    use super::*;

    #[test]
    fn an_order_is_told_of_at_its_alarm_and_at_its_breach() {
        let at = |hours: i64| Timestamp::from_seconds(1_795_000_000 + hours * 3_600);
        let act = AuthorityAct::OrderTaken(Box::new(OrderTaken {
            at: at(0),
            order: "IN-2026-0001".to_owned(),
            instrument: "epoc".to_owned(),
            issuer: "court".to_owned(),
            country: "DE".to_owned(),
            reference: "1".to_owned(),
            asks: "x".to_owned(),
            by: "operator".to_owned(),
            received: at(0),
            due: at(8),
            alarm: Some(at(6)),
            document: None,
            case: None,
        }));
        let codes = |hours: i64| -> Vec<_> {
            let found = of_orders([&act].into_iter(), at(hours)).into_iter();
            found.map(|(code, ..)| code).collect()
        };
        assert!(codes(5).is_empty());
        assert_eq!(codes(6), ["order_alarm"]);
        assert_eq!(codes(8), ["order_breach"]);
    }
}
