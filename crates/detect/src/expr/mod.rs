//! The expression language that rules are written in.
//!
//! Source text is compiled once, when rules load, into a tree with interned field names
//! (`compile`), and evaluated per event against borrowed values (`eval`). An expression changes
//! nothing: what `evt.SetMeta` and `UnmarshalJSON` would write comes out as [`Effect`]s, which the
//! caller applies. Evaluation is bounded by a step budget; nothing here may panic or recurse
//! without bound, whatever the expression or the event holds.

mod access;
mod analysis;
mod ast;
mod compare;
mod compile;
mod eval;
mod folded;
mod functions;
mod lexer;
mod line_test;
mod lists;
mod loops;
mod node;
mod opening;
mod parser;
mod services;
mod shape;
mod suggest;
#[cfg(test)]
mod tests;
mod time;
mod unmarshal;
mod value;
mod why;

use std::cell::RefCell;

pub(crate) use self::folded::Places;
pub use self::{
    lists::{Lines, Patterns},
    services::{
        DataFile, DataFiles, DecisionCounts, Lookup, LookupKind, LookupRow, Services, Stash,
    },
    value::{List, Map, Missing, Object, ObjectRef, QueueView, Text, Value, View},
    why::{FalsePart, false_parts},
};
use crate::{
    event::{Event, FieldMap, Part},
    symbols::{Sym, Symbols},
};

/// Which names an expression may start from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vars {
    /// Profiles: `Alert`, and `evt` for what alert contexts ask.
    Alert,
    /// `evt`, `queue` and `leaky`: condition, cancel_on, overflow_filter.
    Condition,
    /// Alert contexts: `evt`, and `match` and `req`, which are nil for log events.
    Context,
    /// `evt`: filters, statics, distinct, groupby.
    Event,
    /// `results`: assertions of tests.
    Results,
}

/// Why an expression does not compile, and what to do about it.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("{message}")]
pub struct ExprError {
    /// Byte offset in the source.
    pub offset: usize,
    pub message: String,
    pub fix: String,
}

/// Why an evaluation has no value. Cheap to make: some rules rely on such errors being false.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
pub enum EvalError {
    #[error("{function} wants {wants} but got {got}")]
    Argument {
        function: &'static str,
        wants: &'static str,
        got: &'static str,
    },
    #[error("the expression took too many steps")]
    Budget,
    #[error("division by zero")]
    DivisionByZero,
    #[error("{function}: {reason}")]
    Function {
        function: &'static str,
        reason: &'static str,
    },
    #[error("index out of range")]
    Index,
    #[error("cannot read a part of nil")]
    Nil,
    /// `?.` met nil. Never leaves an evaluation.
    #[doc(hidden)]
    #[error("nil")]
    NilPassed,
    #[error("a condition must be true or false, not {got}")]
    NotBool { got: &'static str },
    #[error("{operator} does not work on {left} and {right}")]
    Operands {
        operator: &'static str,
        left: &'static str,
        right: &'static str,
    },
    #[error("{kind} has no such part")]
    Part { kind: &'static str },
    #[error("{name} has no value here")]
    Unset { name: &'static str },
}

/// What an expression sees.
#[derive(Clone, Copy)]
pub struct Env<'a> {
    pub event: &'a Event,
    pub symbols: &'a Symbols,
    pub services: &'a Services,
    /// `queue` and `leaky`.
    pub queue: Option<&'a dyn QueueView>,
    /// `results`.
    pub results: Option<&'a dyn Object>,
    /// `Alert`.
    pub alert: Option<&'a model::Alert>,
    /// Where the evaluation leaves what it wants written.
    pub effects: &'a RefCell<Vec<Effect>>,
}

impl<'a> Env<'a> {
    pub const fn new(
        event: &'a Event,
        symbols: &'a Symbols,
        services: &'a Services,
        effects: &'a RefCell<Vec<Effect>>,
    ) -> Self {
        Self {
            event,
            symbols,
            services,
            queue: None,
            results: None,
            alert: None,
            effects,
        }
    }
}

/// A write that an expression asked for. Apply it also when the evaluation ends in an error:
/// in the language, what was written before the error stays.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// `LogInfo(…)`.
    Log(String),
    /// `evt.SetMeta(key, value)` and `evt.SetParsed(key, value)`.
    SetField {
        map: FieldMap,
        key: String,
        value: String,
    },
    /// `UnmarshalJSON(text, evt.Unmarshaled, key)`.
    SetUnmarshaled {
        key: String,
        value: serde_json::Value,
    },
    /// `ParseKV(text, evt.Unmarshaled, key)`: adds to the string map at `key`.
    SetUnmarshaledStrings {
        key: String,
        values: Vec<(String, String)>,
    },
}

/// Carries out `effects` on `event` and empties the list. Returns the texts to log.
pub fn apply_effects(
    effects: &mut Vec<Effect>,
    event: &mut Event,
    symbols: &mut Symbols,
) -> Vec<String> {
    let mut log = Vec::new();
    for effect in effects.drain(..) {
        match effect {
            Effect::Log(text) => log.push(text),
            Effect::SetField { map, key, value } => {
                if let Some(sym) = symbols.intern_bounded(&key, model::limits::SYMBOLS_MAX) {
                    event.set_field(map, sym, &value);
                }
            }
            Effect::SetUnmarshaled { key, value } => {
                event.string_maps.remove(&key);
                event.unmarshaled.insert(key, value);
            }
            Effect::SetUnmarshaledStrings { key, values } => {
                event.string_maps.insert(key.clone());
                let entry = event.unmarshaled.entry(key).or_default();
                if !entry.is_object() {
                    *entry = serde_json::Value::Object(serde_json::Map::new());
                }
                if let serde_json::Value::Object(map) = entry {
                    map.extend(values.into_iter().map(|(k, v)| (k, v.into())));
                }
            }
        }
    }
    log
}

/// A compiled expression.
pub struct Expr {
    source: String,
    program: compile::Program,
    part: Option<Part>,
}

/// Compiles `source`. Field names are interned into `symbols`.
pub fn compile(source: &str, vars: Vars, symbols: &mut Symbols) -> Result<Expr, ExprError> {
    let program = compile::program(source, vars, symbols)?;
    Ok(Expr {
        source: source.to_owned(),
        part: node::part(&program.root),
        program,
    })
}

/// Compiles and evaluates any text against `env`: the door for fuzzing. Must never panic, hang or
/// overflow the stack.
pub fn fuzz(source: &str, vars: Vars, symbols: &mut Symbols, event: &Event, services: &Services) {
    let Ok(expr) = compile(source, vars, symbols) else {
        return;
    };
    let effects = RefCell::default();
    let _ = expr.eval(&Env::new(event, symbols, services, &effects));
}

impl Expr {
    pub fn eval<'a>(&'a self, env: &Env<'a>) -> Result<Value<'a>, EvalError> {
        eval::Machine::new(env).eval(&self.program.root)
    }

    /// Like [`Expr::eval`], for conditions: anything but true or false is an error.
    pub fn test(&self, env: &Env<'_>) -> Result<bool, EvalError> {
        match &self.program.root {
            // What most filters are needs no machine.
            node::Node::FieldEqual(map, sym, text) => Ok(env.event.field(*map, *sym) == &**text),
            node::Node::FieldIn(map, sym, texts) => Ok(texts.has(env.event.field(*map, *sym))),
            root => eval::Machine::new(env).test(root),
        }
    }

    /// The text of the event, when the expression is nothing but one.
    pub(crate) const fn part(&self) -> Option<Part> {
        self.part
    }

    pub fn source(&self) -> &str {
        &self.source
    }

    /// The fields of which its leading parts ask whether they have certain values.
    pub(crate) fn opening_fields(&self) -> Vec<(FieldMap, Sym)> {
        opening::fields(&self.program.root)
    }

    /// Whether a leading part that reads nothing but one of `fields` is not true: then the
    /// condition is not either, and has written nothing.
    pub(crate) fn fails_at_once(&self, env: &Env<'_>, fields: &[(FieldMap, Sym)]) -> bool {
        opening::fails(&self.program.root, env, fields)
    }

    /// Whether evaluating it surely writes nothing.
    pub(crate) fn is_pure(&self) -> bool {
        folded::is_pure(&self.program.root)
    }

    /// Texts without which the condition is false, given these data files.
    pub(crate) fn places(&self, data: &DataFiles) -> Option<Places> {
        folded::places(&self.program.root, data)
    }

    pub const fn requirements(&self) -> &Requirements {
        &self.program.requirements
    }
}

/// Facts without which an expression cannot be true. Each list is a conjunction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Requirements {
    /// The field has one of these values.
    pub equals: Vec<FieldAtom>,
    /// The field contains one of these literals (from `contains`, `startsWith`, `endsWith`, `==`).
    pub contains: Vec<FieldAtom>,
    /// The raw line contains one of these literals.
    pub line_contains: Vec<Vec<String>>,
    /// The fields the expression reads by name.
    pub reads: Vec<(FieldMap, Sym)>,
    /// The string maps it reads by a computed name, or as a whole.
    pub reads_whole: Vec<FieldMap>,
    /// The data files it names.
    pub files: Vec<String>,
}

/// One field and what it may hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldAtom {
    pub map: FieldMap,
    pub sym: Sym,
    pub any_of: Vec<String>,
}
