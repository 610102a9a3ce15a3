//! The maps of GNU sparse files: which parts of a file are in the archive.
//!
//! | format | where the map stands | numbers |
//! |---|---|---|
//! | old GNU, type `S` | the header, then blocks of 21 entries | octal, base-256 |
//! | PAX 0.0 | pairs of records `GNU.sparse.offset`, `GNU.sparse.numbytes` | decimal |
//! | PAX 0.1 | one record `GNU.sparse.map`: `offset,len,offset,len` | decimal |
//! | PAX 1.0 | the first blocks of the body: count, then offset and length, one number a line | decimal |
//!
//! Whatever the format, the runs must ascend without overlap inside the file, and their lengths
//! must add up to what the archive stores.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

mod body;
mod old;
mod records;

pub(super) use body::read_body_map;
pub(super) use old::read_old_map;
pub(super) use records::{Described, Records};

use super::Error;
use super::member::lossy;

/// A part of a file that is stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Run {
    /// Where it stands in the file, in bytes.
    pub(super) offset: u64,
    /// Its length in bytes.
    pub(super) len: u64,
}

/// Checks a map against the file's length and the stored bytes, and drops empty runs.
pub(super) fn check(mut runs: Vec<Run>, size: u64, stored: u64) -> Result<Vec<Run>, String> {
    let (mut end, mut sum) = (0u64, 0u64);
    for run in &runs {
        if run.offset < end {
            return Err(format!(
                "the run at {} starts before the end of the one before, {end}",
                run.offset
            ));
        }
        end = run
            .offset
            .checked_add(run.len)
            .filter(|end| *end <= size)
            .ok_or_else(|| {
                format!(
                    "the run of {} bytes at {} does not lie in the file of {size} bytes",
                    run.len, run.offset
                )
            })?;
        // The runs do not overlap, so that the sum is at most `size`.
        sum = sum.saturating_add(run.len);
    }
    if sum != stored {
        return Err(format!(
            "its runs have {sum} bytes, but {stored} are stored"
        ));
    }
    runs.retain(|run| run.len > 0);
    Ok(runs)
}

/// The member that a map belongs to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    /// Where its header stands.
    pub(super) offset: u64,
    /// Its name.
    pub(super) entry: &'a [u8],
}

impl Place<'_> {
    /// The error for its map.
    pub(super) fn fault(self, reason: impl Into<String>) -> Error {
        Error::Sparse {
            offset: self.offset,
            entry: lossy(self.entry),
            reason: reason.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(pairs: &[(u64, u64)]) -> Vec<Run> {
        pairs
            .iter()
            .map(|(offset, len)| Run {
                offset: *offset,
                len: *len,
            })
            .collect()
    }

    #[test]
    fn map_that_ascends_inside_the_file_is_accepted_without_its_empty_runs() {
        let map = runs(&[(0, 0), (10, 5), (15, 1), (20, 0), (20, 0)]);
        assert_eq!(check(map, 20, 6), Ok(runs(&[(10, 5), (15, 1)])));
        assert_eq!(check(Vec::new(), 20, 0), Ok(Vec::new()));
    }

    #[test]
    fn map_that_overlaps_descends_leaves_the_file_or_lies_is_refused() {
        for (map, size, stored) in [
            (runs(&[(0, 5), (4, 1)]), 20, 6),
            (runs(&[(10, 5), (0, 5)]), 20, 10),
            (runs(&[(10, 5), (9, 0)]), 20, 5),
            (runs(&[(10, 11)]), 20, 11),
            (runs(&[(21, 0)]), 20, 0),
            (runs(&[(u64::MAX, 2)]), u64::MAX, 2),
            (runs(&[(0, 5)]), 20, 4),
            (runs(&[(0, 5)]), 20, 6),
        ] {
            assert!(check(map.clone(), size, stored).is_err(), "{map:?}");
        }
    }
}
