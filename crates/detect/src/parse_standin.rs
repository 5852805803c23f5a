//! Stands in for the parsers until they are there: takes no line.

use model::Diagnostic;

use crate::{event::Event, expr::Services, rules::RuleFile, symbols::Symbols};

/// Shows what happens inside.
pub trait Trace {
    fn node(&mut self, _stage: &str, _node: &str, _event: &Event, _ok: bool) {}
    fn overflow(&mut self, _event: &Event) {}
}

pub(crate) struct NoTrace;

impl Trace for NoTrace {}

pub(crate) enum ParseOutcome {
    Parsed,
    Dropped,
    Whitelisted,
}

#[derive(Default)]
pub(crate) struct Parsers;

impl Parsers {
    pub(crate) fn build(_: &[RuleFile], _: &mut Symbols, _: &mut Vec<Diagnostic>) -> Self {
        Self
    }

    pub(crate) fn run(
        &mut self,
        _event: &mut Event,
        _services: &mut Services,
        _symbols: &mut Symbols,
        _trace: &mut dyn Trace,
    ) -> ParseOutcome {
        ParseOutcome::Parsed
    }

    pub(crate) fn run_postoverflow(
        &mut self,
        _event: &mut Event,
        _services: &mut Services,
        _symbols: &mut Symbols,
        _trace: &mut dyn Trace,
    ) {
    }
}

#[derive(Default)]
pub(crate) struct Prefilter;

impl Prefilter {
    pub(crate) fn may_matter(&self, _line: &[u8], _kind: &str) -> bool {
        true
    }
}
