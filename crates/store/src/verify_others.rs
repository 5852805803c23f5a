//! The ledger held against what others say of it: cosignatures, time stamps, checkpoints kept
//! elsewhere. A part of the full verification, which gives the root at each size asked for.

use std::collections::BTreeMap;

use ledger::{Checkpoint, CosignerKey, Hash, Policy, VerifyingKey};
use rusqlite::Connection;

use crate::{
    Stamp, Store, StoreError, VerifyAgainst, VerifyFailure, attest,
    convert::unsigned,
    verify::{broken, fail},
};

/// Everything that others say, read before the tree is computed.
pub(crate) struct Others<'a> {
    against: &'a VerifyAgainst,
    keys: &'a [VerifyingKey],
    cosignatures: Vec<Cosignature>,
    cosigned: Vec<(u64, String)>,
    stamps: Vec<Stamp>,
    witnesses: usize,
    policy: Option<String>,
    /// Named by what it is called in a failure; opened already.
    claims: Vec<(String, Checkpoint)>,
}

struct Cosignature {
    size: u64,
    witness: String,
    at: u64,
    line: String,
}

pub(crate) struct Told {
    pub(crate) cosignatures: u64,
    pub(crate) cosigned: Option<u64>,
    pub(crate) stamps: u64,
}

type Roots = BTreeMap<u64, Option<Hash>>;

impl<'a> Others<'a> {
    pub(crate) fn read(
        db: &Connection,
        store: &'a Store,
        against: &'a VerifyAgainst,
    ) -> Result<Self, VerifyFailure> {
        let mut others = Self {
            against,
            keys: store.keys.known(),
            cosignatures: cosignatures(db).map_err(broken)?,
            cosigned: cosigned(db).map_err(broken)?,
            stamps: attest::stamps(db).map_err(broken)?,
            witnesses: attest::witnesses(db).map_err(broken)?.len(),
            policy: match &against.policy {
                Some(text) => Some(text.clone()),
                None => attest::policy(db).map_err(broken)?,
            },
            claims: Vec::new(),
        };
        others.claims = others.claims()?;
        Ok(others)
    }

    /// Every whole checkpoint that someone holds of this log.
    fn claims(&self) -> Result<Vec<(String, Checkpoint)>, VerifyFailure> {
        let mut claims = Vec::new();
        for (size, note) in &self.cosigned {
            let what = format!("cosigned checkpoint of size {size}");
            let opened = self.open(&what, note.as_bytes())?;
            if opened.size != *size {
                return Err(fail(&what, format!("it is of {} entries", opened.size)));
            }
            claims.push((what, opened));
        }
        for stamp in &self.stamps {
            let what = format!("time stamp of {} by {}", stamp.at, stamp.authority);
            let opened = self.open(&what, stamp.checkpoint.as_bytes())?;
            claims.push((what, opened));
        }
        for (name, note) in &self.against.earlier {
            let what = format!("earlier checkpoint {name}");
            let opened = self.open(&what, note)?;
            claims.push((what, opened));
        }
        Ok(claims)
    }

    fn open(&self, what: &str, note: &[u8]) -> Result<Checkpoint, VerifyFailure> {
        Checkpoint::open_any(note, self.keys).map_err(|e| fail(what, e.to_string()))
    }

    pub(crate) fn sizes(&self) -> impl Iterator<Item = u64> {
        let claims = self.claims.iter().map(|(_, claim)| claim.size);
        claims.chain(self.cosignatures.iter().map(|c| c.size))
    }

    pub(crate) fn check(&self, roots: &Roots, newest: &str) -> Result<Told, VerifyFailure> {
        for (what, claim) in &self.claims {
            let root = root_at(roots, what, claim.size)?;
            if root != claim.root {
                let why = format!(
                    "another history: its root is {}, the entries give {root}",
                    claim.root
                );
                return Err(fail(what, why));
            }
        }
        for cosignature in &self.cosignatures {
            self.cosignature(cosignature, roots)?;
        }
        self.shown(newest)?;
        Ok(Told {
            cosignatures: self.cosignatures.len() as u64,
            cosigned: self.cosigned.last().map(|(size, _)| *size),
            stamps: self.stamps.len() as u64,
        })
    }

    /// By itself: the checkpoint's text follows from its size.
    fn cosignature(&self, kept: &Cosignature, roots: &Roots) -> Result<(), VerifyFailure> {
        let key = CosignerKey::parse(&kept.witness);
        let name = key.as_ref().map_or("a witness", CosignerKey::name);
        let what = format!("cosignature of {name} on size {}", kept.size);
        let key = match &key {
            Ok(key) => key,
            Err(e) => return Err(fail(&what, e.to_string())),
        };
        let root = root_at(roots, &what, kept.size)?;
        let origin = self.keys.first().map_or("", VerifyingKey::name);
        let text = format!("{origin}\n{}\n{}\n", kept.size, root.to_base64());
        let note = format!("{text}\n{}", kept.line);
        match key.verify(note.as_bytes()) {
            Ok(Some(at)) if at == kept.at => Ok(()),
            Ok(Some(_)) => Err(fail(&what, "its time is another than the one signed")),
            Ok(None) => Err(fail(&what, "it is by another key")),
            Err(e) => Err(fail(&what, format!("{e}: it is of another checkpoint"))),
        }
    }

    /// What readers are shown must have what was asked of it.
    fn shown(&self, newest: &str) -> Result<(), VerifyFailure> {
        let shown = self.cosigned.last().map_or(newest, |(_, note)| note);
        let what = "published checkpoint";
        if let Some(vkey) = &self.against.vkey {
            let key = VerifyingKey::parse(vkey).map_err(|e| fail("key given", e.to_string()))?;
            Checkpoint::open(shown.as_bytes(), &key).map_err(|e| fail(what, e.to_string()))?;
        }
        for vkey in &self.against.witnesses {
            let key = CosignerKey::parse(vkey).map_err(|e| fail("witness given", e.to_string()))?;
            match key.verify(shown.as_bytes()) {
                Ok(Some(_)) => {}
                Ok(None) => {
                    let why = format!("the witness {} has not cosigned it", key.name());
                    return Err(fail(what, why));
                }
                Err(e) => return Err(fail(what, e.to_string())),
            }
        }
        match &self.policy {
            Some(text) => self.meets(text, what, shown),
            None if self.witnesses > 0 && self.cosigned.is_empty() => Err(fail(
                what,
                "no witness has cosigned any; ask: posse ledger witness status",
            )),
            None => Ok(()),
        }
    }

    fn meets(&self, policy: &str, what: &str, shown: &str) -> Result<(), VerifyFailure> {
        let policy = Policy::parse(policy.as_bytes()).map_err(|e| fail("policy", e.to_string()))?;
        let judged = policy
            .judge(shown.as_bytes(), self.keys)
            .map_err(|e| fail(what, e.to_string()))?;
        if judged.quorum_met {
            return Ok(());
        }
        let names: Vec<String> = judged.cosigned.into_iter().map(|(name, _)| name).collect();
        let by = if names.is_empty() {
            "no witness of the policy".to_owned()
        } else {
            names.join(", ")
        };
        let why = format!("it does not meet the policy: cosigned by {by}");
        Err(fail(what, why))
    }
}

fn root_at(roots: &Roots, what: &str, size: u64) -> Result<Hash, VerifyFailure> {
    match roots.get(&size) {
        Some(Some(root)) => Ok(*root),
        _ => Err(fail(what, "the ledger has shrunk below it")),
    }
}

fn cosignatures(db: &Connection) -> Result<Vec<Cosignature>, StoreError> {
    let mut statement =
        db.prepare("SELECT size, witness, at, line FROM cosignature ORDER BY size, witness")?;
    let rows = statement.query_map([], |row| {
        Ok(Cosignature {
            size: unsigned(row.get(0)?),
            witness: row.get(1)?,
            at: unsigned(row.get(2)?),
            line: row.get(3)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn cosigned(db: &Connection) -> Result<Vec<(u64, String)>, StoreError> {
    let mut statement = db.prepare("SELECT size, note FROM cosigned ORDER BY size")?;
    let rows = statement.query_map([], |row| Ok((unsigned(row.get(0)?), row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}
