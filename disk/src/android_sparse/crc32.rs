//! CRC-32 of bytes that nobody has to look at: what repeats, however often.
//!
//! Bits are coefficients of polynomials over GF(2), the lowest one that of the highest power, and a
//! checksum is a remainder modulo the polynomial of CRC-32. With `A` before `B`:
//!
//! ```text
//! crc(A B) = crc(A) * x^(8 len(B)) + crc(B)
//! ```
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

use flate2::Crc;

/// The polynomial without its highest coefficient.
const POLYNOMIAL: u32 = 0xedb8_8320;

/// The polynomial 1.
const ONE: u32 = 1 << 31;

/// So many bits has a number of words.
const POWERS: usize = 62;

/// A checksum of bytes in order.
#[derive(Debug)]
pub(super) struct Sum {
    value: u32,
    /// For each power of two, x^(32 n), by which `n` words move what is in front of them.
    shift: [u32; POWERS],
    /// For each power of two, 1 + x^32 + ... + x^(32 (n - 1)), by which `n` words repeat the first.
    series: [u32; POWERS],
}

impl Sum {
    /// Begins with no bytes.
    pub(super) fn new() -> Self {
        // x^32 has no room among the remainders: it is x^31 times x.
        let (mut power, mut sum) = (times(1, ONE >> 1), ONE);
        let (mut shift, mut series) = ([0; POWERS], [0; POWERS]);
        for (shift, series) in shift.iter_mut().zip(&mut series) {
            (*shift, *series) = (power, sum);
            sum ^= times(sum, power);
            power = times(power, power);
        }
        Self {
            value: 0,
            shift,
            series,
        }
    }

    /// Returns the checksum so far.
    pub(super) fn value(&self) -> u32 {
        self.value
    }

    /// Adds bytes, whole words of them.
    pub(super) fn update(&mut self, bytes: &[u8]) {
        let words = u64::try_from(bytes.len() / 4).unwrap_or(u64::MAX);
        self.value = self.moved(words) ^ crc(bytes);
    }

    /// Adds a word so many times, in a time that hardly depends on it.
    pub(super) fn repeat(&mut self, word: [u8; 4], count: u64) {
        let once = crc(&word);
        let mut repeated = 0;
        for (shift, series) in self.powers(count) {
            repeated = times(repeated, shift) ^ times(once, series);
        }
        self.value = self.moved(count) ^ repeated;
    }

    /// Returns the checksum in front of so many words.
    fn moved(&self, words: u64) -> u32 {
        let step = |value, (shift, _)| times(value, shift);
        self.powers(words).fold(self.value, step)
    }

    /// Returns what belongs to the powers of two that a number of words is the sum of.
    fn powers(&self, words: u64) -> impl Iterator<Item = (u32, u32)> {
        let both = self.shift.iter().copied().zip(self.series.iter().copied());
        let bit = move |(place, pair): (u32, _)| {
            let shifted = words.checked_shr(place).unwrap_or(0);
            (shifted & 1 == 1).then_some(pair)
        };
        (0..).zip(both).filter_map(bit)
    }
}

fn crc(bytes: &[u8]) -> u32 {
    let mut crc = Crc::new();
    crc.update(bytes);
    crc.sum()
}

/// Multiplies two remainders.
fn times(one: u32, other: u32) -> u32 {
    let (mut product, mut one, mut other) = (0, one, other);
    while other != 0 {
        if other & ONE != 0 {
            product ^= one;
        }
        other <<= 1;
        // Times x.
        one = match one & 1 {
            0 => one >> 1,
            _ => (one >> 1) ^ POLYNOMIAL,
        };
    }
    product
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_repeats_has_the_checksum_of_all_its_bytes() {
        let mut sum = Sum::new();
        let mut bytes = Vec::new();
        for count in [0_u16, 1, 2, 3, 5, 1024, 4095, 60_003] {
            sum.update(b"in between, some words..");
            bytes.extend(b"in between, some words..");
            for word in [*b"abcd", [0; 4], [0xff; 4]] {
                sum.repeat(word, count.into());
                bytes.extend(word.repeat(count.into()));
                assert_eq!(sum.value(), crc(&bytes), "{count}");
            }
        }
    }

    #[test]
    fn as_many_words_as_can_be_take_no_longer() {
        let (mut one, mut other) = (Sum::new(), Sum::new());
        one.repeat(*b"abcd", 1 << 60);
        other.repeat(*b"abcd", (1 << 60) - 12_345);
        other.update(&b"abcd".repeat(12_345));
        assert_eq!(one.value(), other.value());
    }
}
