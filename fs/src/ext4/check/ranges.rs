//! A set of numbers as ranges: what is in use.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

use std::collections::BTreeMap;
use std::ops::Range;

/// A set of numbers; ranges that touch are one.
#[derive(Clone, Debug, Default)]
pub(super) struct Ranges {
    /// Start to end.
    ranges: BTreeMap<u64, u64>,
}

impl Ranges {
    /// Adds a range; returns the first part of it that was there, if any.
    pub(super) fn insert(&mut self, range: Range<u64>) -> Option<Range<u64>> {
        if range.is_empty() {
            return None;
        }
        let there = self.overlap(&range);
        let (mut start, mut end) = (range.start, range.end);
        if let Some((before, until)) = self.at_or_before(start)
            && until >= start
        {
            start = before;
            end = end.max(until);
        }
        while let Some((after, until)) = self.first_from(start).filter(|(at, _)| *at <= end) {
            end = end.max(until);
            self.ranges.remove(&after);
        }
        self.ranges.insert(start, end);
        there
    }

    /// Returns the first part of a range that is in the set.
    pub(super) fn overlap(&self, range: &Range<u64>) -> Option<Range<u64>> {
        self.within(range.clone()).next()
    }

    /// Returns the parts of a range that are in the set.
    pub(super) fn within(&self, range: Range<u64>) -> impl Iterator<Item = Range<u64>> + '_ {
        let first = self
            .at_or_before(range.start)
            .filter(|(_, end)| *end > range.start);
        let from = range.start.saturating_add(1).min(range.end);
        let rest = self.ranges.range(from..range.end);
        first
            .into_iter()
            .chain(rest.map(|(start, end)| (*start, *end)))
            .map(move |(start, end)| start.max(range.start)..end.min(range.end))
            .filter(|part| !part.is_empty())
    }

    fn at_or_before(&self, at: u64) -> Option<(u64, u64)> {
        let (start, end) = self.ranges.range(..=at).next_back()?;
        Some((*start, *end))
    }

    fn first_from(&self, at: u64) -> Option<(u64, u64)> {
        let (start, end) = self.ranges.range(at..).next()?;
        Some((*start, *end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(ranges: &Ranges) -> Vec<Range<u64>> {
        ranges.within(0..u64::MAX).collect()
    }

    #[test]
    fn touching_ranges_become_one() {
        let mut ranges = Ranges::default();
        assert_eq!(ranges.insert(5..10), None);
        assert_eq!(ranges.insert(20..30), None);
        assert_eq!(ranges.insert(10..20), None);
        assert_eq!(parts(&ranges), vec![5..30]);
        assert_eq!(ranges.insert(3..3), None);
        assert_eq!(ranges.insert(0..1), None);
        assert_eq!(parts(&ranges), vec![0..1, 5..30]);
    }

    #[test]
    fn overlaps_are_told_and_merged() {
        let mut ranges = Ranges::default();
        ranges.insert(5..10);
        ranges.insert(20..30);
        ranges.insert(40..50);
        assert_eq!(ranges.insert(8..45), Some(8..10));
        assert_eq!(parts(&ranges), vec![5..50]);
        assert_eq!(ranges.insert(0..60), Some(5..50));
        assert_eq!(ranges.insert(7..8), Some(7..8));
        assert_eq!(parts(&ranges), vec![0..60]);
    }

    #[test]
    fn parts_are_cut_to_the_range() {
        let mut ranges = Ranges::default();
        ranges.insert(5..10);
        ranges.insert(20..30);
        let within = |range| ranges.within(range).collect::<Vec<_>>();
        assert_eq!(within(6..8), vec![6..8]);
        assert_eq!(within(0..5), vec![]);
        assert_eq!(within(10..20), vec![]);
        assert_eq!(within(9..21), vec![9..10, 20..21]);
        assert_eq!(within(5..6), vec![5..6]);
    }
}
