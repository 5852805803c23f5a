//! What travels on a stream: a length of four bytes (big-endian), then that many bytes of CBOR.
//!
//! A frame is encoded once and shared by all streams. Nothing in it but statements and roster
//! entries is signed; all else are claims that a guard checks against what it has.

use crate::{
    CommunityId, Digest, FleetError, Generation, HubTime, SignedRosterEntry, SignedStatement,
    SnapshotHash,
    cbor::{Reader, Writer, Written, written},
    roster::ROSTER_MAX,
};

/// Bytes of one frame, without the four of its length. A guard hangs up at a longer one.
pub const FRAME_BYTES_MAX: usize = 8 << 20;

/// Statements in one frame.
const STATEMENTS_MAX: usize = 100_000;
const VERSION: u64 = 1;
const LENGTH_BYTES: usize = 4;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub community: CommunityId,
    /// The generation that a guard must have for a [`Body::Change`]; with all other bodies the
    /// same as `to`.
    pub from: Generation,
    /// The generation it has afterwards. For a change at most as far from `from` as there are
    /// statements and roster entries in it.
    pub to: Generation,
    /// The hub's time when the frame was made.
    pub now: HubTime,
    pub body: Body,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// The first frame of every stream: `from` and `to` are the hub's generation, and the roster
    /// entries above the serial that the guard said it has.
    Hello { roster: Vec<SignedRosterEntry> },
    /// What was accepted since. Roster entries count before the statements.
    Change {
        roster: Vec<SignedRosterEntry>,
        statements: Vec<Accepted>,
    },
    /// Every few seconds: the digest of the entries that end after `swept_to` (whole seconds of
    /// the hub's time), at generation `to`; and the roster's greatest serial.
    Digest {
        swept_to: u32,
        digest: Digest,
        roster: u64,
    },
    /// The hub cannot tell what lies between the guard's generation and its own: take this first.
    Offer(Offer),
}

/// A statement and when the hub accepted it: from then on its bans last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    pub at: HubTime,
    pub signed: SignedStatement,
}

/// A snapshot that lies ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer {
    pub hash: SnapshotHash,
    pub generation: Generation,
    pub bytes: u64,
}

impl Frame {
    /// The frame with its length before it.
    pub fn encode(&self) -> Vec<u8> {
        let body = written(|w| self.write(w));
        let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
        [length.to_be_bytes().as_slice(), &body].concat()
    }

    /// The bytes after the length. Says nothing of signatures.
    pub fn decode(bytes: &[u8]) -> Result<Self, FleetError> {
        let mut r = Reader::new("frame", bytes);
        if bytes.len() > FRAME_BYTES_MAX {
            return Err(too_long(bytes.len()));
        }
        r.tuple(6)?;
        if r.u64()? != VERSION {
            return Err(r.fail("a version that is not known here; update this program"));
        }
        let community = r.community()?;
        let (from, to) = (Generation(r.u64()?), Generation(r.u64()?));
        let now = HubTime(r.u64()?);
        let body = Body::read(&mut r)?;
        r.end()?;
        if from > to {
            return Err(r.fail("its generations run backwards"));
        }
        Ok(Self {
            community,
            from,
            to,
            now,
            body,
        })
    }

    /// The first whole frame in `bytes`, without its length, and how many bytes it took; `None`
    /// when more must be read first. A frame beyond [`FRAME_BYTES_MAX`] is an error at once.
    pub fn split(bytes: &[u8]) -> Result<Option<(&[u8], usize)>, FleetError> {
        let Some((length, rest)) = bytes.split_first_chunk::<LENGTH_BYTES>() else {
            return Ok(None);
        };
        let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
        if length > FRAME_BYTES_MAX {
            return Err(too_long(length));
        }
        Ok(rest
            .get(..length)
            .map(|frame| (frame, LENGTH_BYTES + length)))
    }

    fn write(&self, w: &mut Writer) -> Written {
        w.array(6)?.u64(VERSION)?.str(self.community.as_str())?;
        w.u64(self.from.0)?.u64(self.to.0)?.u64(self.now.0)?;
        self.body.write(w)
    }
}

impl Body {
    fn write(&self, w: &mut Writer) -> Written {
        match self {
            Self::Hello { roster } => {
                w.array(2)?.u64(0)?;
                write_roster(w, roster)
            }
            Self::Change { roster, statements } => {
                w.array(3)?.u64(1)?;
                write_roster(w, roster)?;
                w.array(statements.len() as u64)?;
                statements.iter().try_for_each(|accepted| {
                    w.array(2)?.u64(accepted.at.0)?;
                    accepted.signed.write(w)
                })
            }
            Self::Digest {
                swept_to,
                digest,
                roster,
            } => {
                w.array(4)?.u64(2)?.u32(*swept_to)?;
                w.bytes(&digest.0.to_be_bytes())?.u64(*roster)?;
                Ok(())
            }
            Self::Offer(offer) => {
                w.array(4)?.u64(3)?.bytes(&offer.hash.0)?;
                w.u64(offer.generation.0)?.u64(offer.bytes)?;
                Ok(())
            }
        }
    }

    fn read(r: &mut Reader) -> Result<Self, FleetError> {
        let len = r.array(4)?;
        match (r.u64()?, len) {
            (0, 2) => Ok(Self::Hello {
                roster: read_roster(r)?,
            }),
            (1, 3) => {
                let roster = read_roster(r)?;
                let statements = read_list(r, STATEMENTS_MAX, Accepted::read_from)?;
                Ok(Self::Change { roster, statements })
            }
            (2, 4) => Ok(Self::Digest {
                swept_to: r.u32()?,
                digest: Digest(u128::from_be_bytes(r.exactly()?)),
                roster: r.u64()?,
            }),
            (3, 4) => Ok(Self::Offer(Offer {
                hash: SnapshotHash(r.exactly()?),
                generation: Generation(r.u64()?),
                bytes: r.u64()?,
            })),
            _ => Err(r.fail("no kind of frame that is known here")),
        }
    }
}

impl Accepted {
    pub(crate) fn read_from(r: &mut Reader) -> Result<Self, FleetError> {
        r.tuple(2)?;
        Ok(Self {
            at: HubTime(r.u64()?),
            signed: SignedStatement::read_from(r)?,
        })
    }
}

pub(crate) fn write_roster(w: &mut Writer, roster: &[SignedRosterEntry]) -> Written {
    w.array(roster.len() as u64)?;
    roster.iter().try_for_each(|entry| entry.write(w))
}

pub(crate) fn read_roster(r: &mut Reader) -> Result<Vec<SignedRosterEntry>, FleetError> {
    read_list(r, ROSTER_MAX, SignedRosterEntry::read_from)
}

/// Room is made as items are read: a length alone takes none.
pub(crate) fn read_list<T>(
    r: &mut Reader,
    max: usize,
    read: impl Fn(&mut Reader) -> Result<T, FleetError>,
) -> Result<Vec<T>, FleetError> {
    let count = r.array(max)?;
    let mut list = Vec::new();
    for _ in 0..count {
        list.push(read(r)?);
    }
    Ok(list)
}

const fn too_long(bytes: usize) -> FleetError {
    FleetError::TooLong {
        what: "frame",
        bytes,
        limit: FRAME_BYTES_MAX,
    }
}
