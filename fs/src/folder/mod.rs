//! A folder of the host as a source.
//!
//! Entries come depth first, every folder's names in order of their raw bytes, a folder before what
//! is in it; the folder itself is the entry `./`. Nothing outside it is ever followed: every entry is
//! opened by its name relative to the open folder it stands in, and never through a symlink.
//!
//! What is taken: kind, mode, owner (see [`Owners`]), mtime in ns, device numbers, symlink targets,
//! hard links within the folder, holes as the filesystem reports them (`SEEK_HOLE`), the inode flags
//! that [`InodeFlags`](crate::tree::InodeFlags) names, and all extended attributes that the caller
//! may read (`trusted.*` shows to root only); POSIX ACLs are two of these. Times of access, of change
//! and of birth tell about the host and are left out, and so is the project id.
//!
//! The folder should not change meanwhile. A file whose size or mtime differs after its last byte was
//! read, and an entry that was swapped for another, are errors; so is whatever cannot be read.
//!
//! ```
//! use forger_fs::folder::{Folder, Options};
//! use forger_fs::source::Source;
//!
//! let mut folder = Folder::open("src/folder", Options::default())?;
//! while let Some(entry) = folder.next_entry()? {
//!     println!("{} {:04o}", entry.path.escape_ascii(), entry.meta.mode);
//! }
//! # Ok::<(), forger_fs::source::Error>(())
//! ```
mod attributes;
mod beneath;
mod body;
mod contents;
mod error;
mod host_file;
mod levels;
mod options;
mod status;
mod visit;
mod write;

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use forger_block::BlockRead;
use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags};

pub use contents::Contents;
pub use error::Error;
pub use host_file::HostFile;
pub use options::{Options, Owners};
pub use write::{Kept, NotKept, WriteError, WriteOptions, clear, remove, write_as, write_into};

use crate::source::{self, BodyPlace, BodyRun, Entry, EntryKind, Exclude, Source};
use crate::tree::{Device, Meta, shown};

use body::Body;
use levels::Levels;
use status::{Identity, Status};

/// A folder of the host as a [`Source`].
#[derive(Debug)]
pub struct Folder {
    root: PathBuf,
    options: Options,
    exclude: Exclude,
    excluded: u64,
    levels: Levels,
    /// The root, until it has been delivered.
    start: Option<(OwnedFd, Status)>,
    /// Names of files whose other names may follow.
    links: BTreeMap<Identity, Link>,
    /// The current entry's path, relative to the root.
    path: Vec<u8>,
    /// The current entry's content.
    body: Option<Body>,
    /// Where contents are read again, if they are to be.
    places: Option<Contents>,
    /// The current entry's file there.
    origin: Option<Arc<dyn BlockRead>>,
    scratch: Vec<u8>,
}

/// A file that has more names than were seen so far.
#[derive(Debug)]
struct Link {
    first: Box<[u8]>,
    unseen: u32,
}

impl Folder {
    /// Opens a folder; `path` itself may be a symlink to it.
    ///
    /// # Errors
    /// [`Error::Io`] when it is no folder or cannot be opened.
    pub fn open(path: impl Into<PathBuf>, options: Options) -> Result<Self, Error> {
        let root = path.into();
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let io = |operation| {
            let path = shown(root.as_os_str().as_bytes());
            move |errno: rustix::io::Errno| Error::Io {
                operation,
                path,
                source: errno.into(),
            }
        };
        let fd = rustix::fs::open(&root, flags, Mode::empty()).map_err(io("open"))?;
        let status = Status::of_fd(&fd).map_err(io("examine"))?;
        Ok(Self {
            root,
            options,
            exclude: Exclude::default(),
            excluded: 0,
            levels: Levels::default(),
            start: Some((fd, status)),
            links: BTreeMap::new(),
            path: Vec::new(),
            body: None,
            places: None,
            origin: None,
            scratch: Vec::new(),
        })
    }

    /// Lets contents be read where they stand, after all entries were delivered: each file is the
    /// [`origin`](Source::origin) of its content. A file that is another by then, or was changed, is an error when it is read.
    ///
    /// # Errors
    /// [`Error::Io`] when the folder cannot be kept open.
    pub fn in_place(mut self) -> Result<Self, Error> {
        if let Some((fd, _)) = &self.start {
            let fd = fd.try_clone().map_err(|source| Error::Io {
                operation: "keep open",
                path: self.here(),
                source,
            })?;
            self.places = Some(Contents::of(fd));
        }
        Ok(self)
    }

    /// Leaves out what the patterns match. It is not even examined, so that it may be unreadable,
    /// and a file of which one name is left out is taken under its others.
    #[must_use]
    pub fn with_exclude(mut self, exclude: Exclude) -> Self {
        self.exclude = exclude;
        self
    }

    /// Returns how many names have been left out so far, without what is in folders left out.
    #[must_use]
    pub fn excluded(&self) -> u64 {
        self.excluded
    }

    /// Returns the path that the folder was opened by.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.root
    }

    /// Delivers the root.
    fn first(&mut self, fd: OwnedFd, status: Status) -> Result<Entry, Error> {
        let mut meta = meta(&status, self.options.owners);
        self.attributes(&fd, &mut meta)?;
        self.enter(fd, &status)?;
        Ok(entry(b"./", EntryKind::Directory, meta))
    }

    /// Makes a folder the one whose names come next.
    fn enter(&mut self, fd: OwnedFd, status: &Status) -> Result<(), Error> {
        let names = levels::names(&fd, &mut self.scratch).map_err(|e| self.io("list", e))?;
        self.levels
            .push(fd, status.identity, names, self.path.len());
        Ok(())
    }

    /// Adds what has to be asked of an open file or folder.
    fn attributes(&mut self, fd: &OwnedFd, meta: &mut Meta) -> Result<(), Error> {
        meta.xattrs = attributes::of_fd(fd, &mut self.scratch)
            .map_err(|e| self.io("read the extended attributes of", e))?;
        meta.flags = attributes::flags(fd).map_err(|e| self.io("read the inode flags of", e))?;
        Ok(())
    }

    /// Returns the current entry's path on the host, for messages.
    fn here(&self) -> String {
        shown(&self.host_path())
    }

    /// Returns the current entry's path on the host.
    fn host_path(&self) -> Vec<u8> {
        let mut path = self.root.as_os_str().as_bytes().to_vec();
        if !self.path.is_empty() {
            if path.last() != Some(&b'/') {
                path.push(b'/');
            }
            path.extend_from_slice(&self.path);
        }
        path
    }

    fn io(&self, operation: &'static str, errno: rustix::io::Errno) -> Error {
        Error::Io {
            operation,
            path: self.here(),
            source: errno.into(),
        }
    }

    fn changed(&self, what: &'static str) -> Error {
        Error::Changed {
            path: self.here(),
            what,
        }
    }
}

/// Returns the metadata that an entry's status has.
fn meta(status: &Status, owners: Owners) -> Meta {
    let (uid, gid) = match owners {
        Owners::Root => (0, 0),
        Owners::Keep => (status.uid, status.gid),
        Owners::Fixed { uid, gid } => (uid, gid),
    };
    Meta {
        mode: status.mode,
        uid,
        gid,
        mtime: Some(status.mtime),
        ..Meta::default()
    }
}

fn entry(path: &[u8], kind: EntryKind, meta: Meta) -> Entry {
    Entry {
        path: path.to_vec(),
        kind,
        meta,
        offset: None,
    }
}

impl Source for Folder {
    fn next_entry(&mut self) -> Result<Option<Entry>, source::Error> {
        self.body = None;
        self.origin = None;
        if let Some((fd, status)) = self.start.take() {
            return Ok(Some(self.first(fd, status)?));
        }
        while let Some(name) = self.levels.next_name(&mut self.path) {
            let Some(name) = name else {
                self.levels.pop().map_err(|reason| match reason {
                    levels::Lost::Moved => self.changed("its parent folder was moved"),
                    levels::Lost::Errno(errno) => self.io("go back up from", errno),
                })?;
                continue;
            };
            if self.exclude.matches(&self.path) {
                self.excluded += 1;
                continue;
            }
            return Ok(Some(self.visit(&name)?));
        }
        Ok(None)
    }

    fn next_run(&mut self) -> Result<Option<BodyRun<'_>>, source::Error> {
        let Some(mut body) = self.body.take() else {
            return Ok(None);
        };
        match body.next(&mut self.scratch) {
            Ok(None) => Ok(None),
            Ok(Some(part)) => {
                self.body = Some(body);
                Ok(Some(part.run(&self.scratch, self.origin.is_some())))
            }
            Err(broken) => Err(body::error(broken, self.here()).into()),
        }
    }

    fn next_place(&mut self) -> Result<Option<BodyPlace>, source::Error> {
        let Some(body) = self.body.as_mut().filter(|_| self.origin.is_some()) else {
            return Ok(None);
        };
        let place = body.pass();
        place.map_err(|broken| body::error(broken, self.here()).into())
    }

    fn origin(&self) -> Option<Arc<dyn BlockRead>> {
        self.origin.clone()
    }
}

/// Makes a device number of its two halves.
const fn device(major: u32, minor: u32) -> Device {
    Device { major, minor }
}

#[cfg(test)]
mod tests;
