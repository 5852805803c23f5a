//! C2SP tlog-tiles: which tiles a log of a given size has, their paths, and entry bundles.

use std::fmt;

use crate::{Hash, LedgerError};

/// Hashes in a full tile, entries in a full bundle.
pub const TILE_WIDTH: u16 = 256;

/// What a tile holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TileKind {
    Entries,
    /// Hashes of perfect subtrees of 256^level leaves.
    Hashes {
        level: u8,
    },
}

/// One tile; it prints as its path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tile {
    pub kind: TileKind,
    pub index: u64,
    /// 1 to [`TILE_WIDTH`].
    pub width: u16,
}

impl Tile {
    /// The height of the subtrees whose roots this tile holds; for entries, that of leaves.
    pub const fn height(&self) -> u8 {
        match self.kind {
            TileKind::Entries => 0,
            TileKind::Hashes { level } => level.saturating_mul(8),
        }
    }

    /// The index, at its level, of the first hash or entry in it.
    pub const fn first(&self) -> u64 {
        self.index.saturating_mul(TILE_WIDTH as u64)
    }

    /// Reads a path as written by `Display`.
    pub fn parse(path: &str) -> Result<Self, LedgerError> {
        const BAD: LedgerError = LedgerError::Tile {
            why: "not a tile path",
        };
        let rest = path.strip_prefix("tile/").ok_or(BAD)?;
        let (kind, rest) = rest.split_once('/').ok_or(BAD)?;
        let kind = match kind {
            "entries" => TileKind::Entries,
            level => {
                let level = crate::text::decimal(level).ok_or(BAD)?;
                TileKind::Hashes {
                    level: u8::try_from(level).map_err(|_| BAD)?,
                }
            }
        };
        let (number, width) = match rest.split_once(".p/") {
            Some((number, width)) => {
                let width = crate::text::decimal(width).ok_or(BAD)?;
                (number, u16::try_from(width).map_err(|_| BAD)?)
            }
            None => (rest, TILE_WIDTH),
        };
        let digits: String = number
            .split('/')
            .map(|part| part.trim_start_matches('x'))
            .collect();
        let tile = Self {
            kind,
            index: digits.parse().map_err(|_| BAD)?,
            width,
        };
        // One spelling only: what does not print back the same was not a path of ours.
        if tile.to_string() == path && (1..=TILE_WIDTH).contains(&width) {
            Ok(tile)
        } else {
            Err(BAD)
        }
    }
}

impl fmt::Display for Tile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            TileKind::Entries => f.write_str("tile/entries/")?,
            TileKind::Hashes { level } => write!(f, "tile/{level}/")?,
        }
        // tlog-tiles: groups of three digits, all but the last begin with x.
        let digits = self.index.to_string();
        let padded = format!("{}{digits}", "0".repeat((3 - digits.len() % 3) % 3));
        let groups = padded.len() / 3;
        for (i, c) in padded.chars().enumerate() {
            if i % 3 == 0 {
                f.write_str(if i > 0 { "/" } else { "" })?;
                f.write_str(if i / 3 + 1 < groups { "x" } else { "" })?;
            }
            write!(f, "{c}")?;
        }
        if self.width < TILE_WIDTH {
            write!(f, ".p/{}", self.width)
        } else {
            Ok(())
        }
    }
}

/// Every tile of a log of `size` entries: bundles first, then each level from the bottom up.
/// Empty tiles do not exist.
pub fn tiles_of(size: u64) -> impl Iterator<Item = Tile> {
    let levels = (0..8u8).map(move |level| (TileKind::Hashes { level }, size >> (8 * level)));
    std::iter::once((TileKind::Entries, size))
        .chain(levels)
        .flat_map(|(kind, hashes)| {
            let full = hashes / u64::from(TILE_WIDTH);
            let rest = u16::try_from(hashes % u64::from(TILE_WIDTH)).unwrap_or(0);
            let whole = (0..full).map(move |index| Tile {
                kind,
                index,
                width: TILE_WIDTH,
            });
            whole.chain((rest > 0).then_some(Tile {
                kind,
                index: full,
                width: rest,
            }))
        })
}

/// Appends one entry to a bundle: its length in 16 bits, big-endian, then its bytes.
pub fn encode_bundle_entry(leaf: &[u8], out: &mut Vec<u8>) -> Result<(), LedgerError> {
    let len = u16::try_from(leaf.len()).map_err(|_| LedgerError::TooLong {
        limit: model::limits::LEAF_BYTES_MAX,
    })?;
    out.extend_from_slice(&len.to_be_bytes());
    out.extend_from_slice(leaf);
    Ok(())
}

/// The entries of a bundle of `width`; exactly so many, and nothing after them.
pub fn parse_bundle(bytes: &[u8], width: u16) -> Result<BundleEntries<'_>, LedgerError> {
    let mut entries = Vec::new();
    let mut rest = bytes;
    while let Some((len, tail)) = rest.split_first_chunk::<2>() {
        let (entry, next) = tail
            .split_at_checked(usize::from(u16::from_be_bytes(*len)))
            .ok_or(LedgerError::Tile {
                why: "the bundle is cut",
            })?;
        entries.push(entry);
        rest = next;
    }
    if !rest.is_empty() {
        return Err(LedgerError::Tile {
            why: "the bundle is cut",
        });
    }
    if entries.len() != usize::from(width) {
        return Err(LedgerError::Tile {
            why: "the bundle has another number of entries",
        });
    }
    Ok(entries)
}

/// Leaves, borrowed from their bundle.
pub type BundleEntries<'a> = Vec<&'a [u8]>;

/// The hashes of a tile of `width`.
pub fn decode_tile(bytes: &[u8], width: u16) -> Result<Vec<Hash>, LedgerError> {
    if bytes.len() != usize::from(width) * Hash::BYTES {
        return Err(LedgerError::Tile {
            why: "the tile has another length",
        });
    }
    Ok(bytes
        .chunks_exact(Hash::BYTES)
        .filter_map(Hash::from_slice)
        .collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hashes(level: u8, index: u64, width: u16) -> Tile {
        Tile {
            kind: TileKind::Hashes { level },
            index,
            width,
        }
    }

    #[test]
    fn paths_of_the_specification() {
        assert_eq!(
            hashes(0, 1_234_067, 256).to_string(),
            "tile/0/x001/x234/067"
        );
        assert_eq!(hashes(1, 0, 17).to_string(), "tile/1/000.p/17");
        let bundle = Tile {
            kind: TileKind::Entries,
            index: 5,
            width: 256,
        };
        assert_eq!(bundle.to_string(), "tile/entries/005");
        for bad in [
            "tile/0/x000/067",
            "tile/0/67",
            "tile/00/067",
            "tile/0/067.p/256",
            "tile/0/067.p/0",
        ] {
            assert!(Tile::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn tiles_of_the_specification() {
        let count = |size, kind| tiles_of(size).filter(|t| t.kind == kind).count();
        let level = |level| TileKind::Hashes { level };
        assert_eq!(tiles_of(0).count(), 0);
        // Size 256: one full tile at level 0, one of width 1 at level 1.
        let all: Vec<_> = tiles_of(256).map(|t| t.to_string()).collect();
        assert_eq!(all, ["tile/entries/000", "tile/0/000", "tile/1/000.p/1"]);
        assert_eq!(count(70_000, level(0)), 274);
        let last = tiles_of(70_000)
            .filter(|t| t.kind == level(0))
            .last()
            .unwrap();
        assert_eq!(last, hashes(0, 273, 112));
        assert!(tiles_of(70_000).any(|t| t == hashes(1, 1, 17)));
        assert!(tiles_of(70_000).any(|t| t == hashes(2, 0, 1)));
        assert_eq!(count(70_000, level(3)), 0);
    }

    #[test]
    fn cut_bundles_are_refused() {
        let mut bundle = Vec::new();
        for entry in [b"one".as_slice(), b"", b"three"] {
            encode_bundle_entry(entry, &mut bundle).unwrap();
        }
        assert_eq!(
            parse_bundle(&bundle, 3).unwrap(),
            [b"one".as_slice(), b"", b"three"]
        );
        assert!(parse_bundle(&bundle, 2).is_err());
        for cut in 1..bundle.len() {
            assert!(parse_bundle(&bundle[..cut], 3).is_err(), "{cut}");
        }
        assert!(encode_bundle_entry(&vec![0; 65_536], &mut bundle).is_err());
    }

    proptest! {
        #[test]
        fn paths_round_trip(level in 0u8..8, index in 0..1u64 << 56, width in 1u16..=256) {
            let tile = hashes(level, index, width);
            prop_assert_eq!(Tile::parse(&tile.to_string()), Ok(tile));
        }

        #[test]
        fn any_path_is_taken_or_refused(path in "(tile/)?[0-9a-z/.]{0,30}") {
            if let Ok(tile) = Tile::parse(&path) {
                prop_assert_eq!(tile.to_string(), path);
            }
        }

        #[test]
        fn any_bundle_is_taken_or_refused(bytes: Vec<u8>, width: u16) {
            let _ = parse_bundle(&bytes, width);
            let _ = decode_tile(&bytes, width);
        }
    }
}
