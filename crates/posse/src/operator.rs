//! The operator's hands: `ban`, `unban`, `bans`, `alerts`, `status`.
//!
//! With a guard running, it is asked; it owns the state. Without one, the same decision is made
//! and recorded here, by the same policy and the same never-ban guard.

use std::{io::Write, ops::ControlFlow, path::Path};

use anyhow::{Context as _, Result, bail};
use decide::Policy;
use model::{AlertId, Status, Timestamp, format_duration, harmless};
use serde_json::json;
use store::{ActiveBan, AlertFilter, Store};

use crate::{
    cli::{AlertsArgs, BanArgs, ListArgs, UnbanArgs},
    clock,
    config::Config,
    control::{self, Reply, Request},
    exit::Exit,
    facts,
    guard::MEMORY,
    handover_command, hub_command,
    order::{self, Outcome, Wish},
    shield::Shield,
    state, status,
};

pub(crate) fn ban(arguments: &BanArgs, out: &mut dyn Write) -> Result<Exit> {
    let dir = state::folder(arguments.state.state.as_deref())?;
    let request = Request::Ban {
        prefix: arguments.prefix,
        seconds: arguments.duration.as_secs().max(1),
        reason: arguments.reason.clone(),
        by: state::operator(),
    };
    let reply = match control::ask(&dir, &request)? {
        Some(reply) => reply,
        None => alone(&dir, &request)?,
    };
    if arguments.json {
        writeln!(out, "{}", serde_json::to_string(&reply)?)?;
        return Ok(exit_of(&reply));
    }
    if let Some(reason) = &reply.refused {
        writeln!(out, "refused: {} is {}", arguments.prefix, reason)?;
    } else if let Some(prefix) = reply.prefixes.first() {
        let length = format_duration(arguments.duration);
        writeln!(
            out,
            "banned {prefix} for {length} ({}{})",
            place(&reply),
            index(&reply)
        )?;
    }
    finish(&reply)
}

pub(crate) fn unban(arguments: &UnbanArgs, out: &mut dyn Write) -> Result<Exit> {
    let dir = state::folder(arguments.state.state.as_deref())?;
    let request = Request::Unban {
        prefix: arguments.prefix,
        by: state::operator(),
    };
    let reply = match control::ask(&dir, &request)? {
        Some(reply) => reply,
        None => alone(&dir, &request)?,
    };
    if arguments.json {
        writeln!(out, "{}", serde_json::to_string(&reply)?)?;
        return Ok(exit_of(&reply));
    }
    match reply.prefixes.as_slice() {
        [] => writeln!(out, "nothing was banned there")?,
        [one] => writeln!(out, "released {one} ({}{})", place(&reply), index(&reply))?,
        many => writeln!(
            out,
            "released {} bans ({}{})",
            many.len(),
            place(&reply),
            index(&reply)
        )?,
    }
    finish(&reply)
}

fn place(reply: &Reply) -> String {
    match (reply.told, reply.enforced) {
        (Some(members), _) => format!("told to {members} connected members"),
        (None, true) => "kernel changed".to_owned(),
        (None, false) => "kernel not changed: observe mode, no root or no nf_tables".to_owned(),
    }
}

fn index(reply: &Reply) -> String {
    reply
        .index
        .map_or_else(String::new, |i| format!(", ledger entry {i}"))
}

fn finish(reply: &Reply) -> Result<Exit> {
    if let Some(error) = &reply.error {
        bail!("{error}");
    }
    Ok(exit_of(reply))
}

fn exit_of(reply: &Reply) -> Exit {
    match reply {
        Reply { error: Some(_), .. } => Exit::Failure,
        Reply {
            refused: Some(_), ..
        } => Exit::Refused,
        Reply {
            enforced: false,
            prefixes,
            told: None,
            ..
        } if !prefixes.is_empty() => Exit::Degraded,
        _ => Exit::Success,
    }
}

/// The same request without a guard: policy and store are opened here for a moment.
fn alone(dir: &Path, request: &Request) -> Result<Reply> {
    if hub_command::holds_hub(dir) {
        bail!(
            "{} is a hub's, which does not run: start `posse hub`",
            dir.display()
        );
    }
    let config = Config::load(None).map_err(|d| anyhow::anyhow!("{d}"))?;
    let mut store = crate::state::open_store(dir, config.ledger.origin.as_deref())?;
    let mut policy = Policy::new(config.policy())?;
    let now = clock::now();
    store.known_bans(now.minus(MEMORY), |bans| policy.restore(bans, now))?;
    let mut shield = Shield::open(&config.enforce, false);
    // It must know what the kernel holds to know what comes or leaves with one change.
    store.ban_ends(now, |bans| shield.assume(bans, now))?;
    let outcome = carry_out(request, &mut policy, &mut shield, now)?;
    shield.apply(&outcome.changes)?;
    let in_kernel = shield.enforces().then(clock::now);
    let appended = store.append(&outcome.entries(in_kernel), now)?;
    Ok(Reply {
        index: appended.last().map(|a| a.index),
        enforced: shield.enforces(),
        ..outcome.reply
    })
}

fn carry_out(
    request: &Request,
    policy: &mut Policy,
    shield: &mut Shield,
    now: Timestamp,
) -> Result<Outcome> {
    Ok(match request {
        Request::Ban {
            prefix,
            seconds,
            reason,
            by,
        } => {
            let duration = std::time::Duration::from_secs(*seconds);
            let wish = Wish {
                prefix: *prefix,
                duration,
                reason,
                by,
            };
            order::ban(&wish, policy, shield, &facts::gather(), now)
        }
        Request::Unban { prefix, by } => order::unban(*prefix, by, policy, shield, now),
        Request::Acknowledge { .. }
        | Request::Digest
        | Request::Explain { .. }
        | Request::Hub { .. }
        | Request::Record { .. }
        | Request::Status
        | Request::Unacknowledged
        | Request::Watch => bail!("no guard is running"),
    })
}

pub(crate) fn bans(arguments: &ListArgs, out: &mut dyn Write) -> Result<Exit> {
    if hub_command::is_hub(&arguments.state) {
        return hub_command::bans(arguments, out);
    }
    let now = clock::now();
    let store = open_to_read(arguments.state.state.as_deref())?;
    let mut count = 0u64;
    let mut written = Ok(());
    store.for_each_ban(now, &mut |ban| {
        count += 1;
        written = if arguments.json {
            writeln!(out, "{}", ban_json(&ban, now))
        } else {
            ban_line(out, &ban, (count == 1).then_some(BAN_HEAD), now)
        };
        match written {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        }
    })?;
    written?;
    match (arguments.json, count) {
        (true, _) => {}
        (false, 0) => writeln!(out, "no bans in force")?,
        (false, n) => writeln!(out, "{n} in force")?,
    }
    Ok(Exit::Success)
}

const BAN_HEAD: &str = "BANNED                      REMAINING   LEDGER  REASON\n";

fn ban_json(ban: &ActiveBan, now: Timestamp) -> serde_json::Value {
    json!({
        "prefix": ban.decision.prefix,
        "from": ban.decision.from,
        "until": ban.decision.until,
        "remaining_seconds": ban.decision.remaining(now).as_secs(),
        "reason": ban.decision.reason,
        "origin": ban.decision.origin,
        "repeat": ban.decision.repeat,
        "alerts": ban.decision.alerts,
        "index": ban.index,
    })
}

fn ban_line(
    out: &mut dyn Write,
    ban: &ActiveBan,
    head: Option<&str>,
    now: Timestamp,
) -> std::io::Result<()> {
    let left = format_duration(std::time::Duration::from_secs(
        ban.decision.remaining(now).as_secs(),
    ));
    write!(out, "{}", head.unwrap_or_default())?;
    writeln!(
        out,
        "{:<24} {left:>12} {:>8}  {}",
        ban.decision.prefix.to_string(),
        ban.index,
        harmless(&ban.decision.reason)
    )
}

/// Grave alerts that wait for somebody; only a running guard knows.
fn unacknowledged(named: Option<&Path>) -> Vec<AlertId> {
    let asked = state::folder(named).and_then(|dir| control::ask(&dir, &Request::Unacknowledged));
    asked
        .ok()
        .flatten()
        .map_or_else(Vec::new, |reply| reply.alerts)
}

pub(crate) fn alerts(arguments: &AlertsArgs, out: &mut dyn Write) -> Result<Exit> {
    let store = open_to_read(arguments.state.state.as_deref())?;
    let waiting = unacknowledged(arguments.state.state.as_deref());
    let filter = AlertFilter {
        limit: arguments.limit,
        ..AlertFilter::default()
    };
    for recorded in store.alerts(&filter)? {
        if arguments.json {
            let line = json!({
                "index": recorded.index,
                "alert": recorded.alert,
                "unacknowledged": waiting.contains(&recorded.alert.id),
            });
            writeln!(out, "{line}")?;
            continue;
        }
        let alert = &recorded.alert;
        writeln!(
            out,
            "{} [{}] {}",
            alert.last,
            recorded.index,
            harmless(&alert.message)
        )?;
        if waiting.contains(&alert.id) {
            writeln!(
                out,
                "    NOT ACKNOWLEDGED: posse alerts ack {:.12}",
                alert.id.to_string()
            )?;
        }
        for (key, values) in &alert.context {
            let values = values.join(", ");
            writeln!(out, "    {}: {}", harmless(key), harmless(&values))?;
        }
        if arguments.lines {
            for line in &alert.evidence {
                let raw = line.raw.to_bytes().unwrap_or_default();
                writeln!(
                    out,
                    "    {}: {}",
                    harmless(&line.source),
                    harmless(&String::from_utf8_lossy(&raw))
                )?;
            }
        }
    }
    Ok(Exit::Success)
}

pub(crate) fn status(arguments: &ListArgs, out: &mut dyn Write) -> Result<Exit> {
    let dir = state::folder(arguments.state.state.as_deref())?;
    let Some(reply) = control::ask(&dir, &Request::Status)? else {
        writeln!(
            out,
            "no guard is running on {} (start one with `posse run`)",
            dir.display()
        )?;
        return Ok(Exit::Failure);
    };
    let mut value = reply.status.context("the guard gave no status")?;
    let waits = Store::open_read_only(&dir)
        .ok()
        .and_then(|store| handover_command::waiting(&store).ok().flatten());
    if let (Some((count, oldest)), Some(map)) = (waits, value.as_object_mut()) {
        map.insert("handovers_waiting".to_owned(), count.into());
        map.insert(
            "handovers_oldest_seconds".to_owned(),
            oldest.as_secs().into(),
        );
    }
    if arguments.json {
        writeln!(out, "{value}")?;
    } else if value.get("hub").is_some() {
        hub_command::status(&value, out)?;
    } else {
        let status: Status = serde_json::from_value(value)?;
        write!(out, "{}", status::human(&status))?;
    }
    if let (Some((count, oldest)), false) = (waits, arguments.json) {
        writeln!(
            out,
            "hand-overs: {count} offered, not received (the oldest for {})",
            casework::span_in_words(oldest)
        )?;
    }
    Ok(Exit::Success)
}

pub(crate) fn open_to_read(named: Option<&Path>) -> Result<Store> {
    let dir = state::folder(named)?;
    Store::open_read_only(&dir)
        .with_context(|| format!("cannot read the state folder {}", dir.display()))
}
