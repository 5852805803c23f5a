//! Walks a compiled expression over one event.
//!
//! Recursion follows the tree, whose depth the parser bounds; loops and everything that makes text
//! or lists pay from a step budget, so that no event can make an evaluation long.

use std::{cell::RefCell, sync::Arc};

use model::limits::EXPRESSION_STEPS_MAX;

use super::{
    Env, EvalError, Services, access,
    ast::{Binary, Pointer},
    compare, loops,
    node::{Nil, Node, Root},
    unmarshal,
    value::{List, Map, Missing, Text, Value, View},
};
use crate::{
    event::{Event, FieldMap},
    symbols::Symbols,
};

pub(super) type Evaluated<'a> = Result<Value<'a>, EvalError>;

/// The state of one evaluation.
pub(super) struct Machine<'e, 'a> {
    pub(super) env: &'e Env<'a>,
    steps: u64,
    pub(super) locals: Vec<Value<'a>>,
    pub(super) frames: Vec<Frame<'a>>,
    pub(super) cache: Vec<Option<Value<'a>>>,
}

/// What `#` and its kin are in one closure.
#[derive(Default)]
pub(super) struct Frame<'a> {
    pub(super) item: Value<'a>,
    pub(super) index: usize,
    pub(super) accumulator: Value<'a>,
}

/// The value of a call of constants; `None` when it has none.
pub(super) fn constant(node: &Node) -> Option<Value<'static>> {
    let (event, symbols, services) = (Event::default(), Symbols::default(), Services::default());
    let effects = RefCell::default();
    let env = Env::new(&event, &symbols, &services, &effects);
    match Machine::new(&env).eval(node).ok()? {
        Value::Bool(b) => Some(Value::Bool(b)),
        Value::Duration(n) => Some(Value::Duration(n)),
        Value::Float(f) => Some(Value::Float(f)),
        Value::Int(n) => Some(Value::Int(n)),
        Value::Text(text) => Some(Value::shared(text.into_shared())),
        _ => None,
    }
}

impl<'e, 'a> Machine<'e, 'a> {
    pub(super) const fn new(env: &'e Env<'a>) -> Self {
        Self {
            env,
            steps: EXPRESSION_STEPS_MAX,
            locals: Vec::new(),
            frames: Vec::new(),
            cache: Vec::new(),
        }
    }

    /// Pays for `steps` units of work.
    pub(super) fn spend(&mut self, steps: usize) -> Result<(), EvalError> {
        match self.steps.checked_sub(steps as u64) {
            Some(left) => {
                self.steps = left;
                Ok(())
            }
            None => Err(EvalError::Budget),
        }
    }

    /// Pays for making `bytes` of text.
    pub(super) fn spend_text(&mut self, bytes: usize) -> Result<(), EvalError> {
        self.spend(1 + bytes / 16)
    }

    /// Pays for looking through `bytes` of text.
    pub(super) fn spend_search(&mut self, bytes: usize) -> Result<(), EvalError> {
        self.spend(1 + bytes / 1024)
    }

    /// A node's truth, without making a value of it where that can be spared.
    pub(super) fn test(&mut self, node: &'a Node) -> Result<bool, EvalError> {
        match node {
            Node::And(items) => {
                for item in items {
                    if !self.test(item)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            Node::Or(items) => {
                for item in items {
                    if self.test(item)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            Node::Not(of) => Ok(!self.test(of)?),
            Node::Bool(b) => Ok(*b),
            Node::FieldEqual(map, sym, text) => {
                self.spend(1)?;
                Ok(self.env.event.field(*map, *sym) == &**text)
            }
            Node::FieldIn(map, sym, texts) => {
                self.spend(1)?;
                let value = self.env.event.field(*map, *sym);
                Ok(texts.has(value))
            }
            _ => self.test_other(node),
        }
    }

    fn test_other(&mut self, node: &'a Node) -> Result<bool, EvalError> {
        match node {
            Node::ContainsText(parts) => {
                let (left, finder) = &**parts;
                if let Some(left) = self.direct(left)? {
                    self.spend_search(left.len())?;
                    return Ok(finder.find(left.as_bytes()).is_some());
                }
                let Some(left) = self.text_or_nil(left, "contains")? else {
                    return Ok(false);
                };
                self.spend_search(left.len())?;
                Ok(finder.find(left.as_bytes()).is_some())
            }
            Node::StartsWithText(parts) => {
                if let Some(left) = self.direct(&parts.0)? {
                    return Ok(left.as_bytes().starts_with(parts.1.as_bytes()));
                }
                let left = self.text_or_nil(&parts.0, "startsWith")?;
                Ok(left.is_some_and(|left| left.starts_with(&*parts.1)))
            }
            Node::EndsWithText(parts) => {
                if let Some(left) = self.direct(&parts.0)? {
                    return Ok(left.as_bytes().ends_with(parts.1.as_bytes()));
                }
                let left = self.text_or_nil(&parts.0, "endsWith")?;
                Ok(left.is_some_and(|left| left.ends_with(&*parts.1)))
            }
            Node::Matches(parts) => {
                if let Some(left) = self.direct(&parts.0)? {
                    self.spend(1 + left.len() / 64)?;
                    return Ok(parts.1.is_match(left));
                }
                let Some(left) = self.text_or_nil(&parts.0, "matches")? else {
                    return Ok(false);
                };
                self.spend(1 + left.len() / 64)?;
                Ok(parts.1.is_match(&left))
            }
            Node::InTexts(of, texts) => {
                let value = self.eval(of)?;
                self.spend(1 + texts.len() / 16)?;
                Ok(value.as_str().is_some_and(|v| texts.has(v)))
            }
            Node::Equal(sides) => {
                let (left, right) = (self.eval(&sides.0)?, self.eval(&sides.1)?);
                compare::equal(self, &left, &right)
            }
            Node::Compare(op, sides) => {
                let (left, right) = (self.eval(&sides.0)?, self.eval(&sides.1)?);
                compare::ordered(*op, &left, &right)
            }
            Node::In(sides) => {
                let (left, right) = (self.eval(&sides.0)?, self.eval(&sides.1)?);
                compare::is_in(self, &left, &right)
            }
            Node::TextTest(op, sides) => self.text_test(*op, &sides.0, &sides.1),
            Node::MatchesComputed(parts) => self.matches_computed(parts),
            _ => match self.eval(node)? {
                Value::Bool(b) => Ok(b),
                other => Err(EvalError::NotBool { got: other.kind() }),
            },
        }
    }

    /// The text of what is one field, without making a value of it; paid for like one.
    fn direct(&mut self, node: &Node) -> Result<Option<&'a str>, EvalError> {
        let text = match node {
            Node::Field(map, sym) => self.env.event.field(*map, *sym),
            Node::Line => self.env.event.line(),
            _ => return Ok(None),
        };
        self.spend(1)?;
        Ok(Some(text))
    }

    /// A side of a text operator: nil makes the operator false, other non-text is an error.
    fn text_or_nil(
        &mut self,
        node: &'a Node,
        operator: &'static str,
    ) -> Result<Option<Text<'a>>, EvalError> {
        match self.eval(node)? {
            Value::Text(text) => Ok(Some(text)),
            Value::Nil => Ok(None),
            other => Err(EvalError::Operands {
                operator,
                left: other.kind(),
                right: "string",
            }),
        }
    }

    fn text_test(
        &mut self,
        op: Binary,
        left: &'a Node,
        right: &'a Node,
    ) -> Result<bool, EvalError> {
        let left = self.text_or_nil(left, op.symbol())?;
        let right = self.text_or_nil(right, op.symbol())?;
        let (Some(left), Some(right)) = (left, right) else {
            return Ok(false);
        };
        Ok(match op {
            Binary::StartsWith => left.starts_with(&*right),
            Binary::EndsWith => left.ends_with(&*right),
            _ => {
                self.spend_search(left.len())?;
                memchr::memmem::find(left.as_bytes(), right.as_bytes()).is_some()
            }
        })
    }

    fn matches_computed(
        &mut self,
        parts: &'a (Node, Node, super::node::RegexCache),
    ) -> Result<bool, EvalError> {
        let left = self.text_or_nil(&parts.0, "matches")?;
        let right = self.text_or_nil(&parts.1, "matches")?;
        let (Some(left), Some(right)) = (left, right) else {
            return Ok(false);
        };
        self.spend(256 + left.len() / 64 + right.len())?;
        match parts.2.get(&right) {
            Some(regex) => Ok(regex.is_match(&left)),
            None => Err(EvalError::Function {
                function: "matches",
                reason: "the pattern does not compile",
            }),
        }
    }

    pub(super) fn eval(&mut self, node: &'a Node) -> Evaluated<'a> {
        self.spend(1)?;
        match node {
            Node::Field(map, sym) => Ok(Value::text(self.env.event.field(*map, *sym))),
            Node::Line => Ok(Value::text(self.env.event.line())),
            Node::Text(text) => Ok(Value::text(text)),
            Node::Int(n) => Ok(Value::Int(*n)),
            Node::Float(f) => Ok(Value::Float(*f)),
            Node::Duration(n) => Ok(Value::Duration(*n)),
            Node::Nil => Ok(Value::Nil),
            Node::Constant(value) => Ok(value.clone()),
            Node::And(_)
            | Node::Or(_)
            | Node::Not(_)
            | Node::Bool(_)
            | Node::FieldEqual(..)
            | Node::FieldIn(..)
            | Node::ContainsText(_)
            | Node::StartsWithText(_)
            | Node::EndsWithText(_)
            | Node::Matches(_)
            | Node::InTexts(..)
            | Node::Equal(_)
            | Node::Compare(..)
            | Node::In(_)
            | Node::TextTest(..)
            | Node::MatchesComputed(_) => self.test(node).map(Value::Bool),
            Node::Unmarshaled(key) => self.unmarshaled(key),
            Node::Member(parts, nil) => self.member(&parts.0, &parts.1, *nil),
            Node::Call(function, arguments) => self.call(function, arguments),
            Node::Loop(of) => loops::run(self, of),
            Node::Pointer(pointer) => self.pointer(*pointer),
            Node::Local(slot) => Ok(self.locals.get(*slot).cloned().unwrap_or_default()),
            _ => self.eval_other(node),
        }
    }

    // Apart from `eval` so that the common nodes do not pay for the stack of the rare ones.
    #[inline(never)]
    fn eval_other(&mut self, node: &'a Node) -> Evaluated<'a> {
        match node {
            Node::Choice(parts) => {
                let (test, yes, no) = &**parts;
                if self.test(test)? {
                    self.eval(yes)
                } else {
                    self.eval(no)
                }
            }
            Node::Let(slot, parts) => {
                let value = self.eval(&parts.0)?;
                self.set_local(*slot, value);
                self.eval(&parts.1)
            }
            Node::Sequence(items) => {
                let mut last = Value::Nil;
                for item in items {
                    last = self.eval(item)?;
                }
                Ok(last)
            }
            Node::Coalesce(items) => self.coalesce(items),
            Node::Add(items) => self.add(items),
            Node::Arithmetic(op, sides) => {
                let (left, right) = (self.eval(&sides.0)?, self.eval(&sides.1)?);
                compare::arithmetic(*op, &left, &right)
            }
            Node::Negate(of) => match self.eval(of)? {
                Value::Int(n) => Ok(Value::Int(n.wrapping_neg())),
                Value::Float(f) => Ok(Value::Float(-f)),
                Value::Duration(n) => Ok(Value::Duration(n.wrapping_neg())),
                other => Err(EvalError::Argument {
                    function: "-",
                    wants: "a number",
                    got: other.kind(),
                }),
            },
            Node::Range(sides) => self.range(&sides.0, &sides.1),
            Node::Index(parts, nil) => self.index(&parts.0, &parts.1, *nil),
            Node::Slice(parts) => self.slice(&parts.0, parts.1.as_ref(), parts.2.as_ref()),
            Node::Optional(of) => match self.eval(of) {
                Err(EvalError::NilPassed) => Ok(Value::Nil),
                other => other,
            },
            Node::Array(items) => {
                let items: Result<Vec<_>, _> = items.iter().map(|item| self.eval(item)).collect();
                Ok(Value::list(items?))
            }
            Node::Map(items) => self.map(items),
            Node::Cached(slot, of) => self.cached(*slot, of),
            Node::FieldNow(map, key) => Ok(self.field_now(*map, key)),
            Node::SetField(map, parts) => {
                let (key, value) = (self.eval(&parts.0)?, self.eval(&parts.1)?);
                unmarshal::set_field(self, *map, &key, &value)
            }
            Node::Unmarshal(format, parts) => {
                let (text, key) = (self.eval(&parts.0)?, self.eval(&parts.1)?);
                unmarshal::run(self, *format, &text, &key)
            }
            Node::Method(parts, nil) => {
                let (of, name, arguments) = &**parts;
                let of = self.part_of(of, *nil)?;
                let arguments: Result<Vec<_>, _> = arguments.iter().map(|a| self.eval(a)).collect();
                access::method(self, &of, name, &arguments?)
            }
            Node::Root(root) => self.root(*root),
            _ => Err(EvalError::Part { kind: "node" }),
        }
    }

    fn call(
        &mut self,
        function: &'static super::functions::Function,
        arguments: &'a [Node],
    ) -> Evaluated<'a> {
        match arguments {
            [] => (function.run)(self, &[]),
            [a] => {
                let arguments = [self.eval(a)?];
                (function.run)(self, &arguments)
            }
            [a, b] => {
                let arguments = [self.eval(a)?, self.eval(b)?];
                (function.run)(self, &arguments)
            }
            more => {
                let arguments: Result<Vec<_>, _> = more.iter().map(|a| self.eval(a)).collect();
                (function.run)(self, &arguments?)
            }
        }
    }

    fn root(&self, root: Root) -> Evaluated<'a> {
        let unset = |name| EvalError::Unset { name };
        Ok(match root {
            Root::Alert => Value::View(View::Alert(self.env.alert.ok_or_else(|| unset("Alert"))?)),
            Root::Event => Value::event(self.env.event),
            Root::Leaky => Value::View(View::Leaky(self.env.queue.ok_or_else(|| unset("leaky"))?)),
            Root::Queue => Value::View(View::Queue(self.env.queue.ok_or_else(|| unset("queue"))?)),
            Root::Results => Value::object(self.env.results.ok_or_else(|| unset("results"))?),
        })
    }

    fn pointer(&self, pointer: Pointer) -> Evaluated<'a> {
        let frame = self.frames.last().ok_or(EvalError::Unset { name: "#" })?;
        Ok(match pointer {
            Pointer::Accumulator => frame.accumulator.clone(),
            Pointer::Index => Value::Int(i64::try_from(frame.index).unwrap_or(i64::MAX)),
            Pointer::Item => frame.item.clone(),
        })
    }

    fn set_local(&mut self, slot: usize, value: Value<'a>) {
        if self.locals.len() <= slot {
            self.locals.resize(slot + 1, Value::Nil);
        }
        if let Some(local) = self.locals.get_mut(slot) {
            *local = value;
        }
    }

    fn cached(&mut self, slot: usize, of: &'a Node) -> Evaluated<'a> {
        if let Some(Some(value)) = self.cache.get(slot) {
            return Ok(value.clone());
        }
        let value = self.eval(of)?;
        if let Some(kept) = self.cache.get_mut(slot) {
            *kept = Some(value.clone());
        }
        Ok(value)
    }

    fn coalesce(&mut self, items: &'a [Node]) -> Evaluated<'a> {
        let mut last = Value::Nil;
        for item in items {
            last = self.eval(item)?;
            if !last.is_nil() {
                break;
            }
        }
        Ok(last)
    }

    fn add(&mut self, items: &'a [Node]) -> Evaluated<'a> {
        let mut items = items.iter();
        let mut sum = match items.next() {
            Some(first) => self.eval(first)?,
            None => Value::Nil,
        };
        for item in items {
            let right = self.eval(item)?;
            sum = match (&sum, &right) {
                (Value::Text(left), Value::Text(right)) => {
                    self.spend_text(left.len() + right.len())?;
                    let mut text = String::with_capacity(left.len() + right.len());
                    text.push_str(left);
                    text.push_str(right);
                    Value::shared(text)
                }
                _ => compare::plus(&sum, &right)?,
            };
        }
        Ok(sum)
    }

    fn range(&mut self, from: &'a Node, to: &'a Node) -> Evaluated<'a> {
        let (from, to) = (self.eval(from)?, self.eval(to)?);
        let (Value::Int(from), Value::Int(to)) = (&from, &to) else {
            let (left, right) = (from.kind(), to.kind());
            return Err(EvalError::Operands {
                operator: "..",
                left,
                right,
            });
        };
        let len = usize::try_from(to.saturating_sub(*from).saturating_add(1)).unwrap_or(0);
        self.spend(len)?;
        Ok(Value::list((*from..=*to).map(Value::Int).collect()))
    }

    /// The thing of which a part is asked.
    fn part_of(&mut self, of: &'a Node, nil: Nil) -> Evaluated<'a> {
        let value = self.eval(of)?;
        match (&value, nil) {
            (Value::Nil, Nil::Passes) => Err(EvalError::NilPassed),
            (Value::Nil, Nil::Fails) => Err(EvalError::Nil),
            _ => Ok(value),
        }
    }

    fn member(&mut self, of: &'a Node, key: &'a super::node::Key, nil: Nil) -> Evaluated<'a> {
        let of = self.part_of(of, nil)?;
        access::member(self.env, &of, &key.name, Some(key.sym))
    }

    fn index(&mut self, of: &'a Node, key: &'a Node, nil: Nil) -> Evaluated<'a> {
        let of = self.part_of(of, nil)?;
        let key = self.eval(key)?;
        // Only what this event holds can have been written by this very expression.
        if let (Value::Map(Map::Unmarshaled(event)), Value::Text(name)) = (&of, &key)
            && std::ptr::eq(*event, self.env.event)
        {
            return self.unmarshaled(name);
        }
        access::index(self.env, &of, &key)
    }

    /// `evt.Unmarshaled.key`, or what this very expression has put there.
    fn unmarshaled(&self, key: &str) -> Evaluated<'a> {
        if let Some(value) = unmarshal::written(self.env, key) {
            return Ok(value);
        }
        let event = self.env.event;
        Ok(match event.unmarshaled.get(key) {
            Some(serde_json::Value::Object(map)) if event.string_maps.contains(key) => {
                Value::Map(Map::Json(map, Missing::Empty))
            }
            Some(json) => Value::from_json(json),
            None => Value::Nil,
        })
    }

    fn field_now(&self, map: FieldMap, key: &super::node::Key) -> Value<'a> {
        match unmarshal::written_field(self.env, map, &key.name) {
            Some(text) => Value::shared(text),
            None => Value::text(self.env.event.field(map, key.sym)),
        }
    }

    fn map(&mut self, items: &'a [(Node, Node)]) -> Evaluated<'a> {
        let mut entries: Vec<(Text<'a>, Value<'a>)> = Vec::with_capacity(items.len());
        for (key, value) in items {
            let Value::Text(key) = self.eval(key)? else {
                return Err(EvalError::Part { kind: "map" });
            };
            entries.push((key, self.eval(value)?));
        }
        Ok(Value::Map(Map::Shared(entries.into(), Missing::Nil)))
    }

    fn slice(
        &mut self,
        of: &'a Node,
        from: Option<&'a Node>,
        to: Option<&'a Node>,
    ) -> Evaluated<'a> {
        let of = self.part_of(of, Nil::Fails)?;
        let from = from.map(|node| self.bound(node)).transpose()?;
        let to = to.map(|node| self.bound(node)).transpose()?;
        match &of {
            Value::Text(text) => {
                let (from, to) = bounds(from, to, text.len());
                self.spend_text(to - from)?;
                Ok(Value::Text(cut(text, from, to)))
            }
            Value::List(list) => {
                let (from, to) = bounds(from, to, list.len());
                self.spend(to - from)?;
                let items: Arc<[Value<'a>]> = (from..to).filter_map(|i| list.get(i)).collect();
                Ok(Value::List(List::Shared(items)))
            }
            other => Err(EvalError::Part { kind: other.kind() }),
        }
    }

    fn bound(&mut self, node: &'a Node) -> Result<i64, EvalError> {
        match self.eval(node)? {
            Value::Int(n) => Ok(n),
            other => Err(EvalError::Argument {
                function: "[:]",
                wants: "whole numbers",
                got: other.kind(),
            }),
        }
    }
}

/// Where a slice starts and ends: negative counts from the end, beyond the ends is the end.
fn bounds(from: Option<i64>, to: Option<i64>, len: usize) -> (usize, usize) {
    let place = |n: i64| match usize::try_from(n) {
        Ok(n) => n.min(len),
        Err(_) => len.saturating_sub(usize::try_from(n.unsigned_abs()).unwrap_or(usize::MAX)),
    };
    let to = to.map_or(len, place);
    (from.map_or(0, place).min(to), to)
}

/// A part of a text by bytes; a cut within a character leaves a replacement character.
fn cut<'a>(text: &Text<'a>, from: usize, to: usize) -> Text<'a> {
    match text {
        Text::Borrowed(text) => match text.get(from..to) {
            Some(part) => Text::Borrowed(part),
            None => lossy(text, from, to),
        },
        Text::Shared(text) => lossy(text, from, to),
    }
}

fn lossy<'a>(text: &str, from: usize, to: usize) -> Text<'a> {
    let bytes = text.as_bytes().get(from..to).unwrap_or_default();
    Text::Shared(String::from_utf8_lossy(bytes).into())
}
