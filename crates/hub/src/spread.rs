//! A member's question when a community's ban was in force everywhere, answered from the hub's own
//! ledger. One at a time, on a thread that may wait for the disk, and over a bounded piece of the
//! ledger: a question must never hold up a ban.

use std::{collections::BTreeSet, path::PathBuf, time::Duration};

use casework::spread::{
    CLOCKS_APART, ENTRIES_MAX, NETWORKS_MAX, Reporters, SpreadAnswer, SpreadFinder, SpreadQuestion,
};
use fleet::CommunityId;
use model::Entry;
use store::{Store, StoreError};
use tokio::{sync::Semaphore, time::timeout};

use crate::{Caller, Core, OrderError};

/// The ledger is read for one question at a time.
static TURN: Semaphore = Semaphore::const_new(1);
const TURN_WAIT_MAX: Duration = Duration::from_secs(5);

impl Core {
    /// How far bans on these networks have come. Of reports, only the caller's own are told.
    pub(crate) async fn spreads(
        &self,
        by: &Caller,
        community: &CommunityId,
        question: SpreadQuestion,
    ) -> Result<SpreadAnswer, OrderError> {
        if question.networks.len() > NETWORKS_MAX {
            return Err(OrderError::TooMany {
                max: NETWORKS_MAX,
                what: "networks in one question",
            });
        }
        let packages = self.shared().packages.get();
        let folder = packages.and_then(|packages| packages.parent());
        let folder = folder.ok_or(OrderError::Unknown)?.to_owned();
        let networks: BTreeSet<_> = question.networks.into_iter().collect();
        let since = question.since.minus(CLOCKS_APART);
        let finder = SpreadFinder::new(
            &networks,
            since,
            self.hub_organisation().as_str(),
            Reporters::Only(by.organisation.to_string()),
            Some(community.to_string()),
        );
        let turn = timeout(TURN_WAIT_MAX, TURN.acquire()).await;
        let Ok(Ok(turn)) = turn else {
            return Err(OrderError::Busy);
        };
        let looked = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            look(folder, finder, since)
        });
        match looked.await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => {
                tracing::warn!(%error, "the ledger could not be read for a member's question");
                Err(OrderError::Busy)
            }
            Err(_) => Err(OrderError::Stopping),
        }
    }
}

fn look(
    folder: PathBuf,
    mut finder: SpreadFinder,
    since: model::Timestamp,
) -> Result<SpreadAnswer, StoreError> {
    let store = Store::open_read_only(&folder)?;
    let read = store.for_each_since(since, ENTRIES_MAX, &mut |index, entry| {
        if let Entry::Fleet(act) = entry {
            finder.take(index, act);
        }
    })?;
    Ok(SpreadAnswer {
        spreads: finder.found(),
        is_cut: read >= ENTRIES_MAX,
    })
}
