//! When a case's bans were in force at every member of a hub: read from this ledger if it is the
//! hub's own, else asked of the hub, and recorded in the case.

use std::{collections::BTreeSet, path::Path};

use anyhow::{Context as _, Result};
use casework::{
    Dossier,
    spread::{CLOCKS_APART, ENTRIES_MAX, NETWORKS_MAX, Reporters, SpreadFinder, SpreadQuestion},
};
use model::{BanSpread, CaseStep, Entry, Prefix, Timestamp};
use store::Store;
use uplink::Door;

use super::{Desk, args::ClocksArgs};
use crate::{clock, handover_command::hub_organisation, hub_command, record::reading};

/// Asks, and records what the case does not say yet.
pub(super) fn learn(arguments: &ClocksArgs) -> Result<()> {
    let desk = Desk::at(&arguments.acting)?;
    let store = reading(&desk.dir)?;
    let dossier = evidence::dossier(&store, &arguments.case, clock::now())?;
    let told = match hub_command::holds_hub(&desk.dir) {
        true => by_own_ledger(&desk.dir, &store, &dossier)?,
        false => ask(&desk.dir, &dossier)?,
    };
    drop(store);
    for spread in told {
        // What is not over yet is asked again, not recorded.
        let is_known = dossier.case.spreads.contains(&spread);
        if spread.reached.is_some() && !is_known {
            desk.step(&arguments.case, CaseStep::BanSpread(spread))?;
        }
    }
    Ok(())
}

/// By the hub's ledger, which this one is.
pub(super) fn by_own_ledger(
    dir: &Path,
    store: &Store,
    dossier: &Dossier,
) -> Result<Vec<BanSpread>> {
    let hub = hub_organisation(dir)?;
    let since = beginning(dossier).minus(CLOCKS_APART);
    let mut finder = SpreadFinder::new(&networks(dossier), since, &hub, Reporters::All, None);
    store.for_each_since(since, ENTRIES_MAX, &mut |index, entry| {
        if let Entry::Fleet(act) = entry {
            finder.take(index, act);
        }
    })?;
    Ok(finder.found())
}

fn ask(dir: &Path, dossier: &Dossier) -> Result<Vec<BanSpread>> {
    let door = Door::open(dir, env!("CARGO_PKG_VERSION"))?;
    let mut door = door.with_context(|| {
        format!(
            "{} belongs to no hub, so no hub can tell; leave --hub out",
            dir.display()
        )
    })?;
    let question = SpreadQuestion {
        networks: networks(dossier).into_iter().take(NETWORKS_MAX).collect(),
        since: beginning(dossier),
    };
    let mut all = Vec::new();
    for community in door.membership().communities.clone() {
        let answer = door.spread(&community, &question)?;
        if answer.is_cut {
            eprintln!(
                "posse: {community}: the hub looked through {ENTRIES_MAX} entries and has more: what is \
                 missing is not known"
            );
        }
        all.extend(answer.spreads);
    }
    Ok(all)
}

/// What was banned, or should have been.
fn networks(dossier: &Dossier) -> BTreeSet<Prefix> {
    let bans = dossier.bans.iter().map(|ban| ban.what.prefix);
    let measures = dossier.case.measures.iter();
    let measured = measures.flat_map(|measure| measure.prefixes.iter().copied());
    let sources = dossier.alerts.iter().filter_map(|alert| {
        let address = alert.what.address.map(Prefix::host);
        address.or(alert.what.range)
    });
    bans.chain(measured).chain(sources).collect()
}

/// Nothing before it belongs to the case.
fn beginning(dossier: &Dossier) -> Timestamp {
    let alerts = dossier.alerts.iter().map(|alert| alert.what.first);
    let measures = dossier.case.measures.iter().map(|measure| measure.when);
    let earliest = alerts.chain(measures).min();
    earliest.map_or(dossier.case.opened, |at| at.min(dossier.case.opened))
}
