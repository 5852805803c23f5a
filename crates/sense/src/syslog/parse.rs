//! One syslog message, as RFC 5424 has it or as RFC 3164 found it in the wild. Pure.
//!
//! Nothing is refused: what cannot be understood is the message.

use jiff::{civil, tz::TimeZone};
use model::Timestamp;

/// The parts of a message; empty where the sender left them out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Message<'a> {
    pub(crate) priority: Option<u8>,
    pub(crate) time: Option<Time>,
    pub(crate) host: &'a [u8],
    pub(crate) ident: &'a [u8],
    pub(crate) pid: &'a [u8],
    pub(crate) structured: &'a [u8],
    pub(crate) text: &'a [u8],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Time {
    At(Timestamp),
    /// A clock on a wall somewhere; the year may be missing.
    Wall {
        year: Option<i16>,
        month: i8,
        day: i8,
        hour: i8,
        minute: i8,
        second: i8,
        nanos: i32,
    },
}

impl Time {
    /// The instant meant, given when the message came and in which zone such clocks run here.
    pub(crate) fn resolve(self, received: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let (year, month, day, hour, minute, second, nanos) = match self {
            Self::At(time) => return Some(time),
            Self::Wall {
                year,
                month,
                day,
                hour,
                minute,
                second,
                nanos,
            } => (year, month, day, hour, minute, second, nanos),
        };
        let in_year = |year| {
            let wall = civil::DateTime::new(year, month, day, hour, minute, second, nanos).ok()?;
            wall.to_zoned(zone.clone())
                .ok()
                .map(|zoned| Timestamp::from(zoned.timestamp()))
        };
        if let Some(year) = year {
            return in_year(year);
        }
        let this = jiff::Timestamp::from(received)
            .to_zoned(zone.clone())
            .year();
        // A year is guessed so that the message is old rather than from the future; 29 February
        // may exist in one of the two only.
        let day_ahead = received.plus(std::time::Duration::from_secs(86_400));
        in_year(this.saturating_add(1))
            .filter(|time| *time <= day_ahead)
            .or_else(|| in_year(this).filter(|time| *time <= day_ahead))
            .or_else(|| in_year(this.saturating_sub(1)))
    }
}

pub(crate) fn parse(frame: &[u8]) -> Message<'_> {
    let frame = trim_end(frame);
    let (priority, rest) = split_priority(frame);
    if priority.is_some()
        && let Some(message) = rfc5424(rest)
    {
        return Message {
            priority,
            ..message
        };
    }
    Message {
        priority,
        ..rfc3164(rest)
    }
}

fn trim_end(mut frame: &[u8]) -> &[u8] {
    while let [rest @ .., b'\n' | b'\r' | 0] = frame {
        frame = rest;
    }
    frame
}

// RFC 5424 section 6.2.1: up to three digits, 0 to 191.
fn split_priority(frame: &[u8]) -> (Option<u8>, &[u8]) {
    let Some(rest) = frame.strip_prefix(b"<") else {
        return (None, frame);
    };
    let digits = rest
        .iter()
        .take(4)
        .take_while(|b| b.is_ascii_digit())
        .count();
    let Some((number, rest)) = rest.split_at_checked(digits) else {
        return (None, frame);
    };
    let Some(rest) = rest.strip_prefix(b">") else {
        return (None, frame);
    };
    match number_of(number) {
        Some(value @ 0..=191) => (u8::try_from(value).ok(), rest),
        _ => (None, frame),
    }
}

fn number_of(digits: &[u8]) -> Option<u32> {
    let text = std::str::from_utf8(digits).ok()?;
    text.bytes()
        .all(|b| b.is_ascii_digit())
        .then(|| text.parse().ok())?
}

/// RFC 5424 section 6: VERSION SP TIMESTAMP SP HOSTNAME SP APP-NAME SP PROCID SP MSGID SP SD.
fn rfc5424(rest: &[u8]) -> Option<Message<'_>> {
    let (version, rest) = word(rest)?;
    if version != b"1" {
        return None;
    }
    let (time, rest) = word(rest)?;
    let time = match time {
        b"-" => None,
        _ => Some(Time::At(rfc3339(time)?)),
    };
    let (host, rest) = word(rest)?;
    let (ident, rest) = word(rest)?;
    let (pid, rest) = word(rest)?;
    let (_message_id, rest) = word(rest)?;
    let (structured, rest) = structured_data(rest)?;
    let text = rest.strip_prefix(b" ").unwrap_or(rest);
    // Section 6.4: MSG may begin with the BOM when it is UTF-8.
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let nil = |part: &'_ [u8]| part == b"-";
    Some(Message {
        priority: None,
        time,
        host: if nil(host) { b"" } else { host },
        ident: if nil(ident) { b"" } else { ident },
        pid: if nil(pid) { b"" } else { pid },
        structured: if nil(structured) { b"" } else { structured },
        text,
    })
}

/// Section 6.3: `-`, or elements in brackets, where `\` escapes `"`, `\` and `]` within quotes.
fn structured_data(rest: &[u8]) -> Option<(&[u8], &[u8])> {
    if rest.first() == Some(&b'-') {
        return rest.split_at_checked(1);
    }
    let (mut at, mut depth, mut quoted, mut escaped) = (0, 0u8, false, false);
    for byte in rest {
        match (byte, depth, quoted) {
            (b'[', 0, _) => depth = 1,
            (_, 0, _) => break,
            (_, _, true) if escaped => escaped = false,
            (b'\\', _, true) => escaped = true,
            (b'"', _, _) => quoted = !quoted,
            (b']', _, false) => depth = 0,
            _ => {}
        }
        at += 1;
    }
    if at == 0 || depth > 0 {
        None
    } else {
        rest.split_at_checked(at)
    }
}

/// RFC 3164 section 4.1, and what senders make of it: any part may be missing.
fn rfc3164(rest: &[u8]) -> Message<'_> {
    let rest = trim_start(rest);
    let Some((time, after)) = wall_time(rest) else {
        let (ident, pid, text) = tag(rest).unwrap_or((b"", b"", rest));
        return Message {
            ident,
            pid,
            text,
            ..Message::default()
        };
    };
    let after = trim_start(after);
    let mut message = Message {
        time: Some(time),
        ..Message::default()
    };
    // Local senders leave the host out, so that the tag comes at once.
    if let Some((ident, pid, text)) = tag(after) {
        return Message {
            ident,
            pid,
            text,
            ..message
        };
    }
    let Some((host, rest)) = word(after) else {
        return Message {
            text: after,
            ..message
        };
    };
    message.host = host;
    let rest = trim_start(rest);
    let (ident, pid, text) = tag(rest).unwrap_or((b"", b"", rest));
    Message {
        ident,
        pid,
        text,
        ..message
    }
}

fn trim_start(rest: &[u8]) -> &[u8] {
    let spaces = rest
        .iter()
        .take_while(|b| matches!(b, b' ' | b'\t'))
        .count();
    rest.get(spaces..).unwrap_or_default()
}

/// Up to the next space, which is taken away.
fn word(rest: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = memchr::memchr(b' ', rest)?;
    if end == 0 {
        return None;
    }
    Some((rest.get(..end)?, rest.get(end + 1..)?))
}

/// `ident: text`, `ident[pid]: text` or `ident[pid] text`.
fn tag(rest: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    const TAG_MAX: usize = 128;
    let stop = |b: &u8| matches!(b, b':' | b'[') || b.is_ascii_whitespace() || b.is_ascii_control();
    let end = rest.iter().take(TAG_MAX).position(stop)?;
    let ident = rest.get(..end).filter(|ident| !ident.is_empty())?;
    let rest = rest.get(end..)?;
    let (pid, rest) = match rest.strip_prefix(b"[") {
        None => (b"".as_slice(), rest.strip_prefix(b":")?),
        Some(rest) => {
            let close = memchr::memchr(b']', rest.get(..rest.len().min(TAG_MAX))?)?;
            let after = rest.get(close + 1..)?;
            (
                rest.get(..close)?,
                after.strip_prefix(b":").unwrap_or(after),
            )
        }
    };
    // "fe80::1 sshd: x" and "10:20 x" begin with no tag.
    match rest.first() {
        None => Some((ident, pid, rest)),
        Some(b' ' | b'\t') => Some((ident, pid, rest.get(1..)?)),
        Some(_) => None,
    }
}

/// The time at the beginning, and what comes after it.
fn wall_time(rest: &[u8]) -> Option<(Time, &[u8])> {
    // Cisco marks a clock that is not synchronised.
    let rest = rest
        .strip_prefix(b"*")
        .or_else(|| rest.strip_prefix(b"."))
        .unwrap_or(rest);
    if rest.first()?.is_ascii_digit() {
        return iso_time(rest);
    }
    let month = month(rest.get(..3)?)?;
    let rest = trim_start(rest.get(3..)?.strip_prefix(b" ")?);
    let (day, rest) = number(rest, 2)?;
    let mut rest = trim_start(rest.strip_prefix(b" ")?);
    let mut year = None;
    if let Some((value @ 1970..=2261, after)) = number(rest, 4) {
        year = i16::try_from(value).ok();
        rest = trim_start(after);
    }
    let (hour, minute, second, nanos, rest) = clock(rest)?;
    let rest = rest.strip_prefix(b":").unwrap_or(rest);
    let day = i8::try_from(day).ok()?;
    Some((
        Time::Wall {
            year,
            month,
            day,
            hour,
            minute,
            second,
            nanos,
        },
        rest,
    ))
}

/// `2026-11-21T20:15:00.5Z`, or the same with a space and no zone.
fn iso_time(rest: &[u8]) -> Option<(Time, &[u8])> {
    let end = memchr::memchr(b' ', rest).unwrap_or(rest.len());
    let (first, after) = rest.split_at_checked(end)?;
    let bare = first.strip_suffix(b":").unwrap_or(first);
    if let Some(time) = rfc3339(bare) {
        return Some((Time::At(time), after));
    }
    let (year, rest) = number(rest, 4)?;
    let (month, rest) = number(rest.strip_prefix(b"-")?, 2)?;
    let (day, rest) = number(rest.strip_prefix(b"-")?, 2)?;
    let rest = rest
        .strip_prefix(b" ")
        .or_else(|| rest.strip_prefix(b"T"))?;
    let (hour, minute, second, nanos, rest) = clock(rest)?;
    let time = Time::Wall {
        year: Some(i16::try_from(year).ok()?),
        month: i8::try_from(month).ok()?,
        day: i8::try_from(day).ok()?,
        hour,
        minute,
        second,
        nanos,
    };
    Some((time, rest.strip_prefix(b":").unwrap_or(rest)))
}

/// `20:15:00` with an optional fraction.
fn clock(rest: &[u8]) -> Option<(i8, i8, i8, i32, &[u8])> {
    let (hour, rest) = number(rest, 2)?;
    let (minute, rest) = number(rest.strip_prefix(b":")?, 2)?;
    let (second, mut rest) = number(rest.strip_prefix(b":")?, 2)?;
    let mut nanos = 0;
    if let Some(after) = rest.strip_prefix(b".").or_else(|| rest.strip_prefix(b",")) {
        let digits = after.iter().take_while(|b| b.is_ascii_digit()).count();
        let kept = after.get(..digits.min(9))?;
        let scale = 10i32.pow(9 - u32::try_from(kept.len()).ok()?);
        nanos = i32::try_from(number_of(kept).unwrap_or(0))
            .ok()?
            .checked_mul(scale)?;
        rest = after.get(digits..)?;
    }
    let narrow = |value: u32, max: u32| (value <= max).then(|| i8::try_from(value).ok())?;
    Some((
        narrow(hour, 23)?,
        narrow(minute, 59)?,
        narrow(second, 59)?,
        nanos,
        rest,
    ))
}

fn number(rest: &[u8], digits_max: usize) -> Option<(u32, &[u8])> {
    let digits = rest
        .iter()
        .take(digits_max)
        .take_while(|b| b.is_ascii_digit())
        .count();
    let (number, rest) = rest.split_at_checked(digits)?;
    Some((number_of(number)?, rest))
}

fn month(name: &[u8]) -> Option<i8> {
    const NAMES: &[u8; 36] = b"janfebmaraprmayjunjulaugsepoctnovdec";
    let at = NAMES
        .chunks(3)
        .position(|known| known.eq_ignore_ascii_case(name))?;
    i8::try_from(at + 1).ok()
}

fn rfc3339(text: &[u8]) -> Option<Timestamp> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn received() -> Timestamp {
        "2026-11-21T20:15:00Z".parse().unwrap()
    }

    /// `time|host|ident|pid|text`
    fn shown(frame: &[u8]) -> String {
        let m = parse(frame);
        let time = m.time.and_then(|t| t.resolve(received(), &TimeZone::UTC));
        let lossy = String::from_utf8_lossy;
        format!(
            "{}|{}|{}|{}|{}",
            time.map_or_else(String::new, |t| t.to_string()),
            lossy(m.host),
            lossy(m.ident),
            lossy(m.pid),
            lossy(m.text)
        )
    }

    #[test]
    fn messages_as_they_come() {
        let table: [(&[u8], &str); 24] = [
            (
                b"<34>Oct 11 22:14:15 web1 su: 'su root' failed",
                "2026-10-11T22:14:15Z|web1|su||'su root' failed",
            ),
            (
                b"<13>Nov  1 02:03:04 web1 sshd[77]: x: y",
                "2026-11-01T02:03:04Z|web1|sshd|77|x: y",
            ),
            (
                b"<13>Nov  1 02:03:04 sshd[77]: no host\n",
                "2026-11-01T02:03:04Z||sshd|77|no host",
            ),
            (
                b"<13>Dec 31 23:59:59 h a: last year",
                "2025-12-31T23:59:59Z|h|a||last year",
            ),
            (
                b"<13>Nov 22 10:00:00 h a: fast clock",
                "2026-11-22T10:00:00Z|h|a||fast clock",
            ),
            (b"<13>Feb 30 10:00:00 h a: no such day", "|h|a||no such day"),
            (
                b"<189>*Mar  1 2025 18:46:11.123: %SYS-5-CONFIG_I: Configured",
                "2025-03-01T18:46:11.123Z||%SYS-5-CONFIG_I||Configured",
            ),
            (
                b"<13>2026-11-21T20:15:00.5+01:00 h app[1]: iso",
                "2026-11-21T19:15:00.5Z|h|app|1|iso",
            ),
            (
                b"<13>2026-11-21 20:15:00,250 h app: sql",
                "2026-11-21T20:15:00.25Z|h|app||sql",
            ),
            (b"<13>sshd[9]: bare", "||sshd|9|bare"),
            (b"<13>just words", "||||just words"),
            (b"no priority at all", "||||no priority at all"),
            (b"<999>too great", "||||<999>too great"),
            (b"<>empty", "||||<>empty"),
            (b"", "||||"),
            (
                b"<13>Nov 1 02:03:04 fe80::1 sshd: v6",
                "2026-11-01T02:03:04Z|fe80::1|sshd||v6",
            ),
            (
                b"<13>Nov 1 02:03:04 h postfix/smtpd[5]: q",
                "2026-11-01T02:03:04Z|h|postfix/smtpd|5|q",
            ),
            (
                b"<13>Nov 1 02:03:04 h words without tag",
                "2026-11-01T02:03:04Z|h|||words without tag",
            ),
            (
                b"<34>1 2003-10-11T22:14:15.003Z mymachine su - ID47 - \xef\xbb\xbf'su root'",
                "2003-10-11T22:14:15.003Z|mymachine|su||'su root'",
            ),
            (
                b"<165>1 2003-08-24T05:14:15.000003-07:00 192.0.2.1 p 8710 - - %% hi",
                "2003-08-24T12:14:15.000003Z|192.0.2.1|p|8710|%% hi",
            ),
            (b"<165>1 - - - - - -", "||||"),
            (
                b"<165>1 - h evt - ID [a@1 k=\"v\\\"]]\"][b c=\"d\"] text",
                "|h|evt||text",
            ),
            (
                b"<165>1 not-a-time h app 1 - - text",
                "||||1 not-a-time h app 1 - - text",
            ),
            (
                b"<165>1 - h app 1 - [open text",
                "||||1 - h app 1 - [open text",
            ),
        ];
        for (frame, expected) in table {
            assert_eq!(shown(frame), expected, "{}", String::from_utf8_lossy(frame));
        }
    }

    #[test]
    fn structured_data_is_kept_whole() {
        let m = parse(b"<165>1 - h evt - ID [a@1 k=\"v\\\"]\"][b] text");
        assert_eq!(m.structured, b"[a@1 k=\"v\\\"]\"][b]");
        assert_eq!((m.priority, m.text), (Some(165), b"text".as_slice()));
    }

    #[test]
    fn a_wall_clock_is_read_in_its_zone() {
        let zone = TimeZone::fixed(jiff::tz::offset(2));
        let time = parse(b"<1>Nov 21 22:14:00 h a: x").time.unwrap();
        assert_eq!(
            time.resolve(received(), &zone).unwrap().to_string(),
            "2026-11-21T20:14:00Z"
        );
    }

    proptest! {
        #[test]
        fn no_bytes_panic(data in proptest::collection::vec(any::<u8>(), 0..200)) {
            shown(&data);
            shown(&[b"<13>1 ".as_slice(), &data].concat());
            shown(&[b"<13>Nov 21 ".as_slice(), &data].concat());
        }

        #[test]
        fn near_misses_do_not_panic(text in "<[0-9]{0,4}>[1A-Z0-9a-z:. \\[\\]\"\\\\-]{0,80}") {
            shown(text.as_bytes());
        }
    }
}
