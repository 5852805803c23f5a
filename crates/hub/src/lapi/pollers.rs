//! How far each polling bouncer has come.
//!
//! A bouncer is its key and the address it asks from, as upstream has it. An answer that was
//! written may still be lost on its way, and the protocol has no acknowledgement; but a client
//! that asks again on the same connection has read the answer before it. So what was sent is
//! sent again to whoever comes back on another connection. Kept in memory only: a bouncer that
//! is not known gets everything.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use super::{auth::Peer, pace::Pace};
use crate::Point;

/// Bouncers remembered; beyond it the one not seen for longest is forgotten.
const POLLERS_MAX: usize = 20_000;
/// Answers in a row that may all have been lost.
const ANSWERS: usize = 3;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Identity {
    pub(super) key: Arc<str>,
    pub(super) ip: IpAddr,
}

#[derive(Default)]
pub(super) struct Pollers {
    known: Mutex<HashMap<Identity, Poller>>,
}

#[derive(Clone, Debug)]
struct Poller {
    connection: Peer,
    /// Where the last answers ended, the newest first.
    sent: [Option<Point>; ANSWERS],
    pace: Pace,
    seen: Instant,
}

/// Where an answer to a bouncer that just asked must begin.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrival {
    /// Behind this all is new to it; `None`: it is not known.
    pub(super) fresh_from: Option<Point>,
    /// Behind this it may have missed something.
    pub(super) sure_from: Option<Point>,
    pub(super) pace: Pace,
}

impl Pollers {
    pub(super) fn arrived(&self, who: &Identity, connection: Peer, now: Instant) -> Arrival {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= POLLERS_MAX && !known.contains_key(who) {
            let oldest = known.iter().min_by_key(|(_, p)| p.seen);
            if let Some(oldest) = oldest.map(|(who, _)| who.clone()) {
                known.remove(&oldest);
            }
        }
        let poller = known.entry(who.clone()).or_insert_with(|| Poller {
            connection,
            sent: [None; ANSWERS],
            pace: Pace::default(),
            seen: now,
        });
        // The same connection again: what was sent on it was read.
        if poller.connection == connection {
            poller.sent = [poller.sent[0], None, None];
        }
        poller.connection = connection;
        poller.seen = now;
        poller.pace.arrived(now);
        Arrival {
            fresh_from: poller.sent[0],
            sure_from: poller.sent.iter().copied().flatten().last(),
            pace: poller.pace,
        }
    }

    /// An answer up to `point` is on its way.
    pub(super) fn answered(&self, who: &Identity, point: Point, now: Instant) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(poller) = known.get_mut(who) {
            poller.sent.rotate_right(1);
            poller.sent[0] = Some(point);
            poller.pace.answered(now);
        }
    }

    /// It was sent everything, so what it had before does not count.
    pub(super) fn began(&self, who: &Identity, point: Point, now: Instant) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(poller) = known.get_mut(who) {
            poller.sent = [Some(point), None, None];
            poller.pace.answered(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;

    fn peer(port: u16) -> Peer {
        Peer(SocketAddr::from(([192, 0, 2, 1], port)))
    }

    fn who() -> Identity {
        Identity {
            key: "fw".into(),
            ip: peer(0).ip(),
        }
    }

    #[test]
    fn what_was_read_is_not_sent_again() {
        let (pollers, now) = (Pollers::default(), Instant::now());
        assert_eq!(pollers.arrived(&who(), peer(1), now).fresh_from, None);
        pollers.began(&who(), Point(5), now);
        pollers.arrived(&who(), peer(1), now);
        pollers.answered(&who(), Point(7), now);
        let arrival = pollers.arrived(&who(), peer(1), now);
        assert_eq!(arrival.sure_from, Some(Point(7)));
    }

    #[test]
    fn what_may_be_lost_is_sent_again() {
        let (pollers, now) = (Pollers::default(), Instant::now());
        pollers.arrived(&who(), peer(1), now);
        pollers.began(&who(), Point(5), now);
        for (port, point, sure) in [(2, 7, 5), (3, 9, 5), (4, 11, 5), (5, 13, 7)] {
            let arrival = pollers.arrived(&who(), peer(port), now);
            assert_eq!(arrival.sure_from, Some(Point(sure)), "port {port}");
            pollers.answered(&who(), Point(point), now);
        }
        let arrival = pollers.arrived(&who(), peer(5), now);
        assert_eq!(arrival.sure_from, Some(Point(13)));
    }

    #[test]
    fn the_number_of_bouncers_is_bounded() {
        let (pollers, now) = (Pollers::default(), Instant::now());
        for n in 0..POLLERS_MAX + 10 {
            let who = Identity {
                key: n.to_string().into(),
                ip: peer(0).ip(),
            };
            // Finding the oldest among so many is slow, and rare outside of a test.
            if !(100..POLLERS_MAX).contains(&n) {
                pollers.arrived(&who, peer(1), now);
            } else {
                let mut known = pollers.known.lock().unwrap();
                let poller = known.values().next().unwrap().clone();
                known.insert(who, poller);
            }
        }
        assert_eq!(pollers.known.lock().unwrap().len(), POLLERS_MAX);
    }
}
