//! The disk that a command changes: the file itself where it is raw; any other image by way of a copy
//! in the same format, which takes its name when it is whole.

mod longer;
mod republish;

use std::ffi::OsStr;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use forger::address::Address;
use forger_block::{BlockStore, FileReader, Overlay, ScratchFile, StoreWindow};
use forger_disk::{Format, qcow2};
use forger_fs::ext4::{EditError, Editor, LockedFile, ReadError};
use forger_fs::tree::Time;

pub(super) use self::republish::Republish;
use crate::args::read::ReadArgs;
use crate::config::scratch_folder;
use crate::exit::Failure;
use crate::fat_view;
use crate::medium::{self, Medium};
use crate::remedy;

/// What a command changes; locked.
pub(super) struct Subject {
    pub(super) address: Address,
    medium: Medium,
    lock: LockedFile,
    /// Where the filesystem stands on the disk, in bytes; the whole disk for none.
    range: Option<Range<u64>>,
    /// Changes that lie over the disk, and become a new image.
    over: Option<Arc<Overlay>>,
}

impl Subject {
    /// Opens and locks what was typed.
    ///
    /// # Errors
    /// What cannot be opened, and an image that a copy could not stand for.
    pub(super) fn open(typed: &OsStr) -> Result<Self, Failure> {
        let address = medium::address(typed)?;
        let cannot = || format!("cannot change {}", address.disk());
        let lock = LockedFile::open(&address.image).map_err(|error| match error {
            EditError::Block(error) => remedy::block(cannot(), error),
            error => Failure::failed(cannot())
                .because(error)
                .help("wait until the other program is done"),
        })?;
        check_alone(&address.image, &cannot)?;
        let medium = Medium::open(&address, &ReadArgs::default())?;
        if medium.is_packed() {
            return Err(Failure::failed(cannot())
                .because("the file is compressed as a whole")
                .help("forger convert IMAGE NEW.qcow2 makes one that can be changed"));
        }
        let range = medium.part.as_ref().map(|part| part.start..part.end());
        let over = match medium.container.format() {
            Format::Raw => None,
            _ => Some(overlay(&medium, None, &cannot)?),
        };
        Ok(Self {
            address,
            medium,
            lock,
            range,
            over,
        })
    }

    /// Begins a transaction on the filesystem; second is what has to be done when it is committed.
    ///
    /// # Errors
    /// As [`Editor::open`].
    pub(super) fn editor(self, time: Time) -> Result<(Editor, Option<Republish>), EditError> {
        match self.over {
            Some(over) => {
                let editor = Editor::unseen(window(&over, self.range)?, time)?;
                let copy = Republish::new(self.address, self.medium, self.lock, over);
                Ok((editor, Some(copy)))
            }
            None => Ok((self.in_place(time)?, None)),
        }
    }

    /// Returns what has to be done when the disk alone has been changed.
    pub(super) fn copy(self) -> Option<Republish> {
        let raw = self.medium.container.format() == Format::Raw;
        let over = self.over.filter(|_| !raw)?;
        Some(Republish::new(self.address, self.medium, self.lock, over))
    }

    fn in_place(self, time: Time) -> Result<Editor, EditError> {
        match self.range {
            Some(range) => Editor::within(self.lock, range, time),
            None => Editor::locked(self.lock, time),
        }
    }

    /// Explains what is there instead of an ext2, ext3 or ext4.
    pub(super) fn other(address: &Address) -> Option<Failure> {
        let cannot = format!("cannot change {}", address.disk());
        let medium = Medium::open(address, &ReadArgs::default()).ok()?;
        if let Some(partitions) = medium.partitions() {
            let image = address.image.display();
            return Some(
                Failure::failed(cannot)
                    .because("it is a disk with partitions")
                    .help(format!(
                        "name one, as in {image}#root: there are {partitions}"
                    )),
            );
        }
        fat_view::volume(&medium.reader).ok()??;
        Some(
            Failure::failed(cannot)
                .because("it is a FAT, and only ext2, ext3 and ext4 can be changed")
                .help("forger mkfs --type vfat FOLDER IMAGE makes a new one"),
        )
    }
}

/// Tells whether there is no ext2, ext3 or ext4 at all.
pub(super) fn is_other(error: &EditError) -> bool {
    matches!(error, EditError::Read(ReadError::NotExt { .. }))
}

/// Lays changes over a disk, which may become longer.
fn overlay(
    medium: &Medium,
    len: Option<u64>,
    cannot: &dyn Fn() -> String,
) -> Result<Arc<Overlay>, Failure> {
    let over = || {
        let scratch = ScratchFile::create_in(scratch_folder())?;
        let over = Overlay::in_file(medium.container.disk(), scratch, u64::MAX);
        match len {
            Some(len) => over.with_len(len),
            None => Ok(over),
        }
    };
    Ok(Arc::new(
        over().map_err(|error| remedy::block(cannot(), error))?,
    ))
}

/// Returns the part of a disk that holds the filesystem.
fn window(
    over: &Arc<Overlay>,
    range: Option<Range<u64>>,
) -> Result<Arc<dyn BlockStore>, forger_block::Error> {
    let store: Arc<dyn BlockStore> = Arc::<Overlay>::clone(over);
    Ok(match range {
        Some(range) => Arc::new(StoreWindow::new(store, range)?),
        None => store,
    })
}

/// Refuses an image of which the copy would not keep everything.
fn check_alone(path: &Path, cannot: &dyn Fn() -> String) -> Result<(), Failure> {
    let file = FileReader::open(path).map_err(|error| remedy::block(cannot(), error))?;
    if !matches!(forger_disk::detect(&file), Ok(Format::Qcow2)) {
        return Ok(());
    }
    let Ok(header) = qcow2::Header::read(&file) else {
        return Ok(());
    };
    let what = if header.backing_file.is_some() {
        "it builds on another image"
    } else if header.data_file.is_some() {
        "it holds its data in another file"
    } else if !header.snapshots.is_empty() {
        "it has snapshots, which a changed copy would not have"
    } else if header.bitmaps {
        "it has bitmaps of changes, which a changed copy would not have"
    } else {
        return Ok(());
    };
    Err(Failure::failed(cannot()).because(what).help(
        "forger convert IMAGE NEW makes one that stands alone (--allow-backing FILE lets it read \
         what IMAGE builds on)",
    ))
}
