//! Entries of L1 and L2 tables.
//!
//! QEMU's `docs/interop/qcow2.txt`, section "Cluster mapping".
//!
//! ```text
//! L1        63 copied | 55-9 offset of the L2 table
//! L2        63 copied | 62 compressed = 0 | 55-9 offset of the cluster | 0 zeros
//! L2        62 compressed = 1 | sectors beside the first | offset of the bytes
//! extended  and behind each 63-32 subcluster is zeros | 31-0 subcluster is allocated
//! ```
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

/// The cluster is referred to from here only.
pub(super) const COPIED: u64 = 1 << 63;
/// The cluster is compressed.
pub(super) const COMPRESSED: u64 = 1 << 62;
/// The cluster is zeros.
pub(super) const ZERO: u64 = 1;
/// The second word of an extended entry: every subcluster is allocated.
pub(super) const ALL_ALLOCATED: u64 = 0xffff_ffff;
/// Where the cluster or table stands.
pub(super) const OFFSET: u64 = 0x00ff_ffff_ffff_fe00;

/// What an L2 entry says about its cluster, or a part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cluster {
    /// Nothing: it is that of the backing file.
    Unallocated,
    /// It reads as zeros.
    Zero,
    /// It stands at an offset of the file.
    Data(u64),
    /// It is compressed, at an offset of the file, in at most so many bytes.
    Compressed {
        /// Where its bytes begin.
        offset: u64,
        /// At most so many.
        len: u64,
    },
}

/// Returns where the number of sectors begins in the entry of a compressed cluster.
fn sectors_shift(cluster_bits: u32) -> u32 {
    70_u32.saturating_sub(cluster_bits)
}

/// Reads the entry of a compressed cluster.
pub(super) fn compressed(entry: u64, cluster_bits: u32) -> Cluster {
    let shift = sectors_shift(cluster_bits);
    let fields = entry & !(COPIED | COMPRESSED);
    let offset = fields & low_bits(shift);
    let sectors = fields.checked_shr(shift).unwrap_or(0);
    let len = sectors
        .saturating_add(1)
        .saturating_mul(512)
        .saturating_sub(offset % 512);
    Cluster::Compressed { offset, len }
}

/// Makes the entry of a compressed cluster of `len` bytes at `offset`; `None` where it cannot stand.
pub(super) fn seal_compressed(offset: u64, len: u64, cluster_bits: u32) -> Option<u64> {
    let shift = sectors_shift(cluster_bits);
    let last = offset.checked_add(len)?.checked_sub(1)?;
    let sectors = (last / 512).checked_sub(offset / 512)?;
    let fits = offset <= low_bits(shift) && sectors < 1 << cluster_bits.saturating_sub(8);
    fits.then(|| COMPRESSED | sectors.checked_shl(shift).unwrap_or(0) | offset)
}

fn low_bits(count: u32) -> u64 {
    1_u64.checked_shl(count).unwrap_or(0).wrapping_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compressed_entries_come_back() {
        for cluster_bits in 9..=21 {
            for (offset, len) in [(512, 1), (1000, 24), (1000, 25), (0x1234_5678, 400)] {
                let entry = seal_compressed(offset, len, cluster_bits).unwrap();
                let Cluster::Compressed {
                    offset: at,
                    len: most,
                } = compressed(entry, cluster_bits)
                else {
                    panic!("{entry:x}");
                };
                assert_eq!(at, offset);
                assert!(most >= len && most < len + 512, "{most} {len}");
                assert_eq!((at + most) % 512, 0);
            }
        }
    }

    #[test]
    fn what_does_not_fit_an_entry_is_refused() {
        assert_eq!(seal_compressed(1 << 54, 1, 16), None);
        assert!(seal_compressed((1 << 54) - 1, 1, 16).is_some());
        assert_eq!(seal_compressed(0, 0, 16), None);
        assert_eq!(seal_compressed(0, 3 << 16, 16), None);
    }
}
