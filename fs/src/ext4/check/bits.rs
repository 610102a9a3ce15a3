//! The bits of a bitmap's block.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

use std::ops::Range;

use super::ranges::Ranges;

/// The bits of a block.
pub(super) struct Bits {
    pub(super) bytes: Vec<u8>,
}

impl Bits {
    pub(super) fn new(len: usize) -> Self {
        Self {
            bytes: vec![0; len],
        }
    }

    pub(super) fn get(&self, bit: u64) -> bool {
        let byte = usize::try_from(bit / 8).unwrap_or(usize::MAX);
        let byte = self.bytes.get(byte).copied().unwrap_or(0);
        byte >> (bit & 7) & 1 == 1
    }

    pub(super) fn set(&mut self, bit: u64) {
        let byte = usize::try_from(bit / 8).unwrap_or(usize::MAX);
        if let Some(byte) = self.bytes.get_mut(byte) {
            *byte |= 1 << (bit & 7);
        }
    }

    /// Sets the bits of what a set has of a range, whose start is bit 0.
    pub(super) fn set_all(&mut self, set: &Ranges, range: &Range<u64>) {
        for part in set.within(range.clone()) {
            let mut bit = part.start.saturating_sub(range.start);
            let end = part.end.saturating_sub(range.start);
            while bit < end {
                let byte = usize::try_from(bit / 8).unwrap_or(usize::MAX);
                let whole = bit & 7 == 0 && end.saturating_sub(bit) >= 8;
                if whole && let Some(byte) = self.bytes.get_mut(byte) {
                    *byte = 0xff;
                    bit = bit.saturating_add(8);
                } else {
                    self.set(bit);
                    bit = bit.saturating_add(1);
                }
            }
        }
    }

    /// Returns how many of the first bits are set.
    pub(super) fn count(&self, len: u64) -> u64 {
        let whole = usize::try_from(len / 8).unwrap_or(usize::MAX);
        let bytes = self.bytes.get(..whole).unwrap_or(&self.bytes);
        let inner: u64 = bytes.iter().map(|byte| u64::from(byte.count_ones())).sum();
        let rest = (len & !7..len).filter(|bit| self.get(*bit)).count();
        inner.saturating_add(u64::try_from(rest).unwrap_or(u64::MAX))
    }

    /// Returns the first of the first `len` bits that differs, and what it is in `other`.
    pub(super) fn first_difference(&self, other: &Self, len: u64) -> Option<(u64, bool)> {
        let byte = self
            .bytes
            .iter()
            .zip(&other.bytes)
            .position(|(own, other)| own != other);
        let from = u64::try_from(byte?).unwrap_or(u64::MAX).saturating_mul(8);
        (from..len)
            .find(|bit| self.get(*bit) != other.get(*bit))
            .map(|bit| (bit, other.get(bit)))
    }

    pub(super) fn all_set_from(&self, from: u64) -> bool {
        let end = from.next_multiple_of(8);
        let byte = usize::try_from(end / 8).unwrap_or(usize::MAX);
        (from..end).all(|bit| self.get(bit))
            && self
                .bytes
                .get(byte..)
                .unwrap_or_default()
                .iter()
                .all(|byte| *byte == 0xff)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_follow_a_set_of_ranges() {
        let mut set = Ranges::default();
        set.insert(103..130);
        set.insert(140..141);
        let mut bits = Bits::new(16);
        bits.set_all(&set, &(100..200));
        let expected = (0..100).filter(|bit| bits.get(*bit)).collect::<Vec<u64>>();
        assert!(expected.into_iter().eq((3..30).chain(40..41)));
        assert_eq!((bits.count(100), bits.count(4), bits.count(0)), (28, 1, 0));
    }

    #[test]
    fn differences_and_padding_are_found() {
        let (mut one, mut other) = (Bits::new(4), Bits::new(4));
        one.set(9);
        assert_eq!(one.first_difference(&other, 32), Some((9, false)));
        assert_eq!(one.first_difference(&other, 9), None);
        other.set(9);
        assert_eq!(one.first_difference(&other, 32), None);
        assert!(!one.all_set_from(9));
        let mut full = Bits::new(4);
        (9..32).for_each(|bit| full.set(bit));
        assert!(full.all_set_from(9) && full.all_set_from(32) && !full.all_set_from(8));
    }
}
