//! Python's syntax for regular expressions.
//!
//! As the `re` module of Python reads it with `re.MULTILINE`, which is how filters are compiled.
//! A flag in the middle of a pattern (`(?i)`) holds for all of it, as it did when filters were
//! written.

use super::{
    PatternError,
    set::{Item, Set},
    tree::{Assert, Node, Taste, Toward, Tree, Wanted},
};

/// How deep groups may nest.
const NEST_MAX: usize = 100;
/// The largest count of a repetition.
const COUNT_MAX: u32 = 1_000;
/// Capture groups of one pattern.
const GROUPS_MAX: usize = 500;

#[derive(Clone, Copy, Default)]
struct Flags {
    fold: bool,
    dot_all: bool,
    verbose: bool,
}

pub(super) fn parse(source: &str) -> Result<Tree, PatternError> {
    let (flags, bare) = global_flags(source);
    let mut parser = Parser {
        text: &bare,
        at: 0,
        flags,
        groups: 1,
        names: Vec::new(),
        regular: true,
        depth: 0,
    };
    let root = parser.either()?;
    if parser.at < bare.len() {
        return Err(parser.error("this `)` closes nothing"));
    }
    Ok(Tree {
        root,
        groups: parser.groups,
        names: parser.names,
        regular: parser.regular,
    })
}

/// Takes `(?ims)` out wherever they stand.
fn global_flags(source: &str) -> (Flags, String) {
    let mut flags = Flags::default();
    let mut bare = String::with_capacity(source.len());
    let mut rest = source;
    let mut in_set = false;
    while let Some(c) = rest.chars().next() {
        if let Some(found) = rest.strip_prefix("(?").filter(|_| !in_set)
            && let Some((letters, after)) = found.split_once(')')
            && !letters.is_empty()
            && letters.bytes().all(|b| b"aiLmsux".contains(&b))
        {
            for letter in letters.bytes() {
                flags.set(letter);
            }
            rest = after;
            continue;
        }
        let length = match c {
            '\\' => 1 + rest.chars().nth(1).map_or(0, char::len_utf8),
            _ => c.len_utf8(),
        };
        match c {
            '[' if !in_set => {
                in_set = true;
                // `]` right after the opening stands for itself.
                let open = ["[^]", "[]"].into_iter().find(|o| rest.starts_with(o));
                if let Some(open) = open {
                    bare.push_str(open);
                    rest = rest.get(open.len()..).unwrap_or_default();
                    continue;
                }
            }
            ']' => in_set = false,
            _ => {}
        }
        bare.push_str(rest.get(..length).unwrap_or_default());
        rest = rest.get(length..).unwrap_or_default();
    }
    (flags, bare)
}

impl Flags {
    const fn set(&mut self, letter: u8) {
        match letter {
            b'i' => self.fold = true,
            b's' => self.dot_all = true,
            b'x' => self.verbose = true,
            _ => {}
        }
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    flags: Flags,
    groups: usize,
    names: Vec<(String, usize)>,
    regular: bool,
    depth: usize,
}

type Parsed = Result<Node, PatternError>;

impl Parser<'_> {
    fn error(&self, reason: &'static str) -> PatternError {
        PatternError::Syntax {
            at: self.at,
            reason,
        }
    }

    fn peek(&self) -> Option<char> {
        self.text.get(self.at..)?.chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        Some(c)
    }

    fn eat(&mut self, text: &str) -> bool {
        let eaten = self
            .text
            .get(self.at..)
            .is_some_and(|t| t.starts_with(text));
        if eaten {
            self.at += text.len();
        }
        eaten
    }

    /// What stands before `end`, which is eaten too.
    fn until(&mut self, end: char) -> Option<String> {
        let rest = self.text.get(self.at..)?;
        let (found, _) = rest.split_once(end)?;
        self.at += found.len() + end.len_utf8();
        Some(found.to_owned())
    }

    fn either(&mut self) -> Parsed {
        self.depth += 1;
        if self.depth > NEST_MAX {
            return Err(self.error("groups nest too deep"));
        }
        let mut branches = vec![self.concat()?];
        while self.eat("|") {
            branches.push(self.concat()?);
        }
        self.depth -= 1;
        Ok(match branches.len() {
            1 => branches.pop().unwrap_or(Node::Empty),
            _ => Node::Either(branches),
        })
    }

    fn concat(&mut self) -> Parsed {
        let mut nodes = Vec::new();
        loop {
            if self.flags.verbose {
                self.skip_blanks();
            }
            match self.peek() {
                None | Some('|' | ')') => break,
                Some(_) => {}
            }
            let node = self.atom()?;
            let node = self.repeated(node)?;
            if !matches!(node, Node::Empty) {
                nodes.push(node);
            }
        }
        Ok(match nodes.len() {
            0 => Node::Empty,
            1 => nodes.pop().unwrap_or(Node::Empty),
            _ => Node::Concat(nodes),
        })
    }

    fn skip_blanks(&mut self) {
        while let Some(c) = self.peek() {
            if c == '#' {
                while self.next().is_some_and(|c| c != '\n') {}
            } else if c.is_whitespace() {
                self.next();
            } else {
                return;
            }
        }
    }

    fn repeated(&mut self, mut node: Node) -> Parsed {
        // Python refuses a repetition of a repetition; here the second simply applies too.
        for _ in 0..4 {
            let Some((min, max)) = self.count()? else {
                break;
            };
            let taste = if self.eat("?") {
                Taste::Lazy
            } else {
                Taste::Greedy
            };
            let possessive = taste == Taste::Greedy && self.eat("+");
            node = Node::Repeat {
                node: Box::new(node),
                min,
                max,
                taste,
            };
            if possessive {
                self.regular = false;
                node = Node::Atomic(Box::new(node));
            }
        }
        Ok(node)
    }

    fn count(&mut self) -> Result<Option<(u32, Option<u32>)>, PatternError> {
        let simple = match self.peek() {
            Some('*') => Some((0, None)),
            Some('+') => Some((1, None)),
            Some('?') => Some((0, Some(1))),
            Some('{') => None,
            _ => return Ok(None),
        };
        if simple.is_some() {
            self.next();
            return Ok(simple);
        }
        let rest = self.text.get(self.at + 1..).unwrap_or_default();
        let Some((inside, _)) = rest.split_once('}') else {
            return Ok(None);
        };
        let (low, high) = inside.split_once(',').unwrap_or((inside, inside));
        let is_number = |t: &str| t.bytes().all(|b| b.is_ascii_digit());
        if !is_number(low) || !is_number(high) || (low.is_empty() && high.is_empty()) {
            // `{` that is no count stands for itself.
            return Ok(None);
        }
        let number = |text: &str| text.parse().ok().filter(|n| *n <= COUNT_MAX);
        let min = if low.is_empty() { Some(0) } else { number(low) };
        let max = if high.is_empty() {
            None
        } else {
            Some(number(high))
        };
        let (Some(min), Ok(max)) = (min, max.map_or(Ok(None), |m| m.map(Some).ok_or(()))) else {
            return Err(self.error("a repetition counts too far"));
        };
        if max.is_some_and(|max| max < min) {
            return Err(self.error("the repetition's numbers are the wrong way round"));
        }
        self.at += inside.len() + 2;
        Ok(Some((min, max)))
    }

    fn atom(&mut self) -> Parsed {
        let Some(c) = self.next() else {
            return Ok(Node::Empty);
        };
        Ok(match c {
            '.' => Node::Set(Set::any(self.flags.dot_all)),
            '^' => Node::Assert(Assert::LineStart),
            '$' => Node::Assert(Assert::LineEnd),
            '(' => return self.group(),
            '[' => return self.set(),
            '\\' => return self.escape(),
            '*' | '+' | '?' => return Err(self.error("nothing to repeat")),
            c => self.literal(c),
        })
    }

    fn literal(&self, c: char) -> Node {
        let folds = self.flags.fold && (c.is_lowercase() || c.is_uppercase());
        if !folds {
            return Node::Char(c);
        }
        let items: Vec<Item> = c
            .to_lowercase()
            .chain(c.to_uppercase())
            .map(|c| Item::Range(c, c))
            .collect();
        Node::Set(Set::new(&items, false, true))
    }

    fn group(&mut self) -> Parsed {
        if !self.eat("?") {
            let number = self.new_group(None)?;
            return self.body().map(|n| Node::Group(number, Box::new(n)));
        }
        if self.eat("P<") || (!self.eat("<=") && !self.eat("<!") && self.eat("<")) {
            let name = self.until('>').ok_or_else(|| self.error("expected `>`"))?;
            let number = self.new_group(Some(name))?;
            return self.body().map(|n| Node::Group(number, Box::new(n)));
        }
        // The look-behinds were eaten to tell them from names: look again.
        let behind = self.text.get(..self.at).unwrap_or_default();
        if behind.ends_with("?<=") {
            return self.look(true, Wanted::Match);
        }
        if behind.ends_with("?<!") {
            return self.look(true, Wanted::NoMatch);
        }
        if self.eat(":") {
            return self.body();
        }
        if self.eat("=") {
            return self.look(false, Wanted::Match);
        }
        if self.eat("!") {
            return self.look(false, Wanted::NoMatch);
        }
        if self.eat(">") {
            self.regular = false;
            return self.body().map(|n| Node::Atomic(Box::new(n)));
        }
        if self.eat("#") {
            self.until(')').ok_or_else(|| self.error("expected `)`"))?;
            return Ok(Node::Empty);
        }
        if self.eat("P=") {
            let name = self.until(')').ok_or_else(|| self.error("expected `)`"))?;
            return self.back_reference(&name);
        }
        if self.eat("(") {
            return self.conditional();
        }
        self.flagged()
    }

    fn new_group(&mut self, name: Option<String>) -> Result<usize, PatternError> {
        let number = self.groups;
        if number >= GROUPS_MAX {
            return Err(PatternError::TooLarge);
        }
        self.groups += 1;
        if let Some(name) = name {
            if self.names.iter().any(|(n, _)| *n == name) {
                return Err(self.error("two groups have the same name"));
            }
            self.names.push((name, number));
        }
        Ok(number)
    }

    fn body(&mut self) -> Parsed {
        let node = self.either()?;
        if !self.eat(")") {
            return Err(self.error("expected `)`"));
        }
        Ok(node)
    }

    fn look(&mut self, behind: bool, wanted: Wanted) -> Parsed {
        self.regular = false;
        let node = self.body()?;
        let toward = if behind {
            let width = node.width();
            Toward::Behind(
                width.ok_or_else(|| self.error("a look-behind must have a fixed width"))?,
            )
        } else {
            Toward::Ahead
        };
        Ok(Node::Look {
            node: Box::new(node),
            toward,
            wanted,
        })
    }

    fn number_of(&self, name: &str) -> Result<usize, PatternError> {
        let named = self.names.iter().find(|(n, _)| n == name).map(|(_, i)| *i);
        let number = named.or_else(|| name.parse().ok());
        number
            .filter(|n| (1..self.groups).contains(n))
            .ok_or_else(|| self.error("refers to a group that does not stand before it"))
    }

    fn back_reference(&mut self, name: &str) -> Parsed {
        self.regular = false;
        self.number_of(name).map(Node::BackReference)
    }

    fn conditional(&mut self) -> Parsed {
        self.regular = false;
        let name = self.until(')').ok_or_else(|| self.error("expected `)`"))?;
        let group = self.number_of(&name)?;
        let yes = self.concat()?;
        let no = if self.eat("|") {
            self.concat()?
        } else {
            Node::Empty
        };
        if !self.eat(")") {
            return Err(self.error("a conditional has at most two branches"));
        }
        Ok(Node::Conditional {
            group,
            yes: Box::new(yes),
            no: Box::new(no),
        })
    }

    /// `(?i:…)`, `(?-i:…)`.
    fn flagged(&mut self) -> Parsed {
        let before = self.flags;
        let mut on = true;
        loop {
            match self.next() {
                Some(':') => break,
                Some('-') => on = false,
                Some('i') => self.flags.fold = on,
                Some('s') => self.flags.dot_all = on,
                Some('x') => self.flags.verbose = on,
                Some('a' | 'u' | 'L' | 'm') => {}
                _ => return Err(self.error("unknown group after `(?`")),
            }
        }
        let node = self.body();
        self.flags = before;
        node
    }

    fn escape(&mut self) -> Parsed {
        let Some(c) = self.next() else {
            return Err(self.error("a lone `\\` at the end"));
        };
        if let Some(item) = class_item(c) {
            return Ok(Node::Set(Set::new(&[item], false, false)));
        }
        Ok(match c {
            'b' => Node::Assert(Assert::WordBorder),
            'B' => Node::Assert(Assert::NoWordBorder),
            'A' => Node::Assert(Assert::TextStart),
            'Z' => Node::Assert(Assert::TextEnd),
            '1'..='9' => {
                let mut digits = c.to_string();
                if let Some(second) = self.peek().filter(char::is_ascii_digit) {
                    self.next();
                    digits.push(second);
                }
                return self.back_reference(&digits);
            }
            c => {
                let c = self.escaped(c)?;
                self.literal(c)
            }
        })
    }

    /// The character that `\c` stands for.
    fn escaped(&mut self, c: char) -> Result<char, PatternError> {
        let digits = match c {
            'n' => return Ok('\n'),
            't' => return Ok('\t'),
            'r' => return Ok('\r'),
            'f' => return Ok('\x0c'),
            'v' => return Ok('\x0b'),
            'a' => return Ok('\x07'),
            '0' => return Ok('\0'),
            'x' => 2,
            'u' => 4,
            'U' => 8,
            c => return Ok(c),
        };
        let hex = self.text.get(self.at..self.at + digits);
        let code = hex.and_then(|h| u32::from_str_radix(h, 16).ok());
        let c = code.and_then(char::from_u32);
        let c = c.ok_or_else(|| self.error("expected hexadecimal digits"))?;
        self.at += digits;
        Ok(c)
    }

    fn set(&mut self) -> Parsed {
        let negated = self.eat("^");
        let mut items = Vec::new();
        let mut first = true;
        loop {
            let Some(c) = self.next() else {
                return Err(self.error("expected `]`"));
            };
            if c == ']' && !first {
                break;
            }
            first = false;
            let low = match self.member(c)? {
                Item::Range(low, _) => low,
                item => {
                    items.push(item);
                    continue;
                }
            };
            let rest = self.text.get(self.at..).unwrap_or_default();
            if !rest.starts_with('-') || rest.starts_with("-]") {
                items.push(Item::Range(low, low));
                continue;
            }
            self.next();
            let Some(c) = self.next() else {
                return Err(self.error("expected `]`"));
            };
            match self.member(c)? {
                Item::Range(high, _) if high >= low => items.push(Item::Range(low, high)),
                Item::Range(..) => return Err(self.error("the range is the wrong way round")),
                item => {
                    items.extend([Item::Range(low, low), Item::Range('-', '-'), item]);
                }
            }
        }
        Ok(Node::Set(Set::new(&items, negated, self.flags.fold)))
    }

    fn member(&mut self, c: char) -> Result<Item, PatternError> {
        if c != '\\' {
            return Ok(Item::Range(c, c));
        }
        let Some(c) = self.next() else {
            return Err(self.error("expected `]`"));
        };
        if let Some(item) = class_item(c) {
            return Ok(item);
        }
        let c = if c == 'b' { '\x08' } else { self.escaped(c)? };
        Ok(Item::Range(c, c))
    }
}

const fn class_item(c: char) -> Option<Item> {
    Some(match c {
        'd' => Item::Digit,
        'w' => Item::Word,
        's' => Item::Space,
        'D' => Item::NotDigit,
        'W' => Item::NotWord,
        'S' => Item::NotSpace,
        _ => return None,
    })
}
