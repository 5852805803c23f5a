//! What a pack proves, by whom, and what not; offline and without believing it.
//!
//! The same checks as those of the Python verifier that packs carry, in the same order; the
//! policy for witnesses is only judged here.

mod told;

use std::collections::{BTreeMap, BTreeSet};

use casework::pack::{EntryFile, Manifest, parse_manifest, parse_tags};
use ledger::{
    Checkpoint, CosignerKey, Leaf, Policy, ProofFile, Salt, VerifyingKey, commitment, leaf_hash,
    verify_inclusion,
};
use model::{Entry, Timestamp};

use crate::{Hashes, OpenPack, PackIoError};

/// What the one who verifies brings along.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    /// The ledger's keys as their owner gave them; the pack's own when there are none.
    pub keys: Vec<VerifyingKey>,
    pub witnesses: Vec<CosignerKey>,
    /// How many cosignatures are asked for; the pack's own policy when there is none.
    pub policy: Option<Policy>,
    /// The certificate of a time stamping authority, PEM; the pack's own copy when there is none.
    pub authority: Option<String>,
    /// Who can check a stamp's signature; without, only what it is over is looked at.
    pub stamps: Option<StampCheck>,
}

/// The token, the bytes that it is over, the authority's certificate as PEM: the time and whether
/// the signer leads to that certificate, or why it does not hold.
pub type StampCheck = fn(&[u8], &str, Option<String>) -> Result<(Timestamp, bool), String>;

/// Something does not hold. No more is checked after the first.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Mistake(pub String);

impl From<PackIoError> for Mistake {
    fn from(e: PackIoError) -> Self {
        Self(e.to_string())
    }
}

/// In plain words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    pub proven: Vec<String>,
    pub unproven: Vec<String>,
    pub mistake: Option<Mistake>,
}

/// What was read and holds, for those who go on with it.
#[derive(Clone, Debug, Default)]
pub struct Verified {
    pub origin: String,
    pub case: String,
    /// The pack's name: SHA-256 of `tagmanifest-sha256.txt`.
    pub manifest: String,
    pub clock: Option<Timestamp>,
    pub alerts: Vec<model::Alert>,
    pub acquisitions: Vec<model::Acquisition>,
    pub entries: usize,
}

/// Verifies all of it. What is proven until a mistake is found is told too.
pub fn verify(pack: &mut OpenPack, trust: &Trust) -> (Findings, Verified) {
    let mut inquiry = Inquiry {
        pack,
        trust,
        files: BTreeMap::new(),
        findings: Findings::default(),
        seen: Verified::default(),
        note: Vec::new(),
        checkpoint: None,
        entries: BTreeMap::new(),
    };
    let outcome = inquiry.run();
    inquiry.findings.mistake = outcome.err();
    (inquiry.findings, inquiry.seen)
}

struct Inquiry<'a> {
    pack: &'a mut OpenPack,
    trust: &'a Trust,
    files: BTreeMap<String, Hashes>,
    findings: Findings,
    seen: Verified,
    /// The signed checkpoint, and what it says.
    note: Vec<u8>,
    checkpoint: Option<Checkpoint>,
    /// What each proven entry says; `None` when it was erased.
    entries: BTreeMap<u64, (String, Option<Entry>)>,
}

fn mistake<T>(text: String) -> Result<T, Mistake> {
    Err(Mistake(text))
}

impl Inquiry<'_> {
    fn run(&mut self) -> Result<(), Mistake> {
        self.bag()?;
        self.signatures()?;
        self.proofs()?;
        self.exhibits()?;
        self.alerts()?;
        self.case()?;
        self.stamps()
    }

    fn proven(&mut self, text: String) {
        self.findings.proven.push(text);
    }

    fn unproven(&mut self, text: String) {
        self.findings.unproven.push(text);
    }

    fn bag(&mut self) -> Result<(), Mistake> {
        let declared = self.tags("bagit.txt")?;
        if declared.get("BagIt-Version").map(String::as_str) != Some("1.0") {
            return mistake("bagit.txt does not say BagIt 1.0".to_owned());
        }
        let paths: Vec<String> = self.pack.paths().map(str::to_owned).collect();
        for path in paths {
            let hashes = self.pack.hashes(&path)?;
            self.files.insert(path, hashes);
        }
        for (kind, digits) in [("sha256", 64), ("sha512", 128)] {
            self.listed("tagmanifest", kind, digits)?;
            self.listed("manifest", kind, digits)?;
        }
        let payload = || self.files.iter().filter(|(p, _)| p.starts_with("data/"));
        let oxum = format!(
            "{}.{}",
            payload().map(|(_, h)| h.bytes).sum::<u64>(),
            payload().count()
        );
        let info = self.tags("bag-info.txt")?;
        if info.get("Payload-Oxum") != Some(&oxum) {
            return mistake(
                "bag-info.txt gives another size and number of files (Payload-Oxum)".to_owned(),
            );
        }
        self.seen.clock = info.get("Case-Clock").and_then(|t| t.parse().ok());
        self.seen.case = info.get("External-Identifier").cloned().unwrap_or_default();
        self.seen.manifest = self
            .files
            .get("tagmanifest-sha256.txt")
            .map(|h| h.sha256.clone())
            .unwrap_or_default();
        self.proven(format!(
            "All {} files are as the pack's lists have them (SHA-256, SHA-512); none is missing, \
             none was added.",
            self.files.len()
        ));
        Ok(())
    }

    fn tags(&mut self, path: &str) -> Result<BTreeMap<String, String>, Mistake> {
        let bytes = self.pack.small(path)?;
        parse_tags(&bytes).map_err(|e| Mistake(format!("{path}: {e}")))
    }

    /// One manifest lists exactly the files that it should, with their hashes.
    fn listed(&mut self, name: &str, kind: &str, digits: usize) -> Result<(), Mistake> {
        let name = format!("{name}-{kind}.txt");
        let bytes = self.pack.small(&name)?;
        let listed: Manifest =
            parse_manifest(&bytes, digits).map_err(|e| Mistake(format!("{name}: {e}")))?;
        let of_tags = name.starts_with("tag");
        for (path, wanted) in &listed {
            let Some(found) = self.files.get(path) else {
                return mistake(format!("{path} is missing, but {name} lists it"));
            };
            let hash = if digits == 64 {
                &found.sha256
            } else {
                &found.sha512
            };
            if hash != wanted {
                return mistake(format!(
                    "{path} was changed: its {kind} is not the one in {name}"
                ));
            }
        }
        let stray = self.files.keys().find(|path| {
            let is_tag = !path.starts_with("data/");
            let is_last = is_tag && path.starts_with("tagmanifest-");
            is_tag == of_tags && !is_last && !listed.contains_key(*path)
        });
        match stray {
            Some(path) => mistake(format!("{path} was added: {name} does not list it")),
            None => Ok(()),
        }
    }

    fn lines(&mut self, path: &str) -> Result<Vec<String>, Mistake> {
        if !self.pack.has(path) {
            return Ok(Vec::new());
        }
        let text = String::from_utf8(self.pack.small(path)?)
            .map_err(|_| Mistake(format!("{path} is no text")))?;
        Ok(text
            .lines()
            .filter(|l| !l.trim().is_empty())
            .map(str::to_owned)
            .collect())
    }

    fn signatures(&mut self) -> Result<(), Mistake> {
        self.note = self.pack.small("proofs/checkpoint")?;
        let own = self.lines("keys/log.vkey")?;
        let keys = if self.trust.keys.is_empty() {
            own.iter()
                .map(|key| VerifyingKey::parse(key))
                .collect::<Result<Vec<_>, _>>()
                .map_err(|e| Mistake(format!("keys/log.vkey: {e}")))?
        } else {
            self.trust.keys.clone()
        };
        let checkpoint = Checkpoint::open_any(&self.note, &keys).map_err(|e| {
            Mistake(format!(
                "the ledger's checkpoint is not signed by the ledger's key: {e}"
            ))
        })?;
        self.proven(format!(
            "The ledger {} signed its state of {} entries; its root hash is {}.",
            checkpoint.origin, checkpoint.size, checkpoint.root
        ));
        if self.trust.keys.is_empty() {
            self.unproven(
                "That the ledger's key is the holder's: the key came with the pack. Ask the \
                 holder for it by another way and give it with --key."
                    .to_owned(),
            );
        }
        self.seen.origin.clone_from(&checkpoint.origin);
        self.checkpoint = Some(checkpoint);
        self.witnesses(&keys)
    }

    fn witnesses(&mut self, keys: &[VerifyingKey]) -> Result<(), Mistake> {
        let outside = !self.trust.witnesses.is_empty();
        let witnesses = if outside {
            self.trust.witnesses.clone()
        } else {
            self.lines("keys/witnesses.vkey")?
                .iter()
                .map(|key| CosignerKey::parse(key))
                .collect::<Result<Vec<_>, _>>()
                .map_err(|e| Mistake(format!("keys/witnesses.vkey: {e}")))?
        };
        let (mut signed, mut missing) = (0, Vec::new());
        for witness in &witnesses {
            let time = witness
                .verify(&self.note)
                .map_err(|e| Mistake(format!("proofs/checkpoint: {e}")))?;
            match time {
                Some(time) => {
                    signed += 1;
                    let at = Timestamp::from_seconds(i64::try_from(time).unwrap_or(i64::MAX));
                    self.proven(format!(
                        "The witness {} saw this state of the ledger at {}, and that it continues \
                         every state that it had seen before.",
                        witness.name(),
                        casework::pack::seconds_utc(at)
                    ));
                }
                None => missing.push(witness.name().to_owned()),
            }
        }
        if outside && let Some(name) = missing.first() {
            return mistake(format!(
                "the witness {name} did not sign this state of the ledger"
            ));
        }
        if !missing.is_empty() {
            self.unproven(format!(
                "Anything by the witness {}: no signature.",
                missing.join(", ")
            ));
        }
        if signed == 0 {
            self.unproven(
                "That the history was not rewritten as a whole before this pack was made: no \
                 outside witness signed, so the holder of the ledger's key could have done so."
                    .to_owned(),
            );
        } else if !outside {
            self.unproven(
                "That the witnesses' keys are theirs: the keys came with the pack. Ask each \
                 witness for its own and give it with --witness."
                    .to_owned(),
            );
        }
        self.policy(keys)
    }

    fn policy(&mut self, keys: &[VerifyingKey]) -> Result<(), Mistake> {
        let (policy, whose) = match &self.trust.policy {
            Some(policy) => (policy.clone(), "your"),
            None if self.pack.has("keys/policy") => {
                let bytes = self.pack.small("keys/policy")?;
                let policy =
                    Policy::parse(&bytes).map_err(|e| Mistake(format!("keys/policy: {e}")))?;
                (policy, "the holder's own")
            }
            None => return Ok(()),
        };
        let judged = policy
            .judge(&self.note, keys)
            .map_err(|e| Mistake(format!("the policy on proofs/checkpoint: {e}")))?;
        let names: Vec<&str> = judged.cosigned.iter().map(|(n, _)| n.as_str()).collect();
        let names = if names.is_empty() {
            "nobody".to_owned()
        } else {
            names.join(", ")
        };
        match (judged.quorum_met, &self.trust.policy) {
            (true, _) => self.proven(format!(
                "The cosignatures are enough for {whose} policy (by {names})."
            )),
            (false, Some(_)) => {
                return mistake(format!(
                    "the cosignatures (by {names}) are not enough for your policy"
                ));
            }
            (false, None) => self.unproven(format!(
                "What the holder's own policy for witnesses asks for: signed by {names} only."
            )),
        }
        Ok(())
    }

    fn proofs(&mut self) -> Result<(), Mistake> {
        let proofs: Vec<String> = self
            .files
            .keys()
            .filter(|p| p.starts_with("proofs/") && p.ends_with(".tlog-proof"))
            .cloned()
            .collect();
        for path in &proofs {
            let (index, kind, entry) = self
                .one_proof(path)
                .map_err(|e| Mistake(format!("{path}: {e}")))?;
            self.entries.insert(index, (kind, entry));
        }
        let stray = self.files.keys().find(|path| {
            let name = path.strip_prefix("proofs/").and_then(|name| {
                name.strip_suffix(".json")
                    .or_else(|| name.strip_suffix(".leaf"))
            });
            name.is_some_and(|name| {
                !name
                    .parse()
                    .is_ok_and(|index: u64| self.entries.contains_key(&index))
            })
        });
        if let Some(path) = stray {
            return mistake(format!("{path} has no proof"));
        }
        self.seen.entries = self.entries.len();
        let erased = self.entries.values().filter(|(_, e)| e.is_none()).count();
        self.proven(format!(
            "{} entries with what this pack tells are on that ledger, each at its place, unchanged \
             since they were written.",
            self.entries.len()
        ));
        if erased > 0 {
            self.unproven(format!(
                "What {erased} entries said: it was erased, by rule."
            ));
        }
        Ok(())
    }

    fn one_proof(&mut self, path: &str) -> Result<(u64, String, Option<Entry>), Mistake> {
        let text = |e: ledger::LedgerError| Mistake(e.to_string());
        let file = ProofFile::parse(&self.pack.small(path)?).map_err(text)?;
        if path != format!("proofs/{}.tlog-proof", file.index) {
            return mistake("its name is another entry's".to_owned());
        }
        if file.checkpoint.as_bytes() != self.note {
            return mistake("it leads to another checkpoint than proofs/checkpoint".to_owned());
        }
        let leaf = self.pack.small(&format!("proofs/{}.leaf", file.index))?;
        let entry: EntryFile = self.json(&format!("proofs/{}.json", file.index))?;
        let Some(checkpoint) = &self.checkpoint else {
            return mistake("there is no checkpoint".to_owned());
        };
        if entry.index != file.index {
            return mistake("the entry's file is another entry's".to_owned());
        }
        verify_inclusion(
            file.index,
            checkpoint.size,
            &leaf_hash(&leaf),
            &file.proof,
            &checkpoint.root,
        )
        .map_err(|e| Mistake(format!("the entry is not in the ledger's tree: {e}")))?;
        let leaf = Leaf::parse(&leaf).map_err(text)?;
        if leaf.seq != file.index {
            return mistake("the leaf has another number".to_owned());
        }
        let (Some(salt), Some(payload)) = (&entry.salt, &entry.payload) else {
            return Ok((file.index, leaf.kind, None));
        };
        let salt = ledger::Hash::from_hex(salt)
            .ok_or_else(|| Mistake("the salt is not 32 bytes of hex".to_owned()))?;
        if commitment(&Salt(salt.0), payload.as_bytes()) != leaf.commitment {
            return mistake("the entry's content is not what the ledger committed to".to_owned());
        }
        let content: Entry = serde_json::from_str(payload)
            .map_err(|e| Mistake(format!("the entry's content cannot be read: {e}")))?;
        if content.kind() != leaf.kind {
            return mistake("the entry is of another kind than its leaf says".to_owned());
        }
        Ok((file.index, leaf.kind, Some(content)))
    }

    fn json<T: serde::de::DeserializeOwned>(&mut self, path: &str) -> Result<T, Mistake> {
        let bytes = self.pack.small(path)?;
        serde_json::from_slice(&bytes).map_err(|e| Mistake(format!("{path}: {e}")))
    }

    /// A document says what the ledger's entry says.
    fn same(&self, index: u64, told: &Entry, what: &str) -> Result<(), Mistake> {
        match self.entries.get(&index) {
            None => mistake(format!(
                "{what} names the ledger entry {index}, which is not in the pack"
            )),
            Some((kind, _)) if kind != told.kind() => mistake(format!(
                "{what} names the ledger entry {index}, which is of another kind"
            )),
            Some((_, Some(entry))) if entry != told => {
                mistake(format!("{what} is not what the ledger entry {index} says"))
            }
            Some(_) => Ok(()),
        }
    }

    fn folders(&self) -> BTreeSet<String> {
        self.files
            .keys()
            .filter_map(|path| path.strip_prefix("data/exhibits/"))
            .filter_map(|path| path.split('/').next())
            .map(str::to_owned)
            .collect()
    }
}
