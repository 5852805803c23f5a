//! The three faces of the report, how wide their letters are, and lines that fit a width.

use std::collections::HashMap;

use krilla::text::Font;
use skrifa::{FontRef, MetadataProvider as _, instance::LocationRef, instance::Size};

static REGULAR: &[u8] = include_bytes!("../fonts/LiberationSans-Regular.ttf");
static BOLD: &[u8] = include_bytes!("../fonts/LiberationSans-Bold.ttf");
static MONO: &[u8] = include_bytes!("../fonts/LiberationMono-Regular.ttf");

/// What stands for a character that the fonts do not have.
const STAND_IN: char = '?';

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Face {
    Regular,
    Bold,
    Mono,
}

pub(crate) struct Faces {
    regular: OneFace,
    bold: OneFace,
    mono: OneFace,
}

struct OneFace {
    font: Font,
    /// Advance of each character that the font has, as a part of the font's size.
    advances: HashMap<char, f32>,
}

impl Faces {
    /// `None` when a built-in font cannot be read, which a test rules out.
    pub(crate) fn load() -> Option<Self> {
        Some(Self {
            regular: OneFace::load(REGULAR)?,
            bold: OneFace::load(BOLD)?,
            mono: OneFace::load(MONO)?,
        })
    }

    pub(crate) const fn font(&self, face: Face) -> &Font {
        &self.face(face).font
    }

    const fn face(&self, face: Face) -> &OneFace {
        match face {
            Face::Regular => &self.regular,
            Face::Bold => &self.bold,
            Face::Mono => &self.mono,
        }
    }

    /// What can be printed of a text: control characters become spaces, and letters that the font
    /// does not have a question mark.
    pub(crate) fn printable(&self, face: Face, text: &str) -> String {
        let advances = &self.face(face).advances;
        text.chars()
            .map(|c| match c {
                c if c.is_control() => ' ',
                c if advances.contains_key(&c) => c,
                _ => STAND_IN,
            })
            .collect()
    }

    pub(crate) fn width(&self, face: Face, size: f32, text: &str) -> f32 {
        let advances = &self.face(face).advances;
        text.chars()
            .map(|c| advances.get(&c).copied().unwrap_or(0.6))
            .sum::<f32>()
            * size
    }

    /// Lines no wider than `width`: broken at spaces, and within words that are wider themselves.
    pub(crate) fn wrap(&self, face: Face, size: f32, width: f32, text: &str) -> Vec<String> {
        let mut lines = Vec::new();
        for paragraph in text.split('\n') {
            let mut line = String::new();
            for word in self.printable(face, paragraph).split_whitespace() {
                let joined = if line.is_empty() {
                    word.to_owned()
                } else {
                    format!("{line} {word}")
                };
                if self.width(face, size, &joined) <= width {
                    line = joined;
                    continue;
                }
                if !line.is_empty() {
                    lines.push(std::mem::take(&mut line));
                }
                line = self.cut(face, size, width, word, &mut lines);
            }
            lines.push(line);
        }
        lines
    }

    /// Puts whole lines of a long word into `lines` and gives what is left of it.
    fn cut(
        &self,
        face: Face,
        size: f32,
        width: f32,
        word: &str,
        lines: &mut Vec<String>,
    ) -> String {
        let mut line = String::new();
        for c in word.chars() {
            line.push(c);
            if self.width(face, size, &line) > width && line.chars().count() > 1 {
                line.pop();
                lines.push(std::mem::take(&mut line));
                line.push(c);
            }
        }
        line
    }
}

impl OneFace {
    fn load(bytes: &'static [u8]) -> Option<Self> {
        let font = FontRef::from_index(bytes, 0).ok()?;
        let metrics = font.glyph_metrics(Size::new(1.0), LocationRef::default());
        let advances = font
            .charmap()
            .mappings()
            .filter_map(|(code, glyph)| {
                Some((char::from_u32(code)?, metrics.advance_width(glyph)?))
            })
            .collect();
        Some(Self {
            font: Font::new(bytes.into(), 0)?,
            advances,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_fit_and_lose_nothing() {
        let faces = Faces::load().unwrap();
        let text = "A sentence of some words, and 0123456789abcdef0123456789abcdef at its end";
        for width in [40.0, 90.0, 300.0] {
            let lines = faces.wrap(Face::Regular, 10.0, width, text);
            for line in &lines {
                assert!(faces.width(Face::Regular, 10.0, line) <= width, "{line}");
            }
            let joined: String = lines.concat().split_whitespace().collect();
            assert_eq!(joined, text.split_whitespace().collect::<String>());
        }
        assert_eq!(faces.wrap(Face::Mono, 10.0, 100.0, ""), [""]);
        assert_eq!(faces.wrap(Face::Mono, 10.0, 0.0, "ab"), ["a", "b"]);
    }

    #[test]
    fn what_a_font_lacks_is_shown_as_missing() {
        let faces = Faces::load().unwrap();
        assert_eq!(
            faces.printable(Face::Regular, "\u{e9}\t\u{4e2d}"),
            "\u{e9} ?"
        );
    }
}
