//! This machine's own bans on their way to the hub: kept on disk, each prefix once, sent as
//! signed statements until the hub has acknowledged them.

use std::{
    collections::{BTreeMap, VecDeque, btree_map::Entry},
    path::{Path, PathBuf},
    time::Duration,
};

use fleet::{
    Ban, CommunityId, HubTime, KIND_BYTES_MAX, KeyId, LASTS_SECONDS_MAX, Moment, Op,
    PROVENANCE_BYTES, REASON_BYTES_MAX, Release, SignedStatement, SigningKey, Statement,
};
use model::{Prefix, Timestamp, Tlp};
use serde::{Deserialize, Serialize};

use crate::{error::UplinkError, files};

/// Acts that wait; beyond it the oldest goes and is counted.
const QUEUE_MAX: usize = 20_000;
const OPS_PER_STATEMENT: usize = 250;
/// A statement is signed anew when it waited longer: the hub takes it near its own time only.
const SIGNED_FOR: Duration = Duration::from_secs(240);
const FILE_BYTES_MAX: u64 = 32 << 20;

/// What this machine did by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OwnAct {
    Ban {
        prefix: Prefix,
        /// By this machine's wall clock.
        until: Timestamp,
        kind: String,
        reason: String,
        /// The alerts it came from, hashed.
        provenance: [u8; PROVENANCE_BYTES],
    },
    Release {
        prefix: Prefix,
        reason: String,
    },
}

impl OwnAct {
    const fn prefix(&self) -> Prefix {
        match self {
            Self::Ban { prefix, .. } | Self::Release { prefix, .. } => *prefix,
        }
    }

    /// `None`: it is over.
    fn op(&self, tlp: Tlp, now: Timestamp) -> Option<Op> {
        Some(match self {
            Self::Ban {
                prefix,
                until,
                kind,
                reason,
                provenance,
            } => {
                let seconds = u32::try_from(until.since(now).as_secs()).unwrap_or(u32::MAX);
                if seconds == 0 {
                    return None;
                }
                Op::Ban(Ban {
                    prefix: *prefix,
                    lasts: seconds.min(LASTS_SECONDS_MAX),
                    kind: plain_kind(kind).into(),
                    reason: plain_reason(reason).into(),
                    tlp,
                    provenance: *provenance,
                })
            }
            Self::Release { prefix, reason } => Op::Release(Release {
                prefix: *prefix,
                reason: plain_reason(reason).into(),
                of: None,
            }),
        })
    }
}

/// Printable ASCII without space; other characters become `-`.
fn plain_kind(text: &str) -> String {
    let plain = |c: char| if c.is_ascii_graphic() { c } else { '-' };
    let word: String = text.chars().map(plain).take(KIND_BYTES_MAX).collect();
    if word.is_empty() {
        "ban".to_owned()
    } else {
        word
    }
}

fn plain_reason(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars().filter(|c| !c.is_control()) {
        if out.len() + c.len_utf8() > REASON_BYTES_MAX {
            break;
        }
        out.push(c);
    }
    out
}

/// What is on disk.
#[derive(Debug, Default, Serialize, Deserialize)]
struct OnDisk {
    /// Greater than every sequence that may have been used.
    next_sequence: u64,
    /// The key they were used by.
    key: Option<KeyId>,
    waiting: Vec<OwnAct>,
}

/// A statement that was sent and not yet answered.
#[derive(Clone, Debug)]
struct Sent {
    sequence: u64,
    bytes: Vec<u8>,
    acts: Vec<OwnAct>,
    signed: Moment,
    /// Waits for an answer now.
    under_way: bool,
}

pub(crate) struct Outbox {
    path: PathBuf,
    next_sequence: u64,
    key: Option<KeyId>,
    order: VecDeque<Prefix>,
    waiting: BTreeMap<Prefix, OwnAct>,
    sent: Option<Sent>,
    dropped: u64,
    dirty: bool,
}

impl Outbox {
    pub(crate) fn open(state: &Path, community: &CommunityId) -> (Self, Option<String>) {
        let path = files::folder(state).join(format!("{community}.out"));
        let (found, damage) = match files::read(&path, FILE_BYTES_MAX) {
            Ok(bytes) => {
                let bytes = bytes.unwrap_or_default();
                (serde_json::from_slice(&bytes).unwrap_or_default(), None)
            }
            Err(e) => (OnDisk::default(), Some(e.in_full())),
        };
        let mut outbox = Self {
            path,
            next_sequence: found.next_sequence.max(1),
            key: found.key,
            order: VecDeque::new(),
            waiting: BTreeMap::new(),
            sent: None,
            dropped: 0,
            dirty: false,
        };
        found.waiting.into_iter().for_each(|act| outbox.push(act));
        (outbox, damage)
    }

    /// The newest act on a prefix takes the place of an older one that still waits.
    pub(crate) fn push(&mut self, act: OwnAct) {
        let prefix = act.prefix();
        if self.waiting.insert(prefix, act).is_none() {
            self.order.push_back(prefix);
        }
        while self.waiting.len() > QUEUE_MAX {
            let Some(oldest) = self.order.pop_front() else {
                break;
            };
            self.waiting.remove(&oldest);
            self.dropped += 1;
        }
        self.dirty = true;
    }

    /// Waiting or sent and not acknowledged.
    pub(crate) fn len(&self) -> usize {
        self.waiting.len() + self.sent.as_ref().map_or(0, |sent| sent.acts.len())
    }

    pub(crate) const fn dropped(&self) -> u64 {
        self.dropped
    }

    /// The next statement to send, with its sequence: the last one again while it is not
    /// acknowledged. The file is written before its sequence is used.
    pub(crate) fn next(
        &mut self,
        community: &CommunityId,
        key: &SigningKey,
        tlp: Tlp,
        at: HubTime,
        now: Moment,
        wall: Timestamp,
    ) -> Result<Option<(u64, Vec<u8>)>, UplinkError> {
        if let Some(sent) = &mut self.sent {
            if sent.under_way {
                return Ok(None);
            }
            if now.since(sent.signed) < SIGNED_FOR {
                sent.under_way = true;
                return Ok(Some((sent.sequence, sent.bytes.clone())));
            }
            self.take_back();
        }
        if self.key != Some(key.id()) {
            // Another key has a sequence of its own.
            self.key = Some(key.id());
            self.next_sequence = 1;
        }
        let batch = self.take_batch().into_iter();
        let live = batch.filter_map(|act| act.op(tlp, wall).map(|op| (act, op)));
        let (acts, ops): (Vec<OwnAct>, Vec<Op>) = live.unzip();
        if ops.is_empty() {
            return Ok(None);
        }
        let sequence = self.next_sequence;
        self.next_sequence += 1;
        let statement = Statement {
            community: community.clone(),
            key: key.id(),
            sequence,
            at,
            ops,
        };
        // What cannot be signed would never be: it is dropped, and counted.
        let signed = SignedStatement::sign(statement, key).inspect_err(|_| {
            self.dropped += acts.len() as u64;
        })?;
        let bytes = signed.encode();
        self.sent = Some(Sent {
            sequence,
            bytes: bytes.clone(),
            acts,
            signed: now,
            under_way: true,
        });
        self.save()?;
        Ok(Some((sequence, bytes)))
    }

    /// The hub has it, and it is durable there.
    pub(crate) fn acknowledged(&mut self, sequence: u64) {
        if self
            .sent
            .as_ref()
            .is_some_and(|sent| sent.sequence == sequence)
        {
            self.sent = None;
            self.dirty = true;
        }
    }

    /// No answer, or "come again": the same bytes later.
    pub(crate) fn unanswered(&mut self, sequence: u64) {
        if let Some(sent) = self.sent.as_mut().filter(|sent| sent.sequence == sequence) {
            sent.under_way = false;
        }
    }

    /// The hub saw a higher sequence: everything again, above it.
    pub(crate) fn behind(&mut self, last_sequence: u64) {
        self.next_sequence = self.next_sequence.max(last_sequence.saturating_add(1));
        self.take_back();
    }

    /// The hub read it and will never take it.
    pub(crate) fn refused(&mut self, sequence: u64) {
        if let Some(sent) = self.sent.take_if(|sent| sent.sequence == sequence) {
            self.dropped += sent.acts.len() as u64;
            self.dirty = true;
        }
    }

    /// The hub will not take these ops, and therefore took none: the others wait again.
    pub(crate) fn without(&mut self, sequence: u64, ops: &[usize]) -> Vec<Prefix> {
        let Some(sent) = self.sent.as_mut().filter(|sent| sent.sequence == sequence) else {
            return Vec::new();
        };
        let acts = std::mem::take(&mut sent.acts);
        let mut gone = Vec::new();
        for (place, act) in acts.into_iter().enumerate() {
            if ops.contains(&place) {
                gone.push(act.prefix());
            } else {
                sent.acts.push(act);
            }
        }
        self.dropped += gone.len() as u64;
        self.take_back();
        gone
    }

    /// The connection is gone.
    pub(crate) fn disconnected(&mut self) {
        if let Some(sent) = &mut self.sent {
            sent.under_way = false;
        }
    }

    /// About once a second.
    pub(crate) fn save_if_changed(&mut self) -> Result<(), UplinkError> {
        if self.dirty { self.save() } else { Ok(()) }
    }

    fn take_batch(&mut self) -> Vec<OwnAct> {
        let mut acts = Vec::new();
        while acts.len() < OPS_PER_STATEMENT {
            let Some(prefix) = self.order.pop_front() else {
                break;
            };
            acts.extend(self.waiting.remove(&prefix));
        }
        acts
    }

    /// What was sent waits again, before all else; newer acts on the same prefix stay.
    fn take_back(&mut self) {
        let Some(sent) = self.sent.take() else { return };
        for act in sent.acts.into_iter().rev() {
            let prefix = act.prefix();
            if let Entry::Vacant(place) = self.waiting.entry(prefix) {
                place.insert(act);
                self.order.push_front(prefix);
            }
        }
        self.dirty = true;
    }

    fn save(&mut self) -> Result<(), UplinkError> {
        let sent = self.sent.iter().flat_map(|sent| sent.acts.iter());
        let waiting = self
            .order
            .iter()
            .filter_map(|prefix| self.waiting.get(prefix));
        let content = OnDisk {
            next_sequence: self.next_sequence,
            key: self.key,
            waiting: sent.chain(waiting).cloned().collect(),
        };
        let bytes = serde_json::to_vec(&content).unwrap_or_default();
        files::replace(&self.path, &[&bytes])?;
        self.dirty = false;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Bench {
        dir: tempfile::TempDir,
        key: SigningKey,
    }

    impl Bench {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            files::make_folder(&files::folder(dir.path())).unwrap();
            let key = SigningKey::from_seed(&[3; 32]).unwrap();
            Self { dir, key }
        }

        fn open(&self) -> Outbox {
            Outbox::open(self.dir.path(), &"main".parse().unwrap()).0
        }

        fn next(&self, outbox: &mut Outbox, seconds: u64) -> Option<(u64, Statement)> {
            let now = Moment(Duration::from_secs(seconds));
            let (community, at) = ("main".parse().unwrap(), HubTime(9_000));
            let wall = Timestamp::from_seconds(seconds.try_into().unwrap());
            let next = outbox
                .next(&community, &self.key, Tlp::Green, at, now, wall)
                .unwrap();
            next.map(|(sequence, bytes)| {
                (
                    sequence,
                    SignedStatement::decode(&bytes).unwrap().read().unwrap(),
                )
            })
        }
    }

    fn ban(n: u32) -> OwnAct {
        OwnAct::Ban {
            prefix: Prefix::host(std::net::Ipv4Addr::from_bits(0x2d00_0000 + n).into()),
            until: Timestamp::from_seconds(10_000),
            kind: "ssh bruteforce\u{e9}".into(),
            reason: "x".repeat(300),
            provenance: [0; 16],
        }
    }

    #[test]
    fn what_is_not_acknowledged_is_sent_again_and_outlives_a_crash() {
        let bench = Bench::new();
        let mut outbox = bench.open();
        outbox.push(ban(1));
        outbox.push(ban(1));
        let (first, statement) = bench.next(&mut outbox, 1).unwrap();
        assert_eq!(statement.ops.len(), 1);
        assert!(bench.next(&mut outbox, 2).is_none(), "it is under way");
        outbox.unanswered(first);
        assert_eq!(bench.next(&mut outbox, 3).unwrap(), (first, statement));
        outbox.unanswered(first);
        let (again, _) = bench.next(&mut outbox, 400).unwrap();
        assert!(again > first, "too old to be taken: signed anew");
        let mut outbox = bench.open();
        assert_eq!(outbox.len(), 1);
        let (third, statement) = bench.next(&mut outbox, 401).unwrap();
        assert!(third > again, "a sequence is never used twice");
        let Op::Ban(ban) = &statement.ops[0] else {
            panic!()
        };
        assert_eq!((&*ban.kind, ban.reason.len()), ("ssh-bruteforce-", 200));
        assert_eq!(ban.lasts, 10_000 - 401);
        outbox.acknowledged(third);
        outbox.save_if_changed().unwrap();
        assert_eq!(bench.open().len(), 0);
    }

    #[test]
    fn the_queue_is_bounded_and_a_release_takes_its_ban_s_place() {
        let bench = Bench::new();
        let mut outbox = bench.open();
        let more = u32::try_from(QUEUE_MAX).unwrap() + 10;
        (0..more).for_each(|n| outbox.push(ban(n)));
        assert_eq!((outbox.len(), outbox.dropped()), (QUEUE_MAX, 10));
        let mut outbox = bench.open();
        outbox.push(ban(1));
        outbox.push(OwnAct::Release {
            prefix: ban(1).prefix(),
            reason: "wrong".into(),
        });
        let (sequence, statement) = bench.next(&mut outbox, 1).unwrap();
        assert!(matches!(statement.ops.as_slice(), [Op::Release(_)]));
        outbox.behind(70);
        outbox.acknowledged(sequence);
        assert_eq!(bench.next(&mut outbox, 2).unwrap().0, 71);
        outbox.refused(71);
        assert!(bench.next(&mut outbox, 3).is_none());
        assert_eq!(outbox.dropped(), 1);
    }

    #[test]
    fn a_ban_that_is_over_is_not_told() {
        let bench = Bench::new();
        let mut outbox = bench.open();
        outbox.push(ban(1));
        assert!(bench.next(&mut outbox, 10_000).is_none());
        assert_eq!(outbox.len(), 0);
    }
}
