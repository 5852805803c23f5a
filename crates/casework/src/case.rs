//! A case as the sum of its acts.

use std::collections::BTreeMap;

use model::{
    AlertId, BanSpread, CaseAct, CaseStep, ContentHash, LossFigure, Milestone, Outcome, Pap, Party,
    Prefix, Task, Timestamp, Tlp,
};

/// An act does not fit the case it names.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CaseError {
    #[error("{case} does not begin with its opening but with an act of ledger entry {index}")]
    NotOpened { case: String, index: u64 },
    #[error("{case} was opened before; entry {index} opens it again")]
    OpenedTwice { case: String, index: u64 },
    #[error("entry {index} is about {other}, not about {case}")]
    AnotherCase {
        case: String,
        other: String,
        index: u64,
    },
}

/// One act with its place on the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    pub index: u64,
    pub act: CaseAct,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    pub at: Timestamp,
    pub by: String,
    pub text: String,
    pub tlp: Tlp,
}

/// A measure that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    pub when: Timestamp,
    pub what: String,
    pub prefixes: Vec<Prefix>,
    pub effect: String,
}

/// A step that was possible and was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forbearance {
    pub at: Timestamp,
    pub what: String,
    pub reason: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Referral {
    pub at: Timestamp,
    pub referral: String,
    pub country: String,
    pub authority: String,
    pub profile: String,
    pub manifest: ContentHash,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closing {
    pub at: Timestamp,
    pub reason: String,
}

/// What is known of a case after its acts so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    pub id: String,
    pub title: String,
    pub authority: String,
    pub purpose: String,
    pub tlp: Tlp,
    pub pap: Pap,
    pub opened: Timestamp,
    pub opened_by: String,
    pub grouped_by: Option<String>,
    /// `None` while it is open.
    pub closed: Option<Closing>,
    /// In the order in which they came in, each once.
    pub alerts: Vec<AlertId>,
    pub exhibits: Vec<String>,
    pub parties: BTreeMap<String, Party>,
    pub tasks: BTreeMap<String, Task>,
    pub notes: Vec<Note>,
    pub losses: Vec<LossFigure>,
    pub measures: Vec<Taken>,
    /// How far communities' bans have come; one for a community and network, the last told.
    pub spreads: Vec<BanSpread>,
    pub milestones: Vec<Milestone>,
    pub forborne: Vec<Forbearance>,
    pub referrals: Vec<Referral>,
    pub outcomes: Vec<Outcome>,
    /// All of it, as recorded.
    pub steps: Vec<Step>,
}

impl Case {
    /// The case that `act` opens, recorded as entry `index`.
    pub fn open(index: u64, act: &CaseAct) -> Result<Self, CaseError> {
        let CaseStep::Opened {
            title,
            authority,
            purpose,
            tlp,
            pap,
            grouped_by,
        } = &act.step
        else {
            return Err(CaseError::NotOpened {
                case: act.case.clone(),
                index,
            });
        };
        Ok(Self {
            id: act.case.clone(),
            title: title.clone(),
            authority: authority.clone(),
            purpose: purpose.clone(),
            tlp: *tlp,
            pap: *pap,
            opened: act.at,
            opened_by: act.by.clone(),
            grouped_by: grouped_by.clone(),
            closed: None,
            alerts: Vec::new(),
            exhibits: Vec::new(),
            parties: BTreeMap::new(),
            tasks: BTreeMap::new(),
            notes: Vec::new(),
            losses: Vec::new(),
            measures: Vec::new(),
            spreads: Vec::new(),
            milestones: Vec::new(),
            forborne: Vec::new(),
            referrals: Vec::new(),
            outcomes: Vec::new(),
            steps: vec![Step {
                index,
                act: act.clone(),
            }],
        })
    }

    /// Adds what `act`, recorded as entry `index`, tells.
    pub fn take(&mut self, index: u64, act: &CaseAct) -> Result<(), CaseError> {
        if act.case != self.id {
            return Err(CaseError::AnotherCase {
                case: self.id.clone(),
                other: act.case.clone(),
                index,
            });
        }
        if matches!(act.step, CaseStep::Opened { .. }) {
            return Err(CaseError::OpenedTwice {
                case: self.id.clone(),
                index,
            });
        }
        self.apply(act);
        self.steps.push(Step {
            index,
            act: act.clone(),
        });
        Ok(())
    }

    /// Takes in what is known of a community's ban, in the place of what was known before.
    pub fn spread(&mut self, spread: BanSpread) {
        let is_same = |s: &BanSpread| s.community == spread.community && s.prefix == spread.prefix;
        self.spreads.retain(|known| !is_same(known));
        self.spreads.push(spread);
    }

    fn apply(&mut self, act: &CaseAct) {
        match act.step.clone() {
            CaseStep::Opened { .. } | CaseStep::Packed { .. } => {}
            CaseStep::Retitled { title } => self.title = title,
            CaseStep::AlertsAdded { alerts, .. } => {
                for alert in alerts {
                    add_once(&mut self.alerts, alert);
                }
            }
            CaseStep::AlertsTaken { alerts, .. } => self.alerts.retain(|a| !alerts.contains(a)),
            CaseStep::ExhibitAdded { exhibit } => add_once(&mut self.exhibits, exhibit),
            CaseStep::PartyAdded(party) => {
                self.parties.insert(party.id.clone(), party);
            }
            CaseStep::TaskSet(task) => {
                self.tasks.insert(task.id.clone(), task);
            }
            CaseStep::NoteAdded { text, tlp } => self.notes.push(Note {
                at: act.at,
                by: act.by.clone(),
                text,
                tlp,
            }),
            CaseStep::LossAdded(loss) => self.losses.push(loss),
            CaseStep::MeasureTaken {
                when,
                what,
                prefixes,
                effect,
            } => self.measures.push(Taken {
                when,
                what,
                prefixes,
                effect,
            }),
            CaseStep::BanSpread(spread) => self.spread(spread),
            CaseStep::Milestone(milestone) => self.milestones.push(milestone),
            CaseStep::Forborne { what, reason } => self.forborne.push(Forbearance {
                at: act.at,
                what,
                reason,
            }),
            CaseStep::Referred {
                referral,
                country,
                authority,
                profile,
                manifest,
            } => self.referrals.push(Referral {
                at: act.at,
                referral,
                country,
                authority,
                profile,
                manifest,
            }),
            CaseStep::OutcomeRecorded(outcome) => self.outcomes.push(outcome),
            CaseStep::Closed { reason } => {
                self.closed = Some(Closing { at: act.at, reason });
            }
            CaseStep::Reopened { .. } => self.closed = None,
        }
    }
}

fn add_once<T: PartialEq>(list: &mut Vec<T>, item: T) {
    if !list.contains(&item) {
        list.push(item);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn act(step: CaseStep) -> CaseAct {
        CaseAct {
            at: Timestamp::from_nanos(1),
            case: "CASE-2026-0001".to_owned(),
            by: "operator".to_owned(),
            step,
        }
    }

    fn opening() -> CaseAct {
        act(CaseStep::Opened {
            title: "Password guessing".to_owned(),
            authority: "contract 7".to_owned(),
            purpose: "network security".to_owned(),
            tlp: Tlp::Amber,
            pap: Pap::Amber,
            grouped_by: None,
        })
    }

    #[test]
    fn a_case_is_the_sum_of_its_acts() {
        let mut case = Case::open(3, &opening()).unwrap();
        let alert = AlertId::derive(&[b"a"]);
        let add = act(CaseStep::AlertsAdded {
            alerts: vec![alert, alert],
            reason: "same network".to_owned(),
        });
        case.take(4, &add).unwrap();
        assert_eq!(case.alerts, [alert]);
        let close = act(CaseStep::Closed {
            reason: "done".to_owned(),
        });
        case.take(5, &close).unwrap();
        assert!(case.closed.is_some());
        assert_eq!(case.steps.len(), 3);
    }

    #[test]
    fn acts_out_of_place_are_refused() {
        let mut case = Case::open(3, &opening()).unwrap();
        assert!(matches!(
            case.take(4, &opening()),
            Err(CaseError::OpenedTwice { index: 4, .. })
        ));
        let mut stray = act(CaseStep::Retitled {
            title: "x".to_owned(),
        });
        assert!(matches!(
            Case::open(1, &stray),
            Err(CaseError::NotOpened { index: 1, .. })
        ));
        stray.case = "CASE-2026-0002".to_owned();
        assert!(matches!(
            case.take(6, &stray),
            Err(CaseError::AnotherCase { index: 6, .. })
        ));
    }
}
