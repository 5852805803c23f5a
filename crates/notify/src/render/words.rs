//! A message in plain words: the body of a mail, and the source of all shorter forms.

use std::fmt::Write as _;

use jiff::tz::TimeZone;
use model::{Prefix, Timestamp};

use crate::{
    calendar::local,
    message::{Attack, Incident, Kind, Message, Outcome, What},
    text::{counted, cut, spoken},
};

const SUBJECT_CHARS_MAX: usize = 160;
const BANS_LISTED: usize = 100;
const TOP: usize = 10;

/// One line: how grave, what, and what was done.
pub(crate) fn subject(message: &Message) -> String {
    let text = format!("[posse {}] {}", message.host, headline(message));
    crate::text::harmless(&text, SUBJECT_CHARS_MAX)
}

/// The subject without the machine's name.
pub(crate) fn headline(message: &Message) -> String {
    let severity = message.severity.word();
    match message.kind {
        Kind::Digest => format!(
            "daily digest: {}, {}",
            counted(message.alerts, "alert", "alerts"),
            counted(message.bans, "ban", "bans")
        ),
        Kind::Test => "test: this channel works".to_owned(),
        Kind::Escalation => format!("NOT ACKNOWLEDGED, {severity}: {}", gist(message)),
        Kind::News => format!("{severity}: {}", gist(message)),
    }
}

fn gist(message: &Message) -> String {
    if let Some(incident) = message.single() {
        return match &incident.what {
            What::Alert(attack) => {
                format!(
                    "{}: {}, {}",
                    attack.rule,
                    attack.source,
                    brief(&incident.outcomes)
                )
            }
            What::Ban { reason, .. } => format!("{}: {reason}", brief(&incident.outcomes)),
            What::Notice { code, text } => format!("{code}: {text}"),
            What::Release { by } => format!("{} by {by}", brief(&incident.outcomes)),
        };
    }
    let mut parts = Vec::new();
    if message.alerts > 0 {
        let sources = message.sources.spoken("source", "sources");
        parts.push(format!(
            "{} from {sources} in {}",
            counted(message.alerts, "alert", "alerts"),
            spoken(message.last.since(message.first))
        ));
    }
    if message.bans > 0 {
        parts.push(counted(message.bans, "ban", "bans"));
    }
    if message.refusals > 0 {
        parts.push(counted(message.refusals, "ban refused", "bans refused"));
    }
    if message.notices > 0 {
        parts.push(counted(message.notices, "notice", "notices"));
    }
    if message.releases > 0 {
        parts.push(counted(message.releases, "ban lifted", "bans lifted"));
    }
    parts.join(", ")
}

fn brief(outcomes: &[Outcome]) -> String {
    let parts: Vec<String> = outcomes
        .iter()
        .map(|outcome| match outcome {
            Outcome::Banned {
                prefix,
                from,
                until,
                in_kernel,
                ..
            } => {
                let length = spoken(until.since(*from));
                let place = if in_kernel.is_some() {
                    ""
                } else {
                    " (observed only)"
                };
                format!("{prefix} banned for {length}{place}")
            }
            Outcome::Refused { .. } => "NOT banned".to_owned(),
            Outcome::Released { prefix } => format!("{prefix} released"),
        })
        .collect();
    if parts.is_empty() {
        return "no new ban".to_owned();
    }
    parts.join(", ")
}

/// The whole message.
pub(crate) fn body(message: &Message, zone: &TimeZone) -> String {
    let mut out = String::new();
    if let Some(text) = &message.text {
        out.push_str(text);
        return out;
    }
    if message.kind == Kind::Escalation {
        out.push_str("Nobody has acknowledged this in time.\n\n");
    }
    match message.single() {
        Some(incident) => one(&mut out, message, incident, zone),
        None => many(&mut out, message, zone),
    }
    out
}

fn row(out: &mut String, name: &str, text: &str) {
    writeln!(out, "{name:<15} {text}").ok();
}

fn one(out: &mut String, message: &Message, incident: &Incident, zone: &TimeZone) {
    row(out, "Machine", &message.host);
    row(out, "Severity", incident.severity.word());
    told(out, incident, zone);
    row(
        out,
        "Acknowledge",
        &format!("posse alerts ack {}", short_id(incident)),
    );
    if let What::Alert(attack) = &incident.what {
        lines(out, attack);
    }
}

/// Enough of the id to name it.
pub(crate) fn short_id(incident: &Incident) -> String {
    cut(&incident.id.to_string(), 12).to_owned()
}

fn told(out: &mut String, incident: &Incident, zone: &TimeZone) {
    match &incident.what {
        What::Alert(attack) => {
            row(out, "What happened", &attack.message);
            row(out, "Rule", &attack.rule);
            row(
                out,
                "Source",
                &format!("{} {}", attack.scope, attack.source),
            );
            row(
                out,
                "Since",
                &format!(
                    "{}, last {}, {}",
                    local(attack.first, zone),
                    local(attack.last, zone),
                    counted(attack.events, "event", "events")
                ),
            );
            if incident.outcomes.is_empty() {
                let why = attack.no_measure.as_deref();
                row(
                    out,
                    "What was done",
                    why.unwrap_or("no new ban: a ban in force covers the source already"),
                );
            }
        }
        What::Ban { reason, by } => {
            row(out, "What happened", &format!("a ban by {by}: {reason}"));
        }
        What::Notice { text, code } => {
            row(out, "What happened", text);
            row(out, "Notice", code);
            row(out, "When", &local(incident.seen, zone));
        }
        What::Release { by } => row(out, "What happened", &format!("a ban was lifted by {by}")),
    }
    for outcome in &incident.outcomes {
        done(out, outcome, zone);
    }
}

fn done(out: &mut String, outcome: &Outcome, zone: &TimeZone) {
    match outcome {
        Outcome::Banned {
            prefix,
            from,
            until,
            in_kernel,
            repeat,
        } => {
            let mut text = format!(
                "banned {prefix} for {}, until {}",
                spoken(until.since(*from)),
                local(*until, zone)
            );
            match in_kernel {
                Some(at) => write!(text, "; in the kernel since {}", local(*at, zone)),
                None => write!(text, "; OBSERVED ONLY, nothing is blocked"),
            }
            .ok();
            if *repeat > 0 {
                write!(
                    text,
                    "; banned {} before",
                    counted(u64::from(*repeat), "time", "times")
                )
                .ok();
            }
            row(out, "What was done", &text);
            row(out, "Undo", &undo(prefix));
        }
        Outcome::Refused { prefix, why } => {
            let who = prefix.map_or_else(|| "the source".to_owned(), |p| p.to_string());
            row(out, "What was done", &format!("NOT banned: {who} is {why}"));
        }
        Outcome::Released { prefix } => row(out, "What was done", &format!("released {prefix}")),
    }
}

/// The command that lifts the ban.
pub(crate) fn undo(prefix: &Prefix) -> String {
    format!("posse unban {prefix}")
}

fn lines(out: &mut String, attack: &Attack) {
    if attack.lines.is_empty() {
        return;
    }
    out.push_str("\nThe lines that decided it:\n");
    for line in &attack.lines {
        writeln!(out, "  | {line}").ok();
    }
}

fn many(out: &mut String, message: &Message, zone: &TimeZone) {
    row(out, "Machine", &message.host);
    row(out, "Severity", message.severity.word());
    row(out, "What happened", &gist(message));
    row(
        out,
        "Since",
        &format!(
            "{}, last {}",
            local(message.first, zone),
            local(message.last, zone)
        ),
    );
    row(out, "Acknowledge", "posse alerts ack --all");
    for (title, tally) in [("By rule", &message.rules), ("By source", &message.sources)] {
        if tally.is_empty() {
            continue;
        }
        writeln!(out, "\n{title}").ok();
        for (name, n) in tally.top(TOP) {
            writeln!(out, "{n:>8}  {name}").ok();
        }
        let (names, _) = tally.names();
        if names > TOP as u64 {
            writeln!(out, "          and {} more", names - TOP as u64).ok();
        }
    }
    bans(out, message);
    if !message.incidents.is_empty() {
        out.push_str("\nIn full (all of them: posse alerts --lines)\n");
    }
    for incident in &message.incidents {
        out.push('\n');
        told(out, incident, zone);
        if let What::Alert(attack) = &incident.what {
            lines(out, attack);
        }
    }
}

fn bans(out: &mut String, message: &Message) {
    if message.bans == 0 {
        return;
    }
    writeln!(
        out,
        "\nBanned: {}. Undo one with posse unban ADDRESS",
        message.bans
    )
    .ok();
    let listed = message.banned.iter().take(BANS_LISTED);
    let names: Vec<String> = listed.map(ToString::to_string).collect();
    for row in names.chunks(4) {
        writeln!(out, "  {}", row.join("  ")).ok();
    }
    let more = message.bans.saturating_sub(names.len() as u64);
    if more > 0 {
        writeln!(out, "  and {more} more: posse bans").ok();
    }
}

/// The facts of a message as name and value, for forms with fields.
pub(crate) fn facts(message: &Message, zone: &TimeZone) -> Vec<(&'static str, String)> {
    let mut facts = vec![
        ("Machine", message.host.clone()),
        ("Severity", message.severity.word().to_owned()),
        ("Since", local(message.first, zone)),
    ];
    let Some(incident) = message.single() else {
        let rules: Vec<String> = tops(&message.rules.top(3));
        if !rules.is_empty() {
            facts.push(("Rules", rules.join(", ")));
        }
        let sources: Vec<String> = tops(&message.sources.top(5));
        if !sources.is_empty() {
            facts.push(("Sources", sources.join(", ")));
        }
        if message.bans > 0 {
            facts.push(("Bans", format!("{} (posse bans)", message.bans)));
            facts.push(("Undo", "posse unban ADDRESS".to_owned()));
        }
        return facts;
    };
    if let What::Alert(attack) = &incident.what {
        facts.push(("Source", attack.source.clone()));
        facts.push(("Rule", attack.rule.clone()));
        facts.push(("Events", attack.events.to_string()));
    }
    facts.push(("Done", brief(&incident.outcomes)));
    for outcome in &incident.outcomes {
        match outcome {
            Outcome::Banned { prefix, .. } => facts.push(("Undo", undo(prefix))),
            Outcome::Refused { why, .. } => facts.push(("Not banned", format!("it is {why}"))),
            Outcome::Released { .. } => {}
        }
    }
    facts.push((
        "Acknowledge",
        format!("posse alerts ack {}", short_id(incident)),
    ));
    facts
}

fn tops(top: &[(&str, u64)]) -> Vec<String> {
    top.iter()
        .map(|(name, n)| format!("{name} ({n})"))
        .collect()
}

/// The deciding lines of the incidents told in full, at most `bytes_max` bytes of them.
pub(crate) fn evidence(message: &Message, bytes_max: usize) -> String {
    let mut out = String::new();
    for incident in &message.incidents {
        let What::Alert(attack) = &incident.what else {
            continue;
        };
        for line in &attack.lines {
            if out.len() + line.len() + 1 > bytes_max {
                return out;
            }
            out.push_str(line);
            out.push('\n');
        }
    }
    out
}

/// When the message happened, for forms with one time.
pub(crate) const fn when(message: &Message) -> Timestamp {
    message.last
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{samples, severity::Severity};

    #[test]
    fn one_alert_says_all_that_is_needed() {
        let message = Message::of(Kind::News, "web1", samples::banned(9));
        let subject = subject(&message);
        assert_eq!(
            subject,
            "[posse web1] medium: posse/ssh-bf: 198.18.0.9, 198.18.0.9 banned for 4h"
        );
        let body = body(&message, &TimeZone::UTC);
        for part in [
            "What happened   posse/ssh-bf: 6 failed logins from 198.18.0.9",
            "Source          Ip 198.18.0.9",
            "What was done   banned 198.18.0.9 for 4h, until 1970-01-01 04:00:10 +00:00",
            "Undo            posse unban 198.18.0.9\n",
            "  | sshd[7]: Failed password for root from 198.18.0.9",
        ] {
            assert!(body.contains(part), "{part} is not in\n{body}");
        }
    }

    #[test]
    fn a_flood_says_how_many_and_lists_the_bans() {
        let mut message = Message::of(Kind::News, "web1", samples::banned(0));
        for n in 1..500 {
            message.absorb(Message::of(Kind::News, "web1", samples::banned(n)));
        }
        assert!(subject(&message).contains("500 alerts from 500 sources in 8m19s, 500 bans"));
        let body = body(&message, &TimeZone::UTC);
        assert!(body.contains("     500  posse/ssh-bf"), "{body}");
        assert!(body.contains("and 400 more: posse bans"), "{body}");
        assert!(body.len() < 20_000);
    }

    #[test]
    fn a_hostile_line_begins_no_header_and_no_row() {
        let mut alert = samples::alert("203.0.113.9", 1);
        alert.message = "x\r\nBcc: victim@example.net\nUndo            posse unban --all".into();
        alert.rule = "a\nb".into();
        alert.value = "203.0.113.9\u{2028}x\r".into();
        let incident = Incident::of_alert(&alert, alert.last);
        let message = Message::of(Kind::News, "web1\n", incident);
        assert!(!subject(&message).contains(['\r', '\n']));
        let body = body(&message, &TimeZone::UTC);
        assert!(
            !body
                .lines()
                .any(|l| l.starts_with("Bcc") || l.starts_with("Undo")),
            "{body}"
        );
    }

    #[test]
    fn a_refusal_says_why() {
        let mut incident = samples::banned(3);
        incident.severity = Severity::High;
        incident.outcomes = vec![Outcome::Refused {
            prefix: Some("198.18.0.3".parse().unwrap()),
            why: "this machine's default gateway".into(),
        }];
        let message = Message::of(Kind::News, "web1", incident);
        let body = body(&message, &TimeZone::UTC);
        assert!(body.contains("NOT banned: 198.18.0.3 is this machine's default gateway"));
        assert!(subject(&message).ends_with("NOT banned"));
    }
}
