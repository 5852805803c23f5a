//! The guard's look at itself: is everything that a person relies on still so?
//!
//! Takes the numbers that the status page shows anyway, once a second, and gives notices: a source
//! that fell silent, a queue that drops, a disk that fills, a clock that jumped, a kernel that
//! does not hold what it should. Every notice has a stable code (`docs/self-alerts.md`), is told
//! once, again while it lasts, and once more with `_over` behind its code when it is over.
//!
//! No IO and no clock here: [`place`] asks the disk on its own thread, time comes as an argument.
//! Intervals are measured by a clock that nobody sets ("steady": time since boot).

mod ailments;
mod place;
mod rhythm;

use std::{path::PathBuf, time::Duration};

use model::{Notice, SourceStatus, Status, Timestamp, format_duration, parse_duration};
use sense::{Input, SourceSpec};
use serde::{Deserialize, Deserializer, de::Error as _};

use super::timekeeper::Jump;

pub(super) use self::place::{Place, Surveyor};
use self::{
    ailments::{Ailments, Saying},
    place::Disk,
    rhythm::Rhythm,
};

const MIB: u64 = 1 << 20;
/// What is not there at the start, or goes for a moment in a rotation, is not missed at once.
const PATIENCE: Duration = Duration::from_secs(60);

/// `[vitals]` of the configuration.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct VitalsConfig {
    /// A trouble that lasts is told of again this often.
    #[serde(deserialize_with = "span")]
    pub(crate) repeat_every: Duration,
    /// For sources that say nothing else themselves.
    pub(crate) silent_after: Silence,
    /// The disk of the state folder is too full when both are free no more.
    pub(crate) disk_free_mib: u64,
    pub(crate) disk_free_percent: u8,
    /// A wall clock that is this far from where it should be has been set.
    #[serde(deserialize_with = "span")]
    pub(crate) clock_jump: Duration,
}

impl Default for VitalsConfig {
    fn default() -> Self {
        Self {
            repeat_every: Duration::from_secs(6 * 3_600),
            silent_after: Silence::Learn,
            disk_free_mib: 1_024,
            disk_free_percent: 5,
            clock_jump: Duration::from_secs(60),
        }
    }
}

/// When a source's silence is told of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Silence {
    /// When it is unusual for this source.
    #[default]
    Learn,
    After(Duration),
    Off,
}

impl<'de> Deserialize<'de> for Silence {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        match text.as_str() {
            "auto" => Ok(Self::Learn),
            "off" => Ok(Self::Off),
            other => parse_duration(other).map(Self::After).map_err(|e| {
                D::Error::custom(format!("silent_after is \"auto\", \"off\" or a time: {e}"))
            }),
        }
    }
}

fn span<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(from)?;
    let span = parse_duration(&text).map_err(D::Error::custom)?;
    if span < Duration::from_secs(1) {
        return Err(D::Error::custom("expected a time of at least 1s"));
    }
    Ok(span)
}

/// One source as the configuration (or the search for sources) names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Watched {
    /// A path, a glob, or what the sensors call it.
    name: String,
    kind: NameKind,
    silence: Silence,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum NameKind {
    File,
    /// What stands before the first and behind the last wildcard.
    Glob {
        head: String,
        tail: String,
    },
    Other,
}

impl Watched {
    pub(crate) fn new(spec: &SourceSpec, silence: Silence) -> Self {
        let name = spec.input.to_string();
        let kind = match &spec.input {
            Input::File { pattern, .. } => {
                let is_wild = |c: char| matches!(c, '*' | '?' | '[' | ']');
                match (pattern.find(is_wild), pattern.rfind(is_wild)) {
                    (Some(first), Some(last)) => NameKind::Glob {
                        head: pattern.get(..first).unwrap_or_default().to_owned(),
                        tail: pattern.get(last + 1..).unwrap_or_default().to_owned(),
                    },
                    _ => NameKind::File,
                }
            }
            Input::Journal { .. }
            | Input::SyslogUdp { .. }
            | Input::SyslogTcp { .. }
            | Input::Stdin => NameKind::Other,
        };
        Self {
            name,
            kind,
            silence,
        }
    }

    fn means(&self, source: &str) -> bool {
        match &self.kind {
            NameKind::File | NameKind::Other => self.name == source,
            NameKind::Glob { head, tail } => source.starts_with(head) && source.ends_with(tail),
        }
    }
}

/// What is looked at.
pub(crate) struct Readings<'a> {
    pub(crate) status: &'a Status,
    pub(crate) place: &'a Place,
    /// Whether observing was asked for, so that not enforcing is no trouble.
    pub(crate) may_observe: bool,
    /// Time since boot.
    pub(crate) steady: Duration,
}

/// Owns what is known of the guard's health.
#[derive(Debug)]
pub(crate) struct Vitals {
    config: VitalsConfig,
    watched: Vec<(Watched, Rhythm)>,
    ailments: Ailments,
    begun: Duration,
    /// When a source was first seen to be missing, by its place in `watched`.
    missing_since: Vec<Option<Duration>>,
    kernel: KernelTrouble,
    clock: ClockTrouble,
}

#[derive(Debug, Default)]
struct KernelTrouble {
    repairs: u64,
    last_repair: String,
    /// Why the kernel refuses, while it does.
    refusal: Option<String>,
}

/// The times that the clock was set, and the last of them.
#[derive(Debug, Default)]
struct ClockTrouble {
    jumps: u64,
    last: String,
}

impl Vitals {
    pub(crate) fn new(config: VitalsConfig, watched: Vec<Watched>, steady: Duration) -> Self {
        let mut vitals = Self {
            ailments: Ailments::new(config.repeat_every),
            config,
            watched: Vec::new(),
            begun: steady,
            missing_since: Vec::new(),
            kernel: KernelTrouble::default(),
            clock: ClockTrouble::default(),
        };
        vitals.watch(watched, steady);
        vitals
    }

    /// Takes another configuration; what is known of sources that stay is kept.
    pub(crate) fn reconfigure(
        &mut self,
        config: VitalsConfig,
        watched: Vec<Watched>,
        steady: Duration,
    ) {
        self.ailments.set_repeat(config.repeat_every);
        self.config = config;
        self.watch(watched, steady);
    }

    fn watch(&mut self, watched: Vec<Watched>, steady: Duration) {
        let mut old = std::mem::take(&mut self.watched);
        self.missing_since = vec![None; watched.len()];
        for new in watched {
            let known = old.iter().position(|(w, _)| w.name == new.name);
            let rhythm =
                known.map_or_else(|| Rhythm::new(steady), |place| old.swap_remove(place).1);
            self.watched.push((new, rhythm));
        }
    }

    pub(crate) const fn clock_jump(&self) -> Duration {
        self.config.clock_jump
    }

    /// Log files that are watched by their name.
    pub(crate) fn named_files(&self) -> Vec<PathBuf> {
        let named = self.watched.iter().map(|(w, _)| w);
        named
            .filter(|w| w.kind == NameKind::File)
            .map(|w| PathBuf::from(&w.name))
            .collect()
    }

    /// The kernel's set had to be put right.
    pub(crate) fn kernel_repaired(&mut self, what: String) {
        self.kernel.repairs += 1;
        self.kernel.last_repair = what;
    }

    /// The kernel took a change, or why it did not.
    pub(crate) fn kernel_took(&mut self, outcome: Result<(), String>) {
        self.kernel.refusal = outcome.err();
    }

    /// The wall clock was set.
    pub(crate) fn clock_jumped(&mut self, jump: Jump) {
        self.clock.jumps += 1;
        let direction = if jump.is_forward() { "forward" } else { "back" };
        self.clock.last = format!("{direction} by {}", format_duration(jump.span()));
    }

    /// Everything once.
    pub(crate) fn look(&mut self, readings: &Readings<'_>) -> Vec<Notice> {
        let mut round = Round {
            ailments: &mut self.ailments,
            said: Vec::new(),
            steady: readings.steady,
        };
        let status = readings.status;
        look_at_sources(
            &mut self.watched,
            &mut self.missing_since,
            &self.config,
            readings,
            &mut round,
        );
        if readings.steady.saturating_sub(self.begun) >= PATIENCE {
            look_at_coverage(&self.watched, readings, &mut round);
        }
        look_at_queues(status, &mut round);
        look_at_record(status, &mut round);
        look_at_disk(readings.place.disk, &self.config, &mut round);
        look_at_kernel(&self.kernel, readings, &mut round);
        look_at_clock(&self.clock, &mut round);
        let said = round.said;
        said.into_iter()
            .map(|saying| notice(saying, status.at))
            .collect()
    }
}

fn notice(saying: Saying, at: Timestamp) -> Notice {
    Notice {
        at,
        code: saying.code,
        text: saying.text,
        prefixes: Vec::new(),
    }
}

/// One look in the making.
struct Round<'a> {
    ailments: &'a mut Ailments,
    said: Vec<Saying>,
    steady: Duration,
}

impl Round<'_> {
    fn state(&mut self, code: &'static str, subject: &str, ill: Option<String>, over: &str) {
        let saying = self.ailments.look(code, subject, ill, over, self.steady);
        self.said.extend(saying);
    }

    /// A counter that should stand still; `text` is given how much it grew.
    fn growth(
        &mut self,
        code: &'static str,
        subject: &str,
        value: u64,
        text: impl FnOnce(u64) -> String,
        over: &str,
    ) {
        let grown = self.ailments.growth(code, subject, value, self.steady);
        self.state(code, subject, grown.map(text), over);
    }
}

fn look_at_sources(
    watched: &mut [(Watched, Rhythm)],
    missing_since: &mut [Option<Duration>],
    config: &VitalsConfig,
    readings: &Readings<'_>,
    round: &mut Round<'_>,
) {
    let steady = readings.steady;
    for ((source, rhythm), missing) in watched.iter_mut().zip(missing_since) {
        let (lines, dropped) = counted(source, &readings.status.sources);
        rhythm.hear(lines, steady);
        let name = source.name.as_str();
        let is_gone = source.kind == NameKind::File
            && (readings.place.missing.iter()).any(|path| path.as_os_str() == name);
        *missing = is_gone.then(|| missing.unwrap_or(steady));
        let is_missing = missing.is_some_and(|since| steady.saturating_sub(since) >= PATIENCE);
        round.state(
            "source_missing",
            name,
            is_missing.then(|| {
                format!(
                    "{name} is not there: attacks that it would show are not seen. It is read as \
                     soon as it appears; if it has moved, change [[source]] in posse.toml"
                )
            }),
            &format!("{name} is there again"),
        );
        let silence = match source.silence {
            Silence::Learn => config.silent_after,
            own @ (Silence::After(_) | Silence::Off) => own,
        };
        // A file that is not there is silent too; one trouble is enough.
        let silent = silent_for(rhythm, silence, steady).filter(|_| !is_missing);
        round.state(
            "source_silent",
            name,
            silent.map(|span| {
                format!(
                    "no line from {name} for {}, which is unusual: is the service that writes it \
                     running, does its logging reach here? (silent_after in posse.toml sets when \
                     this is told)",
                    format_duration(span)
                )
            }),
            &format!("{name} speaks again"),
        );
        round.growth(
            "lines_dropped",
            name,
            dropped,
            |n| {
                format!(
                    "{n} lines or connections of {name} were dropped: they came faster than they \
                     could be read, or too many at once; attacks in them are not seen"
                )
            },
            &format!("no more lines of {name} are dropped"),
        );
    }
}

/// Lines and drops of all sources that one name stands for.
fn counted(source: &Watched, all: &[SourceStatus]) -> (u64, u64) {
    all.iter()
        .filter(|s| source.means(&s.name))
        .fold((0, 0), |(lines, dropped), s| {
            (lines + s.lines, dropped + s.dropped)
        })
}

/// How long the source has been silent, when that is too long.
fn silent_for(rhythm: &Rhythm, silence: Silence, steady: Duration) -> Option<Duration> {
    let limit = match silence {
        Silence::Off => return None,
        Silence::After(limit) => limit,
        Silence::Learn => rhythm.patience()?,
    };
    let silent = Duration::from_secs(rhythm.silence(steady).as_secs());
    (silent >= limit).then_some(silent)
}

fn look_at_coverage(watched: &[(Watched, Rhythm)], readings: &Readings<'_>, round: &mut Round<'_>) {
    let can_be_read = |source: &&SourceStatus| source.error.is_none();
    let works = |(w, _): &&(Watched, Rhythm)| {
        let mut sources = readings.status.sources.iter().filter(can_be_read);
        let is_gone = (readings.place.missing.iter()).any(|path| path.as_os_str() == &*w.name);
        !is_gone && sources.any(|s| w.means(&s.name))
    };
    let nothing = watched.iter().find(works).is_none();
    round.state(
        "nothing_watched",
        "",
        nothing.then(|| {
            "no log source can be read: no attack will be seen. `posse doctor` explains what was \
             looked for; name sources in posse.toml ([[source]])"
                .to_owned()
        }),
        "log sources are watched again",
    );
    for source in &readings.status.sources {
        // A source that was refused once for each of many reasons must not fill the memory.
        if !watched.iter().any(|(w, _)| w.name == source.name) {
            continue;
        }
        let ill = source.error.as_ref();
        round.state(
            "source_unreadable",
            &source.name,
            ill.map(|why| format!("{} cannot be read: {why}", source.name)),
            &format!("{} can be read again", source.name),
        );
    }
}

fn look_at_queues(status: &Status, round: &mut Round<'_>) {
    round.growth(
        "news_dropped",
        "",
        status.feed_lines_dropped,
        |n| {
            format!(
                "{n} news did not reach a listener (terminal, alerts, status page) that was too \
                 slow; the ledger has them all (`posse alerts`, `posse bans`)"
            )
        },
        "news reach all listeners again",
    );
    round.growth(
        "buckets_evicted",
        "",
        status.engine.buckets_evicted,
        |n| {
            format!(
                "{n} counts of suspicious sources were given up to stay within the memory limit: \
                 slow attackers among them must begin anew. Raise [limits] buckets if there is \
                 memory"
            )
        },
        "no more counts are given up",
    );
}

fn look_at_record(status: &Status, round: &mut Round<'_>) {
    let record = &status.recorder;
    round.state(
        "record_paused",
        "",
        record.paused.as_ref().map(|cause| {
            format!(
                "recording is paused, bans go on: {cause}. {} entries wait; free space or repair \
                 the disk of the state folder",
                record.queued
            )
        }),
        "recording works again",
    );
    round.growth(
        "record_lost",
        "",
        record.lost,
        |n| format!("{n} entries could not be recorded and are lost; the ledger says how many"),
        "no more entries are lost",
    );
    round.growth(
        "journal_failed",
        "",
        status.journal_failures,
        |n| {
            format!(
                "{n} writes of the intake journal failed: after a crash lines may count twice. \
                 Look at the disk of the state folder"
            )
        },
        "the intake journal can be written again",
    );
}

fn look_at_disk(disk: Option<Disk>, config: &VitalsConfig, round: &mut Round<'_>) {
    let Some(Disk { free, size }) = disk else {
        return;
    };
    let few_bytes = free < config.disk_free_mib.saturating_mul(MIB);
    let small_part =
        u128::from(free) * 100 < u128::from(size) * u128::from(config.disk_free_percent);
    round.state(
        "disk_filling",
        "",
        (few_bytes && small_part).then(|| {
            format!(
                "{} MiB of {} MiB are free on the disk of the state folder. When it is full, bans \
                 go on but nothing is recorded: make room, or set [ledger] keep",
                free / MIB,
                size / MIB
            )
        }),
        "the disk of the state folder has room again",
    );
}

fn look_at_kernel(kernel: &KernelTrouble, readings: &Readings<'_>, round: &mut Round<'_>) {
    let status = readings.status;
    round.growth(
        "kernel_drift",
        "",
        kernel.repairs,
        |n| {
            let times = if n == 1 {
                String::new()
            } else {
                format!(", {n} times so far")
            };
            format!(
                "the kernel's set was not as it should be and was put right{times} ({}). Another \
                 program or person changes table {}: see `nft list tables` and whatever reloads \
                 the firewall",
                kernel.last_repair, "inet posse"
            )
        },
        "the kernel's set stays as it should be",
    );
    round.state(
        "kernel_refused",
        "",
        kernel.refusal.as_ref().map(|why| {
            format!(
                "the kernel does not take changes: {why}. Bans that it has stay in force; new ones \
                 are tried again every second"
            )
        }),
        "the kernel takes changes again",
    );
    let unwanted = status
        .observing_because
        .as_ref()
        .filter(|_| !readings.may_observe);
    round.state(
        "not_enforcing",
        "",
        unwanted.map(|why| {
            format!("NOTHING IS BANNED, attacks are only observed: {why}. See `posse doctor`")
        }),
        "bans go to the kernel again",
    );
}

fn look_at_clock(clock: &ClockTrouble, round: &mut Round<'_>) {
    round.growth(
        "clock_jumped",
        "",
        clock.jumps,
        |n| {
            let times = if n == 1 {
                String::new()
            } else {
                format!(" ({n} times, this the last)")
            };
            format!(
                "the clock was set {}{times}. Bans in force keep their length; entries of the \
                 ledger before and after carry different times. See `timedatectl` for whether the \
                 clock is kept right",
                clock.last
            )
        },
        "the clock goes evenly again",
    );
}

#[cfg(test)]
mod tests;
