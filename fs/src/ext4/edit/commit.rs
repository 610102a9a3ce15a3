//! The commit: contents to free blocks, metadata through the journal or on a copy.

use std::io::IoSlice;
use std::thread;

use forger_block::{BlockRead, Bytes};

use super::Editor;
use super::allocate::Run;
use super::batch::Batch;
use super::error::{EditError, Result};
use super::log::Log;
use super::sector::{SECTOR, Sectors};
use super::volume::place;
use crate::ext4::BlockNo;
use crate::ext4::superblock::OFFSET;

/// How a transaction came into the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Way {
    /// There was nothing to change.
    Nothing,
    /// Through the image's journal.
    Journal,
    /// Through the image's journal, which was made larger for it meanwhile.
    LargerJournal,
    /// On a copy, which took the image's name; or at once, where nobody sees the image before.
    Copy,
}

/// What a commit did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Committed {
    /// How.
    pub way: Way,
    /// Blocks of metadata that changed.
    pub blocks: u64,
}

impl Editor {
    /// Makes the change, and makes it durable.
    ///
    /// Blocks that the change gives back are zeros or holes in the image then, and so is what the
    /// journal still had of earlier changes: nothing that was removed or replaced can be found, unless
    /// [`keep_removed`](Self::keep_removed) was asked for.
    ///
    /// # Errors
    /// [`EditError::Broken`] after an operation that failed half-way; [`EditError::NoJournal`],
    /// [`EditError::NoRoomForCopy`] and [`EditError::Names`], which change nothing;
    /// [`EditError::Block`], after which the image is as before or as after once its journal is
    /// replayed.
    pub fn commit(mut self) -> Result<Committed> {
        let planned = self.plan()?;
        let enlarged = self.enlarged.take();
        if let Some(enlarged) = &enlarged {
            self.grow_journal(enlarged)?;
        }
        let mut changed = self.volume.overlay.take_changed();
        let known = self.volume.forget_names();
        thread::scope(|scope| {
            scope.spawn(|| drop(known));
            self.make_durable(planned.way, &mut changed)
        })?;
        if let Some(enlarged) = &enlarged {
            self.shrink_journal(enlarged)?;
        }
        Ok(planned)
    }

    fn make_durable(&self, way: Way, changed: &mut [Changed]) -> Result<()> {
        match (way, &self.log, &self.file) {
            (Way::Journal | Way::LargerJournal, Some(log), _) => self.through_journal(log, changed),
            (Way::Copy, _, Some(file)) => self.on_copy(file, changed, file.len(), None),
            (Way::Copy, ..) => self.at_once(changed, None),
            _ => Ok(()),
        }
    }

    /// Tells what [`commit`](Self::commit) would do, and whether it could; changes nothing in the image.
    ///
    /// # Errors
    /// Those of [`commit`](Self::commit) that change nothing.
    pub fn plan(&mut self) -> Result<Committed> {
        self.ahead = None;
        if let Some(enlarged) = self.enlarged.take() {
            self.change(|volume| enlarged.release(volume))?;
        }
        let planned = self.plan_in_place()?;
        if planned.way == Way::Copy && !self.unseen && self.enlarge()? {
            let way = Way::LargerJournal;
            return Ok(Committed { way, ..planned });
        }
        self.check_way(planned)
    }

    /// Tells how the change can be made without making the journal larger.
    pub(super) fn plan_in_place(&mut self) -> Result<Committed> {
        if self.broken {
            return Err(EditError::Broken);
        }
        self.volume.flush()?;
        let changed = self.volume.overlay.changed_numbers();
        let blocks = u64::try_from(changed.len()).unwrap_or(u64::MAX);
        let way = if changed.is_empty() && self.volume.contents.is_empty() {
            Way::Nothing
        } else if !self.unseen && self.log.as_ref().is_some_and(|log| log.holds(&changed)) {
            Way::Journal
        } else {
            Way::Copy
        };
        Ok(Committed { way, blocks })
    }

    /// Checks that what has to be done on a copy can be.
    pub(super) fn check_way(&self, planned: Committed) -> Result<Committed> {
        if planned.way == Way::Copy && !self.unseen {
            let blocks = planned.blocks;
            let file = self.file.as_ref().ok_or(EditError::NoJournal { blocks })?;
            super::copy::check(file, &self.volume, blocks)?;
        }
        Ok(planned)
    }

    /// Returns the blocks that become zeros.
    pub(super) fn given_back(&self) -> Vec<Run> {
        if self.keep_removed {
            return Vec::new();
        }
        self.volume.groups.given_back(&self.volume.superblock)
    }

    /// Writes contents and log; then says that the log is to be replayed; then does what it says; then
    /// says that it is done. Each step is durable before the next begins.
    pub(super) fn through_journal(&self, log: &Log, changed: &mut [Changed]) -> Result<()> {
        let block_size = self.volume.block_size();
        let sectors = Sectors::new(&self.volume.superblock, &self.volume.raw);
        let (home, at) = place(block_size, OFFSET);
        replace(changed, home, at, &sectors.home);
        let (store, changed) = (&*self.store, &*changed);
        let mut write = |offset, parts: &mut [IoSlice<'_>]| store.write_parts_at(offset, parts);
        let mut batch = Batch::new(&mut write);
        let descriptors: Result<_> = thread::scope(|scope| {
            let descriptors = scope.spawn(|| log.describe(changed));
            self.volume.contents.write(block_size, &mut batch)?;
            if !self.keep_removed {
                log.erase(block_size, store)?;
            }
            match descriptors.join() {
                Ok(descriptors) => Ok(descriptors),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        });
        log.write(changed, descriptors?, self.volume.time, &mut batch)?;
        if let Some(second) = &sectors.second {
            batch.put(OFFSET + SECOND, &second[..])?;
        }
        batch.flush()?;
        store.sync()?;

        // From here on the change is there for whoever replays the journal.
        let (at, bytes) = log.superblock(true);
        store.write_at(at.0 * block_size, &bytes)?;
        store.write_at(OFFSET, &sectors.marked[..SECTOR])?;
        store.sync()?;

        for (block, bytes) in changed {
            batch.put(block.0 * block_size, &**bytes)?;
        }
        for run in self.given_back() {
            let (at, len) = (run.start.0 * block_size, run.len * block_size);
            match usize::try_from(len) {
                Ok(len) if len <= WIPED => batch.zeros(at, len)?,
                _ => store.erase(at, len)?,
            }
        }
        batch.flush()?;
        store.sync()?;

        let (at, bytes) = log.superblock(false);
        store.write_at(at.0 * block_size, &bytes)?;
        store.write_at(OFFSET, &sectors.after[..SECTOR])?;
        Ok(store.sync()?)
    }
}

/// Replaces bytes of a block that changes.
pub(super) fn replace(changed: &mut [Changed], block: BlockNo, at: usize, part: &[u8]) {
    for (_, bytes) in changed.iter_mut().filter(|(number, _)| *number == block) {
        let mut new = bytes.to_vec();
        new[at..at + part.len()].copy_from_slice(part);
        *bytes = new.into();
    }
}

/// Ranges up to this length, in bytes, become zeros by being written: cheaper than having the filesystem
/// below the image note each of them.
const WIPED: usize = 64 << 10;
/// Where the superblock's second sector starts in it.
const SECOND: u64 = 512;

/// A block of metadata as it will be.
pub(super) type Changed = (BlockNo, Bytes);
