//! What may be done with an exhibit, as the sum of what was done.
//!
//! The ledger takes any act; here is decided which of them count. Nobody releases a hold or
//! destroys an exhibit alone: an agreement counts only when another person asked, each signed with
//! a key of their own, and only an agreement that counts has an effect, whoever wrote the entries.
//! Before there were keys, names told people apart: what was destroyed then stays destroyed, and
//! nothing else of it has an effect.

use std::collections::BTreeMap;

use model::{ExhibitAct, Timestamp, Wish};

use crate::{
    CustodyStep,
    jurisdiction::same_person,
    persons::{NOW, PersonError, PersonKey, Persons, of_exhibit_act},
};

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
    #[error(transparent)]
    Person(#[from] PersonError),
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
    /// The key that signed it; none before there were keys.
    pub key: Option<PersonKey>,
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
    /// It was destroyed before there were keys: on record, and no ground to destroy anything.
    pub purged_by_names: bool,
    /// Every request there was, also those that count for nothing: names the next one.
    pub asked: u64,
    /// When the bytes were last read again, and whether they were what was acquired.
    pub fixity: Option<(Timestamp, bool)>,
    pub looks: u64,
    /// Acts that had no effect, by their ledger entries, with why.
    pub strays: Vec<(u64, CustodyError)>,
}

/// By what people are told apart.
#[derive(Clone, Copy)]
enum Rules<'a> {
    /// As it was before there were keys.
    Names,
    Keys {
        persons: &'a Persons,
        place: u64,
    },
}

impl Custody {
    pub fn of(steps: &[CustodyStep], persons: &Persons) -> Self {
        let mut sum = Self::default();
        let mut by_names = Self::default();
        for step in steps {
            let (act, place) = (&step.what, step.index);
            let once_good = persons.before_anybody(place)
                && by_names.weigh(act, act.at(), Rules::Names).is_ok();
            if once_good {
                by_names.apply(act, None);
            }
            match sum.weigh(act, act.at(), Rules::Keys { persons, place }) {
                Ok(key) => sum.apply(act, key),
                Err(_) if once_good && matches!(act, ExhibitAct::Purged { .. }) => {
                    sum.apply(act, None);
                    sum.purged_by_names = true;
                }
                Err(why) => sum.strays.push((place, why)),
            }
            sum.asked += u64::from(matches!(act, ExhibitAct::Asked { .. }));
        }
        sum
    }

    /// Whether the act would count, done at `now`.
    pub fn check(
        &self,
        act: &ExhibitAct,
        now: Timestamp,
        persons: &Persons,
    ) -> Result<(), CustodyError> {
        let place = NOW;
        let rules = Rules::Keys { persons, place };
        self.weigh(act, now, rules).map(drop)
    }

    /// The key that signed the act, if it takes one, and if the act counts.
    fn weigh(
        &self,
        act: &ExhibitAct,
        now: Timestamp,
        rules: Rules<'_>,
    ) -> Result<Option<PersonKey>, CustodyError> {
        let exhibit = act.exhibit();
        if let Some(at) = self.purged {
            let exhibit = exhibit.to_owned();
            return Err(CustodyError::Destroyed { exhibit, at });
        }
        match act {
            ExhibitAct::Acquired(_)
            | ExhibitAct::Looked { .. }
            | ExhibitAct::FixityChecked { .. } => {}
            ExhibitAct::Held { hold, by, .. } => {
                named(by)?;
                if self.holds.contains_key(hold) {
                    let (exhibit, hold) = (exhibit.to_owned(), hold.clone());
                    return Err(CustodyError::HoldTaken { exhibit, hold });
                }
            }
            ExhibitAct::Asked { request, wish, .. } => {
                let key = rules.signer(act)?;
                if self.requests.contains_key(request) {
                    let (exhibit, request) = (exhibit.to_owned(), request.clone());
                    return Err(CustodyError::RequestTaken { exhibit, request });
                }
                self.grantable(exhibit, wish, now)?;
                return Ok(key);
            }
            ExhibitAct::Agreed { request, wish, .. } => {
                let key = rules.signer(act)?;
                let open = self.open(exhibit, request)?;
                if open.wish != *wish {
                    return Err(no_request(exhibit, request));
                }
                rules.two_people(open, request, act, key)?;
                self.grantable(exhibit, wish, now)?;
                return Ok(key);
            }
            ExhibitAct::Declined { request, .. } => {
                let key = rules.signer(act)?;
                self.open(exhibit, request)?;
                return Ok(key);
            }
            ExhibitAct::Purged { cause, .. } => self.may_be_purged(exhibit, cause, now)?,
        }
        Ok(None)
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

    fn apply(&mut self, act: &ExhibitAct, key: Option<PersonKey>) {
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
                    key,
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

impl Rules<'_> {
    /// Whose key signed an act that takes two people; by names only that somebody is named.
    fn signer(self, act: &ExhibitAct) -> Result<Option<PersonKey>, CustodyError> {
        match self {
            Self::Names => named(who(act).0).map(|()| None),
            Self::Keys { persons, place } => {
                let statement =
                    of_exhibit_act(persons.origin(), act).ok_or(CustodyError::Nobody)?;
                named(statement.by)?;
                Ok(Some(persons.signer(place, &statement)?))
            }
        }
    }

    fn two_people(
        self,
        open: &Request,
        request: &str,
        act: &ExhibitAct,
        key: Option<PersonKey>,
    ) -> Result<(), CustodyError> {
        let (by, account) = who(act);
        let one = match self {
            Self::Names => {
                same_person(&open.by, by) || !account.is_empty() && open.account == account
            }
            Self::Keys { persons, place } => {
                let asker = open.key.ok_or_else(|| no_request(act.exhibit(), request))?;
                // Whoever was revoked since they asked asks for nothing any more.
                persons.counts_at(&asker, &open.by, place)?;
                key.is_none_or(|key| key == asker) || same_person(&open.by, by)
            }
        };
        if one {
            let (by, request) = (by.to_owned(), request.to_owned());
            return Err(CustodyError::SamePerson { by, request });
        }
        Ok(())
    }
}

/// The person and the account of an act that takes two people.
fn who(act: &ExhibitAct) -> (&str, &str) {
    match act {
        ExhibitAct::Asked { by, account, .. } | ExhibitAct::Agreed { by, account, .. } => {
            (by, account)
        }
        ExhibitAct::Declined { by, .. } => (by, ""),
        ExhibitAct::Acquired(_)
        | ExhibitAct::Looked { .. }
        | ExhibitAct::Held { .. }
        | ExhibitAct::Purged { .. }
        | ExhibitAct::FixityChecked { .. } => ("", ""),
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

#[cfg(test)]
mod tests;
