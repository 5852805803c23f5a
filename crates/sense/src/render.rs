//! Writes a message of any transport as the traditional syslog line that rules expect:
//! `2026-11-21T20:15:00.123456+00:00 host ident[pid]: message`.

use model::Timestamp;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Line<'a> {
    pub(crate) time: Timestamp,
    pub(crate) host: &'a [u8],
    /// Empty when unknown; then `pid` is not written either.
    pub(crate) ident: &'a [u8],
    pub(crate) pid: &'a [u8],
    pub(crate) message: &'a [u8],
}

pub(crate) fn append(out: &mut Vec<u8>, line: &Line<'_>) {
    let time = jiff::Timestamp::from(line.time).strftime("%Y-%m-%dT%H:%M:%S%.6f+00:00");
    out.extend_from_slice(time.to_string().as_bytes());
    out.push(b' ');
    word(
        out,
        if line.host.is_empty() {
            b"-"
        } else {
            line.host
        },
    );
    out.push(b' ');
    if !line.ident.is_empty() {
        word(out, line.ident);
        if !line.pid.is_empty() {
            out.push(b'[');
            word(out, line.pid);
            out.push(b']');
        }
        out.extend_from_slice(b": ");
    }
    // One message is one line: a line end within must not look like the next message's beginning.
    out.extend(
        line.message
            .iter()
            .map(|b| if matches!(b, b'\n' | b'\r') { b' ' } else { *b }),
    );
}

fn word(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend(bytes.iter().map(|b| {
        if b.is_ascii_control() || *b == b' ' {
            b'_'
        } else {
            *b
        }
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(line: &Line<'_>) -> String {
        let mut out = Vec::new();
        append(&mut out, line);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn lines_look_like_syslog() {
        let mut line = Line {
            time: "2026-11-21T20:15:00.123456789Z".parse().unwrap(),
            host: b"web1",
            ident: b"sshd",
            pid: b"42",
            message: b"Failed\npassword",
        };
        assert_eq!(
            text(&line),
            "2026-11-21T20:15:00.123456+00:00 web1 sshd[42]: Failed password"
        );
        (line.host, line.pid) = (b"", b"");
        assert_eq!(
            text(&line),
            "2026-11-21T20:15:00.123456+00:00 - sshd: Failed password"
        );
        (line.ident, line.time) = (b"", Timestamp::EPOCH);
        assert_eq!(
            text(&line),
            "1970-01-01T00:00:00.000000+00:00 - Failed password"
        );
    }
}
