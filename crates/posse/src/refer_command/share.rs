//! The parts of exhibits that go with referrals: looked at, cut, taken as exhibits of their own.
//!
//! What of a line stays is `casework::referral`'s to say. The parents are read before the lock on
//! numbers is taken, since that may take long; the parts become exhibits under it, before the bag
//! is written and the referral recorded. A run that was cut off leaves whole exhibits, which the
//! next one finds and takes again.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Read as _,
    path::Path,
    thread,
};

use anyhow::{Context as _, Result, anyhow, bail};
use casework::{
    ExhibitRecord, Indexed,
    jurisdiction::Country,
    referral::{Attached, LineCut, Part, Ready, SHARE_METHOD},
};
use evidence::{EvidenceError, Facts};
use model::{Acquisition, ContentHash, Derivation, ShareOf, Timestamp};

use crate::{
    case_command,
    cli::StateArgs,
    config::Config,
    exhibit_command::{self, host, tool},
    record::{Numbers, reading},
    service,
};

/// Larger exhibits are not searched; an extract of one can be.
const PARENT_BYTES_MAX: u64 = 64 << 20;
/// Of all parts together: they are held in memory until the bags are written.
const PARTS_BYTES_MAX: usize = 128 << 20;
/// Each is two files of a bag, and a hand-over takes 10,000.
const PARTS_MAX: usize = 2_000;

/// A part, and what it was cut from.
pub(super) struct Cutting {
    parent: Indexed<Acquisition>,
    part: Part,
}

#[derive(Default)]
pub(super) struct Cuttings {
    by_country: BTreeMap<Country, Vec<Cutting>>,
    bytes: usize,
    pub(super) remarks: Vec<String>,
}

/// Whose exhibits, and who acts.
pub(super) struct Shelf<'a> {
    pub(super) desk: &'a case_command::Desk,
    pub(super) state: &'a StateArgs,
    pub(super) case: &'a str,
}

impl Shelf<'_> {
    /// Reads every exhibit that a referral wants a part of, each look on the ledger before, and
    /// cuts it for each country.
    pub(super) fn cut(&self, ready: &[Ready]) -> Result<Cuttings> {
        let wanted: BTreeSet<&String> = ready.iter().flat_map(|one| &one.wanted).collect();
        if wanted.is_empty() {
            return Ok(Cuttings::default());
        }
        self.as_owner(|desk| {
            desk.tidy();
            let mut cuttings = Cuttings::default();
            for number in wanted {
                self.cut_one(desk, number, ready, &mut cuttings)?;
            }
            Ok(cuttings)
        })
    }

    fn cut_one(
        &self,
        desk: &exhibit_command::Desk,
        number: &str,
        ready: &[Ready],
        cuttings: &mut Cuttings,
    ) -> Result<()> {
        let known = match desk.vault.known(&desk.ledger, number) {
            Err(EvidenceError::Destroyed { .. }) => {
                let remark = format!("{number} was destroyed since: no referral has a part of it");
                cuttings.remarks.push(remark);
                return Ok(());
            }
            other => other?,
        };
        let size = known.acquired.what.bytes;
        if size > PARENT_BYTES_MAX {
            cuttings.remarks.push(format!(
                "{number} has {size} bytes, more than the {PARENT_BYTES_MAX} that are searched: no \
                 referral has a part of it. Make an exhibit of the stretch that matters: posse \
                 exhibit extract {number} --range FROM-TO --reason TEXT"
            ));
            return Ok(());
        }
        let wants = || {
            ready
                .iter()
                .filter(|one| one.wanted.iter().any(|w| w == number))
        };
        let countries: Vec<_> = wants().map(|one| one.country.to_string()).collect();
        let reason = format!("referral of {} to {}", self.case, countries.join(", "));
        let bytes = bytes_of(desk, number, &reason)?;
        for one in wants() {
            let part = one.lines.part(&bytes, &known.acquired.what.sources);
            if part.kept == 0 {
                continue;
            }
            cuttings.bytes = cuttings.bytes.saturating_add(part.bytes.len());
            if cuttings.bytes > PARTS_BYTES_MAX {
                bail!(
                    "the parts of exhibits have more than {PARTS_BYTES_MAX} bytes; refer to one \
                     country at a time (--country CC), or without them (--no-exhibits)"
                );
            }
            let of_country = cuttings.by_country.entry(one.country).or_default();
            if of_country.len() == PARTS_MAX {
                cuttings.remarks.push(format!(
                    "{}: {number} is left out; {PARTS_MAX} exhibits go with one referral",
                    one.country
                ));
                continue;
            }
            let parent = known.acquired.clone();
            of_country.push(Cutting { parent, part });
        }
        Ok(())
    }

    /// The country's parts as exhibits: those that an earlier run made, and new ones.
    pub(super) fn attach(
        &self,
        numbers: &Numbers,
        referral: &str,
        ready: &Ready,
        cuttings: &mut Cuttings,
    ) -> Result<Vec<Attached>> {
        let mine = cuttings.by_country.remove(&ready.country);
        let Some(mine) = mine else {
            return Ok(Vec::new());
        };
        self.as_owner(|desk| {
            let made = made(desk, self.case)?;
            let mut attached = Vec::new();
            for cutting in mine {
                let country = ready.country.to_string();
                let share = ShareOf {
                    country,
                    referral: referral.to_owned(),
                };
                let derivation = cutting.derivation(share);
                let known = made
                    .iter()
                    .find(|one| cutting.is(one, &derivation, &ready.lines));
                let acquired = match known {
                    Some(record) => record.acquired.clone(),
                    None => {
                        let facts = self.facts(&cutting, derivation, &ready.lines);
                        acquire(desk, numbers, &cutting.part.bytes, facts)?
                    }
                };
                attached.push(Attached {
                    acquired,
                    bytes: cutting.part.bytes,
                });
            }
            Ok(attached)
        })
    }

    /// Its record goes with it, so nothing in it may tell of others either.
    fn facts(&self, cutting: &Cutting, derivation: Derivation, lines: &LineCut) -> Facts {
        let (parent, part) = (&cutting.parent.what, &cutting.part);
        let number = &parent.exhibit;
        let share = derivation.share.clone();
        let (country, referral) = share.map(|s| (s.country, s.referral)).unwrap_or_default();
        Facts {
            case: Some(self.case.to_owned()),
            title: format!("The share of {country} of {number}"),
            file_name: format!("{number}-{country}.log"),
            media_type: lines.clean(&parent.media_type),
            by: self.desk.by.clone(),
            role: lines.clean(&parent.role),
            place: lines.clean(&host()),
            method: SHARE_METHOD.to_owned(),
            authority: lines.clean(&parent.authority),
            reason: format!("{referral}, referral of {} to {country}", self.case),
            tool: tool(
                &format!("refer: share of {number} for {country}"),
                String::new(),
            ),
            class: parent.class.clone(),
            tlp: parent.tlp,
            sources: part.sources.clone(),
            alert: parent.alert,
            note: format!(
                "{} of {} lines of {number}: those that name a source of this country's share; \
                 what in them is not of the share reads [withheld]",
                part.kept,
                part.kept + part.left_out
            ),
            parent: Some((derivation, parent.root.clone())),
        }
    }

    /// The vault is its owner's. As root a thread becomes that one, while the caller's own files
    /// stay theirs to write.
    fn as_owner<T: Send>(
        &self,
        work: impl FnOnce(&exhibit_command::Desk) -> Result<T> + Send,
    ) -> Result<T> {
        let dir: &Path = &self.desk.dir;
        let done = thread::scope(|scope| {
            let keeper = scope.spawn(|| {
                service::step_down(dir)?;
                let desk = exhibit_command::Desk::open(self.state, Some(&self.desk.by), false)?;
                // A time server's address may be an internal one, and the record leaves with the
                // part. When things happened is the parent's to prove, with its own clock.
                work(&desk.asking(&Config::default()))
            });
            keeper.join()
        });
        done.map_err(|_| {
            anyhow!("the keeper of the exhibits died; this is a fault of the program")
        })?
    }
}

/// The look is durable before the first byte is read.
fn bytes_of(desk: &exhibit_command::Desk, number: &str, reason: &str) -> Result<Vec<u8>> {
    let looked = desk.look(number, "derive", reason);
    let looked = looked.context("without exhibits: posse refer --no-exhibits")?;
    let mut bytes = Vec::new();
    let mut source = looked.bytes.take(PARENT_BYTES_MAX + 1);
    source.read_to_end(&mut bytes).with_context(|| {
        format!("cannot read {number}; posse exhibit verify {number} tells why")
    })?;
    if ContentHash::of(&bytes) != looked.record.acquired.what.sha256 {
        bail!("{number} is not what was acquired; see: posse exhibit verify {number}");
    }
    Ok(bytes)
}

/// The case's exhibits that were made for a referral and are not destroyed.
fn made(desk: &exhibit_command::Desk, case: &str) -> Result<Vec<ExhibitRecord>> {
    let store = reading(&desk.dir)?;
    let mut made = Vec::new();
    for number in store.exhibits_of(case)? {
        let record = evidence::exhibit(&store, &number, Timestamp::MAX)?;
        made.extend(
            record.filter(|record| record.acquired.what.method == SHARE_METHOD && !record.purged),
        );
    }
    Ok(made)
}

/// Who sent the parent is not told: that may be another country's party.
fn acquire(
    desk: &exhibit_command::Desk,
    numbers: &Numbers,
    bytes: &[u8],
    facts: Facts,
) -> Result<Indexed<Acquisition>> {
    let incoming = desk.vault.take_in(&mut &bytes[..])?;
    let acquired = desk
        .vault
        .acquire_under(numbers, &desk.ledger, &incoming, facts, None)?;
    Ok(Indexed {
        index: acquired.index,
        what: acquired.acquisition,
    })
}

impl Cutting {
    fn derivation(&self, share: ShareOf) -> Derivation {
        Derivation {
            exhibit: self.parent.what.exhibit.clone(),
            sha256: self.parent.what.sha256,
            redactions: self.part.redactions.clone(),
            share: Some(share),
        }
    }

    /// Whether an exhibit is this part for the same country, cut by the same rule: nothing else
    /// was cut, and its record tells nothing that the share does not hold by now.
    fn is(&self, record: &ExhibitRecord, wanted: &Derivation, lines: &LineCut) -> bool {
        let made = &record.acquired.what;
        let country = |d: &Derivation| d.share.as_ref().map(|s| s.country.clone());
        let same = made.parent.as_ref().is_some_and(|found| {
            found.exhibit == wanted.exhibit
                && found.sha256 == wanted.sha256
                && found.redactions == wanted.redactions
                && country(found) == country(wanted)
        });
        let text = serde_json::to_string(made).unwrap_or_default();
        same && made.sha256 == ContentHash::of(&self.part.bytes) && lines.may_read(&text)
    }
}
