use proptest::prelude::*;

use super::*;

fn now() -> Timestamp {
    "2026-11-21T20:15:00Z".parse().unwrap()
}

fn text(date: Date) -> String {
    let mut out = String::new();
    write(date, &mut out);
    out
}

fn via(layout: &str, value: &str) -> Option<String> {
    parse(layout, value, now()).map(text)
}

fn any(value: &str) -> Option<String> {
    read(value, "", now()).map(text)
}

#[test]
fn the_usual_layouts() {
    for (given, wanted) in [
        ("2026-01-02T03:04:05Z", "2026-01-02T03:04:05Z"),
        (
            "2026-01-02T03:04:05.120+02:00",
            "2026-01-02T03:04:05.12+02:00",
        ),
        ("02/Jan/2026:03:04:05 -0730", "2026-01-02T03:04:05-07:30"),
        ("Fri Jan 2 03:04:05 2026", "2026-01-02T03:04:05Z"),
        ("02-Jan-2026 03:04:05 europe/paris", "2026-01-02T03:04:05Z"),
        ("01/02/2026 03:04:05", "2026-01-02T03:04:05Z"),
        (
            "2026-01-02 03:04:05.5 +0100 CET",
            "2026-01-02T03:04:05.5+01:00",
        ),
        ("Jan  2 03:04:05", "2026-01-02T03:04:05Z"),
        ("Jan 12 03:04:05", "2026-01-12T03:04:05Z"),
        ("Jan 2 03:04:05.25", "2026-01-02T03:04:05.25Z"),
        (
            "Fri Jan 02 03:04:05.123456 2026",
            "2026-01-02T03:04:05.123456Z",
        ),
        ("2026/01/02", "2026-01-02T00:00:00Z"),
        ("2026/01/02 03:04", "2026-01-02T03:04:00Z"),
        ("2026/01/02 03:04:05", "2026-01-02T03:04:05Z"),
        ("2026-01-02", "2026-01-02T00:00:00Z"),
        ("2026-01-02 03:04", "2026-01-02T03:04:00Z"),
        ("2026-01-02 03:04:05,5", "2026-01-02T03:04:05.5Z"),
        ("2026-01-02T03:04:05", "2026-01-02T03:04:05Z"),
        ("1767323045", "2026-01-02T03:04:05Z"),
        ("1767323045.75", "2026-01-02T03:04:05Z"),
        ("1.767323045e+09", "2026-01-02T03:04:05Z"),
    ] {
        assert_eq!(any(given).as_deref(), Some(wanted), "{given}");
    }
    for bad in [
        "",
        "x",
        "2026-02-30",
        "Jan 32 03:04:05",
        "2026-13-01T00:00:00Z",
        "24:00:00",
        "2026-01-02T24:04:05Z",
        "99999999999999999999",
        "9223372036854775807",
        "nan",
        "inf",
        "Jan 2",
    ] {
        assert_eq!(any(bad), None, "{bad}");
    }
}

#[test]
fn layouts_read_as_go_reads_them() {
    for (layout, given, wanted) in [
        ("Jan _2 15:04:05", "Feb  3 01:02:03", "2026-02-03T01:02:03Z"),
        (
            "2006-01-02 15:04:05",
            "2026-01-02    03:04:05.9",
            "2026-01-02T03:04:05.9Z",
        ),
        ("02/01/06 3:04PM", "05/04/26 1:30PM", "2026-04-05T13:30:00Z"),
        (
            "02/01/06 03:04 pm",
            "05/04/70 12:30 am",
            "1970-04-05T00:30:00Z",
        ),
        (
            "Monday, January 2 2006",
            "friday, MAY 1 2026",
            "2026-05-01T00:00:00Z",
        ),
        (
            "2006-01-02 15:04:05.000",
            "2026-01-02 03:04:05.123",
            "2026-01-02T03:04:05.123Z",
        ),
        ("2006-002", "2026-032", "2026-02-01T00:00:00Z"),
        (
            "Jan 2 15:04:05 MST 2006",
            "Jan 2 03:04:05 GMT-3 2026",
            "2026-01-02T03:04:05-03:00",
        ),
        (
            "Jan 2 15:04:05 MST 2006",
            "Jan 2 03:04:05 CEST 2026",
            "2026-01-02T03:04:05Z",
        ),
        (
            "2006-01-02T15:04:05Z0700",
            "2026-01-02T03:04:05+0100",
            "2026-01-02T03:04:05+01:00",
        ),
        (
            "2006-01-02T15:04:05-07",
            "2026-01-02T03:04:05-01",
            "2026-01-02T03:04:05-01:00",
        ),
        ("Month 1 2006", "Month 7 2026", "2026-07-01T00:00:00Z"),
        ("20060102 150405", "20260102 030405", "2026-01-02T03:04:05Z"),
    ] {
        assert_eq!(
            via(layout, given).as_deref(),
            Some(wanted),
            "{layout} {given}"
        );
    }
    for (layout, given) in [
        ("2006-01-02", "2026-1-02"),
        ("2006-01-02 15:04", "2026-01-02T03:04"),
        ("15:04:05.000", "03:04:05.12"),
        ("2006-01-02", "2026-01-02 "),
        ("3:04PM", "13:04PM"),
        ("MST", "ABCDEF"),
    ] {
        assert_eq!(via(layout, given), None, "{layout} {given}");
    }
}

#[test]
fn a_named_layout_comes_first_and_the_usual_ones_after() {
    let read = |value: &str| read(value, "02.01.2006", now()).map(text);
    assert_eq!(read("03.02.2026").as_deref(), Some("2026-02-03T00:00:00Z"));
    assert_eq!(read("2026/01/02").as_deref(), Some("2026-01-02T00:00:00Z"));
}

#[test]
fn a_leap_day_without_a_year_normalises() {
    assert_eq!(
        any("Feb 29 00:00:00").as_deref(),
        Some("2026-03-01T00:00:00Z")
    );
}

proptest! {
    #[test]
    fn the_quick_way_agrees_with_the_layouts(
        seconds in 0_i64..4_000_000_000, form in 0..3, cut in 0_usize..40, junk in "[ -~]{0,2}",
    ) {
        let (y, m, d) = civil(seconds / 86_400);
        let name = &MONTHS[m as usize - 1][..3];
        let (h, n, s) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
        let clock = format!("{h:02}:{n:02}:{s:02}");
        let mut value = match form {
            0 => format!("{name} {d:2} {clock}"),
            1 => format!("{d:02}/{name}/{y:04}:{clock} +0130"),
            _ => format!("{y:04}-{m:02}-{d:02}T{clock}.25-02:00"),
        };
        value.insert_str(cut.min(value.len()), &junk);
        if let Some(date) = quick(&value, now()) {
            let slow = LAYOUTS.iter().find_map(|l| parse(l, &value, now()));
            prop_assert_eq!(Some(date), slow, "{}", value);
        }
    }

    #[test]
    fn any_layout_and_text_are_safe(layout in "[ -~é]{0,30}", value in "[ -~é]{0,30}") {
        let _ = read(&value, &layout, now());
    }

    #[test]
    fn what_is_written_reads_back(nanos in i64::MIN..=i64::MAX, minutes in -1439..=1439) {
        let date = Date { time: Timestamp::from_nanos(nanos), offset: minutes * 60 };
        prop_assume!(nanos.checked_add(i64::from(date.offset) * 1_000_000_000).is_some());
        prop_assert_eq!(parse(LAYOUTS[0], &text(date), now()), Some(date));
    }
}
