//! An image that is being made: begun, filled, checked, published.

use forger_block::{BlockSink, PlacedSink};
use forger_disk::qcow2;

use super::refused::Refused;
use crate::exit::Failure;
use crate::output::Output;
use crate::progress::Console;
use crate::remedy;

/// An image that is being made.
pub(in crate::command) struct Work<'a> {
    pub(in crate::command) output: &'a Output,
    pub(in crate::command) threads: usize,
    pub(in crate::command) console: &'a mut Console,
}

impl Work<'_> {
    pub(in crate::command) fn what(&self) -> String {
        format!("cannot make {}", self.output.product())
    }

    pub(super) fn compression(&self, (codec, level): (qcow2::Codec, i32)) -> qcow2::Compression {
        qcow2::Compression {
            codec,
            level,
            threads: self.threads,
        }
    }

    /// Writes bytes in any order, and returns how many.
    pub(super) fn placed<E: Into<Refused>>(
        self,
        check: impl FnOnce() -> Result<(), Failure>,
        fill: impl FnOnce(&mut dyn PlacedSink, &mut Console) -> Result<u64, E>,
    ) -> Result<u64, Failure> {
        let mut sink = self.output.open_placed(self.console.signals())?;
        self.console.start_phase("convert");
        let len =
            fill(&mut *sink, self.console).map_err(|error| error.into().failure(self.what()))?;
        check()?;
        self.console.finishing();
        sink.finish(len)
            .map_err(|error| remedy::block(self.what(), error))?;
        Ok(len)
    }

    /// Writes bytes in order, and returns how many.
    pub(super) fn forward(
        self,
        check: impl FnOnce() -> Result<(), Failure>,
        fill: impl FnOnce(Box<dyn BlockSink>, &mut Console) -> Result<Box<dyn BlockSink>, Refused>,
    ) -> Result<u64, Failure> {
        let sink = self.output.open_forward(self.console.signals())?;
        self.console.start_phase("convert");
        let sink = fill(sink, self.console).map_err(|error| error.failure(self.what()))?;
        let len = sink.position();
        check()?;
        self.console.finishing();
        sink.finish()
            .map_err(|error| remedy::block(self.what(), error))?;
        Ok(len)
    }
}
