//! C2SP tlog-policy: which logs are trusted, and which witnesses' cosignatures a checkpoint needs.

use crate::{Checkpoint, CosignerKey, LedgerError, VerifyingKey, note::Note};

pub const POLICY_BYTES_MAX: usize = 64 << 10;
/// tlog-policy asks for at least 32 of each.
const LOGS_MAX: usize = 64;
const WITNESSES_MAX: usize = 64;
const GROUPS_MAX: usize = 64;

/// A policy file's content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    pub logs: Vec<PolicyLog>,
    pub witnesses: Vec<PolicyWitness>,
    /// Witnesses and groups in the order of their lines: a group's members stand before it.
    rules: Vec<Rule>,
    /// What must hold; `None` for `quorum none`.
    quorum: Option<usize>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyLog {
    pub key: VerifyingKey,
    pub url: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyWitness {
    /// Its name within the policy; its key has a name of its own.
    pub name: String,
    pub key: CosignerKey,
    pub url: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Rule {
    /// By its place in `witnesses`.
    Witness(usize),
    Group {
        threshold: usize,
        /// By their places in `rules`.
        members: Vec<usize>,
    },
}

/// What a policy says of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    pub checkpoint: Checkpoint,
    /// Who cosigned, by the names of the policy, and when (seconds).
    pub cosigned: Vec<(String, u64)>,
    pub quorum_met: bool,
}

impl Policy {
    pub fn parse(bytes: &[u8]) -> Result<Self, LedgerError> {
        if bytes.len() > POLICY_BYTES_MAX {
            return Err(LedgerError::TooLong {
                limit: POLICY_BYTES_MAX,
            });
        }
        let mut reader = Reader::default();
        let whole = bytes.strip_suffix(b"\n");
        if whole.is_none() && !bytes.is_empty() {
            let line = bytes.split(|b| *b == b'\n').count();
            return Err(LedgerError::Policy {
                line,
                why: "the last line has no line end",
            });
        }
        for (line, text) in (1..).zip(whole.unwrap_or_default().split(|b| *b == b'\n')) {
            reader
                .line(text)
                .map_err(|why| LedgerError::Policy { line, why })?;
        }
        let line = bytes.split(|b| *b == b'\n').count();
        let quorum = reader.quorum.ok_or(LedgerError::Policy {
            line,
            why: "there is no quorum line",
        })?;
        Ok(Self {
            logs: reader.logs,
            witnesses: reader.witnesses,
            rules: reader.rules,
            quorum,
        })
    }

    /// Checks the log's signature and every cosignature by a witness of the policy; one bad one
    /// of them is an error. `known` are the log's keys where the policy names no log.
    pub fn judge(&self, note: &[u8], known: &[VerifyingKey]) -> Result<Judgement, LedgerError> {
        let note = Note::parse(note)?;
        let listed: Vec<VerifyingKey> = self.logs.iter().map(|log| log.key.clone()).collect();
        let keys = if listed.is_empty() { known } else { &listed };
        let checkpoint = Checkpoint::open_note(&note, keys)?;
        let mut times = Vec::with_capacity(self.witnesses.len());
        for witness in &self.witnesses {
            times.push(witness.key.verify_note(&note)?);
        }
        let mut holds: Vec<bool> = Vec::with_capacity(self.rules.len());
        for rule in &self.rules {
            holds.push(match rule {
                Rule::Witness(at) => times.get(*at).is_some_and(Option::is_some),
                Rule::Group { threshold, members } => {
                    let met = |at: &&usize| holds.get(**at).copied().unwrap_or(false);
                    members.iter().filter(met).count() >= *threshold
                }
            });
        }
        let cosigned = self.witnesses.iter().zip(&times);
        let cosigned = cosigned.filter_map(|(w, time)| Some((w.name.clone(), (*time)?)));
        Ok(Judgement {
            checkpoint,
            cosigned: cosigned.collect(),
            quorum_met: self
                .quorum
                .is_none_or(|at| holds.get(at).copied().unwrap_or(false)),
        })
    }
}

#[derive(Default)]
struct Reader {
    logs: Vec<PolicyLog>,
    witnesses: Vec<PolicyWitness>,
    rules: Vec<Rule>,
    /// Of each rule; opaque bytes.
    names: Vec<Vec<u8>>,
    groups: usize,
    /// Which rules are a group's member already.
    taken: Vec<usize>,
    quorum: Option<Option<usize>>,
}

type Why = &'static str;

impl Reader {
    fn line(&mut self, text: &[u8]) -> Result<(), Why> {
        // tlog-policy, character set.
        if text
            .iter()
            .any(|b| (*b < 0x20 && *b != b'\t') || *b == 0x7f)
        {
            return Err("a control character");
        }
        let mut words = text
            .split(|b| matches!(b, b' ' | b'\t'))
            .filter(|word| !word.is_empty());
        let Some(first) = words.next().filter(|word| !word.starts_with(b"#")) else {
            return Ok(());
        };
        let words: Vec<&[u8]> = words.collect();
        match first {
            b"log" => self.log(&words),
            b"witness" => self.witness(&words),
            b"group" => self.group(&words),
            b"quorum" => self.quorum(&words),
            _ => Err("it begins with none of log, witness, group, quorum"),
        }
    }

    fn log(&mut self, words: &[&[u8]]) -> Result<(), Why> {
        let (vkey, url) = match words {
            [vkey] => (vkey, None),
            [vkey, url] => (vkey, Some(string(url)?)),
            _ => return Err("write: log VKEY [URL]"),
        };
        let key = VerifyingKey::parse(&string(vkey)?).map_err(|_| "no vkey of a log")?;
        let same = |log: &PolicyLog| log.key.public_bytes() == key.public_bytes();
        if self.logs.iter().any(same) {
            return Err("this log's key is listed twice");
        }
        if self.logs.len() >= LOGS_MAX {
            return Err("too many logs");
        }
        self.logs.push(PolicyLog { key, url });
        Ok(())
    }

    fn witness(&mut self, words: &[&[u8]]) -> Result<(), Why> {
        let (name, vkey, url) = match words {
            [name, vkey] => (name, vkey, None),
            [name, vkey, url] => (name, vkey, Some(string(url)?)),
            _ => return Err("write: witness NAME VKEY [URL]"),
        };
        let key =
            CosignerKey::parse(&string(vkey)?).map_err(|_| "no vkey of a witness (type 0x04)")?;
        if self.witnesses.iter().any(|w| w.key.is_same_key(&key)) {
            return Err("this witness's key is listed twice");
        }
        if self.witnesses.len() >= WITNESSES_MAX {
            return Err("too many witnesses");
        }
        self.define(name, Rule::Witness(self.witnesses.len()))?;
        self.witnesses.push(PolicyWitness {
            name: String::from_utf8_lossy(name).into_owned(),
            key,
            url,
        });
        Ok(())
    }

    fn group(&mut self, words: &[&[u8]]) -> Result<(), Why> {
        let [name, threshold, members @ ..] = words else {
            return Err("write: group NAME all|any|K MEMBER…");
        };
        if members.is_empty() {
            return Err("the group has no members");
        }
        let threshold = match *threshold {
            b"all" => members.len(),
            b"any" => 1,
            number => std::str::from_utf8(number)
                .ok()
                .and_then(crate::text::decimal)
                .and_then(|k| usize::try_from(k).ok())
                .filter(|k| (1..=members.len()).contains(k))
                .ok_or("the threshold is not all, any or a number from 1 to the members'")?,
        };
        if self.groups >= GROUPS_MAX {
            return Err("too many groups");
        }
        let mut places = Vec::with_capacity(members.len());
        for member in members {
            let place = self.find(member)?;
            // tlog-policy: each name is a member at most once, over all groups.
            if self.taken.contains(&place) {
                return Err("a name is a group's member twice");
            }
            self.taken.push(place);
            places.push(place);
        }
        self.groups += 1;
        let rule = Rule::Group {
            threshold,
            members: places,
        };
        self.define(name, rule)
    }

    fn quorum(&mut self, words: &[&[u8]]) -> Result<(), Why> {
        let [name] = words else {
            return Err("write: quorum NAME");
        };
        if self.quorum.is_some() {
            return Err("there is a quorum line already");
        }
        self.quorum = Some(match *name {
            b"none" => None,
            name => Some(self.find(name)?),
        });
        Ok(())
    }

    fn define(&mut self, name: &[u8], rule: Rule) -> Result<(), Why> {
        if name == b"none" || self.names.iter().any(|known| known == name) {
            return Err("the name is taken");
        }
        self.names.push(name.to_owned());
        self.rules.push(rule);
        Ok(())
    }

    fn find(&self, name: &[u8]) -> Result<usize, Why> {
        let place = self.names.iter().position(|known| known == name);
        place.ok_or("a name that no line above defines")
    }
}

fn string(bytes: &[u8]) -> Result<String, Why> {
    // Names are opaque bytes; keys and addresses are used, so they must be text.
    String::from_utf8(bytes.to_owned()).map_err(|_| "not UTF-8")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{CosigningKey, Hash, SigningKey, add_signatures};

    fn witness(seed: u8) -> CosigningKey {
        CosigningKey::from_seed(&format!("w{seed}.example"), [seed; 32]).unwrap()
    }

    fn log() -> SigningKey {
        SigningKey::from_seed("log.example/evidence", [99; 32]).unwrap()
    }

    fn lines(seeds: std::ops::RangeInclusive<u8>) -> String {
        seeds
            .map(|s| format!("witness w{s} {}\n", witness(s).public()))
            .collect()
    }

    fn cosigned(by: &[u8]) -> String {
        let note = Checkpoint::sign(42, &Hash([9; 32]), &log());
        by.iter().fold(note, |note, seed| {
            let line = witness(*seed)
                .cosign(note.as_bytes(), u64::from(*seed))
                .unwrap();
            add_signatures(&note, &line).unwrap()
        })
    }

    fn met(policy: &str, by: &[u8]) -> bool {
        let policy = Policy::parse(policy.as_bytes()).unwrap();
        let judged = policy.judge(cosigned(by).as_bytes(), &[log().public().clone()]);
        judged.unwrap().quorum_met
    }

    #[test]
    fn two_levels_of_groups() {
        let text = format!(
            "# an example\n\nlog {} https://log.example/\n{}\
             group X 2 w1 w2 w3\ngroup  Y\tany w4 w5 w6 \ngroup both all X Y\nquorum both\n",
            log().public(),
            lines(1..=6)
        );
        assert!(met(&text, &[1, 3, 6]));
        assert!(met(&text, &[1, 2, 3, 4, 5, 6]));
        for too_few in [&[1, 6][..], &[1, 2, 3], &[4, 5, 6], &[]] {
            assert!(!met(&text, too_few), "{too_few:?}");
        }
        let policy = Policy::parse(text.as_bytes()).unwrap();
        let judged = policy.judge(cosigned(&[1, 3]).as_bytes(), &[]).unwrap();
        assert_eq!(judged.cosigned, [("w1".into(), 1), ("w3".into(), 3)]);
        assert_eq!(judged.checkpoint.size, 42);
        assert_eq!(policy.logs[0].url.as_deref(), Some("https://log.example/"));
    }

    #[test]
    fn a_single_witness_or_none() {
        let one = format!("{}quorum w1\n", lines(1..=2));
        assert!(met(&one, &[1]));
        assert!(!met(&one, &[2]));
        assert!(met("quorum none\n", &[]));
        assert!(met(&format!("{}quorum none\n", lines(1..=1)), &[]));
    }

    #[test]
    fn another_log_or_a_moved_cosignature_is_an_error() {
        let policy = format!("log {}\n{}quorum w1\n", log().public(), lines(1..=1));
        let policy = Policy::parse(policy.as_bytes()).unwrap();
        let other = SigningKey::from_seed("log.example/evidence", [98; 32]).unwrap();
        let note = Checkpoint::sign(42, &Hash([9; 32]), &other);
        assert!(policy.judge(note.as_bytes(), &[]).is_err());
        let line = witness(1).cosign(cosigned(&[]).as_bytes(), 1).unwrap();
        let next = Checkpoint::sign(43, &Hash([9; 32]), &log());
        let moved = add_signatures(&next, &line).unwrap();
        let error = policy.judge(moved.as_bytes(), &[]).unwrap_err();
        assert_eq!(
            error,
            LedgerError::BadSignature {
                name: "w1.example".into()
            }
        );
        // A witness nobody knows is passed over.
        assert!(
            policy
                .judge(cosigned(&[1, 2]).as_bytes(), &[])
                .unwrap()
                .quorum_met
        );
    }

    #[test]
    fn what_the_specification_forbids_is_refused() {
        let w = lines(1..=3);
        let key = witness(1).public().to_string();
        let renamed = CosigningKey::from_seed("other.example", [1; 32]).unwrap();
        for bad in [
            String::new(),
            w.clone(),
            format!("{w}quorum w4\n"),
            format!("{w}quorum w1\nquorum w1\n"),
            format!("{w}quorum w1"),
            format!("{w}quorum w1 w2\n"),
            format!("quorum w1\n{w}"),
            format!("{w}group g 0 w1\nquorum g\n"),
            format!("{w}group g 2 w1\nquorum g\n"),
            format!("{w}group g 01 w1\nquorum g\n"),
            format!("{w}group g any\nquorum g\n"),
            format!("{w}group g any none\nquorum g\n"),
            format!("{w}group none any w1\nquorum none\n"),
            format!("{w}group w1 any w2\nquorum w1\n"),
            format!("{w}group g all w1 w1\nquorum g\n"),
            format!("{w}group g all w1 w2\ngroup h all g w1\nquorum h\n"),
            format!("{w}group g all g\nquorum g\n"),
            format!("{w}witness again {key}\nquorum w1\n"),
            format!("{w}witness again {}\nquorum w1\n", renamed.public()),
            format!("{w}witness w1 {}\nquorum w1\n", witness(9).public()),
            format!("{w}witness log {}\nquorum w1\n", log().public()),
            format!("{w}log {key}\nquorum w1\n"),
            format!("{w}log {0}\nlog {0}\nquorum w1\n", log().public()),
            format!("{w}quorum w1\r\n"),
            format!("{w}quorum\u{b}w1\n"),
            format!("{w}trust w1\nquorum w1\n"),
        ] {
            assert!(Policy::parse(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(Policy::parse(&vec![b'\n'; POLICY_BYTES_MAX + 1]).is_err());
        // A policy of the least size that implementations should bear.
        let many = format!(
            "{}group g 32 {}\nquorum g\n",
            lines(1..=32),
            (1..=32).map(|i| format!("w{i} ")).collect::<String>()
        );
        assert!(Policy::parse(many.as_bytes()).is_ok());
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken_or_refused(bytes: Vec<u8>, text in "((log|witness|group|quorum|#) [a-z0-9 +]{0,20}\n){0,5}") {
            let _ = Policy::parse(&bytes);
            let _ = Policy::parse(text.as_bytes());
        }
    }
}
