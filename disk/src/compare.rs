//! Whether two disks hold the same.

use std::ops::Range;

use forger_block::{BlockRead, Error, PIECE, Result, Run};

use crate::ordered::in_order;
use crate::padded::{padded_run, read_padded};
use crate::progress::Progress;

/// Returns the offset of the first byte in which two disks differ, in bytes; the shorter one counts
/// as if zeros followed it.
///
/// What is a hole in both is not read.
///
/// # Errors
/// Those of the disks; [`Error::Interrupted`] when `progress` says so.
pub fn compare(
    first: &dyn BlockRead,
    second: &dyn BlockRead,
    threads: usize,
    progress: &mut dyn Progress,
) -> Result<Option<u64>> {
    let mut difference = None;
    let mut done = 0;
    let compared = in_order(
        threads,
        Either {
            first,
            second,
            at: 0,
        },
        || Ok((Vec::new(), Vec::new())),
        |(one, other), range: Range<u64>| {
            let len = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
            one.resize(len, 0);
            other.resize(len, 0);
            read_padded(first, range.start, one)?;
            read_padded(second, range.start, other)?;
            let differs = match one == other {
                true => None,
                false => one
                    .iter()
                    .zip(&*other)
                    .position(|(one, other)| one != other),
            };
            Ok((range.end, differs.map(|at| range.start + at as u64)))
        },
        |(end, differs)| {
            progress.advance(end - done);
            done = end;
            difference = differs;
            // The first difference is the end of it.
            match differs.is_some() || progress.cancelled() {
                true => Err(Error::Interrupted),
                false => Ok(()),
            }
        },
    );
    match (difference, compared) {
        (Some(at), _) => Ok(Some(at)),
        (None, Ok(())) => {
            progress.advance(first.len().max(second.len()) - done);
            Ok(None)
        }
        (None, Err(error)) => Err(error),
    }
}

/// The pieces of two disks that are not holes in both.
struct Either<'a> {
    first: &'a dyn BlockRead,
    second: &'a dyn BlockRead,
    at: u64,
}

impl Either<'_> {
    /// Returns the piece at the place that was reached, and moves on.
    fn advance(&mut self, end: u64) -> Result<Option<Range<u64>>> {
        let start = self.at;
        let runs = [
            padded_run(self.first, start, end - start)?,
            padded_run(self.second, start, end - start)?,
        ];
        if let [Run::Hole(one), Run::Hole(other)] = runs {
            self.at += one.min(other);
            return Ok(None);
        }
        let piece = PIECE as u64;
        self.at = (start - start % piece + piece).min(end);
        Ok(Some(start..self.at))
    }
}

impl Iterator for Either<'_> {
    type Item = Result<Range<u64>>;

    fn next(&mut self) -> Option<Self::Item> {
        let end = self.first.len().max(self.second.len());
        while self.at < end {
            match self.advance(end) {
                Ok(None) => {}
                Ok(Some(range)) => return Some(Ok(range)),
                Err(error) => {
                    self.at = end;
                    return Some(Err(error));
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Unwatched;
    use forger_block::SparseImage;

    fn first_difference(one: &dyn BlockRead, other: &dyn BlockRead) -> Option<u64> {
        let found = compare(one, other, 2, &mut Unwatched).unwrap();
        assert_eq!(compare(other, one, 1, &mut Unwatched).unwrap(), found);
        found
    }

    #[test]
    fn the_first_difference_is_found_and_zeros_at_the_end_are_none() {
        let mut bytes = vec![0_u8; 5 << 20];
        bytes[3_000_000] = 7;
        let mut image = SparseImage::builder();
        image.bytes(3_000_000, vec![7].into()).unwrap();
        let image = image.finish(9 << 20).unwrap();
        assert_eq!(first_difference(&bytes, &image), None);
        bytes[4_000_000] = 1;
        bytes[4_000_001] = 1;
        assert_eq!(first_difference(&bytes, &image), Some(4_000_000));
        assert_eq!(first_difference(&bytes, &Vec::<u8>::new()), Some(3_000_000));
        let shorter = bytes[..4_000_001].to_vec();
        assert_eq!(first_difference(&bytes, &shorter), Some(4_000_001));
    }
}
