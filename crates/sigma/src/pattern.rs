//! Texts with wildcards, as rules write them.
//!
//! Rules specification, "String Wildcard" and "Escaping": `*` is any text, `?` one character, a
//! backslash takes the meaning from a wildcard or a backslash after it and is itself otherwise.

/// A text with wildcards, without two texts or two `Many` side by side.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Pattern {
    pub pieces: Vec<Piece>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Piece {
    Text(String),
    /// `?`
    One,
    /// `*`
    Many,
    /// `%name%` after `expand`, for which no values were given.
    Placeholder(String),
}

impl Pattern {
    /// Reads wildcards and escapes.
    pub fn parse(text: &str) -> Self {
        let mut pattern = Self::default();
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                '\\' => match chars.peek() {
                    Some(next @ ('*' | '?' | '\\')) => {
                        pattern.push_char(*next);
                        chars.next();
                    }
                    _ => pattern.push_char('\\'),
                },
                '*' => pattern.push(Piece::Many),
                '?' => pattern.push(Piece::One),
                _ => pattern.push_char(c),
            }
        }
        pattern
    }

    /// A text in which nothing is a wildcard.
    pub fn plain(text: &str) -> Self {
        let mut pattern = Self::default();
        pattern.push(Piece::Text(text.to_owned()));
        pattern
    }

    pub(crate) fn push_char(&mut self, c: char) {
        match self.pieces.last_mut() {
            Some(Piece::Text(text)) => text.push(c),
            _ => self.pieces.push(Piece::Text(c.to_string())),
        }
    }

    pub(crate) fn push(&mut self, piece: Piece) {
        match (self.pieces.last_mut(), piece) {
            (_, Piece::Text(text)) if text.is_empty() => {}
            (Some(Piece::Text(before)), Piece::Text(text)) => before.push_str(&text),
            (Some(Piece::Many), Piece::Many) => {}
            (_, piece) => self.pieces.push(piece),
        }
    }

    pub(crate) fn open_start(&mut self) {
        if self.pieces.first() != Some(&Piece::Many) {
            self.pieces.insert(0, Piece::Many);
        }
    }

    pub(crate) fn open_end(&mut self) {
        if self.pieces.last() != Some(&Piece::Many) {
            self.pieces.push(Piece::Many);
        }
    }

    /// The text, if there is no wildcard in it.
    pub fn as_plain(&self) -> Option<&str> {
        match self.pieces.as_slice() {
            [] => Some(""),
            [Piece::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// The first placeholder without values.
    pub fn placeholder(&self) -> Option<&str> {
        self.pieces.iter().find_map(|piece| match piece {
            Piece::Placeholder(name) => Some(name.as_str()),
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_those_of_the_specification() {
        let text = |t: &str| Piece::Text(t.to_owned());
        let read = |t: &str| Pattern::parse(t).pieces;
        assert_eq!(read(r"C:\Windows"), [text(r"C:\Windows")]);
        assert_eq!(read(r"C:\\Windows"), [text(r"C:\Windows")]);
        assert_eq!(read(r"a\*b"), [text("a*b")]);
        assert_eq!(read(r"a\\*"), [text(r"a\"), Piece::Many]);
        assert_eq!(read(r"a\\\*"), [text(r"a\*")]);
        assert_eq!(read(r"\\\\"), [text(r"\\")]);
        assert_eq!(read(r"\\\"), [text(r"\\")]);
        assert_eq!(read("a**?"), [text("a"), Piece::Many, Piece::One]);
        assert_eq!(Pattern::parse("").as_plain(), Some(""));
    }
}
