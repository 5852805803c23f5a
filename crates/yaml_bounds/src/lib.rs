//! YAML files within bounds: where each document of a file begins, and how far the library may go
//! in one.
//!
//! A floor under the rooms that read rule files. It cuts and bounds; it must not know what a rule
//! is, nor how its mistakes are told.

#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)
)]

use serde_saphyr::{Location, Options};

/// Documents in one file.
pub const DOCUMENTS_MAX: usize = 256;
/// Lines in one file.
pub const LINES_MAX: usize = 100_000;
/// Nesting of one document; what walks the result may recurse this deep.
pub const DEPTH_MAX: usize = 64;

/// One document of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunk<'a> {
    pub text: &'a str,
    /// Lines of the file before it.
    pub lines_before: usize,
}

/// The file has more than [`LINES_MAX`] lines or [`DOCUMENTS_MAX`] documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooMany;

/// How far the library may go in one document of at most `events_max` parsed events.
pub fn options(events_max: usize) -> Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_events: events_max,
            max_nodes: events_max,
            max_depth: DEPTH_MAX,
            flow_nesting_limit: DEPTH_MAX,
            max_aliases: 1_000,
            max_anchors: 1_000,
            max_documents: 4,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: 100_000,
            max_replay_stack_depth: 16,
        },
    }
}

/// YAML 1.2.2 section 9.1: a line that begins with `---` and then white space or nothing always
/// begins a document, even inside a scalar. Documents without content are left out.
pub fn split(text: &str) -> Result<Vec<Chunk<'_>>, TooMany> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut chunks = Vec::new();
    let (mut start, mut first_line, mut offset, mut lines) = (0, 0, 0, 0);
    let mut close = |range: std::ops::Range<usize>, lines_before| {
        let text = text.get(range).unwrap_or_default();
        if has_content(text) {
            chunks.push(Chunk { text, lines_before });
        }
    };
    for line in text.split_inclusive('\n') {
        if is_marker(line) {
            close(start..offset, first_line);
            (start, first_line) = (offset, lines);
        }
        offset += line.len();
        lines += 1;
    }
    close(start..offset, first_line);
    if lines > LINES_MAX || chunks.len() > DOCUMENTS_MAX {
        return Err(TooMany);
    }
    Ok(chunks)
}

/// Line and column as the library counts them, from 1.
pub fn place(location: Location) -> (u32, u32) {
    let narrow = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
    (narrow(location.line()), narrow(location.column()))
}

fn is_marker(line: &str) -> bool {
    line.strip_prefix("---")
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(['\n', '\r', ' ', '\t']))
}

fn has_content(chunk: &str) -> bool {
    chunk.lines().any(|line| {
        let line = if is_marker(line) {
            line.get(3..).unwrap_or_default()
        } else {
            line
        };
        let line = line.trim();
        !(line.is_empty() || line.starts_with(['#', '%']) || line == "...")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_know_the_lines_before_them_and_empty_ones_are_left_out() {
        let text = "\u{feff}a: 1\n--- # only a note\n---\nb: 2\n---x: no marker\n---\tc\n";
        let found: Vec<_> = split(text)
            .unwrap()
            .into_iter()
            .map(|chunk| (chunk.text, chunk.lines_before))
            .collect();
        let wanted = [
            ("a: 1\n", 0),
            ("---\nb: 2\n---x: no marker\n", 2),
            ("---\tc\n", 5),
        ];
        assert_eq!(found, wanted);
    }

    #[test]
    fn the_bounds_hold() {
        assert_eq!(
            split(&"---\na\n".repeat(DOCUMENTS_MAX)).unwrap().len(),
            DOCUMENTS_MAX
        );
        assert_eq!(split(&"---\na\n".repeat(DOCUMENTS_MAX + 1)), Err(TooMany));
        assert_eq!(split(&"a\n".repeat(LINES_MAX + 1)), Err(TooMany));
    }
}
