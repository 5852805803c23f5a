//! `posse status`: the numbers of a running guard, as JSON and for people.

use decide::PolicyStats;
use detect::engine::EngineStats;
use enforce::Counters;
use model::{Timestamp, format_duration};
use sense::Sensors;
use serde::{Deserialize, Serialize};
use store::RecorderStatus;

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Status {
    pub(crate) version: String,
    pub(crate) started: Timestamp,
    pub(crate) at: Timestamp,
    /// `enforce` or `observe`.
    pub(crate) mode: String,
    pub(crate) observing_because: Option<String>,
    pub(crate) bans: u64,
    /// What the kernel dropped; absent in observe mode.
    pub(crate) dropped: Option<Dropped>,
    pub(crate) sources: Vec<Source>,
    pub(crate) engine: Detection,
    pub(crate) policy: Judgement,
    pub(crate) recorder: Record,
    /// Writes of the intake journal that failed: after a crash those lines may count twice.
    pub(crate) journal_failures: u64,
    pub(crate) feed_lines_dropped: u64,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Dropped {
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
}

impl From<&Counters> for Dropped {
    fn from(c: &Counters) -> Self {
        let all = [c.from_ipv4, c.to_ipv4, c.from_ipv6, c.to_ipv6];
        Self {
            packets: all.iter().map(|c| c.packets).sum(),
            bytes: all.iter().map(|c| c.bytes).sum(),
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Source {
    pub(crate) name: String,
    pub(crate) r#type: String,
    pub(crate) lines: u64,
    pub(crate) bytes: u64,
    pub(crate) truncated: u64,
    pub(crate) dropped: u64,
    pub(crate) last_line: Option<Timestamp>,
    pub(crate) error: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Detection {
    pub(crate) lines: u64,
    pub(crate) skipped: u64,
    pub(crate) unparsed: u64,
    pub(crate) parsed: u64,
    pub(crate) poured: u64,
    pub(crate) alerts: u64,
    pub(crate) buckets_live: u64,
    pub(crate) buckets_evicted: u64,
    pub(crate) invalid_utf8: u64,
    pub(crate) expression_errors: u64,
}

impl From<&EngineStats> for Detection {
    fn from(s: &EngineStats) -> Self {
        Self {
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
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Judgement {
    pub(crate) alerts: u64,
    pub(crate) bans: u64,
    pub(crate) extensions: u64,
    pub(crate) already_banned: u64,
    pub(crate) refusals: u64,
}

impl From<PolicyStats> for Judgement {
    fn from(s: PolicyStats) -> Self {
        Self {
            alerts: s.alerts,
            bans: s.bans,
            extensions: s.extensions,
            already_banned: s.already_banned,
            refusals: s.refusals,
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) size: u64,
    pub(crate) queued: u64,
    pub(crate) recorded: u64,
    pub(crate) lost: u64,
    pub(crate) paused: Option<String>,
}

impl From<RecorderStatus> for Record {
    fn from(s: RecorderStatus) -> Self {
        Self {
            size: s.size,
            queued: s.queued,
            recorded: s.recorded,
            lost: s.lost,
            paused: s.paused,
        }
    }
}

pub(crate) fn sources(sensors: &Sensors) -> Vec<Source> {
    let infos = sensors.sources().iter();
    infos
        .zip(sensors.status())
        .map(|(info, s)| Source {
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

impl Status {
    /// The answer to "is it working?" first, details after.
    pub(crate) fn human(&self) -> String {
        let up = format_duration(self.at.since(self.started));
        let mut out = format!(
            "posse {} has run for {up}, mode {}\n",
            self.version, self.mode
        );
        if let Some(why) = &self.observing_because {
            out += &format!("  NOT ENFORCING: {why}\n");
        }
        out += &format!("  bans in force     {}\n", self.bans);
        if let Some(d) = &self.dropped {
            out += &format!(
                "  kept out          {} packets, {} bytes\n",
                d.packets, d.bytes
            );
        }
        out += &format!(
            "  lines read        {} ({} counted by a rule, {} alerts)\n",
            self.engine.lines, self.engine.poured, self.engine.alerts
        );
        out += &format!(
            "  decisions         {} bans, {} extensions, {} refusals\n",
            self.policy.bans, self.policy.extensions, self.policy.refusals
        );
        out += &format!(
            "  ledger            {} entries, {} waiting, {} lost\n",
            self.recorder.size, self.recorder.queued, self.recorder.lost
        );
        if let Some(cause) = &self.recorder.paused {
            out += &format!("  RECORDING PAUSED  {cause}\n");
        }
        out += "sources:\n";
        for s in &self.sources {
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
}
