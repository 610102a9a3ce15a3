//! The superblock, validated: nothing after it checks these values again.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

use zerocopy::{FromBytes, IntoBytes};

use super::{Bytes, FileType, Inode, ReadError, node_header};
use crate::ext4::checksum::Seed;
use crate::ext4::damage::{Damage, Location};
use crate::ext4::features::{compat, incompat, ro_compat};
use crate::ext4::halves::join_words;
use crate::ext4::inode::{RawInode, flag};
use crate::ext4::superblock::{self as raw, RawSuperblock};
use crate::ext4::{BlockNo, GroupNo, InodeNo, features};
use crate::tree::Time;

/// What the superblock says, checked.
#[derive(Clone, Debug)]
pub struct Superblock {
    raw: RawSuperblock,
    block_bits: u32,
    cluster_bits: u32,
    blocks: u64,
    groups: u32,
    inode_size: u16,
    desc_size: u16,
    seed: Option<Seed>,
}

/// How group descriptors are summed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DescriptorSum {
    None,
    Crc16,
    Crc32c(Seed),
}

impl Superblock {
    /// Validates the 1024 bytes of a superblock.
    pub(crate) fn parse(bytes: &[u8; raw::SIZE]) -> Result<Self, ReadError> {
        let raw = RawSuperblock::read_from_bytes(bytes).expect("the size is that of the structure");
        if raw.s_magic.get() != raw::MAGIC {
            return Err(ReadError::NotExt {
                reason: format!("the magic at byte 0x438 is {:#06x}", raw.s_magic),
            });
        }
        check_features(&raw)?;
        Self::validate(raw).map_err(|damage| ReadError::corrupt(Location::Superblock, damage))
    }

    fn validate(raw: RawSuperblock) -> Result<Self, Damage> {
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
        Ok(Self {
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

    /// Returns the fields as they stand on disk.
    pub(crate) fn raw(&self) -> &RawSuperblock {
        &self.raw
    }

    /// Returns the block size in bytes: 1024 to 65,536.
    #[must_use]
    pub fn block_size(&self) -> u32 {
        1 << self.block_bits
    }

    /// Returns the block size as a length of memory.
    pub(crate) fn block_len(&self) -> usize {
        1 << self.block_bits
    }

    /// Returns the base-2 logarithm of the block size.
    pub(crate) fn block_bits(&self) -> u32 {
        self.block_bits
    }

    /// Returns the unit of allocation in bytes; the block size without `bigalloc`.
    #[must_use]
    pub fn cluster_size(&self) -> u32 {
        1 << self.cluster_bits
    }

    /// Returns how many blocks a cluster has.
    pub(crate) fn cluster_blocks(&self) -> u64 {
        1 << self.cluster_bits.saturating_sub(self.block_bits)
    }

    /// Returns the number of blocks.
    #[must_use]
    pub fn blocks(&self) -> u64 {
        self.blocks
    }

    /// Returns the filesystem's size in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.blocks << self.block_bits
    }

    /// Returns the number of free blocks as the superblock says, which is exact after an unmount only.
    #[must_use]
    pub fn free_blocks(&self) -> u64 {
        let hi = if self.has_incompat(incompat::BITS64) {
            self.raw.s_free_blocks_count_hi.get()
        } else {
            0
        };
        join_words(self.raw.s_free_blocks_count_lo.get(), hi)
    }

    /// Returns the number of blocks only root may fill.
    #[must_use]
    pub fn reserved_blocks(&self) -> u64 {
        let hi = if self.has_incompat(incompat::BITS64) {
            self.raw.s_r_blocks_count_hi.get()
        } else {
            0
        };
        join_words(self.raw.s_r_blocks_count_lo.get(), hi)
    }

    /// Returns the number of block groups.
    #[must_use]
    pub fn groups(&self) -> u32 {
        self.groups
    }

    /// Returns the number of inodes.
    #[must_use]
    pub fn inodes(&self) -> u32 {
        self.raw.s_inodes_count.get()
    }

    /// Returns the number of free inodes as the superblock says.
    #[must_use]
    pub fn free_inodes(&self) -> u32 {
        self.raw.s_free_inodes_count.get()
    }

    /// Returns the number of inodes in every group.
    pub(crate) fn inodes_per_group(&self) -> u32 {
        self.raw.s_inodes_per_group.get()
    }

    /// Returns the number of blocks in every group but the last.
    pub(crate) fn blocks_per_group(&self) -> u32 {
        self.raw.s_blocks_per_group.get()
    }

    /// Returns the number of clusters in every group but the last; blocks without `bigalloc`.
    pub(crate) fn clusters_per_group(&self) -> u32 {
        self.blocks_per_group() >> self.cluster_bits.saturating_sub(self.block_bits)
    }

    /// Returns the first block of group 0.
    pub(crate) fn first_data_block(&self) -> u32 {
        self.raw.s_first_data_block.get()
    }

    /// Returns the length of an inode in bytes.
    #[must_use]
    pub fn inode_size(&self) -> u16 {
        self.inode_size
    }

    /// Returns the length of a group descriptor in bytes.
    pub(crate) fn desc_size(&self) -> u16 {
        self.desc_size
    }

    /// Returns how many descriptors a block holds.
    pub(crate) fn descs_per_block(&self) -> u32 {
        self.block_size()
            .checked_div(self.desc_size.into())
            .unwrap_or(1)
    }

    /// Returns how many blocks the descriptors take.
    pub(crate) fn desc_blocks(&self) -> u32 {
        self.groups.div_ceil(self.descs_per_block().max(1))
    }

    /// Returns how many blocks an inode table takes.
    pub(crate) fn inode_table_blocks(&self) -> u64 {
        u64::from(self.inodes_per_group())
            .saturating_mul(self.inode_size.into())
            .div_ceil(self.block_size().into())
    }

    /// Returns the first inode that is not reserved.
    pub(crate) fn first_inode(&self) -> InodeNo {
        if self.raw.s_rev_level.get() < raw::DYNAMIC_REV {
            InodeNo::LOST_FOUND
        } else {
            InodeNo(self.raw.s_first_ino.get())
        }
    }

    /// Returns the seed of all checksums but the superblock's, with `metadata_csum`.
    pub(crate) fn seed(&self) -> Option<Seed> {
        self.seed
    }

    /// Returns how group descriptors are summed.
    pub(crate) fn descriptor_sum(&self) -> DescriptorSum {
        match self.seed {
            Some(seed) => DescriptorSum::Crc32c(seed),
            None if self.has_ro_compat(ro_compat::GDT_CSUM) => DescriptorSum::Crc16,
            None => DescriptorSum::None,
        }
    }

    /// Returns the filesystem's uuid.
    #[must_use]
    pub fn uuid(&self) -> [u8; 16] {
        self.raw.s_uuid
    }

    /// Returns the label, without its padding; may be empty.
    #[must_use]
    pub fn label(&self) -> &[u8] {
        until_nul(&self.raw.s_volume_name)
    }

    /// Returns the directory that it was mounted on last; may be empty.
    #[must_use]
    pub fn last_mounted(&self) -> &[u8] {
        until_nul(&self.raw.s_last_mounted)
    }

    /// Returns the seed of the directory hashes.
    #[must_use]
    pub fn hash_seed(&self) -> [u8; 16] {
        self.raw.s_hash_seed
    }

    /// Tells whether names are hashed as unsigned characters.
    pub(crate) fn unsigned_hash(&self) -> bool {
        self.raw.s_flags.get() & raw::FLAG_UNSIGNED_HASH != 0
    }

    /// Returns the time of creation.
    #[must_use]
    pub fn made(&self) -> Time {
        time(self.raw.s_mkfs_time.get(), self.raw.s_mkfs_time_hi)
    }

    /// Returns the time of the last write.
    #[must_use]
    pub fn written(&self) -> Time {
        time(self.raw.s_wtime.get(), self.raw.s_wtime_hi)
    }

    /// Returns the time of the last mount; 1970-01-01 where there was none.
    #[must_use]
    pub fn mounted(&self) -> Time {
        time(self.raw.s_mtime.get(), self.raw.s_mtime_hi)
    }

    /// Returns the time of the last check.
    #[must_use]
    pub fn checked(&self) -> Time {
        time(self.raw.s_lastcheck.get(), self.raw.s_lastcheck_hi)
    }

    /// Tells whether it was unmounted cleanly and has no known errors.
    #[must_use]
    pub fn clean(&self) -> bool {
        let state = self.raw.s_state.get();
        state & raw::STATE_VALID != 0 && state & raw::STATE_ERROR == 0
    }

    /// Tells whether the journal must be replayed.
    #[must_use]
    pub fn needs_recovery(&self) -> bool {
        self.has_incompat(incompat::RECOVER)
    }

    /// Returns the journal's inode, where it has one inside the filesystem.
    #[must_use]
    pub fn journal(&self) -> Option<InodeNo> {
        let inode = self.raw.s_journal_inum.get();
        (self.has_compat(compat::HAS_JOURNAL) && inode != 0).then_some(InodeNo(inode))
    }

    /// Returns the copy of the journal's inode, where there is one.
    pub(crate) fn journal_backup(&self, number: InodeNo) -> Option<Inode> {
        if self.raw.s_jnl_backup_type != raw::JOURNAL_BACKUP_BLOCKS {
            return None;
        }
        let mut inode = RawInode::new();
        let (words, sizes) = self.raw.s_jnl_blocks.split_at_checked(15)?;
        inode.i_block.copy_from_slice(words.as_bytes());
        let [high, low] = *sizes else { return None };
        inode.set_size(join_words(low.get(), high.get()));
        if node_header(&inode.i_block).is_ok() {
            inode.i_flags = flag::EXTENTS.into();
        }
        let bytes = Bytes::new(inode.as_bytes())?;
        Some(Inode::new(number, bytes, FileType::File, self))
    }

    /// Returns the names of all features, in the order `dumpe2fs` lists them.
    #[must_use]
    pub fn features(&self) -> Vec<&'static str> {
        features::names(
            self.raw.s_feature_compat.get(),
            self.raw.s_feature_incompat.get(),
            self.raw.s_feature_ro_compat.get(),
        )
    }

    pub(crate) fn has_compat(&self, bit: u32) -> bool {
        self.raw.s_feature_compat.get() & bit != 0
    }

    pub(crate) fn has_incompat(&self, bit: u32) -> bool {
        self.raw.s_feature_incompat.get() & bit != 0
    }

    pub(crate) fn has_ro_compat(&self, bit: u32) -> bool {
        self.raw.s_feature_ro_compat.get() & bit != 0
    }

    /// Tells whether a block belongs to a group.
    pub(crate) fn contains(&self, block: BlockNo) -> bool {
        (u64::from(self.first_data_block())..self.blocks).contains(&block.0)
    }

    /// Checks that blocks belong to groups.
    pub(crate) fn check_blocks(
        &self,
        field: &'static str,
        first: BlockNo,
        count: u64,
    ) -> Result<(), Damage> {
        let last = first.0.checked_add(count.saturating_sub(1));
        match last {
            Some(last) if self.contains(first) && self.contains(BlockNo(last)) => Ok(()),
            _ => Err(Damage::BlockOutside {
                field,
                block: first.0,
            }),
        }
    }

    /// Checks that an inode number is one of the filesystem's.
    pub(crate) fn check_inode(&self, field: &'static str, inode: InodeNo) -> Result<(), Damage> {
        if (1..=self.inodes()).contains(&inode.0) {
            return Ok(());
        }
        Err(Damage::BadInode {
            field,
            inode: inode.0,
            problem: "does not exist",
        })
    }

    /// Returns the group of a block.
    pub(crate) fn group_of(&self, block: BlockNo) -> GroupNo {
        let group = block
            .0
            .saturating_sub(self.first_data_block().into())
            .checked_div(self.blocks_per_group().into());
        GroupNo(group.map_or(0, |group| u32::try_from(group).unwrap_or(u32::MAX)))
    }

    /// Returns the first block of a group.
    pub(crate) fn group_start(&self, group: GroupNo) -> BlockNo {
        BlockNo(
            u64::from(group.0)
                .saturating_mul(self.blocks_per_group().into())
                .saturating_add(self.first_data_block().into()),
        )
    }

    /// Returns the number of blocks in a group.
    pub(crate) fn group_blocks(&self, group: GroupNo) -> u64 {
        let start = self.group_start(group).0;
        self.blocks
            .saturating_sub(start)
            .min(self.blocks_per_group().into())
    }

    /// Tells whether a group has a copy of the superblock (group 0 has the superblock itself).
    pub(crate) fn has_super(&self, group: GroupNo) -> bool {
        let GroupNo(group) = group;
        if group == 0 {
            return true;
        }
        if self.has_compat(compat::SPARSE_SUPER2) {
            return self.raw.s_backup_bgs.iter().any(|bg| bg.get() == group);
        }
        if group == 1 || !self.has_ro_compat(ro_compat::SPARSE_SUPER) {
            return true;
        }
        [3, 5, 7].into_iter().any(|base| is_power(group, base))
    }

    /// Returns the block of group descriptors that has the given index, in the copy of group `copy`
    /// (0 is the primary); with `meta_bg`, blocks from `s_first_meta_bg` on stand in their own groups.
    pub(crate) fn descriptor_block(&self, index: u32) -> BlockNo {
        let first_meta = self.raw.s_first_meta_bg.get();
        if !self.has_incompat(incompat::META_BG) || index < first_meta {
            let start = self.group_start(GroupNo(0)).0;
            return BlockNo(
                start
                    .saturating_add(1)
                    .saturating_add(self.cluster_start())
                    .saturating_add(index.into()),
            );
        }
        let group = GroupNo(index.saturating_mul(self.descs_per_block()));
        let mut start = self.group_start(group).0;
        if self.has_super(group) {
            start = start.saturating_add(1);
        }
        if index == 0 {
            start = start.saturating_add(self.cluster_start());
        }
        BlockNo(start)
    }

    /// Returns 1 where 1 KiB blocks are allocated in clusters: then group 0 starts at block 0, but the
    /// superblock stands in block 1.
    pub(crate) fn cluster_start(&self) -> u64 {
        u64::from(self.block_bits == 10 && self.first_data_block() == 0)
    }
}

fn time(lo: u32, hi: u8) -> Time {
    let seconds = join_words(lo, hi.into());
    Time::from_sec(i64::try_from(seconds).unwrap_or(0))
}

fn until_nul(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// Tells whether `n` is a power of `base`, 1 excluded.
fn is_power(n: u32, base: u32) -> bool {
    let mut power = base;
    while power < n {
        power = power.saturating_mul(base);
    }
    power == n
}

fn check_features(raw: &RawSuperblock) -> Result<(), ReadError> {
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
