//! Who is there: last contact, stream, and what guards tell of themselves. Not durable; a hub
//! that starts anew learns it again within seconds.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use fleet::{OrgId, api::Here};

use crate::limits::MEMBERS_MAX;

#[derive(Default)]
pub(crate) struct Presences {
    all: Mutex<BTreeMap<(OrgId, String), Presence>>,
    /// Streams open now, by organisation.
    streams: Mutex<BTreeMap<OrgId, usize>>,
}

#[derive(Clone, Debug)]
pub(crate) struct Presence {
    pub(crate) heard: Instant,
    pub(crate) from: IpAddr,
    pub(crate) agent: String,
    pub(crate) here: Option<Here>,
    pub(crate) streams: u32,
}

impl Presences {
    fn all(&self) -> MutexGuard<'_, BTreeMap<(OrgId, String), Presence>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// For a look at all of them; nobody is heard meanwhile.
    pub(crate) fn look(&self) -> MutexGuard<'_, BTreeMap<(OrgId, String), Presence>> {
        self.all()
    }

    pub(crate) fn heard(
        &self,
        organisation: &OrgId,
        name: &str,
        from: IpAddr,
        change: impl FnOnce(&mut Presence),
    ) {
        let mut all = self.all();
        let place = (organisation.clone(), name.to_owned());
        if !all.contains_key(&place) && all.len() >= MEMBERS_MAX {
            return;
        }
        let presence = all.entry(place).or_insert_with(|| Presence {
            heard: Instant::now(),
            from,
            agent: String::new(),
            here: None,
            streams: 0,
        });
        presence.heard = Instant::now();
        presence.from = from;
        change(presence);
    }

    pub(crate) fn get(&self, organisation: &OrgId, name: &str) -> Option<Presence> {
        self.all()
            .get(&(organisation.clone(), name.to_owned()))
            .cloned()
    }

    pub(crate) fn stream_began(&self, organisation: &OrgId) {
        let mut streams = self.streams();
        *streams.entry(organisation.clone()).or_default() += 1;
    }

    pub(crate) fn stream_ended(&self, organisation: &OrgId) {
        let mut streams = self.streams();
        if let Some(count) = streams.get_mut(organisation) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                streams.remove(organisation);
            }
        }
    }

    pub(crate) fn streams_of(&self, organisation: &OrgId) -> usize {
        self.streams().get(organisation).copied().unwrap_or(0)
    }

    fn streams(&self) -> MutexGuard<'_, BTreeMap<OrgId, usize>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
