//! The policy: takes alerts in their order, keeps what must be remembered between them (bans in
//! force, offenders, good visitors, the circuit breaker), and says what is to be done.
//!
//! Owns all mutable state of the room. Every verdict depends only on the alerts before it, never
//! on how they were cut into batches.

use std::{net::IpAddr, time::Duration};

use model::{
    Alert, Author, Decision, HostFacts, KnownBan, Measure, Notice, Origin, Prefix, PrefixRows,
    Refusal, RefusalReason, Release, ReleaseReason, Scope, Timestamp, format_duration, glob,
    limits,
};

use crate::{
    breaker::{Admission, Breaker},
    config::{BanConfig, ConfigError, PolicyConfig, RangeConfig, RuleAction},
    escalation::{Candidate, candidates, check_bystanders, check_good},
    guard::{self, Guard},
    history::{Ban, BanHistory},
    own_ban::OwnBan,
    recent::Recent,
};

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Ban, or extend the ban on the same prefix.
    Ban(Decision),
    /// A ban was called for and must not be.
    Refuse(Refusal),
    /// Lift this ban: a wider one took its place, or it is protected now.
    Supersede(Release),
    /// Tell the operator.
    Notice(Notice),
}

/// What was counted since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PolicyStats {
    pub alerts: u64,
    pub bans: u64,
    pub extensions: u64,
    /// Alerts about sources that were banned long enough already.
    pub already_banned: u64,
    /// Alerts that ask for no measure, by their rule or by configuration.
    pub alert_only: u64,
    pub refusals: u64,
    /// Memory given up at a limit.
    pub offenders_evicted: u64,
    pub good_evicted: u64,
    pub restored_dropped: u64,
    /// Bans in force.
    pub active: u64,
}

#[derive(Clone, Debug)]
pub struct Policy {
    config: BanConfig,
    bans_max: u64,
    /// What [`Policy::bound_memory`] leaves room for.
    bans_max_memory: u64,
    guard: Guard,
    breaker: Breaker,
    history: BanHistory,
    /// How often a source was banned, by the end of its last ban.
    offenders: Recent<u32>,
    good: Recent<()>,
    /// Ranges whose widening was refused, so that it is said once a window.
    said: Recent<()>,
    stats: PolicyStats,
}

/// Bytes of a ban in force, in trees that are filled to two thirds.
const BAN_BYTES: usize = 256;
/// Bytes of an offender or a good visitor.
const RECENT_BYTES: usize = 128;
/// Addresses remembered for something good.
const GOOD_MAX: usize = 65_536;
/// Refused ranges remembered.
const SAID_MAX: usize = 65_536;
/// Bans that may always be held while they are restored.
const RESTORE_MIN: usize = 65_536;
/// An extension must add at least this part of the ban, or a source that keeps knocking would
/// give a decision a second.
const EXTENSION_PART: u32 = 10;

/// One alert being judged.
#[derive(Clone, Copy)]
struct Case<'a> {
    alert: &'a Alert,
    facts: &'a HostFacts,
    now: Timestamp,
    /// Length of a first ban by this rule.
    base: Duration,
}

impl Policy {
    /// Fails on a configuration that cannot be meant; see [`PolicyConfig::check`].
    pub fn new(config: PolicyConfig) -> Result<Self, ConfigError> {
        config.check()?;
        Ok(Self {
            bans_max: config.never_ban.bans_max,
            bans_max_memory: u64::MAX,
            breaker: Breaker::new(config.never_ban.bans_per_minute),
            guard: Guard::new(config.never_ban),
            config: config.ban,
            history: BanHistory::default(),
            offenders: Recent::new(limits::OFFENDERS_MAX),
            good: Recent::new(GOOD_MAX),
            said: Recent::new(SAID_MAX),
            stats: PolicyStats::default(),
        })
    }

    /// Bounds what is remembered to about so many bytes: bans, offenders, good visitors. Call it
    /// before anything is remembered.
    pub fn bound_memory(&mut self, bytes: usize) {
        let (bans, others) = (bytes / 2 / BAN_BYTES, bytes / 6 / RECENT_BYTES);
        self.bans_max_memory = bans as u64;
        self.bans_max = self.bans_max.min(self.bans_max_memory);
        self.offenders.set_max(others.min(limits::OFFENDERS_MAX));
        self.good.set_max(others.min(GOOD_MAX));
        self.said.set_max(others.min(SAID_MAX));
    }

    /// Takes a new configuration and keeps what is known; on error nothing changes. Bans that are
    /// protected now are lifted by [`Policy::recheck`].
    pub fn reconfigure(&mut self, config: PolicyConfig) -> Result<(), ConfigError> {
        config.check()?;
        self.bans_max = config.never_ban.bans_max.min(self.bans_max_memory);
        self.breaker.set_limit(config.never_ban.bans_per_minute);
        self.guard = Guard::new(config.never_ban);
        self.config = config.ban;
        Ok(())
    }

    /// The wall clock was set by so many nanoseconds (negative: back). Everything remembered moves
    /// with it, so that bans last as long as was decided and nothing is forgotten early or late.
    pub fn clock_was_set(&mut self, by: i64) {
        let move_on = |at: Timestamp| {
            if at == Timestamp::MAX {
                at
            } else {
                Timestamp::from_nanos(at.nanos().saturating_add(by))
            }
        };
        self.breaker.shift(&move_on);
        self.history.shift(&move_on);
        self.offenders.shift(&move_on);
        self.good.shift(&move_on);
        self.said.shift(&move_on);
    }

    /// Takes back decisions from the store, without those that were released; of those on one
    /// prefix the last counts. Active ones are in force again, past ones make their sources repeat
    /// offenders. When more are active than may be, the latest are dropped. The guard is not
    /// asked: call [`Policy::recheck`] next.
    pub fn restore(&mut self, decisions: &mut dyn Iterator<Item = KnownBan>, now: Timestamp) {
        let room = usize::try_from(self.bans_max).unwrap_or(usize::MAX);
        let room = room.saturating_sub(self.history.len());
        let mut active = PrefixRows::default();
        let mut offenders = PrefixRows::default();
        for known in decisions {
            if known.by == Author::Guard {
                let bans = known.repeat.saturating_add(1);
                offenders.push(known.prefix, (known.until, bans));
            }
            if known.until > now {
                active.push(known.prefix, Ban::from(&known));
            }
            // Ever so many may come, but no more are held at a time than twice what is kept.
            if offenders.len() >= 2 * limits::OFFENDERS_MAX {
                self.offenders.restore(std::mem::take(&mut offenders));
            }
            if active.len() / 2 >= room.max(RESTORE_MIN) {
                self.stats.restored_dropped += drop_latest(&mut active, room);
            }
        }
        self.stats.restored_dropped += drop_latest(&mut active, room);
        self.history.restore(active);
        self.offenders.restore(offenders);
    }

    /// Judges alerts in their order.
    pub fn judge(&mut self, alerts: &[Alert], facts: &HostFacts, now: Timestamp) -> Vec<Verdict> {
        let mut verdicts = self.tick(now);
        for alert in alerts {
            self.stats.alerts += 1;
            match base_duration(&self.config, alert) {
                Some(base) => {
                    self.judge_source(
                        Case {
                            alert,
                            facts,
                            now,
                            base,
                        },
                        &mut verdicts,
                    );
                }
                None => self.stats.alert_only += 1,
            }
        }
        verdicts
    }

    /// An operator asks for a ban: `Ban` or `Refuse`. The guard applies, the circuit breaker does
    /// not. A zero duration stands for the configured one.
    pub fn request(
        &mut self,
        prefix: Prefix,
        duration: Duration,
        reason: &str,
        by: Origin,
        facts: &HostFacts,
        now: Timestamp,
    ) -> Verdict {
        self.history.expire(now);
        let full = self.history.get(prefix).is_none() && self.is_full();
        let checked = match self.guard.check(prefix, facts) {
            Ok(()) if full => Err(RefusalReason::TooMany {
                limit: self.bans_max,
            }),
            checked => checked,
        };
        if let Err(reason) = checked {
            self.stats.refusals += 1;
            let refusal = Refusal {
                at: now,
                prefix: Some(prefix),
                reason,
                origin: by,
                alerts: Vec::new(),
            };
            return Verdict::Refuse(refusal);
        }
        let duration = if duration.is_zero() {
            self.config.duration
        } else {
            duration
        };
        let decision = Decision {
            measure: Measure::Ban,
            prefix,
            from: now,
            until: now.plus(duration),
            reason: reason.to_owned(),
            origin: by,
            alerts: Vec::new(),
            repeat: 0,
            in_kernel: None,
        };
        self.stats.bans += 1;
        self.history
            .insert(prefix, Ban::from(&KnownBan::from(&decision)));
        Verdict::Ban(decision)
    }

    /// Lifts the ban on `prefix` and all narrower ones in it, and forgets that they were
    /// offenders. For a single address the ban on the source it belongs to (an IPv6 /64) is meant
    /// too. Empty when nothing was lifted; [`Policy::covering`] then tells of a wider ban.
    pub fn release(&mut self, prefix: Prefix, by: &Origin, now: Timestamp) -> Vec<Release> {
        self.history.expire(now);
        let mut lifted: Vec<Prefix> = self.history.within(prefix).map(|(p, _)| p).collect();
        let unit = self.unit(prefix);
        if prefix.is_host() && unit != prefix && self.history.get(unit).is_some() {
            lifted.push(unit);
        }
        self.offenders.remove(prefix);
        lifted
            .into_iter()
            .map(|p| self.lift(p, ReleaseReason::Operator, by, now))
            .collect()
    }

    /// Lifts every ban.
    pub fn release_all(&mut self, by: &Origin, now: Timestamp) -> Vec<Release> {
        self.history.expire(now);
        let lifted: Vec<Prefix> = self.history.iter().map(|(prefix, _)| prefix).collect();
        lifted
            .into_iter()
            .map(|p| self.lift(p, ReleaseReason::Panic, by, now))
            .collect()
    }

    /// Lifts bans that touch something protected today; call when facts or configuration changed.
    pub fn recheck(&mut self, facts: &HostFacts, now: Timestamp) -> Vec<Verdict> {
        self.history.expire(now);
        let mut touched: Vec<Prefix> = Vec::new();
        for protected in self.guard.protected(facts) {
            touched.extend(self.history.covering(protected).map(|(prefix, _)| prefix));
            touched.extend(self.history.within(protected).map(|(prefix, _)| prefix));
        }
        touched.sort_unstable();
        touched.dedup();
        touched
            .into_iter()
            .map(|p| self.lift(p, ReleaseReason::Protected, &Origin::Guard, now))
            .map(Verdict::Supersede)
            .collect()
    }

    /// An address did something good (such as a successful login): its range is not banned for a
    /// while. The address itself is not protected.
    pub fn record_good(&mut self, address: IpAddr, at: Timestamp) {
        self.good.set(Prefix::host(address), at, ());
    }

    /// What [`Policy::record_good`] was told, to be told again after a restart.
    pub fn known_good(&self) -> impl Iterator<Item = (IpAddr, Timestamp)> {
        self.good.iter().map(|(prefix, at)| (prefix.addr(), at))
    }

    /// Forgets what is over; gives the notice when the circuit breaker closes.
    pub fn tick(&mut self, now: Timestamp) -> Vec<Verdict> {
        self.history.expire(now);
        self.offenders.expire(now.minus(self.config.forget_after));
        self.good.expire(now.minus(self.config.good_for));
        self.said.expire(now);
        let closed = self.breaker.close(now).map(|refused| {
            notice(
                now,
                "circuit_closed",
                format!("bans are made again; {refused} were refused"),
            )
        });
        closed.into_iter().collect()
    }

    /// When [`Policy::tick`] next has something to say.
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        self.breaker.closes_at()
    }

    /// Bans in force, by prefix; those that ended since the last call of another method included.
    pub fn bans(&self) -> impl Iterator<Item = (Prefix, &Ban)> {
        self.history.iter()
    }

    /// The narrowest ban in force that covers `prefix`.
    pub fn covering(&self, prefix: Prefix, now: Timestamp) -> Option<(Prefix, &Ban)> {
        self.history
            .covering(prefix)
            .find(|(_, ban)| ban.until > now)
    }

    pub const fn guard(&self) -> &Guard {
        &self.guard
    }

    pub fn stats(&self) -> PolicyStats {
        PolicyStats {
            offenders_evicted: self.offenders.evicted(),
            good_evicted: self.good.evicted(),
            active: self.history.len() as u64,
            ..self.stats
        }
    }
}

/// From an alert to its ban.
impl Policy {
    fn judge_source(&mut self, case: Case<'_>, verdicts: &mut Vec<Verdict>) {
        let source = match self.locate(case) {
            Ok(source) => source,
            Err((prefix, reason)) => return self.refuse(case, prefix, reason, verdicts),
        };
        let same = self.history.get(source).copied();
        let repeat = same.map_or_else(|| self.repeats(source), |ban| ban.repeat);
        let length = self.grown(case, repeat);
        let until = case.now.plus(length);
        let gain = length / EXTENSION_PART;
        if self
            .history
            .covering(source)
            .any(|(_, ban)| ban.until.plus(gain) >= until)
        {
            self.stats.already_banned += 1;
            return;
        }
        self.widen(case, source, verdicts);
        if self
            .history
            .covering(source)
            .any(|(_, ban)| ban.until >= until)
        {
            return self.offend(source, until, repeat);
        }
        if same.is_none() && !self.admit(case, source, verdicts) {
            return;
        }
        let ban = Decision {
            measure: Measure::Ban,
            prefix: source,
            from: case.now,
            until,
            reason: case.alert.rule.clone(),
            origin: Origin::Guard,
            alerts: vec![case.alert.id],
            repeat,
            in_kernel: None,
        };
        if same.is_some() {
            self.stats.extensions += 1;
        }
        self.enact(ban, 1, verdicts);
    }

    /// The prefix that stands for the alert's source and that the guard lets through.
    fn locate(&self, case: Case<'_>) -> Result<Prefix, (Option<Prefix>, RefusalReason)> {
        let Case {
            alert, facts, now, ..
        } = case;
        let named = match &alert.scope {
            Scope::Ip => alert.address.map(Prefix::host),
            Scope::Range => alert.range,
            Scope::As | Scope::Country | Scope::Other(_) => {
                return Err((None, RefusalReason::NoAddress));
            }
        };
        let Some(named) = named.or_else(|| alert.value.parse().ok()) else {
            return Err((None, RefusalReason::NoAddress));
        };
        if !named.is_host() {
            // A rule that names a range vouches for it; only good visitors speak against that.
            let since = now.minus(self.config.good_for);
            return self
                .guard
                .check_automatic(named, facts)
                .and_then(|()| check_good(&self.good, named, since))
                .map(|()| named)
                .map_err(|reason| (Some(named), reason));
        }
        let unit = self.unit(named);
        if self.guard.check_automatic(unit, facts).is_ok() {
            return Ok(unit);
        }
        // Something protected lives in the same /64: the one address can still be banned.
        match self.guard.check_automatic(named, facts) {
            Ok(()) => Ok(named),
            Err(reason) => Err((Some(named), reason)),
        }
    }

    /// Bans the widest range that has become a source of its own.
    fn widen(&mut self, case: Case<'_>, source: Prefix, verdicts: &mut Vec<Verdict>) {
        if guard::shared(source) {
            return;
        }
        let family = self.family(source).clone();
        let good_since = case.now.minus(self.config.good_for);
        for found in candidates(&self.history, &family, source, case.now) {
            let Candidate { range, sources, .. } = found;
            let checked = self
                .guard
                .check_automatic(range, case.facts)
                .and_then(|()| check_good(&self.good, range, good_since))
                .and_then(|()| check_bystanders(&family, range, sources));
            match checked {
                Ok(()) => return self.ban_range(case, found, &family, verdicts),
                Err(_) if self.said.get(range).is_some() => {}
                Err(reason) => {
                    self.said.set(range, case.now.plus(family.window), ());
                    self.refuse(case, Some(range), reason, verdicts);
                }
            }
        }
    }

    fn ban_range(
        &mut self,
        case: Case<'_>,
        found: Candidate,
        family: &RangeConfig,
        verdicts: &mut Vec<Verdict>,
    ) {
        let Candidate {
            range,
            sources,
            alerts,
        } = found;
        if !self.admit(case, range, verdicts) {
            return;
        }
        let repeat = self.repeats(range);
        let mut named = vec![case.alert.id];
        named.extend(alerts);
        let window = format_duration(family.window);
        let ban = Decision {
            measure: Measure::Ban,
            prefix: range,
            from: case.now,
            until: case.now.plus(self.grown(case, repeat)),
            reason: format!(
                "{sources} sources within {window}, last by {}",
                case.alert.rule
            ),
            origin: Origin::Guard,
            alerts: named,
            repeat,
            in_kernel: None,
        };
        self.enact(ban, sources, verdicts);
    }

    /// Whether there is room and time for one more ban. Says why not.
    fn admit(&mut self, case: Case<'_>, prefix: Prefix, verdicts: &mut Vec<Verdict>) -> bool {
        if self.is_full() {
            let reason = RefusalReason::TooMany {
                limit: self.bans_max,
            };
            self.refuse(case, Some(prefix), reason, verdicts);
            return false;
        }
        let admission = self.breaker.admit(case.now);
        if admission == Admission::Admitted {
            return true;
        }
        let limit = self.breaker.limit();
        if admission == Admission::Opened {
            let text = format!("more than {limit} automatic bans in a minute; further are refused");
            verdicts.push(notice(case.now, "circuit_open", text));
        }
        let reason = RefusalReason::CircuitOpen {
            limit_per_minute: limit,
        };
        self.refuse(case, Some(prefix), reason, verdicts);
        false
    }

    /// Puts the ban in force and lifts those that it makes needless. The ban comes first, so that
    /// the source is cut off at every moment.
    fn enact(&mut self, decision: Decision, sources: u32, verdicts: &mut Vec<Verdict>) {
        let (prefix, until, now) = (decision.prefix, decision.until, decision.from);
        self.stats.bans += 1;
        self.offend(prefix, until, decision.repeat);
        self.history.insert(
            prefix,
            Ban {
                sources,
                ..Ban::from(&KnownBan::from(&decision))
            },
        );
        verdicts.push(Verdict::Ban(decision));
        let needless: Vec<Prefix> = self
            .history
            .within(prefix)
            .filter(|(other, ban)| *other != prefix && ban.until <= until)
            .map(|(other, _)| other)
            .collect();
        for other in needless {
            self.history.remove(other);
            verdicts.push(Verdict::Supersede(Release {
                prefix: other,
                at: now,
                reason: ReleaseReason::Superseded,
                by: Origin::Guard,
            }));
        }
    }

    fn refuse(
        &mut self,
        case: Case<'_>,
        prefix: Option<Prefix>,
        reason: RefusalReason,
        verdicts: &mut Vec<Verdict>,
    ) {
        self.stats.refusals += 1;
        verdicts.push(Verdict::Refuse(Refusal {
            at: case.now,
            prefix,
            reason,
            origin: Origin::Guard,
            alerts: vec![case.alert.id],
        }));
    }

    fn lift(
        &mut self,
        prefix: Prefix,
        reason: ReleaseReason,
        by: &Origin,
        now: Timestamp,
    ) -> Release {
        self.history.remove(prefix);
        self.offenders.remove(prefix);
        Release {
            prefix,
            at: now,
            reason,
            by: by.clone(),
        }
    }

    /// What counts as one source: the address, or the customer's prefix around it.
    fn unit(&self, prefix: Prefix) -> Prefix {
        if guard::shared(prefix) {
            return prefix;
        }
        prefix.widen(self.family(prefix).prefix).unwrap_or(prefix)
    }

    const fn family(&self, prefix: Prefix) -> &RangeConfig {
        if prefix.is_ipv4() {
            &self.config.ipv4
        } else {
            &self.config.ipv6
        }
    }

    fn is_full(&self) -> bool {
        self.history.len() as u64 >= self.bans_max
    }

    /// How often `prefix` was banned before.
    fn repeats(&self, prefix: Prefix) -> u32 {
        self.offenders.get(prefix).map_or(0, |(_, bans)| *bans)
    }

    fn offend(&mut self, prefix: Prefix, until: Timestamp, repeat: u32) {
        self.offenders.set(prefix, until, repeat.saturating_add(1));
    }

    fn grown(&self, case: Case<'_>, repeat: u32) -> Duration {
        let Case { alert, base, .. } = case;
        if let Some(length) = OwnBan::of(alert).and_then(|own| own.grown(base, repeat)) {
            return length;
        }
        let factor = self.config.repeat_factor.saturating_pow(repeat);
        // A rule may ask for more than the ceiling outright; growth may not.
        base.checked_mul(factor)
            .unwrap_or(Duration::MAX)
            .min(self.config.duration_max.max(base))
    }
}

/// Keeps the `room` earliest bans, in their order; says how many went.
fn drop_latest(bans: &mut PrefixRows<Ban>, room: usize) -> u64 {
    let excess = bans.len().saturating_sub(room);
    if excess > 0 {
        let mut latest: Vec<(Timestamp, Prefix)> = bans
            .iter()
            .map(|(prefix, ban)| (ban.from, prefix))
            .collect();
        latest.sort_unstable();
        if let Some(first) = latest.get(room) {
            bans.retain(|prefix, ban| (ban.from, prefix) < *first);
        }
    }
    excess as u64
}

/// Length of a first ban for this alert; `None` when no ban is wanted.
fn base_duration(config: &BanConfig, alert: &Alert) -> Option<Duration> {
    if !alert.remediation || alert.simulated {
        return None;
    }
    match config
        .rules
        .iter()
        .find(|entry| glob::fits(&entry.rule, &alert.rule))
    {
        Some(entry) => match entry.action {
            RuleAction::AlertOnly => None,
            RuleAction::Ban => Some(entry.duration.unwrap_or(config.duration)),
        },
        None => {
            let own = OwnBan::of(alert).and_then(|own| own.first);
            Some(own.unwrap_or(config.duration))
        }
    }
}

fn notice(at: Timestamp, code: &str, text: String) -> Verdict {
    Verdict::Notice(Notice {
        at,
        code: code.to_owned(),
        text,
        prefixes: Vec::new(),
    })
}
