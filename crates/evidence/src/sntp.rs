//! One question to a time server and its answer (SNTP: RFC 4330; the fields: RFC 5905, figure 8).
//!
//! Pure: bytes and times come as arguments. What comes back may be from anybody; only an answer
//! that repeats our own random number counts, and only if it says that its clock is kept.

use std::time::Duration;

use model::Timestamp;

pub const PACKET_BYTES: usize = 48;
/// Nobody knows the time further than this from a clock that he trusts (RFC 5905, MAXSTRAT).
const STRATUM_MAX: u8 = 15;
/// A server that may be wrong by this much says nothing (RFC 5905, MAXDISP).
const ROOT_DISTANCE_MAX: Duration = Duration::from_secs(16);
const MODE_CLIENT: u8 = 3;
const MODE_SERVER: u8 = 4;
const VERSION: u8 = 4;
const LEAP_NOT_SYNCHRONISED: u8 = 3;
/// 1900-01-01 and 2036-02-07T06:28:16, seconds from the Unix epoch: where counting begins
/// (RFC 4330, section 3: the first bit tells which).
const FIRST_ERA: i64 = -2_208_988_800;
const SECOND_ERA: i64 = 2_085_978_496;
const FIRST_BIT: u32 = 1 << 31;

/// Which server's word it is, and what it says of its own clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub stratum: u8,
    pub reference: String,
    pub root_delay: Duration,
    pub root_dispersion: Duration,
    /// When the server had the question, and when it answered.
    pub received: Timestamp,
    pub sent: Timestamp,
}

/// How far the clock is off by one answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measured {
    pub offset_microseconds: i64,
    pub delay_microseconds: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SntpError {
    #[error("{bytes} bytes are no answer; one has at least {PACKET_BYTES}")]
    Short { bytes: usize },
    #[error("an answer to a question that was not asked")]
    NotOurs,
    #[error("mode {mode}, version {version}: no server's answer")]
    NotAServer { mode: u8, version: u8 },
    #[error("the server asks not to be asked ({code}); take it off the list")]
    KissOfDeath { code: String },
    #[error("the server says that its clock is not kept (stratum {stratum})")]
    NotSynchronised { stratum: u8 },
    #[error("the server may be wrong by more than {} s itself", ROOT_DISTANCE_MAX.as_secs())]
    TooFar,
    #[error("the times in the answer cannot be")]
    Impossible,
}

/// The question. It tells nothing of us but that it is one: our time stays here, and in its place
/// goes a number that nobody can guess.
pub fn question(cookie: [u8; 8]) -> [u8; PACKET_BYTES] {
    let mut packet = [0; PACKET_BYTES];
    let (head, transmit) = packet.split_at_mut(PACKET_BYTES - cookie.len());
    if let Some(first) = head.first_mut() {
        *first = VERSION << 3 | MODE_CLIENT;
    }
    transmit.copy_from_slice(&cookie);
    packet
}

/// Reads an answer to the question with this number. Keys and extensions behind it are not read.
pub fn read(bytes: &[u8], cookie: [u8; 8]) -> Result<Answer, SntpError> {
    let short = SntpError::Short { bytes: bytes.len() };
    let packet: &[u8; PACKET_BYTES] = bytes.first_chunk().ok_or(short)?;
    if field::<8>(packet, 24) != cookie {
        return Err(SntpError::NotOurs);
    }
    let [first, stratum, ..] = *packet;
    let (leap, version, mode) = (first >> 6, first >> 3 & 7, first & 7);
    if mode != MODE_SERVER || !(3..=VERSION).contains(&version) {
        return Err(SntpError::NotAServer { mode, version });
    }
    let reference = field::<4>(packet, 12);
    if stratum == 0 {
        let code = letters(reference).unwrap_or_else(|| "no reason".to_owned());
        return Err(SntpError::KissOfDeath { code });
    }
    let sent = field::<8>(packet, 40);
    if leap == LEAP_NOT_SYNCHRONISED || stratum > STRATUM_MAX || sent == [0; 8] {
        return Err(SntpError::NotSynchronised { stratum });
    }
    let root_delay = short_span(field(packet, 4));
    let root_dispersion = short_span(field(packet, 8));
    if root_delay / 2 + root_dispersion >= ROOT_DISTANCE_MAX {
        return Err(SntpError::TooFar);
    }
    Ok(Answer {
        stratum,
        reference: origin(stratum, reference),
        root_delay,
        root_dispersion,
        received: instant(field(packet, 32)),
        sent: instant(sent),
    })
}

/// The clock's offset and the way there and back (RFC 4330, section 5), by our own times of the
/// question and the answer.
pub fn measure(asked: Timestamp, came: Timestamp, answer: &Answer) -> Result<Measured, SntpError> {
    let [asked, came, received, sent] =
        [asked, came, answer.received, answer.sent].map(|time| i128::from(time.nanos()));
    let delay = (came - asked) - (sent - received);
    if sent < received || came < asked || delay < 0 {
        return Err(SntpError::Impossible);
    }
    let offset = ((received - asked) + (sent - came)) / 2;
    Ok(Measured {
        offset_microseconds: i64::try_from(offset / 1_000).map_err(|_| SntpError::Impossible)?,
        delay_microseconds: u64::try_from(delay / 1_000).map_err(|_| SntpError::Impossible)?,
    })
}

fn field<const N: usize>(packet: &[u8; PACKET_BYTES], from: usize) -> [u8; N] {
    let rest = packet.get(from..).and_then(<[u8]>::first_chunk);
    rest.copied().unwrap_or([0; N])
}

/// Seconds and their 65,536ths.
fn short_span(bytes: [u8; 4]) -> Duration {
    let units = u64::from(u32::from_be_bytes(bytes));
    Duration::from_nanos(units.saturating_mul(1_000_000_000) >> 16)
}

fn instant(bytes: [u8; 8]) -> Timestamp {
    let whole = u64::from_be_bytes(bytes);
    let seconds = u32::try_from(whole >> 32).unwrap_or(u32::MAX);
    let begin = if seconds & FIRST_BIT == 0 {
        SECOND_ERA
    } else {
        FIRST_ERA
    };
    let fraction = ((whole & u64::from(u32::MAX)) * 1_000_000_000) >> 32;
    Timestamp::from_seconds(begin + i64::from(seconds)).plus(Duration::from_nanos(fraction))
}

/// Four letters at most, of which the rest is nothing.
fn letters(bytes: [u8; 4]) -> Option<String> {
    let text = String::from_utf8(bytes.to_vec()).ok()?;
    let text = text.trim_end_matches('\0');
    let printable = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    printable.then(|| text.to_owned())
}

/// Stratum 1 names its kind of clock, the others the server above by its address or a hash of it.
fn origin(stratum: u8, reference: [u8; 4]) -> String {
    let number = || format!("{:08x}", u32::from_be_bytes(reference));
    if stratum == 1 {
        letters(reference).unwrap_or_else(number)
    } else {
        number()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COOKIE: [u8; 8] = *b"unguess!";

    /// What a server of stratum 2 says, 7 s ahead of 2026-11-22T12:00:00Z.
    fn answer() -> [u8; PACKET_BYTES] {
        let mut packet = [0; PACKET_BYTES];
        packet[0] = VERSION << 3 | MODE_SERVER;
        packet[1] = 2;
        packet[4..8].copy_from_slice(&(1u32 << 15).to_be_bytes());
        packet[8..12].copy_from_slice(&(1u32 << 14).to_be_bytes());
        packet[12..16].copy_from_slice(&[192, 0, 2, 1]);
        packet[24..32].copy_from_slice(&COOKIE);
        let seconds = u32::try_from(NOON + 7 - FIRST_ERA).unwrap();
        packet[32..36].copy_from_slice(&seconds.to_be_bytes());
        packet[40..44].copy_from_slice(&seconds.to_be_bytes());
        packet[44] = 0x80;
        packet
    }

    const NOON: i64 = 1_795_348_800;

    fn changed(at: usize, byte: u8) -> Result<Answer, SntpError> {
        let mut packet = answer();
        packet[at] = byte;
        read(&packet, COOKIE)
    }

    #[test]
    fn an_answer_tells_how_far_the_clock_is_off() {
        let read = read(&answer(), COOKIE).unwrap();
        assert_eq!(read.stratum, 2);
        assert_eq!(read.reference, "c0000201");
        assert_eq!(read.root_delay, Duration::from_millis(500));
        assert_eq!(read.root_dispersion, Duration::from_millis(250));
        let asked = Timestamp::from_seconds(NOON);
        let came = asked.plus(Duration::from_millis(600));
        let measured = measure(asked, came, &read).unwrap();
        // (7 + (7.5 - 0.6)) / 2, and 0.6 less the half second that the server took.
        assert_eq!(measured.offset_microseconds, 6_950_000);
        assert_eq!(measured.delay_microseconds, 100_000);
    }

    #[test]
    fn nothing_counts_that_may_be_from_others_or_from_a_lost_server() {
        assert_eq!(changed(24, 0), Err(SntpError::NotOurs));
        assert_eq!(
            changed(0, VERSION << 3 | MODE_CLIENT),
            Err(SntpError::NotAServer {
                mode: 3,
                version: 4
            })
        );
        assert_eq!(
            changed(0, 3 << 6 | VERSION << 3 | MODE_SERVER),
            Err(SntpError::NotSynchronised { stratum: 2 })
        );
        assert_eq!(
            changed(1, 16),
            Err(SntpError::NotSynchronised { stratum: 16 })
        );
        assert_eq!(changed(9, 16), Err(SntpError::TooFar));
        assert_eq!(
            read(&answer()[..47], COOKIE),
            Err(SntpError::Short { bytes: 47 })
        );
        let mut packet = answer();
        packet[1] = 0;
        packet[12..16].copy_from_slice(b"RATE");
        let code = "RATE".to_owned();
        assert_eq!(read(&packet, COOKIE), Err(SntpError::KissOfDeath { code }));
    }

    #[test]
    fn times_that_cannot_be_are_refused() {
        let read = read(&answer(), COOKIE).unwrap();
        let asked = Timestamp::from_seconds(NOON);
        // The server would have taken longer than we waited.
        let soon = asked.plus(Duration::from_millis(499));
        assert_eq!(measure(asked, soon, &read), Err(SntpError::Impossible));
        assert_eq!(
            measure(asked, asked.minus(Duration::from_secs(1)), &read),
            Err(SntpError::Impossible)
        );
    }

    #[test]
    fn counting_goes_on_after_2036() {
        let last = instant([0xff; 8]);
        let next = instant([0, 0, 0, 0, 0, 0, 0, 1]);
        assert_eq!(last.to_string().get(..19), Some("2036-02-07T06:28:15"));
        assert_eq!(next.seconds() - last.seconds(), 1);
    }

    #[test]
    fn a_question_tells_nothing_of_us() {
        let packet = question(COOKIE);
        assert_eq!(packet[0], 0x23);
        assert!(packet[1..40].iter().all(|byte| *byte == 0));
        assert_eq!(packet[40..], COOKIE);
    }
}
