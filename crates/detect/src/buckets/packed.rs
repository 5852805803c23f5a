//! One event that counted, packed into one allocation.
//!
//! A bucket must remember for each event what an alert will need: the meta fields, the raw line
//! and where it stood. Events of different buckets share the packed bytes.
//!
//! Layout: time, flags, line block, fields block, then the scope's value and the overflow's sources
//! when the flags say so. A line block is: source, origin, received, length, kept bytes, and the
//! hash when not all bytes are kept.

use std::{net::IpAddr, sync::Arc};

use model::{ContentHash, EvidenceLine, FileId, LineOrigin, RawText, Scope, Timestamp, limits};
use sha2::{Digest as _, Sha256};

use super::codec::{Reader, put_bytes, put_i64, put_varint};
use crate::{
    event::{Event, FieldMap},
    overflow::OverflowSource,
    symbols::{Sym, Symbols},
};

pub(crate) type Packed = Arc<[u8]>;

const HAS_SCOPE: u8 = 1;
const HAS_SOURCES: u8 = 2;
const DEPTH_SHIFT: u8 = 4;

/// The line that an event came from.
#[derive(Clone, Copy, Debug)]
pub(crate) enum LineRef<'a> {
    Record {
        source: &'a str,
        origin: &'a LineOrigin,
        received: Timestamp,
        raw: &'a [u8],
    },
    /// The line block of an event packed before.
    Block(&'a [u8]),
}

/// Which fields a scenario must be able to read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Detail {
    /// Those that alerts show.
    Alert,
    /// All: the scenario's condition looks into the queue.
    Everything,
}

/// What is packed.
pub(crate) struct Parts<'a> {
    pub(crate) event: &'a Event,
    pub(crate) time: Timestamp,
    pub(crate) line: LineRef<'a>,
    pub(crate) detail: Detail,
    /// Fields beside `Meta` that alerts need.
    pub(crate) notable: &'a [(FieldMap, Sym)],
    pub(crate) scope: Option<&'a str>,
    /// How many overflows deep this event is.
    pub(crate) depth: u8,
}

pub(crate) fn pack(scratch: &mut Vec<u8>, fields: &mut Vec<u8>, parts: &Parts<'_>) -> Packed {
    scratch.clear();
    put_i64(scratch, parts.time.nanos());
    let overflow = parts.event.overflow.as_deref();
    let flags = if parts.scope.is_some() { HAS_SCOPE } else { 0 }
        | if overflow.is_some() { HAS_SOURCES } else { 0 }
        | parts.depth.min(15) << DEPTH_SHIFT;
    scratch.push(flags);
    match parts.line {
        LineRef::Block(block) => put_bytes(scratch, block),
        LineRef::Record {
            source,
            origin,
            received,
            raw,
        } => {
            fields.clear();
            put_line(fields, source, origin, received, raw);
            put_bytes(scratch, fields);
        }
    }
    fields.clear();
    put_fields(fields, parts);
    put_bytes(scratch, fields);
    if let Some(scope) = parts.scope {
        put_bytes(scratch, scope.as_bytes());
    }
    if let Some(overflow) = overflow {
        overflow
            .sources
            .values()
            .for_each(|source| put_source(scratch, source));
    }
    Arc::from(scratch.as_slice())
}

fn put_line(to: &mut Vec<u8>, source: &str, origin: &LineOrigin, received: Timestamp, raw: &[u8]) {
    put_bytes(to, source.as_bytes());
    match origin {
        LineOrigin::File { file, offset } => {
            to.push(0);
            [file.device, file.inode, *offset]
                .into_iter()
                .for_each(|n| put_varint(to, n));
        }
        LineOrigin::Journal { cursor } => {
            to.push(1);
            put_bytes(to, cursor.as_bytes());
        }
        LineOrigin::Network { peer } => {
            to.push(2);
            put_bytes(to, peer.to_string().as_bytes());
        }
        LineOrigin::Stream { line } => {
            to.push(3);
            put_varint(to, *line);
        }
    }
    put_i64(to, received.nanos());
    put_varint(to, raw.len() as u64);
    match raw.get(..limits::EVIDENCE_LINE_BYTES_MAX) {
        // The hash is of the whole line, so it cannot wait until the overflow.
        Some(kept) if kept.len() < raw.len() => {
            put_bytes(to, kept);
            to.extend_from_slice(&Sha256::digest(raw));
        }
        _ => put_bytes(to, raw),
    }
}

fn put_fields(to: &mut Vec<u8>, parts: &Parts<'_>) {
    let mut put = |map: FieldMap, sym: Sym, value: &str| {
        put_varint(to, head((map, sym)));
        let kept = value.floor_char_boundary(limits::QUEUED_FIELD_BYTES_MAX);
        put_bytes(to, value.get(..kept).unwrap_or(value).as_bytes());
    };
    let event = parts.event;
    let mut whole = |map| {
        event
            .fields(map)
            .iter()
            .for_each(|(sym, span)| put(map, sym, event.read(span)));
    };
    whole(FieldMap::Meta);
    if parts.detail == Detail::Everything {
        [FieldMap::Enriched, FieldMap::Labels, FieldMap::Parsed]
            .into_iter()
            .for_each(whole);
        return;
    }
    for (map, sym) in parts.notable {
        if let Some(span) = event.fields(*map).find(*sym) {
            put(*map, *sym, event.read(span));
        }
    }
}

fn put_source(to: &mut Vec<u8>, source: &OverflowSource) {
    // In the event's own spelling, which reads as the same address.
    let spelt = source.address.map(|a| a.to_string());
    let address = source.spelling.clone().or(spelt).unwrap_or_default();
    let range = source.range.map(|r| r.to_string()).unwrap_or_default();
    let scope = source.scope.to_string();
    let texts = [
        &scope,
        &source.value,
        &address,
        &range,
        &source.as_number,
        &source.as_name,
    ];
    texts
        .into_iter()
        .for_each(|text| put_bytes(to, text.as_bytes()));
    put_bytes(to, source.country.as_bytes());
}

const fn map_number(map: FieldMap) -> u64 {
    match map {
        FieldMap::Enriched => 0,
        FieldMap::Labels => 1,
        FieldMap::Meta => 2,
        FieldMap::Parsed => 3,
    }
}

const fn map_of(number: u64) -> FieldMap {
    match number & 3 {
        0 => FieldMap::Enriched,
        1 => FieldMap::Labels,
        2 => FieldMap::Meta,
        _ => FieldMap::Parsed,
    }
}

/// A packed event taken apart, without copying.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unpacked<'a> {
    pub(crate) time: Timestamp,
    pub(crate) depth: u8,
    pub(crate) line: &'a [u8],
    fields: Reader<'a>,
    pub(crate) scope: Option<&'a str>,
    /// Present when the event is itself an overflow.
    sources: Option<Reader<'a>>,
}

impl<'a> Unpacked<'a> {
    pub(crate) fn read(packed: &'a [u8]) -> Option<Self> {
        let mut from = Reader(packed);
        let time = Timestamp::from_nanos(from.i64()?);
        let flags = from.byte()?;
        let line = from.bytes()?;
        let fields = Reader(from.bytes()?);
        let scope = if flags & HAS_SCOPE == 0 {
            None
        } else {
            Some(from.text()?)
        };
        let sources = (flags & HAS_SOURCES != 0).then_some(from);
        Some(Self {
            time,
            depth: flags >> DEPTH_SHIFT,
            line,
            fields,
            scope,
            sources,
        })
    }

    pub(crate) fn fields(&self) -> impl Iterator<Item = (FieldMap, u32, &'a str)> + use<'a> {
        let mut from = self.fields;
        std::iter::from_fn(move || {
            let head = from.varint()?;
            Some((map_of(head), u32::try_from(head >> 2).ok()?, from.text()?))
        })
    }

    /// Adds the fields of one map, by number, with the bytes of their texts.
    pub(crate) fn put_bytes_of(&self, map: FieldMap, to: &mut Vec<(u32, &'a [u8])>) {
        let mut from = self.fields;
        while let (Some(head), Some(value)) = (from.varint(), from.bytes()) {
            if head & 3 == map_number(map)
                && let Ok(sym) = u32::try_from(head >> 2)
            {
                to.push((sym, value));
            }
        }
    }

    pub(crate) fn field(&self, map: FieldMap, sym: Sym) -> Option<&'a str> {
        let wanted = head((map, sym));
        let mut from = self.fields;
        loop {
            let head = from.varint()?;
            let value = from.bytes()?;
            if head == wanted {
                return std::str::from_utf8(value).ok();
            }
        }
    }

    pub(crate) const fn is_overflow(&self) -> bool {
        self.sources.is_some()
    }

    pub(crate) fn sources(&self) -> impl Iterator<Item = OverflowSource> + use<'a> {
        let mut from = self.sources.unwrap_or(Reader(&[]));
        std::iter::from_fn(move || {
            let scope = Scope::from(from.text()?.to_owned());
            let value = from.text()?;
            let spelt = from.text()?;
            Some(OverflowSource {
                scope,
                value: value.to_owned(),
                address: spelt.parse().ok().map(|addr: IpAddr| addr.to_canonical()),
                spelling: (!spelt.is_empty() && spelt != value).then(|| spelt.to_owned()),
                range: from.text()?.parse().ok(),
                as_number: from.text()?.to_owned(),
                as_name: from.text()?.to_owned(),
                country: from.text()?.to_owned(),
            })
        })
    }

    /// The raw line. `before` is the source of the one told before, most often the same.
    pub(crate) fn evidence(&self, before: Option<&Arc<str>>) -> Option<EvidenceLine> {
        let line = Line::read(self.line)?;
        let source = match before {
            Some(before) if **before == *line.source => Arc::clone(before),
            _ => Arc::from(line.source),
        };
        let Some(hash) = line.hash else {
            return Some(EvidenceLine::new(
                source,
                line.origin,
                line.received,
                line.kept,
            ));
        };
        Some(EvidenceLine {
            source,
            origin: line.origin,
            received: line.received,
            sha256: ContentHash::from_bytes(hash.try_into().ok()?),
            bytes: line.bytes,
            raw: RawText::new(line.kept),
        })
    }

    pub(crate) fn raw(&self) -> &'a [u8] {
        Line::read(self.line).map_or(&[], |line| line.kept)
    }

    /// What names the line for good: where it stands, not when it was read, unless that is all
    /// there is to tell it from another.
    pub(crate) fn identity(&self) -> Option<Vec<u8>> {
        let line = Line::read(self.line)?;
        let mut id = Vec::new();
        put_bytes(&mut id, line.source.as_bytes());
        id.extend_from_slice(line.origin_bytes);
        if matches!(
            line.origin,
            LineOrigin::Network { .. } | LineOrigin::Stream { .. }
        ) {
            put_i64(&mut id, line.received.nanos());
        }
        Some(id)
    }

    /// The same event with its field numbers passed through `renumber`; `None` when the bytes are
    /// not a packed event or a number is refused.
    pub(crate) fn renumbered(
        packed: &'a [u8],
        renumber: &mut dyn FnMut(u32) -> Option<u32>,
    ) -> Option<Vec<u8>> {
        let this = Self::read(packed)?;
        Line::read(this.line)?;
        let mut to = Vec::with_capacity(packed.len());
        to.extend_from_slice(packed.get(..9)?);
        put_bytes(&mut to, this.line);
        let mut fields = Vec::new();
        let mut from = this.fields;
        while !from.is_empty() {
            let head = from.varint()?;
            let sym = renumber(u32::try_from(head >> 2).ok()?)?;
            put_varint(&mut fields, u64::from(sym) << 2 | head & 3);
            put_bytes(&mut fields, from.text()?.as_bytes());
        }
        put_bytes(&mut to, &fields);
        if let Some(scope) = this.scope {
            put_bytes(&mut to, scope.as_bytes());
        }
        if let Some(sources) = this.sources {
            let mut check = sources;
            while !check.is_empty() {
                for _ in 0..7 {
                    check.text()?;
                }
            }
            to.extend_from_slice(sources.0);
        }
        Some(to)
    }
}

/// A line block taken apart.
struct Line<'a> {
    source: &'a str,
    origin: LineOrigin,
    origin_bytes: &'a [u8],
    received: Timestamp,
    bytes: u64,
    kept: &'a [u8],
    hash: Option<&'a [u8]>,
}

impl<'a> Line<'a> {
    fn read(block: &'a [u8]) -> Option<Self> {
        let mut from = Reader(block);
        let source = from.text()?;
        let before = from.0;
        let origin = match from.byte()? {
            0 => LineOrigin::File {
                file: FileId {
                    device: from.varint()?,
                    inode: from.varint()?,
                },
                offset: from.varint()?,
            },
            1 => LineOrigin::Journal {
                cursor: from.text()?.to_owned(),
            },
            2 => LineOrigin::Network {
                peer: from.text()?.parse().ok()?,
            },
            3 => LineOrigin::Stream {
                line: from.varint()?,
            },
            _ => return None,
        };
        let origin_bytes = before.get(..before.len().checked_sub(from.0.len())?)?;
        let received = Timestamp::from_nanos(from.i64()?);
        let bytes = from.varint()?;
        let kept = from.bytes()?;
        let hash = if (kept.len() as u64) < bytes {
            Some(from.take(32)?)
        } else {
            None
        };
        Some(Self {
            source,
            origin,
            origin_bytes,
            received,
            bytes,
            kept,
            hash,
        })
    }
}

/// The fields beside `Meta` that sources are made from.
pub(crate) fn notable(symbols: &mut Symbols) -> Notable {
    let mut enriched = |name| (FieldMap::Enriched, symbols.intern(name));
    let as_number = enriched("ASNumber");
    let as_number_alias = enriched("ASNNumber");
    let as_name = enriched("ASNOrg");
    let country = enriched("IsoCode");
    let range = enriched("SourceRange");
    let range_meta = (FieldMap::Meta, range.1);
    let address = (FieldMap::Meta, symbols.intern("source_ip"));
    Notable {
        extra: [as_number, as_number_alias, as_name, country, range],
        range_meta,
        address,
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Notable {
    pub(crate) extra: [(FieldMap, Sym); 5],
    pub(crate) range_meta: (FieldMap, Sym),
    pub(crate) address: (FieldMap, Sym),
}

/// What one event says about its source. An empty field says nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Facts<'a> {
    pub(crate) as_number: Option<&'a str>,
    pub(crate) as_number_alias: Option<&'a str>,
    pub(crate) as_name: Option<&'a str>,
    pub(crate) country: Option<&'a str>,
    pub(crate) range: Option<&'a str>,
    pub(crate) range_meta: Option<&'a str>,
    pub(crate) address: Option<&'a str>,
}

impl Notable {
    /// Reads them all in one pass.
    pub(crate) fn facts<'a>(&self, event: &Unpacked<'a>) -> Facts<'a> {
        let [as_number, as_number_alias, as_name, country, range] = self.extra.map(head);
        let (range_meta, address) = (head(self.range_meta), head(self.address));
        let mut facts = Facts::default();
        let mut from = event.fields;
        while let (Some(field), Some(value)) = (from.varint(), from.bytes()) {
            let fact = match field {
                n if n == address => &mut facts.address,
                n if n == range_meta => &mut facts.range_meta,
                n if n == range => &mut facts.range,
                n if n == country => &mut facts.country,
                n if n == as_number => &mut facts.as_number,
                n if n == as_number_alias => &mut facts.as_number_alias,
                n if n == as_name => &mut facts.as_name,
                _ => continue,
            };
            if fact.is_none() && !value.is_empty() {
                *fact = std::str::from_utf8(value).ok();
            }
        }
        facts
    }
}

fn head((map, sym): (FieldMap, Sym)) -> u64 {
    u64::from(sym.number()) << 2 | map_number(map)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(raw: &[u8], origin: &LineOrigin) -> (Packed, Symbols) {
        let mut symbols = Symbols::default();
        let notable = notable(&mut symbols);
        let mut event = Event::default();
        event.reset("line");
        event.set_field(FieldMap::Meta, symbols.intern("source_ip"), "192.0.2.1");
        event.set_field(FieldMap::Enriched, notable.extra[3].1, "FR");
        event.set_field(FieldMap::Enriched, symbols.intern("other"), "x");
        event.set_field(FieldMap::Parsed, symbols.intern("pid"), "7");
        let line = LineRef::Record {
            source: "/var/log/a",
            origin,
            received: Timestamp::from_seconds(5),
            raw,
        };
        let parts = Parts {
            event: &event,
            time: Timestamp::from_seconds(4),
            line,
            detail: Detail::Alert,
            notable: &notable.extra,
            scope: Some("who"),
            depth: 3,
        };
        (pack(&mut Vec::new(), &mut Vec::new(), &parts), symbols)
    }

    #[test]
    fn what_alerts_need_is_kept_and_no_more() {
        let origin = LineOrigin::File {
            file: FileId {
                device: 1,
                inode: 2,
            },
            offset: 300,
        };
        let (packed, symbols) = packed(b"raw \xff", &origin);
        let back = Unpacked::read(&packed).unwrap();
        let field = |map, name| back.field(map, symbols.lookup(name).unwrap());
        assert_eq!((back.time, back.depth), (Timestamp::from_seconds(4), 3));
        assert_eq!(back.scope, Some("who"));
        assert_eq!(field(FieldMap::Meta, "source_ip"), Some("192.0.2.1"));
        assert_eq!(field(FieldMap::Enriched, "IsoCode"), Some("FR"));
        assert_eq!(field(FieldMap::Enriched, "other"), None);
        assert_eq!(field(FieldMap::Parsed, "pid"), None);
        let expected = EvidenceLine::new(
            "/var/log/a".into(),
            origin,
            Timestamp::from_seconds(5),
            b"raw \xff",
        );
        assert_eq!(back.evidence(None), Some(expected));
    }

    #[test]
    fn a_long_line_keeps_its_head_and_the_hash_of_all() {
        let raw = vec![b'x'; limits::EVIDENCE_LINE_BYTES_MAX + 1];
        let origin = LineOrigin::Stream { line: 9 };
        let (packed, _) = packed(&raw, &origin);
        let back = Unpacked::read(&packed).unwrap().evidence(None);
        let expected = EvidenceLine::new(
            "/var/log/a".into(),
            origin,
            Timestamp::from_seconds(5),
            &raw,
        );
        assert_eq!(back, Some(expected));
    }

    #[test]
    fn identity_is_the_place_and_for_streams_the_time_too() {
        let file = LineOrigin::File {
            file: FileId {
                device: 1,
                inode: 2,
            },
            offset: 300,
        };
        let id = |origin| {
            Unpacked::read(&packed(b"a", origin).0)
                .unwrap()
                .identity()
                .unwrap()
        };
        let stream = LineOrigin::Stream { line: 300 };
        assert_ne!(id(&file), id(&stream));
        assert!(id(&stream).ends_with(&5_000_000_000i64.to_le_bytes()));
        assert!(!id(&file).ends_with(&5_000_000_000i64.to_le_bytes()));
    }

    #[test]
    fn torn_bytes_are_refused() {
        let origin = LineOrigin::Journal { cursor: "c".into() };
        let (packed, _) = packed(b"raw", &origin);
        let keep = &mut Some;
        assert_eq!(
            Unpacked::renumbered(&packed, keep).as_deref(),
            Some(&*packed)
        );
        for end in 0..packed.len() {
            assert_eq!(Unpacked::renumbered(&packed[..end], keep), None, "{end}");
        }
    }
}
