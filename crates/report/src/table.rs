//! Tables: cells wrap, rows stay whole, the head comes again on each page.

use crate::{
    page::{FAINT, INNER, MARGIN, Mark, Paper, RULE, TINT},
    typeface::Face,
};

const SIZE: f32 = 8.2;
const LEADING: f32 = 10.6;
const GAP: f32 = 8.0;
/// Lines of one cell.
const CELL_LINES_MAX: usize = 12;

pub(crate) struct Column {
    pub(crate) title: &'static str,
    /// Its share of the width.
    pub(crate) share: f32,
    pub(crate) face: Face,
}

pub(crate) const fn column(title: &'static str, share: f32) -> Column {
    Column {
        title,
        share,
        face: Face::Regular,
    }
}

/// A column of addresses, hashes and the like.
pub(crate) const fn code(title: &'static str, share: f32) -> Column {
    Column {
        title,
        share,
        face: Face::Mono,
    }
}

pub(crate) fn table(paper: &mut Paper<'_>, columns: &[Column], rows: &[Vec<String>]) {
    let whole: f32 = columns.iter().map(|c| c.share).sum();
    let widths: Vec<f32> = columns.iter().map(|c| c.share / whole * INNER).collect();
    head(paper, columns, &widths);
    for (number, row) in rows.iter().enumerate() {
        let cells: Vec<Vec<String>> = columns
            .iter()
            .zip(&widths)
            .zip(row)
            .map(|((column, width), cell)| {
                let size = size_of(column.face);
                let mut lines = paper.faces.wrap(column.face, size, width - GAP, cell);
                if lines.len() > CELL_LINES_MAX {
                    lines.truncate(CELL_LINES_MAX);
                    lines.push("\u{2026}".to_owned());
                }
                lines
            })
            .collect();
        let lines = cells.iter().map(Vec::len).max().unwrap_or(1).max(1);
        #[expect(clippy::cast_precision_loss, reason = "at most thirteen lines")]
        let height = lines as f32 * LEADING + 4.0;
        if paper.room_for(height) {
            head(paper, columns, &widths);
        }
        if number % 2 == 1 {
            paper.put(Mark::Box {
                x: MARGIN - 3.0,
                y: paper.y,
                width: INNER + 6.0,
                height,
                color: TINT,
            });
        }
        let mut x = MARGIN;
        for ((column, width), lines) in columns.iter().zip(&widths).zip(&cells) {
            let mut y = paper.y + SIZE + 2.0;
            for line in lines {
                paper.text((x, y), column.face, size_of(column.face), line);
                y += LEADING;
            }
            x += width;
        }
        paper.space(height);
    }
    paper.space(8.0);
}

const fn size_of(face: Face) -> f32 {
    match face {
        Face::Mono => 7.6,
        Face::Regular | Face::Bold => SIZE,
    }
}

fn head(paper: &mut Paper<'_>, columns: &[Column], widths: &[f32]) {
    paper.room_for(LEADING * 3.0);
    let mut x = MARGIN;
    for (column, width) in columns.iter().zip(widths) {
        let y = paper.y + SIZE + 1.0;
        paper.colored((x, y), Face::Bold, 7.6, FAINT, column.title);
        x += width;
    }
    paper.line(paper.y + LEADING + 2.0, RULE);
    paper.space(LEADING + 4.0);
}
