//! The timeline as a picture: one lane for each kind of happening, time from left to right.

use casework::pack::{Moment, MomentKind, seconds_utc};
use model::Timestamp;

use crate::{
    page::{Color, FAINT, INNER, MARGIN, Mark, Paper, RULE, TINT},
    typeface::Face,
};

const LABELS: f32 = 64.0;
const LANE: f32 = 22.0;
/// Dots in a lane are put together when they are nearer than this.
const NEAR: f32 = 5.0;

const fn color_of(kind: MomentKind) -> Color {
    match kind {
        MomentKind::Attack => Color(0xb3, 0x26, 0x1e),
        MomentKind::Alert => Color(0xd0, 0x7a, 0x00),
        MomentKind::Ban => Color(0x1e, 0x7b, 0x4b),
        MomentKind::Exhibit => Color(0x1b, 0x4f, 0x8a),
        MomentKind::Case => Color(0x5c, 0x67, 0x73),
        MomentKind::Law => Color(0x6a, 0x3d, 0x9a),
    }
}

/// Draws all moments between the first and the last of them; nothing when there are none.
pub(crate) fn draw(paper: &mut Paper<'_>, moments: &[Moment]) {
    let (Some(first), Some(last)) = (moments.first(), moments.last()) else {
        return;
    };
    let lanes: Vec<MomentKind> = MomentKind::ALL
        .into_iter()
        .filter(|kind| moments.iter().any(|m| m.kind == *kind))
        .collect();
    #[expect(clippy::cast_precision_loss, reason = "six lanes at most")]
    let height = lanes.len() as f32 * LANE;
    paper.room_for(height + 40.0);
    let scale = Scale::new(first.at, last.at);
    axis(paper, &scale, height);
    for kind in lanes {
        lane(paper, kind, moments, &scale);
    }
    paper.space(22.0);
}

struct Scale {
    first: Timestamp,
    last: Timestamp,
}

impl Scale {
    const fn new(first: Timestamp, last: Timestamp) -> Self {
        Self { first, last }
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "a dot's place needs no more than a few digits"
    )]
    fn x(&self, at: Timestamp) -> f32 {
        let span = (self.last.nanos() - self.first.nanos()).max(1) as f64;
        let part = (at.nanos() - self.first.nanos()) as f64 / span;
        #[expect(clippy::cast_possible_truncation, reason = "between 0 and 1")]
        let part = part.clamp(0.0, 1.0) as f32;
        MARGIN + LABELS + 8.0 + part * (INNER - LABELS - 16.0)
    }
}

fn axis(paper: &mut Paper<'_>, scale: &Scale, height: f32) {
    let y = paper.y;
    for quarter in 0..=4i64 {
        let span = scale.last.nanos() - scale.first.nanos();
        let at = Timestamp::from_nanos(scale.first.nanos() + span / 4 * quarter);
        let x = scale.x(at);
        paper.put(Mark::Box {
            x,
            y,
            width: 0.5,
            height: height + 4.0,
            color: RULE,
        });
        let words = seconds_utc(at);
        let (day, time) = words.split_once(' ').unwrap_or((&words, ""));
        let time = time.trim_end_matches(" UTC");
        for (text, down) in [(time, 12.0), (day, 20.0)] {
            let width = paper.faces.width(Face::Regular, 6.8, text);
            let left = (x - width / 2.0).min(MARGIN + INNER - width);
            let place = (left, y + height + down);
            paper.colored(place, Face::Regular, 6.8, FAINT, text);
        }
    }
}

fn lane(paper: &mut Paper<'_>, kind: MomentKind, moments: &[Moment], scale: &Scale) {
    let y = paper.y;
    paper.put(Mark::Box {
        x: MARGIN + LABELS,
        y: y + 3.0,
        width: INNER - LABELS,
        height: LANE - 6.0,
        color: TINT,
    });
    paper.text((MARGIN, y + LANE / 2.0 + 3.0), Face::Bold, 8.0, kind.name());
    let mut groups: Vec<(f32, usize)> = Vec::new();
    for moment in moments.iter().filter(|m| m.kind == kind) {
        let x = scale.x(moment.at);
        match groups.last_mut() {
            Some((at, count)) if x - *at < NEAR => *count += 1,
            _ => groups.push((x, 1)),
        }
    }
    for (at, (x, count)) in groups.iter().enumerate() {
        let middle = y + LANE / 2.0;
        let radius = if *count > 1 { 3.8 } else { 2.8 };
        paper.put(Mark::Disc {
            x: *x,
            y: middle,
            radius,
            color: color_of(kind),
        });
        let next = groups.get(at + 1).map_or(f32::MAX, |(x, _)| *x);
        let label = format!("{count}");
        let width = paper.faces.width(Face::Regular, 6.5, &label);
        // A number that would touch the next dot is left away; the table has all.
        let fits = x + 6.0 + width < next.min(MARGIN + INNER);
        if *count > 1 && fits {
            paper.colored((x + 5.0, middle + 2.3), Face::Regular, 6.5, FAINT, &label);
        }
    }
    paper.space(LANE);
}
