//! What happened, in the order in which it happened: for the report's picture and for people.

use model::{
    BanSpread, CaseStep, Decision, ExhibitAct, HandoverAct, MilestoneKind, OutcomeKind,
    PersonSignature, ReachedAll, Timestamp,
};

use super::words;
use crate::{Dossier, persons::PersonKey};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MomentKind {
    Attack,
    Alert,
    Ban,
    Exhibit,
    Case,
    Law,
}

impl MomentKind {
    pub const ALL: [Self; 6] = [
        Self::Attack,
        Self::Alert,
        Self::Ban,
        Self::Exhibit,
        Self::Case,
        Self::Law,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Attack => "attack",
            Self::Alert => "alert",
            Self::Ban => "ban",
            Self::Exhibit => "exhibit",
            Self::Case => "case",
            Self::Law => "law",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment {
    pub at: Timestamp,
    pub kind: MomentKind,
    pub text: String,
    /// The ledger entry that says so.
    pub entry: u64,
}

/// All moments of a case, the earliest first.
pub fn timeline(dossier: &Dossier) -> Vec<Moment> {
    let mut moments = Vec::new();
    attacks(dossier, &mut moments);
    bans(dossier, &mut moments);
    for exhibit in &dossier.exhibits {
        for step in &exhibit.custody {
            moments.push(Moment {
                at: step.what.at(),
                kind: MomentKind::Exhibit,
                text: custody_text(&step.what),
                entry: step.index,
            });
        }
    }
    for step in &dossier.case.steps {
        match &step.act.step {
            // What was told anew later stands in its place.
            CaseStep::BanSpread(spread) if dossier.case.spreads.contains(spread) => {
                spread_moments(spread, step.index, &mut moments);
            }
            _ => case_moment(step, &mut moments),
        }
    }
    for act in &dossier.handovers {
        moments.push(Moment {
            at: act.what.at(),
            kind: MomentKind::Law,
            text: handover_text(&act.what),
            entry: act.index,
        });
    }
    moments.sort();
    moments
}

fn attacks(dossier: &Dossier, moments: &mut Vec<Moment>) {
    for alert in &dossier.alerts {
        let (entry, alert) = (alert.index, &alert.what);
        moments.push(Moment {
            at: alert.first,
            kind: MomentKind::Attack,
            text: format!("first event that counted: {} {}", alert.scope, alert.value),
            entry,
        });
        moments.push(Moment {
            at: alert.last,
            kind: MomentKind::Alert,
            text: format!("{}: {} {}", alert.rule, alert.scope, alert.value),
            entry,
        });
    }
}

fn bans(dossier: &Dossier, moments: &mut Vec<Moment>) {
    for ban in &dossier.bans {
        moments.push(Moment {
            at: ban.what.from,
            kind: MomentKind::Ban,
            text: format!(
                "{} banned until {}{}",
                ban.what.prefix,
                words::seconds_utc(ban.what.until),
                in_kernel(&ban.what),
            ),
            entry: ban.index,
        });
    }
    for release in &dossier.releases {
        moments.push(Moment {
            at: release.what.at,
            kind: MomentKind::Ban,
            text: format!("ban of {} lifted", release.what.prefix),
            entry: release.index,
        });
    }
}

fn in_kernel(ban: &Decision) -> String {
    match ban.in_kernel.filter(|at| *at >= ban.from) {
        Some(at) => {
            let seconds = at.since(ban.from).as_secs_f64();
            format!("; in the packet filter {seconds:.3} s later")
        }
        None => String::new(),
    }
}

/// By the hub's clock and ledger.
fn spread_moments(spread: &BanSpread, entry: u64, moments: &mut Vec<Moment>) {
    let mut add = |at, text| {
        moments.push(Moment {
            at,
            kind: MomentKind::Ban,
            text,
            entry,
        });
    };
    let (prefix, community, hub) = (spread.prefix, &spread.community, &spread.hub);
    add(
        spread.accepted,
        format!("{prefix} banned by the community {community} (hub of {hub})"),
    );
    if let Some(reached) = spread.reached {
        let text = format!("ban of {prefix} in force at {}", reached_text(reached));
        add(reached.at, text);
    }
}

/// At how many members, and how many not.
pub fn reached_text(reached: ReachedAll) -> String {
    let enforcing = reached.connected - reached.behind.min(reached.connected);
    let mut text = match reached.behind {
        0 => format!("all {enforcing} connected member(s)"),
        _ => format!("{enforcing} of {} connected member(s)", reached.connected),
    };
    if reached.away > 0 {
        text.push_str(&format!("; {} away", reached.away));
    }
    if reached.observing > 0 {
        text.push_str(&format!("; {} only observing", reached.observing));
    }
    text
}

/// One step of custody in a sentence.
pub fn custody_text(act: &ExhibitAct) -> String {
    match act {
        ExhibitAct::Acquired(a) => {
            format!(
                "{} taken in by {} ({}): {}",
                a.exhibit, a.by, a.method, a.title
            )
        }
        ExhibitAct::Looked {
            exhibit,
            by,
            how,
            reason,
            ..
        } => format!("{exhibit}: bytes given to {by} ({how}): {reason}"),
        ExhibitAct::Held {
            exhibit, by, hold, ..
        } => format!("{exhibit}: legal hold {hold} placed by {by}"),
        ExhibitAct::Asked {
            exhibit,
            by,
            reason,
            signed,
            ..
        } => {
            let key = key_text(signed.as_ref());
            format!("{exhibit}: {by} asks for release or destruction{key}: {reason}")
        }
        ExhibitAct::Agreed {
            exhibit,
            by,
            signed,
            ..
        } => {
            let key = key_text(signed.as_ref());
            format!("{exhibit}: {by} agrees, as the second person{key}")
        }
        ExhibitAct::Declined {
            exhibit,
            by,
            signed,
            ..
        } => format!("{exhibit}: {by} declines{}", key_text(signed.as_ref())),
        ExhibitAct::Purged { exhibit, cause, .. } => {
            format!("{exhibit}: bytes destroyed ({cause}); the hashes stay")
        }
        ExhibitAct::FixityChecked {
            exhibit,
            intact: true,
            ..
        } => format!("{exhibit}: read again, unchanged"),
        ExhibitAct::FixityChecked { exhibit, found, .. } => {
            format!("{exhibit}: read again, NOT as it was: {found}")
        }
    }
}

/// By which key, as its fingerprint; custody.json has the key and the signature.
fn key_text(signed: Option<&PersonSignature>) -> String {
    let Some(signed) = signed else {
        return " (unsigned)".to_owned();
    };
    match PersonKey::parse(&signed.key) {
        Ok(key) => format!(" (key {})", key.fingerprint()),
        Err(_) => " (no key of a person)".to_owned(),
    }
}

fn case_moment(step: &crate::Step, moments: &mut Vec<Moment>) {
    use MomentKind::{Ban, Case, Law};
    let act = &step.act;
    let (at, kind, text) = match &act.step {
        CaseStep::Opened { title, .. } => (
            act.at,
            Case,
            format!("{} opened by {}: {title}", act.case, act.by),
        ),
        CaseStep::MeasureTaken {
            when, what, effect, ..
        } => (*when, Ban, format!("{what} ({effect})")),
        CaseStep::Milestone(milestone) => (
            milestone.when,
            Law,
            format!("{} ({})", milestone_text(milestone.kind), milestone.source),
        ),
        CaseStep::Referred {
            referral,
            country,
            authority,
            ..
        } => (
            act.at,
            Law,
            format!("{referral}: referred to {authority} ({country})"),
        ),
        CaseStep::OutcomeRecorded(outcome) => (
            outcome.when,
            Law,
            format!(
                "{}: {} ({})",
                outcome_text(outcome.kind),
                outcome.count,
                outcome.source
            ),
        ),
        CaseStep::Packed { manifest, .. } => (
            act.at,
            Case,
            format!("court pack {manifest} made by {}", act.by),
        ),
        CaseStep::Closed { reason } => (act.at, Case, format!("{} closed: {reason}", act.case)),
        CaseStep::Reopened { reason } => {
            (act.at, Case, format!("{} opened again: {reason}", act.case))
        }
        _ => return,
    };
    moments.push(Moment {
        at,
        kind,
        text,
        entry: step.index,
    });
}

fn handover_text(act: &HandoverAct) -> String {
    match act {
        HandoverAct::Offered { handover, to, .. } => format!("{handover}: offered to {to}"),
        HandoverAct::Received { handover, by, .. } => format!("{handover}: received by {by}"),
        HandoverAct::Declined { handover, by, .. } => format!("{handover}: declined by {by}"),
        HandoverAct::Looked { handover, by, .. } => format!("{handover}: looked at by {by}"),
        HandoverAct::MoreAsked { handover, by, .. } => {
            format!("{handover}: {by} asks for more")
        }
        HandoverAct::Answered { handover, by, .. } => format!("{handover}: answered by {by}"),
        HandoverAct::OutcomeReported { handover, by, .. } => {
            format!("{handover}: {by} reports an outcome")
        }
    }
}

/// The milestone's name in plain words.
pub const fn milestone_text(kind: MilestoneKind) -> &'static str {
    match kind {
        MilestoneKind::Referred => "referred to an authority",
        MilestoneKind::Received => "receipt confirmed",
        MilestoneKind::PreservationAsked => "preservation of data asked for",
        MilestoneKind::PreservationConfirmed => "preservation of data confirmed",
        MilestoneKind::OrderIssued => "order issued",
        MilestoneKind::TakenDown => "taken down",
        MilestoneKind::Arrest => "arrest",
        MilestoneKind::Other => "other step",
    }
}

pub const fn outcome_text(kind: OutcomeKind) -> &'static str {
    match kind {
        OutcomeKind::Arrests => "arrests",
        OutcomeKind::Charges => "charges",
        OutcomeKind::Convictions => "convictions",
        OutcomeKind::Seizures => "seizures",
        OutcomeKind::ServersTakenDown => "servers taken down",
        OutcomeKind::HostsCleaned => "hosts cleaned",
        OutcomeKind::MoneyRecovered => "money recovered",
        OutcomeKind::NoAction => "no action",
        OutcomeKind::Other => "other outcome",
    }
}

/// The timeline for spreadsheets.
pub(super) fn csv(dossier: &Dossier) -> String {
    let mut out = String::from("time_utc,kind,what,ledger_entry\r\n");
    for moment in timeline(dossier) {
        out.push_str(&format!(
            "{},{},{},{}\r\n",
            moment.at,
            moment.kind.name(),
            field(&moment.text),
            moment.entry
        ));
    }
    out
}

/// RFC 4180; what a spreadsheet would take for a formula is made a text.
fn field(text: &str) -> String {
    let line = words::one_line(text, 1_000);
    let guard = if line.starts_with(['=', '+', '-', '@']) {
        "'"
    } else {
        ""
    };
    format!("\"{guard}{}\"", line.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_texts_to_a_spreadsheet() {
        assert_eq!(field("a \"b\"\n"), "\"a \"\"b\"\"\"");
        assert_eq!(field("=1+1"), "\"'=1+1\"");
    }
}
