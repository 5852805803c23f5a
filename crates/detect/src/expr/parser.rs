//! Tokens to a tree, by operator precedence.
//!
//! Recursion is bounded by [`EXPRESSION_DEPTH_MAX`]; chains of one operator, which in public
//! content have a thousand links, are loops.

use model::limits::EXPRESSION_DEPTH_MAX;

use super::{
    ExprError,
    ast::{Ast, Binary, Chain, Kind, Pointer},
    lexer::{self, Token, TokenKind},
};

pub(super) fn parse(source: &str) -> Result<Ast, ExprError> {
    let mut parser = Parser {
        tokens: lexer::tokens(source)?,
        next: 0,
        depth: 0,
        closures: 0,
    };
    if parser.peek().kind == TokenKind::End {
        return Err(fail(
            0,
            "the expression is empty",
            "remove the key, or write a condition",
        ));
    }
    let ast = parser.sequence()?;
    match &parser.peek().kind {
        TokenKind::End => Ok(ast),
        kind => {
            let fix = match kind {
                TokenKind::Mark("=") => "compare with ==",
                TokenKind::Mark(")" | "]" | "}") => "remove it, or open it before",
                _ => "an operator is missing before it: && || == in contains …",
            };
            Err(fail(
                parser.peek().at,
                format!("unexpected {}", shown(kind)),
                fix,
            ))
        }
    }
}

/// Functions whose second argument is a condition on each element.
pub(super) const CLOSURE_FUNCTIONS: &[&str] = &[
    "all",
    "any",
    "count",
    "filter",
    "find",
    "findIndex",
    "findLast",
    "findLastIndex",
    "groupBy",
    "map",
    "none",
    "one",
    "reduce",
    "sortBy",
    "sum",
];

fn fail(offset: usize, message: impl Into<String>, fix: &str) -> ExprError {
    ExprError {
        offset,
        message: message.into(),
        fix: fix.to_owned(),
    }
}

fn shown(kind: &TokenKind) -> String {
    match kind {
        TokenKind::End => "end of the expression".into(),
        TokenKind::Float(f) => f.to_string(),
        TokenKind::Int(n) => n.to_string(),
        TokenKind::Mark(mark) => format!("{mark:?}"),
        TokenKind::Name(name) => name.clone(),
        TokenKind::Text(_) => "string".into(),
    }
}

/// What a binary operator is made of.
#[derive(Clone, Copy)]
enum Operator {
    Binary(Binary),
    Chain(Chain),
    Pipe,
}

/// Binding power and meaning, as in expr-lang: `not` (50) binds tighter than `==` (20).
const fn operator(mark: &str) -> Option<(u8, Operator)> {
    use Operator::{Binary as B, Chain as C, Pipe};
    Some(match mark.as_bytes() {
        b"|" => (0, Pipe),
        b"||" | b"or" => (10, C(Chain::Or)),
        b"&&" | b"and" => (15, C(Chain::And)),
        b"==" => (20, B(Binary::Equal)),
        b"!=" => (20, B(Binary::Unequal)),
        b"<" => (20, B(Binary::Less)),
        b"<=" => (20, B(Binary::LessOrEqual)),
        b">" => (20, B(Binary::More)),
        b">=" => (20, B(Binary::MoreOrEqual)),
        b"in" => (20, B(Binary::In)),
        b"matches" => (20, B(Binary::Matches)),
        b"contains" => (20, B(Binary::Contains)),
        b"startsWith" => (20, B(Binary::StartsWith)),
        b"endsWith" => (20, B(Binary::EndsWith)),
        b".." => (25, B(Binary::Range)),
        b"+" => (30, C(Chain::Add)),
        b"-" => (30, B(Binary::Subtract)),
        b"*" => (60, B(Binary::Multiply)),
        b"/" => (60, B(Binary::Divide)),
        b"%" => (60, B(Binary::Remainder)),
        b"**" | b"^" => (100, B(Binary::Power)),
        b"??" => (120, C(Chain::Coalesce)),
        _ => return None,
    })
}

const NOT_POWER: u8 = 50;
const SIGN_POWER: u8 = 90;

struct Parser {
    tokens: Vec<Token>,
    next: usize,
    depth: u32,
    closures: u32,
}

const END: Token = Token {
    at: usize::MAX,
    spaced: false,
    kind: TokenKind::End,
};

impl Parser {
    fn peek(&self) -> &Token {
        self.tokens
            .get(self.next)
            .or_else(|| self.tokens.last())
            .unwrap_or(&END)
    }

    fn peek_after(&self, n: usize) -> &TokenKind {
        self.tokens
            .get(self.next + n)
            .map_or(&TokenKind::End, |t| &t.kind)
    }

    fn is(&self, mark: &str) -> bool {
        matches!(&self.peek().kind, TokenKind::Mark(m) if *m == mark)
    }

    fn is_name(&self, name: &str) -> bool {
        matches!(&self.peek().kind, TokenKind::Name(n) if n == name)
    }

    fn take(&mut self, mark: &str) -> bool {
        let is = self.is(mark);
        self.next += usize::from(is);
        is
    }

    fn expect(&mut self, mark: &str) -> Result<(), ExprError> {
        if self.take(mark) {
            return Ok(());
        }
        let message = format!("expected {mark:?} but found {}", shown(&self.peek().kind));
        let fix = match mark {
            ")" | "]" | "}" => "close the bracket",
            _ => "check the syntax before this point",
        };
        Err(fail(self.peek().at, message, fix))
    }

    /// Makes a node, checking that the tree stays shallow enough to be walked by recursion.
    fn node(&self, at: usize, below: u32, kind: Kind) -> Result<Ast, ExprError> {
        let height = below + 1;
        if height > EXPRESSION_DEPTH_MAX {
            return Err(too_deep(at));
        }
        Ok(Ast { at, height, kind })
    }

    fn enter(&mut self) -> Result<(), ExprError> {
        self.depth += 1;
        if self.depth > EXPRESSION_DEPTH_MAX {
            return Err(too_deep(self.peek().at));
        }
        Ok(())
    }

    /// `a; b; c`, `let x = …; body`, or one expression.
    fn sequence(&mut self) -> Result<Ast, ExprError> {
        let at = self.peek().at;
        let mut items = vec![self.expression(0)?];
        while self.take(";") {
            if matches!(self.peek().kind, TokenKind::End) || self.is("}") {
                break;
            }
            items.push(self.expression(0)?);
        }
        match items.len() {
            1 => items.pop().ok_or_else(|| too_deep(at)),
            _ => self.node(at, tallest(&items), Kind::Sequence(items)),
        }
    }

    fn expression(&mut self, least: u8) -> Result<Ast, ExprError> {
        self.enter()?;
        let ast = self.expression_inside(least);
        self.depth -= 1;
        ast
    }

    fn expression_inside(&mut self, least: u8) -> Result<Ast, ExprError> {
        if least == 0 && self.is_name("let") {
            return self.declaration();
        }
        if least == 0 && self.is_name("if") && !matches!(self.peek_after(1), TokenKind::Mark(".")) {
            return self.branch();
        }
        let mut left = self.operand()?;
        while let Some((power, negated, operator, at)) = self.peek_operator(least)? {
            self.next += 1;
            left = match operator {
                Operator::Pipe => self.pipe(left)?,
                Operator::Chain(chain) => self.chain(chain, power, left, at)?,
                Operator::Binary(binary) => self.binary(binary, power, left, at)?,
            };
            if negated {
                left = self.node(at, left.height, Kind::Not(Box::new(left)))?;
            }
        }
        if least == 0 {
            self.choice(left)
        } else {
            Ok(left)
        }
    }

    /// The binary operator that stands next, if it binds at least as tightly as `least`; a
    /// leading `not` (`not in`) is already taken then.
    fn peek_operator(
        &mut self,
        least: u8,
    ) -> Result<Option<(u8, bool, Operator, usize)>, ExprError> {
        let at = self.peek().at;
        let negated = self.is("not");
        let TokenKind::Mark(mark) = *self.peek_after(usize::from(negated)) else {
            return Ok(None);
        };
        if negated
            && !matches!(
                mark,
                "in" | "matches" | "contains" | "startsWith" | "endsWith"
            )
        {
            return Ok(None);
        }
        let Some((power, op)) = operator(mark) else {
            return Ok(None);
        };
        if power < least {
            return Ok(None);
        }
        self.next += usize::from(negated);
        Ok(Some((power, negated, op, at)))
    }

    fn chain(&mut self, chain: Chain, power: u8, left: Ast, at: usize) -> Result<Ast, ExprError> {
        let right = self.expression(power + 1)?;
        let height = left.height.saturating_sub(1).max(right.height);
        match left {
            Ast {
                kind: Kind::Chain(same, mut items),
                at,
                ..
            } if same == chain => {
                items.push(right);
                self.node(at, height, Kind::Chain(chain, items))
            }
            left => {
                let below = left.height.max(right.height);
                self.node(at, below, Kind::Chain(chain, vec![left, right]))
            }
        }
    }

    fn binary(&mut self, op: Binary, power: u8, left: Ast, at: usize) -> Result<Ast, ExprError> {
        let least = if op == Binary::Power {
            power
        } else {
            power + 1
        };
        let right = self.expression(least)?;
        let below = left.height.max(right.height);
        self.node(at, below, Kind::Binary(op, Box::new(left), Box::new(right)))
    }

    /// `value | name(arguments)` is `name(value, arguments)`.
    fn pipe(&mut self, left: Ast) -> Result<Ast, ExprError> {
        let at = self.peek().at;
        let TokenKind::Name(name) = self.peek().kind.clone() else {
            return Err(fail(
                at,
                "a pipe needs a function",
                "write value | function(arguments)",
            ));
        };
        self.next += 1;
        let call = if self.take("(") {
            self.call(at, name, Some(left))?
        } else {
            let below = left.height;
            self.node(
                at,
                below,
                Kind::Call {
                    name,
                    arguments: vec![left],
                },
            )?
        };
        self.postfix(call)
    }

    fn choice(&mut self, test: Ast) -> Result<Ast, ExprError> {
        let at = self.peek().at;
        if self.take("?:") {
            let no = self.expression(0)?;
            let below = test.height.max(no.height);
            return self.node(at, below, Kind::Chain(Chain::Coalesce, vec![test, no]));
        }
        if !self.take("?") {
            return Ok(test);
        }
        let yes = self.expression(0)?;
        self.expect(":")?;
        let no = self.expression(0)?;
        self.choose(at, test, yes, no)
    }

    fn choose(&self, at: usize, test: Ast, yes: Ast, no: Ast) -> Result<Ast, ExprError> {
        let below = test.height.max(yes.height).max(no.height);
        let (test, yes, no) = (Box::new(test), Box::new(yes), Box::new(no));
        self.node(at, below, Kind::Choice { test, yes, no })
    }

    /// `if test { yes } else { no }`.
    fn branch(&mut self) -> Result<Ast, ExprError> {
        let at = self.peek().at;
        self.next += 1;
        let test = self.expression(0)?;
        self.expect("{")?;
        let yes = self.sequence()?;
        self.expect("}")?;
        if !self.is_name("else") {
            return Err(fail(
                self.peek().at,
                "if without else",
                "add else { false }",
            ));
        }
        self.next += 1;
        let no = if self.is_name("if") {
            self.expression(0)?
        } else {
            self.expect("{")?;
            let no = self.sequence()?;
            self.expect("}")?;
            no
        };
        self.choose(at, test, yes, no)
    }

    /// `let name = value; body`.
    fn declaration(&mut self) -> Result<Ast, ExprError> {
        let at = self.peek().at;
        self.next += 1;
        let TokenKind::Name(name) = self.peek().kind.clone() else {
            return Err(fail(
                self.peek().at,
                "let needs a name",
                "write let x = …; …",
            ));
        };
        self.next += 1;
        self.expect("=")?;
        let value = self.expression(0)?;
        self.expect(";")?;
        let body = self.sequence()?;
        let below = value.height.max(body.height);
        self.node(
            at,
            below,
            Kind::Let {
                name,
                value: Box::new(value),
                body: Box::new(body),
            },
        )
    }

    fn operand(&mut self) -> Result<Ast, ExprError> {
        let at = self.peek().at;
        if self.take("not") || self.take("!") {
            let of = self.expression(NOT_POWER)?;
            let below = of.height;
            return self.node(at, below, Kind::Not(Box::new(of)));
        }
        if self.take("-") {
            let of = self.expression(SIGN_POWER)?;
            let below = of.height;
            return self.node(at, below, Kind::Negate(Box::new(of)));
        }
        if self.take("+") {
            return self.expression(SIGN_POWER);
        }
        let start = self.primary()?;
        self.postfix(start)
    }

    fn primary(&mut self) -> Result<Ast, ExprError> {
        let Token { at, kind, .. } = self.peek().clone();
        if kind != TokenKind::Mark(".") {
            self.next += 1;
        }
        let kind = match kind {
            TokenKind::Float(f) => Kind::Float(f),
            TokenKind::Int(n) => Kind::Int(n),
            TokenKind::Text(text) => Kind::Text(text),
            TokenKind::Name(name) => return self.named(at, name),
            TokenKind::Mark("(") => {
                let inner = self.sequence()?;
                self.expect(")")?;
                // A bracketed chain is one operand, not more links of the chain around it.
                return match inner.kind {
                    Kind::Chain(..) => {
                        let below = inner.height;
                        self.node(at, below, Kind::Sequence(vec![inner]))
                    }
                    _ => Ok(inner),
                };
            }
            TokenKind::Mark("[") => return self.array(at),
            TokenKind::Mark("{") => return self.map(at),
            TokenKind::Mark("#") => self.pointer(at)?,
            TokenKind::Mark(".") if self.closures > 0 => Kind::Pointer(Pointer::Item),
            other => {
                let fix = match other {
                    TokenKind::End => "something is missing at the end",
                    TokenKind::Mark(".") => "a leading dot stands only in a closure: any(list, .x)",
                    TokenKind::Mark(")" | "]" | "}") => "remove it, or write a value before it",
                    _ => "write a value here: a field, a constant or a function",
                };
                return Err(fail(at, format!("unexpected {}", shown(&other)), fix));
            }
        };
        self.node(at, 0, kind)
    }

    /// `#`, `#index`, `#acc`.
    fn pointer(&mut self, at: usize) -> Result<Kind, ExprError> {
        if self.closures == 0 {
            return Err(fail(
                at,
                "# outside of a closure",
                "use it as in any(list, # == 1)",
            ));
        }
        let Token { kind, spaced, .. } = self.peek();
        let pointer = match kind {
            TokenKind::Name(name) if !spaced && name == "acc" => Pointer::Accumulator,
            TokenKind::Name(name) if !spaced && name == "index" => Pointer::Index,
            _ => return Ok(Kind::Pointer(Pointer::Item)),
        };
        self.next += 1;
        Ok(Kind::Pointer(pointer))
    }

    fn named(&mut self, at: usize, name: String) -> Result<Ast, ExprError> {
        let kind = match name.as_str() {
            "true" => Kind::Bool(true),
            "false" => Kind::Bool(false),
            "nil" => Kind::Nil,
            _ if self.take("(") => return self.call(at, name, None),
            _ => Kind::Name(name),
        };
        self.node(at, 0, kind)
    }

    /// The arguments of a call; the opening bracket is taken.
    fn call(&mut self, at: usize, name: String, piped: Option<Ast>) -> Result<Ast, ExprError> {
        let has_closure = CLOSURE_FUNCTIONS.contains(&name.as_str());
        let mut arguments: Vec<Ast> = piped.into_iter().collect();
        while !self.is(")") {
            let argument = if has_closure && arguments.len() == 1 {
                self.closure()?
            } else {
                self.expression(0)?
            };
            arguments.push(argument);
            if !self.take(",") {
                break;
            }
        }
        self.expect(")")?;
        let below = tallest(&arguments);
        self.node(at, below, Kind::Call { name, arguments })
    }

    fn closure(&mut self) -> Result<Ast, ExprError> {
        let at = self.peek().at;
        self.closures += 1;
        let body = if self.take("{") {
            let body = self.sequence()?;
            self.expect("}")?;
            body
        } else {
            self.expression(0)?
        };
        self.closures -= 1;
        let below = body.height;
        self.node(at, below, Kind::Closure(Box::new(body)))
    }

    fn array(&mut self, at: usize) -> Result<Ast, ExprError> {
        let mut items = Vec::new();
        while !self.is("]") {
            items.push(self.expression(0)?);
            if !self.take(",") {
                break;
            }
        }
        self.expect("]")?;
        let below = tallest(&items);
        self.node(at, below, Kind::Array(items))
    }

    fn map(&mut self, at: usize) -> Result<Ast, ExprError> {
        let mut items = Vec::new();
        let mut below = 0;
        while !self.is("}") {
            let Token { at, kind, .. } = self.peek().clone();
            let key = match kind {
                TokenKind::Name(name) | TokenKind::Text(name) => Kind::Text(name),
                TokenKind::Mark(word) if word.starts_with(|c: char| c.is_alphabetic()) => {
                    Kind::Text(word.to_owned())
                }
                TokenKind::Int(n) => Kind::Text(n.to_string()),
                TokenKind::Mark("(") => {
                    self.next += 1;
                    let key = Kind::Sequence(vec![self.expression(0)?]);
                    if !self.is(")") {
                        return Err(fail(at, "bracket without an end", "write {(key): value}"));
                    }
                    key
                }
                other => {
                    let message = format!("unexpected {} as the key of a map", shown(&other));
                    return Err(fail(at, message, "write {key: value, 'other key': value}"));
                }
            };
            self.next += 1;
            let key_height = 1 + match &key {
                Kind::Sequence(items) => tallest(items),
                _ => 0,
            };
            let key = self.node(at, key_height, key)?;
            self.expect(":")?;
            let value = self.expression(0)?;
            below = below.max(key.height).max(value.height);
            items.push((key, value));
            if !self.take(",") {
                break;
            }
        }
        self.expect("}")?;
        self.node(at, below, Kind::Map(items))
    }

    /// `.name`, `?.name`, `.Name(…)`, `[key]`, `[from:to]`, as many as stand there.
    fn postfix(&mut self, mut of: Ast) -> Result<Ast, ExprError> {
        let start = of.at;
        let mut has_optional = false;
        loop {
            let at = self.peek().at;
            let optional = self.is("?.");
            if self.take(".") || self.take("?.") {
                of = if optional && self.take("[") {
                    self.index(of, at, true)?
                } else {
                    self.member(of, at, optional)?
                };
            } else if self.take("[") {
                of = self.index(of, at, false)?;
            } else {
                break;
            }
            has_optional |= optional;
        }
        if has_optional {
            let below = of.height;
            of = self.node(start, below, Kind::Optional(Box::new(of)))?;
        }
        Ok(of)
    }

    fn member(&mut self, of: Ast, at: usize, optional: bool) -> Result<Ast, ExprError> {
        let name = match self.peek().kind.clone() {
            TokenKind::Name(name) => name,
            TokenKind::Mark(word) if word.starts_with(|c: char| c.is_alphabetic()) => word.into(),
            other => {
                let message = format!("expected a name after the dot but found {}", shown(&other));
                let fix = "names with other characters are written x[\"a-b\"]";
                return Err(fail(self.peek().at, message, fix));
            }
        };
        self.next += 1;
        let of = Box::new(of);
        if !self.take("(") {
            let below = of.height;
            return self.node(at, below, Kind::Member { of, name, optional });
        }
        let mut arguments = Vec::new();
        while !self.is(")") {
            arguments.push(self.expression(0)?);
            if !self.take(",") {
                break;
            }
        }
        self.expect(")")?;
        let below = of.height.max(tallest(&arguments));
        self.node(
            at,
            below,
            Kind::Method {
                of,
                name,
                arguments,
                optional,
            },
        )
    }

    fn index(&mut self, of: Ast, at: usize, optional: bool) -> Result<Ast, ExprError> {
        let of = Box::new(of);
        if self.take(":") {
            let to = if self.is("]") {
                None
            } else {
                Some(Box::new(self.expression(0)?))
            };
            self.expect("]")?;
            let below = of.height.max(to.as_ref().map_or(0, |t| t.height));
            return self.node(at, below, Kind::Slice { of, from: None, to });
        }
        let key = Box::new(self.expression(0)?);
        let below = of.height.max(key.height);
        if self.take(":") {
            let to = if self.is("]") {
                None
            } else {
                Some(Box::new(self.expression(0)?))
            };
            self.expect("]")?;
            let below = below.max(to.as_ref().map_or(0, |t| t.height));
            return self.node(
                at,
                below,
                Kind::Slice {
                    of,
                    from: Some(key),
                    to,
                },
            );
        }
        self.expect("]")?;
        self.node(at, below, Kind::Index { of, key, optional })
    }
}

fn tallest(items: &[Ast]) -> u32 {
    items.iter().map(|ast| ast.height).max().unwrap_or(0)
}

fn too_deep(at: usize) -> ExprError {
    let message = format!("nested more than {EXPRESSION_DEPTH_MAX} deep");
    fail(at, message, "split it with let, or into two rules")
}
