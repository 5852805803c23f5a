//! Alerts that third parties' agents brought, and allowlists.

use model::{FleetAct, Prefix};

use super::{Outcome, Turn, Worker};
use crate::{
    ban::BanId,
    caller::{Caller, Role},
    core::unix_ms,
    error::OrderError,
    gate, limits,
    order::{AlertFilter, Allowlist, Release, StoredAlert},
    registry::Record,
    view::View,
};

impl Worker {
    pub(super) fn find_alerts(
        &self,
        by: &Caller,
        filter: &AlertFilter,
    ) -> Outcome<Vec<StoredAlert>> {
        gate::may(by, gate::Act::Alerts)?;
        let limit = match filter.limit {
            0 => limits::ALERTS_PER_ANSWER_MAX,
            n => n.min(limits::ALERTS_PER_ANSWER_MAX),
        };
        let organisation = (by.role != Role::Operator).then(|| by.organisation.as_str());
        let now = self.shared.now();
        let view = self.shared.view();
        let mut found = Vec::new();
        self.db.alerts(
            organisation,
            filter.id,
            filter.value.as_deref(),
            &mut |alert| {
                if alert_fits(filter, &alert, &view, now) {
                    found.push(alert);
                }
                found.len() < limit
            },
        )?;
        Ok(found)
    }

    pub(super) fn delete_alerts(
        &mut self,
        by: &Caller,
        filter: &AlertFilter,
        turn: &mut Turn,
    ) -> Outcome<u64> {
        let found = self.find_alerts(by, filter)?;
        let ids: Vec<BanId> = found.iter().flat_map(|a| a.bans.iter().copied()).collect();
        for alert in &found {
            self.db.remove_alert(alert.id)?;
        }
        if !ids.is_empty() {
            let reason = "its alert was deleted".to_owned();
            self.release(
                by,
                &Release {
                    ids,
                    reason,
                    ..Release::default()
                },
                turn,
            )?;
        }
        Ok(found.len() as u64)
    }

    pub(super) fn set_allowlist(
        &self,
        by: &Caller,
        name: &str,
        list: Option<Allowlist>,
        turn: &mut Turn,
    ) -> Outcome<()> {
        gate::may(by, gate::Act::Allow)?;
        let place = (by.organisation.clone(), name.to_owned());
        let old = self.shared.view().registry.allowlists.get(&place).cloned();
        let what = match (list, old) {
            (Some(list), old) => {
                let max = limits::ALLOWLIST_ITEMS_MAX;
                if list.items.len() > max {
                    return Err(OrderError::TooMany {
                        max,
                        what: "items of an allowlist",
                    }
                    .into());
                }
                let max = limits::ALLOWLISTS_MAX;
                if old.is_none() && self.shared.view().registry.allowlists.len() >= max {
                    return Err(OrderError::TooMany {
                        max,
                        what: "allowlists",
                    }
                    .into());
                }
                let items = list.items.len();
                self.put(Record::Allowlist(Allowlist {
                    name: name.to_owned(),
                    organisation: by.organisation.clone(),
                    created_unix_ms: old.map_or(list.created_unix_ms, |o| o.created_unix_ms),
                    updated_unix_ms: unix_ms(),
                    ..list
                }))?;
                format!("allowlist {name}: {items} items")
            }
            (None, Some(old)) => {
                self.remove(&Record::Allowlist(Allowlist::clone(&old)))?;
                format!("allowlist {name} removed")
            }
            (None, None) => return Err(OrderError::Unknown.into()),
        };
        let by = format!("{}/{}", by.organisation, by.name);
        turn.act(FleetAct::Changed {
            at: turn.at,
            by,
            what,
        });
        Ok(())
    }
}

fn alert_fits(filter: &AlertFilter, alert: &StoredAlert, view: &View, now: fleet::HubTime) -> bool {
    let text = |pointer: &str| {
        let found = alert.alert.pointer(pointer);
        found.and_then(serde_json::Value::as_str).unwrap_or("")
    };
    let same = |wanted: &Option<String>, is: &str| {
        wanted.as_ref().is_none_or(|w| w.eq_ignore_ascii_case(is))
    };
    let age = now.since(alert.created).as_secs();
    let active = || alert.bans.iter().any(|id| view.bans.contains_key(id));
    let inside = |net: Prefix| {
        let value = text("/source/value").parse();
        value.is_ok_and(|p: Prefix| net.covers(p))
    };
    filter.id.is_none_or(|id| id == alert.id)
        && same(&filter.scope, text("/source/scope"))
        && same(&filter.value, text("/source/value"))
        && filter
            .scenario
            .as_ref()
            .is_none_or(|s| text("/scenario").contains(s.as_str()))
        && filter.within.is_none_or(inside)
        && filter.newer_than_seconds.is_none_or(|s| age <= s)
        && filter.older_than_seconds.is_none_or(|s| age >= s)
        && filter
            .has_active_ban
            .is_none_or(|wanted| wanted == active())
}
