//! When the operator itself is asked for data: orders taken in, with their clocks.
//!
//! The table of jurisdictions says how long an order's clock runs; here is when it began, when
//! somebody must be woken, and when it is too late. Must not: judge whether an order is lawful,
//! beyond whether the instrument exists for the country that issued it.

use model::{AuthorityAct, OrderStep, OrderTaken, Timestamp};

use crate::{
    jurisdiction::{Country, Jurisdictions},
    span_in_words,
};

/// Its name in the table of jurisdictions.
const E_EVIDENCE: &str = "e_evidence";
/// The day from which Regulation (EU) 2023/1543 applies (its article 34).
const E_EVIDENCE_FROM: &str = "2026-08-18T00:00:00Z";

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IntakeError {
    #[error(
        "{0:?} is no instrument by which an operator is asked; write epoc, epoc_pr or national"
    )]
    Unknown(String),
    #[error(
        "an order of {country} is no {instrument}: {why}. Do not carry it out as one; take it in \
         as `national` and ask a lawyer, or point the authority to mutual legal assistance"
    )]
    NotBound {
        country: Country,
        instrument: String,
        why: String,
    },
    #[error("a `national` order has the deadline that it names: say --due TIME")]
    NoDeadline,
    #[error("the deadline lies before the receipt")]
    DueBeforeReceipt,
}

/// How fast it must be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Urgency {
    #[default]
    Ordinary,
    /// An imminent threat to life, limb or critical infrastructure, as the order says.
    Emergency,
}

/// When an order must be answered, and when somebody must be woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline {
    pub due: Timestamp,
    pub alarm: Option<Timestamp>,
}

/// The clock of an order of this instrument, country and moment; or why it is none.
pub fn deadline(
    table: &Jurisdictions,
    instrument: &str,
    country: Country,
    urgency: Urgency,
    received: Timestamp,
    named: Option<Timestamp>,
) -> Result<Deadline, IntakeError> {
    let clock = match (instrument, urgency) {
        ("epoc", Urgency::Ordinary) => "answer",
        ("epoc", Urgency::Emergency) => "emergency_answer",
        ("epoc_pr", _) => "preservation",
        ("national", _) => {
            let due = named.ok_or(IntakeError::NoDeadline)?;
            if due <= received {
                return Err(IntakeError::DueBeforeReceipt);
            }
            return Ok(Deadline { due, alarm: None });
        }
        _ => return Err(IntakeError::Unknown(instrument.to_owned())),
    };
    let not_bound = |why: &str| IntakeError::NotBound {
        country,
        instrument: instrument.to_owned(),
        why: why.to_owned(),
    };
    if country.as_str() == "DK" {
        // Recital on Protocol 22: Denmark takes no part in the adoption of the Regulation.
        return Err(not_bound(
            "Denmark takes no part in Regulation (EU) 2023/1543 (Protocol 22)",
        ));
    }
    if !table.has_instrument(country, E_EVIDENCE) {
        return Err(not_bound(
            "the table of jurisdictions does not have it among those that are bound by Regulation \
             (EU) 2023/1543",
        ));
    }
    if E_EVIDENCE_FROM
        .parse()
        .is_ok_and(|from: Timestamp| received < from)
    {
        return Err(not_bound("the Regulation applies from 18 August 2026"));
    }
    let clock = table
        .clock(E_EVIDENCE, clock)
        .ok_or_else(|| IntakeError::Unknown(instrument.to_owned()))?;
    Ok(Deadline {
        due: received.plus(clock.span()),
        alarm: clock.alarm().map(|after| received.plus(after)),
    })
}

/// An order after its steps so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    pub taken: OrderTaken,
    /// As it was, or as the authority moved it.
    pub due: Timestamp,
    pub ended: Option<(Timestamp, OrderStep)>,
}

/// How an order stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pressure {
    Done,
    Running,
    /// Somebody must be woken.
    Alarm,
    /// The time is over.
    Breach,
}

impl Pressure {
    pub const fn word(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Running => "running",
            Self::Alarm => "ALARM",
            Self::Breach => "BREACH",
        }
    }
}

/// Every order, in the ledger's order.
pub fn orders<'a>(acts: impl IntoIterator<Item = &'a AuthorityAct>) -> Vec<Order> {
    let mut orders: Vec<Order> = Vec::new();
    for act in acts {
        match act {
            AuthorityAct::OrderTaken(taken) => orders.push(Order {
                taken: (**taken).clone(),
                due: taken.due,
                ended: None,
            }),
            AuthorityAct::OrderStep {
                at, order, step, ..
            } => {
                let mut all = orders.iter_mut();
                if let Some(found) = all.find(|one| one.taken.order == *order) {
                    match step {
                        OrderStep::Moved { due } => found.due = *due,
                        _ => found.ended = Some((*at, step.clone())),
                    }
                }
            }
            _ => {}
        }
    }
    orders
}

impl Order {
    /// At six hours of eight an emergency is an alarm; others when a tenth of the time is left.
    pub fn pressure(&self, now: Timestamp) -> Pressure {
        if self.ended.is_some() {
            Pressure::Done
        } else if now >= self.due {
            Pressure::Breach
        } else if now >= self.alarm() {
            Pressure::Alarm
        } else {
            Pressure::Running
        }
    }

    fn alarm(&self) -> Timestamp {
        // A moved deadline has an alarm of its own.
        let own = self.taken.alarm.filter(|_| self.due == self.taken.due);
        own.unwrap_or_else(|| {
            let span = self.due.since(self.taken.received);
            self.due.minus(span / 10)
        })
    }

    pub fn in_words(&self, now: Timestamp) -> String {
        match self.pressure(now) {
            Pressure::Done => "done".to_owned(),
            Pressure::Running => format!("{} left", span_in_words(self.due.since(now))),
            Pressure::Alarm => format!("ALARM: {} left", span_in_words(self.due.since(now))),
            Pressure::Breach => {
                format!("BREACH: overdue for {}", span_in_words(now.since(self.due)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn received() -> Timestamp {
        "2026-11-22T08:00:00Z".parse().unwrap()
    }

    fn hours(n: u64) -> Timestamp {
        received().plus(Duration::from_secs(n * 3_600))
    }

    fn ask(instrument: &str, code: &str, urgency: Urgency) -> Result<Deadline, IntakeError> {
        let table = Jurisdictions::built_in().unwrap();
        let country = code.parse().unwrap();
        deadline(&table, instrument, country, urgency, received(), None)
    }

    fn order(deadline: Deadline) -> Order {
        let taken = OrderTaken {
            at: received(),
            order: "IN-2026-0001".to_owned(),
            instrument: "epoc".to_owned(),
            issuer: "court".to_owned(),
            country: "DE".to_owned(),
            reference: "7 Gs 1/26".to_owned(),
            asks: "subscriber data".to_owned(),
            by: "operator".to_owned(),
            received: received(),
            due: deadline.due,
            alarm: deadline.alarm,
            document: None,
            case: None,
        };
        let act = AuthorityAct::OrderTaken(Box::new(taken));
        orders([&act]).pop().unwrap()
    }

    #[test]
    fn an_emergency_alarms_after_six_hours_and_is_breached_after_eight() {
        let order = order(ask("epoc", "DE", Urgency::Emergency).unwrap());
        for (hour, pressure) in [
            (0, Pressure::Running),
            (5, Pressure::Running),
            (6, Pressure::Alarm),
            (7, Pressure::Alarm),
            (8, Pressure::Breach),
        ] {
            assert_eq!(order.pressure(hours(hour)), pressure, "T+{hour} h");
        }
        assert_eq!(order.in_words(hours(6)), "ALARM: 2 h left");
    }

    #[test]
    fn an_ordinary_one_has_ten_days_and_a_preservation_sixty() {
        let epoc = order(ask("epoc", "FR", Urgency::Ordinary).unwrap());
        assert_eq!(epoc.due, hours(240));
        assert_eq!(epoc.pressure(hours(215)), Pressure::Running);
        assert_eq!(epoc.pressure(hours(216)), Pressure::Alarm);
        assert_eq!(
            ask("epoc_pr", "FR", Urgency::Ordinary).unwrap().due,
            hours(60 * 24)
        );
    }

    #[test]
    fn a_danish_order_is_none_and_the_reason_is_given() {
        let error = ask("epoc", "DK", Urgency::Ordinary)
            .unwrap_err()
            .to_string();
        assert!(error.contains("Denmark takes no part"), "{error}");
        for (law, code) in [("epoc", "US"), ("epoc_pr", "DK"), ("epoc", "ZZ")] {
            assert!(matches!(
                ask(law, code, Urgency::Ordinary),
                Err(IntakeError::NotBound { .. })
            ));
        }
        let table = Jurisdictions::built_in().unwrap();
        let early = "2026-08-17T23:00:00Z".parse().unwrap();
        let country = "DE".parse().unwrap();
        assert!(deadline(&table, "epoc", country, Urgency::Ordinary, early, None).is_err());
        assert_eq!(
            ask("national", "DK", Urgency::Ordinary),
            Err(IntakeError::NoDeadline)
        );
    }

    #[test]
    fn steps_end_an_order_or_move_its_deadline() {
        let deadline = ask("epoc", "DE", Urgency::Emergency).unwrap();
        let taken = AuthorityAct::OrderTaken(Box::new(order(deadline).taken));
        let step = |step| AuthorityAct::OrderStep {
            at: hours(1),
            order: "IN-2026-0001".to_owned(),
            by: "operator".to_owned(),
            step,
            note: String::new(),
        };
        let moved = orders([&taken, &step(OrderStep::Moved { due: hours(24) })]);
        assert_eq!(moved[0].pressure(hours(9)), Pressure::Running);
        let done = orders([&taken, &step(OrderStep::Answered)]);
        assert_eq!(done[0].pressure(hours(99)), Pressure::Done);
    }
}
