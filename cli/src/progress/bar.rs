//! A bar on a terminal.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{Face, Phase, lines};

/// Bytes, rate and time left, where the input's length is known.
const KNOWN: &str =
    "{msg} [{bar:20}] {binary_bytes} of {binary_total_bytes}, {binary_bytes_per_sec}, {eta} left";
/// Bytes and rate.
const UNKNOWN: &str = "{msg} {spinner} {binary_bytes}, {binary_bytes_per_sec}";
/// Nothing but the phase, before bytes flow.
const IDLE: &str = "{msg} {spinner}";

/// A bar that each phase starts anew.
#[derive(Debug)]
pub(super) struct Bar {
    bar: ProgressBar,
}

impl Bar {
    pub(super) fn new() -> Self {
        Self {
            bar: ProgressBar::hidden(),
        }
    }
}

impl Face for Bar {
    fn interval(&self) -> Duration {
        Duration::from_millis(100)
    }

    fn start(&mut self, phase: &Phase) {
        self.bar.finish_and_clear();
        self.bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(10))
            .with_style(style(IDLE))
            .with_message(phase.name);
        self.bar.tick();
    }

    fn progress(&mut self, phase: &Phase) {
        match phase.input {
            Some((done, total)) => {
                if self.bar.length() != Some(total) {
                    self.bar.set_style(style(KNOWN));
                    self.bar.set_length(total);
                }
                self.bar.set_position(done);
            }
            None => {
                if self.bar.position() == 0 && phase.bytes > 0 {
                    self.bar.set_style(style(UNKNOWN));
                }
                self.bar.set_position(phase.bytes);
            }
        }
        self.bar.tick();
    }

    fn done(&mut self, phase: &Phase) {
        self.bar.finish_and_clear();
        eprintln!("{}", lines::summary(phase));
    }

    fn abandon(&mut self) {
        self.bar.finish_and_clear();
    }

    fn note(&mut self, kind: &'static str, message: &str) {
        self.bar.suspend(|| eprintln!("forger: {kind}: {message}"));
    }
}

/// Reads one of the templates above, which a test shows to be right.
fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_understood() {
        for template in [KNOWN, UNKNOWN, IDLE] {
            assert!(ProgressStyle::with_template(template).is_ok(), "{template}");
        }
    }
}
