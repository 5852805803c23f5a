//! Persons with keys of their own, as the sum of their entries: whose signature counts where on a
//! ledger.
//!
//! Names tell nobody apart, keys do: what takes two people takes the signatures of two keys that
//! were enrolled before and not revoked. One key is one person and one name is one person. Nobody
//! can enrol themselves a second time: the first stands alone, the second needs the first one's
//! word, and every later one the words of two. Must not: take anybody's word for what the ledger
//! does not say; no secret is ever here.

mod text;

use model::{AuthorityAct, PersonAct, PersonSignature, Timestamp};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};

pub(crate) use self::text::{Statement, of_exhibit_act};
pub use self::text::{sign_authority_act, sign_exhibit_act, sign_person_act};
use crate::{Indexed, jurisdiction::same_person};

/// What a key's text begins with.
pub const KEY_PREFIX: &str = "posse-person-";
/// Names of persons.
pub const NAME_CHARS_MAX: usize = 200;
/// Words that an enrolment or a revocation needs once there are enough people to give them.
const WORDS: usize = 2;
const KEY_BYTES: usize = 32;
const SIGNATURE_BYTES: usize = 64;
/// The place of what is not on the ledger yet.
pub(crate) const NOW: u64 = u64::MAX;

/// Why nobody's signature stands behind an act, or an enrolment has no effect.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PersonError {
    #[error("{by} did not sign it with a key of their own")]
    Unsigned { by: String },
    #[error("{text:?} is no person's key: it is {KEY_PREFIX} and 64 digits of hex")]
    Key { text: String },
    #[error("the signature of {by} does not hold")]
    Signature { by: String },
    #[error("the key of {by} was not enrolled then: posse person enroll")]
    NotEnrolled { by: String },
    #[error("the key of {by} was revoked before")]
    Revoked { by: String },
    #[error("it is signed with the key of {owner}, not of {by}")]
    OtherName { by: String, owner: String },
    #[error("a name is one line of at most {NAME_CHARS_MAX} characters")]
    Name,
    #[error("{name} is enrolled with another key; it must be revoked first")]
    NameTaken { name: String },
    #[error("{owner} is or was enrolled with this key; a key is one person's for good")]
    KeyTaken { owner: String },
    #[error("{name} is enrolled with this key already")]
    Enrolled { name: String },
    #[error("nobody with this name and key is enrolled")]
    Nobody,
    #[error("{by} has given their word on it already; another person must")]
    SameWord { by: String },
    #[error("{name} is the last one who is enrolled; enrol another person first")]
    Last { name: String },
}

/// The public half of a person's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PersonKey([u8; KEY_BYTES]);

impl PersonKey {
    pub fn parse(text: &str) -> Result<Self, PersonError> {
        let bytes = text.strip_prefix(KEY_PREFIX).and_then(from_hex);
        bytes.map(Self).ok_or_else(|| PersonError::Key {
            text: text.chars().take(100).collect(),
        })
    }

    /// What people compare by voice: SHA-256 of the key, half of it, in groups of four.
    pub fn fingerprint(&self) -> String {
        let hash = model::ContentHash::of(&self.0).to_string();
        let digits: Vec<char> = hash.chars().take(32).collect();
        let groups: Vec<String> = digits.chunks(4).map(|c| c.iter().collect()).collect();
        groups.join(" ")
    }

    fn verify(&self, text: &str, signature: &str) -> bool {
        from_hex::<SIGNATURE_BYTES>(signature).is_some_and(|signature| {
            UnparsedPublicKey::new(&ED25519, &self.0)
                .verify(text.as_bytes(), &signature)
                .is_ok()
        })
    }
}

impl std::fmt::Display for PersonKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{KEY_PREFIX}{}", to_hex(&self.0))
    }
}

/// A person's name and both halves of their key, in memory only. It does not print.
pub struct Signer {
    name: String,
    key: PersonKey,
    pair: Ed25519KeyPair,
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Signer({:?}, {})", self.name, self.key)
    }
}

impl Signer {
    /// `None`: the name is none.
    pub fn from_seed(name: &str, seed: &[u8; 32]) -> Option<Self> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).ok()?;
        let key = PersonKey(pair.public_key().as_ref().try_into().ok()?);
        is_name(name).then(|| Self {
            name: name.to_owned(),
            key,
            pair,
        })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub const fn key(&self) -> PersonKey {
        self.key
    }

    fn sign(&self, text: &str) -> PersonSignature {
        PersonSignature {
            key: self.key.to_string(),
            signature: to_hex(self.pair.sign(text.as_bytes()).as_ref()),
        }
    }
}

/// One person of a ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    pub name: String,
    pub key: PersonKey,
    /// When the first word for them was given.
    pub at: Timestamp,
    /// The entry from which their signature counts; `None` while another person must vouch.
    pub enrolled: Option<u64>,
    /// The entry from which it no longer does.
    pub revoked: Option<u64>,
    /// The keys that vouched for them.
    pub vouched: Vec<PersonKey>,
    /// The keys that want them revoked.
    pub against: Vec<PersonKey>,
}

impl Person {
    pub const fn counts(&self) -> bool {
        self.enrolled.is_some() && self.revoked.is_none()
    }
}

/// Everybody who was ever enrolled on a ledger.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Persons {
    origin: String,
    all: Vec<Person>,
    /// The entry of the very first enrolment.
    first: Option<u64>,
    /// Acts that had no effect, by their entries, with why.
    pub strays: Vec<(u64, PersonError)>,
}

/// What an enrolment or a revocation does.
#[derive(Clone, Copy)]
struct Weighed {
    key: PersonKey,
    /// Whose word it is; nobody's for the first.
    word: Option<PersonKey>,
    outcome: Outcome,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Done,
    /// Another person must give their word too.
    Waits,
}

impl Persons {
    /// `origin` is the ledger's name, which every signature is for.
    pub fn of(origin: &str, acts: &[Indexed<PersonAct>]) -> Self {
        let mut persons = Self {
            origin: origin.to_owned(),
            ..Self::default()
        };
        for act in acts {
            match persons.weigh(&act.what, act.index) {
                Ok(weighed) => persons.take(act.index, &act.what, weighed),
                Err(why) => persons.strays.push((act.index, why)),
            }
        }
        persons
    }

    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// In the order in which they came; also those who wait and those who were revoked.
    pub fn all(&self) -> &[Person] {
        &self.all
    }

    /// Those whose signatures count now.
    pub fn enrolled(&self) -> impl Iterator<Item = &Person> {
        self.all.iter().filter(|person| person.counts())
    }

    /// Whether nobody had been enrolled yet when this entry was made.
    pub(crate) fn before_anybody(&self, index: u64) -> bool {
        self.first.is_none_or(|first| index < first)
    }

    /// Whether the act would count now.
    pub fn check(&self, act: &PersonAct) -> Result<(), PersonError> {
        self.weigh(act, NOW).map(drop)
    }

    /// Of contacts confirmed and transfers agreed to those that a person signed who was enrolled
    /// then, and all other acts.
    pub fn weighed(&self, acts: Vec<(u64, AuthorityAct)>) -> Vec<AuthorityAct> {
        let counts = |index: u64, act: &AuthorityAct| {
            text::of_authority_act(&self.origin, act)
                .is_none_or(|statement| self.signer(index, &statement).is_ok())
        };
        let acts = acts.into_iter();
        acts.filter(|(index, act)| counts(*index, act))
            .map(|(_, act)| act)
            .collect()
    }

    /// The key that signed the statement, if it is the named person's and counted at its place.
    pub(crate) fn signer(
        &self,
        place: u64,
        statement: &Statement<'_>,
    ) -> Result<PersonKey, PersonError> {
        let by = || statement.by.to_owned();
        let signed = statement.signed;
        let signed = signed.ok_or_else(|| PersonError::Unsigned { by: by() })?;
        let key = PersonKey::parse(&signed.key)?;
        self.counts_at(&key, statement.by, place)?;
        if key.verify(&statement.text, &signed.signature) {
            Ok(key)
        } else {
            Err(PersonError::Signature { by: by() })
        }
    }

    /// Whether the key's signature counts at a place of the ledger, under this name.
    pub(crate) fn counts_at(
        &self,
        key: &PersonKey,
        by: &str,
        place: u64,
    ) -> Result<(), PersonError> {
        let by = || by.to_owned();
        let person = self.person(key);
        let person = person
            .filter(|person| person.enrolled.is_some_and(|since| since < place))
            .ok_or_else(|| PersonError::NotEnrolled { by: by() })?;
        if !same_person(&person.name, &by()) {
            let owner = person.name.clone();
            return Err(PersonError::OtherName { by: by(), owner });
        }
        match person.revoked {
            Some(at) if at < place => Err(PersonError::Revoked { by: by() }),
            _ => Ok(()),
        }
    }

    fn person(&self, key: &PersonKey) -> Option<&Person> {
        self.all.iter().find(|person| person.key == *key)
    }

    fn weigh(&self, act: &PersonAct, place: u64) -> Result<Weighed, PersonError> {
        match act {
            PersonAct::Enrolled { name, key, .. } => {
                self.weigh_enrolment(act, name, PersonKey::parse(key)?, place)
            }
            PersonAct::Revoked { name, key, .. } => {
                self.weigh_revocation(act, name, PersonKey::parse(key)?, place)
            }
        }
    }

    fn weigh_enrolment(
        &self,
        act: &PersonAct,
        name: &str,
        key: PersonKey,
        place: u64,
    ) -> Result<Weighed, PersonError> {
        if !is_name(name) {
            return Err(PersonError::Name);
        }
        let known = self.person(&key);
        if let Some(known) = known {
            let owner = known.name.clone();
            if known.revoked.is_some() || !same_person(&owner, name) {
                return Err(PersonError::KeyTaken { owner });
            }
            if known.enrolled.is_some() {
                return Err(PersonError::Enrolled { name: owner });
            }
        }
        if let Some(other) = self.enrolled().find(|one| same_person(&one.name, name)) {
            let name = other.name.clone();
            return Err(PersonError::NameTaken { name });
        }
        if self.first.is_none() {
            return Ok(Weighed {
                key,
                word: None,
                outcome: Outcome::Done,
            });
        }
        let word = self.signer(place, &text::of_person_act(&self.origin, act))?;
        let before = known.map_or(&[][..], |known| &known.vouched);
        let outcome = self.words(word, before, self.enrolled().count())?;
        Ok(Weighed {
            key,
            word: Some(word),
            outcome,
        })
    }

    fn weigh_revocation(
        &self,
        act: &PersonAct,
        name: &str,
        key: PersonKey,
        place: u64,
    ) -> Result<Weighed, PersonError> {
        let mut enrolled = self.enrolled();
        let who = enrolled.find(|one| one.key == key && same_person(&one.name, name));
        let who = who.ok_or(PersonError::Nobody)?;
        let others = self.enrolled().count().saturating_sub(1);
        if others == 0 {
            let name = who.name.clone();
            return Err(PersonError::Last { name });
        }
        let word = self.signer(place, &text::of_person_act(&self.origin, act))?;
        // Whoever lost a key, or fears it, gives it up alone.
        let outcome = if word == key {
            Outcome::Done
        } else {
            self.words(word, &who.against, others)?
        };
        Ok(Weighed {
            key,
            word: Some(word),
            outcome,
        })
    }

    /// Whether one more word is enough, when so many people could give theirs. Words of those who
    /// were revoked since do not count.
    fn words(
        &self,
        word: PersonKey,
        before: &[PersonKey],
        could: usize,
    ) -> Result<Outcome, PersonError> {
        let counts = |key: &&PersonKey| self.person(key).is_some_and(Person::counts);
        if before.contains(&word) {
            let by = self
                .person(&word)
                .map_or_else(String::new, |p| p.name.clone());
            return Err(PersonError::SameWord { by });
        }
        let given = before.iter().filter(counts).count().saturating_add(1);
        Ok(if given >= WORDS.min(could) {
            Outcome::Done
        } else {
            Outcome::Waits
        })
    }

    fn take(&mut self, index: u64, act: &PersonAct, weighed: Weighed) {
        let done = (weighed.outcome == Outcome::Done).then_some(index);
        let known = self.all.iter_mut().find(|one| one.key == weighed.key);
        match (act, known) {
            (PersonAct::Enrolled { .. }, Some(known)) => {
                known.vouched.extend(weighed.word);
                known.enrolled = done;
            }
            (PersonAct::Enrolled { at, name, .. }, None) => self.all.push(Person {
                name: name.clone(),
                key: weighed.key,
                at: *at,
                enrolled: done,
                revoked: None,
                vouched: weighed.word.into_iter().collect(),
                against: Vec::new(),
            }),
            (PersonAct::Revoked { .. }, Some(known)) => {
                known.against.extend(weighed.word);
                known.revoked = done;
            }
            (PersonAct::Revoked { .. }, None) => {}
        }
        self.first = self.first.or(done);
    }
}

fn is_name(name: &str) -> bool {
    let plain = !name.trim().is_empty() && !name.chars().any(char::is_control);
    plain && name.chars().count() <= NAME_CHARS_MAX
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Lower-case digits, exactly so many bytes.
fn from_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digit = |c: &u8| match c {
        b'0'..=b'9' => Some(c - b'0'),
        b'a'..=b'f' => Some(c - b'a' + 10),
        _ => None,
    };
    let bytes: Option<Vec<u8>> = text
        .as_bytes()
        .chunks(2)
        .map(|pair| match pair {
            [high, low] => Some(digit(high)? << 4 | digit(low)?),
            _ => None,
        })
        .take(N + 1)
        .collect();
    bytes?.try_into().ok()
}

#[cfg(test)]
mod tests;
