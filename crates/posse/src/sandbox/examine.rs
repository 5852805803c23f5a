//! What `posse doctor` says of the walls: those of the guard that runs, and those that this
//! machine could hold.

use std::io::Write;

use anyhow::Result;
use confine::{Access, Plan, Ports};
use serde_json::{Value, json};

use super::{Needs, check_permissions};
use crate::{
    cli::DoctorArgs,
    config::Config,
    control::{self, Request},
    guard, state,
};

pub(crate) fn examine(config: Option<&Config>, arguments: &DoctorArgs) -> Value {
    let Some(config) = config else {
        return json!({ "note": "the configuration cannot be read" });
    };
    let named = arguments.state.state.as_deref().or(config.state.as_deref());
    let Ok(dir) = state::folder(named) else {
        return Value::Null;
    };
    let running = control::ask(&dir, &Request::Status).ok().flatten();
    let running = running.and_then(|reply| {
        let status = reply.status?;
        Some(status.get("sandbox")?.as_str()?.to_owned())
    });
    let sources = guard::sources(config);
    let needs = Needs {
        config,
        config_path: arguments.config.as_deref(),
        state: &dir,
        sources: &sources,
        observe: false,
    };
    let plan = needs.plan();
    let kernel = confine::probe(config.sandbox.mode);
    let wrong = check_permissions(&needs).err().map(|e| e.to_string());
    let mut written = paths(&plan, Access::Use);
    written.extend(paths(&plan, Access::Keep));
    let capabilities: Vec<_> = plan.capabilities.iter().map(|c| c.name()).collect();
    json!({
        "mode": config.sandbox.mode.name(),
        "running": running,
        "landlock_abi": kernel.landlock,
        "seccomp": kernel.seccomp,
        "gaps": kernel.gaps,
        "permissions": wrong,
        "read": paths(&plan, Access::Read),
        "execute": paths(&plan, Access::Execute),
        "write": written,
        "listen": ports(&plan.listen),
        "connect": ports(&plan.connect),
        "capabilities": capabilities,
    })
}

fn paths(plan: &Plan, access: Access) -> Vec<String> {
    let of = plan.paths().filter(|(_, granted)| *granted == access);
    of.map(|(path, _)| path.display().to_string()).collect()
}

fn ports(ports: &Ports) -> Vec<String> {
    match ports {
        Ports::Any => vec!["any".to_owned()],
        Ports::Only(ports) => ports.iter().map(u16::to_string).collect(),
    }
}

pub(crate) fn print(report: &Value, out: &mut dyn Write) -> Result<()> {
    writeln!(out, "Sandbox")?;
    let text = |key: &str| report.get(key).and_then(Value::as_str);
    if let Some(note) = text("note") {
        writeln!(out, "  {note}")?;
        return Ok(());
    }
    let running = text("running").unwrap_or("no guard is running");
    writeln!(out, "  running guard         {running}")?;
    let abi = report.get("landlock_abi").and_then(Value::as_u64);
    let landlock = abi.map_or_else(|| "no".to_owned(), |abi| format!("ABI {abi}"));
    let seccomp = if report.get("seccomp") == Some(&json!(true)) {
        "yes"
    } else {
        "no"
    };
    writeln!(
        out,
        "  this kernel           landlock {landlock}, filters system calls: {seccomp}"
    )?;
    for gap in list(report, "gaps") {
        writeln!(out, "  CANNOT HOLD           {gap}")?;
    }
    if let Some(wrong) = text("permissions") {
        writeln!(out, "  WRONG PERMISSIONS     {wrong}")?;
    }
    for (key, what) in [
        ("capabilities", "needs capabilities"),
        ("read", "reads"),
        ("execute", "starts"),
        ("write", "writes"),
        ("listen", "listens on TCP"),
        ("connect", "connects to TCP"),
    ] {
        let all = list(report, key);
        let shown = if all.is_empty() {
            "nothing".to_owned()
        } else {
            all.join(", ")
        };
        writeln!(out, "  {what:<21} {shown}")?;
    }
    Ok(())
}

fn list<'a>(report: &'a Value, key: &str) -> Vec<&'a str> {
    let values = report.get(key).and_then(Value::as_array);
    let texts = values.into_iter().flatten().filter_map(Value::as_str);
    texts.collect()
}
