//! `posse alerts`: the listing, and what can be done about alerts: acknowledge them, try the
//! channels that carry them, read the digest.

use std::io::Write;

use anyhow::{Result, anyhow, bail};
use notify::Tried;
use serde_json::json;

use crate::{
    cli::{AckArgs, AlertTestArgs, AlertsArgs, AlertsCommand, ListArgs},
    config::Config,
    control::{self, Reply, Request},
    exit::Exit,
    operator, state,
};

const TRIES: u32 = 20;
const PAUSE: std::time::Duration = std::time::Duration::from_millis(50);

pub(crate) fn run(arguments: &AlertsArgs, out: &mut dyn Write) -> Result<Exit> {
    match &arguments.action {
        None => operator::alerts(arguments, out),
        Some(AlertsCommand::Ack(arguments)) => acknowledge(arguments, out),
        Some(AlertsCommand::Test(arguments)) => test(arguments, out),
        Some(AlertsCommand::Digest(arguments)) => digest(arguments, out),
    }
}

fn acknowledge(arguments: &AckArgs, out: &mut dyn Write) -> Result<Exit> {
    let request = Request::Acknowledge {
        id: arguments.id.clone(),
        by: state::operator(),
    };
    let reply = ask(&arguments.state, &request)?;
    if arguments.json {
        writeln!(out, "{}", serde_json::to_string(&reply)?)?;
    } else {
        for id in &reply.alerts {
            writeln!(out, "acknowledged {id}")?;
        }
        if let Some(index) = reply.index {
            writeln!(out, "ledger entry {index}")?;
        }
    }
    match (reply.alerts.is_empty(), &arguments.id) {
        (true, Some(id)) => bail!(
            "no alert that waits for somebody begins with {id:?}; \
             `posse alerts` marks those that do"
        ),
        (true, None) if !arguments.json => writeln!(out, "nothing waits to be acknowledged")?,
        _ => {}
    }
    Ok(Exit::Success)
}

fn digest(arguments: &ListArgs, out: &mut dyn Write) -> Result<Exit> {
    let reply = ask(&arguments.state, &Request::Digest)?;
    let text = reply.text.unwrap_or_default();
    if arguments.json {
        writeln!(out, "{}", json!({ "digest": text }))?;
    } else {
        out.write_all(text.as_bytes())?;
    }
    Ok(Exit::Success)
}

/// Asks the guard, which may be busy with its list for a moment.
fn ask(state: &crate::cli::StateArgs, request: &Request) -> Result<Reply> {
    let dir = state::folder(state.state.as_deref())?;
    let mut tries = 0;
    loop {
        let Some(reply) = control::ask(&dir, request)? else {
            bail!(
                "no guard runs on {}; alerts are sent, acknowledged and counted by `posse run`",
                dir.display()
            );
        };
        match &reply.error {
            None => return Ok(reply),
            Some(error) if tries == TRIES => bail!("{error}"),
            Some(_) => tries += 1,
        }
        std::thread::sleep(PAUSE);
    }
}

fn test(arguments: &AlertTestArgs, out: &mut dyn Write) -> Result<Exit> {
    let config = Config::load(arguments.config.as_deref()).map_err(|d| anyhow!("{d}"))?;
    let plan = config.alerts.plan().map_err(|e| anyhow!("{e}"))?;
    if plan.names().is_empty() {
        bail!(
            "no channel is configured, so alerts reach nobody; add one to posse.toml, such as\n\
             [[alerts.channel]]\nkind = \"email\"\nhost = \"mail.example.net\"\n\
             from = \"posse@example.net\"\nto = [\"admin@example.net\"]\n\
             (docs/alerts.md has all kinds)"
        );
    }
    let tried = notify::try_channels(&plan);
    for one in &tried {
        tell(one, arguments, out)?;
    }
    let failed = tried.iter().filter(|one| one.answer.is_err()).count();
    if failed > 0 && !arguments.json {
        writeln!(out, "{failed} of {} channels failed", tried.len())?;
    }
    Ok(if failed == 0 {
        Exit::Success
    } else {
        Exit::Failure
    })
}

fn tell(one: &Tried, arguments: &AlertTestArgs, out: &mut dyn Write) -> Result<()> {
    let millis = u64::try_from(one.took.as_millis()).unwrap_or(u64::MAX);
    let (word, said) = match &one.answer {
        Ok(said) => ("ok", said),
        Err(why) => ("FAILED", why),
    };
    if arguments.json {
        let ok = one.answer.is_ok();
        let line = json!({
            "channel": one.name, "kind": one.kind, "ok": ok, "milliseconds": millis, "said": said,
        });
        writeln!(out, "{line}")?;
    } else {
        let name = &one.name;
        writeln!(
            out,
            "{word:<6} {name:<16} {:<10} {millis:>6} ms  {said}",
            one.kind
        )?;
    }
    Ok(())
}
