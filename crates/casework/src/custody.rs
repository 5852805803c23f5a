//! What may be done with an exhibit, as the sum of what was done.
//!
//! The ledger takes any act; here is decided which of them count. Nobody releases a hold or
//! destroys an exhibit alone: an agreement counts only when another person asked, and only an
//! agreement that counts has an effect, whoever wrote the entries.

use std::collections::BTreeMap;

use model::{ExhibitAct, Timestamp, Wish};

use crate::CustodyStep;

/// Why an act has no effect, or would have none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CustodyError {
    #[error("{exhibit} was destroyed at {at}")]
    Destroyed { exhibit: String, at: Timestamp },
    #[error("{exhibit} has a hold {hold} already")]
    HoldTaken { exhibit: String, hold: String },
    #[error("{exhibit} has no hold {hold} in force")]
    NoHold { exhibit: String, hold: String },
    #[error("{exhibit} is under hold {hold}; it must be released first, which takes two people")]
    OnHold { exhibit: String, hold: String },
    #[error("{exhibit} has a request {request} already")]
    RequestTaken { exhibit: String, request: String },
    #[error("{exhibit} has no request {request} that is open for the same")]
    NoRequest { exhibit: String, request: String },
    #[error("{by} asked for it as {request}; another person must agree")]
    SamePerson { by: String, request: String },
    #[error("nobody is named who does it")]
    Nobody,
    #[error("nothing says why {exhibit} may be destroyed: {cause:?} is no agreed request")]
    NoCause { exhibit: String, cause: String },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    pub at: Timestamp,
    pub by: String,
    pub authority: String,
    pub until: Option<Timestamp>,
    pub reason: String,
    /// Two people released it.
    pub released: bool,
}

impl Hold {
    pub fn in_force(&self, now: Timestamp) -> bool {
        !self.released && self.until.is_none_or(|until| until > now)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub at: Timestamp,
    pub wish: Wish,
    pub by: String,
    pub account: String,
    pub reason: String,
    pub state: RequestState,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestState {
    Open,
    Agreed { at: Timestamp, by: String },
    Declined { at: Timestamp, by: String },
}

/// The word for a purge that policy asks for, in place of a request's name.
pub const BY_RETENTION: &str = "retention";

/// An exhibit's custody so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Custody {
    pub acquired: Option<Timestamp>,
    pub holds: BTreeMap<String, Hold>,
    pub requests: BTreeMap<String, Request>,
    pub purged: Option<Timestamp>,
    /// When the bytes were last read again, and whether they were what was acquired.
    pub fixity: Option<(Timestamp, bool)>,
    pub looks: u64,
    /// Acts that had no effect, by their ledger entries, with why.
    pub strays: Vec<(u64, CustodyError)>,
}

impl Custody {
    pub fn of(steps: &[CustodyStep]) -> Self {
        let mut custody = Self::default();
        for step in steps {
            match custody.check(&step.what, step.what.at()) {
                Ok(()) => custody.apply(&step.what),
                Err(why) => custody.strays.push((step.index, why)),
            }
        }
        custody
    }

    /// Whether the act would count, done at `now`.
    pub fn check(&self, act: &ExhibitAct, now: Timestamp) -> Result<(), CustodyError> {
        let exhibit = || act.exhibit().to_owned();
        if let Some(at) = self.purged {
            let exhibit = exhibit();
            return Err(CustodyError::Destroyed { exhibit, at });
        }
        match act {
            ExhibitAct::Acquired(_)
            | ExhibitAct::Looked { .. }
            | ExhibitAct::FixityChecked { .. } => Ok(()),
            ExhibitAct::Held { hold, by, .. } => {
                named(by)?;
                match self.holds.contains_key(hold) {
                    false => Ok(()),
                    true => Err(CustodyError::HoldTaken {
                        exhibit: exhibit(),
                        hold: hold.clone(),
                    }),
                }
            }
            ExhibitAct::Asked {
                request, wish, by, ..
            } => {
                named(by)?;
                if self.requests.contains_key(request) {
                    let request = request.clone();
                    let exhibit = exhibit();
                    return Err(CustodyError::RequestTaken { exhibit, request });
                }
                self.grantable(act.exhibit(), wish, now)
            }
            ExhibitAct::Agreed {
                request,
                wish,
                by,
                account,
                ..
            } => {
                named(by)?;
                let open = self.open(act.exhibit(), request)?;
                if open.wish != *wish {
                    return Err(no_request(act.exhibit(), request));
                }
                if same_person((&open.by, &open.account), (by, account)) {
                    let (by, request) = (by.clone(), request.clone());
                    return Err(CustodyError::SamePerson { by, request });
                }
                self.grantable(act.exhibit(), wish, now)
            }
            ExhibitAct::Declined { request, by, .. } => {
                named(by)?;
                self.open(act.exhibit(), request).map(drop)
            }
            ExhibitAct::Purged { cause, .. } => self.may_be_purged(act.exhibit(), cause, now),
        }
    }

    fn open(&self, exhibit: &str, request: &str) -> Result<&Request, CustodyError> {
        self.requests
            .get(request)
            .filter(|found| found.state == RequestState::Open)
            .ok_or_else(|| no_request(exhibit, request))
    }

    fn grantable(&self, exhibit: &str, wish: &Wish, now: Timestamp) -> Result<(), CustodyError> {
        match wish {
            Wish::ReleaseHold { hold } => match self.holds.get(hold) {
                Some(found) if found.in_force(now) => Ok(()),
                _ => Err(CustodyError::NoHold {
                    exhibit: exhibit.to_owned(),
                    hold: hold.clone(),
                }),
            },
            Wish::Purge => self.no_hold(exhibit, now),
        }
    }

    /// A hold outweighs everything: a request that was agreed before it, and policy.
    fn no_hold(&self, exhibit: &str, now: Timestamp) -> Result<(), CustodyError> {
        match self.hold_in_force(now) {
            None => Ok(()),
            Some(hold) => Err(CustodyError::OnHold {
                exhibit: exhibit.to_owned(),
                hold: hold.to_owned(),
            }),
        }
    }

    /// Policy's own check of its periods is `retention`'s.
    fn may_be_purged(
        &self,
        exhibit: &str,
        cause: &str,
        now: Timestamp,
    ) -> Result<(), CustodyError> {
        let agreed = |request: &Request| {
            request.wish == Wish::Purge && matches!(request.state, RequestState::Agreed { .. })
        };
        if cause != BY_RETENTION && !self.requests.get(cause).is_some_and(agreed) {
            return Err(CustodyError::NoCause {
                exhibit: exhibit.to_owned(),
                cause: cause.to_owned(),
            });
        }
        self.no_hold(exhibit, now)
    }

    /// The name of a hold that is in force.
    pub fn hold_in_force(&self, now: Timestamp) -> Option<&str> {
        let mut holds = self.holds.iter();
        holds
            .find(|(_, hold)| hold.in_force(now))
            .map(|(name, _)| name.as_str())
    }

    /// Purges that two people agreed on and that wait to be carried out.
    pub fn agreed_purge(&self) -> Option<(&str, &Request)> {
        let agreed = |request: &Request| {
            request.wish == Wish::Purge && matches!(request.state, RequestState::Agreed { .. })
        };
        let mut requests = self.requests.iter();
        requests
            .find(|(_, request)| agreed(request))
            .map(|(name, request)| (name.as_str(), request))
    }

    fn apply(&mut self, act: &ExhibitAct) {
        match act.clone() {
            ExhibitAct::Acquired(acquisition) => self.acquired = Some(acquisition.at),
            ExhibitAct::Looked { .. } => self.looks += 1,
            ExhibitAct::Held {
                at,
                hold,
                by,
                authority,
                until,
                reason,
                ..
            } => {
                let held = Hold {
                    at,
                    by,
                    authority,
                    until,
                    reason,
                    released: false,
                };
                self.holds.insert(hold, held);
            }
            ExhibitAct::Asked {
                at,
                request,
                wish,
                by,
                account,
                reason,
                ..
            } => {
                let asked = Request {
                    at,
                    wish,
                    by,
                    account,
                    reason,
                    state: RequestState::Open,
                };
                self.requests.insert(request, asked);
            }
            ExhibitAct::Agreed {
                at,
                request,
                by,
                wish,
                ..
            } => {
                if let Wish::ReleaseHold { hold } = wish
                    && let Some(held) = self.holds.get_mut(&hold)
                {
                    held.released = true;
                }
                if let Some(open) = self.requests.get_mut(&request) {
                    open.state = RequestState::Agreed { at, by };
                }
            }
            ExhibitAct::Declined {
                at, request, by, ..
            } => {
                if let Some(open) = self.requests.get_mut(&request) {
                    open.state = RequestState::Declined { at, by };
                }
            }
            ExhibitAct::Purged { at, .. } => self.purged = Some(at),
            ExhibitAct::FixityChecked { at, intact, .. } => self.fixity = Some((at, intact)),
        }
    }
}

fn named(by: &str) -> Result<(), CustodyError> {
    if by.trim().is_empty() {
        return Err(CustodyError::Nobody);
    }
    Ok(())
}

fn no_request(exhibit: &str, request: &str) -> CustodyError {
    CustodyError::NoRequest {
        exhibit: exhibit.to_owned(),
        request: request.to_owned(),
    }
}

/// One name in other letters is one person, and so are two names from one login.
fn same_person(one: (&str, &str), other: (&str, &str)) -> bool {
    let fold = |name: &str| {
        let words: Vec<String> = name.split_whitespace().map(str::to_lowercase).collect();
        words.join(" ")
    };
    fold(one.0) == fold(other.0) || (!one.1.is_empty() && one.1 == other.1)
}

#[cfg(test)]
mod tests {
    use model::ContentHash;

    use super::*;
    use crate::Indexed;

    const DAY: i64 = 86_400;

    fn day(n: i64) -> Timestamp {
        Timestamp::from_seconds(n * DAY)
    }

    fn exhibit() -> String {
        "EX-2026-000001".to_owned()
    }

    fn held(n: i64, until: Option<i64>) -> ExhibitAct {
        ExhibitAct::Held {
            at: day(n),
            exhibit: exhibit(),
            hold: format!("HOLD-{n}"),
            by: "ada".to_owned(),
            authority: "order 1".to_owned(),
            until: until.map(day),
            reason: "asked".to_owned(),
        }
    }

    fn asked(n: i64, wish: Wish, by: &str) -> ExhibitAct {
        ExhibitAct::Asked {
            at: day(n),
            request: "1".to_owned(),
            exhibit: exhibit(),
            wish,
            by: by.to_owned(),
            account: String::new(),
            reason: "no longer needed".to_owned(),
        }
    }

    fn agreed(n: i64, wish: Wish, by: &str) -> ExhibitAct {
        ExhibitAct::Agreed {
            at: day(n),
            request: "1".to_owned(),
            exhibit: exhibit(),
            wish,
            by: by.to_owned(),
            account: String::new(),
        }
    }

    fn purged(n: i64, cause: &str) -> ExhibitAct {
        ExhibitAct::Purged {
            at: day(n),
            exhibit: exhibit(),
            sha256: ContentHash::of(b""),
            cause: cause.to_owned(),
            reason: String::new(),
        }
    }

    fn custody(acts: &[ExhibitAct]) -> Custody {
        let steps: Vec<CustodyStep> = (0..)
            .zip(acts)
            .map(|(index, act)| Indexed {
                index,
                what: act.clone(),
            })
            .collect();
        Custody::of(&steps)
    }

    #[test]
    fn nobody_purges_alone_under_any_spelling_of_a_name() {
        for other in ["ada", "Ada", " ADA ", "ada  "] {
            let sum = custody(&[
                asked(1, Wish::Purge, "ada"),
                agreed(2, Wish::Purge, other),
                purged(3, "1"),
            ]);
            assert_eq!(sum.purged, None, "{other}");
            assert_eq!(sum.strays.len(), 2, "{other}");
        }
        let sum = custody(&[
            asked(1, Wish::Purge, "ada"),
            agreed(2, Wish::Purge, "grace"),
            purged(3, "1"),
        ]);
        assert_eq!(sum.purged, Some(day(3)));
        assert_eq!(sum.strays, []);
    }

    #[test]
    fn two_names_of_one_login_are_one_person() {
        let mut first = asked(1, Wish::Purge, "ada");
        let mut second = agreed(2, Wish::Purge, "grace");
        if let (ExhibitAct::Asked { account: one, .. }, ExhibitAct::Agreed { account: two, .. }) =
            (&mut first, &mut second)
        {
            *one = "uid 1000".to_owned();
            *two = "uid 1000".to_owned();
        }
        let sum = custody(&[first, second]);
        assert!(matches!(sum.strays[0].1, CustodyError::SamePerson { .. }));
        assert_eq!(sum.agreed_purge(), None);
    }

    #[test]
    fn a_hold_stops_policy_and_agreed_purges_until_two_release_it() {
        let release = Wish::ReleaseHold {
            hold: "HOLD-1".to_owned(),
        };
        let mut acts = vec![held(1, None), purged(2, BY_RETENTION)];
        assert_eq!(custody(&acts).purged, None);
        acts.push(asked(3, Wish::Purge, "ada"));
        assert!(custody(&acts).requests.is_empty());
        acts.push(asked(3, release.clone(), "ada"));
        acts.push(agreed(4, release.clone(), "ada"));
        assert!(custody(&acts).hold_in_force(day(5)).is_some());
        acts.push(agreed(4, release, "grace"));
        acts.push(purged(5, BY_RETENTION));
        assert_eq!(custody(&acts).purged, Some(day(5)));
    }

    #[test]
    fn a_hold_ends_with_its_time() {
        let sum = custody(&[held(1, Some(10))]);
        assert_eq!(sum.hold_in_force(day(9)), Some("HOLD-1"));
        assert_eq!(sum.hold_in_force(day(10)), None);
    }

    #[test]
    fn a_purge_agreed_before_a_hold_waits_for_it() {
        let sum = custody(&[
            asked(1, Wish::Purge, "ada"),
            agreed(2, Wish::Purge, "grace"),
            held(3, None),
            purged(4, "1"),
        ]);
        assert_eq!(sum.purged, None);
        assert!(matches!(sum.strays[0].1, CustodyError::OnHold { .. }));
    }

    #[test]
    fn an_agreement_to_something_else_is_none() {
        let release = Wish::ReleaseHold {
            hold: "HOLD-1".to_owned(),
        };
        let sum = custody(&[
            held(1, None),
            asked(2, release, "ada"),
            agreed(3, Wish::Purge, "grace"),
            purged(4, "1"),
        ]);
        assert_eq!(sum.purged, None);
        assert!(sum.hold_in_force(day(9)).is_some());
    }

    #[test]
    fn nothing_is_done_with_what_is_gone() {
        let sum = custody(&[purged(1, BY_RETENTION), held(2, None), purged(3, "1")]);
        assert_eq!(sum.purged, Some(day(1)));
        assert_eq!(sum.strays.len(), 2);
    }
}
