//! Which parts of a disk differ from what it builds on.

use std::ops::Range;

use forger_block::{BlockRead, Error, Result, Run, is_zero};

use crate::ordered::in_order;
use crate::padded::{padded_run, read_padded};
use crate::progress::Progress;

/// So much is looked at by one call, in bytes, at least one unit.
const STRETCH: u64 = 4 << 20;

/// How a unit differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Differs {
    /// It is zeros, and the other is not.
    Zeros,
    /// It holds something else.
    Data,
}

/// Units by their numbers, in ascending order, and how they differ.
type Found = Vec<(Range<u64>, Differs)>;

/// Returns the units of `unit` bytes of a disk that differ from those of another one, behind whose end
/// are zeros.
///
/// What is found depends on the contents only.
///
/// # Errors
/// Those of the disks; [`Error::Interrupted`].
pub(crate) fn differing(
    disk: &dyn BlockRead,
    other: &dyn BlockRead,
    unit: u64,
    threads: usize,
    progress: &mut dyn Progress,
) -> Result<Found> {
    let mut found: Found = Vec::new();
    let stretch = STRETCH.max(unit).next_multiple_of(unit);
    let count = disk.len().div_ceil(stretch);
    let stretches = (0..count).map(|number| {
        let start = number * stretch;
        Ok(start..(start + stretch).min(disk.len()))
    });
    in_order(
        threads,
        stretches,
        || Ok((Vec::new(), Vec::new())),
        |(one, two), range| look(disk, other, unit, range, one, two),
        |ranges: Found| {
            for (range, differs) in ranges {
                extend(&mut found, range, differs);
            }
            match progress.cancelled() {
                true => Err(Error::Interrupted),
                false => Ok(()),
            }
        },
    )?;
    Ok(found)
}

fn extend(found: &mut Found, range: Range<u64>, differs: Differs) {
    match found.last_mut() {
        Some((last, kind)) if *kind == differs && last.end == range.start => last.end = range.end,
        _ => found.push((range, differs)),
    }
}

/// Looks at the units of a stretch.
fn look(
    disk: &dyn BlockRead,
    other: &dyn BlockRead,
    unit: u64,
    range: Range<u64>,
    one: &mut Vec<u8>,
    two: &mut Vec<u8>,
) -> Result<Found> {
    let mut found = Found::new();
    let mut start = range.start;
    while start < range.end {
        // Where both are holes, many units may be the same.
        let most = range.end - start;
        let runs = [
            padded_run(disk, start, most)?,
            padded_run(other, start, most)?,
        ];
        let end = (start + unit).min(range.end);
        if let [Run::Hole(hole), Run::Hole(beside)] = runs
            && hole.min(beside) >= end - start
        {
            start += (hole.min(beside) / unit * unit).max(end - start);
            continue;
        }
        let len = usize::try_from(end - start).unwrap_or(usize::MAX);
        one.resize(len, 0);
        two.resize(len, 0);
        disk.read_at(start, one)?;
        read_padded(other, start, two)?;
        if one != two {
            let differs = match is_zero(one) {
                true => Differs::Zeros,
                false => Differs::Data,
            };
            extend(&mut found, start / unit..start / unit + 1, differs);
        }
        start = end;
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::Unwatched;
    use forger_block::SparseImage;

    #[test]
    fn units_that_are_the_same_are_left_out() {
        let mut base = vec![0_u8; 6 << 20];
        base[..200_000].fill(7);
        base[5 << 20..].fill(9);
        let mut disk = base.clone();
        disk.resize((7 << 20) + 100, 0);
        disk[65_536..131_072].fill(0);
        disk[131_072] = 1;
        disk[(7 << 20) + 50] = 1;
        let expected = [
            (1..2, Differs::Zeros),
            (2..3, Differs::Data),
            (112..113, Differs::Data),
        ];
        for threads in [1, 3] {
            let found = differing(&disk, &base, 65_536, threads, &mut Unwatched).unwrap();
            assert_eq!(found, expected);
        }
        let hole = SparseImage::builder().finish(6 << 20).unwrap();
        let found = differing(&hole, &base, 65_536, 1, &mut Unwatched).unwrap();
        assert_eq!(found, [(0..4, Differs::Zeros), (80..96, Differs::Zeros)]);
        let found = differing(&hole, &hole, 65_536, 1, &mut Unwatched).unwrap();
        assert!(found.is_empty());
    }
}
