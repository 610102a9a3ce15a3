//! Ranges of bits in a bitmap of blocks.

use std::ops::Range;

/// Sets the bits of a range, as far as the bitmap has them.
pub(super) fn set(bits: &mut [u8], range: Range<u64>) {
    each(bits, range, |byte, mask| *byte |= mask);
}

/// Clears the bits of a range, as far as the bitmap has them.
pub(super) fn clear(bits: &mut [u8], range: Range<u64>) {
    each(bits, range, |byte, mask| *byte &= !mask);
}

/// Tells whether any bit of a range is set.
pub(super) fn any(bits: &mut [u8], range: Range<u64>) -> bool {
    let mut found = false;
    each(bits, range, |byte, mask| found |= *byte & mask != 0);
    found
}

/// Counts the bits below `end` that are clear.
pub(super) fn count_clear(bits: &[u8], end: u64) -> u32 {
    let whole = at(end / 8).min(bits.len());
    let inner: u32 = bits[..whole].iter().map(|byte| byte.count_zeros()).sum();
    let edge = bits
        .get(whole)
        .map_or(0, |byte| (!byte & below(end % 8)).count_ones());
    inner + edge
}

/// Returns the last bit below `end` that is set.
pub(super) fn last_set(bits: &[u8], end: u64) -> Option<u64> {
    let whole = at(end / 8).min(bits.len());
    let edge = bits.get(whole).map_or(0, |byte| byte & below(end % 8));
    let last = |index: usize, byte: u8| {
        let high = 7 - u64::from(byte.leading_zeros());
        u64::try_from(index).unwrap_or(0) * 8 + high
    };
    if edge != 0 {
        return Some(last(whole, edge));
    }
    let index = bits[..whole].iter().rposition(|byte| *byte != 0)?;
    Some(last(index, bits[index]))
}

fn each(bits: &mut [u8], range: Range<u64>, mut change: impl FnMut(&mut u8, u8)) {
    let end = range.end.min(u64::try_from(bits.len()).unwrap_or(0) * 8);
    let mut bit = range.start;
    while bit < end {
        let stop = (bit / 8 * 8 + 8).min(end);
        let mask = below(stop - bit / 8 * 8) & !below(bit % 8);
        change(&mut bits[at(bit / 8)], mask);
        bit = stop;
    }
}

/// Returns a byte whose `count` lowest bits are set.
fn below(count: u64) -> u8 {
    match count {
        0 => 0,
        1..8 => 0xff >> (8 - count),
        _ => 0xff,
    }
}

fn at(byte: u64) -> usize {
    usize::try_from(byte).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_have_exactly_their_bits() {
        for range in [0..0, 0..1, 3..5, 0..8, 7..9, 5..29, 8..24, 30..64, 0..64] {
            let mut bits = [0_u8; 8];
            set(&mut bits, range.clone());
            for bit in 0..64 {
                let there = any(&mut bits, bit..bit + 1);
                assert_eq!(there, range.contains(&bit), "{range:?} {bit}");
            }
            let expected = range.clone().last();
            assert_eq!(last_set(&bits, 64), expected, "{range:?}");
            let len = u32::try_from(range.end - range.start).unwrap();
            assert_eq!(count_clear(&bits, 64), 64 - len);
            clear(&mut bits, range);
            assert_eq!(bits, [0; 8]);
        }
    }

    #[test]
    fn counts_and_searches_stop_at_the_end() {
        let mut bits = [0_u8; 8];
        set(&mut bits, 10..50);
        assert_eq!(last_set(&bits, 50), Some(49));
        assert_eq!(last_set(&bits, 20), Some(19));
        assert_eq!(last_set(&bits, 10), None);
        assert_eq!(count_clear(&bits, 11), 10);
        assert_eq!(count_clear(&bits, 60), 20);
        set(&mut bits, 60..1000);
        assert_eq!(last_set(&bits, 1000), Some(63));
    }
}
