//! Where entries come from: one shape for tar streams, folders, layers and images.
//!
//! [`Select`] leaves entries out and shortens names, [`Rebase`] puts a source below a folder, and
//! [`Inject`] makes a source of one file or folder of the host.
mod exclude;
mod glob;
mod inject;
mod pattern;
mod rebase;
mod select;

use std::sync::Arc;

use forger_block::BlockRead;

use crate::observe::Note;
use crate::tree::{self, Device, Meta};

pub use exclude::Exclude;
pub use glob::Glob;
pub use inject::Inject;
pub use rebase::Rebase;
pub use select::{Dropped, Select};

/// A stream of entries in arrival order, each with its content.
///
/// A consumer calls [`next_entry`](Self::next_entry), then [`next_run`](Self::next_run) until it
/// returns `None`, and so on. An entry's unread content is skipped by the next `next_entry`.
pub trait Source {
    /// Advances to the next entry.
    ///
    /// # Errors
    /// Whatever is wrong with the input, with the place.
    fn next_entry(&mut self) -> Result<Option<Entry>, Error>;

    /// Returns the next run of the current entry's content, in file order and without gaps; the
    /// lengths add up to the entry's size.
    ///
    /// # Errors
    /// As [`next_entry`](Self::next_entry).
    fn next_run(&mut self) -> Result<Option<BodyRun<'_>>, Error>;

    /// Passes over the next run of the current entry's content without a look at it, where it stands in the
    /// [`origin`](Self::origin); `None` where only [`next_run`](Self::next_run) goes on, at the end for instance.
    ///
    /// # Errors
    /// As [`next_entry`](Self::next_entry).
    fn next_place(&mut self) -> Result<Option<BodyPlace>, Error> {
        Ok(None)
    }

    /// Returns what the `at` of the current entry's [`BodyRun::Data`] points into, where contents
    /// can be read again later at any offset.
    fn origin(&self) -> Option<Arc<dyn BlockRead>> {
        None
    }

    /// Tells whether its entries that are no folders may not take the place of one.
    fn keeps_folders(&self) -> bool {
        false
    }

    /// Tells whether it is a layer of a container image: names that begin with `.wh.` take away what the
    /// sources before it brought ([`Whiteout`](crate::tree::Whiteout)).
    fn has_whiteouts(&self) -> bool {
        false
    }

    /// Returns what came up since the last call and deserves the user's attention.
    fn take_notes(&mut self) -> Vec<Note> {
        Vec::new()
    }
}

impl<S: Source + ?Sized> Source for &mut S {
    fn next_entry(&mut self) -> Result<Option<Entry>, Error> {
        (**self).next_entry()
    }

    fn next_run(&mut self) -> Result<Option<BodyRun<'_>>, Error> {
        (**self).next_run()
    }

    fn next_place(&mut self) -> Result<Option<BodyPlace>, Error> {
        (**self).next_place()
    }

    fn origin(&self) -> Option<Arc<dyn BlockRead>> {
        (**self).origin()
    }

    fn keeps_folders(&self) -> bool {
        (**self).keeps_folders()
    }

    fn has_whiteouts(&self) -> bool {
        (**self).has_whiteouts()
    }

    fn take_notes(&mut self) -> Vec<Note> {
        (**self).take_notes()
    }
}

impl<S: Source + ?Sized> Source for Box<S> {
    fn next_entry(&mut self) -> Result<Option<Entry>, Error> {
        (**self).next_entry()
    }

    fn next_run(&mut self) -> Result<Option<BodyRun<'_>>, Error> {
        (**self).next_run()
    }

    fn next_place(&mut self) -> Result<Option<BodyPlace>, Error> {
        (**self).next_place()
    }

    fn origin(&self) -> Option<Arc<dyn BlockRead>> {
        (**self).origin()
    }

    fn keeps_folders(&self) -> bool {
        (**self).keeps_folders()
    }

    fn has_whiteouts(&self) -> bool {
        (**self).has_whiteouts()
    }

    fn take_notes(&mut self) -> Vec<Note> {
        (**self).take_notes()
    }
}

/// A part of a file's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyRun<'a> {
    /// Bytes, and where they stand in the source's [`origin`](Source::origin) if it has one.
    Data {
        /// The bytes, never empty.
        bytes: &'a [u8],
        /// Their offset in the origin.
        at: Option<u64>,
    },
    /// A declared hole of so many bytes, never 0.
    Hole(u64),
}

/// Where a part of a file's content stands, for whoever need not look at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyPlace {
    /// Data, in the source's [`origin`](Source::origin).
    Data {
        /// Their offset there.
        at: u64,
        /// Their length in bytes, never 0.
        len: u64,
    },
    /// A declared hole of so many bytes, never 0.
    Hole(u64),
}

/// One member of an archive or folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The name as it arrived: raw bytes, perhaps with leading `/` or `./`.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: EntryKind,
    /// Owner, mode, times, extended attributes.
    pub meta: Meta,
    /// Where its header stands in the (uncompressed) input in bytes, for messages.
    pub offset: Option<u64>,
}

/// What an entry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file of `size` bytes, holes included.
    File {
        /// Length in bytes.
        size: u64,
    },
    /// A further name of an earlier (or later) entry.
    HardLink {
        /// The name it shares, as it arrived.
        target: Vec<u8>,
        /// Length in bytes of the content it carries, which replaces the target's; usually 0.
        size: u64,
    },
    /// A symbolic link to these bytes.
    Symlink(Vec<u8>),
    /// A directory.
    Directory,
    /// A character device.
    CharDevice(Device),
    /// A block device.
    BlockDevice(Device),
    /// A named pipe.
    Fifo,
    /// A socket; only folders and images have them.
    Socket,
}

/// Why a source cannot go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The tar stream is damaged, truncated, hostile or not tar.
    #[error(transparent)]
    Tar(#[from] crate::tar::Error),
    /// A folder cannot be read as it is.
    #[error(transparent)]
    Folder(#[from] crate::folder::Error),
    /// Names cannot be changed as asked.
    #[error(transparent)]
    Adapter(#[from] AdapterError),
    /// Another kind of source, made outside this crate.
    #[error(transparent)]
    Other(Box<dyn std::error::Error + Send + Sync>),
}

impl BodyRun<'_> {
    /// Returns the run's length in bytes.
    #[must_use]
    pub fn len(&self) -> u64 {
        match self {
            Self::Data { bytes, .. } => bytes.len() as u64,
            Self::Hole(len) => *len,
        }
    }

    /// Tells whether the run has no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl BodyPlace {
    /// Returns the part's length in bytes.
    #[must_use]
    pub fn len(&self) -> u64 {
        match self {
            Self::Data { len, .. } | Self::Hole(len) => *len,
        }
    }

    /// Tells whether the part has no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Why an entry cannot have the name that an adapter would give it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AdapterError {
    /// A name is not legal.
    #[error("{entry}")]
    Name {
        /// The entry's name as it arrived, lossily decoded.
        entry: String,
        /// What is wrong with it.
        source: tree::Error,
    },
    /// A hard link's target has too few components.
    #[error(
        "hard link {link} to {target}: nothing is left of the target without {count} leading components"
    )]
    StrippedTarget {
        /// The link's name as it arrived, lossily decoded.
        link: String,
        /// The target as it arrived, lossily decoded.
        target: String,
        /// How many components are stripped.
        count: usize,
    },
    /// A mode is given for a folder.
    #[error("{folder} is a folder: a mode cannot be given for all that is in it")]
    ModeOfFolder {
        /// The folder's path on the host, lossily decoded.
        folder: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Entries from a list, without contents.
    pub(super) struct Listed(std::vec::IntoIter<Entry>);

    impl Listed {
        pub(super) fn new(entries: Vec<Entry>) -> Self {
            Self(entries.into_iter())
        }
    }

    impl Source for Listed {
        fn next_entry(&mut self) -> Result<Option<Entry>, Error> {
            Ok(self.0.next())
        }

        fn next_run(&mut self) -> Result<Option<BodyRun<'_>>, Error> {
            Ok(None)
        }
    }

    fn entry(path: &str, kind: EntryKind) -> Entry {
        Entry {
            path: path.as_bytes().to_vec(),
            kind,
            meta: Meta::default(),
            offset: None,
        }
    }

    pub(super) fn file(path: &str) -> Entry {
        entry(path, EntryKind::File { size: 0 })
    }

    pub(super) fn link(path: &str, target: &str) -> Entry {
        let target = target.as_bytes().to_vec();
        entry(path, EntryKind::HardLink { target, size: 0 })
    }

    pub(super) fn symlink(path: &str, target: &str) -> Entry {
        entry(path, EntryKind::Symlink(target.as_bytes().to_vec()))
    }
}
