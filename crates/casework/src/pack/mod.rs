//! The court pack: what is in the file that goes to an authority, as names and bytes.
//!
//! Stands at the end of a case's way: a [`Dossier`], the ledger's entries about it with their
//! proofs, and the log's keys become a BagIt 1.0 bag (RFC 8493). The bytes of exhibits are not
//! here; their places in the bag are, with the hashes of their acquisition. The same case at the
//! same moment gives the same bytes: everything is sorted, and every id derives from what it
//! names.

mod bag;
mod documents;
mod identity;
mod paths;
mod readme;
mod stix;
mod timeline;
mod uco;
mod words;

use std::collections::BTreeMap;

use model::{CaseStep, ContentHash, Timestamp};

use crate::{Dossier, ExhibitRecord};

pub use bag::{BagError, Manifest, decode_path, encode_path, parse_manifest, parse_tags};
pub use documents::{AcquisitionFile, AlertFile, CustodyFile, CustodyLine, EntryFile};
pub use identity::{NAMESPACE, uuid_v5};
pub use timeline::{
    Moment, MomentKind, custody_text, milestone_text, outcome_text, reached_text, timeline,
};
pub use words::{money, seconds_utc};

/// Exhibits, entries and rules of one pack.
pub const ITEMS_MAX: usize = 200_000;

/// The verifier that every pack carries: one file, Python's standard library only.
pub const VERIFIER: &str = include_str!("../../data/verify.py");

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PackError {
    #[error("{what} {name:?} cannot be a file's name in a pack")]
    Name { what: &'static str, name: String },
    #[error("two things in the pack are both called {name}")]
    Twice { name: String },
    #[error("the ledger entry {index} about {what} came without its proof")]
    Unproven { index: u64, what: String },
    #[error("{0} is too much for one pack (at most {ITEMS_MAX} exhibits, entries and rules)")]
    TooMuch(usize),
    #[error("the report or a document of the pack could not be written: {0}")]
    Json(String),
}

/// A ledger entry as it goes into the pack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedEntry {
    pub index: u64,
    /// The leaf's exact bytes.
    pub leaf: Vec<u8>,
    /// What opens the leaf's commitment; `None` when the payload was erased.
    pub opened: Option<Opened>,
    /// Its C2SP tlog-proof, as text.
    pub proof: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    pub salt: [u8; 32],
    pub payload: String,
}

/// An RFC 3161 token over a checkpoint of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp {
    pub authority: String,
    pub at: Timestamp,
    /// The bytes that were stamped: a checkpoint.
    pub checkpoint: String,
    pub token: Vec<u8>,
    pub ca_pem: Option<String>,
}

/// The log that the entries stand in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogFacts {
    /// The log's keys in C2SP's vkey form; two while one is being replaced.
    pub keys: Vec<String>,
    /// Name and vkey of each witness.
    pub witnesses: Vec<(String, String)>,
    /// C2SP tlog-policy: how many cosignatures are asked for.
    pub policy: Option<String>,
    /// The checkpoint that the proofs lead to, with all its signatures.
    pub checkpoint: String,
    pub stamps: Vec<Stamp>,
}

/// A file of detection content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleText {
    pub path: String,
    pub text: String,
}

pub struct PackSources<'a> {
    pub dossier: &'a Dossier,
    pub entries: &'a [SealedEntry],
    pub log: &'a LogFacts,
    pub rules: &'a [RuleText],
    /// The report for people, as PDF.
    pub report: &'a [u8],
    /// Name and version of the program: `posse 0.1.0`.
    pub tool: &'a str,
}

/// Where the bytes of a file come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    Bytes(Vec<u8>),
    /// The raw bytes of an exhibit, to be read from where it is kept.
    Exhibit(ExhibitBytes),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExhibitBytes {
    pub exhibit: String,
    pub bytes: u64,
    pub sha256: ContentHash,
    /// Lower-case hex.
    pub sha512: String,
}

/// One file of the bag, its path from the bag's own folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackFile {
    pub path: String,
    pub content: Content,
}

/// A whole pack: files in the order in which they are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pack {
    /// The bag's folder: the case's number.
    pub folder: String,
    pub files: Vec<PackFile>,
    /// SHA-256 of `tagmanifest-sha256.txt`, which covers all else: names the pack.
    pub manifest: ContentHash,
    /// The case's clock, which is also the time of the files in a zip.
    pub at: Timestamp,
}

/// Puts a pack together.
pub fn assemble(sources: &PackSources<'_>) -> Result<Pack, PackError> {
    let dossier = sources.dossier;
    let items = dossier.exhibits.len() + sources.entries.len() + sources.rules.len();
    if items > ITEMS_MAX {
        return Err(PackError::TooMuch(items));
    }
    all_proven(sources)?;
    let folder = paths::plain("the case", &dossier.case.id)?;
    let mut payload = Files::default();
    for exhibit in &dossier.exhibits {
        exhibit_files(exhibit, &mut payload)?;
    }
    payload.put("data/report.pdf", sources.report.to_vec())?;
    payload.put("data/case.jsonld", uco::document(dossier, sources.tool)?)?;
    payload.put("data/stix.json", stix::bundle(dossier)?)?;
    payload.put("data/alerts.json", documents::alerts(dossier)?)?;
    payload.put("data/case.json", documents::case(dossier)?)?;
    payload.put("data/timeline.csv", timeline::csv(dossier).into_bytes())?;
    for rule in sources.rules {
        let path = paths::rule(&rule.path)?;
        payload.put(&path, rule.text.clone().into_bytes())?;
    }
    let mut tags = Files::default();
    tags.put("README.txt", readme::text(sources).into_bytes())?;
    tags.put("verify/verify.py", VERIFIER.as_bytes().to_vec())?;
    proof_files(sources, &mut tags)?;
    key_files(sources.log, &mut tags)?;
    let (files, manifest) = bag::close(dossier, sources.tool, payload.0, tags.0);
    Ok(Pack {
        folder,
        files,
        manifest,
        at: dossier.now,
    })
}

/// The dossier without the notes that are stricter than the case itself: they stay with the
/// holder.
pub fn within_tlp(mut dossier: Dossier) -> Dossier {
    let limit = dossier.case.tlp;
    dossier.case.notes.retain(|note| note.tlp <= limit);
    dossier.case.steps.retain(|step| match &step.act.step {
        CaseStep::NoteAdded { tlp, .. } => *tlp <= limit,
        _ => true,
    });
    dossier
}

/// Every act that the pack shows must be provable from it.
fn all_proven(sources: &PackSources<'_>) -> Result<(), PackError> {
    let proven: std::collections::BTreeSet<u64> = sources.entries.iter().map(|e| e.index).collect();
    for (index, what) in wanted_entries(sources.dossier) {
        if !proven.contains(&index) {
            return Err(PackError::Unproven { index, what });
        }
    }
    Ok(())
}

/// The ledger entries that a pack of this dossier must prove, each with what it is about.
pub fn wanted_entries(dossier: &Dossier) -> BTreeMap<u64, String> {
    let mut wanted = BTreeMap::new();
    let mut want = |index: u64, what: String| {
        wanted.entry(index).or_insert(what);
    };
    for step in &dossier.case.steps {
        want(step.index, dossier.case.id.clone());
    }
    for exhibit in &dossier.exhibits {
        let number = &exhibit.acquired.what.exhibit;
        want(exhibit.acquired.index, number.clone());
        for step in &exhibit.custody {
            want(step.index, number.clone());
        }
    }
    for alert in &dossier.alerts {
        want(alert.index, format!("alert {}", alert.what.id));
    }
    for ban in &dossier.bans {
        want(ban.index, format!("the ban of {}", ban.what.prefix));
    }
    for release in &dossier.releases {
        want(
            release.index,
            format!("the release of {}", release.what.prefix),
        );
    }
    for handover in &dossier.handovers {
        want(handover.index, "a hand-over".to_owned());
    }
    wanted
}

/// Files by path; a path counts once.
#[derive(Default)]
struct Files(BTreeMap<String, Content>);

impl Files {
    fn put(&mut self, path: &str, bytes: Vec<u8>) -> Result<(), PackError> {
        self.add(path, Content::Bytes(bytes))
    }

    fn add(&mut self, path: &str, content: Content) -> Result<(), PackError> {
        match self.0.insert(path.to_owned(), content) {
            None => Ok(()),
            Some(_) => Err(PackError::Twice {
                name: path.to_owned(),
            }),
        }
    }
}

fn exhibit_files(exhibit: &ExhibitRecord, files: &mut Files) -> Result<(), PackError> {
    let acquired = &exhibit.acquired.what;
    let number = paths::plain("the exhibit", &acquired.exhibit)?;
    let folder = format!("data/exhibits/{number}");
    if !exhibit.purged {
        let content = Content::Exhibit(ExhibitBytes {
            exhibit: number,
            bytes: acquired.bytes,
            sha256: acquired.sha256,
            sha512: acquired.sha512.clone(),
        });
        files.add(&format!("{folder}/raw"), content)?;
    }
    files.put(
        &format!("{folder}/acquisition.json"),
        documents::acquisition(exhibit)?,
    )?;
    files.put(
        &format!("{folder}/custody.json"),
        documents::custody(exhibit)?,
    )
}

fn proof_files(sources: &PackSources<'_>, files: &mut Files) -> Result<(), PackError> {
    for entry in sources.entries {
        let index = entry.index;
        files.put(
            &format!("proofs/{index}.tlog-proof"),
            entry.proof.clone().into_bytes(),
        )?;
        // Exactly what the tree's hash is over, as tools for C2SP's proofs want it.
        files.put(&format!("proofs/{index}.leaf"), entry.leaf.clone())?;
        files.put(&format!("proofs/{index}.json"), documents::entry(entry)?)?;
    }
    let log = sources.log;
    files.put("proofs/checkpoint", log.checkpoint.clone().into_bytes())?;
    for (number, stamp) in (1..).zip(&log.stamps) {
        let name = format!("proofs/stamp-{number}");
        files.put(&format!("{name}.tsr"), stamp.token.clone())?;
        // Exactly what was stamped, so that `openssl ts -verify -data` has its file.
        files.put(
            &format!("{name}.checkpoint"),
            stamp.checkpoint.clone().into_bytes(),
        )?;
        if let Some(pem) = &stamp.ca_pem {
            files.put(&format!("{name}.ca.pem"), pem.clone().into_bytes())?;
        }
    }
    Ok(())
}

fn key_files(log: &LogFacts, files: &mut Files) -> Result<(), PackError> {
    let lines = |keys: &mut dyn Iterator<Item = &str>| {
        keys.fold(String::new(), |text, key| text + key + "\n")
    };
    let keys = lines(&mut log.keys.iter().map(String::as_str));
    files.put("keys/log.vkey", keys.into_bytes())?;
    if !log.witnesses.is_empty() {
        let keys = lines(&mut log.witnesses.iter().map(|(_, key)| key.as_str()));
        files.put("keys/witnesses.vkey", keys.into_bytes())?;
    }
    if let Some(policy) = &log.policy {
        files.put("keys/policy", policy.clone().into_bytes())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
