//! One nf_tables table of our own, over one netlink socket. IO, thin: what is sent is written by
//! `layout` and `element`, what comes back is read by `decode`.

use std::{collections::BTreeMap, time::Duration};

use model::{Prefix, Timestamp};

use crate::{
    decode::{self, Element, Range, RuleFacts, TableFacts},
    element::{ElementList, write_changes, write_flush, write_question},
    error::EnforceError,
    exchange::{Answer, Exchange, Next},
    layout::{self, Rule, Way},
    plan::{KernelChange, Wanted, condense, reconcile, timeout},
    set::SetKind,
    wire::{F_DUMP, F_EXCL, Kind},
};

/// Bytes of one batch of a bulk load: large enough that its fixed cost does not show, small
/// enough that memory stays flat and packets are not held up by the commit.
const LOAD_BYTES: usize = 2 << 20;
/// More than the bytes any one change takes in a batch.
const CHANGE_BYTES_MAX: usize = 256;
/// Changes in one atomic batch; beyond it there are several (see [`Firewall::apply`]).
const CHANGES_PER_BATCH_MAX: usize = 262_144;
/// Elements of one set that [`Firewall::sync`] reads: about half a second.
const DUMP_ELEMENTS_MAX: usize = 131_072;
const DUMP_ATTEMPTS: u32 = 8;
const RESOLVE_ATTEMPTS: u32 = 4;
const TABLE_NAME_BYTES_MAX: usize = 200;
/// `NFT_TABLE_F_DORMANT`: the table is there but does nothing.
const TABLE_DORMANT: u32 = 1;

/// How the table is called and where its chains hook in.
#[derive(Clone, Debug)]
pub struct FirewallOptions {
    pub table: String,
    /// Hook priority; the default is before connection tracking (-200) and before `raw` (-300).
    pub priority: i32,
    /// Bytes of one batch of a bulk load. All tables share the kernel's lock for changes: while
    /// one batch is taken in, a change of another table waits.
    pub load_bytes: usize,
}

impl Default for FirewallOptions {
    fn default() -> Self {
        Self {
            table: "posse".to_owned(),
            priority: -310,
            load_bytes: LOAD_BYTES,
        }
    }
}

/// What [`Firewall::apply`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    pub added: usize,
    pub updated: usize,
    pub removed: usize,
    /// The kernel was not as the changes assumed (an element had ended, or somebody else put one
    /// in), and the touched prefixes were brought into line.
    pub resolved: bool,
    /// The table itself was not as it ought to be and was repaired first; what other bans it has
    /// lost only [`Firewall::sync`] can tell.
    pub repaired: bool,
}

impl Applied {
    fn of(changes: &[KernelChange]) -> Self {
        let mut applied = Self::default();
        for change in changes {
            match change {
                KernelChange::Add { .. } => applied.added += 1,
                KernelChange::Update { .. } => applied.updated += 1,
                KernelChange::Remove { .. } => applied.removed += 1,
            }
        }
        applied
    }
}

/// What [`Firewall::sync`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Synced {
    pub applied: Applied,
    /// A set was too large to be compared, and was written anew.
    pub replaced: bool,
}

/// What [`Firewall::sync`] does with a set that is too large to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LargeSets {
    /// Empty it and fill it again, in one batch: exact, and no other table changes meanwhile.
    Replace,
    /// Put in what it lacks, in small batches; what it has too much stays.
    TopUp,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counter {
    pub packets: u64,
    pub bytes: u64,
}

impl Counter {
    const fn count(&mut self, rule: &RuleFacts) {
        self.packets = self.packets.saturating_add(rule.packets);
        self.bytes = self.bytes.saturating_add(rule.bytes);
    }
}

/// Traffic dropped since the rules were written, by the direction of the banned address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    pub from_ipv4: Counter,
    pub to_ipv4: Counter,
    pub from_ipv6: Counter,
    pub to_ipv6: Counter,
}

/// The table in the kernel, and the socket to it.
#[derive(Debug)]
pub struct Firewall {
    options: FirewallOptions,
    exchange: Exchange,
}

/// How the table in the kernel compares with ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Condition {
    Sound,
    /// Missing, or with rules that are not ours: writing the layout again mends it.
    Incomplete,
    /// Of another layout: only building it anew helps.
    Foreign,
}

impl Firewall {
    /// Opens the table, creating or repairing it as needed; elements already there stay.
    pub fn open(options: FirewallOptions) -> Result<Self, EnforceError> {
        let valid = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
        let name = options.table.as_bytes();
        if name.is_empty() || name.len() > TABLE_NAME_BYTES_MAX || !name.iter().all(|b| valid(*b)) {
            return Err(EnforceError::TableName {
                name: options.table,
            });
        }
        let mut firewall = Self {
            options,
            exchange: Exchange::open()?,
        };
        firewall.ensure()?;
        Ok(firewall)
    }

    /// Whether this process may use nf_tables here; changes nothing.
    pub fn probe(options: FirewallOptions) -> Result<(), EnforceError> {
        let mut firewall = Self {
            options,
            exchange: Exchange::open()?,
        };
        firewall.table_facts()?;
        // Reading is open to all; an empty transaction is refused to whom changes would be.
        let mut nothing = firewall.exchange.batch();
        firewall.exchange.commit(&mut nothing, "probe")
    }

    /// Whether no ban is in the table.
    pub fn is_empty(&mut self) -> Result<bool, EnforceError> {
        for set in SetKind::ALL {
            if !self
                .dump_set(set, 1)?
                .is_some_and(|ranges| ranges.is_empty())
            {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Repairs the table, chains and rules if they are not as they ought to be, and takes out
    /// intervals that no ban of ours can have made; bans stay. `true` if there was anything to
    /// repair: then reconcile as well.
    pub fn ensure(&mut self) -> Result<bool, EnforceError> {
        let condition = self.inspect()?;
        match condition {
            Condition::Sound => {}
            Condition::Foreign => self.rebuild()?,
            Condition::Incomplete => {
                let mut batch = self.exchange.batch();
                layout::write_layout(&self.options.table, self.options.priority, &mut batch);
                match self.exchange.commit(&mut batch, "create the table") {
                    Ok(()) => {}
                    // A set or chain of our name but of another make stands in the way.
                    Err(error) if error.errno().is_some() => self.rebuild()?,
                    Err(error) => return Err(error),
                }
            }
        }
        let strangers = self.remove_strangers()?;
        Ok(condition != Condition::Sound || strangers > 0)
    }

    /// Carries `changes` out in one atomic batch: all or none, and of several of one prefix what
    /// they come to. Should they not fit one (beyond some hundred thousand), additions go first,
    /// then networks, then removals.
    ///
    /// If the kernel's set is not as the changes assume, the touched prefixes are looked up and
    /// brought to the state the changes lead to.
    pub fn apply(&mut self, changes: &[KernelChange]) -> Result<Applied, EnforceError> {
        let changes = condense(changes);
        if changes.is_empty() {
            return Ok(Applied::default());
        }
        let room = self
            .exchange
            .reserve_send(changes.len().saturating_mul(CHANGE_BYTES_MAX))?;
        let limit = (room / CHANGE_BYTES_MAX).clamp(1, CHANGES_PER_BATCH_MAX);
        if changes.len() <= limit {
            return self.apply_batch(&changes);
        }
        let mut applied = Applied::default();
        let mut ordered = changes.into_owned();
        ordered.sort_by_key(|change| match change {
            c if SetKind::of(c.prefix()).is_interval() => 1,
            KernelChange::Add { .. } | KernelChange::Update { .. } => 0,
            KernelChange::Remove { .. } => 2,
        });
        for chunk in ordered.chunks(limit) {
            let done = self.apply_batch(chunk)?;
            applied.added += done.added;
            applied.updated += done.updated;
            applied.removed += done.removed;
            applied.resolved |= done.resolved;
            applied.repaired |= done.repaired;
        }
        Ok(applied)
    }

    /// Many bans at once, in several atomic batches with flat memory. A single address that is
    /// there already stays as it is. Networks go in last, by [`Firewall::apply`]; they must not
    /// overlap ([`Wanted::for_each_element`] gives such).
    pub fn load(
        &mut self,
        bans: &mut dyn Iterator<Item = (Prefix, Option<Duration>)>,
    ) -> Result<usize, EnforceError> {
        let load_bytes = self.options.load_bytes;
        // Each list may still hold one message that is not in the batch yet.
        let unsent = SetKind::ALL.len() << 16;
        let room = self.exchange.reserve_send(load_bytes + 2 * unsent)?;
        let table = self.options.table.clone();
        let mut batch = self.exchange.batch();
        let mut lists = SetKind::ALL.map(|set| ElementList::adding(set, 0));
        let mut networks = Vec::new();
        let full = load_bytes.min(room.saturating_sub(unsent));
        let mut count = 0;
        for (prefix, timeout) in bans {
            count += 1;
            let set = SetKind::of(prefix);
            if set.is_interval() {
                networks.push(KernelChange::Add { prefix, timeout });
                continue;
            }
            if let Some(list) = lists.get_mut(set.index()) {
                list.push(prefix, timeout, &table, &mut batch);
            }
            if batch.len() >= full {
                lists
                    .iter_mut()
                    .for_each(|list| list.flush(&table, &mut batch));
                self.exchange.commit(&mut batch, "load bans")?;
                batch.restart();
            }
        }
        lists
            .iter_mut()
            .for_each(|list| list.flush(&table, &mut batch));
        if !batch.is_empty() {
            self.exchange.commit(&mut batch, "load bans")?;
        }
        self.apply(&networks)?;
        Ok(count)
    }

    /// Brings the kernel in line with `desired`, whatever it holds now; for a start, and after
    /// [`crate::Monitor`] saw a change. At no time does a packet get through that is banned
    /// before and after.
    ///
    /// Sets are read and only differences change. What becomes of a set too large to be read in
    /// good time (see [`Firewall::dump`]), `large_sets` says.
    pub fn sync(
        &mut self,
        desired: &dyn Wanted,
        now: Timestamp,
        tolerance: Duration,
        large_sets: LargeSets,
    ) -> Result<Synced, EnforceError> {
        let mut held = Vec::new();
        let mut large = Vec::new();
        for set in SetKind::ALL {
            match self.dump_set(set, DUMP_ELEMENTS_MAX)? {
                Some(ranges) => held.extend(bans(ranges, set)),
                None => large.push(set),
            }
        }
        match large_sets {
            LargeSets::Replace => {
                for set in &large {
                    self.replace(*set, desired, now)?;
                }
            }
            LargeSets::TopUp => self.top_up(&large, desired, now)?,
        }
        let small = Except {
            wanted: desired,
            sets: &large,
        };
        let changes = reconcile(&small, &held, now, tolerance);
        let applied = self.apply(&changes)?;
        Ok(Synced {
            applied,
            replaced: !large.is_empty(),
        })
    }

    /// Every element with its remaining time.
    ///
    /// The kernel walks a hash set from its start for every 32 KiB of the answer, so the time
    /// grows with the square of the number of elements: 0.4 s for 100,000, 40 s for a million.
    pub fn dump(&mut self) -> Result<Vec<(Prefix, Option<Duration>)>, EnforceError> {
        let mut all = Vec::new();
        for set in SetKind::ALL {
            all.extend(bans(
                self.dump_set(set, usize::MAX)?.unwrap_or_default(),
                set,
            ));
        }
        Ok(all)
    }

    /// What was dropped since the rules were last written.
    pub fn counters(&mut self) -> Result<Counters, EnforceError> {
        let rules = self.rules()?;
        let mut counters = Counters::default();
        for (rule, facts) in Rule::all().filter_map(|r| {
            let tag = r.tag();
            Some((r, rules.iter().find(|f| f.tag == tag)?))
        }) {
            match (rule.way, rule.set.is_ipv4()) {
                (Way::From, true) => counters.from_ipv4.count(facts),
                (Way::To | Way::Out, true) => counters.to_ipv4.count(facts),
                (Way::From, false) => counters.from_ipv6.count(facts),
                (Way::To | Way::Out, false) => counters.to_ipv6.count(facts),
            }
        }
        Ok(counters)
    }

    /// Deletes the table and with it every ban. No table is no error.
    pub fn teardown(&mut self) -> Result<(), EnforceError> {
        let mut batch = self.exchange.batch();
        layout::delete_table(&self.options.table, &mut batch);
        match self.exchange.commit(&mut batch, "delete the table") {
            Err(error) if error.errno() == Some(libc::ENOENT) => Ok(()),
            result => result,
        }
    }

    pub(crate) const fn port(&self) -> u32 {
        self.exchange.port()
    }

    pub(crate) fn table(&self) -> &str {
        &self.options.table
    }

    fn inspect(&mut self) -> Result<Condition, EnforceError> {
        let Some(table) = self.table_facts()? else {
            return Ok(Condition::Incomplete);
        };
        if table.userdata != layout::comment(&layout::mark(self.options.priority)) {
            return Ok(Condition::Foreign);
        }
        let rules = self.rules()?;
        let ours = Rule::all()
            .map(Rule::tag)
            .eq(rules.iter().map(|r| r.tag.clone()));
        let sound = ours && rules.iter().all(|r| r.drops) && table.flags & TABLE_DORMANT == 0;
        Ok(if sound {
            Condition::Sound
        } else {
            Condition::Incomplete
        })
    }

    /// Deletes the table and builds it anew with the bans it held, all in one batch, so that at no
    /// time a banned packet gets through.
    fn rebuild(&mut self) -> Result<(), EnforceError> {
        tracing::warn!(
            table = self.options.table,
            "rebuilding a table of another layout"
        );
        let bans = self.salvage()?;
        let table = self.options.table.clone();
        let mut batch = self.exchange.batch();
        if self.table_facts()?.is_some() {
            layout::delete_table(&table, &mut batch);
        }
        layout::write_layout(&table, self.options.priority, &mut batch);
        let adds: Vec<_> = bans
            .iter()
            .map(|&(prefix, timeout)| KernelChange::Add { prefix, timeout })
            .collect();
        write_changes(&adds, &table, 0, &mut batch);
        self.exchange.reserve_send(batch.len() + CHANGE_BYTES_MAX)?;
        self.exchange.commit(&mut batch, "rebuild the table")
    }

    /// Empties a set and fills it again, in one batch.
    fn replace(
        &mut self,
        set: SetKind,
        desired: &dyn Wanted,
        now: Timestamp,
    ) -> Result<(), EnforceError> {
        let table = self.options.table.clone();
        let mut batch = self.exchange.batch();
        write_flush(set, &table, &mut batch);
        let mut list = ElementList::adding(set, F_EXCL);
        desired.for_each_element(&mut |prefix, until| {
            if SetKind::of(prefix) == set && until > now {
                list.push(prefix, timeout(until, now), &table, &mut batch);
            }
        });
        list.flush(&table, &mut batch);
        self.exchange.reserve_send(batch.len() + CHANGE_BYTES_MAX)?;
        self.exchange.commit(&mut batch, "replace a set")
    }

    /// Puts in what these sets lack, in small batches. Interval sets are never among them.
    fn top_up(
        &mut self,
        sets: &[SetKind],
        desired: &dyn Wanted,
        now: Timestamp,
    ) -> Result<(), EnforceError> {
        let wanted = desired
            .wanted()
            .filter(|(prefix, until)| sets.contains(&SetKind::of(*prefix)) && *until > now);
        self.load(&mut wanted.map(|(prefix, until)| (prefix, timeout(until, now))))
            .map(drop)
    }

    /// The bans in whatever table stands there; sets it lacks, or of another make, hold none.
    fn salvage(&mut self) -> Result<Vec<(Prefix, Option<Duration>)>, EnforceError> {
        let mut all = Vec::new();
        for set in SetKind::ALL {
            match self.dump_set(set, usize::MAX) {
                Ok(ranges) => all.extend(bans(ranges.unwrap_or_default(), set)),
                Err(error) if error.errno().is_some() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(all)
    }

    fn remove_strangers(&mut self) -> Result<usize, EnforceError> {
        let table = self.options.table.clone();
        let mut batch = self.exchange.batch();
        let mut count = 0;
        for set in [SetKind::Range4, SetKind::Range6] {
            let mut list = ElementList::removing(set);
            let ranges = self.dump_set(set, usize::MAX)?.unwrap_or_default();
            for range in ranges.into_iter().filter(|r| r.prefix(set).is_none()) {
                list.push_range(range.first, range.last, &table, &mut batch);
                count += 1;
            }
            list.flush(&table, &mut batch);
        }
        if count > 0 {
            self.exchange
                .commit(&mut batch, "remove what is not ours")?;
        }
        Ok(count)
    }

    fn apply_batch(&mut self, changes: &[KernelChange]) -> Result<Applied, EnforceError> {
        let mut batch = self.exchange.batch();
        write_changes(changes, &self.options.table, F_EXCL, &mut batch);
        let mut result = self.exchange.commit(&mut batch, "change bans");
        let mut applied = Applied::of(changes);
        for _ in 0..RESOLVE_ATTEMPTS {
            match result {
                Err(error) if is_mismatch(&error) => {
                    applied.resolved = true;
                    applied.repaired |= self.ensure()?;
                    result = self.resolve(changes);
                }
                other => return other.map(|()| applied),
            }
        }
        result.map(|()| applied)
    }

    /// Brings what `changes` touch to the state they lead to, whatever the kernel holds now.
    ///
    /// Interval sets are written anew, in the same batch. Not for want of knowing better: an
    /// interval that has ended leaves its closing element behind until the kernel collects it,
    /// and a new interval that closes at the same address is refused; without `F_EXCL` it would
    /// be taken in and lose its end at the next collection, and so grow to the next interval.
    fn resolve(&mut self, changes: &[KernelChange]) -> Result<(), EnforceError> {
        let table = self.options.table.clone();
        let mut singles = Vec::new();
        for change in changes
            .iter()
            .filter(|c| !SetKind::of(c.prefix()).is_interval())
        {
            let present = self.is_present(change.prefix())?;
            match *change {
                KernelChange::Remove { .. } if !present => {}
                KernelChange::Remove { prefix } => singles.push(KernelChange::Remove { prefix }),
                KernelChange::Add { prefix, timeout }
                | KernelChange::Update { prefix, timeout } => {
                    singles.push(if present {
                        KernelChange::Update { prefix, timeout }
                    } else {
                        KernelChange::Add { prefix, timeout }
                    });
                }
            }
        }
        let mut batch = self.exchange.batch();
        write_changes(&singles, &table, F_EXCL, &mut batch);
        for set in [SetKind::Range4, SetKind::Range6] {
            let mut touching = changes
                .iter()
                .filter(|c| SetKind::of(c.prefix()) == set)
                .peekable();
            if touching.peek().is_none() {
                continue;
            }
            let ranges = self.dump_set(set, usize::MAX)?.unwrap_or_default();
            let mut networks: BTreeMap<_, _> = bans(ranges, set).collect();
            touching.for_each(|change| change_networks(&mut networks, change));
            write_flush(set, &table, &mut batch);
            let mut list = ElementList::adding(set, F_EXCL);
            for (prefix, timeout) in networks {
                list.push(prefix, timeout, &table, &mut batch);
            }
            list.flush(&table, &mut batch);
        }
        if batch.is_empty() {
            return Ok(());
        }
        self.exchange.reserve_send(batch.len() + CHANGE_BYTES_MAX)?;
        self.exchange.commit(&mut batch, "change bans")
    }

    /// Whether the kernel holds exactly this ban; not for networks, which may be held in parts.
    pub fn is_present(&mut self, prefix: Prefix) -> Result<bool, EnforceError> {
        let table = self.options.table.clone();
        let mut found = false;
        let asked = self.exchange.request(
            Kind::GetSetElem,
            0,
            &mut |w| write_question(w, prefix, &table),
            &mut |_| {
                found = true;
                Next::More
            },
        );
        match asked {
            Ok(_) => Ok(found),
            Err(error) if error.errno() == Some(libc::ENOENT) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn table_facts(&mut self) -> Result<Option<TableFacts>, EnforceError> {
        let name = self.options.table.clone();
        let mut facts = None;
        let asked = self.exchange.request(
            Kind::GetTable,
            0,
            &mut |w| w.attr_str(layout::TABLE_NAME, &name),
            &mut |message| {
                facts = Some(decode::table(message));
                Next::More
            },
        );
        match asked {
            Ok(_) => Ok(facts),
            Err(error) => match error.errno() {
                Some(libc::ENOENT) => Ok(None),
                // What the kernel says when it has no handler for nf_tables, or not for `inet`.
                Some(libc::EINVAL | libc::EOPNOTSUPP | libc::EAFNOSUPPORT) => {
                    Err(EnforceError::NoNfTables {
                        operation: "look for the table",
                    })
                }
                _ => Err(error),
            },
        }
    }

    fn rules(&mut self) -> Result<Vec<RuleFacts>, EnforceError> {
        let table = self.options.table.clone();
        for _ in 0..DUMP_ATTEMPTS {
            let mut rules = Vec::new();
            let answer = self.exchange.request(
                Kind::GetRule,
                F_DUMP,
                &mut |w| w.attr_str(layout::RULE_TABLE, &table),
                &mut |message| {
                    rules.push(decode::rule(message));
                    Next::More
                },
            )?;
            if answer == Answer::Whole {
                return Ok(rules);
            }
        }
        Err(EnforceError::Interrupted {
            attempts: DUMP_ATTEMPTS,
        })
    }

    /// What a set holds; `None` if that is more than `limit` elements.
    fn dump_set(&mut self, set: SetKind, limit: usize) -> Result<Option<Vec<Range>>, EnforceError> {
        let table = self.options.table.clone();
        for _ in 0..DUMP_ATTEMPTS {
            let mut found: Vec<Element> = Vec::new();
            let answer = self.exchange.request(
                Kind::GetSetElem,
                F_DUMP,
                &mut |w| {
                    w.attr_str(crate::element::LIST_TABLE, &table);
                    w.attr_str(crate::element::LIST_SET, set.name());
                },
                &mut |message| {
                    decode::elements(message, set, &mut found);
                    if found.len() > limit {
                        Next::Stop
                    } else {
                        Next::More
                    }
                },
            )?;
            match answer {
                Answer::Whole => return Ok(Some(decode::ranges(found, set))),
                Answer::Torn => {}
                Answer::Stopped => return Ok(None),
            }
        }
        Err(EnforceError::Interrupted {
            attempts: DUMP_ATTEMPTS,
        })
    }
}

/// What is wanted of all sets but these.
struct Except<'a> {
    wanted: &'a dyn Wanted,
    sets: &'a [SetKind],
}

impl Wanted for Except<'_> {
    fn wanted(&self) -> Box<dyn Iterator<Item = (Prefix, Timestamp)> + '_> {
        let all = self.wanted.wanted();
        Box::new(all.filter(|(prefix, _)| !self.sets.contains(&SetKind::of(*prefix))))
    }
}

fn bans(ranges: Vec<Range>, set: SetKind) -> impl Iterator<Item = (Prefix, Option<Duration>)> {
    ranges
        .into_iter()
        .filter_map(move |r| Some((r.prefix(set)?, r.remaining)))
}

fn change_networks(networks: &mut BTreeMap<Prefix, Option<Duration>>, change: &KernelChange) {
    match *change {
        KernelChange::Remove { prefix } => drop(networks.remove(&prefix)),
        KernelChange::Add { prefix, timeout } | KernelChange::Update { prefix, timeout } => {
            // What lies across it and was not ours cannot stay beside it.
            let last = Prefix::host(prefix.last());
            let inside = networks.range(prefix..=last).map(|(p, _)| *p);
            let around = (0..prefix.len()).filter_map(|len| prefix.widen(len));
            for other in inside.chain(around).collect::<Vec<_>>() {
                networks.remove(&other);
            }
            networks.insert(prefix, timeout);
        }
    }
}

/// The kernel's element set was not as the batch assumed: one was missing, there already, or
/// across an interval.
fn is_mismatch(error: &EnforceError) -> bool {
    matches!(
        error.errno(),
        Some(libc::ENOENT | libc::EEXIST | libc::ENOTEMPTY)
    )
}
