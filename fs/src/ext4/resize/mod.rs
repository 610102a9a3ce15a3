//! Resizing ext2, ext3 and ext4 images that nobody has mounted.
//!
//! A filesystem grows behind its end: the last group is filled up, new groups follow, and their
//! descriptors take blocks from the reserve that the resize inode keeps (or stand in the new groups,
//! with `meta_bg`). It shrinks as far as nothing in use stands in the way; nothing is moved. Both come
//! to the numbers of blocks and inodes that resize2fs comes to.
//!
//! | step | what it decides |
//! |---|---|
//! | [`target`] | the superblock of the new size |
//! | [`usage`] | what is in use, and so the smallest size |
//! | [`kept`] | bitmaps and descriptors of the groups that stay |
//! | [`fresh`] | places and descriptors of new groups |
//! | [`reserve`] | the resize inode |
//! | [`plan`] | descriptors, copies, and what goes where |
//!
//! The commit is that of [`Editor`], with one difference. What lies behind the old end is written first
//! and is seen by nobody. Then everything inside changes in one transaction of the journal, or on a copy
//! where that has no room. The superblock that asks for the replay has the new size already, and the
//! descriptors of new groups stand in their places before that: Linux looks at both before it
//! replays the journal, and would go on with the old size.
//!
//! An interruption at any moment leaves the image as before or as after, for whoever replays the
//! journal. In one short moment, before the superblock is written, e2fsck finds the lists of reserved
//! descriptor blocks overwritten by descriptors; it makes them anew, and the image is as before.

mod bits;
mod error;
mod fresh;
mod kept;
mod plan;
mod reserve;
mod target;
mod usage;

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

pub use self::error::ResizeError;

use self::error::Result;
use self::plan::Plan;
use self::usage::Usage;
use super::edit::{Committed, Editor, LockedFile, Store, Way};
use super::read::Superblock;
use crate::tree::Time;

/// An image that is going to be resized, locked.
#[derive(Debug)]
pub struct Resizer {
    editor: Editor,
    usage: Option<Usage>,
}

impl Resizer {
    /// Opens and locks an image file or a block device; `time` becomes that of the last write.
    ///
    /// # Errors
    /// As [`Editor::open`], and [`ResizeError::Layout`] for what cannot be resized.
    pub fn open(path: impl AsRef<Path>, time: Time) -> Result<Self> {
        Self::new(Editor::open(path, time)?)
    }

    /// Takes an image file; `time` becomes that of the last write.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn locked(file: LockedFile, time: Time) -> Result<Self> {
        Self::new(Editor::locked(file, time)?)
    }

    /// Takes an image of any kind, which the caller keeps to itself, and in which the new size has
    /// room.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn over(store: Arc<dyn Store>, time: Time) -> Result<Self> {
        Self::new(Editor::over(store, time)?)
    }

    /// Takes a part of a file, such as a partition of a disk, in which the new size has room.
    ///
    /// # Errors
    /// As [`Editor::within`].
    pub fn within(file: LockedFile, range: Range<u64>, time: Time) -> Result<Self> {
        Self::new(Editor::within(file, range, time)?)
    }

    /// Takes an image that nobody sees before the caller has made something of it, in which the new
    /// size has room.
    ///
    /// # Errors
    /// As [`Editor::unseen`].
    pub fn unseen(store: Arc<dyn Store>, time: Time) -> Result<Self> {
        Self::new(Editor::unseen(store, time)?)
    }

    fn new(editor: Editor) -> Result<Self> {
        let superblock = editor.superblock();
        if superblock.cluster_start() != 0 {
            return Err(ResizeError::Layout {
                what: "blocks of 1 KiB that begin at block 0",
            });
        }
        if !superblock.inodes_per_group().is_multiple_of(8) {
            return Err(ResizeError::Layout {
                what: "a number of inodes in a group that is no multiple of 8",
            });
        }
        Ok(Self {
            editor,
            usage: None,
        })
    }

    /// Returns what the superblock says.
    #[must_use]
    pub fn superblock(&self) -> &Superblock {
        self.editor.superblock()
    }

    /// Returns the smallest size that is possible without moving anything, in bytes.
    ///
    /// # Errors
    /// [`ResizeError::Edit`] for an image that cannot be read or is damaged.
    pub fn smallest(&mut self) -> Result<u64> {
        self.fitting(0)
    }

    /// Returns the largest size that the room for group descriptors allows, in bytes.
    #[must_use]
    pub fn largest(&self) -> u64 {
        let superblock = self.superblock();
        let most = target::most_blocks(superblock).max(superblock.blocks());
        most << superblock.block_bits()
    }

    /// Returns the length of the file or device that the filesystem stands in, in bytes.
    #[must_use]
    pub fn room(&self) -> u64 {
        self.editor.len()
    }

    fn fitting(&mut self, blocks: u64) -> Result<u64> {
        let usage = match self.usage.take() {
            Some(usage) => usage,
            None => Usage::find(&mut self.editor)?,
        };
        let superblock = self.editor.superblock();
        let fitting = usage.fitting(superblock, blocks) << superblock.block_bits();
        self.usage = Some(usage);
        Ok(fitting)
    }

    /// Decides all that a size in bytes takes; nothing is written. The size is rounded down to whole
    /// blocks, and a last group that would be too small for its own metadata is left out.
    ///
    /// # Errors
    /// [`ResizeError::TooSmall`], [`ResizeError::Reserve`], [`ResizeError::TooLarge`] and
    /// [`ResizeError::Device`] for a size that is not possible, [`ResizeError::Trailing`] where something
    /// stands behind the filesystem, [`ResizeError::Edit`] for damage.
    pub fn plan(mut self, size: u64) -> Result<Planned> {
        let old = self.editor.superblock().clone();
        let blocks = size >> old.block_bits();
        let target = target::target(&old, blocks)?;
        let small = target
            .as_ref()
            .is_none_or(|new| new.blocks() < old.blocks());
        if small {
            let wanted = target.as_ref().map_or(blocks, Superblock::blocks);
            let smallest = self.fitting(wanted)?;
            if target.is_none() || smallest > wanted << old.block_bits() {
                let wanted = size;
                return Err(ResizeError::TooSmall { wanted, smallest });
            }
        }
        let new = target.ok_or(ResizeError::TooSmall {
            wanted: size,
            smallest: old.size(),
        })?;
        let sizes = Sizes {
            before: old.size(),
            after: new.size(),
            groups: new.groups(),
            inodes: new.inodes(),
        };
        if new.blocks() == old.blocks() {
            return Ok(Planned {
                editor: self.editor,
                plan: None,
                sizes,
            });
        }
        if let Some(len) = self.editor.fixed_len().filter(|len| new.size() > *len) {
            let wanted = size;
            return Err(ResizeError::Device { wanted, len });
        }
        if let Some(offset) = self.editor.trailing()? {
            let end = old.size();
            return Err(ResizeError::Trailing { end, offset });
        }
        let plan = plan::plan(&mut self.editor, new)?;
        Ok(Planned {
            editor: self.editor,
            plan: Some(Box::new(plan)),
            sizes,
        })
    }
}

#[derive(Clone, Copy, Debug)]
struct Sizes {
    before: u64,
    after: u64,
    groups: u32,
    inodes: u32,
}

/// A change of size that is possible, not yet made; the image is locked.
#[derive(Debug)]
pub struct Planned {
    editor: Editor,
    plan: Option<Box<Plan>>,
    sizes: Sizes,
}

impl Planned {
    /// Returns the filesystem's size as it is, in bytes.
    #[must_use]
    pub fn before(&self) -> u64 {
        self.sizes.before
    }

    /// Returns the size that it will have, in bytes; at most what was asked for.
    #[must_use]
    pub fn after(&self) -> u64 {
        self.sizes.after
    }

    /// Returns how many groups there will be.
    #[must_use]
    pub fn groups(&self) -> u32 {
        self.sizes.groups
    }

    /// Returns how many inodes there will be.
    #[must_use]
    pub fn inodes(&self) -> u32 {
        self.sizes.inodes
    }

    /// Makes the change, and makes it durable. A file becomes longer before, or is cut off after
    /// that.
    ///
    /// # Errors
    /// As [`Editor::commit`].
    pub fn commit(self) -> Result<Committed> {
        let Some(plan) = self.plan else {
            return Ok(Committed {
                way: Way::Nothing,
                blocks: 0,
            });
        };
        let raw = plan.raw.clone();
        Ok(self.editor.commit_resized(raw, &*plan)?)
    }
}

#[cfg(test)]
mod tests;
