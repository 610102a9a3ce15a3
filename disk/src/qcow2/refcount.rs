//! Refcounts: how often each cluster of the file is referred to.
//!
//! QEMU's `docs/interop/qcow2.txt`, section "Host cluster management". A refcount block is a cluster
//! of refcounts, each a big-endian number of 1 to 64 bits; those of less than a byte begin with the
//! lowest bits.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

use forger_block::{BlockRead, Result, check_range};

/// Returns the largest refcount of a width, in bits.
pub(super) fn max(bits: u32) -> u64 {
    u64::MAX >> 64_u32.saturating_sub(bits).min(63)
}

/// Returns a refcount of a block, which ends behind it.
pub(super) fn get(block: &[u8], index: usize, bits: u32) -> Option<u64> {
    let bits = usize::try_from(bits).ok()?;
    let bit = index.checked_mul(bits)?;
    let byte = bit / 8;
    if bits < 8 {
        let shift = u32::try_from(bit % 8).ok()?;
        let mask = 0xff_u8 >> 8_usize.saturating_sub(bits);
        return Some((block.get(byte)?.checked_shr(shift)? & mask).into());
    }
    let bytes = block.get(byte..byte.checked_add(bits / 8)?)?;
    Some(
        bytes
            .iter()
            .fold(0, |value, byte| value << 8 | u64::from(*byte)),
    )
}

/// Returns the bytes of refcounts, each of which fits its width.
pub(super) fn seal(counts: &[u16], bits: u32) -> Vec<u8> {
    if bits >= 8 {
        let width = usize::try_from(bits / 8).unwrap_or(0);
        return counts
            .iter()
            .flat_map(|count| {
                let bytes = u64::from(*count).to_be_bytes();
                bytes.into_iter().skip(8_usize.saturating_sub(width))
            })
            .collect();
    }
    let shift = u8::try_from(bits).unwrap_or(1);
    let in_byte = usize::try_from(8_u32.checked_div(bits).unwrap_or(1)).unwrap_or(1);
    counts
        .chunks(in_byte)
        .map(|counts| {
            counts.iter().rev().fold(0_u8, |byte, count| {
                let [_, low] = count.to_be_bytes();
                byte.checked_shl(shift.into()).unwrap_or(0) | low
            })
        })
        .collect()
}

/// Refcounts of 1, and none behind them.
#[derive(Debug)]
pub(super) struct Ones {
    pub(super) count: u64,
    pub(super) bits: u32,
}

impl BlockRead for Ones {
    fn len(&self) -> u64 {
        self.count.saturating_mul(self.bits.into()).div_ceil(8)
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        check_range(
            offset,
            u64::try_from(buf.len()).unwrap_or(u64::MAX),
            self.len(),
        )?;
        let width = u64::from(self.bits / 8);
        // Ones in the whole byte, for widths of less than one.
        let ones = match self.bits {
            1 => 0xff_u8,
            2 => 0x55,
            4 => 0x11,
            _ => 1,
        };
        let bits = self.count.saturating_mul(self.bits.into());
        for (at, byte) in (offset..).zip(buf) {
            *byte = match at.saturating_add(1).checked_rem(width) {
                Some(0) | None => ones,
                Some(_) => 0,
            };
            let left = bits.saturating_sub(at.saturating_mul(8));
            if left < 8 {
                let unused = u32::try_from(8_u64.saturating_sub(left)).unwrap_or(0);
                *byte &= 0xff_u8.checked_shr(unused).unwrap_or(0);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use forger_block::conformance;

    #[test]
    fn counts_of_every_width_come_back() {
        for bits in [1, 2, 4, 8, 16, 32, 64] {
            let most = u16::try_from(max(bits).min(0xffff)).unwrap();
            let counts: Vec<u16> = (0..37)
                .map(|at| at % most.saturating_add(1).max(2))
                .collect();
            let block = seal(&counts, bits);
            assert_eq!(
                block.len(),
                (37 * usize::try_from(bits).unwrap()).div_ceil(8)
            );
            for (index, count) in counts.iter().enumerate() {
                assert_eq!(get(&block, index, bits), Some((*count).into()), "{bits}");
            }
            assert_eq!(get(&block, 40, bits), None);
        }
        assert_eq!((max(1), max(16), max(64)), (1, 0xffff, u64::MAX));
    }

    #[test]
    fn ones_are_what_is_written() {
        for bits in [1, 2, 4, 8, 16, 32, 64] {
            let ones = Ones { count: 11, bits };
            conformance::reader(&ones, &seal(&[1; 11], bits));
        }
    }
}
