//! How often someone may ask: a bucket of tokens a name.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Names remembered; beyond it full buckets are forgotten, and then all.
const NAMES_MAX: usize = 65_536;

pub(crate) struct Rate {
    burst: u32,
    /// For one token to come back.
    every: Duration,
    /// When each bucket would be full again.
    full_at: Mutex<HashMap<Arc<str>, Instant>>,
}

impl Rate {
    pub(crate) fn new(burst: u32, every: Duration) -> Self {
        Self {
            burst,
            every,
            full_at: Mutex::default(),
        }
    }

    /// Takes a token; without one, how long until there is one.
    pub(crate) fn take(&self, name: &Arc<str>, now: Instant) -> Result<(), Duration> {
        let mut all = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= NAMES_MAX && !all.contains_key(name) {
            all.retain(|_, full_at| *full_at > now);
            if all.len() >= NAMES_MAX {
                all.clear();
            }
        }
        let full_at = all.entry(Arc::clone(name)).or_insert(now);
        let next = (*full_at).max(now) + self.every;
        let room = self.every * self.burst;
        match next.duration_since(now).checked_sub(room) {
            Some(wait) if wait > Duration::ZERO => Err(wait),
            _ => {
                *full_at = next;
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_then_one_at_a_time() {
        let rate = Rate::new(3, Duration::from_secs(2));
        let (name, now): (Arc<str>, _) = ("a".into(), Instant::now());
        for _ in 0..3 {
            assert_eq!(rate.take(&name, now), Ok(()));
        }
        assert_eq!(rate.take(&name, now), Err(Duration::from_secs(2)));
        assert_eq!(rate.take(&"b".into(), now), Ok(()));
        let later = now + Duration::from_secs(2);
        assert_eq!(rate.take(&name, later), Ok(()));
        assert!(rate.take(&name, later).is_err());
    }
}
