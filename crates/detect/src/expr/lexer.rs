//! Source text to tokens.

use super::ExprError;

/// One token and where it starts in the source.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Token {
    pub(super) at: usize,
    /// Whether white space or a comment stands before it.
    pub(super) spaced: bool,
    pub(super) kind: TokenKind,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum TokenKind {
    End,
    Float(f64),
    Int(i64),
    /// Punctuation and operators, also those that are words (`and`, `contains`).
    Mark(&'static str),
    Name(String),
    Text(String),
}

/// Words that are operators wherever a name could stand, except after a dot.
const WORDS: &[&str] = &[
    "and",
    "contains",
    "endsWith",
    "in",
    "matches",
    "not",
    "or",
    "startsWith",
];

/// Longest first, so that `**` is not two `*`.
const MARKS: &[&str] = &[
    "||", "&&", "==", "!=", "<=", ">=", "**", "..", "?.", "??", "?:", "|", "!", "<", ">", "+", "-",
    "*", "/", "%", "^", "(", ")", "[", "]", "{", "}", ",", ":", ";", "?", ".", "#", "=",
];

pub(super) fn tokens(source: &str) -> Result<Vec<Token>, ExprError> {
    let mut lexer = Lexer { source, at: 0 };
    let mut out = Vec::new();
    loop {
        let before = lexer.at;
        lexer.skip_space()?;
        let (at, spaced) = (lexer.at, lexer.at > before);
        let kind = lexer.next()?;
        let end = kind == TokenKind::End;
        out.push(Token { at, spaced, kind });
        if end {
            return Ok(out);
        }
    }
}

struct Lexer<'s> {
    source: &'s str,
    at: usize,
}

fn error(offset: usize, message: impl Into<String>, fix: &str) -> ExprError {
    ExprError {
        offset,
        message: message.into(),
        fix: fix.to_owned(),
    }
}

impl<'s> Lexer<'s> {
    fn rest(&self) -> &'s str {
        self.source.get(self.at..).unwrap_or_default()
    }

    fn skip_space(&mut self) -> Result<(), ExprError> {
        loop {
            let rest = self.rest();
            let trimmed = rest.trim_start();
            self.at += rest.len() - trimmed.len();
            if trimmed.starts_with("//") {
                self.at += trimmed.find('\n').unwrap_or(trimmed.len());
            } else if trimmed.starts_with("/*") {
                let Some(len) = trimmed.find("*/") else {
                    return Err(error(self.at, "comment without an end", "close it with */"));
                };
                self.at += len + 2;
            } else {
                return Ok(());
            }
        }
    }

    fn next(&mut self) -> Result<TokenKind, ExprError> {
        let rest = self.rest();
        let Some(first) = rest.chars().next() else {
            return Ok(TokenKind::End);
        };
        let second = rest.as_bytes().get(1).copied().unwrap_or(0);
        match first {
            '0'..='9' => self.number(),
            '.' if second.is_ascii_digit() => self.number(),
            '"' | '\'' => self.quoted(first),
            '`' => self.raw(),
            c if c == '_' || c == '$' || c.is_alphabetic() => Ok(self.word()),
            _ => self.mark(first, second),
        }
    }

    fn mark(&mut self, first: char, second: u8) -> Result<TokenKind, ExprError> {
        let rest = self.rest();
        let Some(mark) = MARKS.iter().find(|m| rest.starts_with(**m)) else {
            let message = format!("unexpected character {first:?}");
            let fix = if matches!(first, '“' | '”' | '‘' | '’') {
                "use plain quotes: \" or '"
            } else if first == '&' || first == '~' {
                "logical and is && or and"
            } else {
                "remove it, or put it inside a quoted string"
            };
            return Err(error(self.at, message, fix));
        };
        // `a ?.5 : 1` is a choice, not a look through nil.
        let is_choice = *mark == "?." && rest.as_bytes().get(2).is_some_and(u8::is_ascii_digit);
        debug_assert!(first.len_utf8() <= mark.len() || second == 0);
        let mark = if is_choice { "?" } else { mark };
        self.at += mark.len();
        Ok(TokenKind::Mark(mark))
    }

    fn word(&mut self) -> TokenKind {
        let rest = self.rest();
        let is_part = |c: char| c == '_' || c == '$' || c.is_alphanumeric();
        let len = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
        let word = rest.get(..len).unwrap_or_default();
        self.at += len;
        match WORDS.iter().find(|w| **w == word) {
            Some(word) => TokenKind::Mark(word),
            None => TokenKind::Name(word.to_owned()),
        }
    }

    fn number(&mut self) -> Result<TokenKind, ExprError> {
        let start = self.at;
        let rest = self.rest();
        let radix = match rest.as_bytes() {
            [b'0', b'x' | b'X', ..] => 16,
            [b'0', b'b' | b'B', ..] => 2,
            [b'0', b'o' | b'O', ..] => 8,
            _ => return self.decimal(),
        };
        let body = rest.get(2..).unwrap_or_default();
        let len = body
            .find(|c: char| c != '_' && !c.is_ascii_alphanumeric())
            .unwrap_or(body.len());
        let digits = body.get(..len).unwrap_or_default().replace('_', "");
        self.at += 2 + len;
        i64::from_str_radix(&digits, radix)
            .map(TokenKind::Int)
            .map_err(|_| {
                error(
                    start,
                    "not a number",
                    "write it as 123, 0x7b, 0o173 or 0b1111011",
                )
            })
    }

    fn decimal(&mut self) -> Result<TokenKind, ExprError> {
        let (start, bytes) = (self.at, self.rest().as_bytes());
        let digits = |from: usize| {
            let tail = bytes.get(from..).unwrap_or_default();
            tail.iter()
                .take_while(|b| b.is_ascii_digit() || **b == b'_')
                .count()
        };
        let mut len = digits(0);
        let mut is_float = false;
        // `1..3` is a range and `1.x` no number.
        if bytes.get(len) == Some(&b'.') && bytes.get(len + 1).is_some_and(u8::is_ascii_digit) {
            is_float = true;
            len += 1 + digits(len + 1);
        }
        if matches!(bytes.get(len), Some(b'e' | b'E')) {
            let sign = usize::from(matches!(bytes.get(len + 1), Some(b'+' | b'-')));
            let exponent = digits(len + 1 + sign);
            if exponent > 0 {
                is_float = true;
                len += 1 + sign + exponent;
            }
        }
        let text = self.rest().get(..len).unwrap_or_default().replace('_', "");
        self.at += len;
        let bad = |_| error(start, "number out of range", "use a smaller number");
        if self
            .rest()
            .starts_with(|c: char| c.is_alphabetic() || c == '_')
        {
            return Err(error(
                start,
                "a name cannot start with a digit",
                "quote it: map[\"4x\"]",
            ));
        }
        if is_float {
            text.parse().map(TokenKind::Float).map_err(|_| bad(()))
        } else {
            text.parse().map(TokenKind::Int).map_err(|_| bad(()))
        }
    }

    fn raw(&mut self) -> Result<TokenKind, ExprError> {
        let body = self.rest().get(1..).unwrap_or_default();
        let Some(len) = body.find('`') else {
            return Err(error(self.at, "string without an end", "close it with `"));
        };
        self.at += len + 2;
        Ok(TokenKind::Text(
            body.get(..len).unwrap_or_default().to_owned(),
        ))
    }

    fn quoted(&mut self, quote: char) -> Result<TokenKind, ExprError> {
        let start = self.at;
        let mut out = String::new();
        self.at += 1;
        loop {
            let rest = self.rest();
            let Some(len) = rest.find([quote, '\\']) else {
                return Err(error(
                    start,
                    "string without an end",
                    "close it with the same quote",
                ));
            };
            out.push_str(rest.get(..len).unwrap_or_default());
            self.at += len + 1;
            if rest.get(len..).is_some_and(|r| r.starts_with(quote)) {
                return Ok(TokenKind::Text(out));
            }
            out.push(self.escape()?);
        }
    }

    /// The character that an escape stands for; `self.at` is just behind the backslash.
    fn escape(&mut self) -> Result<char, ExprError> {
        let start = self.at.saturating_sub(1);
        let rest = self.rest();
        let fail = || {
            let shown: String = rest.chars().take(1).collect();
            error(
                start,
                format!("unknown escape \\{shown} in a string"),
                "double the backslash: \\\\. In a regex, \\d is written '\\\\d'",
            )
        };
        let Some(c) = rest.chars().next() else {
            return Err(fail());
        };
        let plain = match c {
            'a' => '\x07',
            'b' => '\x08',
            'f' => '\x0c',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\x0b',
            '\\' | '\'' | '"' | '`' => c,
            'x' => return self.coded(1, 2, 16).ok_or_else(fail),
            'u' if rest.starts_with("u{") => {
                let len = rest.find('}').ok_or_else(fail)?;
                let code = rest.get(2..len).unwrap_or_default();
                self.at += len + 1;
                return u32::from_str_radix(code, 16)
                    .ok()
                    .and_then(char::from_u32)
                    .ok_or_else(fail);
            }
            'u' => return self.coded(1, 4, 16).ok_or_else(fail),
            'U' => return self.coded(1, 8, 16).ok_or_else(fail),
            '0'..='3' => return self.coded(0, 3, 8).ok_or_else(fail),
            _ => return Err(fail()),
        };
        self.at += 1;
        Ok(plain)
    }

    fn coded(&mut self, skip: usize, len: usize, radix: u32) -> Option<char> {
        let digits = self.rest().get(skip..skip + len)?;
        let code = u32::from_str_radix(digits, radix).ok()?;
        self.at += skip + len;
        char::from_u32(code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(source: &str) -> Vec<TokenKind> {
        let mut kinds: Vec<_> = tokens(source)
            .unwrap()
            .into_iter()
            .map(|t| t.kind)
            .collect();
        assert_eq!(kinds.pop(), Some(TokenKind::End));
        kinds
    }

    #[test]
    fn numbers_of_every_form() {
        use TokenKind::{Float, Int, Mark};
        assert_eq!(
            kinds("7 0x1F 0b11 0o17 1_000"),
            [Int(7), Int(31), Int(3), Int(15), Int(1000)]
        );
        assert_eq!(
            kinds("1.5 .5 2e3 1..3"),
            [
                Float(1.5),
                Float(0.5),
                Float(2000.0),
                Int(1),
                Mark(".."),
                Int(3)
            ]
        );
        assert!(tokens("4x").is_err() && tokens("99999999999999999999").is_err());
    }

    #[test]
    fn strings_and_escapes() {
        let text = |s: &str| TokenKind::Text(s.into());
        assert_eq!(
            kinds(r#"'a"b' "a'b" `a\n`"#),
            [text("a\"b"), text("a'b"), text("a\\n")]
        );
        assert_eq!(
            kinds(r#"'\\d\n\'\x41\u00e9\u{1F600}\101'"#),
            [text("\\d\n'Aé😀A")]
        );
        let e = tokens(r"'a\d'").unwrap_err();
        assert_eq!((e.offset, e.fix.contains("double")), (2, true));
        assert!(tokens("'abc").is_err() && tokens("`abc").is_err() && tokens(r"'\u{zz}'").is_err());
    }

    #[test]
    fn comments_and_marks() {
        assert_eq!(kinds("a // x\n /* y */ ?? b?.c").len(), 5);
        assert_eq!(kinds("a ?.5:1").len(), 5);
        assert!(tokens("a & b").unwrap_err().fix.contains("&&"));
        assert!(tokens("/* x").is_err());
    }
}
