//! What a change of the filesystem's size needs of a transaction; what changes is decided in
//! [`resize`](crate::ext4::resize).

use std::io::IoSlice;
use std::os::unix::fs::FileExt;

use forger_block::{BlockRead, Error, Run};

use super::batch::Batch;
use super::bits;
use super::commit::{Changed, Committed, Way, replace};
use super::error::{Result, damaged};
use super::groups::sums;
use super::log::Log;
use super::sector::recovering;
use super::volume::{place, sealed};
use super::{Editor, LockedFile, Superblock};
use crate::ext4::group_desc::{BLOCK_UNINIT, INODE_UNINIT, RawGroupDesc};
use crate::ext4::inode::RawInode;
use crate::ext4::superblock::{OFFSET, RawSuperblock};
use crate::ext4::{BlockNo, GroupNo, InodeNo};

/// Bytes that are looked at at a time.
const PIECE: u64 = 1 << 20;

/// What is written before the commit, because nobody sees it until then.
pub(in crate::ext4) trait Beyond {
    /// Returns the blocks of descriptors inside the old filesystem with the new groups' descriptors in
    /// them, and those of the other groups as they are.
    ///
    /// They are there before the superblock speaks of them: Linux reads them before it replays
    /// the journal.
    fn early(&self) -> &[(BlockNo, Vec<u8>)];

    /// Gives what stands behind the old end of the filesystem.
    ///
    /// Calls `write` with bytes and their offset, and `zero` with offset and length of what must
    /// read as zeros.
    fn emit(
        &self,
        write: &mut dyn FnMut(u64, &[u8]) -> forger_block::Result<()>,
        zero: &mut dyn FnMut(u64, u64) -> forger_block::Result<()>,
    ) -> forger_block::Result<()>;
}

impl Editor {
    /// Returns the superblock as it was at the opening.
    pub(in crate::ext4) fn superblock(&self) -> &Superblock {
        &self.volume.superblock
    }

    /// Returns the length of what the filesystem stands in, in bytes.
    pub(in crate::ext4) fn len(&self) -> u64 {
        self.store.len()
    }

    /// Returns the length that the image cannot have more than, in bytes; none for a file.
    pub(in crate::ext4) fn fixed_len(&self) -> Option<u64> {
        match self.regular() {
            Some(_) => None,
            None => Some(self.store.len()),
        }
    }

    /// Returns the place of the first byte behind the filesystem that is not zero. Only a file is
    /// looked at: what a device holds there belongs to nobody.
    pub(in crate::ext4) fn trailing(&self) -> Result<Option<u64>> {
        let Some(file) = self.regular() else {
            return Ok(None);
        };
        let mut at = self.volume.superblock.size();
        let mut buffer = Vec::new();
        while at < file.len() {
            match file.run_at(at)? {
                Run::Hole(hole) => at = at.saturating_add(hole.max(1)),
                Run::Data(data) => {
                    let step = data.clamp(1, PIECE).min(file.len() - at);
                    buffer.resize(usize::try_from(step).unwrap_or(0), 0);
                    file.read_at(at, &mut buffer)?;
                    if let Some(first) = (at..).zip(&buffer).find(|(_, byte)| **byte != 0) {
                        return Ok(Some(first.0));
                    }
                    at += step;
                }
            }
        }
        Ok(None)
    }

    /// Returns a group's descriptor as it was at the opening.
    pub(in crate::ext4) fn descriptor(&mut self, group: GroupNo) -> Result<RawGroupDesc> {
        Ok(self.volume.groups.get(group)?.desc)
    }

    /// Returns a group's verified block bitmap, or none where it was never written.
    pub(in crate::ext4) fn block_bitmap(&mut self, group: GroupNo) -> Result<Option<Vec<u8>>> {
        let volume = &mut self.volume;
        let flags = volume.groups.get(group)?.desc.bg_flags.get();
        if sums(&volume.superblock) && flags & BLOCK_UNINIT != 0 {
            return Ok(None);
        }
        let groups = &mut volume.groups;
        let group = groups.with_blocks(group, &volume.superblock, &volume.overlay)?;
        // Taken out again, so that not all bitmaps are held at once.
        Ok(group.blocks.take().map(|map| map.bits))
    }

    /// Checks that no inode of a group is in use.
    pub(in crate::ext4) fn check_no_inodes(&mut self, group: GroupNo) -> Result<()> {
        let volume = &mut self.volume;
        let flags = volume.groups.get(group)?.desc.bg_flags.get();
        if sums(&volume.superblock) && flags & INODE_UNINIT != 0 {
            return Ok(());
        }
        let groups = &mut volume.groups;
        let found = groups.with_inodes(group, &volume.superblock, &volume.overlay)?;
        let count = volume.superblock.inodes_per_group();
        let map = found.inodes.take();
        if map.is_some_and(|map| bits::count_clear(&map.bits, count) == count) {
            return Ok(());
        }
        let number = group.0;
        Err(damaged(format!(
            "group {number} has inodes in use, but says it has not"
        )))
    }

    /// Returns a block of metadata as the transaction leaves it.
    pub(in crate::ext4) fn block(&self, block: BlockNo) -> Result<Vec<u8>> {
        Ok(self.volume.overlay.view(block, <[u8]>::to_vec)?)
    }

    /// Gives a block of metadata a content.
    pub(in crate::ext4) fn put_block(&self, block: BlockNo, bytes: &[u8]) -> Result<()> {
        if self.volume.overlay.view(block, |now| now != bytes)? {
            self.volume.overlay.put(block, bytes);
        }
        Ok(())
    }

    /// Changes an inode's fields.
    pub(in crate::ext4) fn change_inode<T>(
        &mut self,
        number: InodeNo,
        change: impl FnOnce(&mut RawInode) -> T,
    ) -> Result<T> {
        let mut node = self.volume.node(number)?;
        let result = change(&mut node.raw);
        self.volume.save(&mut node)?;
        Ok(result)
    }

    /// Commits a change of size: `raw` is the superblock for it. Where the journal has room, what
    /// lies behind the old end comes first, then everything else in one transaction, and at last a
    /// file is cut off.
    ///
    /// # Errors
    /// As [`commit`](Self::commit).
    pub(in crate::ext4) fn commit_resized(
        mut self,
        raw: RawSuperblock,
        beyond: &dyn Beyond,
    ) -> Result<Committed> {
        self.volume.raw = raw;
        let planned = self.plan_in_place()?;
        let planned = self.check_way(planned)?;
        let before = self.volume.superblock.size();
        let after = Superblock::parse(&sealed(&self.volume.raw, &self.volume.superblock))?.size();
        let mut changed = self.volume.overlay.take_changed();
        match (planned.way, &self.log, &self.file) {
            (Way::Journal, Some(log), _) => {
                self.write_beyond(after, beyond)?;
                self.through_journal_with(log, &mut changed, beyond.early())?;
                if after < before
                    && let Some(file) = self.regular()
                {
                    set_len(file, after)?;
                }
            }
            (Way::Copy, _, Some(file)) => {
                let len = self.len_after(file, after);
                self.on_copy(file, &changed, len, Some(beyond))?;
            }
            (Way::Copy, ..) => self.at_once(&changed, Some(beyond))?,
            _ => {}
        }
        Ok(planned)
    }

    /// As for other changes, but the superblock that asks for the replay has the new size already:
    /// Linux takes the size from it before it replays anything.
    fn through_journal_with(
        &self,
        log: &Log,
        changed: &mut [Changed],
        early: &[(BlockNo, Vec<u8>)],
    ) -> Result<()> {
        let store = &*self.store;
        let block_size = self.volume.block_size();
        let superblock = &self.volume.superblock;
        let marked = sealed(&recovering(&self.volume.raw), superblock);
        let (home, at) = place(block_size, OFFSET);
        replace(changed, home, at, &marked);
        let write = |(block, bytes): (BlockNo, &[u8])| {
            store.write_at(block.0.saturating_mul(block_size), bytes)
        };
        let changed = &*changed;
        let mut write_parts =
            |offset, parts: &mut [IoSlice<'_>]| store.write_parts_at(offset, parts);
        let mut batch = Batch::new(&mut write_parts);
        log.write(changed, log.describe(changed), self.volume.time, &mut batch)?;
        batch.flush()?;
        store.sync()?;
        let (at, bytes) = log.superblock(true);
        write((at, &bytes))?;
        store.sync()?;
        for (block, bytes) in early {
            write((*block, bytes))?;
        }
        store.sync()?;
        store.write_at(OFFSET, &marked)?;
        store.sync()?;
        for (block, bytes) in changed {
            batch.put(block.0.saturating_mul(block_size), &**bytes)?;
        }
        batch.flush()?;
        store.sync()?;
        let (at, bytes) = log.superblock(false);
        write((at, &bytes))?;
        store.sync()?;
        store.write_at(OFFSET, &sealed(&self.volume.raw, superblock))?;
        Ok(store.sync()?)
    }

    /// Makes a file longer where it must be, and writes what lies behind the old end. A failure
    /// leaves the file as it was.
    fn write_beyond(&self, after: u64, beyond: &dyn Beyond) -> Result<()> {
        let Some(file) = self.regular() else {
            let store = &*self.store;
            return Ok(beyond.emit(
                &mut |offset, data| store.write_at(offset, data),
                &mut |offset, len| zeros(len, |at, data| store.write_at(offset + at, data)),
            )?);
        };
        let len = self.len_after(file, after);
        let write = || {
            if len > file.len() {
                set_len(file, len)?;
            }
            // What is there reads as zeros: it is new, or was looked at.
            beyond.emit(
                &mut |offset, data| {
                    let written = file.file().write_all_at(data, offset);
                    written.map_err(|error| io("write", file, error))
                },
                &mut |_, _| Ok(()),
            )
        };
        write().map_err(|error| {
            // The error that led here says more than one of tidying up.
            let _ = set_len(file, file.len());
            error.into()
        })
    }

    /// A file that grows keeps what length it has, one that shrinks ends with the filesystem.
    fn len_after(&self, file: &LockedFile, after: u64) -> u64 {
        if self.part.is_some() {
            file.len()
        } else if after < self.volume.superblock.size() {
            after
        } else {
            after.max(file.len())
        }
    }

    /// Returns the file whose length is that of the image.
    fn regular(&self) -> Option<&LockedFile> {
        let file = self.file.as_deref().filter(|_| self.part.is_none());
        file.filter(|file| is_regular(file))
    }
}

fn is_regular(file: &LockedFile) -> bool {
    let metadata = file.file().metadata();
    metadata.is_ok_and(|metadata| metadata.file_type().is_file())
}

fn set_len(file: &LockedFile, len: u64) -> forger_block::Result<()> {
    let done = file.file().set_len(len);
    done.map_err(|error| io("resize", file, error))
}

fn io(operation: &'static str, file: &LockedFile, error: std::io::Error) -> Error {
    Error::io(operation, file.path().display().to_string(), error)
}

fn zeros(
    len: u64,
    mut write: impl FnMut(u64, &[u8]) -> forger_block::Result<()>,
) -> forger_block::Result<()> {
    let block = vec![0; usize::try_from(PIECE.min(len)).unwrap_or(0)];
    let mut at = 0;
    while at < len {
        let step = PIECE.min(len - at);
        write(at, &block[..usize::try_from(step).unwrap_or(0)])?;
        at += step;
    }
    Ok(())
}
