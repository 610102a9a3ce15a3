//! A bitmap of blocks or inodes, of any block size.

/// Returns whether a bit is set.
pub(super) fn get(bits: &[u8], bit: u32) -> bool {
    let (byte, mask) = place(bit);
    bits.get(byte).is_some_and(|byte| byte & mask != 0)
}

/// Sets a bit.
pub(super) fn set(bits: &mut [u8], bit: u32) {
    let (byte, mask) = place(bit);
    if let Some(byte) = bits.get_mut(byte) {
        *byte |= mask;
    }
}

/// Clears a bit.
pub(super) fn clear(bits: &mut [u8], bit: u32) {
    let (byte, mask) = place(bit);
    if let Some(byte) = bits.get_mut(byte) {
        *byte &= !mask;
    }
}

/// Sets all bits from `from` on.
pub(super) fn set_from(bits: &mut [u8], from: u32) {
    let (byte, _) = place(from);
    if let Some(rest) = bits.get_mut(byte..)
        && let Some((first, rest)) = rest.split_first_mut()
    {
        *first |= 0xff << (from % 8);
        rest.fill(0xff);
    }
}

/// Counts the bits that are clear below `end`.
pub(super) fn count_clear(bits: &[u8], end: u32) -> u32 {
    let (whole, _) = place(end);
    let bytes = bits.get(..whole).unwrap_or(bits);
    let inner: u32 = bytes.iter().map(|byte| byte.count_zeros()).sum();
    let edge = (end / 8 * 8..end).filter(|bit| !get(bits, *bit)).count();
    inner.saturating_add(u32::try_from(edge).unwrap_or(0))
}

/// Returns the first bit from `from` on and below `end` that is clear in both maps.
pub(super) fn first_clear(bits: &[u8], barred: &[u8], from: u32, end: u32) -> Option<u32> {
    let mut at = from;
    while at < end {
        let (byte, _) = place(at);
        let taken = bits.get(byte)? | barred.get(byte).copied().unwrap_or(0);
        let free = !taken & (0xff << (at % 8));
        if free != 0 {
            let bit = at / 8 * 8 + free.trailing_zeros();
            return (bit < end).then_some(bit);
        }
        at = (at / 8 + 1) * 8;
    }
    None
}

/// Returns the bits that are set.
pub(super) fn ones(bits: &[u8]) -> impl Iterator<Item = u32> {
    (0_u32..)
        .zip(bits)
        .filter(|(_, byte)| **byte != 0)
        .flat_map(|(at, byte)| {
            (0..8)
                .filter(move |bit| byte >> bit & 1 != 0)
                .map(move |bit| at * 8 + bit)
        })
}

fn place(bit: u32) -> (usize, u8) {
    let byte = usize::try_from(bit / 8).unwrap_or(usize::MAX);
    (byte, 1 << (bit % 8))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clear_bits_are_found_and_counted() {
        let mut bits = vec![0xff_u8; 8];
        assert_eq!(first_clear(&bits, &[], 0, 64), None);
        for bit in [13, 14, 40, 63] {
            clear(&mut bits, bit);
        }
        assert_eq!(first_clear(&bits, &[], 0, 64), Some(13));
        assert_eq!(first_clear(&bits, &[], 14, 64), Some(14));
        assert_eq!(first_clear(&bits, &[], 15, 64), Some(40));
        assert_eq!(first_clear(&bits, &[], 41, 63), None);
        assert_eq!(count_clear(&bits, 64), 4);
        assert_eq!(count_clear(&bits, 41), 3);
        let mut barred = vec![0; 8];
        set(&mut barred, 13);
        assert_eq!(first_clear(&bits, &barred, 0, 64), Some(14));
        set_from(&mut bits, 41);
        assert!(get(&bits, 63) && !get(&bits, 40));
        set(&mut barred, 63);
        assert_eq!(ones(&barred).collect::<Vec<_>>(), [13, 63]);
    }
}
