//! The exhibits of a share: those that a letter names, those of which a part goes with it, and the
//! parts as files of the bag.

use std::collections::BTreeSet;

use model::{Acquisition, ContentHash, Tlp};
use serde::Serialize;

use super::{Asked, Profile, Stage, letter::second, share::Share};
use crate::{ExhibitRecord, Indexed, pack::AcquisitionFile};

/// The class of logs that belong to no alert.
const LOG_CLASS: &str = "log";
/// How they come. What else a machine tells of itself names accounts in its own ways.
const LOG_METHODS: [&str; 5] = ["upload", "log_pull", "api", "redaction", "extract"];
/// How an exhibit was acquired that was made for a referral.
pub const SHARE_METHOD: &str = "share";

/// Which referrals carry their country's part of the exhibits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Attach {
    /// Those to the police and for Europol.
    #[default]
    Usual,
    Always,
    Never,
}

impl Attach {
    pub(super) const fn applies(self, profile: Profile, stage: Stage) -> bool {
        let goes = match self {
            Self::Usual => matches!(profile, Profile::Police | Profile::Europol),
            Self::Always => true,
            Self::Never => false,
        };
        // A draft leaves no trace, and a look at an exhibit does.
        goes && matches!(stage, Stage::Final)
    }
}

/// A derived exhibit that goes with a referral.
#[derive(Clone, Debug, PartialEq)]
pub struct Attached {
    pub acquired: Indexed<Acquisition>,
    pub bytes: Vec<u8>,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct ExhibitLine {
    pub(super) exhibit: String,
    pub(super) bytes: u64,
    pub(super) sha256: ContentHash,
    pub(super) acquired: String,
    pub(super) ledger: u64,
}

/// A part that lies in the bag.
#[derive(Clone, Debug, Serialize)]
pub(super) struct AttachedLine {
    #[serde(flatten)]
    pub(super) exhibit: ExhibitLine,
    pub(super) sha512: String,
    /// Within the bag's payload.
    pub(super) file: String,
    pub(super) parent: String,
    pub(super) parent_sha256: ContentHash,
    /// What of the parent it is.
    pub(super) note: String,
    /// Places of the parent that are not shown.
    pub(super) cuts: usize,
}

fn line(acquired: &Indexed<Acquisition>) -> ExhibitLine {
    let it = &acquired.what;
    ExhibitLine {
        exhibit: it.exhibit.clone(),
        bytes: it.bytes,
        sha256: it.sha256,
        acquired: second(it.at),
        ledger: acquired.index,
    }
}

/// Numbers and hashes of what is kept of this share's alerts; titles may name others.
pub(super) fn kept(asked: &Asked<'_>, share: &Share<'_>) -> Vec<ExhibitLine> {
    let alerts = alerts(share);
    let ours = live(asked).filter(|record| {
        let alert = record.acquired.what.alert;
        alert.is_some_and(|alert| alerts.contains(&alert))
    });
    ours.map(|record| line(&record.acquired)).collect()
}

pub(super) fn attached(asked: &Asked<'_>) -> Vec<AttachedLine> {
    let one = |attached: &Attached| {
        let it = &attached.acquired.what;
        let parent = it.parent.as_ref()?;
        Some(AttachedLine {
            exhibit: line(&attached.acquired),
            sha512: it.sha512.clone(),
            file: file(it, "raw"),
            parent: parent.exhibit.clone(),
            parent_sha256: parent.sha256,
            note: it.note.clone(),
            cuts: parent.redactions.len(),
        })
    };
    asked.attached.iter().filter_map(one).collect()
}

/// Text that is an alert's of this share, and logs of no alert: what of it is the share's, its
/// lines say. Where a person has redacted an exhibit, that one is taken in its place.
pub(super) fn wanted(asked: &Asked<'_>, share: &Share<'_>) -> Vec<String> {
    let alerts = alerts(share);
    let redacted: BTreeSet<&str> = live(asked)
        .filter(|record| record.acquired.what.method == "redaction")
        .filter_map(|record| Some(record.acquired.what.parent.as_ref()?.exhibit.as_str()))
        .collect();
    let is_wanted = |record: &&ExhibitRecord| {
        let it = &record.acquired.what;
        let of_share = match it.alert {
            Some(alert) => it.media_type.starts_with("text/") && alerts.contains(&alert),
            None => it.class == LOG_CLASS && LOG_METHODS.contains(&it.method.as_str()),
        };
        of_share && !redacted.contains(it.exhibit.as_str())
    };
    let wanted = live(asked).filter(is_wanted);
    wanted.map(|r| r.acquired.what.exhibit.clone()).collect()
}

fn alerts(share: &Share<'_>) -> BTreeSet<model::AlertId> {
    let alerts = share.sources.iter().flat_map(|s| &s.alerts);
    alerts.map(|alert| alert.what.id).collect()
}

/// What may leave and was not itself made for a referral.
fn live<'a>(asked: &Asked<'a>) -> impl Iterator<Item = &'a ExhibitRecord> {
    asked.dossier.exhibits.iter().filter(|record| {
        let it = &record.acquired.what;
        !record.purged && it.tlp <= Tlp::Amber && it.method != SHARE_METHOD
    })
}

pub(super) fn files(attached: &[Attached]) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    for one in attached {
        let it = &one.acquired.what;
        let record = AcquisitionFile {
            entry: one.acquired.index,
            acquisition: it.clone(),
        };
        let mut json = serde_json::to_vec_pretty(&record).unwrap_or_default();
        json.push(b'\n');
        files.push((file(it, "raw"), one.bytes.clone()));
        files.push((file(it, "acquisition.json"), json));
    }
    files
}

fn file(acquisition: &Acquisition, name: &str) -> String {
    format!("exhibits/{}/{name}", acquisition.exhibit)
}

#[cfg(test)]
mod tests {
    use model::ExhibitAct;
    use serde_json::json;

    use super::*;
    use crate::referral::{
        Plan, Refused,
        tests::{country, dossier, now, planned},
    };

    /// An exhibit of text, of the alert of the first victim, with changes.
    fn record(number: &str, change: impl FnOnce(&mut Acquisition)) -> ExhibitRecord {
        let value = json!({
            "at": now(), "exhibit": number, "root": number, "title": "t", "file_name": "f",
            "media_type": "text/plain", "bytes": 4, "sha256": ContentHash::of(b"text"),
            "sha512": "", "began": now(), "by": "officer", "role": "", "place": "host",
            "method": "alert", "authority": "a", "reason": "r",
            "tool": { "name": "posse", "version": "0", "arguments": "" },
            "clock": { "synchronised": true, "offset_microseconds": 0,
                       "error_bound_microseconds": 0, "told_by": "x", "time_zone": "UTC" },
            "class": "evidence", "tlp": "amber", "alert": dossier().alerts[0].what.id,
            "sealed_with": "k",
        });
        let mut acquisition: Acquisition = serde_json::from_value(value).unwrap();
        change(&mut acquisition);
        let act = ExhibitAct::Acquired(Box::new(acquisition.clone()));
        ExhibitRecord {
            acquired: Indexed {
                index: 7,
                what: acquisition,
            },
            custody: vec![Indexed {
                index: 7,
                what: act,
            }],
            purged: false,
            persons: Default::default(),
        }
    }

    fn no_alert(acquisition: &mut Acquisition) {
        acquisition.alert = None;
        acquisition.class = LOG_CLASS.to_owned();
        acquisition.method = "upload".to_owned();
    }

    fn made_from(acquisition: &mut Acquisition, method: &str, parent: &str) {
        method.clone_into(&mut acquisition.method);
        acquisition.parent = Some(model::Derivation {
            exhibit: parent.to_owned(),
            sha256: ContentHash::of(b"text"),
            redactions: Vec::new(),
            share: None,
        });
    }

    fn with(exhibits: Vec<ExhibitRecord>) -> crate::Dossier {
        let mut dossier = dossier();
        dossier.exhibits = exhibits;
        dossier
    }

    fn wants(plan: &Plan, code: &str) -> Vec<String> {
        let mut ready = plan.ready.iter();
        ready
            .find(|r| r.country == country(code))
            .unwrap()
            .wanted
            .clone()
    }

    #[test]
    fn text_of_the_shares_alerts_is_wanted_and_of_no_alert() {
        let mut gone = record("EX-GONE", |_| ());
        gone.purged = true;
        let case = with(vec![
            record("EX-1", |_| ()),
            record("EX-2", no_alert),
            record("EX-TABLE", |a| {
                no_alert(a);
                a.method = "live collection: sockets".to_owned();
            }),
            record("EX-FILE", |a| a.alert = None),
            record("EX-RULES", |a| a.media_type = "application/json".to_owned()),
            record("EX-RED", |a| a.tlp = Tlp::AmberStrict),
            record("EX-3", |_| ()),
            record("EX-4", |a| made_from(a, "redaction", "EX-3")),
            record("EX-5", |a| {
                no_alert(a);
                made_from(a, "extract", "EX-2");
            }),
            record("EX-6", |a| made_from(a, SHARE_METHOD, "EX-1")),
            gone,
        ]);
        let plan = planned(&case, |_| {}).unwrap();
        assert_eq!(wants(&plan, "DE"), ["EX-1", "EX-2", "EX-4", "EX-5"]);
        // The alert is of the first victim only; the source is in NO.
        assert_eq!(wants(&plan, "FR"), ["EX-2", "EX-5"]);
        assert_eq!(wants(&plan, "NO"), wants(&plan, "DE"));
        for (attach, profile, stage, goes) in [
            (Attach::Never, None, Stage::Final, false),
            (Attach::Usual, Some(Profile::Ic3), Stage::Final, false),
            (Attach::Always, Some(Profile::Ic3), Stage::Final, true),
            (Attach::Always, None, Stage::Draft, false),
        ] {
            let plan = planned(&case, |asked| {
                (asked.attach, asked.profile, asked.stage) = (attach, profile, stage);
            });
            assert_eq!(!wants(&plan.unwrap(), "DE").is_empty(), goes, "{attach:?}");
        }
    }

    /// The referral to DE with an exhibit of these lines in it.
    fn carrying(lines: &str, change: impl FnOnce(&mut Acquisition)) -> Plan {
        let made = record("EX-9", |a| {
            made_from(a, SHARE_METHOD, "EX-1");
            a.sha256 = ContentHash::of(lines.as_bytes());
            change(a);
        });
        let attached = [Attached {
            acquired: made.acquired,
            bytes: lines.as_bytes().to_vec(),
        }];
        let attached: &'static [Attached] = Vec::leak(attached.to_vec());
        let case = with(vec![record("EX-1", |_| ())]);
        planned(&case, |asked| {
            asked.only = Some(country("DE"));
            asked.attached = attached;
        })
        .unwrap()
    }

    #[test]
    fn a_part_lies_in_the_bag_under_the_letters_hash() {
        let lines = "198.51.100.10 sshd: bye from 203.0.113.1 port 5\n";
        let plan = carrying(lines, |_| ());
        let ready = &plan.ready[0];
        assert_eq!(ready.exhibits, ["EX-9"]);
        let file = |name: &str| {
            let found = ready.files.iter().find(|(n, _)| n == name);
            String::from_utf8(found.unwrap().1.clone()).unwrap()
        };
        assert_eq!(file("data/exhibits/EX-9/raw"), lines);
        let hash = ContentHash::of(lines.as_bytes()).to_string();
        for name in [
            "referral.txt",
            "referral.json",
            "exhibits/EX-9/acquisition.json",
        ] {
            assert!(file(&format!("data/{name}")).contains(&hash), "{name}");
        }
        assert!(file("data/referral.txt").contains("made from: EX-1"));
        assert_eq!(carrying(lines, |_| ()), plan);
    }

    #[test]
    fn what_slips_into_a_part_or_its_record_is_caught_before_it_leaves() {
        let refused = |plan: Plan| -> Refused {
            assert_eq!(plan.ready, []);
            plan.refused[0].clone()
        };
        let good = "198.51.100.10 sshd: bye from 203.0.113.1 port 5\n";
        for lines in [
            "198.51.100.20 sshd: bye from 203.0.113.1 port 5\n",
            "Example School: bye from 203.0.113.1\n",
            "Invalid user ada from 203.0.113.1 port 5\n",
            "10.1.2.3: bye from 203.0.113.1 port 5\n",
            "a line of nobody\n",
        ] {
            let refused = refused(carrying(&format!("{good}{lines}"), |_| ()));
            assert!(
                refused.reasons[0].contains("nothing was written"),
                "{lines}"
            );
        }
        let told = carrying(good, |a| a.authority = "Example School asked".to_owned());
        assert!(refused(told).reasons[0].contains("acquisition.json"));
    }
}
