//! The Journal Export Format (<https://systemd.io/JOURNAL_EXPORT_FORMATS/>), as a stream. Pure.

use memchr::memchr;
use model::Timestamp;

/// Cuts the stream into entries; holds at most one entry and what was fed with it.
#[derive(Debug)]
pub(crate) struct Reader {
    max: usize,
    buffer: Vec<u8>,
    /// Where the current entry begins, and where its next field does.
    entry: usize,
    field: usize,
    /// Bytes still to come of a binary field of an entry that is too long.
    skip: u64,
    /// Passing over the rest of a text line that is too long.
    skip_line: bool,
    is_oversize: bool,
    pub(crate) oversize: u64,
}

enum Step {
    Field {
        end: usize,
    },
    End {
        next: usize,
    },
    NeedMore,
    /// A binary field of `skip` bytes, or (0) a text line.
    TooLong {
        skip: u64,
    },
}

impl Reader {
    pub(crate) const fn new(max: usize) -> Self {
        Self {
            max,
            buffer: Vec::new(),
            entry: 0,
            field: 0,
            skip: 0,
            skip_line: false,
            is_oversize: false,
            oversize: 0,
        }
    }

    /// Takes in more bytes. Pull all entries with [`Reader::next`] before the next call.
    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.entry.min(self.buffer.len()));
        self.field = self.field.saturating_sub(self.entry);
        self.entry = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole entry, without the empty line that ends it.
    pub(crate) fn next(&mut self) -> Option<&[u8]> {
        loop {
            if !self.pass_over() {
                return None;
            }
            match self.step() {
                Step::NeedMore => return None,
                Step::Field { end } => {
                    self.field = end;
                    if self.is_oversize {
                        self.entry = end;
                    } else if end - self.entry > self.max {
                        self.drop_entry();
                    }
                }
                Step::TooLong { skip } => {
                    self.drop_entry();
                    self.skip = skip;
                    self.skip_line = skip == 0;
                }
                Step::End { next } => {
                    let (begin, end) = (self.entry, self.field);
                    self.entry = next;
                    self.field = next;
                    if !std::mem::take(&mut self.is_oversize) && end > begin {
                        return self.buffer.get(begin..end);
                    }
                }
            }
        }
    }

    /// Bytes held now.
    pub(crate) const fn held(&self) -> usize {
        self.buffer.len()
    }

    fn drop_entry(&mut self) {
        if !std::mem::replace(&mut self.is_oversize, true) {
            self.oversize += 1;
        }
        self.entry = self.field;
    }

    // False when all there is was passed over.
    fn pass_over(&mut self) -> bool {
        let rest = self.buffer.len().saturating_sub(self.field);
        let skipped = usize::try_from(self.skip).unwrap_or(usize::MAX).min(rest);
        self.skip -= skipped as u64;
        self.field += skipped;
        if self.skip_line {
            let rest = self.buffer.get(self.field..).unwrap_or_default();
            let end = memchr(b'\n', rest);
            self.field += end.map_or(rest.len(), |end| end + 1);
            self.skip_line = end.is_none();
        }
        if self.is_oversize {
            self.entry = self.field;
        }
        self.skip == 0 && !self.skip_line
    }

    fn step(&self) -> Step {
        let rest = self.buffer.get(self.field..).unwrap_or_default();
        let Some(end) = memchr(b'\n', rest) else {
            return if rest.len() > self.max {
                Step::TooLong { skip: 0 }
            } else {
                Step::NeedMore
            };
        };
        let line = rest.get(..end).unwrap_or_default();
        if line.is_empty() {
            return Step::End {
                next: self.field + 1,
            };
        }
        // As above, so that it does not matter how much of it has arrived.
        if line.len() > self.max {
            return Step::TooLong { skip: 0 };
        }
        if memchr(b'=', line).is_some() {
            return Step::Field {
                end: self.field + end + 1,
            };
        }
        let Some(length) = binary_length(rest, end) else {
            return Step::NeedMore;
        };
        // Name, newline, eight bytes of length, the data, newline.
        let total = (end as u64 + 10).saturating_add(length);
        if total > self.max as u64 {
            return Step::TooLong { skip: total };
        }
        match usize::try_from(total) {
            Ok(total) if total <= rest.len() => Step::Field {
                end: self.field + total,
            },
            _ => Step::NeedMore,
        }
    }
}

fn binary_length(rest: &[u8], name_end: usize) -> Option<u64> {
    let bytes = rest.get(name_end + 1..name_end + 9)?;
    bytes.try_into().ok().map(u64::from_le_bytes)
}

/// The fields of an entry that a log line is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Entry<'a> {
    pub(crate) cursor: &'a [u8],
    pub(crate) time: Option<Timestamp>,
    pub(crate) host: &'a [u8],
    pub(crate) ident: &'a [u8],
    pub(crate) pid: &'a [u8],
    pub(crate) message: &'a [u8],
}

/// Reads one entry as [`Reader::next`] gives it. What is malformed is passed over.
pub(crate) fn parse(mut rest: &[u8]) -> Entry<'_> {
    let mut entry = Entry::default();
    let (mut command, mut trusted_pid) = (b"".as_slice(), b"".as_slice());
    while let Some((name, value, next)) = field(rest) {
        rest = next;
        match name {
            b"__CURSOR" => entry.cursor = value,
            b"__REALTIME_TIMESTAMP" => entry.time = microseconds(value),
            b"_HOSTNAME" => entry.host = value,
            b"SYSLOG_IDENTIFIER" => entry.ident = value,
            b"SYSLOG_PID" => entry.pid = value,
            b"_COMM" => command = value,
            b"_PID" => trusted_pid = value,
            b"MESSAGE" => entry.message = value,
            _ => {}
        }
    }
    if entry.ident.is_empty() {
        entry.ident = command;
    }
    if entry.pid.is_empty() {
        entry.pid = trusted_pid;
    }
    entry
}

fn field(rest: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let end = memchr(b'\n', rest)?;
    let line = rest.get(..end)?;
    if let Some(equals) = memchr(b'=', line) {
        return Some((
            line.get(..equals)?,
            line.get(equals + 1..)?,
            rest.get(end + 1..)?,
        ));
    }
    let length = usize::try_from(binary_length(rest, end)?).ok()?;
    let data = rest.get(end + 9..)?;
    let value = data.get(..length)?;
    Some((line, value, data.get(length..)?.strip_prefix(b"\n")?))
}

fn microseconds(value: &[u8]) -> Option<Timestamp> {
    let micros: i64 = std::str::from_utf8(value).ok()?.parse().ok()?;
    micros.checked_mul(1_000).map(Timestamp::from_nanos)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn binary(name: &str, data: &[u8]) -> Vec<u8> {
        let mut out = format!("{name}\n").into_bytes();
        out.extend((data.len() as u64).to_le_bytes());
        out.extend(data);
        out.push(b'\n');
        out
    }

    fn entry(message: &[u8]) -> Vec<u8> {
        let mut out = b"__CURSOR=s=1;i=2\n__REALTIME_TIMESTAMP=1795292100123456\n_HOSTNAME=web1\n\
            SYSLOG_IDENTIFIER=sshd\n_PID=42\n_COMM=sshd-session\n"
            .to_vec();
        out.extend(binary("MESSAGE", message));
        out
    }

    fn read(max: usize, data: &[u8], chunk: usize) -> (Vec<Vec<u8>>, u64) {
        let mut reader = Reader::new(max);
        let mut out = Vec::new();
        for bytes in data.chunks(chunk) {
            reader.feed(bytes);
            while let Some(entry) = reader.next() {
                out.push(entry.to_vec());
            }
        }
        (out, reader.oversize)
    }

    #[test]
    fn entries_come_out_whole_however_they_are_cut() {
        let (first, second) = (entry(b"two\n\nlines = here"), b"MESSAGE=plain\n".to_vec());
        let stream = [&first[..], b"\n", &second, b"\n\n"].concat();
        for chunk in [1, 2, 7, 64, 4_096] {
            assert_eq!(
                read(4_096, &stream, chunk),
                (vec![first.clone(), second.clone()], 0)
            );
        }
        let parsed = parse(&first);
        assert_eq!(parsed.message, b"two\n\nlines = here");
        assert_eq!(
            (parsed.cursor, parsed.host),
            (b"s=1;i=2".as_slice(), b"web1".as_slice())
        );
        assert_eq!(
            (parsed.ident, parsed.pid),
            (b"sshd".as_slice(), b"42".as_slice())
        );
        assert_eq!(parsed.time.unwrap().nanos(), 1_795_292_100_123_456_000);
        assert_eq!(parse(b"_COMM=cron\nMESSAGE=x\n").ident, b"cron");
    }

    #[test]
    fn an_entry_that_is_too_long_is_passed_over() {
        let small = b"MESSAGE=ok\n".to_vec();
        let long_binary = entry(&[b'\n'; 5_000]);
        let long_text = [b"MESSAGE=", [b'x'; 5_000].as_slice(), b"\n"].concat();
        let many_fields = b"A=0123456789\n".repeat(300);
        for long in [long_binary, long_text, many_fields] {
            let stream = [&small[..], b"\n", &long, b"\n", &small, b"\n"].concat();
            for chunk in [1, 100, 100_000] {
                let expected = (vec![small.clone(), small.clone()], 1);
                assert_eq!(read(1_000, &stream, chunk), expected, "chunks of {chunk}");
            }
        }
    }

    #[test]
    fn a_name_that_is_too_long_is_a_line_however_much_has_arrived() {
        let stream = [&[b'N'; 80][..], b"\nA=1\n\nMESSAGE=ok\n\n"].concat();
        let whole = read(64, &stream, stream.len());
        for chunk in 1..stream.len() {
            assert_eq!(read(64, &stream, chunk), whole, "chunks of {chunk}");
        }
        assert_eq!(whole, (vec![b"MESSAGE=ok\n".to_vec()], 1));
    }

    proptest! {
        #[test]
        fn no_bytes_panic_and_memory_is_bounded(
            data in proptest::collection::vec(
                prop_oneof![Just(b'\n'), Just(b'='), Just(0), any::<u8>()], 0..400),
            chunk in 1usize..50,
        ) {
            let mut reader = Reader::new(64);
            for bytes in data.chunks(chunk) {
                reader.feed(bytes);
                while let Some(entry) = reader.next() {
                    parse(entry);
                }
                prop_assert!(reader.buffer.len() <= 64 * 3 + chunk);
            }
            parse(&data);
        }
    }
}
