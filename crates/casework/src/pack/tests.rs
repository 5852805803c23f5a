use std::sync::Arc;

use model::{
    Acquisition, CaseAct, CaseStep, ClockTruth, ExhibitAct, Pap, Timestamp, Tlp, ToolUsed,
};

use super::*;
use crate::{Case, Indexed};

fn at(second: i64) -> Timestamp {
    Timestamp::from_seconds(1_790_000_000 + second)
}

pub(crate) fn acquisition() -> Acquisition {
    Acquisition {
        at: at(20),
        exhibit: "EX-2026-000001".to_owned(),
        root: "EX-2026-000001".to_owned(),
        parent: None,
        case: Some("CASE-2026-0001".to_owned()),
        title: "log lines".to_owned(),
        file_name: "auth.log".to_owned(),
        media_type: "text/plain".to_owned(),
        bytes: 3,
        sha256: ContentHash::of(b"abc"),
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
            synchronised: false,
            offset_microseconds: 0,
            error_bound_microseconds: 0,
            told_by: "unknown".to_owned(),
            time_zone: "UTC".to_owned(),
            since_boot_microseconds: None,
            network: None,
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

fn dossier() -> Dossier {
    let opening = CaseAct {
        at: at(10),
        case: "CASE-2026-0001".to_owned(),
        by: "operator".to_owned(),
        step: CaseStep::Opened {
            title: "Password guessing".to_owned(),
            authority: "contract".to_owned(),
            purpose: "network security".to_owned(),
            tlp: Tlp::Amber,
            pap: Pap::Amber,
            grouped_by: None,
        },
    };
    let acquired = acquisition();
    Dossier {
        case: Case::open(0, &opening).unwrap(),
        now: at(100),
        holder: "host.example/ledger".to_owned(),
        alerts: vec![],
        bans: vec![],
        releases: vec![],
        exhibits: vec![ExhibitRecord {
            custody: vec![Indexed {
                index: 1,
                what: ExhibitAct::Acquired(Box::new(acquired.clone())),
            }],
            acquired: Indexed {
                index: 1,
                what: acquired,
            },
            purged: false,
            persons: Arc::default(),
        }],
        handovers: vec![],
    }
}

fn entry(index: u64) -> SealedEntry {
    SealedEntry {
        index,
        leaf: b"{}".to_vec(),
        opened: Some(Opened {
            salt: [7; 32],
            payload: "{}".to_owned(),
        }),
        proof: "proof\n".to_owned(),
    }
}

fn assembled(entries: &[SealedEntry]) -> Result<Pack, PackError> {
    let dossier = dossier();
    assemble(&PackSources {
        dossier: &dossier,
        entries,
        log: &LogFacts::default(),
        rules: &[RuleText {
            path: "rules/ssh/scenarios/a.yaml".to_owned(),
            text: "x".to_owned(),
        }],
        report: b"%PDF",
        tool: "posse 0.1.0",
    })
}

#[test]
fn a_pack_lists_every_file_it_has() {
    let pack = assembled(&[entry(0), entry(1)]).unwrap();
    let bytes = |path: &str| {
        let file = pack.files.iter().find(|f| f.path == path).unwrap();
        match &file.content {
            Content::Bytes(bytes) => bytes.clone(),
            Content::Exhibit(_) => panic!("{path} is an exhibit"),
        }
    };
    let payload = parse_manifest(&bytes("manifest-sha256.txt"), 64).unwrap();
    let tags = parse_manifest(&bytes("tagmanifest-sha256.txt"), 64).unwrap();
    for file in &pack.files {
        let listed = payload.get(&file.path).or_else(|| tags.get(&file.path));
        match &file.content {
            Content::Bytes(_) if file.path.starts_with("tagmanifest-") => {
                assert_eq!(listed, None);
            }
            Content::Bytes(bytes) => {
                assert_eq!(
                    listed,
                    Some(&ContentHash::of(bytes).to_string()),
                    "{}",
                    file.path
                );
            }
            Content::Exhibit(exhibit) => assert_eq!(listed, Some(&exhibit.sha256.to_string())),
        }
    }
    assert_eq!(
        pack.manifest,
        ContentHash::of(&bytes("tagmanifest-sha256.txt"))
    );
    let info = parse_tags(&bytes("bag-info.txt")).unwrap();
    let expected = payload.len();
    assert!(info["Payload-Oxum"].ends_with(&format!(".{expected}")));
}

#[test]
fn the_same_case_and_clock_give_the_same_pack() {
    assert_eq!(
        assembled(&[entry(0), entry(1)]),
        assembled(&[entry(0), entry(1)])
    );
}

#[test]
fn nothing_is_shown_without_its_proof() {
    assert_eq!(
        assembled(&[entry(0)]),
        Err(PackError::Unproven {
            index: 1,
            what: "EX-2026-000001".to_owned()
        })
    );
}
