//! Cuts a stream of bytes into lines, or into syslog messages. Pure.

use memchr::{memchr, memchr2};

/// How one message is told from the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// By `\n`; empty lines are given too, so that they can be counted.
    Lines,
    /// RFC 6587: by a count before the message, or by `\n`; each message may choose.
    Syslog,
}

/// Holds what is not yet a whole message, and never more than one and what was fed with it.
#[derive(Debug)]
pub(crate) struct Framer {
    framing: Framing,
    max: usize,
    buffer: Vec<u8>,
    at: usize,
    /// Bytes still to come of a counted message that was too long.
    skip: usize,
    skip_line: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame<'a> {
    /// Without its line end.
    pub(crate) bytes: &'a [u8],
    pub(crate) truncated: bool,
}

enum Head {
    Counted { header: usize, length: usize },
    Line,
    Unsure,
}

impl Framer {
    pub(crate) fn new(framing: Framing, max: usize) -> Self {
        Self {
            framing,
            max,
            buffer: Vec::new(),
            at: 0,
            skip: 0,
            skip_line: false,
        }
    }

    /// Takes in more bytes. Pull all frames with [`Framer::next`] before the next call.
    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.at.min(self.buffer.len()));
        self.at = 0;
        self.buffer.extend_from_slice(bytes);
    }

    pub(crate) fn next(&mut self) -> Option<Frame<'_>> {
        self.pass_over();
        let from = self.at;
        let rest = self.buffer.get(from..).filter(|rest| !rest.is_empty())?;
        match head(self.framing, rest) {
            Head::Unsure => None,
            Head::Counted { header, length } => {
                let kept = length.min(self.max);
                if rest.len() < header + kept {
                    return None;
                }
                self.at = from + header + kept;
                self.skip = length - kept;
                self.frame(from + header, self.at, length > kept)
            }
            Head::Line => match line_end(self.framing, rest) {
                Some(end) => {
                    self.at = from + end + 1;
                    self.frame(from, from + end.min(self.max), end > self.max)
                }
                None if rest.len() > self.max => {
                    self.at = self.buffer.len();
                    self.skip_line = true;
                    self.frame(from, from + self.max, true)
                }
                None => None,
            },
        }
    }

    /// Bytes held now.
    pub(crate) const fn held(&self) -> usize {
        self.buffer.len()
    }

    /// What is left when the stream has ended.
    pub(crate) fn last(&mut self) -> Option<Frame<'_>> {
        self.pass_over();
        let from = std::mem::replace(&mut self.at, self.buffer.len());
        let rest = self.buffer.get(from..).filter(|rest| !rest.is_empty())?;
        let (begin, truncated) = match head(self.framing, rest) {
            Head::Counted { header, .. } => (from + header, true),
            Head::Line | Head::Unsure => (from, false),
        };
        let end = self.buffer.len().min(begin.saturating_add(self.max));
        self.frame(begin, end, truncated)
    }

    fn frame(&self, begin: usize, end: usize, truncated: bool) -> Option<Frame<'_>> {
        let mut bytes = self.buffer.get(begin..end)?;
        if !truncated {
            bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
        }
        Some(Frame { bytes, truncated })
    }

    // Passes over what belongs to a message already given.
    fn pass_over(&mut self) {
        let rest = self.buffer.get(self.at..).unwrap_or_default();
        let skipped = self.skip.min(rest.len());
        self.skip -= skipped;
        self.at += skipped;
        if self.skip_line {
            let rest = self.buffer.get(self.at..).unwrap_or_default();
            let end = line_end(self.framing, rest);
            self.skip_line = end.is_none();
            self.at += end.map_or(rest.len(), |end| end + 1);
        }
        if self.framing == Framing::Syslog {
            let rest = self.buffer.get(self.at..).unwrap_or_default();
            self.at += rest.iter().take_while(|b| b"\n\r\0 ".contains(b)).count();
        }
    }
}

fn line_end(framing: Framing, rest: &[u8]) -> Option<usize> {
    match framing {
        Framing::Lines => memchr(b'\n', rest),
        // RFC 6587 section 3.4.2: some senders end a message with NUL.
        Framing::Syslog => memchr2(b'\n', 0, rest),
    }
}

// RFC 6587 section 3.4.1: MSG-LEN SP SYSLOG-MSG, where a message begins with "<". A number that
// is not followed so begins a message of a sloppy sender, for instance with a year.
fn head(framing: Framing, rest: &[u8]) -> Head {
    const DIGITS_MAX: usize = 7;
    if framing == Framing::Lines {
        return Head::Line;
    }
    let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
    if digits == 0 || digits > DIGITS_MAX || rest.first() == Some(&b'0') {
        return Head::Line;
    }
    match (rest.get(digits), rest.get(digits + 1)) {
        (None, _) | (Some(b' '), None) => Head::Unsure,
        (Some(b' '), Some(b'<')) => {
            let number = rest.get(..digits).and_then(|d| std::str::from_utf8(d).ok());
            match number.and_then(|n| n.parse().ok()) {
                Some(length) => Head::Counted {
                    header: digits + 1,
                    length,
                },
                None => Head::Line,
            }
        }
        _ => Head::Line,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn run(framing: Framing, max: usize, chunks: &[&[u8]]) -> Vec<(String, bool)> {
        let mut framer = Framer::new(framing, max);
        let mut out = Vec::new();
        let text = |f: Frame<'_>| (String::from_utf8_lossy(f.bytes).into_owned(), f.truncated);
        for chunk in chunks {
            framer.feed(chunk);
            while let Some(frame) = framer.next() {
                out.push(text(frame));
            }
        }
        out.extend(framer.last().map(text));
        out
    }

    fn whole(texts: &[&str]) -> Vec<(String, bool)> {
        texts.iter().map(|t| ((*t).to_owned(), false)).collect()
    }

    #[test]
    fn both_framings_may_alternate() {
        let stream = b"5 <1>ab<2>line\r\n6 <3>\ncd\n<4>nul\0<5>end";
        let expected = whole(&["<1>ab", "<2>line", "<3>\ncd", "<4>nul", "<5>end"]);
        assert_eq!(run(Framing::Syslog, 100, &[stream]), expected);
        let bytes: Vec<&[u8]> = stream.chunks(1).collect();
        assert_eq!(run(Framing::Syslog, 100, &bytes), expected);
    }

    #[test]
    fn a_leading_number_need_not_be_a_count() {
        let stream = b"2026-11-21 x\n12 monkeys\n99999999999 <1>\n";
        assert_eq!(
            run(Framing::Syslog, 100, &[stream]),
            whole(&["2026-11-21 x", "12 monkeys", "99999999999 <1>"])
        );
    }

    #[test]
    fn long_messages_are_cut_and_the_next_is_whole() {
        let cut = |t: &str| (t.to_owned(), true);
        let ok = |t: &str| (t.to_owned(), false);
        assert_eq!(
            run(
                Framing::Syslog,
                4,
                &[b"9 <1>abcdef", b"gh", b"\n<2>a\n<3>toolong", b"er\n<4>b\n"]
            ),
            [cut("<1>a"), ok("gh"), ok("<2>a"), cut("<3>t"), ok("<4>b")]
        );
        assert_eq!(
            run(Framing::Lines, 4, &[b"abcdef", b"gh\nij\n", b"\nkl"]),
            [cut("abcd"), ok("ij"), ok(""), ok("kl")]
        );
    }

    #[test]
    fn a_nul_also_ends_a_message_that_was_cut() {
        let stream = b"<1>toolong\0<2>b\n";
        let expected = [("<1>t".to_owned(), true), ("<2>b".to_owned(), false)];
        for size in 1..stream.len() {
            let pieces: Vec<&[u8]> = stream.chunks(size).collect();
            assert_eq!(
                run(Framing::Syslog, 4, &pieces),
                expected,
                "pieces of {size}"
            );
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic_and_chunks_do_not_matter(
            data in proptest::collection::vec(
                prop_oneof![Just(b'\n'), Just(b'<'), Just(b' '), b'0'..=b'9', any::<u8>()], 0..300),
            size in 1usize..40,
        ) {
            for framing in [Framing::Lines, Framing::Syslog] {
                let chunks: Vec<&[u8]> = data.chunks(size).collect();
                let split = run(framing, 10_000_000, &chunks);
                prop_assert_eq!(&split, &run(framing, 10_000_000, &[&data]));
                for (text, _) in run(framing, 8, &chunks) {
                    prop_assert!(text.chars().count() <= 8);
                }
            }
        }
    }
}
