//! Where groups, copies and descriptors stand.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

use super::Superblock;
use crate::ext4::damage::Damage;
use crate::ext4::features::{compat, incompat, ro_compat};
use crate::ext4::{BlockNo, GroupNo, InodeNo};

impl Superblock {
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

/// Tells whether `n` is a power of `base`, 1 excluded.
fn is_power(n: u32, base: u32) -> bool {
    let mut power = base;
    while power < n {
        power = power.saturating_mul(base);
    }
    power == n
}
