use super::*;
use crate::fail2ban::python::LINE_STEPS_MAX;

/// 2005-08-14 12:00 in Zurich.
const NOW: i64 = 1_124_013_600;

fn find(pattern: &str, line: &str) -> Option<(String, f64)> {
    let zone = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
    let mut detector = Detector::new(Some(pattern)).unwrap_or_else(|e| panic!("{pattern}: {e}"));
    let mut machine = Machine::default();
    machine.begin_line(LINE_STEPS_MAX);
    let frame = Frame {
        now: Timestamp::from_nanos(NOW * 1_000_000_000),
        zone: &zone,
    };
    let found = detector.find(line, &mut machine, frame)?;
    let seconds = found.time.nanos() as f64 / 1e9;
    Some((line[found.start..found.end].to_owned(), seconds))
}

#[test]
fn dates_are_found_and_cut_out() {
    for (pattern, line, cut, seconds) in [
        (
            "",
            "Aug 14 11:59:59 h x",
            "Aug 14 11:59:59",
            1_124_013_599.0,
        ),
        (
            "",
            "Aug 15 11:59:59 h x",
            "Aug 15 11:59:59",
            1_124_099_999.0,
        ),
        (
            "",
            "Aug 16 12:00:00 h x",
            "Aug 16 12:00:00",
            1_092_650_400.0,
        ),
        (
            "",
            "[2005-08-14T12:00:00.5] x",
            "2005-08-14T12:00:00.5",
            1_124_013_600.0,
        ),
        (
            "",
            "a 2005/08/14 12:00:00 +0200 x",
            "2005/08/14 12:00:00 +0200",
            1_124_013_600.0,
        ),
        (
            "",
            "Sun Aug 14 12:00:00 2005 x",
            "Sun Aug 14 12:00:00 2005",
            1_124_013_600.0,
        ),
        (
            "",
            "x [14/Aug/2005:12:00:00 +0100] y",
            "14/Aug/2005:12:00:00 +0100",
            1_124_017_200.0,
        ),
        ("", "1124013600.125 x", "1124013600.125", 1_124_013_600.125),
        (
            "",
            "type=X msg=audit(1124013600.125:33): y",
            "1124013600.125",
            1_124_013_600.125,
        ),
        (
            "{^LN-BEG}",
            "[[Aug 14 12:00:00] x",
            "Aug 14 12:00:00",
            1_124_013_600.0,
        ),
        (
            "^t=%Y-%m-%dT%H:%M:%S%z",
            "t=2005-08-14T12:00:00+0200 x",
            "t=2005-08-14T12:00:00+0200",
            1_124_013_600.0,
        ),
        (
            r"^[^\[]*\[({DATE})",
            "q [14/Aug/2005:12:00:00 +0200] y",
            "14/Aug/2005:12:00:00 +0200",
            1_124_013_600.0,
        ),
        (
            "^%b %d, %ExY %I:%M:%S %p",
            "Aug 14, 2005 12:00:00 PM x",
            "Aug 14, 2005 12:00:00 PM",
            1_124_013_600.0,
        ),
        (
            "^%H:%M:%S.%f",
            "11:00:00.5 x",
            "11:00:00.5",
            1_124_010_000.0,
        ),
        ("^%H:%M:%S", "13:00:00 x", "13:00:00", 1_123_930_800.0),
        (
            "TAI64N",
            "@4000000041f1d5a2000000aa x",
            "@4000000041f1d5a2000000aa",
            1_106_367_906.0,
        ),
        (
            "LEPOCH",
            "1124013600125 x",
            "1124013600125",
            1_124_013_600.125,
        ),
        (
            r"q\({EPOCH}\)",
            "q(1124013600) x",
            "1124013600",
            1_124_013_600.0,
        ),
        (
            "^%Y-%m-%d %H:%M:%S %Z",
            "2005-08-14 12:00:00 EST x",
            "2005-08-14 12:00:00 EST",
            1_124_038_800.0,
        ),
        (
            "{UNB}%Y-%m-%d %H:%M:%S",
            "a2005-08-14 12:00:00x",
            "2005-08-14 12:00:00",
            1_124_013_600.0,
        ),
    ] {
        let expected = Some((cut.to_owned(), seconds));
        assert_eq!(find(pattern, line), expected, "{pattern} on {line}");
    }
}

#[test]
fn what_is_no_date_is_none() {
    for (pattern, line) in [
        ("{^LN-BEG}", "[[[Aug 14 12:00:00] x"),
        ("{^LN-BEG}", "a Aug 14 12:00:00 x"),
        ("%Y-%m-%d %H:%M:%S", "a2005-08-14 12:00:00 x"),
        ("%Y-%m-%d %H:%M:%S", "2005-08-14 12:00:001 x"),
        ("^%ExY-%m-%d", "1905-01-02 x"),
        ("", "Foo 14 12:00:00 x"),
        ("{NONE}", "Aug 14 12:00:00 x"),
        ("^%Y-%m-%d", "2005-02-30 x"),
    ] {
        assert_eq!(find(pattern, line), None, "{pattern} on {line}");
    }
}
