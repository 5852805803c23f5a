use std::sync::Arc;

use casework::{Case, Dossier, ExhibitRecord, Indexed};
use model::{
    Acquisition, AskedServer, CaseAct, CaseStep, ClockTruth, ContentHash, ExhibitAct, NetworkTime,
    Pap, Timestamp, Tlp, ToolUsed,
};

use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_seconds(1_790_000_000 + second)
}

fn acquisition(number: usize) -> Acquisition {
    Acquisition {
        at: at(20),
        exhibit: format!("EX-2026-{number:06}"),
        root: format!("EX-2026-{number:06}"),
        parent: None,
        case: None,
        title: "log lines of the gateway \u{4e2d}, with much to say of them ".repeat(4),
        file_name: "auth.log".to_owned(),
        media_type: "text/plain".to_owned(),
        bytes: 3,
        sha256: ContentHash::of(&number.to_be_bytes()),
        sha512: "ab".repeat(64),
        began: at(19),
        by: "operator".to_owned(),
        role: "administrator".to_owned(),
        place: "host.example".to_owned(),
        method: "upload".to_owned(),
        authority: "contract".to_owned(),
        reason: "evidence".to_owned(),
        tool: ToolUsed {
            name: "posse".to_owned(),
            version: "0.1.0".to_owned(),
            rules_hash: String::new(),
            arguments: String::new(),
        },
        clock: ClockTruth {
            synchronised: true,
            offset_microseconds: -12,
            error_bound_microseconds: 900,
            told_by: "adjtimex".to_owned(),
            time_zone: "UTC".to_owned(),
            since_boot_microseconds: None,
            network: Some(NetworkTime {
                asked: at(1),
                age_milliseconds: 5,
                offset_microseconds: Some(7_000_000),
                error_bound_microseconds: Some(900),
                corrected: None,
                servers: vec![AskedServer {
                    server: "ntp.example.org".to_owned(),
                    answer: None,
                    failure: "no answer within 1 s".to_owned(),
                }],
            }),
        },
        class: "evidence".to_owned(),
        tlp: Tlp::Amber,
        sources: vec![],
        alert: None,
        note: String::new(),
        sender: None,
        sealed_with: "vault".to_owned(),
    }
}

fn dossier(exhibits: usize) -> Dossier {
    let opening = CaseAct {
        at: at(10),
        case: "CASE-2026-0001".to_owned(),
        by: "operator".to_owned(),
        step: CaseStep::Opened {
            title: "Password guessing against the gateway".to_owned(),
            authority: "contract".to_owned(),
            purpose: "network security".to_owned(),
            tlp: Tlp::Amber,
            pap: Pap::Amber,
            grouped_by: None,
        },
    };
    let exhibit = |number: usize| ExhibitRecord {
        acquired: Indexed {
            index: number as u64,
            what: acquisition(number),
        },
        custody: vec![Indexed {
            index: number as u64,
            what: ExhibitAct::Acquired(Box::new(acquisition(number))),
        }],
        purged: false,
        persons: Arc::default(),
    };
    Dossier {
        case: Case::open(0, &opening).unwrap(),
        now: at(100),
        holder: "host.example/ledger".to_owned(),
        alerts: vec![],
        bans: vec![],
        releases: vec![],
        exhibits: (1..=exhibits).map(exhibit).collect(),
        handovers: vec![],
    }
}

#[test]
fn the_same_dossier_gives_the_same_bytes() {
    let one = render(&dossier(3), &LedgerFacts::default(), "id").unwrap();
    assert!(one.starts_with(b"%PDF-"));
    assert_eq!(
        one,
        render(&dossier(3), &LedgerFacts::default(), "id").unwrap()
    );
    assert_ne!(
        one,
        render(&dossier(4), &LedgerFacts::default(), "id").unwrap()
    );
}

#[test]
fn every_mark_is_on_its_page_and_every_hash_on_one_line() {
    let faces = typeface::Faces::load().unwrap();
    let mut paper = page::Paper::new(&faces);
    let dossier = dossier(60);
    chapters::write(&dossier, &LedgerFacts::default(), &mut paper);
    let pages = paper.finish();
    assert!(pages.pages.len() > 10);
    let mut texts = Vec::new();
    for mark in pages.pages.iter().flatten() {
        if let page::Mark::Text {
            x,
            y,
            face,
            size,
            text,
            ..
        } = mark
        {
            let right = x + faces.width(*face, *size, text);
            assert!(
                *x >= page::MARGIN - 1.0 && right <= page::WIDTH - page::MARGIN + 1.0,
                "{text}"
            );
            assert!(*y > 50.0 && *y < page::HEIGHT - 50.0, "{text} at {y}");
            texts.push(text.as_str());
        }
    }
    assert!(texts.contains(&"ntp.example.org: no answer within 1 s"));
    for exhibit in &dossier.exhibits {
        let a = &exhibit.acquired.what;
        let corrected = casework::pack::seconds_utc(a.clock.corrected(a.at).unwrap());
        assert!(texts.iter().any(|text| text.ends_with(&corrected)));
        assert!(texts.contains(&a.sha256.to_string().as_str()));
        assert!(texts.contains(&a.sha512.as_str()));
    }
}

#[test]
fn the_report_tells_the_clocks_of_the_case_and_nothing_that_nobody_told() {
    let words = |dossier: &Dossier| {
        let faces = typeface::Faces::load().unwrap();
        let mut paper = page::Paper::new(&faces);
        chapters::write(dossier, &LedgerFacts::default(), &mut paper);
        let pages = paper.finish();
        let texts = pages.pages.iter().flatten().filter_map(|mark| match mark {
            page::Mark::Text { text, .. } => Some(text.as_str()),
            page::Mark::Box { .. } | page::Mark::Disc { .. } => None,
        });
        texts.collect::<Vec<_>>().join(" ")
    };
    let mut dossier = dossier(0);
    let before = words(&dossier);
    assert!(before.contains("no hub has told of it"), "{before}");
    dossier.case.spread(model::BanSpread {
        prefix: "203.0.113.9".parse().unwrap(),
        community: "main".to_owned(),
        hub: "example-hub".to_owned(),
        reported: None,
        accepted: at(20),
        generation: 7,
        entry: 41,
        reached: Some(model::ReachedAll {
            at: at(31),
            connected: 12,
            away: 3,
            behind: 0,
            observing: 0,
            entry: 42,
        }),
    });
    let after = words(&dossier);
    assert!(
        after.contains("all 12 connected member(s); 3 away"),
        "{after}"
    );
    assert!(!after.contains("no hub has told of it"), "{after}");
}
