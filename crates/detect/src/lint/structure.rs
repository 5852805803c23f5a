//! What can be told from the rules alone: names, labels, groups, and filters that nothing meets.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use model::{Severity, parse_duration};

use super::{
    Code, Finding, Report,
    read::{Rules, ScenarioDoc},
};
use crate::{
    event::FieldMap,
    expr::{self, Vars},
    flow::{Flow, WriterKind},
    parse::Parsers,
    rules::RuleFile,
    symbols::Symbols,
    yaml::Located,
};

/// A bucket that lives longer holds memory, and counts what nobody remembers.
const LIFETIME_MAX: Duration = Duration::from_secs(7 * 24 * 3_600);

struct Fault<'t> {
    severity: Severity,
    code: Code,
    message: String,
    fix: &'t str,
}

fn push<T>(
    report: &mut Report,
    rules: &Rules<'_>,
    (file, rule): (usize, &str),
    at: &Located<T>,
    fault: Fault<'_>,
) {
    report.findings.push(Finding {
        severity: fault.severity,
        code: fault.code,
        file: rules.path(file).to_owned(),
        line: at.line,
        column: at.column,
        rule: rule.to_owned(),
        message: fault.message,
        example: None,
        fix: fault.fix.to_owned(),
    });
}

/// Addresses that come from a header by its name. Samples prove it only where they hold one.
pub(super) fn headers(rules: &Rules<'_>, report: &mut Report) {
    let telling = [
        "forwarded",
        "x_real_ip",
        "x-real-ip",
        "xff",
        "cf_connecting",
        "true_client",
    ];
    for doc in &rules.parsers {
        for expression in &doc.address {
            let text = expression.value.to_ascii_lowercase();
            let Some(word) = telling.iter().find(|word| text.contains(**word)) else {
                continue;
            };
            let fault = Fault {
                severity: Severity::Warning,
                code: Code::ClientHeader,
                message: format!("the address is taken from a header (`{word}`)"),
                fix: "clients write such headers too: believe it only behind a proxy that sets \
                      it, and give such sources a type label of their own",
            };
            push(report, rules, (doc.file, &doc.name), expression, fault);
        }
    }
}

pub(super) fn scenarios(rules: &Rules<'_>, files: &[RuleFile], report: &mut Report) {
    let mut symbols = Symbols::default();
    let parsers = Parsers::build(files, &mut symbols, &mut Vec::new());
    let flow = Flow::of(&parsers, &symbols);
    for doc in &rules.scenarios {
        for fault in groups(doc).into_iter().chain(labels(doc)) {
            push(
                report,
                rules,
                (doc.file, &doc.spec.name.value),
                &doc.spec.name,
                fault,
            );
        }
        memory(rules, doc, report);
        if !flow.wild {
            reachable(rules, doc, &flow, &mut symbols, report);
        }
    }
}

fn groups(doc: &ScenarioDoc) -> Option<Fault<'static>> {
    let spec = &doc.spec;
    let kind = spec.kind.as_ref().map_or("", |k| k.value.as_str());
    if !spec.is_true("remediation") || !spec.names_addresses() || kind == "trigger" {
        return None;
    }
    match &spec.groupby {
        None => Some(Fault {
            severity: Severity::Error,
            code: Code::Ungrouped,
            message: "one bucket for everybody, and a ban when it runs over".to_owned(),
            fix: "add `groupby: evt.Meta.source_ip`",
        }),
        Some(by) if !by.value.contains("source_ip") && !by.value.contains("Overflow") => {
            Some(Fault {
                severity: Severity::Warning,
                code: Code::SharedBucket,
                message: format!(
                    "clients share a bucket (`groupby: {}`): each in it is banned, even one that \
                     came once",
                    by.value
                ),
                fix: "group by the source as well, or set `remediation: false` and only tell",
            })
        }
        Some(_) => None,
    }
}

fn labels(doc: &ScenarioDoc) -> Option<Fault<'static>> {
    let spec = &doc.spec;
    let lacks = if spec.description.as_deref().unwrap_or_default().is_empty() {
        "`description`"
    } else if spec.label("remediation").is_none() {
        "the label `remediation`"
    } else {
        return None;
    };
    Some(Fault {
        severity: Severity::Warning,
        code: Code::Unlabelled,
        message: format!("the scenario has no {lacks}"),
        fix: "say what was seen in a line, and whether it asks for a ban",
    })
}

fn memory(rules: &Rules<'_>, doc: &ScenarioDoc, report: &mut Report) {
    let spec = &doc.spec;
    let events = spec.capacity.as_ref().map_or(0, |c| c.value).max(0);
    let events = u32::try_from(events).unwrap_or(u32::MAX).saturating_add(1);
    let lifetimes = [
        spec.leakspeed.as_ref().map(|at| (at, events)),
        spec.duration.as_ref().map(|at| (at, 1)),
    ];
    for (at, times) in lifetimes.into_iter().flatten() {
        let Ok(one) = parse_duration(&at.value) else {
            continue;
        };
        if one.saturating_mul(times) > LIFETIME_MAX {
            let fault = Fault {
                severity: Severity::Warning,
                code: Code::LongMemory,
                message: "a bucket of this scenario lives longer than a week".to_owned(),
                fix: "let it leak faster, or hold less",
            };
            push(report, rules, (doc.file, &spec.name.value), at, fault);
        }
    }
}

/// Whether some parser writes what the filter wants equal.
fn reachable(
    rules: &Rules<'_>,
    doc: &ScenarioDoc,
    flow: &Flow,
    symbols: &mut Symbols,
    report: &mut Report,
) {
    let Some(filter) = &doc.spec.filter else {
        return;
    };
    let Ok(compiled) = expr::compile(&filter.value, Vars::Event, symbols) else {
        return;
    };
    for atom in &compiled.requirements().equals {
        if atom.any_of.iter().any(String::is_empty) {
            continue;
        }
        let sources = flow.sources((atom.map, atom.sym), false);
        let written = |text: &String| atom.any_of.contains(text);
        let possible = sources.iter().any(|field| {
            field.0 == FieldMap::Labels
                || flow
                    .writers(*field)
                    .iter()
                    .any(|writer| match &writer.kind {
                        WriterKind::Copy(_) => false,
                        WriterKind::Texts(texts) => texts.iter().any(written),
                        WriterKind::Grok(_) | WriterKind::Line | WriterKind::Unknown => true,
                    })
        });
        if !possible {
            let name = symbols.name(atom.sym);
            let fault = Fault {
                severity: Severity::Warning,
                code: Code::Unreachable,
                message: format!(
                    "no parser here sets {:?}.{name} to `{}`: the scenario never counts anything",
                    atom.map,
                    atom.any_of.join("` or `")
                ),
                fix: "correct the filter, or add the parser",
            };
            push(
                report,
                rules,
                (doc.file, &doc.spec.name.value),
                filter,
                fault,
            );
        }
    }
}

/// Rules of one name: alerts, whitelists and counts cannot tell them apart.
pub(super) fn names(rules: &Rules<'_>, report: &mut Report) {
    let mut seen: BTreeMap<(&str, &str), String> = BTreeMap::new();
    let parsers = rules.parsers.iter();
    let parsers = parsers.map(|p| (p.file, p.stage.as_str(), p.name.as_str(), p.line));
    let scenarios = rules.scenarios.iter();
    let scenarios = scenarios.map(|s| (s.file, "", s.spec.name.value.as_str(), s.spec.name.line));
    for (file, stage, name, line) in parsers.chain(scenarios) {
        let place = format!("{}:{line}", rules.path(file));
        if let Some(first) = seen.get(&(stage, name)) {
            let fault = Fault {
                severity: Severity::Error,
                code: Code::Duplicate,
                message: format!("`{name}` is also the name of the rule at {first}"),
                fix: "give this one a name of its own",
            };
            push(
                report,
                rules,
                (file, name),
                &Located::new((), line, 1),
                fault,
            );
        } else {
            seen.insert((stage, name), place);
        }
    }
}

/// Parsers that no sample line reached.
pub(super) fn unused(rules: &Rules<'_>, reached: &BTreeSet<String>, report: &mut Report) {
    for doc in rules
        .parsers
        .iter()
        .filter(|doc| !reached.contains(&doc.name))
    {
        let fault = Fault {
            severity: Severity::Warning,
            code: Code::Unused,
            message: "no sample line reaches this parser".to_owned(),
            fix: "add lines for it to a sample log, or remove it",
        };
        let at = Located::new((), doc.line, 1);
        push(report, rules, (doc.file, &doc.name), &at, fault);
    }
}
