//! Making a superblock out of its fields: nothing after it checks these values again.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

use super::super::ReadError;
use super::Superblock;
use crate::ext4::checksum::Seed;
use crate::ext4::damage::Damage;
use crate::ext4::features::{incompat, ro_compat};
use crate::ext4::halves::join_words;
use crate::ext4::superblock::{self as raw, RawSuperblock};
use crate::ext4::{InodeNo, features};

/// Validates all that reading depends on.
pub(super) fn validate(raw: RawSuperblock) -> Result<Superblock, Damage> {
    check_checksum(&raw)?;
    let (block_bits, cluster_bits) = size_bits(&raw)?;
    let inode_size = inode_size(&raw, block_bits)?;
    let desc_size = desc_size(&raw)?;
    let has64 = raw.s_feature_incompat.get() & incompat::BITS64 != 0;
    let hi = if has64 {
        raw.s_blocks_count_hi.get()
    } else {
        0
    };
    let blocks = join_words(raw.s_blocks_count_lo.get(), hi);
    let groups = groups(&raw, block_bits, cluster_bits, blocks, inode_size)?;
    let seed = (raw.s_feature_ro_compat.get() & ro_compat::METADATA_CSUM != 0).then(|| {
        if raw.s_feature_incompat.get() & incompat::CSUM_SEED == 0 {
            Seed::from_uuid(&raw.s_uuid)
        } else {
            Seed(raw.s_checksum_seed.get())
        }
    });
    Ok(Superblock {
        raw,
        block_bits,
        cluster_bits,
        blocks,
        groups,
        inode_size,
        desc_size,
        seed,
    })
}

/// Refuses features that make the rest unreadable.
pub(super) fn check_features(raw: &RawSuperblock) -> Result<(), ReadError> {
    const READABLE: u32 = incompat::FILETYPE
        | incompat::RECOVER
        | incompat::META_BG
        | incompat::EXTENTS
        | incompat::BITS64
        | incompat::MMP
        | incompat::FLEX_BG
        | incompat::EA_INODE
        | incompat::CSUM_SEED
        | incompat::LARGEDIR
        | incompat::INLINE_DATA
        | incompat::ENCRYPT
        | incompat::CASEFOLD;
    let unknown = raw.s_feature_incompat.get() & !READABLE;
    if unknown == 0 {
        return Ok(());
    }
    Err(ReadError::Features {
        names: features::incompat_names(unknown).join(", "),
    })
}

fn check_checksum(raw: &RawSuperblock) -> Result<(), Damage> {
    if raw.s_feature_ro_compat.get() & ro_compat::METADATA_CSUM == 0 {
        return Ok(());
    }
    if raw.s_checksum_type != raw::CHECKSUM_CRC32C {
        return Err(Damage::field(
            "s_checksum_type",
            raw.s_checksum_type,
            "only 1 (crc32c) exists",
        ));
    }
    let (found, computed) = (raw.s_checksum.get(), raw.checksum());
    if found != computed {
        return Err(Damage::Checksum {
            what: "superblock",
            found,
            computed,
        });
    }
    Ok(())
}

/// Returns the logarithms of block and cluster size.
fn size_bits(raw: &RawSuperblock) -> Result<(u32, u32), Damage> {
    let log = raw.s_log_block_size.get();
    if log > 6 {
        return Err(Damage::field(
            "s_log_block_size",
            log,
            "blocks have at most 64 KiB",
        ));
    }
    let cluster_log = raw.s_log_cluster_size.get();
    let bigalloc = raw.s_feature_ro_compat.get() & ro_compat::BIGALLOC != 0;
    let legal = if bigalloc {
        (log..=20).contains(&cluster_log)
    } else {
        cluster_log == log
    };
    if !legal {
        let rule = if bigalloc {
            "clusters are at least a block and at most 1 GiB"
        } else {
            "it is that of a block without bigalloc"
        };
        return Err(Damage::field("s_log_cluster_size", cluster_log, rule));
    }
    let bits = |log: u32| log.saturating_add(10);
    Ok((
        bits(log),
        if bigalloc {
            bits(cluster_log)
        } else {
            bits(log)
        },
    ))
}

fn inode_size(raw: &RawSuperblock, block_bits: u32) -> Result<u16, Damage> {
    if raw.s_rev_level.get() < raw::DYNAMIC_REV {
        return Ok(128);
    }
    let size = raw.s_inode_size.get();
    if size < 128 || !size.is_power_of_two() || u32::from(size) > 1 << block_bits {
        return Err(Damage::field(
            "s_inode_size",
            size,
            "it is a power of two from 128 to the block size",
        ));
    }
    let first = raw.s_first_ino.get();
    if first < InodeNo::LOST_FOUND.0 {
        return Err(Damage::field("s_first_ino", first, "it is at least 11"));
    }
    Ok(size)
}

fn desc_size(raw: &RawSuperblock) -> Result<u16, Damage> {
    if raw.s_feature_incompat.get() & incompat::BITS64 == 0 {
        return Ok(32);
    }
    let size = raw.s_desc_size.get();
    if !(64..=1024).contains(&size) || !size.is_power_of_two() {
        return Err(Damage::field(
            "s_desc_size",
            size,
            "it is a power of two from 64 to 1024",
        ));
    }
    Ok(size)
}

/// Checks the sizes of groups; returns their number.
fn groups(
    raw: &RawSuperblock,
    block_bits: u32,
    cluster_bits: u32,
    blocks: u64,
    inode_size: u16,
) -> Result<u32, Damage> {
    let bits_per_block = 8_u32 << block_bits;
    let clusters = raw.s_clusters_per_group.get();
    let per_group = raw.s_blocks_per_group.get();
    let ratio_bits = cluster_bits.saturating_sub(block_bits);
    let bigalloc = cluster_bits != block_bits;
    if per_group < 256 || !per_group.is_multiple_of(8) || per_group >> ratio_bits > bits_per_block {
        return Err(Damage::field(
            "s_blocks_per_group",
            per_group,
            "it is a multiple of 8 from 256 to the bits of a block",
        ));
    }
    if bigalloc && clusters.checked_mul(1 << ratio_bits) != Some(per_group) {
        return Err(Damage::field(
            "s_clusters_per_group",
            clusters,
            "it agrees with s_blocks_per_group",
        ));
    }
    let inodes_per_group = raw.s_inodes_per_group.get();
    let per_block = (1_u32 << block_bits) >> inode_size.ilog2();
    if inodes_per_group < per_block || inodes_per_group > bits_per_block {
        return Err(Damage::field(
            "s_inodes_per_group",
            inodes_per_group,
            "a table has at least a block and a bitmap's bits at most",
        ));
    }
    let first = raw.s_first_data_block.get();
    let first_allowed = if block_bits == 10 && !bigalloc { 1 } else { 0 };
    if first != first_allowed && !(block_bits == 10 && first == 0) {
        return Err(Damage::field(
            "s_first_data_block",
            first,
            "it is 1 with blocks of 1 KiB and 0 with larger ones",
        ));
    }
    if blocks >= 1 << 48 {
        return Err(Damage::field(
            "s_blocks_count",
            blocks,
            "block numbers have 48 bits",
        ));
    }
    let data = blocks.checked_sub(first.into()).filter(|data| *data > 0);
    let groups = data
        .map(|data| data.div_ceil(per_group.into()))
        .and_then(|groups| u32::try_from(groups).ok());
    let inodes = raw.s_inodes_count.get();
    match groups {
        Some(groups) if groups.checked_mul(inodes_per_group) == Some(inodes) => Ok(groups),
        Some(_) => Err(Damage::field(
            "s_inodes_count",
            inodes,
            "every group has s_inodes_per_group of them",
        )),
        None => Err(Damage::field(
            "s_blocks_count",
            blocks,
            "there is at least one group and at most 2^32",
        )),
    }
}
