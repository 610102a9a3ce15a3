//! Block and inode bitmaps: one bit for each block or inode of a group.
//!
//! See [Block and inode Bitmaps](https://docs.kernel.org/filesystems/ext4/overview.html#block-and-inode-bitmaps).
//! Bit `n` is bit `n % 8` of byte `n / 8`. Bits beyond the group's last block or inode are set.

use std::ops::Range;

use super::checksum::Seed;

const BLOCK: usize = 4096;

/// A bitmap of one 4 KiB block.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Bitmap {
    bytes: Box<[u8; BLOCK]>,
}

impl std::fmt::Debug for Bitmap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Bitmap({} bits set)", self.count(0..Self::BITS))
    }
}

impl Bitmap {
    /// Number of bits.
    pub(crate) const BITS: u32 = 32768;

    /// Returns a bitmap without a bit set.
    pub(crate) fn new() -> Self {
        Self {
            bytes: Box::new([0; BLOCK]),
        }
    }

    /// Sets the bits of a range, which ends at 32768 at the latest.
    pub(crate) fn set(&mut self, range: Range<u32>) {
        if range.is_empty() {
            return;
        }
        let (first, last) = (range.start, range.end - 1);
        let (first_byte, last_byte) = (byte_of(first), byte_of(last));
        let (head, tail) = (0xff_u8 << (first % 8), 0xff_u8 >> (7 - last % 8));
        if first_byte == last_byte {
            self.bytes[first_byte] |= head & tail;
        } else {
            self.bytes[first_byte] |= head;
            self.bytes[first_byte + 1..last_byte].fill(0xff);
            self.bytes[last_byte] |= tail;
        }
    }

    /// Clears the bits of a range, which ends at 32768 at the latest.
    pub(crate) fn clear(&mut self, range: Range<u32>) {
        if range.is_empty() {
            return;
        }
        let (first, last) = (range.start, range.end - 1);
        let (first_byte, last_byte) = (byte_of(first), byte_of(last));
        let (head, tail) = (0xff_u8 << (first % 8), 0xff_u8 >> (7 - last % 8));
        if first_byte == last_byte {
            self.bytes[first_byte] &= !(head & tail);
        } else {
            self.bytes[first_byte] &= !head;
            self.bytes[first_byte + 1..last_byte].fill(0);
            self.bytes[last_byte] &= !tail;
        }
    }

    /// Tells whether a bit is set.
    pub(crate) fn get(&self, bit: u32) -> bool {
        self.bytes[byte_of(bit)] >> (bit % 8) & 1 == 1
    }

    /// Counts the bits set in a range, which ends at 32768 at the latest.
    pub(crate) fn count(&self, range: Range<u32>) -> u32 {
        let whole = range.start.next_multiple_of(8).min(range.end)..range.end / 8 * 8;
        if whole.is_empty() {
            return range.filter(|bit| self.get(*bit)).map(|_| 1).sum();
        }
        let edges = (range.start..whole.start)
            .chain(whole.end..range.end)
            .filter(|bit| self.get(*bit))
            .map(|_| 1)
            .sum::<u32>();
        let inner = &self.bytes[byte_of(whole.start)..byte_of(whole.end)];
        edges + inner.iter().map(|byte| byte.count_ones()).sum::<u32>()
    }

    /// Returns the checksum over the first `bits` bits, a multiple of 8: the blocks or the inodes of a
    /// group.
    pub(crate) fn checksum(&self, bits: u32, seed: Seed) -> u32 {
        seed.checksum(&self.bytes[..byte_of(bits)])
    }

    /// Returns the block.
    pub(crate) fn as_bytes(&self) -> &[u8; BLOCK] {
        &self.bytes
    }
}

/// Returns the byte that holds a bit.
fn byte_of(bit: u32) -> usize {
    usize::try_from(bit / 8).expect("a byte of 4096")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_set_exactly_their_bits() {
        for range in [
            0..0,
            0..1,
            3..5,
            0..8,
            7..9,
            5..29,
            8..24,
            100..32768,
            0..32768,
        ] {
            let mut map = Bitmap::new();
            let len = range.end - range.start;
            map.set(range.clone());
            for bit in 0..Bitmap::BITS {
                assert_eq!(map.get(bit), range.contains(&bit), "{range:?} bit {bit}");
            }
            assert_eq!(map.count(0..Bitmap::BITS), len);
            let mut inverse = Bitmap::new();
            inverse.set(0..Bitmap::BITS);
            inverse.clear(range.clone());
            assert_eq!(inverse.count(0..Bitmap::BITS), Bitmap::BITS - len);
        }
    }

    #[test]
    fn counts_stop_at_the_range() {
        let mut map = Bitmap::new();
        map.set(10..50);
        assert_eq!(map.count(0..11), 1);
        assert_eq!(map.count(12..13), 1);
        assert_eq!(map.count(49..60), 1);
        assert_eq!(map.count(3..5), 0);
        assert_eq!(map.count(20..20), 0);
    }

    /// The bitmaps of an image of mke2fs: 16384 blocks of which 2071 are used, and 16384 inodes of
    /// which the first 317 are.
    #[test]
    fn checksums_equal_those_of_mke2fs() {
        let uuid = b"\x01\x23\x45\x67\x89\xab\xcd\xef\x01\x23\x45\x67\x89\xab\xcd\xef";
        let seed = Seed::from_uuid(uuid);
        let mut blocks = Bitmap::new();
        blocks.set(0..10);
        blocks.set(15..26);
        blocks.set(26..2071);
        blocks.set(10..15);
        blocks.set(16384..32768);
        assert_eq!(blocks.checksum(Bitmap::BITS, seed), 0xdb84_56bc);
        let mut inodes = Bitmap::new();
        inodes.set(0..317);
        inodes.set(16384..32768);
        assert_eq!(inodes.checksum(16384, seed), 0x9b28_b49c);
    }
}
