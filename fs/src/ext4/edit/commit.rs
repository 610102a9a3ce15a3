//! The commit: contents to free blocks, metadata through the journal or on a copy.

use forger_block::BlockRead;

use super::Editor;
use super::error::{EditError, Result};
use super::log::{Log, Placed};
use super::volume::{place, sealed};
use crate::ext4::BlockNo;
use crate::ext4::features::incompat;
use crate::ext4::superblock::{OFFSET, RawSuperblock, SIZE};

/// How a transaction came into the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Way {
    /// There was nothing to change.
    Nothing,
    /// Through the image's journal.
    Journal,
    /// On a copy, which took the image's name.
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
    /// # Errors
    /// [`EditError::Broken`] after an operation that failed half-way; [`EditError::NoJournal`] and
    /// [`EditError::NoRoomForCopy`], which change nothing; [`EditError::Block`], after which the image is as
    /// before or as after once its journal is replayed.
    pub fn commit(mut self) -> Result<Committed> {
        if self.broken {
            return Err(EditError::Broken);
        }
        self.volume.flush()?;
        let changed = self.volume.overlay.changed();
        let blocks = u64::try_from(changed.len()).unwrap_or(u64::MAX);
        if changed.is_empty() && self.volume.contents.is_empty() {
            return Ok(Committed {
                way: Way::Nothing,
                blocks,
            });
        }
        let logged = self.with_recover(&changed)?;
        let log = Log::find(&mut self.volume)?;
        let transaction = log.and_then(|log| {
            let blocks = log.transaction(&logged, self.volume.time)?;
            Some((log, blocks))
        });
        if let Some((log, transaction)) = transaction {
            self.through_journal(&log, &transaction, &logged)?;
            return Ok(Committed {
                way: Way::Journal,
                blocks,
            });
        }
        let Some(file) = &self.file else {
            return Err(EditError::NoJournal { blocks });
        };
        super::copy::replace(file, &self.volume, &changed, file.len(), None)?;
        Ok(Committed {
            way: Way::Copy,
            blocks,
        })
    }

    /// Returns the changed blocks, with a superblock that says that the journal must be replayed.
    pub(super) fn with_recover(&self, changed: &[Changed]) -> Result<Vec<Changed>> {
        let (home, at) = place(self.volume.block_size(), OFFSET);
        let bytes = self.recovering(&self.volume.raw);
        let mut logged = changed.to_vec();
        for (block, old) in &mut logged {
            if *block == home {
                old[at..at + SIZE].copy_from_slice(&bytes);
            }
        }
        Ok(logged)
    }

    pub(super) fn recovering(&self, raw: &RawSuperblock) -> [u8; SIZE] {
        let mut raw = raw.clone();
        raw.s_feature_incompat = (raw.s_feature_incompat.get() | incompat::RECOVER).into();
        sealed(&raw, &self.volume.superblock)
    }

    fn through_journal(&self, log: &Log, transaction: &[Placed], logged: &[Changed]) -> Result<()> {
        let store = &*self.store;
        let block_size = self.volume.block_size();
        self.volume
            .contents
            .write(block_size, &mut |offset, data| store.write_at(offset, data))?;
        for (block, bytes) in transaction {
            store.write_at(block.0 * block_size, bytes)?;
        }
        store.sync()?;
        // From here on the change is there for whoever replays the journal.
        let (at, bytes) = log.superblock(true);
        store.write_at(at.0 * block_size, &bytes)?;
        store.sync()?;
        let before = self.recovering(self.volume.superblock.raw());
        store.write_at(OFFSET, &before)?;
        store.sync()?;
        for (block, bytes) in logged {
            store.write_at(block.0 * block_size, bytes)?;
        }
        store.sync()?;
        let (at, bytes) = log.superblock(false);
        store.write_at(at.0 * block_size, &bytes)?;
        store.sync()?;
        let after = sealed(&self.volume.raw, &self.volume.superblock);
        store.write_at(OFFSET, &after)?;
        Ok(store.sync()?)
    }
}

/// A block of metadata as it will be.
pub(super) type Changed = (BlockNo, Box<[u8]>);
