//! Times of day on the wall clock of the place: quiet hours and the digest.
//!
//! Pure: the time and the time zone are arguments.

use std::str::FromStr;

use jiff::{civil::Time, tz::TimeZone};
use model::Timestamp;
use serde::{Deserialize, Deserializer, de::Error as _};

/// `07:00`, in local time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TimeOfDay(Time);

impl FromStr for TimeOfDay {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        let fail = || format!("{s:?} is not a time of day; write hours and minutes, such as 07:00");
        let (hours, minutes) = s.split_once(':').ok_or_else(fail)?;
        let number = |text: &str| match text.len() {
            2 if text.bytes().all(|b| b.is_ascii_digit()) => text.parse::<i8>().ok(),
            _ => None,
        };
        let (hours, minutes) = (
            number(hours).ok_or_else(fail)?,
            number(minutes).ok_or_else(fail)?,
        );
        Time::new(hours, minutes, 0, 0)
            .map(Self)
            .map_err(|_| fail())
    }
}

impl<'de> Deserialize<'de> for TimeOfDay {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(D::Error::custom)
    }
}

impl TimeOfDay {
    pub(crate) const MIDNIGHT: Self = Self(Time::midnight());

    /// The next time that the clock on the wall shows it, after `now`.
    pub(crate) fn next(self, now: Timestamp, zone: &TimeZone) -> Timestamp {
        let local = jiff::Timestamp::from(now).to_zoned(zone.clone());
        let mut day = local.date();
        // A day may lack the hour (clocks put forward): jiff takes the hour after. So the first
        // of three days that lies ahead is always there.
        for _ in 0..3 {
            if let Ok(at) = day.to_datetime(self.0).to_zoned(zone.clone()) {
                let at = Timestamp::from(at.timestamp());
                if at > now {
                    return at;
                }
            }
            day = day.saturating_add(jiff::Span::new().days(1));
        }
        now.plus(std::time::Duration::from_secs(86_400))
    }
}

/// From one time of day to another, over midnight when the second is the smaller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Span {
    pub(crate) from: TimeOfDay,
    pub(crate) until: TimeOfDay,
}

impl Span {
    pub(crate) fn contains(&self, now: Timestamp, zone: &TimeZone) -> bool {
        let local = zone.to_datetime(jiff::Timestamp::from(now)).time();
        let (from, until) = (self.from.0, self.until.0);
        if from <= until {
            from <= local && local < until
        } else {
            from <= local || local < until
        }
    }
}

/// For people: the local time with the offset.
pub(crate) fn local(at: Timestamp, zone: &TimeZone) -> String {
    let zoned = jiff::Timestamp::from(at).to_zoned(zone.clone());
    zoned.strftime("%Y-%m-%d %H:%M:%S %:z").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zone() -> TimeZone {
        // Central Europe, without need of the system's files.
        TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap()
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn quiet_hours_go_over_midnight() {
        let night = Span {
            from: "22:00".parse().unwrap(),
            until: "07:00".parse().unwrap(),
        };
        for (time, quiet) in [
            ("2026-11-21T20:59:59Z", false),
            ("2026-11-21T21:00:00Z", true),
            ("2026-11-22T05:59:59Z", true),
            ("2026-11-22T06:00:00Z", false),
            ("2026-07-22T05:30:00Z", false),
        ] {
            assert_eq!(night.contains(at(time), &zone()), quiet, "{time}");
        }
    }

    #[test]
    fn the_next_seven_o_clock_is_always_ahead() {
        let seven: TimeOfDay = "07:00".parse().unwrap();
        for (now, next) in [
            ("2026-11-21T05:00:00Z", "2026-11-21T06:00:00Z"),
            ("2026-11-21T06:00:00Z", "2026-11-22T06:00:00Z"),
            ("2026-10-24T12:00:00Z", "2026-10-25T06:00:00Z"),
        ] {
            assert_eq!(seven.next(at(now), &zone()), at(next));
        }
        // 02:30 does not exist on the day the clocks go forward.
        let gap: TimeOfDay = "02:30".parse().unwrap();
        let now = at("2026-03-29T00:00:00Z");
        assert!(gap.next(now, &zone()) > now);
    }

    #[test]
    fn other_texts_are_no_times() {
        for bad in [
            "", "7:00", "24:00", "07:60", "07", "-1:00", "07:00:00", "+1:00",
        ] {
            assert!(bad.parse::<TimeOfDay>().is_err(), "{bad}");
        }
    }
}
