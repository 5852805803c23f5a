//! The core's thread: takes orders in batches, judges them, makes them durable, then shows them
//! to readers and answers.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use model::Prefix;
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};

use crate::{
    ban::{Ban, BanId, EndCause, Point},
    caller::{Caller, KeyKind, Means, Role},
    core::{Shared, default_communities, unix_ms},
    error::OrderError,
    limits,
    names::HubTime,
    order::{
        AlertFilter, Allowlist, NewBan, NewKey, Release, Released, Report, Reported, StoredAlert,
    },
    secret,
    view::{KeptSecret, KeyEntry, View},
};

/// How often bans whose time is over are taken out.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

type Reply<T> = oneshot::Sender<Result<T, OrderError>>;

pub(crate) enum Order {
    Report {
        by: Caller,
        reports: Vec<Report>,
        reply: Reply<Vec<Reported>>,
    },
    Release {
        by: Caller,
        release: Release,
        reply: Reply<Released>,
    },
    Alerts {
        by: Caller,
        filter: AlertFilter,
        reply: Reply<Vec<StoredAlert>>,
    },
    DeleteAlerts {
        by: Caller,
        filter: AlertFilter,
        reply: Reply<u64>,
    },
    SetAllowlist {
        by: Caller,
        name: String,
        list: Option<Allowlist>,
        reply: Reply<()>,
    },
    AddKey {
        by: Caller,
        key: NewKey,
        reply: Reply<String>,
    },
    AcceptKey {
        by: Caller,
        name: String,
        reply: Reply<()>,
    },
    RemoveKey {
        by: Caller,
        kind: KeyKind,
        name: String,
        reply: Reply<()>,
    },
}

pub(crate) struct Worker {
    shared: Arc<Shared>,
    orders: mpsc::Receiver<Order>,
    alerts: BTreeMap<u64, StoredAlert>,
    next_ban: BanId,
    next_alert: u64,
}

impl Worker {
    pub(crate) fn new(shared: Arc<Shared>, orders: mpsc::Receiver<Order>) -> Self {
        Self {
            shared,
            orders,
            alerts: BTreeMap::new(),
            next_ban: 1,
            next_alert: 1,
        }
    }

    pub(crate) fn run(mut self) {
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
        else {
            return;
        };
        let mut sweep_at = Instant::now() + SWEEP_EVERY;
        loop {
            let next = runtime
                .block_on(async { tokio::time::timeout_at(sweep_at, self.orders.recv()).await });
            match next {
                Ok(Some(order)) => self.carry_out(order),
                Ok(None) => return,
                Err(_) => {
                    self.sweep();
                    sweep_at = Instant::now() + SWEEP_EVERY;
                }
            }
            let point = self.shared.view().point;
            self.shared.news.send_if_modified(|known| {
                let newer = *known != point;
                *known = point;
                newer
            });
        }
    }

    fn carry_out(&mut self, order: Order) {
        // Whoever asked may have gone; the order stands.
        match order {
            Order::Report { by, reports, reply } => {
                let _ = reply.send(self.report(&by, reports));
            }
            Order::Release { by, release, reply } => {
                let _ = reply.send(Ok(self.release(&by, &release)));
            }
            Order::Alerts { by, filter, reply } => {
                let _ = reply.send(Ok(self.find(&by, &filter)));
            }
            Order::DeleteAlerts { by, filter, reply } => {
                let _ = reply.send(Ok(self.delete_alerts(&by, &filter)));
            }
            Order::SetAllowlist {
                by,
                name,
                list,
                reply,
            } => {
                let _ = reply.send(self.set_allowlist(&by, &name, list));
            }
            Order::AddKey { by, key, reply } => {
                let _ = reply.send(self.add_key(&by, key));
            }
            Order::AcceptKey { by: _, name, reply } => {
                let _ = reply.send(self.accept_key(&name));
            }
            Order::RemoveKey {
                by: _,
                kind,
                name,
                reply,
            } => {
                let _ = reply.send(self.remove_key(kind, &name));
            }
        }
    }

    fn report(&mut self, by: &Caller, reports: Vec<Report>) -> Result<Vec<Reported>, OrderError> {
        if reports.len() > limits::REPORTS_PER_ORDER_MAX {
            let max = limits::REPORTS_PER_ORDER_MAX;
            return Err(OrderError::TooMany {
                max,
                what: "alerts",
            });
        }
        let shared = Arc::clone(&self.shared);
        let mut view = shared.view_mut();
        let now = shared.now();
        Ok(reports
            .into_iter()
            .map(|one| self.take(by, one, &mut view, now))
            .collect())
    }

    fn take(&mut self, by: &Caller, report: Report, view: &mut View, now: HubTime) -> Reported {
        let alert = report.alert.as_ref().map(|_| self.next_alert);
        let mut answer = Reported {
            alert,
            ..Reported::default()
        };
        for ban in report.bans.iter().take(limits::BANS_PER_REPORT_MAX) {
            answer.bans.push(self.ban(by, ban, alert, view, now));
        }
        if let (Some(id), Some(json)) = (alert, report.alert) {
            self.next_alert += 1;
            let kept = StoredAlert {
                id,
                organisation: by.organisation.clone(),
                machine: by.name.to_string(),
                created: now,
                created_unix_ms: unix_ms(),
                alert: json,
                bans: answer
                    .bans
                    .iter()
                    .filter_map(|b| b.as_ref().ok())
                    .copied()
                    .collect(),
            };
            self.alerts.insert(id, kept);
        }
        answer
    }

    fn ban(
        &mut self,
        by: &Caller,
        ban: &NewBan,
        alert: Option<u64>,
        view: &mut View,
        now: HubTime,
    ) -> Result<BanId, String> {
        if let Some((list, _)) = view.allowed(by, ban.prefix, now) {
            return Err(format!("on the allowlist {}", list.name));
        }
        let Some(community) = by.communities.first() else {
            return Err("its organisation is in no community".to_owned());
        };
        let replaced: Vec<BanId> = view
            .on(ban.prefix)
            .filter(|old| {
                old.organisation == by.organisation
                    && old.community == *community
                    && *old.kind == *ban.kind
            })
            .map(|old| old.id)
            .collect();
        for old in replaced {
            let point = Point(view.point.0 + 1);
            view.end(old, EndCause::Replaced, now, point);
        }
        let id = self.next_ban;
        self.next_ban += 1;
        view.add(Arc::new(Ban {
            id,
            community: community.clone(),
            organisation: by.organisation.clone(),
            prefix: ban.prefix,
            kind: ban.kind.as_str().into(),
            origin: ban.origin.as_str().into(),
            scenario: ban.scenario.as_str().into(),
            alert,
            added: now,
            until: now.plus_seconds(ban.seconds.min(limits::BAN_SECONDS_MAX)),
            point: Point(view.point.0 + 1),
        }));
        Ok(id)
    }

    fn release(&mut self, by: &Caller, release: &Release) -> Released {
        let shared = Arc::clone(&self.shared);
        let mut view = shared.view_mut();
        let wanted: Vec<Arc<Ban>> = candidates(release, &view)
            .filter(|b| fits(release, b))
            .filter(|b| by.may_release(b))
            .cloned()
            .collect();
        let mut answer = Released::default();
        for ban in wanted {
            let point = Point(view.point.0 + 1);
            view.end(ban.id, EndCause::Released, shared.now(), point);
            answer.ids.push(ban.id);
            answer.prefixes.push(ban.prefix);
        }
        answer
    }

    fn find(&self, by: &Caller, filter: &AlertFilter) -> Vec<StoredAlert> {
        let limit = match filter.limit {
            0 => limits::ALERTS_PER_ANSWER_MAX,
            n => n.min(limits::ALERTS_PER_ANSWER_MAX),
        };
        let now = self.shared.now();
        let view = self.shared.view();
        self.alerts
            .values()
            .rev()
            .filter(|a| by.role == Role::Operator || a.organisation == by.organisation)
            .filter(|a| alert_fits(filter, a, &view, now))
            .take(limit)
            .cloned()
            .collect()
    }

    fn delete_alerts(&mut self, by: &Caller, filter: &AlertFilter) -> u64 {
        let found = self.find(by, filter);
        let ids: Vec<BanId> = found.iter().flat_map(|a| a.bans.iter().copied()).collect();
        for alert in &found {
            self.alerts.remove(&alert.id);
        }
        if !ids.is_empty() {
            let release = Release {
                ids,
                reason: "its alert was deleted".to_owned(),
                ..Release::default()
            };
            self.release(by, &release);
        }
        found.len() as u64
    }

    fn set_allowlist(
        &self,
        by: &Caller,
        name: &str,
        list: Option<Allowlist>,
    ) -> Result<(), OrderError> {
        let mut view = self.shared.view_mut();
        if let Some(old) = view.allowlists.get(name)
            && by.role != Role::Operator
            && old.organisation != by.organisation
        {
            return Err(OrderError::Unknown);
        }
        match list {
            Some(list) => view.allowlists.insert(name.to_owned(), Arc::new(list)),
            None => view.allowlists.remove(name),
        };
        Ok(())
    }

    fn add_key(&self, by: &Caller, key: NewKey) -> Result<String, OrderError> {
        let made = || secret::make().map_err(|e| OrderError::Unrecorded(e.to_string()));
        let text = key.secret.map_or_else(made, Ok)?;
        let hash = secret::hash_key(&text);
        let kept = match key.kind {
            KeyKind::Bouncer => KeptSecret::Key(Box::new(hash)),
            KeyKind::Machine => match secret::hash_password(&text) {
                Some(phc) => KeptSecret::Password(phc.into()),
                None => return Err(OrderError::Refused("not a usable password".to_owned())),
            },
        };
        let organisation = key.organisation.unwrap_or_else(|| by.organisation.clone());
        let hub = self.shared.hub_organisation().clone();
        let name: Arc<str> = key.name.into();
        let entry = Arc::new(KeyEntry {
            caller: Caller {
                name: Arc::clone(&name),
                sees: Arc::new(BTreeSet::from([hub, organisation.clone()])),
                organisation,
                communities: key
                    .community
                    .map_or_else(default_communities, |c| Arc::from([c])),
                role: key.kind.role(),
                means: Means::Key { kind: key.kind },
            },
            kind: key.kind,
            secret: kept,
            accepted: key.accepted,
            created_unix_ms: unix_ms(),
        });
        let mut view = self.shared.view_mut();
        let place = (key.kind, name);
        if view.keys.contains_key(&place) {
            return Err(OrderError::Refused(format!(
                "there is a {} named {} already; `posse keys remove` takes it away",
                key.kind.word(),
                place.1
            )));
        }
        if view.keys.len() >= limits::KEYS_MAX {
            let max = limits::KEYS_MAX;
            return Err(OrderError::TooMany { max, what: "keys" });
        }
        if key.kind == KeyKind::Bouncer {
            view.bouncers.insert(hash, Arc::clone(&entry));
        }
        view.keys.insert(place, entry);
        Ok(text)
    }

    fn accept_key(&self, name: &str) -> Result<(), OrderError> {
        let mut view = self.shared.view_mut();
        let place = (KeyKind::Machine, Arc::from(name));
        let old = view.keys.get(&place).ok_or(OrderError::Unknown)?;
        let entry = KeyEntry {
            accepted: true,
            ..KeyEntry::clone(old)
        };
        view.keys.insert(place, Arc::new(entry));
        Ok(())
    }

    fn remove_key(&self, kind: KeyKind, name: &str) -> Result<(), OrderError> {
        let mut view = self.shared.view_mut();
        let gone = view
            .keys
            .remove(&(kind, Arc::from(name)))
            .ok_or(OrderError::Unknown)?;
        if let KeptSecret::Key(hash) = &gone.secret {
            view.bouncers.remove(hash.as_ref());
        }
        Ok(())
    }

    fn sweep(&self) {
        let now = self.shared.now();
        let mut view = self.shared.view_mut();
        while let Some((until, id)) = view.by_end.first().copied() {
            if until > now {
                return;
            }
            let point = Point(view.point.0 + 1);
            view.end(id, EndCause::Expired, now, point);
        }
    }
}

fn candidates<'a>(
    release: &Release,
    view: &'a View,
) -> Box<dyn Iterator<Item = &'a Arc<Ban>> + 'a> {
    let named = |p: Prefix| -> Box<dyn Iterator<Item = &'a Arc<Ban>> + 'a> {
        if release.within {
            Box::new(view.within(p))
        } else {
            Box::new(view.on(p))
        }
    };
    let something = release.all
        || release.kind.is_some()
        || release.origin.is_some()
        || release.scenario.is_some();
    match (release.ids.is_empty(), release.prefix) {
        (false, _) => {
            let ids = release.ids.clone();
            Box::new(ids.into_iter().filter_map(|id| view.bans.get(&id)))
        }
        (true, Some(prefix)) => named(prefix),
        (true, None) if something => Box::new(view.bans.values()),
        (true, None) => Box::new(std::iter::empty()),
    }
}

fn fits(release: &Release, ban: &Ban) -> bool {
    let same = |wanted: &Option<String>, is: &str| wanted.as_ref().is_none_or(|w| w == is);
    let prefix = release.prefix.is_none_or(|p| {
        if release.within {
            p.covers(ban.prefix)
        } else {
            p == ban.prefix
        }
    });
    prefix
        && same(&release.kind, &ban.kind)
        && same(&release.origin, &ban.origin)
        && same(&release.scenario, &ban.scenario)
}

fn alert_fits(filter: &AlertFilter, alert: &StoredAlert, view: &View, now: HubTime) -> bool {
    let text = |pointer: &str| {
        alert
            .alert
            .pointer(pointer)
            .and_then(|v| v.as_str())
            .unwrap_or("")
    };
    let same = |wanted: &Option<String>, is: &str| {
        wanted.as_ref().is_none_or(|w| w.eq_ignore_ascii_case(is))
    };
    let age = u64::try_from(now.since(alert.created)).unwrap_or(0) / 1_000;
    let active = || alert.bans.iter().any(|id| view.bans.contains_key(id));
    filter.id.is_none_or(|id| id == alert.id)
        && same(&filter.scope, text("/source/scope"))
        && same(&filter.value, text("/source/value"))
        && filter
            .scenario
            .as_ref()
            .is_none_or(|s| text("/scenario").contains(s.as_str()))
        && filter.within.is_none_or(|net| {
            text("/source/value")
                .parse()
                .is_ok_and(|p: Prefix| net.covers(p))
        })
        && filter.newer_than_seconds.is_none_or(|s| age <= s)
        && filter.older_than_seconds.is_none_or(|s| age >= s)
        && filter
            .has_active_ban
            .is_none_or(|wanted| wanted == active())
}
