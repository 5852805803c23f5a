use std::{collections::BTreeMap, sync::Arc, time::Duration};

use model::{
    Alert, AlertEvent, AlertId, CaseAct, CaseStep, EvidenceLine, LineOrigin, LossFigure, Meta, Pap,
    Party, Scope,
};

use super::*;
use crate::{Case, Indexed};

const TABLE: &str = "\
[meta]
format = 1
as_of = \"2026-11-01\"
max_age_days = { contact = 90, law = 400 }
[instrument.budapest]
title = \"Convention on Cybercrime\"
cite = \"CETS 185\"
source = \"https://law.example/\"
as_of = \"2026-11-01\"
confidence = \"sourced\"
who_may = \"authorities\"
[[instrument.budapest.clock]]
name = \"foreign_preservation\"
from = \"the request\"
days = 60
lapse = \"it may be deleted\"
";

fn table() -> Jurisdictions {
    let mut text = TABLE.to_owned();
    for country in ["DE", "FR", "NL", "NO"] {
        text.push_str(&format!(
            "[country.{country}]\nname = \"{country}\"\ninstruments = [\"budapest\"]\n"
        ));
        for field in ["authority", "portal"] {
            text.push_str(&format!(
                "{field} = {{ value = \"{field} of {country}\", source = \"https://s.example/\", \
                 as_of = \"2026-11-01\", confidence = \"confirmed\" }}\n"
            ));
        }
    }
    Jurisdictions::parse(text.as_bytes()).unwrap()
}

pub(super) fn now() -> Timestamp {
    "2026-11-22T10:00:00Z".parse().unwrap()
}

pub(super) fn country(code: &str) -> Country {
    code.parse().unwrap()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn victim(id: &str, country: &str, name: &str, address: &str) -> Party {
    Party {
        id: id.to_owned(),
        role: PartyRole::Victim,
        name: name.to_owned(),
        country: country.to_owned(),
        addresses: vec![ip(address)],
        networks: Vec::new(),
        contacts: vec![format!("security@{id}.example"), format!("+00 {id} 555")],
        note: format!("met {name} on the telephone"),
    }
}

fn alert(source: &str, target: &str, lines: &[String]) -> Alert {
    let events = lines.iter().enumerate().map(|(i, _)| {
        let mut pairs = vec![
            ("service", "ssh"),
            ("source_ip", source),
            ("target_ip", target),
            ("target_user", "maintenance-account"),
        ];
        AlertEvent {
            time: now().minus(Duration::from_millis(60_500 - 1_000 * i as u64)),
            meta: Meta::new(&mut pairs),
        }
    });
    let line = |text: &String| {
        let origin = LineOrigin::Stream { line: 1 };
        EvidenceLine::new("auth.log".into(), origin, now(), text.as_bytes())
    };
    Alert {
        id: AlertId::derive(&[source.as_bytes(), target.as_bytes()]),
        rule: "posse/ssh-bf".to_owned(),
        rule_hash: String::new(),
        scope: Scope::Ip,
        value: source.to_owned(),
        address: Some(ip(source)),
        range: None,
        first: now().minus(Duration::from_secs(60)),
        last: now().minus(Duration::from_secs(50)),
        events_count: lines.len() as u64,
        message: format!("{source} guesses passwords of {target}"),
        remediation: true,
        simulated: false,
        labels: Arc::default(),
        context: BTreeMap::new(),
        events: events.collect(),
        evidence: lines.iter().map(line).collect(),
    }
}

fn line(source: &str, target: &str, port: u16) -> String {
    format!("{target} sshd: Failed password for maintenance-account from {source} port {port} ssh2")
}

const VICTIMS: [(&str, &str, &str, &str); 3] = [
    ("mill", "DE", "Example Mill", "198.51.100.10"),
    ("school", "FR", "Example School", "198.51.100.20"),
    ("port", "NL", "Example Port Authority", "2001:db8::30"),
];
const SOURCES: [&str; 3] = ["203.0.113.1", "203.0.113.2", "2001:db8:bad::3"];

/// Three victims in three countries, each struck by its own source, which is in Norway.
pub(super) fn dossier() -> Dossier {
    let act = |step| CaseAct {
        at: now().minus(Duration::from_secs(40)),
        case: "CASE-2026-0001".to_owned(),
        by: "operator".to_owned(),
        step,
    };
    let opening = act(CaseStep::Opened {
        title: "Password guessing against Example Mill and others".to_owned(),
        authority: "contract 7 with Example School".to_owned(),
        purpose: "prosecution".to_owned(),
        tlp: Tlp::Amber,
        pap: Pap::Amber,
        grouped_by: None,
    });
    let mut case = Case::open(0, &opening).unwrap();
    let mut take = |step| case.take(1, &act(step)).unwrap();
    for (id, country, name, address) in VICTIMS {
        take(CaseStep::PartyAdded(victim(id, country, name, address)));
        take(CaseStep::LossAdded(LossFigure {
            party: id.to_owned(),
            what: "hours of work".to_owned(),
            low: 150,
            high: 400,
            unit: "hours".to_owned(),
            source: format!("letter of {name}"),
            method: "count".to_owned(),
        }));
    }
    take(CaseStep::MeasureTaken {
        when: now(),
        what: format!("banned before {} and 10.1.2.3", VICTIMS[1].3),
        prefixes: Vec::new(),
        effect: "in force after 20 ms".to_owned(),
    });
    let alerts = VICTIMS
        .iter()
        .zip(SOURCES)
        .map(|((_, _, _, target), source)| {
            let lines: Vec<_> = (0..3).map(|i| line(source, target, 51_000 + i)).collect();
            Indexed {
                index: 9,
                what: alert(source, target, &lines),
            }
        });
    Dossier {
        case,
        now: now(),
        holder: "operator.example/log".to_owned(),
        alerts: alerts.collect(),
        bans: Vec::new(),
        releases: Vec::new(),
        exhibits: Vec::new(),
        handovers: Vec::new(),
    }
}

fn geography() -> Geography {
    let place = || Place {
        country: Some(country("NO")),
        network: "AS64500 Example Net".to_owned(),
        told_by: "test.mmdb".to_owned(),
    };
    SOURCES.iter().map(|s| (ip(s), place())).collect()
}

fn reporter() -> Reporter {
    Reporter {
        organisation: "Example Operator".to_owned(),
        name: String::new(),
        email: "abuse@operator.example".to_owned(),
        telephone: String::new(),
        country: None,
    }
}

/// For the rest of the process.
fn kept(reporter: Reporter) -> &'static Reporter {
    Box::leak(Box::new(reporter))
}

/// What [`plan`] makes of the dossier with changes.
pub(super) fn planned(
    dossier: &Dossier,
    change: impl FnOnce(&mut Asked<'_>),
) -> Result<Plan, ReferralError> {
    let (table, geography, reporter) = (table(), geography(), reporter());
    let mut asked = Asked {
        dossier,
        geography: &geography,
        table: &table,
        confirmations: &[],
        acts: &[],
        reporter: &reporter,
        profile: None,
        only: None,
        keep: Keep::Facts,
        stage: Stage::Final,
        attach: Attach::Usual,
        attached: &[],
        number: 1,
    };
    change(&mut asked);
    plan(&asked)
}

fn all_text(ready: &Ready) -> String {
    let files = ready.files.iter();
    files
        .map(|(_, b)| String::from_utf8_lossy(b).into_owned())
        .collect()
}

#[test]
fn each_country_gets_its_share_and_nothing_of_the_others() {
    for keep in [Keep::Facts, Keep::Lines] {
        let plan = planned(&dossier(), |asked| asked.keep = keep).unwrap();
        assert_eq!(plan.refused, []);
        let countries: Vec<_> = plan.ready.iter().map(|r| r.country.to_string()).collect();
        assert_eq!(countries, ["DE", "FR", "NL", "NO"]);
        for ready in &plan.ready {
            let text = all_text(ready).to_lowercase();
            for ((id, of, name, address), source) in VICTIMS.into_iter().zip(SOURCES) {
                let is_ours = of == ready.country.as_str();
                for part in [name, address, &format!("security@{id}.example")] {
                    let found = text.contains(&part.to_lowercase());
                    assert_eq!(found, is_ours, "{} {part}", ready.country);
                }
                let concerns = is_ours || ready.country.as_str() == "NO";
                assert_eq!(
                    text.contains(source),
                    concerns,
                    "{} {source}",
                    ready.country
                );
            }
            assert!(!text.contains("maintenance-account") && !text.contains("10.1.2.3"));
            let has_lines = text.contains("failed password");
            assert_eq!(has_lines, keep == Keep::Lines);
        }
    }
}

#[test]
fn a_contact_is_address_port_protocol_and_second() {
    let plan = planned(&dossier(), |asked| asked.only = Some(country("NO"))).unwrap();
    let text = all_text(&plan.ready[0]);
    let line = "2026-11-22T09:58:59Z 203.0.113.1 port 51000 tcp ssh";
    assert!(text.contains(line), "{text}");
    let mut without = dossier();
    without.alerts[0].what.evidence.clear();
    let plan = planned(&without, |asked| asked.only = Some(country("NO"))).unwrap();
    let text = all_text(&plan.ready[0]);
    assert!(
        text.contains("203.0.113.1 port not in the log tcp"),
        "{text}"
    );
}

#[test]
fn every_letter_bears_its_marks() {
    for profile in [Profile::Police, Profile::Ic3] {
        let plan = planned(&dossier(), |asked| asked.profile = Some(profile)).unwrap();
        assert_eq!(plan.ready.len(), 4);
        for ready in &plan.ready {
            let text = all_text(ready);
            for part in [
                "TLP: TLP:AMBER",
                "PAP: PAP:AMBER",
                "Purpose: prosecution",
                "Legal basis: contract 7",
                &format!("portal of {}", ready.country),
                "No machine of any source was entered",
                &ready.referral,
            ] {
                assert!(text.contains(part), "{profile} lacks {part:?}: {text}");
            }
        }
    }
}

#[test]
fn the_same_case_gives_the_same_bytes() {
    let once = planned(&dossier(), |_| {}).unwrap();
    assert_eq!(planned(&dossier(), |_| {}).unwrap(), once);
}

#[test]
fn what_is_marked_red_stays() {
    let mut red = dossier();
    red.case.tlp = Tlp::Red;
    assert!(matches!(
        planned(&red, |_| {}),
        Err(ReferralError::Marked(..))
    ));
    red.case.tlp = Tlp::AmberStrict;
    let error = planned(&red, |_| {}).unwrap_err().to_string();
    assert!(error.contains("TLP:AMBER+STRICT"), "{error}");
}

#[test]
fn a_stale_contact_is_refused_with_the_reason_and_drafts_name_nobody() {
    let mut late = dossier();
    late.now = now().plus(Duration::from_secs(100 * 86_400));
    let plan = planned(&late, |_| {}).unwrap();
    assert_eq!((plan.ready.len(), plan.refused.len()), (0, 4));
    let reasons = plan.refused[0].reasons.join("\n");
    assert!(
        reasons.contains("DE authority: the contact is stale"),
        "{reasons}"
    );
    let plan = planned(&late, |asked| asked.stage = Stage::Draft).unwrap();
    let text = all_text(&plan.ready[0]);
    assert!(
        text.contains("DRAFT: not to be sent") && !text.contains("portal of DE"),
        "{text}"
    );
}

#[test]
fn alerts_that_name_no_victim_concern_the_reporters_country() {
    let mut own = dossier();
    let lines = [String::from(
        "Failed password for x from 203.0.113.9 port 4 ssh2",
    )];
    let mut stray = alert("203.0.113.9", "203.0.113.9", &lines);
    stray.id = AlertId::derive(&[b"stray"]);
    own.alerts.push(Indexed {
        index: 11,
        what: stray,
    });
    let here = kept(Reporter {
        country: Some(country("DE")),
        ..reporter()
    });
    let plan = planned(&own, |asked| asked.reporter = here).unwrap();
    let holds = |r: &&Ready| all_text(r).contains("203.0.113.9");
    let found: Vec<_> = plan.ready.iter().filter(holds).map(|r| r.country).collect();
    assert_eq!(found, [country("DE")]);
    // Nobody told where it is.
    assert_eq!(plan.unplaced, [ip("203.0.113.9")]);
}

#[test]
fn a_source_that_is_a_victim_elsewhere_is_left_out_with_a_remark() {
    let mut case = dossier();
    let struck = victim("clinic", "NO", "Example Clinic", SOURCES[0]);
    case.case.parties.insert("clinic".to_owned(), struck);
    let plan = planned(&case, |_| {}).unwrap();
    let german = plan
        .ready
        .iter()
        .find(|r| r.country == country("DE"))
        .unwrap();
    assert!(!all_text(german).contains(SOURCES[0]));
    assert!(
        plan.remarks
            .iter()
            .any(|r| r.starts_with("DE: 1 sources left out"))
    );
}

#[test]
fn preservation_is_drafted_for_the_own_authority() {
    let plan = planned(&dossier(), |asked| {
        asked.profile = Some(Profile::Preservation);
    })
    .unwrap();
    assert!(plan.refused[0].reasons[0].contains("--own-country"));
    let here = kept(Reporter {
        country: Some(country("DE")),
        ..reporter()
    });
    let plan = planned(&dossier(), |asked| {
        asked.reporter = here;
        asked.profile = Some(Profile::Preservation);
        asked.only = Some(country("NO"));
    })
    .unwrap();
    let ready = &plan.ready[0];
    assert_eq!(ready.authority, "authority of DE");
    let text = all_text(ready);
    for part in [
        "article 29",
        "60 days",
        "2027-01-21T10:00:00Z",
        "sends this to no provider",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn a_provider_gets_plain_text_and_xarf() {
    let mut case = dossier();
    let ask = |case: &Dossier| {
        planned(case, |asked| {
            asked.profile = Some(Profile::Abuse);
            asked.only = Some(country("NO"));
        })
        .unwrap()
    };
    assert!(ask(&case).refused[0].reasons[0].contains("no provider"));
    let mut provider = victim("isp", "NO", "Example Net", "192.0.2.1");
    provider.role = PartyRole::Provider;
    provider.contacts = vec!["abuse@net.example".to_owned()];
    case.case.parties.insert("isp".to_owned(), provider);
    let plan = ask(&case);
    let ready = &plan.ready[0];
    let reports: Vec<serde_json::Value> = ready
        .files
        .iter()
        .filter(|(name, _)| name.starts_with("data/xarf/"))
        .map(|(_, bytes)| serde_json::from_slice(bytes).unwrap())
        .collect();
    assert_eq!(reports.len(), 3);
    let first = &reports[0];
    assert_eq!(first["type"], "login_attack");
    assert_eq!(first["source_port"], 51_000);
    assert_eq!(first["protocol"], "tcp");
    assert!(first.get("destination_ip").is_none(), "{first}");
}

#[test]
fn what_slips_into_a_letter_is_caught_before_it_leaves() {
    let mut case = dossier();
    // The reporter's own name is never cut, so a victim's name within it would get through.
    let wrong = kept(Reporter {
        email: "x@y.example 198.51.100.20".to_owned(),
        ..reporter()
    });
    let plan = planned(&case, |asked| asked.reporter = wrong).unwrap();
    let german = plan
        .refused
        .iter()
        .find(|r| r.country == country("DE"))
        .unwrap();
    assert!(
        german.reasons[0].contains("nothing was written"),
        "{german:?}"
    );
    case.case.parties.clear();
    let error = planned(&case, |asked| asked.only = Some(country("DE"))).unwrap_err();
    assert!(matches!(error, ReferralError::NotTouched { .. }));
}
