//! A set of bytes, kept as ranges.

use std::collections::BTreeMap;
use std::ops::Range;

/// A set of byte offsets, as disjoint ranges that do not touch.
#[derive(Clone, Debug, Default)]
pub(crate) struct RangeSet {
    /// Start to end, exclusive.
    ranges: BTreeMap<u64, u64>,
    /// How many bytes they have.
    total: u64,
}

impl RangeSet {
    /// Adds a range; what is in the set already stays in it.
    pub(crate) fn insert(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        let Range { mut start, mut end } = range;
        // Every range that overlaps or touches the new one is among those that start at or before
        // its end, from the last one backwards.
        while let Some((&first, &last)) = self.ranges.range(..=end).next_back() {
            if last < start {
                break;
            }
            self.take(first, last);
            start = start.min(first);
            end = end.max(last);
        }
        self.put(start, end);
    }

    /// Takes a range out.
    pub(crate) fn remove(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        while let Some((&first, &last)) = self.ranges.range(..range.end).next_back() {
            if last <= range.start {
                break;
            }
            self.take(first, last);
            if last > range.end {
                self.put(range.end, last);
            }
            if first < range.start {
                self.put(first, range.start);
            }
        }
    }

    fn take(&mut self, start: u64, end: u64) {
        self.ranges.remove(&start);
        self.total -= end - start;
    }

    fn put(&mut self, start: u64, end: u64) {
        self.ranges.insert(start, end);
        self.total += end - start;
    }

    /// Tells whether any byte of a range is in the set.
    pub(crate) fn overlaps(&self, range: &Range<u64>) -> bool {
        !range.is_empty()
            && self
                .ranges
                .range(..range.end)
                .next_back()
                .is_some_and(|(_, &last)| last > range.start)
    }

    /// Tells whether `offset` is in the set, and up to where that holds: the end of its range, or the
    /// start of the next one.
    pub(crate) fn find(&self, offset: u64) -> (bool, u64) {
        if let Some((_, &end)) = self.ranges.range(..=offset).next_back()
            && end > offset
        {
            return (true, end);
        }
        let next = self.ranges.range(offset..).next();
        (false, next.map_or(u64::MAX, |(&start, _)| start))
    }

    /// Returns how many bytes of a range are in the set.
    pub(crate) fn within(&self, range: &Range<u64>) -> u64 {
        let (mut at, mut inside) = (range.start, 0);
        while at < range.end {
            let (found, end) = self.find(at);
            let end = end.min(range.end);
            if found {
                inside += end - at;
            }
            at = end;
        }
        inside
    }

    /// Returns how many bytes are in the set.
    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    /// Returns how many ranges there are.
    pub(crate) fn count(&self) -> usize {
        self.ranges.len()
    }

    /// Returns the ranges in ascending order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Range<u64>> {
        self.ranges.iter().map(|(&start, &end)| start..end)
    }

    /// Returns the ranges below `len` that are not in the set, in ascending order.
    pub(crate) fn gaps(&self, len: u64) -> impl Iterator<Item = Range<u64>> {
        let starts = std::iter::once(0).chain(self.ranges.values().copied());
        let ends = self.ranges.keys().copied().chain(std::iter::once(len));
        starts
            .zip(ends)
            .map(move |(start, end)| start.min(len)..end.min(len))
            .filter(|gap| !gap.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(ranges: &[(u64, u64)]) -> RangeSet {
        let mut set = RangeSet::default();
        for &(start, end) in ranges {
            set.insert(start..end);
        }
        set
    }

    fn list(set: &RangeSet) -> Vec<(u64, u64)> {
        set.iter().map(|range| (range.start, range.end)).collect()
    }

    fn gaps(set: &RangeSet, len: u64) -> Vec<(u64, u64)> {
        set.gaps(len).map(|gap| (gap.start, gap.end)).collect()
    }

    fn index(range: &Range<u64>) -> Range<usize> {
        usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap()
    }

    #[test]
    fn ranges_that_touch_or_overlap_become_one() {
        assert_eq!(list(&set(&[(0, 2), (4, 6), (2, 4)])), [(0, 6)]);
        assert_eq!(list(&set(&[(5, 9), (0, 6)])), [(0, 9)]);
        assert_eq!(list(&set(&[(1, 2), (3, 4), (5, 6), (0, 10)])), [(0, 10)]);
        assert_eq!(list(&set(&[(1, 2), (3, 3)])), [(1, 2)]);
    }

    #[test]
    fn removing_cuts_and_splits() {
        let mut some = set(&[(0, 10), (20, 30), (40, 50)]);
        some.remove(5..45);
        assert_eq!(list(&some), [(0, 5), (45, 50)]);
        some.remove(1..2);
        assert_eq!(list(&some), [(0, 1), (2, 5), (45, 50)]);
        some.remove(7..7);
        some.remove(0..u64::MAX);
        assert!(list(&some).is_empty());
    }

    #[test]
    fn every_small_case_agrees_with_a_bitmap() {
        let mut state = 1_u64;
        let mut next = |below: u64| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 33) % below
        };
        let mut bits = [false; 64];
        let mut some = RangeSet::default();
        for _ in 0..5000 {
            let start = next(64);
            let end = start + next(64 - start + 1);
            let cells = index(&(start..end));
            assert_eq!(
                some.overlaps(&(start..end)),
                bits[cells.clone()].contains(&true)
            );
            let insert = next(2) == 0;
            bits[cells].fill(insert);
            if insert {
                some.insert(start..end);
            } else {
                some.remove(start..end);
            }
            let mut seen = [false; 64];
            for range in some.iter() {
                seen[index(&range)].fill(true);
            }
            assert_eq!(seen, bits);
            let set = |bits: &[bool]| bits.iter().filter(|&&bit| bit).count() as u64;
            assert_eq!(some.total(), set(&bits));
            assert_eq!(some.within(&(start..end)), set(&bits[index(&(start..end))]));
            let (inside, until) = some.find(start.min(63));
            let from = &bits[index(&(start.min(63)..64))];
            assert_eq!(inside, from[0]);
            let same = from.iter().take_while(|&&bit| bit == inside).count() as u64;
            assert_eq!(until.min(64), start.min(63) + same);
            let mut gaps = [true; 64];
            for gap in some.gaps(64) {
                gaps[index(&gap)].fill(false);
            }
            assert_eq!(gaps, bits);
            assert!(
                some.iter()
                    .zip(some.iter().skip(1))
                    .all(|(a, b)| a.end < b.start)
            );
        }
    }

    #[test]
    fn gaps_end_at_the_length() {
        let some = set(&[(2, 4), (8, 20)]);
        assert_eq!(gaps(&some, 10), [(0, 2), (4, 8)]);
        assert_eq!(gaps(&some, 3), [(0, 2)]);
        assert_eq!(gaps(&some, 25), [(0, 2), (4, 8), (20, 25)]);
        assert_eq!(gaps(&some, 0), []);
    }
}
