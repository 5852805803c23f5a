//! `posse doctor`: what would be watched here, what not, and why; what enforcement can do; what
//! the sandbox holds.

use std::{io::Write, path::Path};

use anyhow::Result;
use enforce::{Firewall, FirewallOptions};
use sense::discover::{self, Verdict};
use serde_json::{Value, json};

use crate::{
    cli::DoctorArgs, config::Config, content, exit::Exit, facts, operator, sandbox, state,
};

pub(crate) fn run(arguments: &DoctorArgs, out: &mut dyn Write) -> Result<Exit> {
    let config = Config::load(arguments.config.as_deref());
    let report = json!({
        "configuration": match &config {
            Ok(_) => json!({ "ok": true }),
            Err(d) => json!({ "ok": false, "why": d.to_string() }),
        },
        "sources": sources(config.as_ref().ok()),
        "rules": rules(config.as_ref().ok()),
        "enforcement": enforcement(config.as_ref().ok()),
        "record": record(arguments),
        "sandbox": sandbox::examine(config.as_ref().ok(), arguments),
        "protected": facts::gather(),
    });
    if arguments.json {
        writeln!(out, "{report}")?;
    } else {
        print(&report, out)?;
    }
    let sound = report.pointer("/enforcement/ok") == Some(&json!(true))
        && report.pointer("/configuration/ok") == Some(&json!(true));
    Ok(if sound { Exit::Success } else { Exit::Degraded })
}

fn sources(config: Option<&Config>) -> Vec<Value> {
    let named = config.map(Config::sources).unwrap_or_default();
    if !named.is_empty() {
        return named
            .iter()
            .map(|s| json!({ "what": "configured", "where": s.input.to_string(), "watch": true }))
            .collect();
    }
    discover::usual_sources(Path::new("/"))
        .into_iter()
        .map(|c| {
            let (watch, why, fix) = match c.verdict {
                Verdict::Watch => (true, String::new(), String::new()),
                Verdict::Missing { why } => (false, why, String::new()),
                Verdict::Unreadable { why, fix } => (false, why, fix),
            };
            json!({
                "what": c.what, "where": c.spec.input.to_string(), "type": c.spec.labels.get("type"),
                "watch": watch, "why": why, "fix": fix,
            })
        })
        .collect()
}

fn rules(config: Option<&Config>) -> Value {
    let loaded = content::load(&config.cloned().unwrap_or_default().rules);
    match loaded {
        Ok(content) => json!({
            "loaded": content.rules.entries().len(),
            "mistakes": content.diagnostics.iter().map(ToString::to_string).collect::<Vec<_>>(),
        }),
        Err(e) => json!({ "loaded": 0, "mistakes": [format!("{e:#}")] }),
    }
}

/// Opens the table as the guard would; an existing one is left as it is.
fn enforcement(config: Option<&Config>) -> Value {
    let table = config.map_or_else(|| "posse".to_owned(), |c| c.enforce.table.clone());
    match Firewall::probe(FirewallOptions {
        table,
        ..FirewallOptions::default()
    }) {
        Ok(()) => json!({ "ok": true }),
        Err(e) => json!({ "ok": false, "why": e.to_string() }),
    }
}

fn record(arguments: &DoctorArgs) -> Value {
    let named = arguments.state.state.as_deref();
    let dir = state::folder(named)
        .map(|d| d.display().to_string())
        .unwrap_or_default();
    match operator::open_to_read(named).and_then(|s| Ok(s.size()?)) {
        Ok(size) => json!({ "state": dir, "entries": size }),
        Err(e) => json!({ "state": dir, "entries": null, "note": format!("{e:#}") }),
    }
}

fn print(report: &Value, out: &mut dyn Write) -> Result<()> {
    writeln!(out, "Configuration")?;
    match text(report, "/configuration/why") {
        "" => writeln!(out, "  ok")?,
        why => writeln!(out, "  WRONG {why}")?,
    }
    writeln!(out, "Log sources")?;
    for source in list(report, "/sources") {
        let word = |key: &str| source.get(key).and_then(Value::as_str).unwrap_or_default();
        let mark = if source.get("watch") == Some(&json!(true)) {
            "watch"
        } else {
            "-----"
        };
        writeln!(
            out,
            "  {mark}  {:<28} {:<36} {}",
            word("what"),
            word("where"),
            word("why")
        )?;
        if !word("fix").is_empty() {
            writeln!(out, "         fix: {}", word("fix"))?;
        }
    }
    print_rules(report, out)?;
    print_enforcement(report, out)?;
    sandbox::print(report.get("sandbox").unwrap_or(&Value::Null), out)?;
    print_protected(report, out)
}

fn print_rules(report: &Value, out: &mut dyn Write) -> Result<()> {
    writeln!(out, "Rules")?;
    writeln!(
        out,
        "  {} loaded",
        report.pointer("/rules/loaded").unwrap_or(&Value::Null)
    )?;
    for mistake in list(report, "/rules/mistakes") {
        writeln!(out, "  {}", mistake.as_str().unwrap_or_default())?;
    }
    Ok(())
}

fn print_enforcement(report: &Value, out: &mut dyn Write) -> Result<()> {
    writeln!(out, "Enforcement")?;
    match text(report, "/enforcement/why") {
        "" => writeln!(out, "  the kernel takes bans")?,
        why => writeln!(out, "  OBSERVE ONLY: {why}")?,
    }
    writeln!(out, "Record")?;
    let entries = report.pointer("/record/entries").and_then(Value::as_u64);
    let size = entries.map_or_else(
        || text(report, "/record/note").to_owned(),
        |n| format!("{}: {n} entries", text(report, "/record/state")),
    );
    writeln!(out, "  {size}")?;
    Ok(())
}

fn print_protected(report: &Value, out: &mut dyn Write) -> Result<()> {
    writeln!(
        out,
        "Never banned on this machine (besides loopback, private ranges and the allowlist)"
    )?;
    for (key, what) in [
        ("own_addresses", "own addresses"),
        ("gateways", "default gateways"),
        ("resolvers", "resolvers"),
        ("admin_peers", "open SSH sessions from"),
    ] {
        let addresses = list(report, &format!("/protected/{key}"));
        let joined: Vec<&str> = addresses.iter().filter_map(Value::as_str).collect();
        let shown = if joined.is_empty() {
            "none".to_owned()
        } else {
            joined.join(", ")
        };
        writeln!(out, "  {what:<22} {shown}")?;
    }
    Ok(())
}

fn text<'a>(report: &'a Value, pointer: &str) -> &'a str {
    report
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

fn list<'a>(report: &'a Value, pointer: &str) -> &'a [Value] {
    report
        .pointer(pointer)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}
