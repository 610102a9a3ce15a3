//! Where the image is cut into segments, each of which becomes a frame.

use std::ops::Range;

/// What cuts are rounded to in bytes: late ranges are widened to whole units, so that every segment
/// starts at a chunk boundary of BLAKE3.
const UNIT: u64 = 4096;

/// A part of the image that is compressed on its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    /// Offset in the image in bytes.
    pub(super) start: u64,
    /// Offset of its end in bytes.
    pub(super) end: u64,
    /// Whether it is written last, and so gets room in the bundle before it is known.
    pub(super) late: bool,
}

impl Segment {
    /// Returns its length in bytes.
    pub(super) fn len(self) -> u64 {
        self.end - self.start
    }

    /// Returns the range that it covers.
    pub(super) fn range(self) -> Range<u64> {
        self.start..self.end
    }
}

/// The cuts: every multiple of the window, and both ends of every late range.
///
/// They depend on options alone, never on how or when the image is written.
#[derive(Clone, Debug)]
pub(super) struct Cuts {
    window: u64,
    /// Ascending and disjoint, with gaps between them.
    late: Vec<Range<u64>>,
}

impl Cuts {
    /// Makes cuts from a window length, a power of two of at least 4 KiB, and the late ranges.
    pub(super) fn new(window: u64, late: impl IntoIterator<Item = Range<u64>>) -> Self {
        assert!(
            window.is_power_of_two() && window >= UNIT,
            "a window of {window} bytes"
        );
        let mut wide: Vec<_> = late
            .into_iter()
            .filter(|range| !range.is_empty())
            .map(|range| range.start / UNIT * UNIT..range.end.next_multiple_of(UNIT))
            .collect();
        wide.sort_unstable_by_key(|range| range.start);
        let mut late: Vec<Range<u64>> = Vec::with_capacity(wide.len());
        for range in wide {
            match late.last_mut() {
                Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
                _ => late.push(range),
            }
        }
        Self { window, late }
    }

    /// Returns the window's length in bytes.
    pub(super) fn window(&self) -> u64 {
        self.window
    }

    /// Returns the segment that holds the byte at `offset`.
    pub(super) fn segment(&self, offset: u64) -> Segment {
        let start = offset - offset % self.window;
        let end = start + self.window;
        let next = self.late.partition_point(|range| range.end <= offset);
        match self.late.get(next) {
            Some(range) if range.start <= offset => Segment {
                start: start.max(range.start),
                end: end.min(range.end),
                late: true,
            },
            upcoming => Segment {
                start: next
                    .checked_sub(1)
                    .map_or(start, |before| start.max(self.late[before].end)),
                end: upcoming.map_or(end, |range| end.min(range.start)),
                late: false,
            },
        }
    }

    /// Returns the start of the first late range that starts at `offset` or later.
    pub(super) fn next_late(&self, offset: u64) -> Option<u64> {
        let next = self.late.partition_point(|range| range.start < offset);
        self.late.get(next).map(|range| range.start)
    }
}

/// Turns a position inside a segment into an index.
pub(super) fn index(position: u64) -> usize {
    usize::try_from(position).expect("a segment fits the memory")
}

#[cfg(test)]
mod tests {
    use super::*;

    const K: u64 = 1024;

    #[test]
    fn segments_partition_the_image_at_windows_and_late_ranges() {
        let cuts = Cuts::new(64 * K, [0..20 * K, 128 * K..200 * K, 210 * K - 1..212 * K]);
        let mut found = Vec::new();
        let mut offset = 0;
        while offset < 256 * K {
            let segment = cuts.segment(offset);
            assert_eq!(segment, cuts.segment(segment.end - 1));
            assert_eq!(segment.start, offset);
            found.push((segment.start / K, segment.end / K, segment.late));
            offset = segment.end;
        }
        let expected = [
            (0, 20, true),
            (20, 64, false),
            (64, 128, false),
            (128, 192, true),
            (192, 200, true),
            (200, 208, false),
            (208, 212, true),
            (212, 256, false),
        ];
        assert_eq!(found, expected);
        assert_eq!(cuts.next_late(1), Some(128 * K));
        assert_eq!(cuts.next_late(213 * K), None);
    }

    #[test]
    fn late_ranges_that_touch_are_one() {
        let cuts = Cuts::new(
            64 * K,
            [8 * K..16 * K, 0..8 * K, 12 * K..14 * K, 30 * K..30 * K],
        );
        let segment = Segment {
            start: 0,
            end: 16 * K,
            late: true,
        };
        assert_eq!(cuts.segment(9 * K), segment);
        assert_eq!(cuts.next_late(1), None);
    }
}
