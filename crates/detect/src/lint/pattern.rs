//! Patterns tried on texts made from themselves: for rules without samples, and for what samples
//! do not show, such as a pattern that matches anywhere in a text.
//!
//! A text is written along the pattern's tree, with an address where it wants one. Into each part
//! of it that could be anything goes a second address, in the way of [`super::probe`].

use std::collections::BTreeSet;

use model::Severity;
use regex_syntax::hir::{Class, Hir, HirKind};

use super::{
    Code, Example, Finding, Report,
    probe::{self, Escape, Forgery, Owner, Place},
    read::{Rules, Site},
    steer,
};
use crate::{
    grok::{self, Grok},
    symbols::Symbols,
};

/// The address that a made-up text is about.
const AUTHOR: &str = "198.51.100.7";
/// Ways through a pattern's alternatives that are tried.
const VARIANTS: usize = 4;
/// Longest text made from a pattern.
const TEXT_BYTES_MAX: usize = 8_192;
/// Nesting of a pattern that is followed.
const DEPTH_MAX: u32 = 250;
/// What stands where the pattern lets anything stand.
const FREE_TEXT: &str = "a a";

/// Examines the patterns that no sample showed at work (`seen`): those were tried in earnest, with
/// the filters around them.
pub(super) fn patterns(rules: &Rules<'_>, seen: &BTreeSet<usize>, report: &mut Report) {
    for (number, site) in rules.sites.iter().enumerate() {
        if site.address.is_empty() || seen.contains(&number) {
            continue;
        }
        let mut symbols = Symbols::default();
        let Ok(grok) = Grok::compile(&site.pattern.value, &rules.library, &mut symbols) else {
            continue;
        };
        let captured = |name: &str| site.address.contains(name);
        if !grok.fields().any(|sym| captured(symbols.name(sym))) {
            continue;
        }
        let Some((tree, names)) = grok::outline(&site.pattern.value, &rules.library) else {
            continue;
        };
        for variant in 0..VARIANTS {
            let mut text = Text::new(site, &names, variant);
            if text.follow(&tree, 0).is_none() {
                continue;
            }
            let taken = |text: &str| steer::captures(&grok, &symbols, site, text);
            if taken(&text.line).as_deref() == Some(AUTHOR) {
                examine(rules, site, &text, &taken, report);
                break;
            }
        }
    }
}

/// A text that the pattern matches, as far as it is written.
struct Text<'p> {
    line: String,
    places: Vec<Place>,
    site: &'p Site,
    names: &'p [(String, String)],
    variant: usize,
    /// Inside a capture, there is no need to mark its parts.
    marked: bool,
}

impl<'p> Text<'p> {
    fn new(site: &'p Site, names: &'p [(String, String)], variant: usize) -> Self {
        Self {
            line: String::new(),
            places: Vec::new(),
            site,
            names,
            variant,
            marked: false,
        }
    }

    /// Writes what `tree` matches; `None` when that is not to be had.
    fn follow(&mut self, tree: &Hir, depth: u32) -> Option<()> {
        if depth > DEPTH_MAX || self.line.len() > TEXT_BYTES_MAX {
            return None;
        }
        match tree.kind() {
            HirKind::Empty | HirKind::Look(_) => {}
            HirKind::Literal(literal) => {
                self.line.push_str(std::str::from_utf8(&literal.0).ok()?);
            }
            HirKind::Class(class) => self.line.push(one_of(class)?),
            HirKind::Repetition(repetition) => {
                let free = repetition.max.is_none() && is_free(&repetition.sub);
                let start = self.line.len();
                if free {
                    self.line.push_str(FREE_TEXT);
                }
                let optional = u32::from(!free && self.variant.is_multiple_of(2));
                let times = if free {
                    0
                } else {
                    repetition.min.max(optional)
                };
                for _ in 0..times {
                    self.follow(&repetition.sub, depth + 1)?;
                }
                if free && !self.marked {
                    self.mark(start, String::new(), Owner::Unknown);
                }
            }
            HirKind::Capture(capture) => self.capture(capture, depth)?,
            HirKind::Concat(parts) => {
                for part in parts {
                    self.follow(part, depth + 1)?;
                }
            }
            HirKind::Alternation(parts) => {
                let index = (self.variant / 2) % parts.len().max(1);
                self.follow(parts.get(index)?, depth + 1)?;
            }
        }
        Some(())
    }

    fn capture(&mut self, capture: &regex_syntax::hir::Capture, depth: u32) -> Option<()> {
        let group = capture.name.as_deref().unwrap_or_default();
        let name = self
            .names
            .iter()
            .find(|(g, _)| g == group)
            .map(|(_, name)| name.clone());
        let Some(name) = name else {
            return self.follow(&capture.sub, depth + 1);
        };
        if self.site.address.contains(&name) {
            self.line.push_str(AUTHOR);
            return Some(());
        }
        let (start, outer) = (self.line.len(), self.marked);
        let owner = probe::owner(&name, "x").filter(|owner| *owner != Owner::Unknown);
        self.marked |= owner.is_some();
        self.follow(&capture.sub, depth + 1)?;
        self.marked = outer;
        if let Some(owner) = owner.filter(|_| !outer && self.line.len() > start) {
            self.mark(start, name, owner);
        }
        Some(())
    }

    fn mark(&mut self, start: usize, name: String, owner: Owner) {
        self.places.push(Place {
            range: start..self.line.len(),
            name,
            owner,
            escape: Escape::None,
        });
    }
}

/// Whether it matches words, dots and blanks alike.
fn is_free(tree: &Hir) -> bool {
    match tree.kind() {
        HirKind::Class(class) => "a1 .:".chars().all(|c| holds(class, c)),
        _ => false,
    }
}

fn holds(class: &Class, c: char) -> bool {
    match class {
        Class::Unicode(class) => class.iter().any(|r| (r.start()..=r.end()).contains(&c)),
        Class::Bytes(class) => {
            u8::try_from(c).is_ok_and(|b| class.iter().any(|r| (r.start()..=r.end()).contains(&b)))
        }
    }
}

fn one_of(class: &Class) -> Option<char> {
    let usual = ['a', '1', 'A', '/', '-', '.', '_', ' ', '"', ':'];
    if let Some(c) = usual.into_iter().find(|c| holds(class, *c)) {
        return Some(c);
    }
    match class {
        Class::Unicode(class) => class
            .iter()
            .next()
            .map(regex_syntax::hir::ClassUnicodeRange::start),
        Class::Bytes(class) => class.iter().next().map(|r| char::from(r.start())),
    }
}

fn examine(
    rules: &Rules<'_>,
    site: &Site,
    text: &Text<'_>,
    taken: &dyn Fn(&str) -> Option<String>,
    report: &mut Report,
) {
    let victim = probe::victim(&text.line);
    let at = text
        .line
        .find(AUTHOR)
        .map(|start| start..start + AUTHOR.len());
    let steers = |line: &str| taken(line).as_deref() == Some(victim);
    let imitation = text.line.replace(AUTHOR, victim);
    for place in &text.places {
        let forgeries = probe::forge(&text.line, place, at.as_ref(), victim, &[]);
        report.probes += forgeries.len() as u64;
        if let Some(forgery) = forgeries.iter().find(|f| !f.bare && steers(&f.line)) {
            report.findings.push(steering(rules, site, place, forgery));
        }
    }
    report.probes += 4;
    let open = |line: &str| taken(line).as_deref() == Some(AUTHOR);
    let before = format!("x {imitation} {}", text.line);
    let behind = format!("{} {imitation}", text.line);
    let line = if open(&format!("x {}", text.line)) && steers(&before) {
        Some(before)
    } else if open(&format!("{} x", text.line)) && steers(&behind) {
        Some(behind)
    } else {
        None
    };
    if let Some(line) = line {
        report.findings.push(Finding {
            severity: Severity::Warning,
            code: Code::Unanchored,
            file: rules.path(site.file).to_owned(),
            line: site.pattern.line,
            column: site.pattern.column,
            rule: site.rule.clone(),
            message: "the pattern takes its address from anywhere in a text, also from a part \
                      that a client wrote"
                .to_owned(),
            example: Some(example(&line, victim)),
            fix: "begin the pattern with `^` and end it with `$`".to_owned(),
        });
    }
}

fn steering(rules: &Rules<'_>, site: &Site, place: &Place, forgery: &Forgery) -> Finding {
    let what = if place.name.is_empty() {
        "a part that matches any text".to_owned()
    } else {
        format!("the part `{}`", place.name)
    };
    let certain = place.owner == Owner::Client && !forgery.breaks_out && !site.guarded;
    Finding {
        severity: if certain {
            Severity::Error
        } else {
            Severity::Warning
        },
        code: Code::Steering,
        file: rules.path(site.file).to_owned(),
        line: site.pattern.line,
        column: site.pattern.column,
        rule: site.rule.clone(),
        message: format!("{what} of this pattern can move the address"),
        example: Some(example(&forgery.line, probe::victim(""))),
        fix: "anchor the pattern with `^` and `$`, and let the part before the address match no \
              text that introduces another one"
            .to_owned(),
    }
}

fn example(line: &str, victim: &str) -> Example {
    Example {
        line: line.to_owned(),
        taken_for: victim.to_owned(),
        written_by: AUTHOR.to_owned(),
    }
}
