//! `posse status`: the numbers of a running guard, as JSON and for people.

use decide::PolicyStats;
use detect::engine::EngineStats;
use enforce::Counters;
use model::{
    DetectionStatus, FleetStatus, KeptOut, PolicyStatus, RecordStatus, SourceStatus, Status,
    format_duration, harmless,
};
use sense::Sensors;
use store::RecorderStatus;

pub(crate) fn kept_out(c: &Counters) -> KeptOut {
    let all = [c.from_ipv4, c.to_ipv4, c.from_ipv6, c.to_ipv6];
    KeptOut {
        packets: all.iter().map(|c| c.packets).sum(),
        bytes: all.iter().map(|c| c.bytes).sum(),
    }
}

pub(crate) fn detection(s: &EngineStats) -> DetectionStatus {
    DetectionStatus {
        lines: s.lines,
        skipped: s.skipped,
        unparsed: s.unparsed,
        parsed: s.parsed,
        poured: s.poured,
        alerts: s.alerts,
        buckets_live: s.buckets_live,
        buckets_evicted: s.evicted.values().sum(),
        invalid_utf8: s.invalid_utf8,
        expression_errors: s.expression_errors.values().sum(),
    }
}

pub(crate) fn policy(s: PolicyStats) -> PolicyStatus {
    PolicyStatus {
        alerts: s.alerts,
        bans: s.bans,
        extensions: s.extensions,
        already_banned: s.already_banned,
        refusals: s.refusals,
    }
}

pub(crate) fn record(s: RecorderStatus) -> RecordStatus {
    RecordStatus {
        size: s.size,
        queued: s.queued,
        recorded: s.recorded,
        lost: s.lost,
        paused: s.paused,
    }
}

pub(crate) fn sources(sensors: &Sensors) -> Vec<SourceStatus> {
    let infos = sensors.sources().iter();
    infos
        .zip(sensors.status())
        .map(|(info, s)| SourceStatus {
            name: info.name.clone(),
            r#type: info.kind().to_owned(),
            lines: s.lines,
            bytes: s.bytes,
            truncated: s.truncated,
            dropped: s.dropped,
            last_line: s.last_line,
            error: s.error,
        })
        .collect()
}

fn fleet_lines(fleet: &FleetStatus, out: &mut String) {
    let contact = fleet
        .last_contact
        .map_or_else(|| "never".to_owned(), |at| at.to_string());
    *out += &format!(
        "  hub               {} as {} of {}, {}; last contact {contact}\n",
        fleet.hub,
        fleet.name,
        fleet.organisation,
        if fleet.connected {
            "connected"
        } else {
            "NOT CONNECTED"
        }
    );
    if let Some(problem) = &fleet.problem {
        *out += &format!("    {}\n", harmless(problem));
    }
    for c in &fleet.communities {
        *out += &format!(
            "  community {:<8}{} bans enforced of {}, {} kept out, generation {}, lag {} ms{}\n",
            c.community,
            c.enforced,
            c.bans,
            c.refused,
            c.generation,
            c.lag_ms,
            if c.in_step { "" } else { ", KERNEL BEHIND" }
        );
        if c.held > 0 {
            *out += &format!("    {} bans came in a flood and wait\n", c.held);
        }
        if c.refusals + c.reports_waiting + c.reports_dropped > 0 {
            *out += &format!(
                "    {} refusals; own bans: {} not yet told, {} will not be\n",
                c.refusals, c.reports_waiting, c.reports_dropped
            );
        }
    }
}

/// The answer to "is it working?" first, details after.
pub(crate) fn human(status: &Status) -> String {
    let up = format_duration(status.at.since(status.started));
    let mut out = format!(
        "posse {} has run for {up}, mode {}\n",
        status.version, status.mode
    );
    if let Some(why) = &status.observing_because {
        out += &format!("  NOT ENFORCING: {why}\n");
    }
    if !status.sandbox.is_empty() {
        out += &format!("  sandbox           {}\n", status.sandbox);
    }
    out += &format!("  bans in force     {}\n", status.bans);
    if let Some(d) = &status.dropped {
        out += &format!(
            "  kept out          {} packets, {} bytes\n",
            d.packets, d.bytes
        );
    }
    out += &format!(
        "  lines read        {} ({} alerts; {} times counted by a scenario)\n",
        status.engine.lines, status.engine.alerts, status.engine.poured
    );
    out += &format!(
        "  decisions         {} bans, {} extensions, {} refusals\n",
        status.policy.bans, status.policy.extensions, status.policy.refusals
    );
    out += &format!(
        "  ledger            {} entries, {} waiting, {} lost\n",
        status.recorder.size, status.recorder.queued, status.recorder.lost
    );
    if let Some(cause) = &status.recorder.paused {
        out += &format!("  RECORDING PAUSED  {cause}\n");
    }
    for c in &status.channels {
        out += &format!(
            "  alerts by {:<8}{} sent, {} waiting",
            c.name, c.sent, c.queued
        );
        if c.dropped > 0 {
            out += &format!(", {} alerts not told", c.dropped);
        }
        for error in [&c.last_error, &c.disk_error].into_iter().flatten() {
            out += &format!(" ERROR {error}");
        }
        out.push('\n');
    }
    if let Some(fleet) = &status.fleet {
        fleet_lines(fleet, &mut out);
    }
    out += "sources:\n";
    for s in &status.sources {
        let last = s
            .last_line
            .map_or_else(|| "no line yet".to_owned(), |t| format!("last {t}"));
        out += &format!(
            "  {:<40} {:<10} {:>10} lines, {last}",
            s.name, s.r#type, s.lines
        );
        if let Some(error) = &s.error {
            out += &format!(" ERROR {error}");
        }
        out.push('\n');
    }
    out
}
