//! The operator's hands: `ban`, `unban`, `bans`, `alerts`, `status`.
//!
//! With a guard running, it is asked; it owns the state. Without one, the same decision is made
//! and recorded here, by the same policy and the same never-ban guard.

use std::{io::Write, path::Path};

use anyhow::{Context as _, Result, bail};
use decide::{Policy, Verdict};
use model::{Command, Entry, Origin, Prefix, Timestamp, format_duration};
use serde_json::json;
use store::{AlertFilter, Durability, Store, StoreOptions};

use crate::{
    cli::{AlertsArgs, BanArgs, ListArgs, UnbanArgs},
    clock,
    config::Config,
    control::{self, Reply, Request},
    exit::Exit,
    facts,
    feed::explain,
    guard::MEMORY,
    shield::Shield,
    state,
    status::Status,
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
        writeln!(out, "refused: {} is {}", arguments.prefix, explain(reason))?;
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

fn place(reply: &Reply) -> &'static str {
    if reply.enforced {
        "kernel changed"
    } else {
        "kernel not changed: no root or no nf_tables"
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
            ..
        } if !prefixes.is_empty() => Exit::Degraded,
        _ => Exit::Success,
    }
}

/// The same request without a guard: policy and store are opened here for a moment.
fn alone(dir: &Path, request: &Request) -> Result<Reply> {
    let config = Config::load(None).map_err(|d| anyhow::anyhow!("{d}"))?;
    let options = StoreOptions {
        origin: config.ledger.origin.clone(),
        durability: Durability::PowerLoss,
    };
    let mut store = Store::open(dir, options)
        .with_context(|| format!("cannot open the state folder {}", dir.display()))?;
    let mut policy = Policy::new(config.policy())?;
    let now = clock::now();
    policy.restore(&store.decisions(now.minus(MEMORY))?, now);
    let mut shield = Shield::open(&config.enforce, false);
    let (reply, entries) = decide_alone(request, &mut policy, &mut shield, now)?;
    let appended = store.append(&entries, now)?;
    Ok(Reply {
        index: appended.last().map(|a| a.index),
        ..reply
    })
}

fn decide_alone(
    request: &Request,
    policy: &mut Policy,
    shield: &mut Shield,
    now: Timestamp,
) -> Result<(Reply, Vec<Entry>)> {
    let mut reply = Reply::default();
    let mut changes = Vec::new();
    let mut entries = Vec::new();
    load_bans(policy, shield, now);
    match request {
        Request::Ban {
            prefix,
            seconds,
            reason,
            by,
        } => {
            let line = format!("ban {prefix} --for {seconds}s --reason {reason:?}");
            entries.push(Entry::Command(Command {
                at: now,
                by: by.clone(),
                line,
            }));
            let duration = std::time::Duration::from_secs(*seconds);
            let origin = Origin::Operator { name: by.clone() };
            match policy.request(*prefix, duration, reason, origin, &facts::gather(), now) {
                Verdict::Ban(decision) => {
                    reply.prefixes.push(decision.prefix);
                    changes = shield.ban(decision.prefix, decision.until, now)?;
                    entries.push(Entry::Decision(decision));
                }
                Verdict::Refuse(refusal) => {
                    reply.refused = Some(refusal.reason.clone());
                    entries.push(Entry::Refusal(refusal));
                }
                Verdict::Notice(n) => entries.push(Entry::Notice(n)),
                Verdict::Supersede(r) => entries.push(Entry::Release(r)),
            }
        }
        Request::Unban { prefix, by } => {
            let line = prefix.map_or_else(|| "unban --all".to_owned(), |p| format!("unban {p}"));
            entries.push(Entry::Command(Command {
                at: now,
                by: by.clone(),
                line,
            }));
            let origin = Origin::Operator { name: by.clone() };
            let released = match prefix {
                Some(prefix) => policy.release(*prefix, &origin, now),
                None => policy.release_all(&origin, now),
            };
            for release in released {
                changes.extend(shield.release(release.prefix, now));
                reply.prefixes.push(release.prefix);
                entries.push(Entry::Release(release));
            }
        }
        Request::Status => bail!("no guard is running"),
    }
    shield.apply(&changes)?;
    reply.enforced = shield.enforces();
    Ok((reply, entries))
}

/// The shield must know what it holds to know what comes or leaves with one change.
fn load_bans(policy: &Policy, shield: &mut Shield, now: Timestamp) {
    let bans: Vec<(Prefix, Timestamp)> = policy.bans().map(|(p, b)| (p, b.until)).collect();
    for (prefix, until) in bans {
        // More than fit cannot be here: they were all in force before.
        shield.ban(prefix, until, now).ok();
    }
}

pub(crate) fn bans(arguments: &ListArgs, out: &mut dyn Write) -> Result<Exit> {
    let now = clock::now();
    let store = open_to_read(arguments.state.state.as_deref())?;
    let bans = store.bans(now)?;
    if arguments.json {
        for ban in bans {
            let line = json!({
                "prefix": ban.decision.prefix,
                "from": ban.decision.from,
                "until": ban.decision.until,
                "remaining_seconds": ban.decision.remaining(now).as_secs(),
                "reason": ban.decision.reason,
                "origin": ban.decision.origin,
                "repeat": ban.decision.repeat,
                "alerts": ban.decision.alerts,
                "index": ban.index,
            });
            writeln!(out, "{line}")?;
        }
        return Ok(Exit::Success);
    }
    if bans.is_empty() {
        writeln!(out, "no bans in force")?;
        return Ok(Exit::Success);
    }
    writeln!(
        out,
        "{:<24} {:>12} {:>8}  REASON",
        "BANNED", "REMAINING", "LEDGER"
    )?;
    for ban in &bans {
        let left = format_duration(std::time::Duration::from_secs(
            ban.decision.remaining(now).as_secs(),
        ));
        writeln!(
            out,
            "{:<24} {left:>12} {:>8}  {}",
            ban.decision.prefix.to_string(),
            ban.index,
            ban.decision.reason
        )?;
    }
    writeln!(out, "{} in force", bans.len())?;
    Ok(Exit::Success)
}

pub(crate) fn alerts(arguments: &AlertsArgs, out: &mut dyn Write) -> Result<Exit> {
    let store = open_to_read(arguments.state.state.as_deref())?;
    let filter = AlertFilter {
        limit: arguments.limit,
        ..AlertFilter::default()
    };
    for recorded in store.alerts(&filter)? {
        if arguments.json {
            let line = json!({ "index": recorded.index, "alert": recorded.alert });
            writeln!(out, "{line}")?;
            continue;
        }
        let alert = &recorded.alert;
        writeln!(out, "{} [{}] {}", alert.last, recorded.index, alert.message)?;
        if arguments.lines {
            for line in &alert.evidence {
                let raw = line.raw.to_bytes().unwrap_or_default();
                writeln!(
                    out,
                    "    {}: {}",
                    line.source,
                    String::from_utf8_lossy(&raw)
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
    let value = reply.status.context("the guard gave no status")?;
    if arguments.json {
        writeln!(out, "{value}")?;
    } else {
        let status: Status = serde_json::from_value(value)?;
        write!(out, "{}", status.human())?;
    }
    Ok(Exit::Success)
}

pub(crate) fn open_to_read(named: Option<&Path>) -> Result<Store> {
    let dir = state::folder(named)?;
    Store::open_read_only(&dir)
        .with_context(|| format!("cannot read the state folder {}", dir.display()))
}
