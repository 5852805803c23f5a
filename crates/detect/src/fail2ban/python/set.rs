//! Sets of characters.

use std::fmt::Write as _;

/// Characters; those of ASCII by a bit each, others by what they were written as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Set {
    ascii: u128,
    beyond: Vec<Item>,
    negated_beyond: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Item {
    Range(char, char),
    Word,
    Digit,
    Space,
    NotWord,
    NotDigit,
    NotSpace,
}

impl Item {
    pub(super) fn has(self, c: char) -> bool {
        match self {
            Self::Range(low, high) => (low..=high).contains(&c),
            Self::Word => is_word(c),
            Self::Digit => is_digit(c),
            Self::Space => is_space(c),
            Self::NotWord => !is_word(c),
            Self::NotDigit => !is_digit(c),
            Self::NotSpace => !is_space(c),
        }
    }
}

pub(super) fn is_word(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

fn is_digit(c: char) -> bool {
    c.is_ascii_digit() || (!c.is_ascii() && c.is_numeric())
}

/// Python counts the separators of ASCII as space too.
fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\x1c'..='\x1f').contains(&c)
}

impl Set {
    pub(super) fn new(items: &[Item], negated: bool, fold: bool) -> Self {
        let mut ascii = 0u128;
        for code in 0..128u8 {
            let c = char::from(code);
            let other = if c.is_ascii_lowercase() {
                c.to_ascii_uppercase()
            } else {
                c.to_ascii_lowercase()
            };
            let has = items.iter().any(|i| i.has(c) || (fold && i.has(other)));
            if has != negated {
                ascii |= 1 << code;
            }
        }
        Self {
            ascii,
            beyond: items.to_vec(),
            negated_beyond: negated,
        }
    }

    /// Any character, or any but the end of a line.
    pub(super) fn any(with_newline: bool) -> Self {
        let newline = if with_newline { 0 } else { 1u128 << b'\n' };
        Self {
            ascii: !newline,
            beyond: Vec::new(),
            negated_beyond: true,
        }
    }

    pub(super) const fn has_ascii(&self, byte: u8) -> bool {
        byte < 128 && self.ascii >> byte & 1 == 1
    }

    pub(super) fn has(&self, c: char) -> bool {
        match u8::try_from(c) {
            Ok(byte) if byte < 128 => self.has_ascii(byte),
            _ => self.beyond.iter().any(|i| i.has(c)) != self.negated_beyond,
        }
    }

    /// The one character that is not in it, if all others are.
    pub(super) fn all_but(&self) -> Option<u8> {
        let within = |item: &Item| matches!(item, Item::Range(_, high) if high.is_ascii());
        let others = self.negated_beyond && self.beyond.iter().all(within);
        let code = u8::try_from((!self.ascii).trailing_zeros()).ok()?;
        (others && self.ascii.count_zeros() == 1).then_some(code)
    }

    /// Whether surely no character beyond ASCII is in both.
    pub(super) fn is_apart_beyond(&self, other: &Self) -> bool {
        if !self.reaches_beyond() || !other.reaches_beyond() {
            return true;
        }
        let class = |set: &Self| {
            let mut items = set.beyond.iter().filter(|item| match item {
                Item::Range(_, high) => !high.is_ascii(),
                _ => true,
            });
            let (class, has) = match items.next()? {
                Item::Range(..) => return None,
                Item::Word => (Item::Word, true),
                Item::NotWord => (Item::Word, false),
                Item::Digit => (Item::Digit, true),
                Item::NotDigit => (Item::Digit, false),
                Item::Space => (Item::Space, true),
                Item::NotSpace => (Item::Space, false),
            };
            items
                .next()
                .is_none()
                .then_some((class, has != set.negated_beyond))
        };
        match (class(self), class(other)) {
            (Some((one, has)), Some((other, other_has))) => one == other && has != other_has,
            _ => false,
        }
    }

    /// Whether a character beyond ASCII may be in it.
    pub(super) fn reaches_beyond(&self) -> bool {
        self.negated_beyond
            || self.beyond.iter().any(|item| match item {
                Item::Range(_, high) => !high.is_ascii(),
                _ => true,
            })
    }

    /// The set in the linear engine's syntax.
    pub(super) fn print(&self, out: &mut String) {
        out.push('[');
        let mut code = 0u8;
        while code < 128 {
            if !self.has_ascii(code) {
                code += 1;
                continue;
            }
            let start = code;
            while code < 128 && self.has_ascii(code) {
                code += 1;
            }
            let _ = write!(out, "\\x{{{start:x}}}-\\x{{{:x}}}", code - 1);
        }
        if self.reaches_beyond() {
            self.print_beyond(out);
        } else if self.ascii == 0 {
            out.push_str("&&a&&b");
        }
        out.push(']');
    }

    fn print_beyond(&self, out: &mut String) {
        if self.beyond.is_empty() {
            out.push_str(r"\x{80}-\x{10FFFF}");
            return;
        }
        out.push_str(if self.negated_beyond { "[[^" } else { "[[" });
        for item in &self.beyond {
            let _ = match item {
                Item::Range(low, high) => {
                    write!(out, "\\x{{{:x}}}-\\x{{{:x}}}", *low as u32, *high as u32)
                }
                Item::Word => write!(out, "\\w"),
                Item::Digit => write!(out, "\\d"),
                Item::Space => write!(out, "\\s"),
                Item::NotWord => write!(out, "\\W"),
                Item::NotDigit => write!(out, "\\D"),
                Item::NotSpace => write!(out, "\\S"),
            };
        }
        out.push_str(r"]&&[\x{80}-\x{10FFFF}]]");
    }
}
