//! The log's keys: the one that signs, the one before it while both do, and those of the past,
//! which sign nothing more but must check what they signed.

use ledger::{Checkpoint, Hash, SigningKey, VerifyingKey};
use model::{Entry, Notice, Timestamp};

use crate::{Appended, Store, StoreError, dir::StateDir};

pub(crate) struct Keys {
    current: SigningKey,
    previous: Option<SigningKey>,
    /// Current, previous, then those of the past.
    known: Vec<VerifyingKey>,
}

impl Keys {
    pub(crate) fn of(current: SigningKey) -> Self {
        Self::all(current, None, Vec::new())
    }

    fn all(current: SigningKey, previous: Option<SigningKey>, retired: Vec<VerifyingKey>) -> Self {
        let mut known = vec![current.public().clone()];
        known.extend(previous.iter().map(|key| key.public().clone()));
        for key in retired {
            if !known.contains(&key) {
                known.push(key);
            }
        }
        Self {
            current,
            previous,
            known,
        }
    }

    pub(crate) fn read(dir: &StateDir) -> Result<Option<Self>, StoreError> {
        let Some(current) = dir.read_key()? else {
            return Ok(None);
        };
        // Alike when the program ended between the two steps of a change.
        let previous = dir
            .read_previous_key()?
            .filter(|key| key.public() != current.public());
        Ok(Some(Self::all(current, previous, dir.read_retired()?)))
    }

    pub(crate) fn origin(&self) -> &str {
        self.current.public().name()
    }

    pub(crate) const fn current(&self) -> &VerifyingKey {
        self.current.public()
    }

    /// Every key that this log ever signed with.
    pub(crate) fn known(&self) -> &[VerifyingKey] {
        &self.known
    }

    /// By the current key alone.
    pub(crate) fn sign_note(&self, text: &str) -> String {
        self.current.sign_note(text)
    }

    pub(crate) fn sign(&self, size: u64, root: &Hash) -> String {
        match &self.previous {
            Some(previous) => Checkpoint::sign_by_both(size, root, &self.current, previous),
            None => Checkpoint::sign(size, root, &self.current),
        }
    }
}

impl Store {
    /// The log's keys in C2SP's vkey form: the one that signs, the one before it while both do,
    /// then those that only check what is old.
    pub fn vkeys(&self) -> Vec<String> {
        self.keys.known().iter().map(ToString::to_string).collect()
    }

    /// Begins to sign by a new key beside the present one; both sign until
    /// [`Store::finish_rotation`], so that whoever knows only one of them can follow.
    pub fn begin_rotation(&mut self, now: Timestamp) -> Result<Appended, StoreError> {
        let dir = self.own_dir()?;
        if self.keys.previous.is_some() {
            return Err(StoreError::RotationUnderWay);
        }
        dir.rotate_key(self.keys.origin())?;
        self.reread(&dir)?;
        let text = format!(
            "checkpoints are now signed by {} beside {}",
            self.keys.current(),
            self.previous_vkey()
        );
        self.note_rotation(text, now)
    }

    /// From now on the new key alone signs; the secret of the old one is destroyed.
    pub fn finish_rotation(&mut self, now: Timestamp) -> Result<Appended, StoreError> {
        let dir = self.own_dir()?;
        let Some(previous) = &self.keys.previous else {
            return Err(StoreError::NoRotation);
        };
        dir.retire_previous_key(previous.public())?;
        let retired = previous.public().to_string();
        self.reread(&dir)?;
        let text = format!("{retired} signs no more checkpoints of this log");
        self.note_rotation(text, now)
    }

    fn own_dir(&self) -> Result<StateDir, StoreError> {
        if self.is_read_only() {
            return Err(StoreError::ReadOnly);
        }
        StateDir::existing(&self.dir)
    }

    fn reread(&mut self, dir: &StateDir) -> Result<(), StoreError> {
        let (key, database) = (dir.key_file(), dir.database());
        self.keys = Keys::read(dir)?.ok_or(StoreError::KeyMissing { key, database })?;
        Ok(())
    }

    fn previous_vkey(&self) -> String {
        let previous = self.keys.previous.as_ref();
        previous.map_or_else(String::new, |key| key.public().to_string())
    }

    /// A change of keys is on the record, and makes a checkpoint that shows it.
    fn note_rotation(&mut self, text: String, now: Timestamp) -> Result<Appended, StoreError> {
        let notice = Entry::Notice(Notice {
            at: now,
            code: "ledger_key".to_owned(),
            text,
            prefixes: Vec::new(),
        });
        let appended = self.append(&[notice], now)?;
        let none = StoreError::NoSuchEntry { index: 0, size: 0 };
        appended.first().copied().ok_or(none)
    }
}
