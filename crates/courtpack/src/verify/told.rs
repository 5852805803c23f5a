//! What the documents in `data/` tell, held against the ledger's entries.

use std::collections::BTreeSet;

use casework::pack::{AcquisitionFile, AlertFile, CustodyFile};
use model::{CaseAct, Decision, Entry, ExhibitAct, HandoverAct, Release};
use serde::Deserialize;

use super::{Inquiry, Mistake, mistake};

/// `data/case.json`, as far as the ledger says it too.
#[derive(Deserialize)]
struct CaseFile {
    case: String,
    steps: Vec<Told<CaseAct>>,
    bans: Vec<Ban>,
    releases: Vec<Lifted>,
    handovers: Vec<Told<HandoverAct>>,
}

#[derive(Deserialize)]
struct Told<T> {
    entry: u64,
    act: T,
}

#[derive(Deserialize)]
struct Ban {
    entry: u64,
    decision: Decision,
}

#[derive(Deserialize)]
struct Lifted {
    entry: u64,
    release: Release,
}

impl Inquiry<'_> {
    pub(super) fn exhibits(&mut self) -> Result<(), Mistake> {
        let (mut shown, mut raw, mut gone) = (BTreeSet::new(), 0, Vec::new());
        for number in self.folders() {
            if self.exhibit(&number, &mut shown)? {
                raw += 1;
            } else {
                gone.push(number);
            }
        }
        let hidden = self.entries.iter().find(|(index, (kind, entry))| {
            kind == "exhibit" && entry.is_some() && !shown.contains(*index)
        });
        if let Some((index, _)) = hidden {
            return mistake(format!(
                "the ledger entry {index} about an exhibit is in no custody.json"
            ));
        }
        self.proven(format!(
            "{raw} exhibits are, byte for byte, what the ledger says was taken in, with {} steps \
             of custody.",
            shown.len()
        ));
        if !gone.is_empty() {
            self.unproven(format!(
                "The content of {}: destroyed, by rule.",
                gone.join(", ")
            ));
        }
        Ok(())
    }

    /// Whether its bytes are there.
    fn exhibit(&mut self, number: &str, shown: &mut BTreeSet<u64>) -> Result<bool, Mistake> {
        let base = format!("data/exhibits/{number}");
        let path = format!("{base}/acquisition.json");
        let told: AcquisitionFile = self.json(&path)?;
        let acquired = told.acquisition;
        if acquired.exhibit != number {
            return mistake(format!("{path} is about another exhibit"));
        }
        let act = ExhibitAct::Acquired(Box::new(acquired.clone()));
        self.same(told.entry, &Entry::Exhibit(act), &path)?;
        let path = format!("{base}/custody.json");
        let custody: CustodyFile = self.json(&path)?;
        let mut purged = false;
        for line in custody.custody {
            purged |= matches!(line.act, ExhibitAct::Purged { .. });
            if line.act.exhibit() != number {
                return mistake(format!("{path} tells of another exhibit"));
            }
            self.same(line.entry, &Entry::Exhibit(line.act), &path)?;
            shown.insert(line.entry);
        }
        let there = match self.files.get(&format!("{base}/raw")) {
            Some(found) => {
                let same = found.sha256 == acquired.sha256.to_string()
                    && found.sha512 == acquired.sha512
                    && found.bytes == acquired.bytes;
                if !same {
                    return mistake(format!(
                        "{base}/raw is not what was taken in: its hashes differ"
                    ));
                }
                true
            }
            None if purged => false,
            None => {
                return mistake(format!(
                    "{base}/raw is missing, and nothing says that it was destroyed"
                ));
            }
        };
        self.seen.acquisitions.push(acquired);
        Ok(there)
    }

    pub(super) fn alerts(&mut self) -> Result<(), Mistake> {
        let path = "data/alerts.json";
        let alerts: Vec<AlertFile> = self.json(path)?;
        let rules: BTreeSet<&str> = self
            .files
            .iter()
            .filter(|(path, _)| path.starts_with("data/rules/"))
            .map(|(_, hashes)| hashes.sha256.as_str())
            .collect();
        let lacking = alerts
            .iter()
            .filter(|a| !rules.contains(a.alert.rule_hash.as_str()))
            .count();
        for told in alerts {
            self.same(told.entry, &Entry::Alert(told.alert.clone()), path)?;
            self.seen.alerts.push(told.alert);
        }
        let count = self.seen.alerts.len();
        self.proven(format!("{count} alerts are as the ledger has them."));
        if lacking < count {
            self.unproven(
                "That the packed rules raise the packed alerts from the packed lines: `posse \
                 verify --reproduce` shows that."
                    .to_owned(),
            );
        }
        if lacking > 0 {
            self.unproven(format!(
                "By which rule {lacking} alerts came: it is not packed."
            ));
        }
        Ok(())
    }

    pub(super) fn case(&mut self) -> Result<(), Mistake> {
        let path = "data/case.json";
        let case: CaseFile = self.json(path)?;
        let count = case.steps.len() + case.bans.len() + case.releases.len() + case.handovers.len();
        for told in case.steps {
            self.same(told.entry, &Entry::Case(told.act), path)?;
        }
        for told in case.bans {
            self.same(told.entry, &Entry::Decision(told.decision), path)?;
        }
        for told in case.releases {
            self.same(told.entry, &Entry::Release(told.release), path)?;
        }
        for told in case.handovers {
            self.same(told.entry, &Entry::Handover(told.act), path)?;
        }
        self.proven(format!(
            "{count} statements about the case {} (parties, losses, measures, bans, referrals) are \
             as the ledger has them.",
            case.case
        ));
        for text in [
            "That what people stated is true: the ledger proves who stated what, and when it was \
             written down, not that it was so.",
            "That the machines' clocks were right: see the clock in each acquisition.json.",
            "That the ledger has nothing else about this case: a pack shows what was put in it.",
        ] {
            self.unproven(text.to_owned());
        }
        Ok(())
    }

    pub(super) fn stamps(&mut self) -> Result<(), Mistake> {
        let stamps: Vec<String> = self
            .files
            .keys()
            .filter(|p| p.starts_with("proofs/stamp-") && p.ends_with(".tsr"))
            .cloned()
            .collect();
        for path in &stamps {
            self.stamp(path)?;
        }
        if stamps.is_empty() {
            self.unproven(
                "When the ledger had this state, by an outside clock: no time stamp (RFC 3161)."
                    .to_owned(),
            );
        }
        Ok(())
    }

    /// That the stamp is over this state of the ledger; who signed it is for `openssl ts` to say.
    fn stamp(&mut self, path: &str) -> Result<(), Mistake> {
        let stamped = path.replace(".tsr", ".checkpoint");
        let bytes = self.pack.small(&stamped)?;
        let token = self.pack.small(path)?;
        let digest = ring::digest::digest(&ring::digest::SHA256, &bytes);
        let holds = token
            .windows(digest.as_ref().len())
            .any(|w| w == digest.as_ref());
        if !holds {
            return mistake(format!("{path} is over something else than {stamped}"));
        }
        // Signatures may have come to the note since; its text may not have changed.
        let text = |note: &[u8]| {
            let end = note.windows(2).position(|w| w == b"\n\n");
            end.and_then(|end| note.get(..end).map(<[u8]>::to_vec))
        };
        if text(&bytes).is_none() || text(&bytes) != text(&self.note) {
            return mistake(format!(
                "{stamped} is another state of the ledger than proofs/checkpoint"
            ));
        }
        self.stamp_signer(path, &token, &bytes)
    }

    fn stamp_signer(&mut self, path: &str, token: &[u8], stamped: &[u8]) -> Result<(), Mistake> {
        let Some(check) = self.trust.stamps else {
            self.proven(format!(
                "{path} is over this state of the ledger. Who signed the stamp is not checked \
                 here; README.txt says how."
            ));
            return Ok(());
        };
        let own = path.replace(".tsr", ".ca.pem");
        let certificate = match &self.trust.authority {
            Some(pem) => Some(pem.clone()),
            None if self.pack.has(&own) => String::from_utf8(self.pack.small(&own)?).ok(),
            None => None,
        };
        let stamped = String::from_utf8_lossy(stamped);
        let (at, vouched) = check(token, &stamped, certificate)
            .map_err(|why| Mistake(format!("{path} does not hold: {why}")))?;
        let at = casework::pack::seconds_utc(at);
        if vouched && self.trust.authority.is_some() {
            self.proven(format!(
                "The time stamping authority that you named stamped this state of the ledger at \
                 {at}."
            ));
        } else {
            self.proven(format!(
                "Somebody with a time stamping certificate stamped this state of the ledger at \
                 {at}."
            ));
            self.unproven(
                "That the stamp is of an authority that you trust: its certificate came with the \
                 pack. Get it from the authority and give it with --tsa."
                    .to_owned(),
            );
        }
        Ok(())
    }
}
