//! Lines read ahead of their turn, on other threads.
//!
//! Most of a line's cost is the prefilter and the parsers, and they need nothing of the lines
//! before it. A [`Reader`] does that part with scratch memory of its own and leaves an [`Ahead`];
//! the engine takes these in the order of the lines and pours them. What a reader makes of a line
//! must be exactly what the engine would: a line that asks or fills the stash, or that brings a
//! field name nobody knew, is left for the engine to read when its turn comes.

use std::{fmt, mem};

use model::{Record, SourceInfo};

use crate::{
    engine::{Clock, Wording, begin},
    event::Event,
    expr::Services,
    parse::{NoTrace, ParseOutcome, Parsers},
    prefilter::Prefilter,
    symbols::Symbols,
};

/// What was made of some lines ahead of their turn, in their order. Reused for the next ones.
#[derive(Debug, Default)]
pub struct Ahead {
    findings: Vec<Finding>,
    /// The events of the lines that were read to the end; more room than lines.
    events: Vec<Event>,
    read: usize,
    findings_taken: usize,
    events_taken: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Finding {
    /// It hangs on the lines before it: read it when its turn comes.
    InOrder,
    /// The prefilter let it go.
    Skipped,
    Read(ParseOutcome, Wording),
}

impl Ahead {
    /// Forgets the lines and keeps the memory, unless it is much.
    pub fn clear(&mut self) {
        for event in self.events.iter_mut().take(self.read) {
            event.trim();
        }
        self.findings.clear();
        (self.read, self.findings_taken, self.events_taken) = (0, 0, 0);
    }

    /// What was found of the next line; its event is then in `event`.
    pub(crate) fn take(&mut self, event: &mut Event) -> Finding {
        let finding = self.findings.get(self.findings_taken);
        self.findings_taken += 1;
        let finding = finding.copied().unwrap_or(Finding::InOrder);
        if matches!(finding, Finding::Read(..))
            && let Some(read) = self.events.get_mut(self.events_taken)
        {
            mem::swap(read, event);
            self.events_taken += 1;
        }
        finding
    }

    /// An event to read the next line into.
    fn blank(&mut self) -> Option<&mut Event> {
        if self.events.len() == self.read {
            self.events.push(Event::default());
        }
        self.events.get_mut(self.read)
    }
}

/// Reads lines ahead. One for each thread, made by [`crate::engine::Engine::reader`].
pub struct Reader {
    parsers: Parsers,
    prefilter: Prefilter,
    services: Services,
    symbols: Symbols,
    /// How many names the engine has given it.
    known: usize,
}

impl Reader {
    pub(crate) fn new(
        (parsers, prefilter): (Parsers, Prefilter),
        services: Services,
        symbols: Symbols,
    ) -> Self {
        Self {
            parsers,
            prefilter,
            services,
            known: symbols.len(),
            symbols,
        }
    }

    /// Takes over field names that the engine has learnt since. Not needed for a right result, but
    /// lines with unknown names are read twice.
    pub fn learn(&mut self, names: &Symbols) {
        if names.len() > self.known {
            self.symbols.clone_from(names);
            self.known = names.len();
        }
    }

    /// Reads one line more. `clock` is what [`crate::engine::Engine::observe_ahead`] will be given.
    pub fn read(
        &mut self,
        record: &Record<'_>,
        source: &SourceInfo,
        clock: Clock,
        ahead: &mut Ahead,
    ) {
        let passes =
            self.prefilter
                .may_matter(record.text, &source.labels, &self.parsers, &self.symbols);
        let finding = match ahead.blank() {
            _ if !passes => Finding::Skipped,
            Some(event) => self.parse(record, source, clock, event),
            None => Finding::InOrder,
        };
        if matches!(finding, Finding::Read(..)) {
            ahead.read += 1;
        }
        ahead.findings.push(finding);
    }

    fn parse(
        &mut self,
        record: &Record<'_>,
        source: &SourceInfo,
        clock: Clock,
        event: &mut Event,
    ) -> Finding {
        let wording = begin(event, &mut self.symbols, record, source, clock);
        self.services.now = event.time;
        let outcome = self.parsers.run_hoping(
            event,
            &mut self.services,
            &mut self.symbols,
            &mut NoTrace,
            self.prefilter.hopes(),
        );
        let strange = self.symbols.len() > self.known;
        if strange {
            self.symbols.truncate(self.known);
        }
        if self.services.stash.take_touched() {
            self.services.stash = Default::default();
            return Finding::InOrder;
        }
        if strange {
            Finding::InOrder
        } else {
            Finding::Read(outcome, wording)
        }
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader")
            .field("known", &self.known)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
