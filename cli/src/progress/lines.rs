//! One line per phase, for logs.

use std::io::Write;
use std::time::Duration;

use super::{Face, Phase};
use crate::args::size::human;

/// Lines on standard error.
#[derive(Debug)]
pub(super) struct Lines {
    phases: bool,
}

impl Lines {
    /// Shows phases and notes.
    pub(super) fn all() -> Self {
        Self { phases: true }
    }

    /// Shows notes only.
    pub(super) fn notes_only() -> Self {
        Self { phases: false }
    }
}

impl Face for Lines {
    fn interval(&self) -> Duration {
        // Often enough that a watchdog over a log does not think the work hangs.
        Duration::from_secs(30)
    }

    fn start(&mut self, _: &Phase) {}

    fn progress(&mut self, phase: &Phase) {
        if self.phases {
            say(&format!("forger: {}: {} so far", phase.name, amount(phase)));
        }
    }

    fn done(&mut self, phase: &Phase) {
        if self.phases {
            say(&format!("forger: {}", summary(phase)));
        }
    }

    fn note(&mut self, kind: &'static str, message: &str) {
        say(&format!("forger: {kind}: {message}"));
    }
}

/// Says what a phase did and how long it took.
pub(super) fn summary(phase: &Phase) -> String {
    let seconds = phase.since.elapsed().as_secs_f64();
    match (phase.bytes, phase.entries) {
        (0, 0) => format!("{}: {seconds:.1} s", phase.name),
        _ => format!("{}: {} in {seconds:.1} s", phase.name, amount(phase)),
    }
}

/// Says how much went through.
fn amount(phase: &Phase) -> String {
    match (phase.entries, phase.input) {
        (0, None) => human(phase.bytes),
        (0, Some((done, total))) => format!("{} of {}", human(done), human(total)),
        (1, _) => format!("1 entry, {}", human(phase.bytes)),
        (entries, _) => format!("{entries} entries, {}", human(phase.bytes)),
    }
}

/// Writes a line; a standard error that takes nothing is no reason to stop the work.
fn say(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}
