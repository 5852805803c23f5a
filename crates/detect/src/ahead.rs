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

/// What was made of one line ahead of its turn. Reused from line to line.
#[derive(Debug, Default)]
pub struct Ahead {
    finding: Finding,
    event: Event,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Finding {
    /// It hangs on the lines before it: read it when its turn comes.
    #[default]
    InOrder,
    /// The prefilter let it go.
    Skipped,
    Read(ParseOutcome, Wording),
}

impl Ahead {
    pub(crate) const fn finding(&self) -> Finding {
        self.finding
    }

    pub(crate) fn swap_event(&mut self, other: &mut Event) {
        mem::swap(&mut self.event, other);
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

    /// Whether the prefilter lets the line through.
    pub fn may_matter(&mut self, record: &Record<'_>, source: &SourceInfo) -> bool {
        self.prefilter
            .may_matter(record.text, &source.labels, &self.parsers, &self.symbols)
    }

    /// Reads one line. `clock` is what [`crate::engine::Engine::observe_ahead`] will be given.
    pub fn read(
        &mut self,
        record: &Record<'_>,
        source: &SourceInfo,
        clock: Clock,
        ahead: &mut Ahead,
    ) {
        if !self.may_matter(record, source) {
            ahead.finding = Finding::Skipped;
            return;
        }
        let event = &mut ahead.event;
        let wording = begin(event, &mut self.symbols, record, source, clock);
        self.services.now = event.time;
        let outcome = self
            .parsers
            .run(event, &mut self.services, &mut self.symbols, &mut NoTrace);
        let strange = self.symbols.len() > self.known;
        if strange {
            self.symbols.truncate(self.known);
        }
        if self.services.stash.take_touched() {
            self.services.stash = Default::default();
            ahead.finding = Finding::InOrder;
        } else if strange {
            ahead.finding = Finding::InOrder;
        } else {
            ahead.finding = Finding::Read(outcome, wording);
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
