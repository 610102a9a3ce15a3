//! Taking and giving back blocks and inodes.

use super::bits;
use super::error::{EditError, Result, damaged};
use super::groups::{after, inode_group, sums};
use super::volume::Volume;
use crate::ext4::group_desc::{BLOCK_UNINIT, INODE_UNINIT};
use crate::ext4::{BlockNo, GroupNo, InodeNo};

/// A run of blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) start: BlockNo,
    pub(super) len: u64,
}

impl Volume {
    /// Takes blocks, in as few runs as the first free ones from a group on allow.
    pub(super) fn take_blocks(&mut self, from: GroupNo, count: u64) -> Result<Vec<Run>> {
        let mut runs: Vec<Run> = Vec::new();
        let mut left = count;
        let groups = self.superblock.groups();
        for step in 0..groups {
            if left == 0 {
                break;
            }
            let group = GroupNo((from.0 % groups + step) % groups);
            while left > 0
                && let Some(run) = self.take_run(group, left)?
            {
                left -= run.len;
                match runs.last_mut() {
                    Some(last) if after(last.start, last.len) == run.start => last.len += run.len,
                    _ => runs.push(run),
                }
            }
        }
        if left > 0 {
            return Err(EditError::Full { what: "blocks" });
        }
        Ok(runs)
    }

    /// Takes one block.
    pub(super) fn take_block(&mut self, from: GroupNo) -> Result<BlockNo> {
        let runs = self.take_blocks(from, 1)?;
        runs.first()
            .map(|run| run.start)
            .ok_or(EditError::Full { what: "blocks" })
    }

    /// Takes the first free run of a group, at most `want` blocks of it.
    fn take_run(&mut self, number: GroupNo, want: u64) -> Result<Option<Run>> {
        if self.groups.get(number)?.desc.free_blocks_count() == 0 {
            return Ok(None);
        }
        let start = self.superblock.group_start(number);
        let end = u32::try_from(self.superblock.group_blocks(number)).unwrap_or(u32::MAX);
        let group = self
            .groups
            .with_blocks(number, &self.superblock, &self.overlay)?;
        let Some(map) = &mut group.blocks else {
            return Ok(None);
        };
        let Some(first) = bits::first_clear(&map.bits, &map.barred, map.next, end) else {
            map.next = end;
            return Ok(None);
        };
        map.next = first;
        let want = u32::try_from(want).unwrap_or(u32::MAX);
        let len = self.claim(number, first, end.min(first.saturating_add(want)))?;
        Ok(Some(Run {
            start: after(start, first.into()),
            len: len.into(),
        }))
    }

    /// Takes the free blocks of a group from bit `first` on, up to `end` or to one that cannot be taken;
    /// returns how many.
    pub(super) fn claim(&mut self, number: GroupNo, first: u32, end: u32) -> Result<u32> {
        let group = self
            .groups
            .with_blocks(number, &self.superblock, &self.overlay)?;
        let Some(map) = &mut group.blocks else {
            return Ok(0);
        };
        let mut bit = first;
        while bit < end && !bits::get(&map.bits, bit) && !bits::get(&map.barred, bit) {
            bits::set(&mut map.bits, bit);
            bits::set(&mut map.fresh, bit);
            bit += 1;
        }
        if first <= map.next {
            map.next = map.next.max(bit);
        }
        map.changed = true;
        let len = bit - first;
        let free = group
            .desc
            .free_blocks_count()
            .checked_sub(len)
            .ok_or_else(|| damaged("bg_free_blocks_count is too small"))?;
        group.desc.set_free_blocks_count(free);
        let flags = group.desc.bg_flags.get() & !BLOCK_UNINIT;
        group.desc.bg_flags = flags.into();
        group.changed = true;
        self.count_free_blocks(-i64::from(len))?;
        Ok(len)
    }

    /// Gives blocks back. Those that were taken in this transaction can be taken again at once.
    pub(super) fn free_blocks(&mut self, first: BlockNo, count: u64) -> Result<()> {
        self.superblock
            .check_blocks("a run to free", first, count)
            .map_err(|damage| damaged(damage.to_string()))?;
        for block in first.0..first.0.saturating_add(count) {
            self.free_block(BlockNo(block))?;
        }
        Ok(())
    }

    fn free_block(&mut self, block: BlockNo) -> Result<()> {
        self.overlay.forget(block);
        let number = self.superblock.group_of(block);
        let bit = block.0 - self.superblock.group_start(number).0;
        let bit = u32::try_from(bit).unwrap_or(u32::MAX);
        let group = self
            .groups
            .with_blocks(number, &self.superblock, &self.overlay)?;
        let Some(map) = &mut group.blocks else {
            return Ok(());
        };
        if !bits::get(&map.bits, bit) {
            return Err(damaged(format!("block {} is in use, but free", block.0)));
        }
        bits::clear(&mut map.bits, bit);
        if bits::get(&map.fresh, bit) {
            bits::clear(&mut map.fresh, bit);
            map.next = map.next.min(bit);
        } else {
            bits::set(&mut map.barred, bit);
        }
        map.changed = true;
        let free = group.desc.free_blocks_count().saturating_add(1);
        group.desc.set_free_blocks_count(free);
        group.changed = true;
        self.count_free_blocks(1)
    }

    /// Takes an inode, in or after a group. Its place in the table holds what the last owner left,
    /// or zeros.
    pub(super) fn take_inode(&mut self, from: GroupNo, directory: bool) -> Result<InodeNo> {
        let groups = self.superblock.groups();
        for step in 0..groups {
            let group = GroupNo((from.0 % groups + step) % groups);
            if let Some(inode) = self.take_inode_of(group, directory)? {
                return Ok(inode);
            }
        }
        Err(EditError::Full { what: "inodes" })
    }

    fn take_inode_of(&mut self, number: GroupNo, directory: bool) -> Result<Option<InodeNo>> {
        if self.groups.get(number)?.desc.free_inodes_count() == 0 {
            return Ok(None);
        }
        let per_group = self.superblock.inodes_per_group();
        let reserved = if number.0 == 0 {
            self.superblock.first_inode().0.saturating_sub(1)
        } else {
            0
        };
        let group = self
            .groups
            .with_inodes(number, &self.superblock, &self.overlay)?;
        let Some(map) = &mut group.inodes else {
            return Ok(None);
        };
        let from = map.next.max(reserved);
        let Some(bit) = bits::first_clear(&map.bits, &[], from, per_group) else {
            map.next = per_group;
            return Ok(None);
        };
        bits::set(&mut map.bits, bit);
        map.next = bit + 1;
        map.changed = true;
        let desc = &mut group.desc;
        desc.set_free_inodes_count(desc.free_inodes_count().saturating_sub(1));
        if directory {
            desc.set_used_dirs_count(desc.used_dirs_count().saturating_add(1));
        }
        let written = if !sums(&self.superblock) {
            per_group
        } else if desc.bg_flags.get() & INODE_UNINIT != 0 {
            0
        } else {
            per_group.saturating_sub(desc.itable_unused())
        };
        desc.bg_flags = (desc.bg_flags.get() & !INODE_UNINIT).into();
        if sums(&self.superblock) && bit >= written {
            desc.set_itable_unused(per_group - bit - 1);
        }
        group.changed = true;
        self.init_block_bitmap(number)?;
        for index in written..=bit {
            self.zero_inode(number, index)?;
        }
        self.count_free_inodes(-1)?;
        let inode = number.0 * per_group + bit + 1;
        Ok(Some(InodeNo(inode)))
    }

    /// A group with inodes in use has a block bitmap: so the kernel and e2fsck have it.
    fn init_block_bitmap(&mut self, number: GroupNo) -> Result<()> {
        if !sums(&self.superblock)
            || self.groups.get(number)?.desc.bg_flags.get() & BLOCK_UNINIT == 0
        {
            return Ok(());
        }
        let group = self
            .groups
            .with_blocks(number, &self.superblock, &self.overlay)?;
        if let Some(map) = &mut group.blocks {
            map.changed = true;
        }
        group.desc.bg_flags = (group.desc.bg_flags.get() & !BLOCK_UNINIT).into();
        Ok(())
    }

    fn zero_inode(&mut self, number: GroupNo, index: u32) -> Result<()> {
        let (block, at) = self.table_place(number, index)?;
        let size = usize::from(self.superblock.inode_size());
        self.overlay
            .edit(block, |block| block[at..at + size].fill(0))?;
        Ok(())
    }

    /// Gives an inode back.
    pub(super) fn free_inode(&mut self, inode: InodeNo, directory: bool) -> Result<()> {
        let (number, bit) = inode_group(&self.superblock, inode.0);
        let group = self
            .groups
            .with_inodes(number, &self.superblock, &self.overlay)?;
        let Some(map) = &mut group.inodes else {
            return Ok(());
        };
        if !bits::get(&map.bits, bit) {
            return Err(damaged(format!("inode {} is in use, but free", inode.0)));
        }
        bits::clear(&mut map.bits, bit);
        map.next = map.next.min(bit);
        map.changed = true;
        let desc = &mut group.desc;
        desc.set_free_inodes_count(desc.free_inodes_count().saturating_add(1));
        if directory {
            desc.set_used_dirs_count(desc.used_dirs_count().saturating_sub(1));
        }
        group.changed = true;
        self.count_free_inodes(1)
    }

    /// Returns where an inode stands: its block, and its offset there in bytes.
    pub(super) fn table_place(&mut self, number: GroupNo, index: u32) -> Result<(BlockNo, usize)> {
        let byte = u64::from(index) * u64::from(self.superblock.inode_size());
        let table = self.groups.get(number)?.desc.inode_table();
        let at = usize::try_from(byte % self.block_size()).unwrap_or(usize::MAX);
        Ok((after(table, byte / self.block_size()), at))
    }
}
