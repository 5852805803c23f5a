//! What one recipient may not read: found in texts and taken out, and looked for again in what is
//! about to leave.
//!
//! Addresses are let through by name only; everything else that looks like one is withheld. Names
//! and contacts of parties who have no part in the share are withheld wherever they stand.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr},
    ops::Range,
};

use model::{Party, Prefix};

/// A text that is not clean after so many is refused by the check at the end.
const PASSES_MAX: usize = 16;
pub(super) const WITHHELD: &str = "[withheld]";
/// Shorter names are not looked for: they would be found in half of all words.
const NAME_CHARS_MIN: usize = 3;

/// What a text may and may not hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Cut {
    /// Addresses that belong to the share.
    addresses: BTreeSet<IpAddr>,
    /// Words of the share, which may hold a withheld word within.
    shown: BTreeSet<String>,
    /// In lower case.
    withheld: BTreeSet<String>,
}

impl Cut {
    pub(super) fn show_address(&mut self, address: IpAddr) {
        self.addresses.insert(address.to_canonical());
    }

    pub(super) fn hide_address(&mut self, address: IpAddr) {
        self.addresses.remove(&address.to_canonical());
    }

    pub(super) fn shows(&self, address: IpAddr) -> bool {
        self.addresses.contains(&address.to_canonical())
    }

    pub(super) fn show_word(&mut self, word: &str) {
        if !word.trim().is_empty() {
            let word = fold(word.trim());
            self.withheld.remove(&word);
            self.shown.insert(word);
        }
    }

    pub(super) fn shows_word(&self, word: &str) -> bool {
        self.shown.contains(&fold(word.trim()))
    }

    pub(super) fn hide_word(&mut self, word: &str) {
        let word = fold(word.trim());
        if word.chars().count() >= NAME_CHARS_MIN {
            self.withheld.insert(word);
        }
    }

    /// However short it is.
    pub(super) fn hide_any_word(&mut self, word: &str) {
        let word = fold(word.trim());
        if !word.is_empty() {
            self.withheld.insert(word);
        }
    }

    pub(super) fn show_party(&mut self, party: &Party) {
        self.show_word(&party.name);
        party.contacts.iter().for_each(|c| self.show_word(c));
        party.addresses.iter().for_each(|a| self.show_address(*a));
        party.networks.iter().for_each(|n| self.show_network(*n));
    }

    pub(super) fn hide_names(&mut self, party: &Party) {
        self.hide_word(&party.name);
        party.contacts.iter().for_each(|c| self.hide_word(c));
    }

    pub(super) fn hide_party(&mut self, party: &Party) {
        self.hide_names(party);
        for address in &party.addresses {
            self.hide_address(*address);
            // As it stands in the names that providers give to addresses.
            self.hide_word(&address.to_string().replace(['.', ':'], "-"));
        }
    }

    /// The first address is how a network is written.
    fn show_network(&mut self, network: Prefix) {
        self.show_address(network.addr());
    }

    /// The text without what the recipient may not read.
    pub(super) fn clean(&self, text: &str) -> String {
        let mut clean = model::harmless(text).into_owned();
        // What stands around a gap may read as an address of its own.
        for _ in 0..PASSES_MAX {
            let faults = self.faults(&clean);
            if faults.is_empty() {
                break;
            }
            clean = without(&clean, &faults);
        }
        clean
    }

    /// The text without withheld words; addresses stay.
    pub(super) fn clean_words(&self, text: &str) -> String {
        let mut places = self.words(text);
        places.sort_by_key(|range| (range.start, std::cmp::Reverse(range.end)));
        without(text, &places)
    }

    /// Whether a withheld word stands in `text`.
    pub(super) fn names(&self, text: &str) -> bool {
        !self.words(text).is_empty()
    }

    /// The first thing in `text` that must not be there.
    pub(super) fn leak<'t>(&self, text: &'t str) -> Option<&'t str> {
        let first = self.faults(text).into_iter().next()?;
        text.get(first)
    }

    /// In order of their beginnings; the longer of two that begin together first.
    fn faults(&self, text: &str) -> Vec<Range<usize>> {
        let mut found = self.words(text);
        for (range, address) in addresses(text) {
            // Of nobody: `::` stands in much text that is no address.
            if !self.shows(address) && !address.is_unspecified() {
                found.push(range);
            }
        }
        found.sort_by_key(|range| (range.start, std::cmp::Reverse(range.end)));
        found
    }

    /// Where withheld words stand, in no order.
    pub(super) fn words(&self, text: &str) -> Vec<Range<usize>> {
        let lower = fold(text);
        let shown: Vec<_> = self.shown.iter().flat_map(|w| places(&lower, w)).collect();
        let within = |place: &Range<usize>| {
            shown
                .iter()
                .any(|s| s.start <= place.start && place.end <= s.end && s.len() > place.len())
        };
        self.withheld
            .iter()
            .flat_map(|word| places(&lower, word))
            .filter(|place| !within(place))
            .collect()
    }
}

fn without(text: &str, places: &[Range<usize>]) -> String {
    let mut out = String::with_capacity(text.len());
    let mut next = 0;
    for place in places {
        if place.start < next {
            continue;
        }
        out.push_str(text.get(next..place.start).unwrap_or_default());
        out.push_str(WITHHELD);
        next = place.end;
    }
    out.push_str(text.get(next..).unwrap_or_default());
    out
}

/// Without regard to case, every letter in as many bytes as before, so that places stay the same.
fn fold(text: &str) -> String {
    let one = |c: char| {
        let mut lower = c.to_lowercase();
        match (lower.next(), lower.next()) {
            (Some(small), None) if small.len_utf8() == c.len_utf8() => small,
            _ => c,
        }
    };
    text.chars().map(one).collect()
}

/// Where `word` stands as a word of its own.
fn places(text: &str, word: &str) -> Vec<Range<usize>> {
    let borders = |range: &Range<usize>| {
        let before = text.get(..range.start).and_then(|t| t.chars().next_back());
        let after = text.get(range.end..).and_then(|t| t.chars().next());
        let inner = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
        !inner(before) && !inner(after)
    };
    text.match_indices(word)
        .map(|(at, found)| at..at + found.len())
        .filter(borders)
        .collect()
}

/// Every address in a text, with its place.
pub(super) fn addresses(text: &str) -> Vec<(Range<usize>, IpAddr)> {
    let is_part = |b: u8| b.is_ascii_hexdigit() || b == b'.' || b == b':';
    let bytes = text.as_bytes();
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(start) = bytes
        .get(at..)
        .and_then(|rest| rest.iter().position(|b| is_part(*b)))
        .map(|n| at + n)
    {
        let run = bytes.get(start..).unwrap_or_default();
        let len = run.iter().position(|b| !is_part(*b)).unwrap_or(run.len());
        at = start + len;
        // Parts of addresses are ASCII, so these are borders of characters.
        let run = text.get(start..at).unwrap_or_default();
        if run.contains(['.', ':']) {
            in_run(run, start, &mut found);
        }
    }
    found
}

fn in_run(run: &str, start: usize, found: &mut Vec<(Range<usize>, IpAddr)>) {
    let trimmed = run.trim_end_matches('.');
    for candidate in [trimmed, trimmed.trim_end_matches(':')] {
        if let Ok(address) = candidate.parse::<IpAddr>() {
            found.push((start..start + candidate.len(), address.to_canonical()));
            return;
        }
    }
    // An IPv4 address with a port, or with other signs around it.
    let mut at = 0;
    for piece in run.split(|c: char| !(c.is_ascii_digit() || c == '.')) {
        quads(piece, start + at, found);
        at += piece.len() + 1;
    }
}

/// Four numbers out of a row of numbers between points.
fn quads(piece: &str, start: usize, found: &mut Vec<(Range<usize>, IpAddr)>) {
    let mut parts = Vec::new();
    let mut at = 0;
    for part in piece.split('.') {
        parts.push((at, part.len()));
        at += part.len() + 1;
    }
    for four in parts.windows(4) {
        let (Some((first, _)), Some((last, len))) = (four.first(), four.last()) else {
            continue;
        };
        let text = piece.get(*first..last + len).unwrap_or_default();
        if let Ok(address) = text.parse::<Ipv4Addr>() {
            found.push((start + first..start + last + len, address.into()));
        }
    }
}

/// An address that means nothing outside the network that uses it.
pub(super) fn is_internal(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            // 100.64.0.0/10, the shared address space of RFC 6598.
            let is_shared = v4.to_bits() >> 22 == 401;
            v4.is_private() || v4.is_loopback() || v4.is_link_local() || is_shared
        }
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn addresses_are_found_in_what_logs_write_around_them() {
        let found = |text: &str| -> Vec<String> {
            addresses(text).iter().map(|(_, a)| a.to_string()).collect()
        };
        for text in [
            "from 192.0.2.7 port 22",
            "192.0.2.7:51000",
            "[192.0.2.7]:22.",
            "SRC=192.0.2.7 DST",
            "::ffff:192.0.2.7",
            "at 192.0.2.7.",
            "host-abc192.0.2.7/24",
        ] {
            assert_eq!(found(text), ["192.0.2.7"], "{text}");
        }
        assert_eq!(found("to [2001:db8::1]:443,"), ["2001:db8::1"]);
        assert_eq!(found("2001:DB8:0:0::1"), ["2001:db8::1"]);
        for text in [
            "2026-11-22T08:00:00Z",
            "version 4.2.0",
            "12:30:45",
            "face: d.e.f.0",
            "",
        ] {
            assert!(found(text).is_empty(), "{text}");
        }
    }

    #[test]
    fn what_is_not_of_the_share_is_taken_out() {
        let mut cut = Cut::default();
        cut.show_address(ip("203.0.113.9"));
        cut.show_word("Example Hospital North");
        for word in [
            "Example Hospital",
            "it@victim.example",
            "\u{c4}rzte-Haus",
            "ab",
        ] {
            cut.hide_word(word);
        }
        for (text, clean) in [
            ("203.0.113.9 hit 198.51.100.4", "203.0.113.9 hit [withheld]"),
            ("EXAMPLE HOSPITAL was hit", "[withheld] was hit"),
            (
                "Example Hospital North was hit",
                "Example Hospital North was hit",
            ),
            ("ask it@victim.example.", "ask [withheld]."),
            ("\u{e4}rzte-haus; abc", "[withheld]; abc"),
            ("Example Hospitality", "Example Hospitality"),
        ] {
            assert_eq!(cut.clean(text), clean);
            assert_eq!(cut.leak(text).is_some(), text != clean, "{text}");
            assert_eq!(cut.leak(clean), None);
        }
    }

    #[test]
    fn internal_addresses_are_known() {
        for text in [
            "10.1.2.3",
            "100.64.0.1",
            "100.127.255.255",
            "fd00::1",
            "fe80::1",
            "::1",
        ] {
            assert!(is_internal(ip(text)), "{text}");
        }
        for text in ["100.63.0.1", "100.128.0.1", "203.0.113.9", "2001:db8::1"] {
            assert!(!is_internal(ip(text)), "{text}");
        }
    }
}
