//! What of an exhibit's lines one country may have, and what stands in place of the rest.
//!
//! Stands between an exhibit's bytes and the derived exhibit that goes with a referral. A line
//! stays when it names a source of the share; what in it is not the recipient's to read becomes
//! the letter's own mark. Everything cut is listed by its place in the parent. Must not: keep a
//! line that it cannot search.

use std::{collections::BTreeSet, net::IpAddr, ops::Range};

use model::{Party, PartyRole, Prefix, Redaction, SourceSpan};

use super::{
    accounts::accounts,
    cut::{Cut, WITHHELD, addresses, is_internal},
};

/// What one ledger entry can list beside the sources of its lines.
const REDACTIONS_MAX: usize = 12_288;
/// Longer lines are left out: searching them costs more than they tell.
const LINE_BYTES_MAX: usize = 32 << 10;
/// Names that people guess as accounts and that logs need for themselves.
const LOG_WORDS: [&str; 14] = [
    "from", "port", "for", "user", "invalid", "password", "failed", "accepted", "ssh", "ssh2",
    "sshd", "tcp", "udp", "preauth",
];

const NOT_TEXT: &str = "not text";
const TOO_LONG: &str = "line too long to be searched";
const NO_SOURCE: &str = "line names no source of this share";
const OF_OTHERS: &str = "line of a party outside this share";
const UNCLEAN: &str = "line could not be cut cleanly";
const NAME: &str = "name or contact outside this share";
const INTERNAL: &str = "internal address";
const ADDRESS: &str = "address outside this share";
const ACCOUNT: &str = "account name";
const REST: &str = "beyond what one record can list";

/// Decides for each line of an exhibit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LineCut {
    cut: Cut,
    /// Names that events told, wherever they stand.
    accounts: Cut,
    sources: BTreeSet<IpAddr>,
    /// Those within the country: their lines stay whomever they struck.
    here: BTreeSet<IpAddr>,
    others: BTreeSet<IpAddr>,
    other_networks: Vec<Prefix>,
}

/// What is left of an exhibit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Part {
    pub bytes: Vec<u8>,
    /// In the parent's order. A whole line is gone; a stretch within one reads `[withheld]`.
    pub redactions: Vec<Redaction>,
    /// Where each line was read; empty when the parent does not say it of all that stayed.
    pub sources: Vec<SourceSpan>,
    pub kept: u64,
    pub left_out: u64,
}

enum Judged {
    Kept(Vec<(Range<usize>, &'static str)>),
    LeftOut(&'static str),
}

impl LineCut {
    pub(super) fn new(cut: &Cut) -> Self {
        Self {
            cut: cut.clone(),
            ..Self::default()
        }
    }

    pub(super) fn add_source(&mut self, address: IpAddr, is_here: bool) {
        self.sources.insert(address.to_canonical());
        if is_here {
            self.here.insert(address.to_canonical());
        }
    }

    /// A party of which this share must not tell.
    pub(super) fn add_other(&mut self, party: &Party) {
        if !matches!(party.role, PartyRole::Source | PartyRole::Authority) {
            let addresses = party.addresses.iter().map(IpAddr::to_canonical);
            self.others.extend(addresses);
            self.other_networks.extend(&party.networks);
        }
        // Machines are called by it: `gate.school.example`.
        let domains = party.contacts.iter().filter_map(|c| c.split_once('@'));
        domains.for_each(|(_, domain)| self.cut.hide_word(domain));
    }

    pub(super) fn add_account(&mut self, name: &str) {
        if !LOG_WORDS.contains(&name.trim().to_ascii_lowercase().as_str()) {
            self.accounts.hide_any_word(name);
        }
    }

    /// A text about the exhibit without what the recipient may not read.
    pub fn clean(&self, text: &str) -> String {
        self.cut.clean(text)
    }

    /// Whether the recipient may read a text about the exhibit as it is.
    pub fn may_read(&self, text: &str) -> bool {
        self.cut.leak(text).is_none()
    }

    /// What of an exhibit's bytes stays. `sources`: where its lines were read.
    pub fn part(&self, bytes: &[u8], sources: &[SourceSpan]) -> Part {
        let mut part = Part::default();
        let mut spans = Spans::new(sources);
        let mut at = 0;
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            let next = at + line.len();
            let span = spans.of(at, line.len());
            let (text, end) = without_end(line);
            let judged =
                std::str::from_utf8(text).map_or(Judged::LeftOut(NOT_TEXT), |t| self.judge(t));
            let more = match &judged {
                Judged::Kept(gaps) => gaps.len(),
                Judged::LeftOut(_) => 1,
            };
            if part.redactions.len() + more >= REDACTIONS_MAX {
                hide(&mut part.redactions, at..bytes.len(), REST);
                let rest = bytes.get(at..).unwrap_or_default();
                part.left_out += rest.split_inclusive(|byte| *byte == b'\n').count() as u64;
                break;
            }
            match judged {
                Judged::Kept(gaps) => {
                    let before = part.bytes.len();
                    let text = std::str::from_utf8(text).unwrap_or_default();
                    part.bytes.extend_from_slice(render(text, &gaps).as_bytes());
                    part.bytes.extend_from_slice(end);
                    for (gap, why) in gaps {
                        hide(&mut part.redactions, at + gap.start..at + gap.end, why);
                    }
                    part.kept += 1;
                    let length = part.bytes.len() - before;
                    part.sources.extend(span.map(|span| SourceSpan {
                        source: self.clean(&span.source),
                        bytes: length as u64,
                        ..span.clone()
                    }));
                }
                Judged::LeftOut(why) => {
                    hide(&mut part.redactions, at..next, why);
                    part.left_out += 1;
                }
            }
            at = next;
        }
        if part.sources.len() as u64 != part.kept {
            part.sources.clear();
        }
        part
    }

    /// Whether something is in `bytes` that [`LineCut::part`] would have taken out.
    pub(super) fn leaks(&self, bytes: &[u8]) -> bool {
        bytes.split_inclusive(|byte| *byte == b'\n').any(|line| {
            let text = std::str::from_utf8(without_end(line).0);
            !text.is_ok_and(|text| self.is_clean(text))
        })
    }

    fn judge(&self, line: &str) -> Judged {
        if line.len() > LINE_BYTES_MAX {
            return Judged::LeftOut(TOO_LONG);
        }
        let found = addresses(line);
        let named = |set: &BTreeSet<IpAddr>| found.iter().any(|(_, a)| set.contains(a));
        if !named(&self.sources) {
            return Judged::LeftOut(NO_SOURCE);
        }
        let words = self.cut.words(line);
        let is_others = |address: &IpAddr| {
            !self.cut.shows(*address)
                && (self.others.contains(address)
                    || self.other_networks.iter().any(|n| n.contains(*address)))
        };
        let has_others = !words.is_empty() || found.iter().any(|(_, a)| is_others(a));
        if has_others && !named(&self.here) {
            return Judged::LeftOut(OF_OTHERS);
        }
        let gaps = self.gaps(line, words, &found);
        if self.is_clean(&render(line, &gaps)) {
            Judged::Kept(gaps)
        } else {
            Judged::LeftOut(UNCLEAN)
        }
    }

    /// What must be taken out of a line that stays, in order, with something between each two.
    fn gaps(
        &self,
        line: &str,
        words: Vec<Range<usize>>,
        found: &[(Range<usize>, IpAddr)],
    ) -> Vec<(Range<usize>, &'static str)> {
        let mut gaps: Vec<_> = words.into_iter().map(|place| (place, NAME)).collect();
        for (place, address) in found {
            if !self.cut.shows(*address) && !address.is_unspecified() {
                let why = if is_internal(*address) {
                    INTERNAL
                } else {
                    ADDRESS
                };
                gaps.push((place.clone(), why));
            }
        }
        let of_accounts = self.account_places(line, found).into_iter();
        gaps.extend(of_accounts.map(|place| (place, ACCOUNT)));
        gaps.sort_by_key(|(place, _)| (place.start, std::cmp::Reverse(place.end)));
        let mut out: Vec<(Range<usize>, &'static str)> = Vec::new();
        for (place, why) in gaps {
            match out.last_mut() {
                Some((last, _)) if place.start <= last.end => last.end = last.end.max(place.end),
                _ => out.push((place, why)),
            }
        }
        out
    }

    fn account_places(&self, line: &str, found: &[(Range<usize>, IpAddr)]) -> Vec<Range<usize>> {
        let mut places = accounts(line);
        places.retain(|place| {
            let name = line.get(place.clone()).unwrap_or_default();
            !self.cut.shows_word(name)
        });
        // An account called `203` is not to break the address of a source.
        let in_address = |place: &Range<usize>| {
            found
                .iter()
                .any(|(address, _)| address.start <= place.start && place.end <= address.end)
        };
        let told = self.accounts.words(line).into_iter();
        places.extend(told.filter(|place| !in_address(place)));
        places
    }

    /// What is to leave is searched again; a gap may have made an address of what stands around it.
    fn is_clean(&self, line: &str) -> bool {
        // Marks are no names of accounts, whatever stands before them.
        let blank = line.replace(WITHHELD, "[--------]");
        let found = addresses(&blank);
        found
            .iter()
            .any(|(_, address)| self.sources.contains(address))
            && self.cut.leak(line).is_none()
            && self.account_places(&blank, &found).is_empty()
    }
}

/// A line and what ends it.
fn without_end(line: &[u8]) -> (&[u8], &[u8]) {
    let text = line.strip_suffix(b"\n").unwrap_or(line);
    let text = text.strip_suffix(b"\r").unwrap_or(text);
    line.split_at_checked(text.len()).unwrap_or((line, &[]))
}

fn render(line: &str, gaps: &[(Range<usize>, &'static str)]) -> String {
    let mut out = String::with_capacity(line.len());
    let mut next = 0;
    for (place, _) in gaps {
        out.push_str(line.get(next..place.start).unwrap_or_default());
        out.push_str(WITHHELD);
        next = place.end;
    }
    out.push_str(line.get(next..).unwrap_or_default());
    out
}

/// Neighbours that went for the same reason are one place.
fn hide(redactions: &mut Vec<Redaction>, place: Range<usize>, why: &'static str) {
    let (from, to) = (place.start as u64, place.end as u64);
    match redactions.last_mut() {
        Some(last) if last.to == from && last.reason == why => last.to = to,
        _ => redactions.push(Redaction {
            from,
            to,
            reason: why.to_owned(),
        }),
    }
}

/// The parent's record of where each of its lines was read, walked beside them.
struct Spans<'s> {
    left: &'s [SourceSpan],
    at: u64,
}

impl<'s> Spans<'s> {
    const fn new(left: &'s [SourceSpan]) -> Self {
        Self { left, at: 0 }
    }

    fn of(&mut self, from: usize, length: usize) -> Option<&'s SourceSpan> {
        let (from, length) = (from as u64, length as u64);
        while let Some((first, rest)) = self.left.split_first() {
            if self.at >= from {
                let fits = self.at == from && first.bytes == length;
                return fits.then_some(first);
            }
            self.at = self.at.saturating_add(first.bytes.max(1));
            self.left = rest;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use model::{LineOrigin, Timestamp};

    use super::*;

    const HERE: &str = "203.0.113.1";
    const ABROAD: &str = "203.0.113.2";

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// The share of a country with one victim, a source of its own and one from elsewhere.
    fn share() -> LineCut {
        let mut cut = Cut::default();
        for address in [HERE, ABROAD, "198.51.100.10"] {
            cut.show_address(ip(address));
        }
        cut.show_word("security@mill.example");
        let other = Party {
            id: "school".to_owned(),
            role: PartyRole::Victim,
            name: "Example School".to_owned(),
            country: "FR".to_owned(),
            addresses: vec![ip("198.51.100.20")],
            networks: vec!["192.0.2.0/24".parse().unwrap()],
            contacts: vec!["security@school.example".to_owned()],
            note: String::new(),
        };
        cut.hide_party(&other);
        let mut lines = LineCut::new(&cut);
        lines.add_source(ip(HERE), true);
        lines.add_source(ip(ABROAD), false);
        lines.add_other(&other);
        lines.add_account("maintenance");
        lines.add_account("203");
        lines.add_account("port");
        lines
    }

    fn left(line: &str) -> String {
        String::from_utf8(share().part(line.as_bytes(), &[]).bytes).unwrap()
    }

    #[test]
    fn lines_of_others_go_and_lines_of_the_share_stay() {
        for line in [
            "198.51.100.10 sshd: bye from 203.0.113.2 port 5\n",
            "nobody is named but 203.0.113.1",
            "ask security@mill.example about 203.0.113.2\r\n",
        ] {
            assert_eq!(left(line), line);
        }
        for (line, why) in [
            ("198.51.100.20 sshd: bye from 203.0.113.2\n", OF_OTHERS),
            ("192.0.2.77 sshd: bye from 203.0.113.2\n", OF_OTHERS),
            ("example school: bye from 203.0.113.2\n", OF_OTHERS),
            ("security@school.example 203.0.113.2\n", OF_OTHERS),
            ("198-51-100-20.net.example 203.0.113.2\n", OF_OTHERS),
            ("gate.school.example sshd: 203.0.113.2\n", OF_OTHERS),
            ("198.51.100.10 sshd: bye from 203.0.113.99\n", NO_SOURCE),
            ("198.51.100.10 cron: nothing\n", NO_SOURCE),
        ] {
            let part = share().part(line.as_bytes(), &[]);
            assert_eq!(part.bytes, b"", "{line}");
            assert_eq!(part.redactions[0].reason, why, "{line}");
            assert_eq!(part.redactions[0].to, line.len() as u64);
        }
        let bytes = b"\xff 203.0.113.1\n";
        assert_eq!(share().part(bytes, &[]).redactions[0].reason, NOT_TEXT);
        let long = format!("203.0.113.1 {}\n", "x".repeat(LINE_BYTES_MAX));
        assert_eq!(share().part(long.as_bytes(), &[]).kept, 0);
    }

    #[test]
    fn within_a_line_what_is_not_of_the_share_reads_withheld() {
        for (line, clean) in [
            // A source of this country: whom it struck elsewhere is not told.
            (
                "198.51.100.20 sshd: bye from 203.0.113.1 port 5",
                "[withheld] sshd: bye from 203.0.113.1 port 5",
            ),
            (
                "10.1.2.3 sshd: Failed password for ada from 203.0.113.2 port 5",
                "[withheld] sshd: Failed password for [withheld] from 203.0.113.2 port 5",
            ),
            (
                "203.0.113.2 user=ada\r\n",
                "203.0.113.2 user=[withheld]\r\n",
            ),
            (
                "203.0.113.2 via 198.51.100.99 as maintenance",
                "203.0.113.2 via [withheld] as [withheld]",
            ),
        ] {
            assert_eq!(left(line), clean);
            assert!(share().leaks(line.as_bytes()), "{line}");
            assert!(!share().leaks(clean.as_bytes()), "{clean}");
        }
    }

    #[test]
    fn the_list_of_cuts_and_the_parent_give_the_part() {
        let text = "a from 203.0.113.9\nb\n10.0.0.1 from 203.0.113.1 user=ada x\n\
                    198.51.100.20 from 203.0.113.2\nend 203.0.113.2";
        let part = share().part(text.as_bytes(), &[]);
        let (kept, left_out) = (part.kept, part.left_out);
        assert_eq!((kept, left_out), (2, 3));
        let mut again = String::new();
        let mut at = 0;
        for cut in &part.redactions {
            let (from, to) = (cut.from as usize, cut.to as usize);
            again.push_str(&text[at..from]);
            if !text[from..to].ends_with('\n') {
                again.push_str(WITHHELD);
            }
            at = to;
        }
        again.push_str(&text[at..]);
        assert_eq!(again.as_bytes(), part.bytes);
        // The two lines that went for one reason are one place.
        assert_eq!(part.redactions[0].to, 21);
    }

    #[test]
    fn each_line_keeps_where_it_was_read() {
        let lines = ["x\n", "one 203.0.113.1 10.0.0.1\n", "two 203.0.113.2\n"];
        let span = |(n, text): (usize, &&str)| SourceSpan {
            source: "/logs/example school.log".to_owned(),
            origin: LineOrigin::Stream { line: n as u64 },
            received: Timestamp::EPOCH,
            bytes: text.len() as u64,
        };
        let spans: Vec<_> = lines.iter().enumerate().map(span).collect();
        let part = share().part(lines.concat().as_bytes(), &spans);
        let told: Vec<_> = part.sources.iter().map(|s| (&s.origin, s.bytes)).collect();
        assert_eq!(
            told,
            [
                (&LineOrigin::Stream { line: 1 }, 27),
                (&LineOrigin::Stream { line: 2 }, 16)
            ]
        );
        assert_eq!(part.sources[0].source, "/logs/[withheld].log");
        assert!(
            share()
                .part(lines.concat().as_bytes(), &spans[..2])
                .sources
                .is_empty()
        );
    }

    #[test]
    fn the_list_of_cuts_is_bounded() {
        let lines = "203.0.113.1 10.0.0.1\n".repeat(REDACTIONS_MAX + 5);
        let part = share().part(lines.as_bytes(), &[]);
        assert_eq!(part.redactions.len(), REDACTIONS_MAX);
        assert_eq!(part.redactions.last().unwrap().reason, REST);
        assert_eq!(part.kept + part.left_out, REDACTIONS_MAX as u64 + 5);
    }
}
