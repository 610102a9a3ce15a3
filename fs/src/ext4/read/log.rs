//! The blocks of the journal's log: descriptors, revokes, commits, and their checksums.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

use super::ReadError;
use crate::ext4::checksum::Seed;
use crate::ext4::damage::{Damage, Location};
use crate::ext4::halves::{join_words, shorts};
use crate::ext4::journal::{MAGIC, RawJournalSuperblock, SUPERBLOCK_V2};

/// `h_blocktype` of a descriptor block.
pub(crate) const DESCRIPTOR: u32 = 1;
/// `h_blocktype` of a commit block.
pub(crate) const COMMIT: u32 = 2;
/// `h_blocktype` of a superblock of version 1, which has no features.
const SUPERBLOCK_V1: u32 = 3;
/// `h_blocktype` of a revoke block.
pub(crate) const REVOKE: u32 = 5;

const COMPAT_CHECKSUM: u32 = 0x1;
const INCOMPAT_REVOKE: u32 = 0x1;
const INCOMPAT_64BIT: u32 = 0x2;
const INCOMPAT_ASYNC_COMMIT: u32 = 0x4;
const INCOMPAT_CSUM_V2: u32 = 0x8;
const INCOMPAT_CSUM_V3: u32 = 0x10;
const INCOMPAT_FAST_COMMIT: u32 = 0x20;

/// Tag flag: the copy's first four bytes stand for the journal's magic.
const ESCAPE: u32 = 0x1;
/// Tag flag: no uuid follows.
const SAME_UUID: u32 = 0x2;
/// Tag flag: the last one of its block.
const LAST: u32 = 0x8;

/// Length of the header of every block of the log.
const HEADER: usize = 12;
/// Length of the checksum at the end of descriptor and revoke blocks.
const TAIL: usize = 4;
/// Fast-commit blocks where the superblock does not say.
const DEFAULT_FAST_COMMIT_BLOCKS: u32 = 256;

/// What the features of a journal mean for its blocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Features {
    compat: u32,
    incompat: u32,
}

/// Validates a journal's superblock.
pub(crate) fn check_superblock(raw: &RawJournalSuperblock) -> Result<Features, ReadError> {
    let at = Location::Journal { block: 0 };
    let damaged = |damage| Err(ReadError::corrupt(at, damage));
    if raw.h_magic.get() != MAGIC {
        return damaged(Damage::field(
            "h_magic",
            raw.h_magic.get(),
            "it is 0xc03b3998",
        ));
    }
    let features = match raw.h_blocktype.get() {
        SUPERBLOCK_V1 => Features {
            compat: 0,
            incompat: 0,
        },
        SUPERBLOCK_V2 => Features {
            compat: raw.s_feature_compat.get(),
            incompat: raw.s_feature_incompat.get(),
        },
        other => {
            return damaged(Damage::field(
                "h_blocktype",
                other,
                "a superblock is 3 or 4",
            ));
        }
    };
    const KNOWN: u32 = INCOMPAT_REVOKE
        | INCOMPAT_64BIT
        | INCOMPAT_ASYNC_COMMIT
        | INCOMPAT_CSUM_V2
        | INCOMPAT_CSUM_V3
        | INCOMPAT_FAST_COMMIT;
    if features.incompat & !KNOWN != 0 {
        return Err(ReadError::Unsupported {
            location: at,
            what: "a journal with unknown features",
        });
    }
    if features.sums_blocks() {
        let mut unsummed = raw.clone();
        unsummed.s_checksum = 0.into();
        let computed = Seed::START.checksum(zerocopy::IntoBytes::as_bytes(&unsummed));
        let found = raw.s_checksum.get();
        if found != computed {
            return damaged(Damage::Checksum {
                what: "journal superblock",
                found,
                computed,
            });
        }
    }
    Ok(features)
}

impl Features {
    fn has(self, bit: u32) -> bool {
        self.incompat & bit != 0
    }

    /// Tells whether every block has a CRC-32C.
    pub(crate) fn sums_blocks(self) -> bool {
        self.has(INCOMPAT_CSUM_V2 | INCOMPAT_CSUM_V3)
    }

    /// Tells whether commit blocks have a CRC-32 over their transaction.
    pub(crate) fn sums_transactions(self) -> bool {
        self.compat & COMPAT_CHECKSUM != 0 && !self.sums_blocks()
    }

    /// Returns how many blocks at the journal's end are for fast commits.
    pub(crate) fn fast_commit_blocks(self, raw: &RawJournalSuperblock) -> u32 {
        match raw.s_num_fc_blks.get() {
            _ if !self.has(INCOMPAT_FAST_COMMIT) => 0,
            0 => DEFAULT_FAST_COMMIT_BLOCKS,
            blocks => blocks,
        }
    }

    /// Tells whether the checksum at the end of a descriptor or revoke block is right.
    pub(crate) fn tail_is_right(self, block: &[u8], seed: Seed) -> bool {
        if !self.sums_blocks() {
            return true;
        }
        let Some((covered, tail)) = block.split_last_chunk::<TAIL>() else {
            return false;
        };
        seed.update(covered).checksum(&[0; TAIL]) == u32::from_be_bytes(*tail)
    }

    /// Tells whether the checksum of a commit block is right; `sum` is that over its transaction.
    pub(crate) fn commit_is_right(self, block: &[u8], seed: Seed, sum: u32) -> bool {
        const SUM: usize = 16;
        let Some((head, rest)) = block.split_at_checked(SUM) else {
            return false;
        };
        let Some((found, rest)) = rest.split_first_chunk::<4>() else {
            return false;
        };
        let found = u32::from_be_bytes(*found);
        if self.sums_blocks() {
            return seed.update(head).update(&[0; 4]).checksum(rest) == found;
        }
        if !self.sums_transactions() {
            return true;
        }
        let kind = head.get(HEADER..HEADER.saturating_add(2));
        (kind == Some(&[1, 4]) && found == sum) || (kind == Some(&[0, 0]) && found == 0)
    }

    /// Checks the sum of a copy against its tag's.
    pub(crate) fn check_block(self, tag: Tag, computed: u32) -> Result<(), Damage> {
        let computed = if self.has(INCOMPAT_CSUM_V3) {
            computed
        } else {
            shorts(computed).0.into()
        };
        if tag.sum != computed {
            return Err(Damage::Checksum {
                what: "journal block",
                found: tag.sum,
                computed,
            });
        }
        Ok(())
    }

    /// Returns the length of a tag.
    fn tag_len(self) -> usize {
        match (
            self.has(INCOMPAT_CSUM_V3),
            self.has(INCOMPAT_CSUM_V2),
            self.has(INCOMPAT_64BIT),
        ) {
            (true, _, _) => 16,
            (false, true, true) => 14,
            (false, true, false) => 10,
            (false, false, true) => 12,
            (false, false, false) => 8,
        }
    }

    fn tail_len(self) -> usize {
        if self.sums_blocks() { TAIL } else { 0 }
    }
}

/// A block that a transaction changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tag {
    /// The block in the filesystem.
    pub(crate) block: u64,
    /// Whether the copy's first four bytes stand for the journal's magic.
    pub(crate) escaped: bool,
    sum: u32,
}

/// Returns type and transaction of a block of the log.
pub(crate) fn header(block: &[u8]) -> Option<(u32, u32)> {
    let words = block.get(..HEADER)?;
    let (words, _) = words.as_chunks::<4>();
    let [magic, kind, sequence] = words else {
        return None;
    };
    (u32::from_be_bytes(*magic) == MAGIC)
        .then(|| (u32::from_be_bytes(*kind), u32::from_be_bytes(*sequence)))
}

/// Reads the tags of a descriptor block.
pub(crate) fn tags(block: &[u8], features: Features) -> Result<Vec<Tag>, Damage> {
    let cut_off = || Damage::Structure("the tags are cut off");
    let end = block.len().saturating_sub(features.tail_len());
    let mut rest = block.get(HEADER..end).unwrap_or_default();
    let mut tags = Vec::new();
    loop {
        let (tag, after) = rest
            .split_at_checked(features.tag_len())
            .ok_or_else(cut_off)?;
        let (tag, flags) = parse_tag(tag, features);
        tags.push(tag);
        rest = after;
        if flags & SAME_UUID == 0 {
            rest = rest.get(16..).ok_or_else(cut_off)?;
        }
        if flags & LAST != 0 {
            return Ok(tags);
        }
    }
}

fn parse_tag(bytes: &[u8], features: Features) -> (Tag, u32) {
    let word = |at: usize| {
        let chunk = bytes.get(at..).and_then(|rest| rest.first_chunk::<4>());
        u32::from_be_bytes(*chunk.unwrap_or(&[0; 4]))
    };
    let (flags, sum) = if features.has(INCOMPAT_CSUM_V3) {
        (word(4), word(12))
    } else {
        let (flags, sum) = shorts(word(4));
        (flags.into(), sum.into())
    };
    let high = if features.has(INCOMPAT_64BIT) {
        word(8)
    } else {
        0
    };
    let tag = Tag {
        block: join_words(word(0), high),
        escaped: flags & ESCAPE != 0,
        sum,
    };
    (tag, flags)
}

/// Reads the blocks that a revoke block lists.
pub(crate) fn revoked(block: &[u8], features: Features) -> Result<Vec<u64>, Damage> {
    let rule = "it ends inside the block";
    let count = block
        .get(HEADER..)
        .and_then(|rest| rest.first_chunk::<4>())
        .map_or(0, |word| u32::from_be_bytes(*word));
    let end = block.len().saturating_sub(features.tail_len());
    let used = usize::try_from(count)
        .ok()
        .filter(|used| *used <= end)
        .and_then(|used| block.get(HEADER.saturating_add(4)..used))
        .ok_or_else(|| Damage::field("r_count", count, rule))?;
    Ok(if features.has(INCOMPAT_64BIT) {
        let (blocks, _) = used.as_chunks::<8>();
        blocks
            .iter()
            .map(|block| u64::from_be_bytes(*block))
            .collect()
    } else {
        let (blocks, _) = used.as_chunks::<4>();
        blocks
            .iter()
            .map(|block| u32::from_be_bytes(*block).into())
            .collect()
    })
}

/// Returns the sum of a copy in a transaction.
pub(crate) fn block_sum(block: &[u8], sequence: u32, seed: Seed) -> u32 {
    seed.update(&sequence.to_be_bytes()).checksum(block)
}

/// Returns the transaction that the first fast commit follows, if there is one.
pub(crate) fn fast_commit_of(block: &[u8]) -> Option<u32> {
    const HEAD_TAG: u16 = 9;
    let [tag_lo, tag_hi, _, _, _, _, _, _, sequence @ ..] = block.first_chunk::<12>()?;
    (u16::from_le_bytes([*tag_lo, *tag_hi]) == HEAD_TAG).then(|| u32::from_le_bytes(*sequence))
}

/// Continues the CRC-32 of the first kind of checksum, highest bit first, over a block.
pub(crate) fn crc32(sum: u32, block: &[u8]) -> u32 {
    const TABLE: [u32; 256] = table();
    block.iter().fold(sum, |sum, byte| {
        let [high, ..] = sum.to_be_bytes();
        sum << 8 ^ TABLE.get(usize::from(high ^ byte)).unwrap_or(&0)
    })
}

const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut byte: u32 = 0;
    let mut rest: &mut [u32] = &mut table;
    while let [entry, after @ ..] = rest {
        let mut sum = byte << 24;
        let mut bit: u32 = 0;
        while bit < 8 {
            sum = if sum & 0x8000_0000 == 0 {
                sum << 1
            } else {
                sum << 1 ^ 0x04c1_1db7
            };
            bit = u32::wrapping_add(bit, 1);
        }
        *entry = sum;
        byte = byte.wrapping_add(1);
        rest = after;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The check value of CRC-32/MPEG-2, which is this function from all ones.
    #[test]
    fn crc32_equals_its_check_value() {
        assert_eq!(crc32(!0, b"123456789"), 0x0376_e6e7);
    }

    #[test]
    fn tags_end_with_the_last_or_are_cut_off() {
        let features = Features {
            compat: 0,
            incompat: INCOMPAT_64BIT,
        };
        let block = |last_flags| {
            let mut block = b"\xc0\x3b\x39\x98\0\0\0\x01\0\0\0\x07".to_vec();
            block.extend(b"\0\0\0\x05\0\0\0\x03\0\0\0\x01");
            block.extend(b"\0\0\0\x06\0\0\0");
            block.extend([last_flags, 0, 0, 0, 0]);
            block.resize(64, 0);
            block
        };
        assert_eq!(header(&block(10)), Some((DESCRIPTOR, 7)));
        let tag = |block, escaped| Tag {
            block,
            escaped,
            sum: 0,
        };
        let expected = [tag(0x1_0000_0005, true), tag(6, false)];
        assert_eq!(tags(&block(10), features).unwrap(), expected);
        assert!(tags(&block(2), features).is_err());
    }
}
