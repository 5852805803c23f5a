//! The chapters: what is said, in which order.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use casework::{
    Dossier,
    clocks::FirstAid,
    pack::{milestone_text, money, outcome_text, reached_text, seconds_utc, timeline},
};
use model::{Alert, PartyRole, Prefix, Timestamp};

use crate::{
    LedgerFacts, ROWS_MAX, exhibits, glossary,
    page::{ACCENT, INNER, MARGIN, Paper},
    picture,
    table::{code, column, table},
    typeface::Face,
};

pub(crate) fn write(dossier: &Dossier, ledger: &LedgerFacts, paper: &mut Paper<'_>) {
    cover(dossier, paper);
    summary(dossier, ledger, paper);
    happenings(dossier, paper);
    sources(dossier, paper);
    parties(dossier, paper);
    losses(dossier, paper);
    measures(dossier, paper);
    clocks(dossier, paper);
    exhibits::list(dossier, paper);
    exhibits::custody(dossier, paper);
    how_to_verify(ledger, paper);
    glossary::write(paper);
}

fn cover(dossier: &Dossier, paper: &mut Paper<'_>) {
    let case = &dossier.case;
    paper.colored(
        (MARGIN, paper.y + 10.0),
        Face::Bold,
        9.0,
        ACCENT,
        "CASE REPORT",
    );
    paper.space(20.0);
    for line in paper.faces.wrap(Face::Bold, 20.0, INNER, &case.title) {
        paper.text((MARGIN, paper.y + 20.0), Face::Bold, 20.0, &line);
        paper.space(25.0);
    }
    paper.space(8.0);
    paper.fact("Case", &case.id);
    paper.fact("Held by", &dossier.holder);
    paper.fact("As it stood at", &seconds_utc(dossier.now));
    paper.fact(
        "Opened",
        &format!("{} by {}", seconds_utc(case.opened), case.opened_by),
    );
    match &case.closed {
        Some(closing) => paper.fact(
            "Closed",
            &format!("{}: {}", seconds_utc(closing.at), closing.reason),
        ),
        None => paper.fact("Closed", "no, the case is open"),
    }
    paper.fact("On the authority of", &case.authority);
    paper.fact("Collected for", &case.purpose);
    if let Some(rule) = &case.grouped_by {
        paper.fact("Grouped by", rule);
    }
    let tlp = case.tlp.name().to_uppercase();
    let pap = format!("{:?}", case.pap).to_uppercase();
    paper.fact(
        "Handling",
        &format!("TLP:{tlp}, PAP:{pap} (see the glossary)"),
    );
    paper.space(6.0);
}

fn summary(dossier: &Dossier, ledger: &LedgerFacts, paper: &mut Paper<'_>) {
    paper.chapter("Summary");
    paper.paragraph(&what_happened(dossier));
    let victims = names(dossier, PartyRole::Victim);
    if victims.is_empty() {
        paper.paragraph("No victim has been named in this case so far.");
    } else {
        paper.paragraph(&format!("Harmed or targeted: {}.", victims.join(", ")));
    }
    paper.paragraph(&what_was_done(dossier));
    let total = totals(dossier);
    if !total.is_empty() {
        paper.paragraph(&format!("Losses stated so far: {}.", total.join("; ")));
    }
    let held = dossier.exhibits.iter().filter(|e| !e.purged).count();
    paper.paragraph(&format!(
        "{held} exhibit(s) are held and part of this pack. Each of the {} statements behind this \
         report is an entry on the ledger {}; the pack proves that none of them was changed since \
         it was written{}.",
        casework::pack::wanted_entries(dossier).len(),
        ledger.origin,
        if ledger.witnesses.is_empty() {
            ". No outside witness signed the ledger's state, so this rests on the holder's key alone"
        } else {
            ", which outside witnesses confirm by their signatures"
        }
    ));
    paper.note(
        "An address is not a person. Who sat behind a source address at the given second can only \
         be told by whoever assigned the address. All times are in UTC, to the second.",
    );
}

fn what_happened(dossier: &Dossier) -> String {
    let alerts = || dossier.alerts.iter().map(|a| &a.what);
    let (Some(first), Some(last)) = (
        alerts().map(|a| a.first).min(),
        alerts().map(|a| a.last).max(),
    ) else {
        return "No alert is part of this case; see the timeline for what was recorded.".to_owned();
    };
    let sources: BTreeSet<&str> = alerts().map(|a| a.value.as_str()).collect();
    let events: u64 = alerts().map(|a| a.events_count).sum();
    let mut by_rule: BTreeMap<&str, usize> = BTreeMap::new();
    for alert in alerts() {
        *by_rule.entry(&alert.rule).or_default() += 1;
    }
    let rules: Vec<String> = by_rule
        .iter()
        .take(6)
        .map(|(rule, count)| format!("{rule} ({count})"))
        .collect();
    format!(
        "Between {} and {}, {events} hostile events from {} source(s) were counted; they led to \
         {} alert(s): {}{}.",
        seconds_utc(first),
        seconds_utc(last),
        sources.len(),
        dossier.alerts.len(),
        rules.join(", "),
        if by_rule.len() > 6 {
            ", and others"
        } else {
            ""
        },
    )
}

fn what_was_done(dossier: &Dossier) -> String {
    let bans = dossier.bans.len();
    if bans == 0 && dossier.case.measures.is_empty() {
        return "No measure against the sources is recorded in this case.".to_owned();
    }
    let prefixes: BTreeSet<Prefix> = dossier.bans.iter().map(|b| b.what.prefix).collect();
    let mut text = format!(
        "{bans} ban(s) of {} source(s) were decided for the machine's own packet filter, and {} \
         further measure(s) were recorded.",
        prefixes.len(),
        dossier.case.measures.len()
    );
    let aid = first_aid(dossier);
    match (aid.to_ban(), aid.to_decision()) {
        (Some(after), _) => text.push_str(&format!(
            " The first ban was in this machine's packet filter {} after the first event that \
             counted.",
            span(after)
        )),
        (None, Some(after)) => text.push_str(&format!(
            " The first ban was decided {} after the first event that counted; when the packet \
             filter had it is not on record.",
            span(after)
        )),
        (None, None) => {}
    }
    if let (Some(after), Some(reached)) = (aid.to_everywhere(), aid.everywhere()) {
        text.push_str(&format!(
            " Through the hub it was in force at {} {} after it.",
            reached_text(reached),
            span(after)
        ));
    }
    text
}

/// The same clock as everywhere else.
fn first_aid(dossier: &Dossier) -> FirstAid {
    casework::clocks::clocks(dossier, None).first_aid
}

/// The two largest parts of a span: days and hours, minutes and seconds.
fn span(span: Duration) -> String {
    let seconds = span.as_secs();
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) if seconds < 10 => format!("{:.3} s", span.as_secs_f64()),
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, minutes) => format!("{minutes} min {} s", seconds % 60),
        (0, hours, minutes) => format!("{hours} h {minutes} min"),
        (days, hours, _) => format!("{days} d {hours} h"),
    }
}

fn names(dossier: &Dossier, role: PartyRole) -> Vec<String> {
    let parties = dossier.case.parties.values();
    parties
        .filter(|p| p.role == role)
        .map(|p| p.name.clone())
        .collect()
}

/// Low and high sums by unit.
fn totals(dossier: &Dossier) -> Vec<String> {
    let mut sums: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for loss in &dossier.case.losses {
        let (low, high) = sums.entry(&loss.unit).or_default();
        *low = low.saturating_add(loss.low);
        *high = high.saturating_add(loss.high);
    }
    let text = |(unit, (low, high)): (&&str, &(u64, u64))| range(*low, *high, unit);
    sums.iter().map(text).collect()
}

fn range(low: u64, high: u64, unit: &str) -> String {
    if low == high {
        money(low, unit)
    } else {
        format!("{} to {}", money(low, unit), money(high, unit))
    }
}

fn happenings(dossier: &Dossier, paper: &mut Paper<'_>) {
    paper.chapter("What happened, in order");
    let moments = timeline(dossier);
    picture::draw(paper, &moments);
    let rows: Vec<Vec<String>> = moments
        .iter()
        .take(ROWS_MAX)
        .map(|m| {
            vec![
                seconds_utc(m.at).trim_end_matches(" UTC").to_owned(),
                m.kind.name().to_owned(),
                m.text.clone(),
                m.entry.to_string(),
            ]
        })
        .collect();
    table(
        paper,
        &[
            column("TIME (UTC)", 19.0),
            column("KIND", 9.0),
            column("WHAT", 63.0),
            column("ENTRY", 9.0),
        ],
        &rows,
    );
    cut_note(paper, moments.len(), "data/timeline.csv");
    paper.note(
        "The last column is the number of the ledger entry that says so; its proof is in \
         proofs/NUMBER.tlog-proof and its words in proofs/NUMBER.json.",
    );
}

fn cut_note(paper: &mut Paper<'_>, rows: usize, file: &str) {
    if rows > ROWS_MAX {
        paper.note(&format!(
            "The first {ROWS_MAX} of {rows}; all of them are in {file}."
        ));
    }
}

/// What is known of one source, over all its alerts.
struct Source<'a> {
    alerts: Vec<&'a Alert>,
    banned: Option<Timestamp>,
}

fn sources(dossier: &Dossier, paper: &mut Paper<'_>) {
    paper.chapter("Sources");
    let mut sources: BTreeMap<(String, &str), Source<'_>> = BTreeMap::new();
    for alert in dossier.alerts.iter().map(|a| &a.what) {
        let covers = |p: Prefix| alert.address.is_some_and(|a| p.contains(a));
        let banned = dossier.bans.iter().filter(|b| covers(b.what.prefix));
        let banned = banned.map(|b| b.what.until).max();
        sources
            .entry((alert.scope.to_string(), alert.value.as_str()))
            .or_insert_with(|| Source {
                alerts: vec![],
                banned,
            })
            .alerts
            .push(alert);
    }
    if sources.is_empty() {
        paper.paragraph("No alert names a source.");
        return;
    }
    let count = sources.len();
    let rows: Vec<Vec<String>> = sources
        .into_iter()
        .take(ROWS_MAX)
        .map(|((scope, value), source)| source_row(&scope, value, &source))
        .collect();
    table(
        paper,
        &[
            code("SOURCE", 19.0),
            column("FIRST EVENT", 20.0),
            column("LAST EVENT", 20.0),
            column("EVENTS", 8.0),
            column("ALERTS BY RULE", 16.0),
            column("BANNED UNTIL", 20.0),
        ],
        &rows,
    );
    cut_note(paper, count, "data/alerts.json");
    paper.note(
        "Where the log gives the source's port, it stands in the log line, in data/exhibits and \
         data/alerts.json. Countries and networks are not given here: ask the registry for the \
         time in question.",
    );
}

fn source_row(scope: &str, value: &str, source: &Source<'_>) -> Vec<String> {
    let plain = |at: Option<Timestamp>| {
        at.map(|at| seconds_utc(at).trim_end_matches(" UTC").to_owned())
            .unwrap_or_default()
    };
    let alerts = || source.alerts.iter();
    let mut rules: BTreeMap<&str, usize> = BTreeMap::new();
    for alert in alerts() {
        *rules.entry(&alert.rule).or_default() += 1;
    }
    let rules: Vec<String> = rules.iter().map(|(r, n)| format!("{r} ({n})")).collect();
    let name = if scope.eq_ignore_ascii_case("ip") {
        value.to_owned()
    } else {
        format!("{scope} {value}")
    };
    let banned = plain(source.banned);
    vec![
        name,
        plain(alerts().map(|a| a.first).min()),
        plain(alerts().map(|a| a.last).max()),
        alerts().map(|a| a.events_count).sum::<u64>().to_string(),
        rules.join(", "),
        if banned.is_empty() {
            "not banned".to_owned()
        } else {
            banned
        },
    ]
}

fn parties(dossier: &Dossier, paper: &mut Paper<'_>) {
    paper.chapter("Parties");
    let parties = &dossier.case.parties;
    if parties.is_empty() {
        paper.paragraph("No party has been named.");
        return;
    }
    let rows: Vec<Vec<String>> = parties
        .values()
        .take(ROWS_MAX)
        .map(|party| {
            let addresses = party.addresses.iter().map(ToString::to_string);
            let networks = party.networks.iter().map(ToString::to_string);
            vec![
                format!("{:?}", party.role).to_lowercase(),
                party.name.clone(),
                party.country.clone(),
                addresses.chain(networks).collect::<Vec<_>>().join(" "),
                party.contacts.join("\n"),
            ]
        })
        .collect();
    table(
        paper,
        &[
            column("ROLE", 14.0),
            column("NAME", 24.0),
            column("COUNTRY", 10.0),
            code("ADDRESSES", 26.0),
            column("CONTACT", 26.0),
        ],
        &rows,
    );
    cut_note(paper, parties.len(), "data/case.json");
}

fn losses(dossier: &Dossier, paper: &mut Paper<'_>) {
    paper.chapter("Losses");
    let losses = &dossier.case.losses;
    if losses.is_empty() {
        paper.paragraph("No loss has been stated.");
        return;
    }
    let name = |id: &str| {
        let party = dossier.case.parties.get(id);
        party.map_or_else(|| id.to_owned(), |p| p.name.clone())
    };
    let rows: Vec<Vec<String>> = losses
        .iter()
        .take(ROWS_MAX)
        .map(|loss| {
            vec![
                name(&loss.party),
                loss.what.clone(),
                range(loss.low, loss.high, &loss.unit),
                loss.source.clone(),
                loss.method.clone(),
            ]
        })
        .collect();
    table(
        paper,
        &[
            column("BORNE BY", 18.0),
            column("WHAT", 24.0),
            column("FROM \u{2013} TO", 20.0),
            column("SOURCE", 18.0),
            column("HOW RECKONED", 20.0),
        ],
        &rows,
    );
    paper.paragraph(&format!("Sum: {}.", totals(dossier).join("; ")));
    cut_note(paper, losses.len(), "data/case.json");
}

fn measures(dossier: &Dossier, paper: &mut Paper<'_>) {
    paper.chapter("Measures");
    let mut rows: Vec<(Timestamp, Vec<String>)> = Vec::new();
    let mut add = |at: Timestamp, what: String, on: String, effect: String| {
        let when = seconds_utc(at).trim_end_matches(" UTC").to_owned();
        rows.push((at, vec![when, what, on, effect]));
    };
    for ban in dossier.bans.iter().map(|b| &b.what) {
        let until = format!("until {}", seconds_utc(ban.until));
        add(ban.from, ban.reason.clone(), ban.prefix.to_string(), until);
    }
    for release in dossier.releases.iter().map(|r| &r.what) {
        add(
            release.at,
            "ban lifted".to_owned(),
            release.prefix.to_string(),
            format!("{:?}", release.reason).to_lowercase(),
        );
    }
    for measure in &dossier.case.measures {
        let prefixes: Vec<String> = measure.prefixes.iter().map(ToString::to_string).collect();
        add(
            measure.when,
            measure.what.clone(),
            prefixes.join(" "),
            measure.effect.clone(),
        );
    }
    rows.sort();
    let count = rows.len();
    if count == 0 {
        paper.paragraph("No measure is recorded.");
    } else {
        let rows: Vec<Vec<String>> = rows.into_iter().take(ROWS_MAX).map(|(_, r)| r).collect();
        table(
            paper,
            &[
                column("TIME (UTC)", 19.0),
                column("WHAT", 37.0),
                code("AGAINST", 20.0),
                column("EFFECT", 24.0),
            ],
            &rows,
        );
        cut_note(paper, count, "data/case.json");
        paper.note(
            "A ban is a decision on record. A guard that was told to observe only does not put \
             its bans into force; the clocks below say when the packet filter had the first.",
        );
    }
    if !dossier.case.forborne.is_empty() {
        paper.heading("What was deliberately not done");
        for step in &dossier.case.forborne {
            paper.item(&format!("{}: {}", step.what, step.reason));
        }
    }
}

fn clocks(dossier: &Dossier, paper: &mut Paper<'_>) {
    paper.chapter("Clocks and outcomes");
    time_to_first_aid(&first_aid(dossier), paper);
    let case = &dossier.case;
    paper.heading("Time to law");
    if case.milestones.is_empty() && case.referrals.is_empty() {
        paper.paragraph("Nothing has been referred to an authority yet.");
    }
    for referral in &case.referrals {
        paper.fact(
            &seconds_utc(referral.at),
            &format!(
                "{}: made ready for {} ({}), as {}",
                referral.referral, referral.authority, referral.country, referral.profile
            ),
        );
    }
    for milestone in &case.milestones {
        let mut text = format!("{}; {}", milestone_text(milestone.kind), milestone.source);
        if let Some(lapses) = milestone.lapses {
            text.push_str(&format!("; LAPSES {}", seconds_utc(lapses)));
        }
        if !milestone.note.is_empty() {
            text.push_str(&format!("; {}", milestone.note));
        }
        paper.fact(&seconds_utc(milestone.when), &text);
    }
    if !case.outcomes.is_empty() {
        paper.heading("Outcomes");
        for outcome in &case.outcomes {
            let count = if outcome.unit.is_empty() {
                outcome.count.to_string()
            } else {
                money(outcome.count, &outcome.unit)
            };
            paper.fact(
                &seconds_utc(outcome.when),
                &format!(
                    "{}: {count}; {}",
                    outcome_text(outcome.kind),
                    outcome.source
                ),
            );
        }
    }
}

fn time_to_first_aid(aid: &FirstAid, paper: &mut Paper<'_>) {
    paper.heading("Time to first aid");
    if let Some(first) = aid.first_hostile {
        paper.fact("First hostile event", &seconds_utc(first));
    }
    let mut fact = |name: &str, at: Option<Timestamp>, after: Option<Duration>, unknown: &str| {
        let text = match (at, after) {
            (Some(at), Some(after)) => format!("{} later, at {}", span(after), seconds_utc(at)),
            (Some(at), None) => seconds_utc(at),
            (None, _) => unknown.to_owned(),
        };
        paper.fact(name, &text);
    };
    fact("First alert", aid.alert, aid.to_alert(), "none");
    fact("First ban decided", aid.decided, aid.to_decision(), "none");
    let untold = "unknown: the packet filter's answer is not on record";
    if aid.decided.is_some() {
        fact("First ban in force", aid.ban, aid.to_ban(), untold);
    }
    let everywhere = aid.everywhere().map(|reached| reached.at);
    let after = aid.to_everywhere();
    let untold = "unknown: no hub has told of it";
    fact("At every member", everywhere, after, untold);
    for spread in &aid.spreads {
        let mut text = format!(
            "banned by the community {} at {}",
            spread.community,
            seconds_utc(spread.accepted)
        );
        match spread.reached {
            Some(reached) => text.push_str(&format!(
                "; in force at {} by {}, by the clock and the ledger (entry {}) of the hub of {}",
                reached_text(reached),
                seconds_utc(reached.at),
                reached.entry,
                spread.hub
            )),
            None => text.push_str("; when it was in force at all members is unknown"),
        }
        paper.fact(&spread.prefix.to_string(), &text);
    }
    if aid.everywhere().is_some() {
        paper.note(
            "Guards tell their hub every ten seconds which bans their packet filters hold. The \
             moment at every member is the one at which the hub knew, up to fifteen seconds late. \
             Of members that were away at that moment nothing is said.",
        );
    }
}

fn how_to_verify(ledger: &LedgerFacts, paper: &mut Paper<'_>) {
    paper.chapter("How to check that nothing was changed");
    paper.paragraph(
        "Every statement in this report is an entry on a ledger to which entries can only be \
         added. The ledger's state is one number, its root hash; changing any entry would change \
         it. The holder signed that number; where witnesses signed it too, the holder alone \
         cannot put another history in its place.",
    );
    paper.paragraph(
        "In the folder that this report's own folder lies in, with Python 3.8 or later:",
    );
    paper.code("python3 -I verify/verify.py");
    paper.paragraph(
        "It needs no network and no other software, says in plain words what is proven, by whom, \
         and what is not, and ends with OK or FAILED. README.txt tells how to get the keys by \
         another way than this pack, without which a forged pack could bring forged keys along.",
    );
    paper.fact("Ledger", &ledger.origin);
    paper.fact("Entries at that state", &ledger.size.to_string());
    paper.fact_in("Root hash", &ledger.root, Face::Mono, 7.6);
    paper.fact_in("Ledger's key", &ledger.key, Face::Mono, 7.6);
    let or_none = |list: &[String]| {
        if list.is_empty() {
            "none".to_owned()
        } else {
            list.join(", ")
        }
    };
    paper.fact("Witnesses", &or_none(&ledger.witnesses));
    paper.fact("Time stamps", &or_none(&ledger.stamps));
}
