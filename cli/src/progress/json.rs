//! NDJSON: one object a line, for programs.

use std::io::Write;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{Face, Phase};

/// Events on standard error.
#[derive(Debug)]
pub(super) struct Events {
    phases: bool,
    since: Instant,
}

impl Events {
    /// Shows phases and notes.
    pub(super) fn all() -> Self {
        Self {
            phases: true,
            since: Instant::now(),
        }
    }

    /// Shows notes only.
    pub(super) fn notes_only() -> Self {
        Self {
            phases: false,
            ..Self::all()
        }
    }

    fn say(&self, mut event: Value) {
        event["elapsed_ms"] = milliseconds(self.since).into();
        // A standard error that takes nothing is no reason to stop the work.
        let _ = writeln!(std::io::stderr().lock(), "{event}");
    }
}

impl Face for Events {
    fn interval(&self) -> Duration {
        Duration::from_secs(1)
    }

    fn start(&mut self, phase: &Phase) {
        if self.phases {
            self.say(json!({"type": "phase_start", "name": phase.name}));
        }
    }

    fn progress(&mut self, phase: &Phase) {
        if self.phases {
            self.say(json!({
                "type": "progress",
                "name": phase.name,
                "bytes": phase.bytes,
                "entries": phase.entries,
                "input_bytes": phase.input.map(|(done, _)| done),
                "input_total": phase.input.map(|(_, total)| total),
            }));
        }
    }

    fn done(&mut self, phase: &Phase) {
        if self.phases {
            self.say(json!({
                "type": "phase_done",
                "name": phase.name,
                "bytes": phase.bytes,
                "entries": phase.entries,
                "phase_ms": milliseconds(phase.since),
            }));
        }
    }

    fn note(&mut self, kind: &'static str, message: &str) {
        self.say(json!({"type": kind, "message": message}));
    }
}

fn milliseconds(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}
