//! A journal that is made larger for one transaction which does not fit it.
//!
//! The log grows into blocks that are free before the transaction and after it, and gives them back.
//! That takes three transactions, each of them through the image's journal, and at every moment the
//! filesystem is whole:
//!
//! ```text
//! 1. the journal's inode gets the blocks    through the log as it was
//!    s_maxlen of the journal grows
//! 2. the change itself                      through the larger log
//!    s_maxlen of the journal shrinks
//! 3. the journal's inode gives them back    through the log as it was
//! ```
//!
//! Who replays the second one goes on with the larger journal, which is why it must be there before
//! and after it. The first block of the journal says how much of its inode is the log: an inode that is
//! longer does no harm.

use std::sync::Arc;

use super::Editor;
use super::allocate::Run;
use super::commit::Way;
use super::error::{EditError, Result, damaged};
use super::groups::after;
use super::log::Log;
use super::map::Map;
use super::volume::Volume;
use crate::ext4::inode::RawInode;
use crate::ext4::superblock::JOURNAL_BACKUP_BLOCKS;
use crate::ext4::{BlockNo, InodeNo};

/// A larger journal, which the transaction has taken blocks for.
#[derive(Debug)]
pub(super) struct Enlarged {
    number: InodeNo,
    small: Shape,
    large: Shape,
    /// Blocks of the log and of its map that the larger journal has and the small one has not.
    taken: Vec<Run>,
    /// How many blocks the log has: the larger one, and as it was.
    blocks: (u32, u32),
}

/// A journal's inode and the nodes of its map.
#[derive(Clone, Debug)]
struct Shape {
    raw: RawInode,
    nodes: Vec<(BlockNo, Vec<u8>)>,
}

impl Enlarged {
    /// Gives a journal of so many blocks more of them, and a longer inode.
    fn take(volume: &mut Volume, more: u64, blocks: u32) -> Result<Self> {
        let number = volume.superblock.journal().ok_or_else(lost)?;
        let inode = volume.inode(number)?;
        let mut map = volume.map_of(&inode)?;
        let small = volume.shape(number, &map)?;
        let last = map.runs.last().ok_or_else(lost)?;
        let mut taken = volume.take_blocks(volume.superblock.group_of(last.physical), more)?;
        let mut end = inode.size() / volume.block_size();
        for run in &taken {
            map.push(end, *run);
            end += run.len;
        }
        let mut node = volume.node(number)?;
        volume.write_map(&mut node, &mut map)?;
        let new = map.nodes.iter().filter(|block| {
            let mut old = small.nodes.iter();
            old.all(|(old, _)| old != *block)
        });
        taken.extend(new.map(|block| Run {
            start: *block,
            len: 1,
        }));
        let count = taken.iter().map(|run| run.len).sum::<u64>();
        volume.count_blocks(&mut node, i64::try_from(count).unwrap_or(i64::MAX))?;
        node.raw.set_size(end * volume.block_size());
        volume.save(&mut node)?;
        volume.back_up_journal(&node.raw);
        let more = u32::try_from(more).unwrap_or(u32::MAX);
        Ok(Self {
            number,
            small,
            large: volume.shape(number, &map)?,
            taken,
            blocks: (blocks.saturating_add(more), blocks),
        })
    }

    /// Gives back what was taken.
    pub(super) fn release(&self, volume: &mut Volume) -> Result<()> {
        volume.put_shape(self.number, &self.small)?;
        for run in &self.taken {
            volume.free_blocks(run.start, run.len)?;
        }
        Ok(())
    }
}

impl Editor {
    /// Takes blocks for a journal that holds the transaction; false where there is no room for it, or
    /// the journal cannot be made larger.
    pub(super) fn enlarge(&mut self) -> Result<bool> {
        let Some(log) = &self.log else {
            return Ok(false);
        };
        let changed = u64::try_from(self.volume.overlay.changed_len()).unwrap_or(u64::MAX);
        let groups = u64::from(self.volume.superblock.groups());
        // What growing changes itself: bitmaps and descriptors of groups, nodes of the map, the inode and
        // the superblock.
        let own = |more: u64| 2 * groups.min(more) + more / 256 + 16;
        let needed = log.needed(changed);
        let more = needed + log.needed(own(2 * needed));
        if log.needed(own(more)) > log.room() || self.volume.takeable() < more + own(more) {
            return Ok(false);
        }
        let blocks = log.blocks();
        let enlarged = self.change(|volume| Enlarged::take(volume, more, blocks))?;
        self.volume.flush()?;
        let changed = self.volume.overlay.changed_numbers();
        let log = self.log.as_ref();
        if !log.is_some_and(|log| log.would_hold(&changed, more)) {
            self.change(|volume| enlarged.release(volume))?;
            self.volume.flush()?;
            return Ok(false);
        }
        self.enlarged = Some(enlarged);
        Ok(true)
    }

    /// Makes the journal larger in the image, and takes it as it is then.
    pub(super) fn grow_journal(&mut self, enlarged: &Enlarged) -> Result<()> {
        let mut grow = self.again()?;
        for run in &enlarged.taken {
            grow.volume.take_exactly(*run)?;
        }
        grow.volume.put_shape(enlarged.number, &enlarged.large)?;
        grow.commit_small()?;
        let log = self.again()?.log.ok_or_else(lost)?;
        self.set_log_len(&log, enlarged.blocks.0)?;
        let now = self.again()?;
        self.log = now.log;
        self.volume.superblock = now.volume.superblock;
        Ok(())
    }

    /// Makes the journal as small as it was.
    pub(super) fn shrink_journal(&self, enlarged: &Enlarged) -> Result<()> {
        let log = self.again()?.log.ok_or_else(lost)?;
        self.set_log_len(&log, enlarged.blocks.1)?;
        let mut shrink = self.again()?;
        enlarged.release(&mut shrink.volume)?;
        shrink.commit_small()
    }

    /// Begins a transaction of its own on the image as it is by now.
    fn again(&self) -> Result<Self> {
        Self::over(Arc::clone(&self.store), self.volume.time)
    }

    fn commit_small(mut self) -> Result<()> {
        let planned = self.plan_in_place()?;
        let mut changed = self.volume.overlay.take_changed();
        match (planned.way, &self.log) {
            (Way::Journal, Some(log)) => self.through_journal(log, &mut changed),
            _ => Err(EditError::NoJournal {
                blocks: planned.blocks,
            }),
        }
    }

    fn set_log_len(&self, log: &Log, blocks: u32) -> Result<()> {
        let (at, bytes) = log.superblock_of(blocks);
        let offset = at.0 * self.volume.block_size();
        self.store.write_at(offset, &bytes)?;
        Ok(self.store.sync()?)
    }
}

fn lost() -> EditError {
    damaged("the journal is gone")
}

impl Volume {
    /// Returns how many blocks can be taken.
    fn takeable(&self) -> u64 {
        let groups = self.groups.list.iter();
        groups.map(|group| u64::from(group.takeable_blocks())).sum()
    }

    /// Returns an inode and the nodes of its map as they are now.
    fn shape(&mut self, number: InodeNo, map: &Map) -> Result<Shape> {
        let raw = self.node(number)?.raw;
        let node = |block: &BlockNo| Ok((*block, self.overlay.view(*block, <[u8]>::to_vec)?));
        let nodes = map.nodes.iter().map(node).collect::<Result<_>>()?;
        Ok(Shape { raw, nodes })
    }

    /// Gives the journal's inode another map and length.
    fn put_shape(&mut self, number: InodeNo, shape: &Shape) -> Result<()> {
        let mut node = self.node(number)?;
        node.raw = shape.raw;
        self.save(&mut node)?;
        for (block, bytes) in &shape.nodes {
            self.overlay.put(*block, bytes);
        }
        self.back_up_journal(&shape.raw);
        Ok(())
    }

    /// Copies the journal's inode into the superblock, where there is a copy already.
    fn back_up_journal(&mut self, inode: &RawInode) {
        if self.raw.s_jnl_backup_type == JOURNAL_BACKUP_BLOCKS {
            self.raw.set_journal_backup(inode);
        }
    }

    /// Takes blocks that must be free.
    fn take_exactly(&mut self, run: Run) -> Result<()> {
        let (mut block, end) = (run.start, after(run.start, run.len));
        while block < end {
            let group = self.superblock.group_of(block);
            let start = self.superblock.group_start(group);
            let rest = after(start, self.superblock.group_blocks(group)).0 - block.0;
            let len = rest.min(end.0 - block.0);
            let bit = |block: u64| u32::try_from(block - start.0).unwrap_or(u32::MAX);
            let taken = self.claim(group, bit(block.0), bit(block.0 + len))?;
            if u64::from(taken) != len {
                return Err(damaged(format!("block {} is not free any more", block.0)));
            }
            block = after(block, len);
        }
        Ok(())
    }
}
