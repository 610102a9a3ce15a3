//! The end of a machine, for whatever cause: the first one counts.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex};
use std::time::{Duration, Instant};

use crate::cause::Cause;
use crate::channel::locked;

/// Whether a machine has ended, known to all its threads.
#[derive(Debug, Default)]
pub(super) struct End {
    set: AtomicBool,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    cause: Option<Cause>,
    /// Nothing of it is left.
    gone: bool,
    entered: Option<Instant>,
}

impl End {
    /// Ends the machine, unless it has ended.
    pub(super) fn because(&self, cause: Cause) {
        locked(&self.state).cause.get_or_insert(cause);
        self.set.store(true, Ordering::Release);
        self.changed.notify_all();
    }

    /// Tells whether the machine has ended.
    pub(super) fn is_set(&self) -> bool {
        self.set.load(Ordering::Acquire)
    }

    /// Says that nothing of it is left.
    pub(super) fn gone(&self) {
        locked(&self.state).gone = true;
        self.changed.notify_all();
    }

    /// Takes note of the moment in which the guest's first instruction runs.
    pub(super) fn entered(&self) {
        locked(&self.state).entered.get_or_insert_with(Instant::now);
    }

    /// Returns that moment, if it has come.
    pub(super) fn entry(&self) -> Option<Instant> {
        locked(&self.state).entered
    }

    /// Waits for the end and returns its cause.
    pub(super) fn wait(&self) -> Cause {
        let mut state = locked(&self.state);
        loop {
            if let Some(cause) = &state.cause {
                return cause.clone();
            }
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(std::sync::PoisonError::into_inner);
        }
    }

    /// Waits until nothing of it is left, at most so long; tells whether it is so.
    pub(super) fn wait_gone(&self, limit: Duration) -> bool {
        let state = locked(&self.state);
        let waited = self
            .changed
            .wait_timeout_while(state, limit, |state| !state.gone);
        waited.map_or_else(|error| error.into_inner().0.gone, |(state, _)| state.gone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_cause_counts() {
        let end = End::default();
        assert!(!end.is_set());
        end.because(Cause::PowerOff);
        end.because(Cause::Killed);
        assert_eq!(end.wait(), Cause::PowerOff);
        assert!(end.is_set());
        assert!(!end.wait_gone(Duration::from_millis(1)));
        end.gone();
        assert!(end.wait_gone(Duration::ZERO));
    }
}
