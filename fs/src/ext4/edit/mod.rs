//! Editing ext2, ext3 and ext4 images in place, as one transaction.
//!
//! An [`Editor`] locks an image, takes operations, and changes nothing in the image until
//! [`commit`](Editor::commit). Every operation checks what it needs before it changes anything of the
//! transaction; what cannot be kept right is refused by name. All changes of metadata are whole blocks
//! that lie over the image's; new contents go to blocks that were free when the transaction began.
//!
//! A commit writes the contents to their free blocks first. Then, where the image has a journal of its
//! own and the metadata fits, they go into it as one transaction, and from there to their places: an
//! interruption at any moment leaves an image that is, once the journal is replayed (by the kernel,
//! `e2fsck -fy` or forger), as before or as after. A journal that is too small is made larger
//! for the transaction, from free blocks. Where there are not enough of them, or there is no journal,
//! the change is made on a copy, which takes the image's name when it is durable.
//!
//! Times come from the caller; nothing here reads a clock. New inodes do not inherit anything from
//! their folder (flags, default ACLs, setgid).

mod ahead;
mod allocate;
mod attributes;
mod batch;
mod bits;
mod change;
mod commit;
mod content;
mod copy;
mod enlarge;
mod error;
mod folder;
mod groups;
mod grow;
mod identity;
mod index;
mod leaf;
mod log;
mod make;
mod map;
mod names;
mod node;
mod numbers;
mod overlay;
mod path;
mod refuse;
mod remove;
mod rename;
mod resized;
mod sector;
mod store;
mod volume;

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use forger_block::{BlockRead, StoreWindow};

pub use self::commit::{Committed, Way};
pub use self::error::EditError;
pub use self::make::Special;
pub use self::store::{LockedFile, Store};

pub(in crate::ext4) use self::groups::put_desc;
pub(in crate::ext4) use self::resized::Beyond;
pub(in crate::ext4) use self::volume::sealed;

use self::ahead::Ahead;
use self::enlarge::Enlarged;
use self::error::Result;
use self::log::Log;
use self::volume::Volume;
use super::read::{FileType, Superblock, read_superblock};
use crate::tree::Time;

/// From so many operations on there are likely many more.
const MANY: u32 = 16;

/// A transaction on an image.
#[derive(Debug)]
pub struct Editor {
    volume: Volume,
    store: Arc<dyn Store>,
    /// The image as a file, which a copy can replace.
    file: Option<Arc<LockedFile>>,
    /// Where the filesystem starts in the file, in bytes, when it is a part of it.
    part: Option<u64>,
    /// Nobody sees the store before it is whole.
    unseen: bool,
    log: Option<Log>,
    /// The journal that the transaction needs, where it is not the one that is there.
    enlarged: Option<Enlarged>,
    /// An operation failed after it had begun to change things.
    broken: bool,
    /// What is given back is left as it is.
    keep_removed: bool,
    /// How many operations there were.
    changes: u32,
    /// What reads metadata ahead of them, when there are many.
    ahead: Option<Ahead>,
}

impl Editor {
    /// Opens and locks an image file; `time` becomes that of all changes.
    ///
    /// # Errors
    /// [`EditError::Locked`], [`EditError::State`] for a filesystem that is not clean,
    /// [`EditError::Features`], [`EditError::Read`].
    pub fn open(path: impl AsRef<Path>, time: Time) -> Result<Self> {
        Self::locked(LockedFile::open(path.as_ref())?, time)
    }

    /// Begins a transaction on an image file; `time` becomes that of all changes.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn locked(file: LockedFile, time: Time) -> Result<Self> {
        let file = Arc::new(file);
        let store: Arc<dyn Store> = Arc::<LockedFile>::clone(&file);
        let mut editor = Self::over(store, time)?;
        editor.file = Some(file);
        Ok(editor)
    }

    /// Begins a transaction on a part of a file, such as a partition of a disk; nothing else of the
    /// file changes.
    ///
    /// # Errors
    /// As [`open`](Self::open); [`EditError::Block`] for a range that does not lie inside the file.
    pub fn within(file: LockedFile, range: Range<u64>, time: Time) -> Result<Self> {
        let file = Arc::new(file);
        let store: Arc<dyn Store> = Arc::<LockedFile>::clone(&file);
        let start = range.start;
        let window = StoreWindow::new(store, range)?;
        let mut editor = Self::over(Arc::new(window), time)?;
        editor.file = Some(file);
        editor.part = Some(start);
        Ok(editor)
    }

    /// Begins a transaction on an image that nobody sees before the caller has made something of it:
    /// the change is written to its places at once, and an interruption leaves anything.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn unseen(store: Arc<dyn Store>, time: Time) -> Result<Self> {
        let mut editor = Self::over(store, time)?;
        editor.unseen = true;
        Ok(editor)
    }

    /// Begins a transaction on an image of any kind, which the caller keeps to itself. A change that
    /// does not fit its journal cannot be made.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn over(store: Arc<dyn Store>, time: Time) -> Result<Self> {
        let superblock = read_superblock(&*store)?;
        refuse::check(&superblock)?;
        let image: Arc<dyn BlockRead> = Arc::new(Readable(Arc::clone(&store)));
        let mut volume = Volume::new(superblock, image, time)?;
        let log = Log::find(&mut volume)?;
        Ok(Self {
            volume,
            store,
            file: None,
            part: None,
            unseen: false,
            log,
            enlarged: None,
            broken: false,
            keep_removed: false,
            changes: 0,
            ahead: None,
        })
    }

    /// Leaves the contents of what is removed or replaced, and what the journal has of earlier changes, in
    /// free blocks, where they can be found: that is faster where much is removed.
    pub fn keep_removed(&mut self) {
        self.keep_removed = true;
    }

    /// Tells what stands at a path, which is not followed if it is a symlink.
    ///
    /// # Errors
    /// [`EditError::Path`] when the path leads through what does not exist, or is no folder.
    pub fn kind(&mut self, path: &[u8]) -> Result<Option<FileType>> {
        if path::is_root(path) {
            return Ok(Some(FileType::Directory));
        }
        let Some(slot) = self.volume.place(path)?.slot else {
            return Ok(None);
        };
        Ok(Some(self.volume.inode(slot.inode)?.file_type()))
    }

    /// Changes the volume: a failure in the middle makes the transaction unusable.
    fn change<T>(&mut self, change: impl FnOnce(&mut Volume) -> Result<T>) -> Result<T> {
        if self.broken {
            return Err(EditError::Broken);
        }
        self.changes = self.changes.saturating_add(1);
        if self.changes == MANY {
            self.ahead = Ahead::start(&self.volume);
        }
        let result = change(&mut self.volume);
        self.broken = result.is_err();
        result
    }
}

/// The reading half of a store.
#[derive(Debug)]
struct Readable(Arc<dyn Store>);

impl BlockRead for Readable {
    fn len(&self) -> u64 {
        self.0.len()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> forger_block::Result<()> {
        self.0.read_at(offset, buf)
    }

    fn run_at(&self, offset: u64) -> forger_block::Result<forger_block::Run> {
        self.0.run_at(offset)
    }
}

#[cfg(test)]
mod tests;
