//! Which parts of a disk hold anything but zeros.

use std::ops::Range;

use forger_block::{BlockRead, Error, Result, Run, is_zero};

use crate::ordered::in_order;
use crate::pieces::Pieces;
use crate::progress::Progress;

/// So much is looked at by one call, in bytes, at least one unit.
const STRETCH: u64 = 16 << 20;

/// Of each unit so much is read first, in bytes: most say there already that they are no zeros.
const PROBE: usize = 4096;

/// Returns the units of `unit` bytes that hold anything but zeros, in ascending order, as ranges of
/// their numbers.
///
/// What is found depends on the contents only, not on how a source reports its holes. A unit of
/// data costs little more than its first 4 KiB.
///
/// # Errors
/// Those of the source; [`Error::Interrupted`].
pub(crate) fn occupied(
    source: &dyn BlockRead,
    unit: u64,
    threads: usize,
    progress: &mut dyn Progress,
) -> Result<Vec<Range<u64>>> {
    let mut found: Vec<Range<u64>> = Vec::new();
    let stretch = STRETCH.max(unit).next_multiple_of(unit);
    in_order(
        threads,
        Pieces::new(source, stretch),
        || Ok(vec![0; 64 << 10]),
        |buffer, range| look(source, unit, range, buffer),
        |ranges: Vec<Range<u64>>| {
            for range in ranges {
                match found.last_mut() {
                    Some(last) if last.end == range.start => last.end = range.end,
                    _ => found.push(range),
                }
            }
            match progress.cancelled() {
                true => Err(Error::Interrupted),
                false => Ok(()),
            }
        },
    )?;
    Ok(found)
}

/// Looks at the units of a stretch.
fn look(
    source: &dyn BlockRead,
    unit: u64,
    range: Range<u64>,
    buffer: &mut [u8],
) -> Result<Vec<Range<u64>>> {
    let mut found: Vec<Range<u64>> = Vec::new();
    let mut start = range.start;
    while start < range.end {
        let end = (start + unit).min(range.end);
        // A hole may go on over many units.
        let hole = match source.run_at(start)? {
            Run::Hole(len) => len,
            Run::Data(_) => 0,
        };
        if hole >= end - start {
            start += (hole / unit * unit).max(end - start);
            continue;
        }
        if !zeros(source, start + hole..end, buffer)? {
            let number = start / unit;
            match found.last_mut() {
                Some(last) if last.end == number => last.end += 1,
                _ => found.push(number..number + 1),
            }
        }
        start = end;
    }
    Ok(found)
}

fn zeros(source: &dyn BlockRead, range: Range<u64>, buffer: &mut [u8]) -> Result<bool> {
    let mut at = range.start;
    let mut most = PROBE;
    while at < range.end {
        let left = usize::try_from(range.end - at).unwrap_or(usize::MAX);
        let piece = &mut buffer[..left.min(most)];
        source.read_at(at, piece)?;
        if !is_zero(piece) {
            return Ok(false);
        }
        at += piece.len() as u64;
        most = buffer.len();
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::Unwatched;
    use forger_block::SparseImage;

    #[test]
    fn contents_decide_and_not_how_holes_are_told() {
        let mut bytes = vec![0; (40 << 20) + 100];
        for at in [0, 65_535, 70_000, 17 << 20, (40 << 20) + 99] {
            bytes[at] = 1;
        }
        let expected = [0..2, 272..273, 640..641];
        let found = |source: &dyn BlockRead, threads| {
            occupied(source, 65_536, threads, &mut Unwatched).unwrap()
        };
        assert_eq!(found(&bytes, 2), expected);
        let mut image = SparseImage::builder();
        for at in [0, 65_535, 70_000, 17 << 20, (40 << 20) + 99] {
            image.bytes(at, vec![1].into()).unwrap();
        }
        let image = image.finish((40 << 20) + 100).unwrap();
        assert_eq!(found(&image, 1), expected);
        assert!(found(&vec![0_u8; 1 << 20], 1).is_empty());
        assert!(found(&Vec::<u8>::new(), 1).is_empty());
    }
}
