//! The last hour as small charts: from samples to the points of an SVG. Pure.

use std::{collections::VecDeque, fmt::Write as _};

use model::Timestamp;
use serde::Serialize;

use crate::{
    limits::{SAMPLE_EVERY, SAMPLES_KEPT},
    picture::Sample,
    text,
};

/// The drawing's own units: one sample is one unit wide.
const HEIGHT: f64 = 48.0;
/// Samples shown: the least of these that has them all, so that a young guard shows something.
const WINDOWS: [usize; 3] = [SAMPLES_KEPT / 12, SAMPLES_KEPT / 4, SAMPLES_KEPT];

/// One small chart. Its text says all that its drawing shows.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Chart {
    pub(crate) name: &'static str,
    pub(crate) class: &'static str,
    pub(crate) now: String,
    pub(crate) peak: String,
    pub(crate) summary: String,
    pub(crate) width: usize,
    pub(crate) height: f64,
    /// Minutes from the left edge to now.
    pub(crate) minutes: u64,
    /// SVG path data of the filled area and of the line on top of it.
    pub(crate) area: String,
    pub(crate) line: String,
}

/// What a chart is about.
struct Subject {
    name: &'static str,
    class: &'static str,
    unit: &'static str,
    value: fn(&Sample) -> f64,
}

const SUBJECTS: [Subject; 3] = [
    Subject {
        name: "Kept out",
        class: "kept",
        unit: "packets/s",
        value: |s| s.packets as f64 / SAMPLE_EVERY.as_secs_f64(),
    },
    Subject {
        name: "Attacks",
        class: "attacks",
        unit: "alerts/min",
        value: |s| s.alerts as f64 * 60.0 / SAMPLE_EVERY.as_secs_f64(),
    },
    Subject {
        name: "Log lines",
        class: "lines",
        unit: "lines/s",
        value: |s| s.lines as f64 / SAMPLE_EVERY.as_secs_f64(),
    },
];

pub(crate) fn charts(samples: &VecDeque<Sample>, now: Timestamp) -> Vec<Chart> {
    let draw = |subject: &Subject| chart(subject, samples, now);
    SUBJECTS.iter().map(draw).collect()
}

fn chart(subject: &Subject, samples: &VecDeque<Sample>, now: Timestamp) -> Chart {
    let width = window(samples, now);
    let minutes = width as u64 * SAMPLE_EVERY.as_secs() / 60;
    let points: Vec<(f64, f64)> = samples
        .iter()
        .map(|s| (position(s.at, now, width), (subject.value)(s)))
        .filter(|(x, _)| *x >= 0.0)
        .collect();
    let peak = points.iter().fold(0.0, |high: f64, (_, y)| high.max(*y));
    let last = points.last().map_or(0.0, |(_, y)| *y);
    let (line, area) = paths(&points, peak);
    let unit = subject.unit;
    let (now, peak) = (text::rate(last), text::rate(peak));
    Chart {
        name: subject.name,
        class: subject.class,
        summary: format!(
            "{} in the last {minutes} minutes: now {now} {unit}, peak {peak} {unit}",
            subject.name
        ),
        now: format!("{now} {unit}"),
        peak,
        width,
        height: HEIGHT,
        minutes,
        area,
        line,
    }
}

fn window(samples: &VecDeque<Sample>, now: Timestamp) -> usize {
    let oldest = samples.front().map_or(now, |s| s.at);
    let age = (now.since(oldest).as_secs() / SAMPLE_EVERY.as_secs()) as usize;
    let fits = WINDOWS.into_iter().find(|w| age < *w);
    fits.unwrap_or(SAMPLES_KEPT)
}

/// Newest at the right edge; what is older than the chart is left of zero.
fn position(at: Timestamp, now: Timestamp, width: usize) -> f64 {
    width as f64 - now.since(at).as_secs_f64() / SAMPLE_EVERY.as_secs_f64()
}

/// Steps, because a sample is a count over its time and nothing is known in between.
fn paths(points: &[(f64, f64)], peak: f64) -> (String, String) {
    if points.is_empty() {
        return (String::new(), String::new());
    }
    let scale = if peak > 0.0 {
        (HEIGHT - 2.0) / peak
    } else {
        0.0
    };
    let mut line = String::new();
    let mut edge = 0.0;
    let mut first = None;
    for (x, value) in points {
        let left = (x - 1.0).max(0.0);
        let y = HEIGHT - 1.0 - value * scale;
        // A guard that was not heard for a while leaves a gap at zero.
        if first.is_none() {
            write!(line, "M{left:.1} {y:.1}").ok();
            first = Some(left);
        } else if left - edge > 1.5 {
            let ground = HEIGHT - 1.0;
            write!(line, "V{ground:.1}H{left:.1}V{y:.1}").ok();
        } else {
            write!(line, "V{y:.1}").ok();
        }
        write!(line, "H{x:.1}").ok();
        edge = *x;
    }
    let start = first.unwrap_or_default();
    let area = format!("{line}V{HEIGHT:.1}H{start:.1}Z");
    (line, area)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(at: i64, packets: u64) -> Sample {
        Sample {
            at: Timestamp::from_seconds(at),
            packets,
            ..Sample::default()
        }
    }

    #[test]
    fn the_newest_is_at_the_right_and_the_peak_at_the_top() {
        let samples = VecDeque::from([sample(3_590, 100), sample(3_600, 50)]);
        let chart = &charts(&samples, Timestamp::from_seconds(3_600))[0];
        assert_eq!(chart.line, "M28.0 1.0H29.0V24.0H30.0");
        assert_eq!(chart.area, "M28.0 1.0H29.0V24.0H30.0V48.0H28.0Z");
        assert_eq!(
            (chart.now.as_str(), chart.peak.as_str()),
            ("5 packets/s", "10")
        );
    }

    #[test]
    fn nothing_and_silence_can_be_drawn() {
        let none = &charts(&VecDeque::new(), Timestamp::from_seconds(9))[0];
        assert_eq!((none.line.as_str(), none.now.as_str()), ("", "0 packets/s"));
        let flat = VecDeque::from([sample(10, 0), sample(20, 0)]);
        let chart = &charts(&flat, Timestamp::from_seconds(20))[0];
        assert!(!chart.line.contains("NaN"), "{}", chart.line);
    }

    #[test]
    fn what_is_too_old_is_left_out_and_gaps_touch_the_ground() {
        let samples = VecDeque::from([sample(0, 9), sample(4_000, 10), sample(4_100, 10)]);
        let chart = &charts(&samples, Timestamp::from_seconds(4_100))[0];
        assert_eq!(chart.line, "M349.0 1.0H350.0V47.0H359.0V1.0H360.0");
    }
}
