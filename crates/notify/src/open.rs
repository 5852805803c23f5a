//! Grave incidents that nobody has acknowledged yet, and when to call further people.
//!
//! Pure: time is an argument. Bounded: beyond the limit the oldest is let go, and counted.

use std::time::Duration;

use model::{AlertId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{
    message::{Incident, Kind, Message},
    severity::Severity,
};

/// Unacknowledged incidents that are remembered.
const OPEN_MAX: usize = 1_000;
/// From this severity on somebody must acknowledge.
const FLOOR: Severity = Severity::High;
/// Shortest beginning of an id that names it.
const PREFIX_MIN: usize = 4;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Open {
    items: Vec<Item>,
    /// Let go at the limit.
    forgotten: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Item {
    incident: Incident,
    since: Timestamp,
    escalated: bool,
}

/// Which incidents are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    All,
    /// An id, or its first four digits or more.
    Id(String),
}

impl Open {
    /// Remembers what must be acknowledged; `true` when that changed anything.
    pub(crate) fn note(&mut self, incident: &Incident, now: Timestamp) -> bool {
        if incident.severity < FLOOR || self.items.iter().any(|i| i.incident.id == incident.id) {
            return false;
        }
        if self.items.len() >= OPEN_MAX {
            self.items.remove(0);
            self.forgotten += 1;
        }
        let mut incident = incident.clone();
        if self.items.len() > OPEN_MAX / 10 {
            // The lines are on the ledger; a thousand copies of them are not needed here.
            if let crate::message::What::Alert(attack) = &mut incident.what {
                attack.lines.clear();
            }
        }
        self.items.push(Item {
            incident,
            since: now,
            escalated: false,
        });
        true
    }

    /// Takes them off; gives their ids.
    pub(crate) fn acknowledge(&mut self, which: &Which) -> Vec<AlertId> {
        let meant = |id: AlertId| match which {
            Which::All => true,
            Which::Id(text) => {
                text.len() >= PREFIX_MIN && id.to_string().starts_with(&text.to_ascii_lowercase())
            }
        };
        let mut done = Vec::new();
        self.items.retain(|item| {
            let hit = meant(item.incident.id);
            if hit {
                done.push(item.incident.id);
            }
            !hit
        });
        done
    }

    /// What nobody acknowledged in time, once, as one message.
    pub(crate) fn overdue(
        &mut self,
        after: Duration,
        host: &str,
        now: Timestamp,
    ) -> Option<Message> {
        let mut message: Option<Message> = None;
        for item in &mut self.items {
            // A clock that was set back must not put it off for ever.
            if item.since > now {
                item.since = now;
            }
            if item.escalated || now.since(item.since) < after {
                continue;
            }
            item.escalated = true;
            let one = Message::of(Kind::Escalation, host, item.incident.clone());
            match &mut message {
                Some(sum) => sum.absorb(one),
                None => message = Some(one),
            }
        }
        let mut message = message?;
        let id = [b"escalation".as_slice(), message.id.bytes()];
        message.id = AlertId::derive(&id);
        Some(message)
    }

    pub(crate) fn ids(&self) -> Vec<AlertId> {
        self.items.iter().map(|item| item.incident.id).collect()
    }

    pub(crate) const fn len(&self) -> usize {
        self.items.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(1_000_000 + seconds)
    }

    fn grave(n: u32) -> Incident {
        Incident {
            severity: Severity::High,
            ..samples::banned(n)
        }
    }

    const AFTER: Duration = Duration::from_secs(900);

    #[test]
    fn what_nobody_acknowledges_escalates_once() {
        let mut open = Open::default();
        assert!(
            !open.note(&samples::banned(0), at(0)),
            "medium needs nobody"
        );
        assert!(open.note(&grave(1), at(0)));
        assert!(!open.note(&grave(1), at(1)), "the same again");
        assert!(open.note(&grave(2), at(0)));
        assert_eq!(open.overdue(AFTER, "h", at(899)), None);
        let message = open.overdue(AFTER, "h", at(900)).unwrap();
        assert_eq!((message.kind, message.alerts), (Kind::Escalation, 2));
        assert_eq!(open.overdue(AFTER, "h", at(5_000)), None);
    }

    #[test]
    fn what_is_acknowledged_does_not() {
        let mut open = Open::default();
        open.note(&grave(1), at(0));
        open.note(&grave(2), at(0));
        let id = grave(1).id.to_string();
        assert_eq!(open.acknowledge(&Which::Id(id[..3].into())), []);
        assert_eq!(
            open.acknowledge(&Which::Id(id[..8].to_uppercase())),
            [grave(1).id]
        );
        assert_eq!(open.overdue(AFTER, "h", at(900)).unwrap().alerts, 1);
        assert_eq!(open.acknowledge(&Which::All), [grave(2).id]);
        assert_eq!(open.ids(), []);
    }

    #[test]
    fn it_is_bounded() {
        let mut open = Open::default();
        for n in 0..3_000 {
            open.note(&grave(n), at(0));
        }
        assert_eq!((open.len(), open.forgotten), (OPEN_MAX, 2_000));
        assert!(serde_json::to_vec(&open).unwrap().len() < 1 << 20);
    }
}
