//! What a long command shows while it works, on standard error.

mod bar;
mod json;
mod lines;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use forger_fs::observe::{Note, Observer};

use crate::args::{Format, Global, ProgressStyle};
use crate::config;
use crate::exit::Failure;
use crate::signals::Signals;

/// The user's view of a long command: an [`Observer`] that shows phases, notes and progress.
#[derive(Debug)]
pub(crate) struct Console {
    voice: Voice,
    signals: Signals,
    meter: Arc<Meter>,
    verbose: bool,
    phase: Option<Phase>,
    shown: Instant,
    /// Calls to let pass before the clock is asked again.
    patience: u32,
}

/// Calls of `entry`, or 64 KiB of content, between two looks at the clock.
const PATIENCE: u32 = 64;

impl Console {
    /// Takes over the signals and standard error.
    ///
    /// # Errors
    /// When signals cannot be watched.
    pub(crate) fn start(global: Global) -> Result<Self, Failure> {
        let terminal = config::terminal();
        let style = if global.quiet {
            ProgressStyle::None
        } else {
            global.progress
        };
        let face: Box<dyn Face> = match (global.output, style) {
            (Format::Json, ProgressStyle::None) => Box::new(json::Events::notes_only()),
            (Format::Json, _) => Box::new(json::Events::all()),
            (Format::Text, ProgressStyle::None) => Box::new(lines::Lines::notes_only()),
            (Format::Text, ProgressStyle::Auto) if terminal => Box::new(bar::Bar::new()),
            (Format::Text, _) => Box::new(lines::Lines::all()),
        };
        let voice = Voice {
            face: Arc::new(Mutex::new(face)),
            quiet: global.quiet,
        };
        Ok(Self {
            voice,
            signals: Signals::install()?,
            meter: Arc::default(),
            verbose: global.verbose,
            phase: None,
            shown: Instant::now(),
            patience: 0,
        })
    }

    /// Returns the signals that were taken over.
    pub(crate) fn signals(&self) -> &Signals {
        &self.signals
    }

    /// Returns the meter that whoever reads the input turns.
    pub(crate) fn meter(&self) -> &Arc<Meter> {
        &self.meter
    }

    /// Says what deserves the user's attention.
    pub(crate) fn say(&mut self, message: &str) {
        self.voice.say(message);
    }

    /// Returns what says things from other threads.
    pub(crate) fn voice(&self) -> Voice {
        self.voice.clone()
    }

    /// Says what only `--verbose` asks for.
    pub(crate) fn detail(&mut self, message: &str) {
        if self.verbose {
            self.voice.face().note("info", message);
        }
    }

    /// Ends the current phase, removes the bar, and turns an error into what the user shall see of
    /// it: a signal explains every error that follows it.
    pub(crate) fn conclude<T>(&mut self, result: Result<T, Failure>) -> Result<T, Failure> {
        let phase = self.phase.take();
        match (&result, phase) {
            (Ok(_), Some(phase)) => self.voice.face().done(&phase),
            _ => self.voice.face().abandon(),
        }
        result.map_err(|failure| self.signals.caught().map_or(failure, Failure::signal))
    }

    /// Ends the current phase, and removes the bar: what follows is somebody else's.
    pub(crate) fn end_phase(&mut self) {
        if let Some(phase) = self.phase.take() {
            self.voice.face().done(&phase);
        }
    }

    /// Says that everything is written and the output is being published.
    pub(crate) fn finishing(&mut self) {
        self.phase("publish");
    }

    /// Begins a step of work that is no filesystem's.
    pub(crate) fn start_phase(&mut self, name: &'static str) {
        Observer::phase(self, name);
    }

    fn tick(&mut self, cost: u64) {
        let cost = u32::try_from(cost).unwrap_or(u32::MAX);
        if cost < self.patience {
            self.patience -= cost;
            return;
        }
        self.patience = PATIENCE;
        if self.shown.elapsed() < self.voice.face().interval() {
            return;
        }
        self.shown = Instant::now();
        if let Some(phase) = &mut self.phase {
            phase.input = self.meter.reading();
            self.voice.face().progress(phase);
        }
    }
}

impl Observer for Console {
    fn note(&mut self, note: Note) {
        self.say(&note.to_string());
    }

    fn advance(&mut self, bytes: u64) {
        if let Some(phase) = &mut self.phase {
            phase.bytes += bytes;
        }
        self.tick(bytes.div_ceil(1024));
    }

    fn entry(&mut self) {
        if let Some(phase) = &mut self.phase {
            phase.entries += 1;
        }
        self.tick(1);
    }

    fn phase(&mut self, name: &'static str) {
        if let Some(mut done) = self.phase.take() {
            done.input = None;
            self.voice.face().done(&done);
        }
        let phase = Phase {
            name,
            since: Instant::now(),
            bytes: 0,
            entries: 0,
            input: None,
        };
        self.voice.face().start(&phase);
        self.shown = Instant::now();
        self.phase = Some(phase);
    }

    fn cancelled(&mut self) -> bool {
        self.signals.caught().is_some()
    }
}

impl forger_disk::Progress for Console {
    fn advance(&mut self, bytes: u64) {
        self.meter.add(bytes);
        Observer::advance(self, bytes);
    }

    fn cancelled(&mut self) -> bool {
        Observer::cancelled(self)
    }
}

/// Says what deserves the user's attention, from any thread.
#[derive(Clone, Debug)]
pub(crate) struct Voice {
    face: Arc<Mutex<Box<dyn Face>>>,
    quiet: bool,
}

impl Voice {
    /// Says what deserves the user's attention.
    pub(crate) fn say(&self, message: &str) {
        if !self.quiet {
            self.face().note("note", message);
        }
    }

    /// Says nothing.
    #[cfg(test)]
    pub(crate) fn silent() -> Self {
        Self {
            face: Arc::new(Mutex::new(Box::new(lines::Lines::notes_only()))),
            quiet: true,
        }
    }

    fn face(&self) -> MutexGuard<'_, Box<dyn Face>> {
        self.face.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A step of the work, and how far it is.
#[derive(Debug)]
struct Phase {
    name: &'static str,
    since: Instant,
    /// Content that went through, in bytes.
    bytes: u64,
    /// Entries taken.
    entries: u64,
    /// How much of the input was read, in bytes, and how much there is, where that is known.
    input: Option<(u64, u64)>,
}

/// How much of the input was read; turned by readers, on whatever thread they are.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    done: AtomicU64,
    total: AtomicU64,
}

impl Meter {
    /// Says that the input has so many further bytes.
    pub(crate) fn expect(&self, bytes: u64) {
        self.total.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Says that so many further bytes were read.
    pub(crate) fn add(&self, bytes: u64) {
        self.done.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Returns how many bytes were read.
    pub(crate) fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    /// Returns bytes read and bytes there are, where that is known.
    fn reading(&self) -> Option<(u64, u64)> {
        match self.total.load(Ordering::Relaxed) {
            0 => None,
            total => Some((self.done().min(total), total)),
        }
    }
}

/// A way to show progress.
trait Face: std::fmt::Debug + Send {
    /// Says how often [`progress`](Self::progress) is worth a call.
    fn interval(&self) -> Duration;

    /// Shows that a phase begins.
    fn start(&mut self, phase: &Phase);

    /// Shows how far it is.
    fn progress(&mut self, phase: &Phase);

    /// Shows that it is complete.
    fn done(&mut self, phase: &Phase);

    /// Shows that the work has ended before its phase was complete, or outside of any.
    fn abandon(&mut self) {}

    /// Shows a message of a kind, `note` or `info`.
    fn note(&mut self, kind: &'static str, message: &str);
}
