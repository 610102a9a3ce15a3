//! Splits numbers into the low and high words that ext4 keeps apart, and joins them again.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

/// Returns the low and the high word of `value`.
pub(crate) const fn words(value: u64) -> (u32, u32) {
    let [a, b, c, d, e, f, g, h] = value.to_le_bytes();
    (
        u32::from_le_bytes([a, b, c, d]),
        u32::from_le_bytes([e, f, g, h]),
    )
}

/// Returns the low and the high half of `value`.
pub(crate) const fn shorts(value: u32) -> (u16, u16) {
    let [a, b, c, d] = value.to_le_bytes();
    (u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d]))
}

/// Joins a low and a high word.
pub(crate) fn join_words(lo: u32, hi: u32) -> u64 {
    u64::from(hi) << 32 | u64::from(lo)
}

/// Joins a low and a high half.
pub(crate) fn join_shorts(lo: u16, hi: u16) -> u32 {
    u32::from(hi) << 16 | u32::from(lo)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn split_numbers_join_to_themselves() {
        assert_eq!(words(0x1122_3344_5566_7788), (0x5566_7788, 0x1122_3344));
        assert_eq!(join_words(0x5566_7788, 0x1122_3344), 0x1122_3344_5566_7788);
        assert_eq!(shorts(0x1122_3344), (0x3344, 0x1122));
        assert_eq!(join_shorts(0x3344, 0x1122), 0x1122_3344);
    }
}
