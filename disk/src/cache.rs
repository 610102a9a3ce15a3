//! Things that were read and may be wanted again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// A bounded number of things by their place; the one that was not wanted the longest goes first.
#[derive(Debug)]
pub(crate) struct Cache<T> {
    limit: usize,
    state: Mutex<State<T>>,
}

#[derive(Debug)]
struct State<T> {
    clock: u64,
    kept: HashMap<u64, (u64, Arc<T>)>,
}

impl<T> Cache<T> {
    /// Keeps things of `size` bytes, in so much memory; at least four.
    pub(crate) fn new(size: u64, memory: u64) -> Self {
        let limit = usize::try_from(memory / size.max(1)).unwrap_or(usize::MAX);
        Self {
            limit: limit.clamp(4, 512),
            state: Mutex::new(State {
                clock: 0,
                kept: HashMap::new(),
            }),
        }
    }

    /// Returns what belongs to `key`, which `make` makes when it is not there.
    ///
    /// Nobody waits for a thing that another thread is making; both make it then.
    pub(crate) fn get<E>(
        &self,
        key: u64,
        make: impl FnOnce() -> Result<T, E>,
    ) -> Result<Arc<T>, E> {
        if let Some(kept) = self.find(key) {
            return Ok(kept);
        }
        let made = Arc::new(make()?);
        let mut state = self.lock();
        state.clock += 1;
        let now = state.clock;
        if state.kept.len() >= self.limit {
            let oldest = state.kept.iter().min_by_key(|(_, (used, _))| *used);
            if let Some(oldest) = oldest.map(|(key, _)| *key) {
                state.kept.remove(&oldest);
            }
        }
        state.kept.insert(key, (now, Arc::clone(&made)));
        Ok(made)
    }

    /// Returns what belongs to `key` if it is there.
    pub(crate) fn find(&self, key: u64) -> Option<Arc<T>> {
        let mut state = self.lock();
        state.clock += 1;
        let now = state.clock;
        let (used, kept) = state.kept.get_mut(&key)?;
        *used = now;
        Some(Arc::clone(kept))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    #[test]
    fn what_was_not_wanted_the_longest_goes_first() {
        let cache = Cache::new(1, 4);
        let get = |key| {
            let mut made = false;
            let make = || {
                made = true;
                Ok::<u64, Infallible>(key)
            };
            let Ok(value) = cache.get(key, make);
            assert_eq!(*value, key);
            made
        };
        assert!((0..4).all(get));
        assert!(!get(0));
        assert!(get(4));
        assert!(!get(0));
        assert!(get(1));
    }
}
