//! The list of what was done, which is an exhibit itself, and the making of the others.

use std::io::Write;

use anyhow::{Context as _, Result};
use evidence::{Acquired, Facts, Incoming};
use model::{Timestamp, harmless};
use serde_json::{Value, json};

use super::{Step, helper::Got};
use crate::{
    clock,
    exhibit_command::{Desk, Taking, facts, tell, tool},
    exit::Exit,
};

const LINES: &str = "application/x-ndjson";
pub(super) const FORMAT: &str = "posse-live/1";

/// How a step ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Complete,
    /// Something of it is missing; the reason says what.
    Partial,
    Failed,
    LeftOut,
}

impl End {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Partial => "partial",
            Self::Failed => "failed",
            Self::LeftOut => "left_out",
        }
    }
}

/// One step that was done, or not.
#[derive(Clone, Debug)]
pub(super) struct Action {
    step: Step,
    /// Which of several: a log's path.
    of: Option<String>,
    began: Timestamp,
    ended: Timestamp,
    end: End,
    why: String,
    rows: u64,
    faults: Vec<String>,
    exhibit: Option<Acquired>,
}

impl Action {
    pub(super) const fn begin(step: Step, now: Timestamp) -> Self {
        Self {
            step,
            of: None,
            began: now,
            ended: now,
            end: End::Failed,
            why: String::new(),
            rows: 0,
            faults: Vec::new(),
            exhibit: None,
        }
    }

    pub(super) fn of(self, what: String) -> Self {
        let of = Some(what);
        Self { of, ..self }
    }

    pub(super) fn end(self, end: End, why: String) -> Self {
        let ended = clock::now();
        Self {
            ended,
            end,
            why,
            ..self
        }
    }

    fn with(self, got: Got, exhibit: Acquired) -> Self {
        let done = self.end(got.end, got.why);
        Self {
            rows: got.rows,
            faults: got.faults,
            exhibit: Some(exhibit),
            ..done
        }
    }

    fn title(&self) -> String {
        match &self.of {
            None => self.step.title().to_owned(),
            Some(of) => format!("{} {of}", self.step.title()),
        }
    }

    fn json(&self, number: usize) -> Value {
        let mut line = json!({
            "action": number, "step": self.step.word(), "of": self.of, "began": self.began,
            "ended": self.ended, "end": self.end.word(), "why": self.why, "rows": self.rows,
            "faults": self.faults,
        });
        if let Some(exhibit) = &self.exhibit {
            let what = &exhibit.acquisition;
            line["exhibit"] = json!(what.exhibit);
            line["bytes"] = json!(what.bytes);
            line["sha256"] = json!(what.sha256);
        }
        line
    }

    pub(super) fn in_words(&self) -> String {
        let exhibit = self
            .exhibit
            .as_ref()
            .map_or("no exhibit", |exhibit| exhibit.acquisition.exhibit.as_str());
        let why = if self.why.is_empty() {
            String::new()
        } else {
            format!(": {}", harmless(&self.why))
        };
        let faults = self.faults.len();
        format!(
            "{} ({exhibit}, {} rows, {faults} faults){why}",
            self.end.word().replace('_', " "),
            self.rows
        )
    }
}

/// The list, and whose exhibits they become.
pub(super) struct Actions<'a> {
    desk: &'a Desk,
    taking: &'a Taking,
    began: Timestamp,
    /// The command, with how long and how large a step may be.
    bounds: String,
    done: Vec<Action>,
}

impl<'a> Actions<'a> {
    pub(super) fn new(desk: &'a Desk, taking: &'a Taking, bounds: String) -> Self {
        Self {
            desk,
            taking,
            began: clock::now(),
            bounds,
            done: Vec::new(),
        }
    }

    pub(super) fn push(&mut self, action: Action) {
        self.done.push(action);
    }

    pub(super) fn last(&self) -> Option<&Action> {
        self.done.last()
    }

    /// Makes an exhibit of what `read` takes in. What goes wrong ends this step and no other.
    pub(super) fn exhibit(
        &mut self,
        action: Action,
        name: &str,
        read: &mut dyn FnMut(&Desk) -> Result<(Incoming, Got)>,
    ) {
        let made = read(self.desk).and_then(|(incoming, got)| {
            // A failure that brought nothing is no evidence of what was to be read.
            if got.end == End::Failed && got.rows == 0 {
                return Err(anyhow::anyhow!("{}", got.why));
            }
            let media = if name.ends_with(".jsonl") {
                LINES
            } else {
                "text/plain"
            };
            let note = note(&got);
            let facts = self.facts(action.step.word(), (&action.title(), name, media), note);
            let acquired = self.desk.vault.acquire(&self.desk.ledger, &incoming, facts);
            Ok((got, acquired.context("it was read, but it is not kept")?))
        });
        let action = match made {
            Ok((got, exhibit)) => action.with(got, exhibit),
            Err(e) => action.end(End::Failed, format!("{e:#}")),
        };
        self.push(action);
    }

    fn facts(&self, step: &str, (title, name, media): (&str, &str, &str), note: String) -> Facts {
        Facts {
            title: title.to_owned(),
            file_name: name.to_owned(),
            media_type: media.to_owned(),
            method: format!("live collection: {step}"),
            tool: tool(&self.bounds, String::new()),
            note,
            ..facts(self.desk, self.taking)
        }
    }

    /// The list becomes the last exhibit; says what there is.
    pub(super) fn finish(self, as_json: bool, out: &mut dyn Write) -> Result<Exit> {
        let list = self.list();
        let incoming = self.desk.vault.take_in(&mut list.as_bytes())?;
        let note = "what was done, in its order, and how it ended".to_owned();
        let facts = self.facts(
            "actions",
            ("Actions of a live collection", "actions.jsonl", LINES),
            note,
        );
        let acquired = self
            .desk
            .vault
            .acquire(&self.desk.ledger, &incoming, facts)?;
        let mut all: Vec<Acquired> = Vec::new();
        all.extend(self.done.iter().filter_map(|action| action.exhibit.clone()));
        all.push(acquired);
        tell(&all, as_json, out)?;
        let lacking = self
            .done
            .iter()
            .filter(|a| matches!(a.end, End::Partial | End::Failed));
        let lacking = lacking.count();
        if lacking == 0 {
            return Ok(Exit::Success);
        }
        eprintln!(
            "posse: {lacking} of {} actions did not end well",
            self.done.len()
        );
        Ok(Exit::Degraded)
    }

    fn list(&self) -> String {
        let head = json!({
            "format": FORMAT, "step": "actions", "began": self.began, "ended": clock::now(),
            "order": "RFC 3227, section 2.1",
        });
        let rows = (1..)
            .zip(&self.done)
            .map(|(number, action)| action.json(number));
        let lines = std::iter::once(head).chain(rows);
        lines.map(|line| format!("{line}\n")).collect()
    }
}

fn note(got: &Got) -> String {
    let mut note = match got.end {
        End::Complete => format!("complete, {} rows", got.rows),
        End::Partial | End::Failed | End::LeftOut => {
            format!("NOT COMPLETE, {} rows: {}", got.rows, got.why)
        }
    };
    for fault in &got.faults {
        note.push_str("; ");
        note.push_str(fault);
    }
    note
}
