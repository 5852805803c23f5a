//! `any(File('x'), { text contains # })` and its kin, asked of the whole list at once.
//!
//! Such a closure is true of an event only if the text fits one line of the file. [`LineTest`]
//! says whether it does, by one table or automaton over all lines; where that is the closure's
//! whole meaning it is the answer, else (`… ? … : false`) the closure runs only if it fits. Where
//! the shortcut cannot be sure to agree with the closure, the closure runs.

use std::{cell::RefCell, sync::OnceLock};

use super::{
    Env, EvalError, Services,
    ast::{Ast, Binary, Chain, Kind, Pointer},
    eval::{Frame, Machine},
    lists::{Finder, Fits, Lines},
    node::Node,
    value::Value,
};
use crate::{event::Event, symbols::Symbols};

/// Whether a text fits a line of a data file.
pub(super) struct LineTest {
    pub(super) file: Box<str>,
    /// The same in every round of the closure.
    pub(super) text: Node,
    pub(super) fits: Fits,
    /// What is made of a line before it is compared.
    pub(super) line: Node,
    pub(super) meaning: Meaning,
    /// For the list that was asked first; there is no other while rules stay loaded.
    pub(super) finder: OnceLock<(Lines, Option<Finder>)>,
}

/// What the test says of the closure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// True exactly if the text fits.
    Whole,
    /// False if it does not.
    Necessary,
}

/// The comparison in a closure's body, if it is one that a whole list can be asked: how the two
/// sides are compared, the side that is the event's and the one that is the line's, and what it
/// means for the closure.
pub(super) fn comparison(body: &Ast) -> Option<(Fits, &Ast, &Ast, Meaning)> {
    match &body.kind {
        Kind::Closure(body) => comparison(body),
        Kind::Sequence(items) => match items.as_slice() {
            [only] => comparison(only),
            _ => None,
        },
        Kind::Choice { test, no, .. } if matches!(no.kind, Kind::Bool(false)) => {
            let (fits, text, line, _) = comparison(test)?;
            Some((fits, text, line, Meaning::Necessary))
        }
        // An empty line is no network.
        Kind::Chain(Chain::And, items) => match items.as_slice() {
            [guard, only] if is_not_empty(guard) => {
                comparison(only).filter(|(fits, ..)| *fits == Fits::IsWithin)
            }
            _ => None,
        },
        Kind::Call { name, arguments } => match (name.as_str(), arguments.as_slice()) {
            ("IpInRange", [text, line]) => Some((Fits::IsWithin, text, line, Meaning::Whole)),
            _ => None,
        },
        Kind::Binary(operator, left, right) => {
            let fits = match operator {
                Binary::Contains => Fits::Contains,
                Binary::EndsWith => Fits::EndsWith,
                Binary::Equal => Fits::Equals,
                Binary::StartsWith => Fits::StartsWith,
                _ => return None,
            };
            Some((fits, left, right, Meaning::Whole))
        }
        _ => None,
    }
}

/// `len(#) > 0`.
fn is_not_empty(guard: &Ast) -> bool {
    let Kind::Binary(Binary::More, left, right) = &guard.kind else {
        return false;
    };
    let Kind::Call { name, arguments } = &left.kind else {
        return false;
    };
    let is_item = |item: &Ast| matches!(item.kind, Kind::Pointer(Pointer::Item));
    name == "len"
        && matches!(right.kind, Kind::Int(0))
        && matches!(arguments.as_slice(), [item] if is_item(item))
}

impl LineTest {
    /// `Some` when it is known without running the closure.
    pub(super) fn ask<'a>(
        &'a self,
        machine: &mut Machine<'_, 'a>,
    ) -> Result<Option<bool>, EvalError> {
        let Some(lines) = machine.env.services.data.lines(&self.file) else {
            return Ok(None);
        };
        if lines.is_empty() {
            return Ok(Some(false));
        }
        let (known, finder) = self
            .finder
            .get_or_init(|| (lines.clone(), self.finder(lines)));
        let Some(finder) = finder.as_ref().filter(|_| known.is(lines)) else {
            return Ok(None);
        };
        let Value::Text(text) = machine.eval(&self.text)? else {
            return Ok(None);
        };
        machine.spend_search(text.len())?;
        Ok(match (finder.fits(&text), self.meaning) {
            (fits, Meaning::Whole) => Some(fits),
            (false, Meaning::Necessary) => Some(false),
            (true, Meaning::Necessary) => None,
        })
    }

    fn finder(&self, lines: &Lines) -> Option<Finder> {
        Finder::new(self.fits, self.texts(lines)?)
    }

    /// What is made of each line; `None` when a line makes something that is no text: then the
    /// closure must say what it does.
    pub(super) fn texts(&self, lines: &Lines) -> Option<Vec<String>> {
        let (event, symbols, services) =
            (Event::default(), Symbols::default(), Services::default());
        let effects = RefCell::default();
        let env = Env::new(&event, &symbols, &services, &effects);
        let made = |line: &String| {
            let mut machine = Machine::new(&env);
            machine.frames.push(Frame {
                item: Value::text(line),
                ..Frame::default()
            });
            match machine.eval(&self.line) {
                Ok(Value::Text(text)) => Some(text.to_string()),
                _ => None,
            }
        };
        lines.iter().map(made).collect()
    }
}
