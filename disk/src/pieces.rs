//! A disk in pieces that threads can take.

use std::ops::Range;

use forger_block::{BlockRead, Result, Run};

/// The parts of a source that are not known to be holes, in pieces that end at multiples of
/// `unit` bytes and start there or at the end of a hole rounded down.
#[derive(Debug)]
pub(crate) struct Pieces<'a> {
    source: &'a dyn BlockRead,
    unit: u64,
    at: u64,
}

impl<'a> Pieces<'a> {
    /// Cuts a source into pieces of up to `unit` bytes.
    pub(crate) fn new(source: &'a dyn BlockRead, unit: u64) -> Self {
        Self {
            source,
            unit,
            at: 0,
        }
    }
}

impl Iterator for Pieces<'_> {
    type Item = Result<Range<u64>>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.at < self.source.len() {
            match self.source.run_at(self.at) {
                Ok(Run::Hole(len)) if len > 0 => self.at += len,
                Ok(_) => {
                    // Whole units, so that none is in two pieces.
                    let start = self.at - self.at % self.unit;
                    let end = (start + self.unit).min(self.source.len());
                    self.at = end;
                    return Some(Ok(start..end));
                }
                Err(error) => {
                    self.at = self.source.len();
                    return Some(Err(error));
                }
            }
        }
        None
    }
}
