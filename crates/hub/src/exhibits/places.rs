//! How many exhibits move at a time, over all and for one organisation: a place is held by
//! whoever does the work and given back when they are done, however that ends.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use fleet::OrgId;

#[derive(Clone)]
pub(super) struct Places {
    taken: Arc<Mutex<BTreeMap<OrgId, usize>>>,
    all_max: usize,
    each_max: usize,
}

pub(super) struct Place {
    places: Places,
    organisation: OrgId,
}

impl Places {
    pub(super) fn new(all_max: usize, each_max: usize) -> Self {
        Self {
            taken: Arc::default(),
            all_max,
            each_max,
        }
    }

    pub(super) fn take(&self, organisation: &OrgId) -> Option<Place> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let all: usize = taken.values().sum();
        let own = taken.get(organisation).copied().unwrap_or(0);
        if all >= self.all_max || own >= self.each_max {
            return None;
        }
        taken.insert(organisation.clone(), own + 1);
        Some(Place {
            places: self.clone(),
            organisation: organisation.clone(),
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self
            .places
            .taken
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        match taken.get_mut(&self.organisation) {
            Some(own) if *own > 1 => *own -= 1,
            _ => {
                taken.remove(&self.organisation);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_organisation_does_not_take_all_places() {
        let places = Places::new(3, 2);
        let org = |name: &str| -> OrgId { name.parse().unwrap() };
        let (acme, other, third) = (org("acme"), org("other"), org("third"));
        let first = places.take(&acme).unwrap();
        let _second = places.take(&acme).unwrap();
        assert!(places.take(&acme).is_none());
        let _others = places.take(&other).unwrap();
        assert!(places.take(&third).is_none());
        drop(first);
        assert!(places.take(&third).is_some());
    }
}
