//! Waiting, such that the user knows why and a signal ends it.

use forger_oci::http::Clock;

use crate::config;
use crate::progress::Voice;
use crate::signals::Signals;

/// The clock of this machine.
pub(super) struct Patience {
    signals: Signals,
    voice: Voice,
}

impl Patience {
    pub(super) fn new(signals: Signals, voice: Voice) -> Self {
        Self { signals, voice }
    }
}

impl Clock for Patience {
    fn now(&self) -> u64 {
        config::seconds()
    }

    fn wait(&self, duration: std::time::Duration, reason: &str) -> bool {
        let seconds = duration.as_secs_f64();
        self.voice
            .say(&format!("{reason}: trying again in {seconds:.1} s"));
        self.signals.pause(duration).is_ok() && self.signals.caught().is_none()
    }
}
