//! The superblock, changed one sector at a time.
//!
//! A disk may write one 512-byte sector of the superblock and not the other when the power fails. So
//! that the superblock is whole at every moment, each write changes one sector only:
//!
//! ```text
//! sector 1  0x000..0x200  counts, features, uuid, label, ...; s_snapshot_list at 0x190
//! sector 2  0x200..0x400  s_checksum_seed, ...; s_checksum at 0x3fc
//! ```
//!
//! The checksum covers both and stands in the second. A change of the second sector brings its new
//! checksum along. A change of the first keeps the checksum: `s_snapshot_list`, a field that no
//! version of Linux or e2fsprogs looks at, takes the value that makes the sum what it was.
//!
//! All that an edit changes in the second sector is `s_checksum_seed`, which means nothing until the
//! feature in the first says so: it is written first.

use super::Superblock;
use crate::ext4::checksum::Seed;
use crate::ext4::features::incompat;
use crate::ext4::superblock::{RawSuperblock, SIZE};

/// Bytes that a disk writes whole or not at all.
pub(super) const SECTOR: usize = 512;
/// Where the checksum stands.
const CHECKSUM: usize = 0x3fc;
/// Where `s_snapshot_list` stands.
const FILLER: usize = 0x190;

/// A superblock on its way from what is on disk to what shall be.
#[derive(Debug)]
pub(super) struct Sectors {
    /// The second sector, to be written before anything else, where it changes and its change means
    /// nothing without the first.
    pub(super) second: Option<[u8; SECTOR]>,
    /// As before, but with a journal to replay; differs in the first sector only.
    pub(super) marked: [u8; SIZE],
    /// As it shall be, but with a journal to replay: what is in the journal.
    pub(super) home: [u8; SIZE],
    /// As it shall be; differs from `home` in the first sector only.
    pub(super) after: [u8; SIZE],
}

impl Sectors {
    /// Plans the way from a superblock to another.
    pub(super) fn new(superblock: &Superblock, after: &RawSuperblock) -> Self {
        let before = superblock.raw();
        let summed = superblock.seed().is_some();
        let mut early = bytes(before);
        early[SECTOR..CHECKSUM].copy_from_slice(&bytes(after)[SECTOR..CHECKSUM]);
        if summed {
            seal(&mut early);
        }
        let second = (early != bytes(before)).then(|| std::array::from_fn(|at| early[SECTOR + at]));
        Self {
            second,
            marked: with_first(&early, &recovering(before), summed),
            home: with_first(&early, &recovering(after), summed),
            after: with_first(&early, after, summed),
        }
    }
}

/// Returns a superblock that says that the journal must be replayed.
pub(super) fn recovering(raw: &RawSuperblock) -> RawSuperblock {
    let mut raw = raw.clone();
    raw.s_feature_incompat = (raw.s_feature_incompat.get() | incompat::RECOVER).into();
    raw
}

/// Returns a superblock with another first sector, and the checksum that stands in the second.
fn with_first(whole: &[u8; SIZE], raw: &RawSuperblock, summed: bool) -> [u8; SIZE] {
    let mut new = *whole;
    new[..SECTOR].copy_from_slice(&bytes(raw)[..SECTOR]);
    if summed && let Some(sum) = whole.last_chunk::<4>() {
        fill(&mut new, u32::from_le_bytes(*sum));
    }
    new
}

fn seal(superblock: &mut [u8; SIZE]) {
    let sum = Seed::START.checksum(&superblock[..CHECKSUM]);
    superblock[CHECKSUM..].copy_from_slice(&sum.to_le_bytes());
}

fn bytes(raw: &RawSuperblock) -> [u8; SIZE] {
    zerocopy::transmute!(raw.clone())
}

/// Sets the filler so that the checksum becomes `sum`.
fn fill(superblock: &mut [u8; SIZE], sum: u32) {
    let Seed(before) = Seed::START.update(&superblock[..FILLER]);
    let rest = superblock[FILLER + 4..CHECKSUM].iter().rev();
    let behind = rest.fold(sum, |state, byte| undo(state) ^ u32::from(*byte));
    // Four bytes are added to the state as it shifts by as many: undone, they are the difference.
    let needed = (0..4).fold(behind, |state, _| undo(state));
    superblock[FILLER..FILLER + 4].copy_from_slice(&(needed ^ before).to_le_bytes());
}

/// Returns the state of CRC-32C before a byte of zeros.
fn undo(state: u32) -> u32 {
    const POLYNOMIAL: u32 = 0x82f6_3b78;
    (0..8).fold(state, |state, _| {
        if state >> 31 == 0 {
            state << 1
        } else {
            (state ^ POLYNOMIAL) << 1 | 1
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filled_superblock_has_the_sum_asked_for() {
        let mut superblock = [0; SIZE];
        for (i, byte) in (0_u8..=255).cycle().zip(&mut superblock) {
            *byte = i.wrapping_mul(31);
        }
        for sum in [0, 1, 0xdead_beef, u32::MAX] {
            let mut filled = superblock;
            fill(&mut filled, sum);
            assert_eq!(Seed::START.checksum(&filled[..CHECKSUM]), sum);
            filled[FILLER..FILLER + 4].copy_from_slice(&superblock[FILLER..FILLER + 4]);
            assert_eq!(filled, superblock, "nothing else changed");
        }
    }
}
