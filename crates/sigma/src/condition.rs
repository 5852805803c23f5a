//! The `condition` of a rule: `selection and not 1 of filter_*`.
//!
//! Rules specification, "Condition". Binding from loose to tight: or, and, not, `x of`, brackets.

use crate::DEPTH_MAX;

/// A condition over search identifiers, which are numbers into [`crate::Detection::searches`].
#[derive(Clone, Debug, PartialEq)]
pub enum Condition {
    Search(usize),
    Not(Box<Self>),
    All(Vec<Self>),
    Any(Vec<Self>),
}

/// Bytes of one condition.
const BYTES_MAX: usize = 64 << 10;

/// What is wrong with a condition, and how to mend it.
pub(crate) type Complaint = (String, String);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token<'t> {
    Open,
    Close,
    And,
    Or,
    Not,
    Word(&'t str),
}

pub(crate) fn parse(text: &str, names: &[String]) -> Result<Condition, Complaint> {
    if text.len() > BYTES_MAX {
        let message = format!("the condition is longer than {BYTES_MAX} bytes");
        return Err((message, "use `1 of name*`".to_owned()));
    }
    let mut reader = Reader {
        tokens: tokens(text)?,
        at: 0,
        names,
    };
    let condition = reader.either(0)?;
    match reader.peek() {
        None => Ok(condition),
        Some(token) => Err((
            format!("{} is not expected here", token.words()),
            "put `and` or `or` between search identifiers".to_owned(),
        )),
    }
}

fn tokens(text: &str) -> Result<Vec<Token<'_>>, Complaint> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(c) = rest.chars().next() {
        let end = match c {
            '(' | ')' => 1,
            '|' => {
                return Err((
                    "an aggregation (`| count() …`) stands in the condition".to_owned(),
                    "write a correlation rule instead: `correlation:` with `type: event_count`"
                        .to_owned(),
                ));
            }
            _ => rest
                .find(|c: char| c.is_whitespace() || matches!(c, '(' | ')' | '|'))
                .unwrap_or(rest.len()),
        };
        let (word, after) = rest.split_at_checked(end).unwrap_or((rest, ""));
        tokens.push(match word {
            "(" => Token::Open,
            ")" => Token::Close,
            _ if word.eq_ignore_ascii_case("and") => Token::And,
            _ if word.eq_ignore_ascii_case("or") => Token::Or,
            _ if word.eq_ignore_ascii_case("not") => Token::Not,
            _ => Token::Word(word),
        });
        rest = after.trim_start();
    }
    Ok(tokens)
}

impl Token<'_> {
    fn words(self) -> String {
        match self {
            Token::Open => "`(`".to_owned(),
            Token::Close => "`)`".to_owned(),
            Token::And => "`and`".to_owned(),
            Token::Or => "`or`".to_owned(),
            Token::Not => "`not`".to_owned(),
            Token::Word(word) => format!("`{}`", word.chars().take(60).collect::<String>()),
        }
    }
}

struct Reader<'t> {
    tokens: Vec<Token<'t>>,
    at: usize,
    names: &'t [String],
}

impl<'t> Reader<'t> {
    fn peek(&self) -> Option<Token<'t>> {
        self.tokens.get(self.at).copied()
    }

    fn take(&mut self) -> Option<Token<'t>> {
        let token = self.peek()?;
        self.at += 1;
        Some(token)
    }

    fn takes(&mut self, wanted: Token<'_>) -> bool {
        let found = self.peek() == Some(wanted);
        self.at += usize::from(found);
        found
    }

    fn either(&mut self, depth: usize) -> Result<Condition, Complaint> {
        let mut parts = vec![self.every(depth)?];
        while self.takes(Token::Or) {
            parts.push(self.every(depth)?);
        }
        Ok(joined(parts, Condition::Any))
    }

    fn every(&mut self, depth: usize) -> Result<Condition, Complaint> {
        let mut parts = vec![self.negated(depth)?];
        while self.takes(Token::And) {
            parts.push(self.negated(depth)?);
        }
        Ok(joined(parts, Condition::All))
    }

    fn negated(&mut self, depth: usize) -> Result<Condition, Complaint> {
        let mut negations = 0;
        while self.takes(Token::Not) {
            negations += 1;
        }
        let inner = self.primary(depth)?;
        Ok(if negations % 2 == 1 {
            Condition::Not(Box::new(inner))
        } else {
            inner
        })
    }

    fn primary(&mut self, depth: usize) -> Result<Condition, Complaint> {
        match self.take() {
            Some(Token::Open) if depth >= DEPTH_MAX => Err((
                format!("the condition nests deeper than {DEPTH_MAX} brackets"),
                "simplify it".to_owned(),
            )),
            Some(Token::Open) => {
                let inner = self.either(depth + 1)?;
                if self.takes(Token::Close) {
                    Ok(inner)
                } else {
                    let message = "a `(` has no `)`".to_owned();
                    Err((message, "add `)`".to_owned()))
                }
            }
            Some(Token::Word(word)) => self.word(word),
            found => Err((
                match found {
                    Some(token) => format!("{} stands where a search belongs", token.words()),
                    None => "the condition ends where a search belongs".to_owned(),
                },
                "write a search identifier of `detection`, or `1 of name*`".to_owned(),
            )),
        }
    }

    fn word(&mut self, word: &str) -> Result<Condition, Complaint> {
        let is_of = matches!(self.peek(), Some(Token::Word(of)) if of.eq_ignore_ascii_case("of"));
        if !is_of {
            return self.one(word);
        }
        self.at += 1;
        let Some(Token::Word(wanted)) = self.take() else {
            let message = format!("`{word} of` has nothing after it");
            return Err((message, "write `them` or `name*`".to_owned()));
        };
        let found = self.matching(wanted);
        if found.is_empty() {
            return Err((
                format!("no search identifier matches `{wanted}`"),
                format!("known here: {}", self.names.join(", ")),
            ));
        }
        let found: Vec<Condition> = found.into_iter().map(Condition::Search).collect();
        match word.to_ascii_lowercase().as_str() {
            "1" | "any" => Ok(joined(found, Condition::Any)),
            "all" => Ok(joined(found, Condition::All)),
            _ => Err((
                format!("`{word} of` is not known"),
                "write `1 of` or `all of`".to_owned(),
            )),
        }
    }

    fn one(&self, word: &str) -> Result<Condition, Complaint> {
        match self.names.iter().position(|name| name == word) {
            Some(number) => Ok(Condition::Search(number)),
            None if word.eq_ignore_ascii_case("them") || word.contains('*') => Err((
                format!("`{word}` stands without `1 of` or `all of`"),
                format!("write `1 of {word}`"),
            )),
            None => Err((
                format!("`detection` has no search identifier `{word}`"),
                format!("known here: {}", self.names.join(", ")),
            )),
        }
    }

    /// `them`: all but those that begin with an underscore.
    fn matching(&self, wanted: &str) -> Vec<usize> {
        let fits = |name: &str| {
            if wanted.eq_ignore_ascii_case("them") {
                !name.starts_with('_')
            } else {
                glob(wanted, name)
            }
        };
        (0..)
            .zip(self.names)
            .filter(|(_, name)| fits(name))
            .map(|(number, _)| number)
            .collect()
    }
}

fn joined(mut parts: Vec<Condition>, join: fn(Vec<Condition>) -> Condition) -> Condition {
    match (parts.len(), parts.pop()) {
        (1, Some(only)) => only,
        (_, last) => {
            parts.extend(last);
            join(parts)
        }
    }
}

/// `*` stands for any text.
fn glob(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else {
        return false;
    };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else {
        return rest.is_empty();
    };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = rest.get(at + part.len()..).unwrap_or_default(),
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Vec<String> {
        ["sel_a", "sel_b", "filter", "_note"]
            .map(str::to_owned)
            .to_vec()
    }

    fn read(text: &str) -> Result<Condition, Complaint> {
        parse(text, &names())
    }

    #[test]
    fn not_binds_tighter_than_and_than_or() {
        use Condition::{All, Any, Not, Search};
        assert_eq!(
            read("sel_a or sel_b and not filter").unwrap(),
            Any(vec![
                Search(0),
                All(vec![Search(1), Not(Box::new(Search(2)))])
            ])
        );
        assert_eq!(
            read("(sel_a OR sel_b) AND not not filter").unwrap(),
            All(vec![Any(vec![Search(0), Search(1)]), Search(2)])
        );
    }

    #[test]
    fn quantifiers_take_names_by_wildcard_and_leave_underscores_to_their_writer() {
        use Condition::{All, Any, Search};
        assert_eq!(read("1 of sel*").unwrap(), Any(vec![Search(0), Search(1)]));
        assert_eq!(
            read("all of them").unwrap(),
            All(vec![Search(0), Search(1), Search(2)])
        );
        assert_eq!(read("1 of *_b").unwrap(), Search(1));
        assert_eq!(read("_note").unwrap(), Search(3));
    }

    #[test]
    fn mistakes_are_named() {
        for (text, message) in [
            ("sel", "no search identifier `sel`"),
            ("1 of x*", "matches `x*`"),
            ("sel_a sel_b", "`sel_b` is not expected"),
            ("(sel_a", "no `)`"),
            ("sel_a and", "ends where"),
            ("sel_a | count() > 5", "aggregation"),
            ("sel*", "without `1 of`"),
            ("", "ends where"),
            ("2 of sel*", "`2 of` is not known"),
        ] {
            let (found, fix) = read(text).unwrap_err();
            assert!(found.contains(message), "{text}: {found}");
            assert!(!fix.is_empty());
        }
        assert!(read(&"(".repeat(10_000)).is_err());
        assert!(read(&format!("{}sel_a", "not ".repeat(10_000))).is_ok());
    }
}
