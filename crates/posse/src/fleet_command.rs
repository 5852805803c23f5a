//! `posse join` and `posse explain`: this machine's side of a hub at the command line.

use std::{
    io::{Read as _, Write},
    net::IpAddr,
};

use anyhow::{Context as _, Result};
use model::{Prefix, Timestamp, format_duration, harmless};
use serde_json::{Value, json};
use store::{AlertFilter, Store};
use uplink::{Existing, JoinOptions, Membership};

use crate::{
    cli::{AddressArgs, JoinArgs},
    clock,
    config::Config,
    control::{self, Request},
    exit::Exit,
    hub_command, state,
};

/// Longest token that is read from standard input.
const TOKEN_BYTES_MAX: u64 = 4 << 10;
const ALERTS_MAX: usize = 10_000;

pub(crate) fn join(arguments: &JoinArgs, out: &mut dyn Write) -> Result<Exit> {
    let config = Config::load(arguments.config.as_deref()).map_err(|d| anyhow::anyhow!("{d}"))?;
    let dir = state::folder(arguments.state.state.as_deref())?;
    let token = token(&arguments.token)?;
    let name = arguments.name.clone().unwrap_or_else(host_name);
    let membership = uplink::join(&JoinOptions {
        state: &dir,
        hub: &arguments.hub,
        token: &token,
        name: &name,
        version: env!("CARGO_PKG_VERSION"),
        membership: if arguments.replace {
            Existing::Replace
        } else {
            Existing::Keep
        },
    })?;
    tell(&membership, arguments, &config, out)?;
    Ok(Exit::Success)
}

fn tell(
    membership: &Membership,
    arguments: &JoinArgs,
    config: &Config,
    out: &mut dyn Write,
) -> Result<()> {
    writeln!(out, "joined {}: {}", arguments.hub, membership.introduce())?;
    writeln!(
        out,
        "  the hub's certificate is pinned; this machine's own is valid for {} and renews itself",
        format_duration(std::time::Duration::from_secs(
            membership.valid_for().as_secs()
        ))
    )?;
    if !membership.role.follows() {
        let why = match membership.role {
            fleet::Role::Police => {
                "this role takes files of cases (posse handover … --hub); it sees no bans"
            }
            _ => "this role follows no bans and reports none",
        };
        writeln!(out, "{why}")?;
        return Ok(());
    }
    writeln!(out, "what this machine will take ([fleet.accept]):")?;
    for line in config.fleet.accept.in_words() {
        writeln!(out, "  {line}")?;
    }
    writeln!(out, "what it will tell ([fleet.share]):")?;
    writeln!(out, "  {}", config.fleet.share.in_words())?;
    writeln!(
        out,
        "start the guard, or restart it (systemctl restart posse), to begin"
    )?;
    Ok(())
}

fn token(given: &str) -> Result<String> {
    if given != "-" {
        return Ok(given.to_owned());
    }
    let mut text = String::new();
    std::io::stdin()
        .take(TOKEN_BYTES_MAX)
        .read_to_string(&mut text)
        .context("cannot read the token from standard input")?;
    Ok(text.trim().to_owned())
}

fn host_name() -> String {
    let names = rustix::system::uname();
    let name = names.nodename().to_string_lossy();
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() || "-._".contains(c) {
            c
        } else {
            '-'
        }
    };
    let name: String = name.chars().map(plain).take(63).collect();
    if name.is_empty() {
        "guard".to_owned()
    } else {
        name
    }
}

pub(crate) fn explain(arguments: &AddressArgs, out: &mut dyn Write) -> Result<Exit> {
    let dir = state::folder(arguments.state.state.as_deref())?;
    let address = arguments.address.to_canonical();
    let here = match Store::open_read_only(&dir) {
        Ok(store) => local(&store, address)?,
        Err(_) => Local::default(),
    };
    // Without a running guard the hub's part is unknown.
    let reply = control::ask(&dir, &Request::Explain { address })?;
    let is_running = reply.is_some();
    let fleet = reply.map_or_else(Vec::new, |reply| reply.fleet);
    if arguments.json {
        let answer = json!({
            "address": address,
            "local": { "bans": here.bans, "alerts": here.alerts },
            "fleet": fleet,
            "guard_running": is_running,
        });
        writeln!(out, "{answer}")?;
        return Ok(Exit::Success);
    }
    if hub_command::is_hub(&arguments.state) {
        for told in &fleet {
            voices(told, out)?;
        }
        if !is_running {
            writeln!(out, "the hub does not run: what it knows is not told")?;
        }
        return Ok(Exit::Success);
    }
    print(address, &here, &fleet, out)?;
    if !is_running {
        writeln!(
            out,
            "no guard is running here: what a hub says of it is not known"
        )?;
    }
    Ok(Exit::Success)
}

/// What a hub's court says of it: every voice, and why it counts or does not.
fn voices(told: &Value, out: &mut dyn Write) -> Result<()> {
    let community = told["community"].as_str().unwrap_or_default();
    let explanation: trust::Explanation =
        serde_json::from_value(told["explanation"].clone()).context("the hub's answer")?;
    writeln!(out, "in {}:", harmless(community))?;
    for line in explanation.to_string().lines() {
        writeln!(out, "  {}", harmless(line))?;
    }
    Ok(())
}

#[derive(Default)]
struct Local {
    bans: Vec<Value>,
    alerts: Vec<Value>,
}

fn local(store: &Store, address: IpAddr) -> Result<Local> {
    let now = clock::now();
    let mut found = Local::default();
    store.for_each_ban(now, &mut |ban| {
        if ban.decision.prefix.contains(address) {
            found.bans.push(json!({
                "prefix": ban.decision.prefix,
                "seconds_left": ban.decision.remaining(now).as_secs(),
                "reason": ban.decision.reason,
                "ledger": ban.index,
            }));
        }
        std::ops::ControlFlow::Continue(())
    })?;
    let filter = AlertFilter {
        limit: ALERTS_MAX,
        ..AlertFilter::default()
    };
    for recorded in store.alerts(&filter)? {
        let alert = &recorded.alert;
        let hits = alert.address.is_some_and(|a| a.to_canonical() == address)
            || alert
                .range
                .is_some_and(|range: Prefix| range.contains(address));
        if hits {
            found.alerts.push(json!({
                "at": alert.last,
                "rule": alert.rule,
                "message": alert.message,
                "ledger": recorded.index,
            }));
        }
    }
    Ok(found)
}

fn print(address: IpAddr, here: &Local, fleet: &[Value], out: &mut dyn Write) -> Result<()> {
    if here.bans.is_empty() && here.alerts.is_empty() && fleet.is_empty() {
        writeln!(out, "nothing is known of {address} here")?;
        return Ok(());
    }
    for ban in &here.bans {
        writeln!(
            out,
            "banned here as {}, {} left: {} (ledger entry {})",
            text(&ban["prefix"]),
            left(&ban["seconds_left"]),
            text(&ban["reason"]),
            ban["ledger"]
        )?;
    }
    for alert in &here.alerts {
        let at: Option<Timestamp> = serde_json::from_value(alert["at"].clone()).ok();
        writeln!(
            out,
            "seen here at {}: {} (ledger entry {})",
            at.map_or_else(String::new, |at| at.to_string()),
            text(&alert["message"]),
            alert["ledger"]
        )?;
    }
    for ban in fleet {
        writeln!(
            out,
            "community {}: {} banned as {} by {}, {} left; {}",
            text(&ban["community"]),
            text(&ban["kind"]),
            text(&ban["prefix"]),
            text(&ban["issuer"]),
            left(&ban["seconds_left"]),
            standing(ban)
        )?;
    }
    Ok(())
}

fn standing(ban: &Value) -> String {
    if let Some(why) = ban["not_accepted"].as_str() {
        return format!("not accepted here: {}", harmless(why));
    }
    if let Some(why) = ban["never_banned"].as_str() {
        return format!("kept out by the never-ban guard: it is {}", harmless(why));
    }
    if ban["enforced"].as_bool() == Some(true) {
        "in this machine's kernel".to_owned()
    } else {
        "accepted, but not in the kernel (observe mode, or held back)".to_owned()
    }
}

fn text(value: &Value) -> String {
    harmless(value.as_str().unwrap_or_default()).into_owned()
}

fn left(value: &Value) -> String {
    format_duration(std::time::Duration::from_secs(value.as_u64().unwrap_or(0)))
}
