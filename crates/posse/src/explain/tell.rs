//! An explanation as people read it, or as JSON.
//!
//! Shows what says something: the parsers that took the line, else those that came closest; the
//! scenarios that counted it, and those that asked and were not satisfied. `--all` shows the rest.

use std::io::Write;

use anyhow::Result;
use detect::explain::{
    BucketState, FalsePart, GrokAccount, JailAccount, JailEnd, NodeAccount, OverflowAccount,
    OverflowEnd, ScenarioAccount, ScenarioEnd, SigmaAccount, StageAccount,
};
use model::{format_duration, harmless};

use super::Explained;
use crate::{
    cli::ExplainArgs,
    ink::{Ink, Paint},
};

/// How many that did not take the line are shown of one kind.
const FEW: usize = 6;
/// Characters shown of one part of a condition.
const PART_CHARS_MAX: usize = 120;
/// Width of the first column.
const LABEL: usize = 12;

pub(super) struct Teller {
    style: Style,
    detail: Detail,
    paint: Paint,
    began: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Style {
    Human,
    Json,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Detail {
    Telling,
    All,
}

impl Teller {
    pub(super) fn new(arguments: &ExplainArgs, paint: Paint) -> Self {
        Self {
            style: if arguments.json {
                Style::Json
            } else {
                Style::Human
            },
            detail: if arguments.all {
                Detail::All
            } else {
                Detail::Telling
            },
            paint,
            began: false,
        }
    }

    pub(super) fn tell(&mut self, what: &Explained, out: &mut dyn Write) -> Result<()> {
        if self.style == Style::Json {
            writeln!(out, "{}", serde_json::to_string(what)?)?;
            return Ok(());
        }
        if std::mem::replace(&mut self.began, true) {
            writeln!(out)?;
        }
        let title = format!("line {} ({})", what.number, what.r#type);
        writeln!(out, "{}", self.paint.text(Ink::Bold, &title))?;
        writeln!(out, "  {}", harmless(&what.line))?;
        self.prefilter(what, out)?;
        self.jails(&what.account.jails, out)?;
        self.stages(&what.account.stages, out)?;
        if let Some(time) = what.account.time {
            self.row("time", &time.to_string(), out)?;
        }
        if let Some(sigma) = &what.account.sigma {
            self.sigma(sigma, out)?;
        }
        self.scenarios(&what.account.scenarios, out)?;
        for overflow in &what.account.overflows {
            self.overflow(overflow, out)?;
        }
        for judged in &what.alerts {
            self.row(
                "alert",
                &self.paint.text(Ink::Yellow, &judged.alert.message),
                out,
            )?;
            for decision in &judged.decisions {
                self.row("decision", decision, out)?;
            }
        }
        let banned = what.alerts.iter().any(|judged| judged.banned);
        let ink = if banned { Ink::Red } else { Ink::Green };
        writeln!(out, "=> {}", self.paint.text(ink, &what.conclusion))?;
        Ok(())
    }

    fn row(&self, label: &str, text: &str, out: &mut dyn Write) -> Result<()> {
        let label = self.paint.text(Ink::Cyan, &format!("{label:<LABEL$}"));
        writeln!(out, "  {label} {text}")?;
        Ok(())
    }

    fn more(&self, text: &str, out: &mut dyn Write) -> Result<()> {
        let text = self.paint.text(Ink::Dim, text);
        writeln!(out, "  {:LABEL$} {text}", "")?;
        Ok(())
    }

    fn prefilter(&self, what: &Explained, out: &mut dyn Write) -> Result<()> {
        let text = if what.account.prefilter_skips {
            "skips it: no rule can care, so an ordinary run goes no further (shown all the same)"
        } else {
            "lets it pass"
        };
        self.row("prefilter", text, out)
    }

    fn jails(&self, jails: &[JailAccount], out: &mut dyn Write) -> Result<()> {
        let mut label = "jails";
        for JailAccount { jail, end } in jails {
            let (ink, text) = jail_end(end);
            self.row(
                label,
                &format!("{jail} {}", self.paint.text(ink, &text)),
                out,
            )?;
            label = "";
        }
        Ok(())
    }

    fn sigma(&self, sigma: &SigmaAccount, out: &mut dyn Write) -> Result<()> {
        let mut label = "sigma";
        if sigma.matched.is_empty() {
            let text = "no rule matches; the line is of a log source that rules know";
            return self.row(label, &self.paint.text(Ink::Dim, text), out);
        }
        for rule in &sigma.matched {
            let level = rule.level.as_deref().unwrap_or("no level");
            let text = format!("{} ({level}; {})", harmless(&rule.title), rule.file);
            self.row(label, &self.paint.text(Ink::Yellow, &text), out)?;
            label = "";
        }
        Ok(())
    }

    fn stages(&self, stages: &[StageAccount], out: &mut dyn Write) -> Result<()> {
        for stage in stages {
            let shown: Vec<&NodeAccount> = stage
                .nodes
                .iter()
                .filter(|node| self.detail == Detail::All || node.taken || tells(node))
                .collect();
            let hidden = stage.nodes.len() - shown.len();
            let mut label = stage.stage.as_str();
            if !stage.taken {
                self.row(
                    label,
                    &self.paint.text(Ink::Yellow, "no parser took it"),
                    out,
                )?;
                label = "";
            }
            for node in shown {
                self.node(label, node, 0, out)?;
                label = "";
            }
            if !stage.taken && self.detail == Detail::Telling {
                self.wishes(&stage.nodes, out)?;
            } else if hidden > 0 {
                let text = format!("({hidden} more were not concerned; --all shows them)");
                if !label.is_empty() {
                    self.row(label, "", out)?;
                }
                self.more(&text, out)?;
            }
        }
        Ok(())
    }

    /// What the parsers of a stage that took nothing asked for.
    fn wishes(&self, nodes: &[NodeAccount], out: &mut dyn Write) -> Result<()> {
        let wishes: Vec<&NodeAccount> = nodes
            .iter()
            .filter(|node| !tells(node) && !node.filter_false.is_empty())
            .collect();
        for node in wishes.iter().take(FEW) {
            let why = because(&node.filter_false);
            self.more(&format!("{} wants {why}", node.name), out)?;
        }
        if wishes.len() > FEW {
            let rest = wishes.len() - FEW;
            self.more(&format!("({rest} more; --all shows them)"), out)?;
        }
        Ok(())
    }

    fn node(
        &self,
        label: &str,
        node: &NodeAccount,
        deep: usize,
        out: &mut dyn Write,
    ) -> Result<()> {
        let indent = "  ".repeat(deep);
        let verdict = match (node.taken, node.filter_false.is_empty()) {
            (true, _) => self.paint.text(Ink::Green, "took it"),
            (false, true) => self.paint.text(Ink::Yellow, "did not match"),
            (false, false) => format!("does not want it: {}", because(&node.filter_false)),
        };
        self.row(label, &format!("{indent}{} {verdict}", node.name), out)?;
        if let Some(grok) = &node.grok {
            self.grok(grok, &indent, out)?;
        }
        if let Some(list) = &node.whitelist {
            let text = if list.hit {
                self.paint
                    .text(Ink::Green, &format!("on its whitelist: {}", list.reason))
            } else {
                "not on its whitelist".to_owned()
            };
            self.row("", &format!("{indent}  {text}"), out)?;
        }
        for name in &node.stashed_in {
            self.row(
                "",
                &format!("{indent}  remembered in the stash {name}"),
                out,
            )?;
        }
        for (field, value) in &node.set {
            self.row("", &format!("{indent}  {field} = {}", harmless(value)), out)?;
        }
        self.children(node, deep, out)
    }

    fn children(&self, node: &NodeAccount, deep: usize, out: &mut dyn Write) -> Result<()> {
        let taken = node.nodes.iter().any(|child| child.taken);
        let mut shown: Vec<&NodeAccount> = node.nodes.iter().collect();
        if self.detail == Detail::Telling {
            if taken {
                shown.retain(|child| child.taken);
            } else {
                // Those that came closest say most.
                shown.sort_by_key(|child| std::cmp::Reverse(closeness(child)));
                shown.truncate(FEW / 2);
            }
        }
        for child in &shown {
            self.node("", child, deep + 1, out)?;
        }
        let hidden = node.nodes.len() - shown.len();
        if hidden > 0 && !taken {
            let text = format!("{}({hidden} more did not match)", "  ".repeat(deep + 1));
            self.more(&text, out)?;
        }
        Ok(())
    }

    fn grok(&self, grok: &GrokAccount, indent: &str, out: &mut dyn Write) -> Result<()> {
        if grok.matched && self.detail == Detail::Telling {
            return Ok(());
        }
        let say =
            |text: String, out: &mut dyn Write| self.row("", &format!("{indent}  {text}"), out);
        let pattern = &grok.pattern;
        match (&grok.input, &grok.reach) {
            _ if grok.matched => say(format!("matched {pattern}"), out),
            (None, _) => say("there was nothing for its grok to read".to_owned(), out),
            (Some(_), None) => say(format!("its grok does not match: {pattern}"), out),
            (Some(_), Some(reach)) => {
                let rest = harmless(&reach.rest);
                let wanted = &reach.wanted;
                if reach.matched.is_empty() {
                    return say(format!("its grok wants {wanted} and finds it nowhere"), out);
                }
                let matched = harmless(&reach.matched);
                say(format!("matched as far as `{matched}`"), out)?;
                say(format!("then wants {wanted}, but there is `{rest}`"), out)
            }
        }
    }

    fn scenarios(&self, all: &[ScenarioAccount], out: &mut dyn Write) -> Result<()> {
        let unmet = |s: &&ScenarioAccount| matches!(s.end, ScenarioEnd::FilterFalse { .. });
        let mut label = "scenarios";
        for scenario in all.iter().filter(|s| !unmet(s)) {
            let text = format!("{} {}", scenario.scenario, self.end(&scenario.end));
            self.row(label, &text, out)?;
            label = "";
        }
        let limit = if self.detail == Detail::All {
            usize::MAX
        } else {
            FEW
        };
        let asked = |s: &&ScenarioAccount| self.detail == Detail::All || s.asked;
        let unmet: Vec<&ScenarioAccount> = all.iter().filter(unmet).collect();
        for scenario in unmet.iter().filter(|s| asked(s)).take(limit) {
            let text = format!("{} {}", scenario.scenario, self.end(&scenario.end));
            self.row(label, &self.paint.text(Ink::Dim, &text), out)?;
            label = "";
        }
        let shown = unmet.iter().filter(|s| asked(s)).count().min(limit);
        if unmet.len() > shown {
            if !label.is_empty() {
                self.row(label, "none counted it", out)?;
            }
            let hidden = unmet.len() - shown;
            self.more(
                &format!("({hidden} more are about something else; --all shows them)"),
                out,
            )?;
        }
        Ok(())
    }

    fn end(&self, end: &ScenarioEnd) -> String {
        match end {
            ScenarioEnd::FilterFalse { because: parts } => {
                format!("is not concerned: {}", because(parts))
            }
            ScenarioEnd::NoGroup { groupby } => {
                format!("could not tell whose bucket: groupby {groupby} gives no text")
            }
            ScenarioEnd::NoTime { group } => format!(
                "did not count it for {}: the line has no time of its own",
                group_name(group)
            ),
            ScenarioEnd::Repeated {
                group,
                distinct,
                value,
            } => format!(
                "did not count it for {}: it counts each {distinct} once and had '{}'",
                group_name(group),
                harmless(value)
            ),
            ScenarioEnd::Cancelled { group } => {
                format!(
                    "gave up its bucket of {}: cancel_on is true",
                    group_name(group)
                )
            }
            ScenarioEnd::Counted { group, bucket } => {
                let text = format!("counted it for {}: {}", group_name(group), state(bucket));
                self.paint.text(Ink::Yellow, &text)
            }
            ScenarioEnd::Overflowed { group, events } => {
                let text = format!("OVERFLOWED for {} after {events} events", group_name(group));
                self.paint.text(Ink::Red, &text)
            }
        }
    }

    fn overflow(&self, overflow: &OverflowAccount, out: &mut dyn Write) -> Result<()> {
        let name = &overflow.scenario;
        let text = match &overflow.end {
            OverflowEnd::Alert => format!("{name}: an alert"),
            OverflowEnd::FilteredOut => format!("{name}: dropped, overflow_filter is false"),
            OverflowEnd::NoSource => {
                format!("{name}: dropped, its events name no source of the scenario's scope")
            }
            OverflowEnd::Silenced => {
                format!("{name}: silenced, it overflowed a short while ago (blackhole)")
            }
            OverflowEnd::Whitelisted { reason } => format!("{name}: whitelisted ({reason})"),
        };
        self.row("overflow", &text, out)?;
        self.stages(&overflow.postoverflow, out)
    }
}

fn jail_end(end: &JailEnd) -> (Ink, String) {
    match end {
        JailEnd::NoMatch => (
            Ink::Dim,
            "no failregex matches it, or ignoreregex does".to_owned(),
        ),
        JailEnd::Helped { regex } => {
            let text =
                format!("failregex {regex} matches: part of a connection, and nobody failed yet");
            (Ink::Green, text)
        }
        JailEnd::Nameless { regex, who } => {
            let who = harmless(who);
            let text = format!(
                "failregex {regex} matches, but {who} is no address and names are not looked up"
            );
            (Ink::Yellow, text)
        }
        JailEnd::Ignored { regex, address } => {
            let text = format!("failregex {regex} matches, but ignoreip spares {address}");
            (Ink::Green, text)
        }
        JailEnd::Failed {
            regex,
            address,
            time,
            lines,
            user,
        } => {
            let user = match user.as_str() {
                "" => String::new(),
                user => format!(" as {}", harmless(user)),
            };
            let lines = match lines {
                0 | 1 => String::new(),
                n => format!(", from {n} lines of its connection"),
            };
            let text =
                format!("failregex {regex} matches: {address} failed{user} at {time}{lines}");
            (Ink::Red, text)
        }
    }
}

/// A parser that did not take the line and still has something to say: its filter wanted it.
fn tells(node: &NodeAccount) -> bool {
    let tried = node.filter_false.is_empty();
    let unlisted = node.whitelist.as_ref().is_some_and(|list| !list.hit);
    tried && !unlisted && (node.grok.is_some() || node.nodes.iter().any(tells))
}

fn closeness(node: &NodeAccount) -> usize {
    let own = node.grok.as_ref().and_then(|grok| grok.reach.as_ref());
    let own = own.map_or(0, |reach| reach.matched.len());
    node.nodes.iter().map(closeness).fold(own, usize::max)
}

fn group_name(group: &str) -> String {
    if group.is_empty() {
        "everybody".to_owned()
    } else {
        harmless(group).into_owned()
    }
}

fn because(parts: &[FalsePart]) -> String {
    let told = parts.iter().map(|part| {
        let mut text = shortened(&part.text);
        if let Some(error) = &part.error {
            text.push_str(&format!(" ({error})"));
        }
        if !part.values.is_empty() {
            let values = part.values.iter();
            let values: Vec<String> = values
                .map(|(name, value)| format!("{name} is {}", harmless(value)))
                .collect();
            text.push_str(&format!(" – {}", values.join(", ")));
        }
        text
    });
    told.collect::<Vec<_>>().join("; or ")
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(PART_CHARS_MAX) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or(text)),
        None => text.to_owned(),
    }
}

fn state(bucket: &BucketState) -> String {
    let mut text = match (bucket.level, bucket.capacity, bucket.leak_seconds) {
        (Some(level), Some(capacity), Some(leak)) => {
            let leak = format_duration(std::time::Duration::from_secs_f64(leak));
            let short = (capacity as f64 + 1.0 - level).ceil().max(1.0);
            format!(
                "{level:.0} of {capacity} in its bucket, one leaks every {leak}; \
                 {short:.0} more at once overflow"
            )
        }
        _ => format!("{} in its bucket", bucket.events),
    };
    if let Some(condition) = &bucket.condition {
        let condition: Vec<&str> = condition.split_whitespace().collect();
        text.push_str(&format!(
            "; its condition is not met: {}",
            condition.join(" ")
        ));
    }
    text + &format!("; forgotten at {}", bucket.ends)
}
