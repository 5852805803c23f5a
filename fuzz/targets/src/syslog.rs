//! Syslog over the network: RFC 5424, RFC 3164 and the framing of RFC 6587.

use std::{net::SocketAddr, time::Duration};

use sense::fuzzing::{line_stream, syslog as parse, syslog_line, syslog_stream};

use crate::{NOW, is_part, knob};

const DAY: Duration = Duration::from_secs(86_400);

/// The first byte gives the size of the pieces in which the rest arrives, as a TCP stream; the
/// rest is also one UDP message.
pub fn syslog(data: &[u8]) {
    let (size, data) = knob(data);
    message(data);
    streams(data, usize::from(size).max(1));
}

fn message(frame: &[u8]) {
    let parsed = parse(frame, NOW);
    for part in [
        parsed.host,
        parsed.ident,
        parsed.pid,
        parsed.structured,
        parsed.text,
    ] {
        assert!(is_part(part, frame), "a part from elsewhere");
    }
    let taken: usize = [
        parsed.host,
        parsed.ident,
        parsed.pid,
        parsed.structured,
        parsed.text,
    ]
    .iter()
    .map(|part| part.len())
    .sum();
    assert!(taken <= frame.len(), "parts overlap");
    assert!(
        parsed.priority.is_none_or(|p| p <= 191),
        "RFC 5424 section 6.2.1"
    );
    assert!(
        !parsed.guessed_year || parsed.time.is_none_or(|time| time <= NOW.plus(DAY)),
        "a guessed year must not lie in the future"
    );
    let peer = SocketAddr::from(([192, 0, 2, 7], 514));
    let line = syslog_line(frame, peer, NOW);
    assert!(
        !line.iter().any(|b| matches!(b, b'\n' | b'\r')),
        "a message became two lines"
    );
    // Time, host and punctuation come on top of what was sent.
    assert!(line.len() <= frame.len() + 64, "the line grew");
}

fn streams(stream: &[u8], size: usize) {
    for max in [usize::MAX >> 1, 32] {
        let whole = syslog_stream(stream, stream.len(), max);
        let pieces = syslog_stream(stream, size, max);
        assert_eq!(
            whole.frames, pieces.frames,
            "frames hang on how the stream was cut"
        );
        let lines = line_stream(stream, stream.len(), max);
        let cut = line_stream(stream, size, max);
        assert_eq!(
            lines.frames, cut.frames,
            "lines hang on how the stream was cut"
        );
        for cut in [&pieces, &cut] {
            let kept: usize = cut.frames.iter().map(|(bytes, _)| bytes.len()).sum();
            assert!(kept <= stream.len(), "more came out than went in");
            assert!(
                cut.frames.iter().all(|(bytes, _)| bytes.len() <= max),
                "too long"
            );
            // RFC 6587: a count has at most eight bytes here.
            assert!(
                cut.held_max <= max.saturating_add(size + 16),
                "memory is not bounded"
            );
        }
    }
}
