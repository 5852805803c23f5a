//! The sealed form of an exhibit's bytes: AES-256-GCM in chunks, so that a part can be checked
//! before any of it leaves, whatever the length.
//!
//! ```text
//! "posse-seal/1\n"  seal id (16 bytes)  chunk chunk … last chunk
//! ```
//!
//! Each chunk but the last holds [`CHUNK`] bytes and 16 of tag. Each exhibit has a key of its own,
//! so the nonce is the chunk's number. The associated data are the seal's id, the number, and
//! whether it is the last: chunks cannot be left out, swapped, added, or come from another seal.

use std::{
    fs::File,
    io::{self, Read, Write},
};

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

use crate::EvidenceError;

const MAGIC: &[u8; 13] = b"posse-seal/1\n";
const DOMAIN: &[u8] = b"posse/seal/v1\0";
const CHUNK: usize = 64 << 10;
const TAG: usize = 16;
const HEAD: usize = MAGIC.len() + ID;
const ID: usize = 16;

/// Seals one exhibit's bytes; never used for another.
pub(crate) struct DataKey(pub(crate) [u8; 32]);

impl DataKey {
    pub(crate) fn fresh() -> Result<Self, EvidenceError> {
        let mut key = [0; 32];
        getrandom::fill(&mut key).map_err(|_| EvidenceError::Random)?;
        Ok(Self(key))
    }

    fn cipher(&self) -> Result<LessSafeKey, EvidenceError> {
        cipher(&self.0)
    }
}

pub(crate) fn cipher(key: &[u8; 32]) -> Result<LessSafeKey, EvidenceError> {
    UnboundKey::new(&AES_256_GCM, key)
        .map(LessSafeKey::new)
        .map_err(|_| EvidenceError::Cipher)
}

/// The last chunk has a nonce and associated data of its own.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Within,
    Last,
}

fn nonce(number: u64) -> Nonce {
    let mut bytes = [0; NONCE_LEN];
    for (to, from) in bytes
        .iter_mut()
        .rev()
        .zip(number.to_be_bytes().iter().rev())
    {
        *to = *from;
    }
    Nonce::assume_unique_for_key(bytes)
}

fn associated(id: &[u8; ID], number: u64, place: Place) -> Aad<Vec<u8>> {
    let mut bytes = DOMAIN.to_vec();
    bytes.extend(id);
    bytes.extend(number.to_be_bytes());
    bytes.push(u8::from(place == Place::Last));
    Aad::from(bytes)
}

/// Seals what is written into it. Nothing can be opened before [`Sealer::finish`].
pub(crate) struct Sealer<W: Write> {
    out: W,
    cipher: LessSafeKey,
    id: [u8; ID],
    number: u64,
    buffer: Vec<u8>,
}

impl<W: Write> Sealer<W> {
    pub(crate) fn begin(mut out: W, key: &DataKey) -> Result<Self, EvidenceError> {
        let mut id = [0; ID];
        getrandom::fill(&mut id).map_err(|_| EvidenceError::Random)?;
        let cipher = key.cipher()?;
        let write = out.write_all(MAGIC).and_then(|()| out.write_all(&id));
        write.map_err(|source| EvidenceError::Reading { source })?;
        Ok(Self {
            out,
            cipher,
            id,
            number: 0,
            buffer: Vec::with_capacity(CHUNK + TAG),
        })
    }

    pub(crate) fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            // A full chunk waits until it is known that it is not the last.
            if self.buffer.len() == CHUNK {
                self.seal(Place::Within)?;
            }
            let room = CHUNK - self.buffer.len();
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.buffer.extend_from_slice(now);
            bytes = later;
        }
        Ok(())
    }

    pub(crate) fn finish(mut self) -> io::Result<W> {
        self.seal(Place::Last)?;
        Ok(self.out)
    }

    fn seal(&mut self, place: Place) -> io::Result<()> {
        let aad = associated(&self.id, self.number, place);
        self.cipher
            .seal_in_place_append_tag(nonce(self.number), aad, &mut self.buffer)
            .map_err(|_| io::Error::other("the cipher failed"))?;
        self.out.write_all(&self.buffer)?;
        self.buffer.clear();
        self.number += 1;
        Ok(())
    }
}

/// Reads sealed bytes; gives none that were not checked.
pub struct Unsealed {
    file: File,
    cipher: LessSafeKey,
    id: [u8; ID],
    number: u64,
    /// Sealed bytes that are still to come.
    left: u64,
    chunk: Vec<u8>,
    /// How much of the chunk was given.
    given: usize,
}

impl Unsealed {
    pub(crate) fn open(mut file: File, key: &DataKey) -> io::Result<Self> {
        let mut head = [0; HEAD];
        file.read_exact(&mut head)?;
        let (magic, id) = head.split_at(MAGIC.len());
        if magic != MAGIC {
            return Err(damage("it does not begin as a sealed exhibit does"));
        }
        let length = file.metadata()?.len();
        let left = length
            .checked_sub(HEAD as u64)
            .filter(|left| *left >= TAG as u64)
            .ok_or_else(|| damage("it is too short"))?;
        let mut seal = [0; ID];
        for (to, from) in seal.iter_mut().zip(id) {
            *to = *from;
        }
        Ok(Self {
            file,
            cipher: key.cipher().map_err(|_| damage("the cipher failed"))?,
            id: seal,
            number: 0,
            left,
            chunk: Vec::with_capacity(CHUNK + TAG),
            given: 0,
        })
    }

    fn next(&mut self) -> io::Result<()> {
        let whole = (CHUNK + TAG) as u64;
        let (take, place) = if self.left > whole {
            (whole, Place::Within)
        } else {
            (self.left, Place::Last)
        };
        self.chunk.clear();
        (&mut self.file).take(take).read_to_end(&mut self.chunk)?;
        if self.chunk.len() as u64 != take {
            return Err(damage("it is cut off"));
        }
        let aad = associated(&self.id, self.number, place);
        let opened = self
            .cipher
            .open_in_place(nonce(self.number), aad, &mut self.chunk)
            .map_err(|_| damage("its bytes were changed, or its key is another"))?
            .len();
        self.chunk.truncate(opened);
        self.given = 0;
        self.number += 1;
        self.left -= take;
        Ok(())
    }
}

impl Read for Unsealed {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.given == self.chunk.len() {
            if self.left == 0 {
                return Ok(0);
            }
            self.next()?;
        }
        let rest = self.chunk.get(self.given..).unwrap_or_default();
        let count = rest.len().min(out.len());
        for (to, from) in out.iter_mut().zip(rest) {
            *to = *from;
        }
        self.given += count;
        Ok(count)
    }
}

impl std::fmt::Debug for Unsealed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Unsealed")
            .field("left", &self.left)
            .finish_non_exhaustive()
    }
}

fn damage(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

#[cfg(test)]
mod tests {
    use std::io::{Seek as _, SeekFrom};

    use super::*;

    fn sealed(bytes: &[u8], key: &DataKey) -> Vec<u8> {
        let mut sealer = Sealer::begin(Vec::new(), key).unwrap();
        for part in bytes.chunks(1000) {
            sealer.write(part).unwrap();
        }
        sealer.finish().unwrap()
    }

    fn open(sealed: &[u8], key: &DataKey) -> io::Result<Vec<u8>> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(sealed).unwrap();
        file.seek(SeekFrom::Start(0)).unwrap();
        let mut out = Vec::new();
        Unsealed::open(file, key)?.read_to_end(&mut out)?;
        Ok(out)
    }

    fn sample(length: usize) -> Vec<u8> {
        (0..length).map(|i| (i % 251) as u8).collect()
    }

    #[test]
    fn every_length_around_a_chunk_comes_back() {
        let key = DataKey::fresh().unwrap();
        for length in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 3 * CHUNK + 7] {
            let bytes = sample(length);
            assert_eq!(
                open(&sealed(&bytes, &key), &key).unwrap(),
                bytes,
                "{length}"
            );
        }
    }

    #[test]
    fn no_change_goes_unseen() {
        let key = DataKey::fresh().unwrap();
        let bytes = sample(2 * CHUNK + 9);
        let whole = sealed(&bytes, &key);
        for at in [0, MAGIC.len(), HEAD, HEAD + CHUNK, whole.len() - 1] {
            let mut changed = whole.clone();
            changed[at] ^= 1;
            assert!(open(&changed, &key).is_err(), "byte {at}");
        }
        let chunk = CHUNK + TAG;
        for cut in [HEAD, HEAD + chunk, HEAD + 2 * chunk, whole.len() - 1] {
            assert!(open(&whole[..cut], &key).is_err(), "cut at {cut}");
        }
        let mut swapped = whole[..HEAD].to_vec();
        swapped.extend(&whole[HEAD + chunk..HEAD + 2 * chunk]);
        swapped.extend(&whole[HEAD..HEAD + chunk]);
        swapped.extend(&whole[HEAD + 2 * chunk..]);
        assert!(open(&swapped, &key).is_err());
        assert!(open(&[whole.as_slice(), b"x"].concat(), &key).is_err());
        assert!(open(&whole, &DataKey::fresh().unwrap()).is_err());
    }

    #[test]
    fn the_bytes_are_not_to_be_seen_in_the_seal() {
        let key = DataKey::fresh().unwrap();
        let bytes = sample(5000);
        let whole = sealed(&bytes, &key);
        assert!(!whole.windows(16).any(|window| window == &bytes[..16]));
    }
}
