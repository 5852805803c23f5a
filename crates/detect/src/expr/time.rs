//! Methods of times, durations and weekdays, and Go's way to write them.

use jiff::{Zoned, tz::TimeZone};
use model::Timestamp;

use super::value::{Text, Value};

const WEEKDAYS: [&str; 7] = [
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
];
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

fn utc(time: Timestamp) -> Zoned {
    jiff::Timestamp::from(time).to_zoned(TimeZone::UTC)
}

/// `of.Name(arguments…)` of a time, a duration, a weekday or a month.
pub(super) fn method<'a>(of: &Value<'a>, name: &str, arguments: &[Value<'a>]) -> Option<Value<'a>> {
    match (of, name) {
        (Value::Time(time), _) => time_method(*time, name, arguments),
        (Value::Duration(nanos), _) => duration_method(*nanos, name),
        (Value::Weekday(_) | Value::Month(_), "String") => name_of(of).map(Value::text),
        (Value::Text(_), "String") => Some(of.clone()),
        _ => None,
    }
}

fn name_of(of: &Value<'_>) -> Option<&'static str> {
    match of {
        Value::Weekday(day) => WEEKDAYS.get(usize::from(*day)).copied(),
        Value::Month(month) => MONTHS.get(usize::from(*month).checked_sub(1)?).copied(),
        _ => None,
    }
}

fn time_method<'a>(time: Timestamp, name: &str, arguments: &[Value<'a>]) -> Option<Value<'a>> {
    let argument = arguments.first();
    let other = || match argument {
        Some(Value::Time(other)) => Some(*other),
        _ => None,
    };
    let zoned = || utc(time);
    let int = |n: i64| Some(Value::Int(n));
    match name {
        "Add" => match argument {
            Some(Value::Duration(d)) => Some(Value::Time(Timestamp::from_nanos(
                time.nanos().saturating_add(*d),
            ))),
            _ => None,
        },
        "After" => other().map(|o| Value::Bool(time > o)),
        "Before" => other().map(|o| Value::Bool(time < o)),
        "Equal" => other().map(|o| Value::Bool(time == o)),
        "Sub" => other().map(|o| Value::Duration(time.nanos().saturating_sub(o.nanos()))),
        "Day" => int(zoned().day().into()),
        "Hour" => int(zoned().hour().into()),
        "Minute" => int(zoned().minute().into()),
        "Second" => int(zoned().second().into()),
        "Nanosecond" => int(time.nanos().rem_euclid(1_000_000_000)),
        "Month" => u8::try_from(zoned().month()).ok().map(Value::Month),
        "Year" => int(zoned().year().into()),
        "YearDay" => int(zoned().day_of_year().into()),
        "Weekday" => u8::try_from(zoned().weekday().to_sunday_zero_offset())
            .ok()
            .map(Value::Weekday),
        "Unix" => int(time.seconds()),
        "UnixMilli" => int(time.millis()),
        "UnixNano" => int(time.nanos()),
        "UTC" => Some(Value::Time(time)),
        "String" => Some(Value::shared(write_time(time))),
        "Format" => {
            let layout = argument?.as_str()?;
            Some(Value::shared(format(time, layout)))
        }
        _ => None,
    }
}

fn duration_method<'a>(nanos: i64, name: &str) -> Option<Value<'a>> {
    let float = |scale: f64| Some(Value::Float(nanos as f64 / scale));
    match name {
        "Hours" => float(3.6e12),
        "Minutes" => float(6e10),
        "Seconds" => float(1e9),
        "Milliseconds" => Some(Value::Int(nanos / 1_000_000)),
        "Nanoseconds" => Some(Value::Int(nanos)),
        "String" => Some(Value::shared(write_duration(nanos))),
        _ => None,
    }
}

/// A time as Go prints it.
pub(super) fn write_time(time: Timestamp) -> String {
    let zoned = utc(time);
    let nanos = time.nanos().rem_euclid(1_000_000_000);
    let fraction = if nanos == 0 {
        String::new()
    } else {
        format!(".{nanos:09}").trim_end_matches('0').to_owned()
    };
    format!(
        "{}{fraction} +0000 UTC",
        zoned.strftime("%Y-%m-%d %H:%M:%S")
    )
}

/// A duration as Go prints it, to the nanosecond.
pub(super) fn write_duration(nanos: i64) -> String {
    let sign = if nanos < 0 { "-" } else { "" };
    let n = nanos.unsigned_abs();
    let fraction = |value: u64, digits: usize| {
        let text = format!(".{value:0digits$}");
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    };
    let text = match n {
        0 => "0s".to_owned(),
        1..1_000 => format!("{n}ns"),
        1_000..1_000_000 => format!("{}{}µs", n / 1_000, fraction(n % 1_000, 3)),
        1_000_000..1_000_000_000 => {
            format!("{}{}ms", n / 1_000_000, fraction(n % 1_000_000, 6))
        }
        _ => {
            let seconds = n / 1_000_000_000;
            let rest = fraction(n % 1_000_000_000, 9);
            let (h, m, s) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
            match (h, m) {
                (0, 0) => format!("{s}{rest}s"),
                (0, _) => format!("{m}m{s}{rest}s"),
                _ => format!("{h}h{m}m{s}{rest}s"),
            }
        }
    };
    format!("{sign}{text}")
}

/// Go's layouts: the reference time Mon Jan 2 15:04:05 2006 spelled the way the result shall look.
fn format(time: Timestamp, layout: &str) -> String {
    const PARTS: &[(&str, &str)] = &[
        ("January", "%B"),
        ("Monday", "%A"),
        ("-07:00", "%:z"),
        ("Z07:00", "Z"),
        ("-0700", "%z"),
        ("2006", "%Y"),
        ("Jan", "%b"),
        ("Mon", "%a"),
        ("MST", "UTC"),
        ("002", "%j"),
        ("01", "%m"),
        ("02", "%d"),
        ("03", "%I"),
        ("04", "%M"),
        ("05", "%S"),
        ("06", "%y"),
        ("15", "%H"),
        ("PM", "%p"),
        ("_2", "%e"),
        ("1", "%-m"),
        ("2", "%-d"),
        ("3", "%-I"),
        ("4", "%-M"),
        ("5", "%-S"),
    ];
    const LAYOUT_BYTES_MAX: usize = 256;
    let zoned = utc(time);
    let mut out = String::new();
    let mut rest = layout.get(..LAYOUT_BYTES_MAX).unwrap_or(layout);
    while let Some(c) = rest.chars().next() {
        match PARTS.iter().find(|(part, _)| rest.starts_with(part)) {
            Some((part, code)) => {
                out.push_str(&zoned.strftime(code).to_string());
                rest = rest.get(part.len()..).unwrap_or_default();
            }
            None => {
                out.push(c);
                rest = rest.get(c.len_utf8()..).unwrap_or_default();
            }
        }
    }
    out
}

/// Go's duration syntax with a sign; `None` when it is none.
pub(super) fn parse_duration(text: &str) -> Option<i64> {
    let (negative, body) = match text.as_bytes().first()? {
        b'-' => (true, text.get(1..)?),
        b'+' => (false, text.get(1..)?),
        _ => (false, text),
    };
    let nanos = model::parse_duration(body).ok()?.as_nanos();
    let nanos = i64::try_from(nanos).ok()?;
    Some(if negative { -nanos } else { nanos })
}

/// The forms of date that `date("…")` takes.
pub(super) fn parse_date(text: &str) -> Option<Timestamp> {
    if let Ok(time) = text.parse::<Timestamp>() {
        return Some(time);
    }
    let civil = |text: &str| {
        text.parse::<jiff::civil::DateTime>()
            .or_else(|_| text.parse::<jiff::civil::Date>().map(|d| d.at(0, 0, 0, 0)))
            .ok()
    };
    let zoned = civil(text)?.to_zoned(TimeZone::UTC).ok()?;
    Some(Timestamp::from(zoned.timestamp()))
}

/// What `%v` prints for the named values of this module.
pub(super) fn write<'a>(value: &Value<'a>) -> Option<Text<'a>> {
    Some(match value {
        Value::Time(time) => Text::Shared(write_time(*time).into()),
        Value::Duration(nanos) => Text::Shared(write_duration(*nanos).into()),
        other => Text::Borrowed(name_of(other)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_as_go_writes_them() {
        for (nanos, text) in [
            (0, "0s"),
            (1, "1ns"),
            (1_500, "1.5µs"),
            (2_000_000, "2ms"),
            (90_500_000_000, "1m30.5s"),
            (36_000_000_000_000, "10h0m0s"),
            (-1_000_000_000, "-1s"),
        ] {
            assert_eq!(write_duration(nanos), text);
        }
        assert_eq!(parse_duration("-1h30m"), Some(-5_400_000_000_000));
        assert_eq!(parse_duration("x"), None);
    }

    #[test]
    fn times_as_go_writes_them() {
        let time: Timestamp = "2026-11-21T07:05:09.25Z".parse().unwrap();
        assert_eq!(write_time(time), "2026-11-21 07:05:09.25 +0000 UTC");
        assert_eq!(
            format(time, "Mon, 02 Jan 2006 15:04:05 -0700"),
            "Sat, 21 Nov 2026 07:05:09 +0000"
        );
        assert_eq!(
            format(time, "2006-01-02T15:04:05Z07:00"),
            "2026-11-21T07:05:09Z"
        );
        assert_eq!(parse_date("2026-11-21 07:05:09.25"), Some(time));
        assert!(parse_date("yesterday").is_none());
    }
}
