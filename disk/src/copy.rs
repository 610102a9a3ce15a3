//! From a disk into a forward sink, read on many threads.

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use forger_block::{BlockRead, BlockSink, Error, PIECE, Result, Run, is_zero};

use crate::ordered::in_order;
use crate::pieces::Pieces;
use crate::progress::Progress;

/// Zeros of so many bytes at a multiple of it become a hole: 64 KiB.
pub const ZEROS: usize = 64 << 10;

/// Appends all of `source` to `sink`, which is not finished.
///
/// Pieces of 1 MiB are read ahead on `threads` threads; zeros become holes, 64 KiB at a time,
/// whatever the source says about them.
///
/// # Errors
/// Those of source and sink; [`Error::Interrupted`] when `progress` says so.
pub fn copy(
    source: &dyn BlockRead,
    sink: &mut dyn BlockSink,
    threads: usize,
    progress: &mut dyn Progress,
) -> Result<()> {
    let spare: Mutex<Vec<Vec<u8>>> = Mutex::default();
    let lock = || spare.lock().unwrap_or_else(PoisonError::into_inner);
    let mut at = 0;
    // Holes are put off until something follows them, so that they become one.
    let mut hole = 0;
    let mut advance = |bytes: u64| {
        progress.advance(bytes);
        match progress.cancelled() {
            true => Err(Error::Interrupted),
            false => Ok(()),
        }
    };
    in_order(
        threads,
        Pieces::new(source, PIECE as u64),
        || Ok(()),
        |(), range: Range<u64>| {
            let len = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
            let mut buffer = lock().pop().unwrap_or_default();
            buffer.resize(len, 0);
            source.read_at(range.start, &mut buffer)?;
            let runs = runs(&buffer);
            Ok((range, runs, buffer))
        },
        |(range, runs, buffer)| {
            hole += range.start - at;
            put_runs(&buffer, runs, &mut hole, sink)?;
            lock().push(buffer);
            let done = range.end - at;
            at = range.end;
            advance(done)
        },
    )?;
    sink.skip(hole + (source.len() - at))?;
    advance(source.len() - at)
}

/// Appends a piece to a sink: zeros make `hole` longer, which is put off until something follows.
pub(crate) fn put(bytes: &[u8], hole: &mut u64, sink: &mut dyn BlockSink) -> Result<()> {
    put_runs(bytes, runs(bytes), hole, sink)
}

fn put_runs(bytes: &[u8], runs: Vec<Run>, hole: &mut u64, sink: &mut dyn BlockSink) -> Result<()> {
    let mut from = 0;
    for run in runs {
        let end = from + usize::try_from(run.len()).unwrap_or(0);
        match run {
            Run::Hole(len) => *hole += len,
            Run::Data(_) => {
                sink.skip(std::mem::take(hole))?;
                sink.write(&bytes[from..end])?;
            }
        }
        from = end;
    }
    Ok(())
}

/// Parts a piece into zeros and data.
fn runs(bytes: &[u8]) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for block in bytes.chunks(ZEROS) {
        let len = block.len() as u64;
        match (runs.last_mut(), is_zero(block)) {
            (Some(Run::Hole(hole)), true) => *hole += len,
            (Some(Run::Data(data)), false) => *data += len,
            (_, true) => runs.push(Run::Hole(len)),
            (_, false) => runs.push(Run::Data(len)),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Unwatched;
    use forger_block::{Forward, MemorySink, SparseImage};

    fn copied(source: &dyn BlockRead, threads: usize) -> Vec<u8> {
        let memory = MemorySink::new();
        let output = memory.output();
        let mut sink = Box::new(Forward::new(memory));
        copy(source, &mut *sink, threads, &mut Unwatched).unwrap();
        sink.finish().unwrap();
        output.bytes().unwrap().to_vec()
    }

    #[test]
    fn copies_are_the_same_and_as_long() {
        let mut image = SparseImage::builder();
        image.bytes(10, vec![1; 100].into()).unwrap();
        image.bytes(5 << 20, vec![2; 3 << 20].into()).unwrap();
        let image = image.finish((9 << 20) + 17).unwrap();
        let mut expected = vec![0; (9 << 20) + 17];
        image.read_at(0, &mut expected).unwrap();
        for threads in [1, 3] {
            assert!(copied(&image, threads) == expected);
            assert!(copied(&expected, threads) == expected);
        }
        assert!(copied(&Vec::<u8>::new(), 1).is_empty());
    }

    #[test]
    fn zeros_become_holes() {
        let mut bytes = vec![0; 3 * ZEROS + 5];
        bytes[ZEROS] = 1;
        let unit = ZEROS as u64;
        assert_eq!(
            runs(&bytes),
            [Run::Hole(unit), Run::Data(unit), Run::Hole(unit + 5)]
        );
    }

    #[test]
    fn whoever_watches_can_stop_it() {
        struct Impatient(u64);
        impl Progress for Impatient {
            fn advance(&mut self, bytes: u64) {
                self.0 += bytes;
            }
            fn cancelled(&mut self) -> bool {
                self.0 > 2 << 20
            }
        }
        let mut sink = Forward::new(MemorySink::new());
        let mut watch = Impatient(0);
        let error = copy(&vec![1_u8; 9 << 20], &mut sink, 1, &mut watch);
        assert!(matches!(error, Err(Error::Interrupted)));
        assert_eq!(watch.0, 3 << 20);
    }
}
