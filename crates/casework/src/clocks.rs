//! A case's two clocks side by side, time to first aid and time to law, and what lapses when.
//!
//! Everything is taken from the dossier: what no entry tells is not reckoned but left open.

use std::time::Duration;

use model::{BanSpread, ExhibitAct, HandoverAct, Milestone, MilestoneKind, ReachedAll, Timestamp};

use crate::{CustodyStep, Dossier, ExhibitRecord, jurisdiction::Jurisdictions};

const DAY: Duration = Duration::from_secs(86_400);
/// Left of a deadline when it is told of, the first time and then again.
pub const WARNINGS: [Duration; 3] = [
    DAY.saturating_mul(14),
    DAY.saturating_mul(7),
    DAY.saturating_mul(2),
];

/// From the first hostile event to the ban at every member.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FirstAid {
    pub first_hostile: Option<Timestamp>,
    pub alert: Option<Timestamp>,
    /// When the first ban that followed was decided here.
    pub decided: Option<Timestamp>,
    /// When this machine's kernel said that it has that ban.
    pub ban: Option<Timestamp>,
    /// How far communities' bans have come, the one that was everywhere first at the head.
    pub spreads: Vec<BanSpread>,
}

impl FirstAid {
    pub fn to_alert(&self) -> Option<Duration> {
        self.until(self.alert)
    }

    pub fn to_decision(&self) -> Option<Duration> {
        self.until(self.decided)
    }

    pub fn to_ban(&self) -> Option<Duration> {
        self.until(self.ban)
    }

    /// The first moment at which all connected members of a community had a ban of the case.
    pub fn everywhere(&self) -> Option<ReachedAll> {
        let all = self.spreads.iter().filter_map(|spread| spread.reached);
        all.filter(|reached| reached.behind == 0)
            .min_by_key(|reached| reached.at)
    }

    pub fn to_everywhere(&self) -> Option<Duration> {
        self.until(self.everywhere().map(|reached| reached.at))
    }

    /// What comes before the beginning was told by another clock: then nothing can be said.
    fn until(&self, end: Option<Timestamp>) -> Option<Duration> {
        let (first, end) = (self.first_hostile?, end?);
        (end >= first).then(|| end.since(first))
    }
}

/// A step on the way to law, with who says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LawStep {
    pub kind: MilestoneKind,
    pub when: Timestamp,
    pub about: String,
    pub source: String,
}

/// Something that lapses or is waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deadline {
    pub what: String,
    /// The referral, request, exhibit or task that it is about.
    pub about: String,
    /// The instrument that sets it, when one does.
    pub instrument: String,
    pub since: Timestamp,
    /// `None`: nothing sets an end; it is only waited for.
    pub due: Option<Timestamp>,
    /// What is lost when it lapses.
    pub at_risk: String,
}

impl Deadline {
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.due.is_some_and(|due| due <= now)
    }

    /// The smallest of [`WARNINGS`] that has come, while it is not over.
    pub fn warning(&self, now: Timestamp) -> Option<Duration> {
        let left = self.due.filter(|due| *due > now)?.since(now);
        WARNINGS.into_iter().filter(|mark| left <= *mark).min()
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Clocks {
    pub first_aid: FirstAid,
    /// In time.
    pub law: Vec<LawStep>,
    /// Those with an end first, the next one at the head; met ones are left out.
    pub deadlines: Vec<Deadline>,
}

impl Clocks {
    /// From the first hostile event to the first step of this kind.
    pub fn to_law(&self, kind: MilestoneKind) -> Option<Duration> {
        let step = self.law.iter().find(|step| step.kind == kind);
        self.first_aid.until(step.map(|step| step.when))
    }
}

/// The middle one of those that are known, the lower one of two, with how many there are.
pub fn median(spans: impl Iterator<Item = Option<Duration>>) -> Option<(Duration, usize)> {
    let mut known: Vec<Duration> = spans.flatten().collect();
    known.sort_unstable();
    let middle = known.get(known.len().checked_sub(1)? / 2)?;
    Some((*middle, known.len()))
}

/// The clocks at the dossier's moment; `table` tells the instruments' own deadlines.
pub fn clocks(dossier: &Dossier, table: Option<&Jurisdictions>) -> Clocks {
    let mut deadlines = preservation(dossier, table);
    deadlines.extend(unanswered(dossier));
    deadlines.extend(holds(dossier));
    deadlines.extend(tasks(dossier));
    deadlines.sort_by(|a, b| {
        let key = |d: &Deadline| (d.due.is_none(), d.due, d.since, d.about.clone());
        key(a).cmp(&key(b))
    });
    Clocks {
        first_aid: first_aid(dossier),
        law: law(dossier),
        deadlines,
    }
}

fn first_aid(dossier: &Dossier) -> FirstAid {
    let alerts = || dossier.alerts.iter().map(|alert| &alert.what);
    let first_ban = dossier.bans.iter().map(|ban| &ban.what);
    let first_ban = first_ban.min_by_key(|ban| ban.from);
    let mut spreads = dossier.case.spreads.clone();
    spreads.sort_by_key(|s| {
        let at = s.reached.map(|reached| reached.at);
        (at.is_none(), at, s.accepted, s.prefix)
    });
    FirstAid {
        first_hostile: alerts().map(|alert| alert.first).min(),
        alert: alerts().map(|alert| alert.last).min(),
        decided: first_ban.map(|ban| ban.from),
        ban: first_ban.and_then(|ban| ban.in_kernel),
        spreads,
    }
}

/// Milestones as people told them, and what the ledger itself knows: referrals and hand-overs.
fn law(dossier: &Dossier) -> Vec<LawStep> {
    let case = &dossier.case;
    let told = case.milestones.iter().map(|m| LawStep {
        kind: m.kind,
        when: m.when,
        about: m.about.clone(),
        source: m.source.clone(),
    });
    let referred = case.referrals.iter().map(|r| LawStep {
        kind: MilestoneKind::Referred,
        when: r.at,
        about: r.referral.clone(),
        source: format!("made ready for {}", r.authority),
    });
    let received = dossier.handovers.iter().filter_map(|act| match &act.what {
        HandoverAct::Received {
            at, handover, by, ..
        } => Some(LawStep {
            kind: MilestoneKind::Received,
            when: *at,
            about: handover.clone(),
            source: format!("signed by {by}"),
        }),
        _ => None,
    });
    let mut steps: Vec<LawStep> = told.chain(referred).chain(received).collect();
    steps.sort_by(|a, b| (a.when, a.kind, &a.about).cmp(&(b.when, b.kind, &b.about)));
    steps
}

/// What was asked for and granted, with the ends that the grant or the instrument sets.
fn preservation(dossier: &Dossier, table: Option<&Jurisdictions>) -> Vec<Deadline> {
    let milestones = &dossier.case.milestones;
    let answered = |asked: &Milestone, kinds: &[MilestoneKind]| {
        milestones
            .iter()
            .any(|m| kinds.contains(&m.kind) && m.about == asked.about && m.when >= asked.when)
    };
    let mut all = Vec::new();
    for milestone in milestones {
        let met: &[MilestoneKind] = match milestone.kind {
            MilestoneKind::PreservationAsked => &[
                MilestoneKind::PreservationConfirmed,
                MilestoneKind::OrderIssued,
            ],
            MilestoneKind::PreservationConfirmed => &[MilestoneKind::OrderIssued],
            _ => continue,
        };
        let renewed = milestones.iter().any(|m| {
            m.kind == milestone.kind && m.about == milestone.about && m.when > milestone.when
        });
        if renewed || answered(milestone, met) {
            continue;
        }
        let waits = match milestone.kind {
            MilestoneKind::PreservationAsked => "preservation asked, not confirmed",
            _ => "preservation granted, no order yet",
        };
        let deadline = |due, what: String, at_risk: String| Deadline {
            what,
            about: milestone.about.clone(),
            instrument: milestone.instrument.clone(),
            since: milestone.when,
            due,
            at_risk,
        };
        let known = table.and_then(|t| t.instrument.get(&milestone.instrument));
        let clocks = known.map_or(&[][..], |instrument| &instrument.clock);
        if let Some(lapses) = milestone.lapses {
            let risk = "what was preserved may be deleted";
            all.push(deadline(Some(lapses), waits.to_owned(), risk.to_owned()));
        } else if clocks.is_empty() {
            let risk = "the provider's records go when their usual time is over";
            all.push(deadline(None, waits.to_owned(), risk.to_owned()));
        }
        if milestone.lapses.is_none() {
            all.extend(clocks.iter().map(|clock| {
                deadline(
                    Some(milestone.when.plus(clock.span())),
                    format!("{waits}: {}", clock.name),
                    clock.lapse.clone(),
                )
            }));
        }
    }
    all
}

/// Referrals and offers that nobody has received.
fn unanswered(dossier: &Dossier) -> Vec<Deadline> {
    let answered = |about: &str| {
        let told = dossier.case.milestones.iter();
        let told = told.filter(|m| m.kind != MilestoneKind::Referred);
        let handed = dossier.handovers.iter().filter_map(|act| match &act.what {
            HandoverAct::Offered {
                referral, handover, ..
            } if referral == about => Some(handover.as_str()),
            _ => None,
        });
        let handed: Vec<&str> = handed.collect();
        let received = dossier.handovers.iter().any(|act| match &act.what {
            HandoverAct::Received { handover, .. } | HandoverAct::Declined { handover, .. } => {
                handed.contains(&handover.as_str())
            }
            _ => false,
        });
        received || told.into_iter().any(|m| m.about == about)
    };
    let referrals = dossier.case.referrals.iter();
    referrals
        .filter(|referral| !answered(&referral.referral))
        .map(|referral| Deadline {
            what: format!("referred to {}, not received", referral.authority),
            about: referral.referral.clone(),
            instrument: String::new(),
            since: referral.at,
            due: None,
            at_risk: "nobody may have seen it".to_owned(),
        })
        .collect()
}

fn holds(dossier: &Dossier) -> Vec<Deadline> {
    let mut all = Vec::new();
    for exhibit in &dossier.exhibits {
        let custody = exhibit.sum();
        if custody.purged.is_some() {
            continue;
        }
        for (name, hold) in custody.holds {
            if !hold.in_force(dossier.now) || hold.until.is_none() {
                continue;
            }
            all.push(Deadline {
                what: format!("hold {name} ends"),
                about: exhibit.acquired.what.exhibit.clone(),
                instrument: String::new(),
                since: hold.at,
                due: hold.until,
                at_risk: "the exhibit may be destroyed by policy".to_owned(),
            });
        }
    }
    all
}

fn tasks(dossier: &Dossier) -> Vec<Deadline> {
    let open = dossier.case.tasks.values().filter(|task| !task.done);
    open.filter(|task| task.due.is_some())
        .map(|task| Deadline {
            what: format!("task: {}", task.title),
            about: task.id.clone(),
            instrument: String::new(),
            since: dossier.case.opened,
            due: task.due,
            at_risk: String::new(),
        })
        .collect()
}

/// What a year's cases came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct YearReport {
    pub cases_opened: u64,
    pub cases_closed: u64,
    /// Sums by kind and unit, with how many sources say so.
    pub outcomes: Vec<OutcomeSum>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutcomeSum {
    pub kind: model::OutcomeKind,
    pub unit: String,
    /// Hundredths when there is a unit.
    pub count: u64,
    /// Each with its case.
    pub sources: Vec<(String, String)>,
}

/// Sums up what happened from `from` to before `to`.
pub fn report<'a>(
    cases: impl Iterator<Item = &'a crate::Case>,
    from: Timestamp,
    to: Timestamp,
) -> YearReport {
    let within = |at: Timestamp| from <= at && at < to;
    let mut report = YearReport::default();
    for case in cases {
        report.cases_opened += u64::from(within(case.opened));
        let closed = case.closed.as_ref().is_some_and(|c| within(c.at));
        report.cases_closed += u64::from(closed);
        for outcome in case.outcomes.iter().filter(|o| within(o.when)) {
            let source = (case.id.clone(), outcome.source.clone());
            let same = |sum: &&mut OutcomeSum| sum.kind == outcome.kind && sum.unit == outcome.unit;
            match report.outcomes.iter_mut().find(same) {
                Some(sum) => {
                    sum.count = sum.count.saturating_add(outcome.count);
                    sum.sources.push(source);
                }
                None => report.outcomes.push(OutcomeSum {
                    kind: outcome.kind,
                    unit: outcome.unit.clone(),
                    count: outcome.count,
                    sources: vec![source],
                }),
            }
        }
    }
    report
        .outcomes
        .sort_by(|a, b| (a.kind, &a.unit).cmp(&(b.kind, &b.unit)));
    report
}

/// The exhibits' holds that end soon, for those who are told without being asked.
pub fn ends_of_holds(exhibit: &ExhibitRecord, now: Timestamp) -> Vec<(String, Timestamp)> {
    let is_hold = |step: &CustodyStep| matches!(step.what, ExhibitAct::Held { .. });
    if !exhibit.custody.iter().any(is_hold) {
        return Vec::new();
    }
    let holds = exhibit.sum().holds.into_iter();
    holds
        .filter(|(_, hold)| hold.in_force(now))
        .filter_map(|(name, hold)| Some((name, hold.until?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use model::{CaseAct, CaseStep, Outcome, OutcomeKind, Pap, Tlp};

    use super::*;
    use crate::Case;

    fn day(n: i64) -> Timestamp {
        Timestamp::from_seconds(n * 86_400)
    }

    fn dossier(steps: Vec<CaseStep>, now: i64) -> Dossier {
        let opening = CaseStep::Opened {
            title: "x".to_owned(),
            authority: "contract".to_owned(),
            purpose: "security".to_owned(),
            tlp: Tlp::Amber,
            pap: Pap::Amber,
            grouped_by: None,
        };
        let act = |step| CaseAct {
            at: day(1),
            case: "CASE-2026-0001".to_owned(),
            by: "ada".to_owned(),
            step,
        };
        let mut case = Case::open(0, &act(opening)).unwrap();
        for (index, step) in (1..).zip(steps) {
            case.take(index, &act(step)).unwrap();
        }
        Dossier {
            case,
            now: day(now),
            holder: String::new(),
            alerts: Vec::new(),
            bans: Vec::new(),
            releases: Vec::new(),
            exhibits: Vec::new(),
            handovers: Vec::new(),
        }
    }

    fn spread(reached: Option<i64>, behind: u64) -> BanSpread {
        BanSpread {
            prefix: "203.0.113.9".parse().unwrap(),
            community: "main".to_owned(),
            hub: "hub".to_owned(),
            reported: None,
            accepted: day(3),
            generation: 7,
            entry: 1,
            reached: reached.map(|at| ReachedAll {
                at: day(at),
                connected: 2,
                away: 0,
                behind,
                observing: 0,
                entry: 2,
            }),
        }
    }

    #[test]
    fn first_aid_ends_where_the_kernel_and_the_hub_say_and_is_never_guessed() {
        let ban = |from: i64, in_kernel: Option<i64>| crate::Indexed {
            index: 1,
            what: model::Decision {
                measure: model::Measure::Ban,
                prefix: "203.0.113.9".parse().unwrap(),
                from: day(from),
                until: day(90),
                reason: String::new(),
                origin: model::Origin::Guard,
                alerts: Vec::new(),
                repeat: 0,
                in_kernel: in_kernel.map(day),
            },
        };
        let mut dossier = dossier(vec![CaseStep::BanSpread(spread(None, 0))], 60);
        // The kernel's answer to a later ban says nothing of the first one.
        dossier.bans = vec![ban(4, Some(5)), ban(3, None)];
        let aid = clocks(&dossier, None).first_aid;
        assert_eq!((aid.decided, aid.ban), (Some(day(3)), None));
        assert_eq!((aid.to_ban(), aid.everywhere()), (None, None));
        dossier.bans = vec![ban(3, Some(4))];
        // Not all have it; then, told anew, they have.
        dossier.case.spread(spread(Some(5), 1));
        assert_eq!(clocks(&dossier, None).first_aid.everywhere(), None);
        dossier.case.spread(spread(Some(6), 0));
        let mut aid = clocks(&dossier, None).first_aid;
        assert_eq!((aid.spreads.len(), aid.ban), (1, Some(day(4))));
        aid.first_hostile = Some(day(2));
        assert_eq!(
            (aid.to_ban(), aid.to_everywhere()),
            (Some(DAY * 2), Some(DAY * 4))
        );
        // Another clock's moment from before the beginning measures nothing.
        aid.first_hostile = Some(day(5));
        assert_eq!((aid.to_ban(), aid.to_everywhere()), (None, Some(DAY)));
    }

    #[test]
    fn a_median_counts_only_what_is_known() {
        let spans = [
            Some(DAY * 9),
            None,
            Some(DAY),
            Some(DAY * 2),
            None,
            Some(DAY * 3),
        ];
        assert_eq!(median(spans.into_iter()), Some((DAY * 2, 4)));
        assert_eq!(median(spans.into_iter().take(1)), Some((DAY * 9, 1)));
        assert_eq!(median([None].into_iter()), None);
    }

    #[test]
    fn the_timeline_shows_what_was_told_last() {
        let steps = [spread(Some(5), 1), spread(Some(6), 0)].map(CaseStep::BanSpread);
        let moments = crate::pack::timeline(&dossier(steps.to_vec(), 60));
        let texts: Vec<&str> = moments.iter().map(|m| m.text.as_str()).collect();
        assert_eq!(moments.len(), 3, "{texts:?}");
        assert!(
            texts[2].contains("in force at all 2 connected member(s)"),
            "{texts:?}"
        );
    }

    fn milestone(kind: MilestoneKind, when: i64, lapses: Option<i64>) -> CaseStep {
        CaseStep::Milestone(Milestone {
            kind,
            when: day(when),
            source: "letter".to_owned(),
            about: "provider 1".to_owned(),
            note: String::new(),
            lapses: lapses.map(day),
            instrument: String::new(),
        })
    }

    #[test]
    fn a_preservation_lapses_until_an_order_comes() {
        use MilestoneKind::{OrderIssued, PreservationAsked, PreservationConfirmed};
        let asked = milestone(PreservationAsked, 2, None);
        let sum = clocks(&dossier(vec![asked.clone()], 4), None);
        assert_eq!(sum.deadlines[0].due, None);
        assert!(sum.deadlines[0].what.contains("not confirmed"));
        let granted = milestone(PreservationConfirmed, 5, Some(65));
        let sum = clocks(&dossier(vec![asked.clone(), granted.clone()], 60), None);
        assert_eq!(sum.deadlines.len(), 1);
        assert_eq!(sum.deadlines[0].due, Some(day(65)));
        assert_eq!(sum.deadlines[0].warning(day(60)), Some(DAY * 7));
        assert_eq!(sum.deadlines[0].warning(day(40)), None);
        assert!(sum.deadlines[0].is_over(day(65)));
        let order = milestone(OrderIssued, 30, None);
        let sum = clocks(&dossier(vec![asked, granted, order], 60), None);
        assert_eq!(sum.deadlines, []);
        assert_eq!(sum.law.len(), 3);
    }

    #[test]
    fn a_renewed_preservation_lapses_at_the_later_time() {
        use MilestoneKind::PreservationConfirmed;
        let first = milestone(PreservationConfirmed, 5, Some(65));
        let again = milestone(PreservationConfirmed, 60, Some(120));
        let sum = clocks(&dossier(vec![first, again], 61), None);
        assert_eq!(sum.deadlines.len(), 1);
        assert_eq!(sum.deadlines[0].due, Some(day(120)));
    }

    #[test]
    fn a_year_sums_up_what_sources_say() {
        let outcome = |kind, count, when| {
            CaseStep::OutcomeRecorded(Outcome {
                kind,
                when: day(when),
                count,
                unit: String::new(),
                source: "press".to_owned(),
                note: String::new(),
            })
        };
        let one = dossier(
            vec![
                outcome(OutcomeKind::Arrests, 2, 10),
                outcome(OutcomeKind::Arrests, 1, 20),
                outcome(OutcomeKind::Arrests, 5, 400),
                outcome(OutcomeKind::HostsCleaned, 7, 30),
            ],
            500,
        );
        let sum = report([one.case].iter(), day(0), day(365));
        assert_eq!((sum.cases_opened, sum.cases_closed), (1, 0));
        assert_eq!(sum.outcomes.len(), 2);
        assert_eq!(sum.outcomes[0].count, 3);
        assert_eq!(sum.outcomes[0].sources.len(), 2);
    }
}
