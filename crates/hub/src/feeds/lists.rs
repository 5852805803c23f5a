//! Lists that were made, kept until the bans change.

use std::{
    collections::HashMap,
    fmt::Write as _,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use intel::feed::{Aggregation, FeedQuestion, Format, Row, Writer, aggregate, cut};
use model::Prefix;
use sha2::{Digest as _, Sha256};

use crate::{Caller, CommunityId, Core, HubTime, OrgId, Point, core::unix_ms};

/// Lists kept, and rows in all of them.
const LISTS_MAX: usize = 64;
const ROWS_MAX: usize = 4_000_000;
/// However fast bans change, a list is made again at most this often.
const AGE_MIN: Duration = Duration::from_secs(2);
/// Bans read in one go.
const PAGE: usize = 8_192;

/// A list as one format asks for it.
#[derive(Debug)]
pub(super) struct List {
    pub(super) name: String,
    pub(super) rows: Vec<Row>,
    /// Rows there would be without limits and pages.
    pub(super) of: usize,
    /// Length of its text; `None` where the text hangs on the time of asking.
    pub(super) bytes: Option<usize>,
    pub(super) etag: String,
    /// When its content last became another, in seconds since 1970.
    pub(super) modified: i64,
}

/// Who sees the same bans, and asks the same, gets the same list.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Sort {
    sees: Vec<OrgId>,
    communities: Vec<CommunityId>,
    question: FeedQuestion,
}

struct Kept {
    list: Arc<List>,
    point: Point,
    made: Instant,
    used: Instant,
}

pub(super) struct Lists {
    kept: Mutex<HashMap<Sort, Kept>>,
    /// One list at a time: making one takes much of a core.
    making: tokio::sync::Mutex<()>,
    /// Wall clock at the hub's time 0, fixed so that ends of bans do not waver.
    epoch_ms: i64,
}

impl Lists {
    pub(super) fn new(now: HubTime, unix_ms: u64) -> Self {
        Self {
            kept: Mutex::default(),
            making: tokio::sync::Mutex::new(()),
            epoch_ms: unix_ms.cast_signed().saturating_sub(now.0.cast_signed()),
        }
    }

    /// `None`: it could not be made.
    pub(super) async fn get(
        &self,
        core: &Core,
        caller: &Caller,
        question: &FeedQuestion,
    ) -> Option<Arc<List>> {
        let sort = Sort {
            sees: caller.sees.iter().cloned().collect(),
            communities: caller.communities.to_vec(),
            question: question.clone(),
        };
        if let Some(list) = self.fresh(&sort, core.point()) {
            return Some(list);
        }
        let _turn = self.making.lock().await;
        // Someone may have made it while this one waited.
        if let Some(list) = self.fresh(&sort, core.point()) {
            return Some(list);
        }
        let point = core.point();
        let (core, caller, question) = (core.clone(), caller.clone(), question.clone());
        let epoch_ms = self.epoch_ms;
        let made = tokio::task::spawn_blocking(move || make(&core, &caller, &question, epoch_ms));
        let list = made.await.ok()?;
        Some(self.keep(sort, list, point))
    }

    fn fresh(&self, sort: &Sort, point: Point) -> Option<Arc<List>> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = kept.get_mut(sort)?;
        let is_fresh = entry.point == point || entry.made.elapsed() < AGE_MIN;
        if is_fresh {
            entry.used = Instant::now();
        }
        is_fresh.then(|| Arc::clone(&entry.list))
    }

    fn keep(&self, sort: Sort, mut list: List, point: Point) -> Arc<List> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let old = kept.remove(&sort);
        if let Some(old) = old.filter(|old| old.list.etag == list.etag) {
            list.modified = old.list.modified;
        }
        let rows = |kept: &HashMap<Sort, Kept>| kept.values().map(|k| k.list.rows.len()).sum();
        while kept.len() >= LISTS_MAX || list.rows.len().saturating_add(rows(&kept)) > ROWS_MAX {
            let oldest = kept.iter().min_by_key(|(_, k)| k.used);
            let Some(oldest) = oldest.map(|(sort, _)| sort.clone()) else {
                break;
            };
            kept.remove(&oldest);
        }
        let list = Arc::new(list);
        let now = Instant::now();
        let entry = Kept {
            list: Arc::clone(&list),
            point,
            made: now,
            used: now,
        };
        kept.insert(sort, entry);
        list
    }
}

fn make(core: &Core, caller: &Caller, question: &FeedQuestion, epoch_ms: i64) -> List {
    let mut rows = Vec::new();
    let mut after = 0;
    loop {
        let page = core.bans(caller, after, PAGE);
        let Some(last) = page.last() else { break };
        after = last.id;
        let admitted = page
            .iter()
            .filter(|b| question.admits(b.prefix, &b.kind, &b.origin));
        rows.extend(admitted.map(|ban| Row {
            prefix: ban.prefix,
            until: epoch_ms.saturating_add(ban.until.0.cast_signed()) / 1_000,
        }));
    }
    let allowed = Allowed::of(core, caller, question.aggregation);
    let rows = aggregate(rows, question.aggregation, &|wider| !allowed.touches(wider));
    let of = rows.len();
    let rows = cut(rows, question);
    let mut list = List {
        name: question.name.clone(),
        rows,
        of,
        bytes: None,
        etag: String::new(),
        modified: unix_ms().cast_signed() / 1_000,
    };
    list.describe(question);
    list
}

impl List {
    /// Its length and its name, from all of its text.
    fn describe(&mut self, question: &FeedQuestion) {
        // Timeouts in a router's script shrink as time passes; there the ends count instead.
        let counts_down = question.format == Format::MikroTik;
        let writer = Writer::new(question.format, &question.name, 0);
        let mut hash = Sha256::new();
        let mut bytes = 0;
        let mut at = 0;
        while let Some((piece, next)) = self.piece(&writer, at) {
            hash.update(&piece);
            bytes += piece.len();
            at = next;
        }
        let mut tag = String::from(if counts_down { "W/\"" } else { "\"" });
        for byte in hash.finalize().iter().take(16) {
            let _ = write!(tag, "{byte:02x}");
        }
        tag.push('"');
        self.etag = tag;
        self.bytes = (!counts_down).then_some(bytes);
    }
}

/// What allowlists hold, to ask whether a merged network would touch any of it.
struct Allowed {
    /// Sorted.
    items: Vec<Prefix>,
}

impl Allowed {
    fn of(core: &Core, caller: &Caller, how: Aggregation) -> Self {
        let mut items = Vec::new();
        if let Aggregation::Share { .. } = how {
            for list in core.allowlists(caller) {
                items.extend(list.items.iter().map(|item| item.prefix));
            }
            items.sort_unstable();
        }
        Self { items }
    }

    fn touches(&self, network: Prefix) -> bool {
        let at = self.items.partition_point(|item| *item < network);
        self.items.get(at).is_some_and(|item| network.covers(*item))
            || (0..=network.len())
                .filter_map(|len| network.widen(len))
                .any(|wider| self.items.binary_search(&wider).is_ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merged_networks_do_not_touch_what_is_allowed() {
        let items = ["192.0.2.8", "198.51.100.0/24", "2001:db8::/32"];
        let allowed = Allowed {
            items: items.map(|t| t.parse().unwrap()).to_vec(),
        };
        for (network, touches) in [
            ("192.0.2.0/28", true),
            ("192.0.2.0/29", false),
            ("198.51.100.64/26", true),
            ("198.51.0.0/16", true),
            ("2001:db8:7::/48", true),
            ("2001:db9::/48", false),
            ("203.0.113.0/24", false),
        ] {
            assert_eq!(
                allowed.touches(network.parse().unwrap()),
                touches,
                "{network}"
            );
        }
    }
}
