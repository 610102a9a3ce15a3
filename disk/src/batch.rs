//! Parts of a disk that threads work on, read by them or arrived before.

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use forger_block::{BlockRead, Result};

use crate::arriving::{Arriving, Gathered};
use crate::pieces::Pieces;

/// A disk in batches.
pub(crate) enum Batches<'a> {
    /// At any offset; what is known to be a hole is left out.
    Source(&'a dyn BlockRead),
    /// These parts of it, in bytes, holes as well.
    Parts(&'a dyn BlockRead, Vec<Range<u64>>),
    /// In order.
    Arriving(&'a mut dyn Arriving),
}

/// A part of a disk.
pub(crate) enum Batch {
    /// To be read.
    At(Range<u64>),
    /// Here: where it begins, and its bytes.
    Here(u64, Vec<u8>),
}

/// Reads batches into buffers that are used again.
pub(crate) struct Loader<'a> {
    source: Option<&'a dyn BlockRead>,
    spare: Mutex<Vec<Vec<u8>>>,
}

impl<'a> Batches<'a> {
    /// Parts the disk into batches of up to `unit` bytes, and says how to load them.
    pub(crate) fn of(
        self,
        unit: u64,
    ) -> (Box<dyn Iterator<Item = Result<Batch>> + 'a>, Loader<'a>) {
        let of = |source| Loader {
            source: Some(source),
            spare: Mutex::default(),
        };
        match self {
            Self::Source(source) => {
                let ranges = Pieces::new(source, unit);
                let batches = ranges.map(|range| range.map(Batch::At));
                (Box::new(batches), of(source))
            }
            Self::Parts(source, parts) => {
                let batches = parts.into_iter().flat_map(move |part| cut(part, unit));
                (
                    Box::new(batches.map(|range| Ok(Batch::At(range)))),
                    of(source),
                )
            }
            Self::Arriving(disk) => {
                let pieces = Gathered::new(disk, unit);
                let here = |(start, bytes)| Batch::Here(start, bytes);
                let loader = Loader {
                    source: None,
                    spare: Mutex::default(),
                };
                (Box::new(pieces.map(move |piece| piece.map(here))), loader)
            }
        }
    }
}

/// Cuts a part into pieces of `unit` bytes, from its start on.
fn cut(part: Range<u64>, unit: u64) -> impl Iterator<Item = Range<u64>> {
    let pieces = (part.end - part.start).div_ceil(unit);
    (0..pieces).map(move |number| {
        let start = part.start + number * unit;
        start..(start + unit).min(part.end)
    })
}

impl Loader<'_> {
    /// Returns where a batch begins and ends, and its bytes, with zeros up to a multiple of `unit`.
    pub(crate) fn load(&self, batch: Batch, unit: usize) -> Result<(Range<u64>, Vec<u8>)> {
        match batch {
            Batch::Here(start, mut bytes) => {
                let end = start + bytes.len() as u64;
                bytes.resize(bytes.len().next_multiple_of(unit), 0);
                Ok((start..end, bytes))
            }
            Batch::At(range) => {
                let len = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
                let mut buffer = self.lock().pop().unwrap_or_default();
                buffer.resize(len.next_multiple_of(unit), 0);
                let (inside, behind) = buffer.split_at_mut(len);
                if let Some(source) = self.source {
                    source.read_at(range.start, inside)?;
                }
                // The disk may end inside its last unit.
                behind.fill(0);
                Ok((range, buffer))
            }
        }
    }

    /// Takes a buffer back.
    pub(crate) fn done(&self, buffer: Vec<u8>) {
        if self.source.is_some() {
            self.lock().push(buffer);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Vec<u8>>> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
