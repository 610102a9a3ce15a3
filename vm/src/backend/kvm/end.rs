//! The end of a machine, for whatever reason: the first one counts.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex};
use std::time::{Duration, Instant};

use crate::channel::locked;

/// Why a machine ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// The guest switched it off.
    PowerOff,
    /// The guest started it anew: its kernel panicked, as a rule.
    Reset,
    /// The guest's processor could not go on: a fault while it handled a fault.
    TripleFault,
    /// The host's processor or kernel could not go on with the guest.
    Broken(String),
    /// Nobody wants it any more.
    Killed,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PowerOff => f.write_str("the guest switched the machine off"),
            Self::Reset => f.write_str("the guest's kernel started the machine anew"),
            Self::TripleFault => f.write_str("the guest's processor faulted three times in a row"),
            Self::Broken(what) => write!(f, "KVM cannot go on: {what}"),
            Self::Killed => f.write_str("the machine was stopped"),
        }
    }
}

/// Whether a machine has ended, known to all its threads.
#[derive(Debug, Default)]
pub(super) struct End {
    set: AtomicBool,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    reason: Option<Reason>,
    /// Nothing of it is left.
    gone: bool,
    entered: Option<Instant>,
}

impl End {
    /// Ends the machine, unless it has ended.
    pub(super) fn because(&self, reason: Reason) {
        locked(&self.state).reason.get_or_insert(reason);
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

    /// Waits for the end and returns its reason.
    pub(super) fn wait(&self) -> Reason {
        let mut state = locked(&self.state);
        loop {
            if let Some(reason) = &state.reason {
                return reason.clone();
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
    fn the_first_reason_counts() {
        let end = End::default();
        assert!(!end.is_set());
        end.because(Reason::PowerOff);
        end.because(Reason::Killed);
        assert_eq!(end.wait(), Reason::PowerOff);
        assert!(end.is_set());
        assert!(!end.wait_gone(Duration::from_millis(1)));
        end.gone();
        assert!(end.wait_gone(Duration::ZERO));
    }
}
