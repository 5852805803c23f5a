//! `replay --what-if`: which bans a log would have caused, and which clients with successful,
//! ordinary traffic they would have cut off.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write,
    net::IpAddr,
};

use anyhow::Result;
use decide::Verdict;
use detect::{
    engine::Engine,
    event::{Event, FieldMap},
    parse::Trace,
    symbols::Sym,
};
use model::{Alert, Prefix, Record, format_duration};
use serde_json::json;

/// Clients remembered for their good traffic.
const CLIENTS_MAX: usize = 1_000_000;
/// Bans listed; more are counted.
const BANS_MAX: usize = 1_000_000;
/// Bytes of one client in its tree, and of one ban in the list with the room that growing doubles.
const CLIENT_BYTES: usize = 128;
const BAN_BYTES: usize = 256;

pub(crate) struct WhatIf {
    names: Names,
    bans: Vec<WouldBan>,
    refusals: BTreeMap<String, u64>,
    clients: BTreeMap<IpAddr, Traffic>,
    /// The line under way was seen already as good or bad.
    judged: bool,
    clients_forgotten: u64,
    clients_max: usize,
    bans_max: usize,
    bans_unlisted: u64,
}

/// The fields that tell an ordinary line; absent when no rule speaks of them.
struct Names {
    source: Option<Sym>,
    kind: Option<Sym>,
    status: Option<Sym>,
}

struct WouldBan {
    prefix: Prefix,
    rule: String,
    seconds: u64,
    from: model::Timestamp,
}

#[derive(Default)]
struct Traffic {
    good: u64,
    bad: u64,
}

impl Trace for WhatIf {
    fn node(&mut self, _stage: &str, _node: &str, event: &Event, ok: bool) {
        if !ok || self.judged {
            return;
        }
        let meta = |sym: Option<Sym>| sym.map_or("", |s| event.field(FieldMap::Meta, s));
        let kind = meta(self.names.kind);
        let Ok(address) = meta(self.names.source).parse() else {
            return;
        };
        if kind.is_empty() {
            return;
        }
        self.judged = true;
        let served = meta(self.names.status).starts_with(['2', '3']);
        let good = kind.ends_with("success-auth") || (kind == "http_access-log" && served);
        self.note(address, if good { Outcome::Good } else { Outcome::Bad });
    }
}

impl WhatIf {
    /// `bytes`: what it may remember, if there is a ceiling.
    pub(crate) fn new(engine: &Engine, bytes: Option<usize>) -> Self {
        let find = |name: &str| engine.symbols().lookup(name);
        let names = Names {
            source: find("source_ip"),
            kind: find("log_type"),
            status: find("http_status"),
        };
        Self {
            names,
            bans: Vec::new(),
            refusals: BTreeMap::new(),
            clients: BTreeMap::new(),
            judged: false,
            clients_forgotten: 0,
            clients_max: bytes.map_or(CLIENTS_MAX, |b| (b / 2 / CLIENT_BYTES).min(CLIENTS_MAX)),
            bans_max: bytes.map_or(BANS_MAX, |b| (b / 2 / BAN_BYTES).min(BANS_MAX)),
            bans_unlisted: 0,
        }
    }

    /// A new line begins.
    pub(crate) const fn look_at(&mut self, _record: &Record<'_>) {
        self.judged = false;
    }

    pub(crate) fn judged(&mut self, alert: &Alert, verdicts: &[Verdict]) {
        for verdict in verdicts {
            match verdict {
                Verdict::Ban(_) if self.bans.len() >= self.bans_max => self.bans_unlisted += 1,
                Verdict::Ban(d) => self.bans.push(WouldBan {
                    prefix: d.prefix,
                    rule: alert.rule.clone(),
                    seconds: d.until.since(d.from).as_secs(),
                    from: d.from,
                }),
                Verdict::Refuse(r) => *self.refusals.entry(r.reason.to_string()).or_default() += 1,
                Verdict::Notice(_) | Verdict::Supersede(_) => {}
            }
        }
    }

    fn note(&mut self, address: IpAddr, outcome: Outcome) {
        if !self.clients.contains_key(&address) && self.clients.len() >= self.clients_max {
            self.clients_forgotten += 1;
            return;
        }
        let traffic = self.clients.entry(address.to_canonical()).or_default();
        match outcome {
            Outcome::Good => traffic.good += 1,
            Outcome::Bad => traffic.bad += 1,
        }
    }

    /// Banned clients of whose lines more than half were successful.
    fn victims(&self) -> BTreeSet<(IpAddr, Prefix)> {
        let prefixes: BTreeSet<Prefix> = self.bans.iter().map(|b| b.prefix).collect();
        let ordinary = self.clients.iter().filter(|(_, t)| t.good > t.bad);
        ordinary
            .filter_map(|(ip, _)| {
                let host = Prefix::host(*ip);
                let hit = (0..=host.len())
                    .rev()
                    .filter_map(|len| host.widen(len))
                    .find(|wide| prefixes.contains(wide))?;
                Some((*ip, hit))
            })
            .collect()
    }

    pub(crate) fn print(&self, as_json: bool, out: &mut dyn Write) -> Result<()> {
        let victims = self.victims();
        if as_json {
            let bans: Vec<_> = self.bans.iter().map(WouldBan::json).collect();
            let cut: Vec<_> = victims
                .iter()
                .map(|(ip, by)| json!({ "client": ip, "by": by, "good_lines": self.clients.get(ip).map_or(0, |t| t.good) }))
                .collect();
            let line = json!({
                "bans": bans, "refusals": self.refusals, "ordinary_clients_cut_off": cut,
                "clients_seen": self.clients.len(), "clients_forgotten": self.clients_forgotten,
                "bans_unlisted": self.bans_unlisted,
            });
            writeln!(out, "{line}")?;
            return Ok(());
        }
        writeln!(
            out,
            "This log would have caused {} bans:",
            self.bans.len() as u64 + self.bans_unlisted
        )?;
        for ban in &self.bans {
            let length = format_duration(std::time::Duration::from_secs(ban.seconds));
            writeln!(
                out,
                "  {}  {:<24} {length:<12} {}",
                ban.from,
                ban.prefix.to_string(),
                ban.rule
            )?;
        }
        if self.bans_unlisted > 0 {
            writeln!(out, "  and {} more that are not listed", self.bans_unlisted)?;
        }
        for (why, count) in &self.refusals {
            writeln!(out, "  {count} refused: {why}")?;
        }
        let seen = self.clients.len();
        match victims.len() {
            0 => writeln!(
                out,
                "No client with mostly successful traffic would have been cut off ({seen} clients seen)."
            )?,
            n => writeln!(
                out,
                "{n} of {seen} clients with mostly successful traffic would have been CUT OFF:"
            )?,
        }
        for (ip, by) in &victims {
            let Some(traffic) = self.clients.get(ip) else {
                continue;
            };
            writeln!(
                out,
                "  {ip} by {by} ({} successful lines, {} not)",
                traffic.good, traffic.bad
            )?;
        }
        Ok(())
    }
}

impl WouldBan {
    fn json(&self) -> serde_json::Value {
        json!({ "prefix": self.prefix, "rule": self.rule, "from": self.from, "seconds": self.seconds })
    }
}

enum Outcome {
    Good,
    Bad,
}
