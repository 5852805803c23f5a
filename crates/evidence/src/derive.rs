//! Exhibits made from exhibits. The parent stays as it is; the new one names it and says what of it
//! is not shown.

use std::io::{self, Read};

use casework::ExhibitRecord;
use model::{Derivation, Redaction};

use crate::{EvidenceError, Unsealed};

/// What stands in place of a byte that is not shown. Line ends stay, so that lines keep their
/// numbers.
const FILL: u8 = b'X';

/// What of the parent the new exhibit shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cut {
    /// All but these ranges, in whose place there is filling of the same length.
    Redact(Vec<Redaction>),
    /// Only the bytes from the first to before the second.
    Extract { from: u64, to: u64, reason: String },
}

impl Cut {
    /// `redaction` or `extract`.
    pub const fn method(&self) -> &'static str {
        match self {
            Self::Redact(_) => "redaction",
            Self::Extract { .. } => "extract",
        }
    }

    /// Whether the ranges are within the parent, each with something in it.
    pub fn check(&self, parent: &ExhibitRecord) -> Result<(), EvidenceError> {
        let acquired = &parent.acquired.what;
        let fits = |from: u64, to: u64| {
            if from < to && to <= acquired.bytes {
                return Ok(());
            }
            Err(EvidenceError::Range {
                exhibit: acquired.exhibit.clone(),
                from,
                to,
                bytes: acquired.bytes,
            })
        };
        match self {
            Self::Redact(ranges) => ranges.iter().try_for_each(|r| fits(r.from, r.to)),
            Self::Extract { from, to, .. } => fits(*from, *to),
        }
    }

    /// How the new exhibit comes from its parent.
    pub fn derivation(&self, parent: &ExhibitRecord) -> Derivation {
        let acquired = &parent.acquired.what;
        let redactions = match self {
            Self::Redact(ranges) => ranges.clone(),
            Self::Extract { from, to, reason } => [(0, *from), (*to, acquired.bytes)]
                .into_iter()
                .filter(|(from, to)| from < to)
                .map(|(from, to)| Redaction {
                    from,
                    to,
                    reason: reason.clone(),
                })
                .collect(),
        };
        Derivation {
            exhibit: acquired.exhibit.clone(),
            sha256: acquired.sha256,
            redactions,
            share: None,
        }
    }

    /// The new exhibit's bytes, from the parent's.
    pub fn apply(self, bytes: Unsealed) -> CutBytes<Unsealed> {
        CutBytes {
            source: bytes,
            cut: self,
            at: 0,
        }
    }
}

#[derive(Debug)]
pub struct CutBytes<R> {
    source: R,
    cut: Cut,
    at: u64,
}

impl<R: Read> Read for CutBytes<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            let count = self.source.read(out)?;
            let Some(bytes) = out.get_mut(..count).filter(|bytes| !bytes.is_empty()) else {
                return Ok(0);
            };
            let begin = self.at;
            self.at += bytes.len() as u64;
            match &self.cut {
                Cut::Redact(ranges) => {
                    for (place, byte) in (begin..).zip(bytes.iter_mut()) {
                        let hidden = |r: &Redaction| (r.from..r.to).contains(&place);
                        if !matches!(*byte, b'\n' | b'\r') && ranges.iter().any(hidden) {
                            *byte = FILL;
                        }
                    }
                    return Ok(count);
                }
                Cut::Extract { from, to, .. } => {
                    let first = usize::try_from(from.saturating_sub(begin)).unwrap_or(usize::MAX);
                    let last = usize::try_from(to.saturating_sub(begin)).unwrap_or(usize::MAX);
                    let (first, last) = (first.min(count), last.min(count));
                    if first < last {
                        bytes.copy_within(first..last, 0);
                        return Ok(last - first);
                    }
                    // Nothing of this stretch is wanted; after the end nothing more is.
                    if begin >= *to {
                        return Ok(0);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(cut: Cut, bytes: &[u8], step: usize) -> String {
        let mut out = Vec::new();
        let mut reader = CutBytes {
            source: bytes,
            cut,
            at: 0,
        };
        let mut buffer = vec![0; step];
        loop {
            match reader.read(&mut buffer).unwrap() {
                0 => return String::from_utf8(out).unwrap(),
                n => out.extend(&buffer[..n]),
            }
        }
    }

    fn hidden(from: u64, to: u64) -> Redaction {
        Redaction {
            from,
            to,
            reason: "a third party".to_owned(),
        }
    }

    #[test]
    fn redactions_keep_length_and_lines() {
        let text = b"user ada\nfrom 192.0.2.7\n";
        for step in [1, 3, 64] {
            let shown = cut(Cut::Redact(vec![hidden(5, 8), hidden(14, 24)]), text, step);
            assert_eq!(shown, "user XXX\nfrom XXXXXXXXX\n");
        }
    }

    #[test]
    fn extracts_show_their_range_alone() {
        for step in [1, 3, 64] {
            let reason = String::new();
            let want = Cut::Extract {
                from: 5,
                to: 8,
                reason,
            };
            assert_eq!(cut(want, b"user ada\nfrom", step), "ada");
        }
    }
}
