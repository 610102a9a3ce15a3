//! Files that appear whole or not at all.

mod folder;
mod publish;
mod resolve;

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::IoSlice;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, fchmod};

pub(crate) use self::folder::Folder;
pub use self::publish::Publish;
use crate::positioned::Positioned;
use crate::{Error, FileReader, Result};

/// A file that has no name yet, in the folder in which it shall get one.
///
/// Where the filesystem has unnamed files, nothing is left of it however the process ends; else
/// it has a hidden name, which goes away when it is dropped. [`publish`](Self::publish) gives it
/// its name.
#[derive(Debug)]
pub struct PendingFile {
    file: Positioned,
    folder: Folder,
    /// The name it shall have, and how to call it.
    target: Option<Target>,
    /// The hidden name it has, where there are no files without one.
    temporary: Option<OsString>,
    /// The mode that a new file gets here: 0666 less the umask.
    mode: Mode,
    /// It keeps the mode 0600.
    private: bool,
}

#[derive(Clone, Debug)]
struct Target {
    name: OsString,
    /// The path as it was given.
    path: PathBuf,
}

/// How a pending file is kept until it is published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Keeping {
    /// Without a name where that is possible.
    Best,
    /// Under a hidden name.
    #[cfg(test)]
    Hidden,
}

impl PendingFile {
    /// Makes an empty file that shall be published as `path`.
    ///
    /// Where `path` is a symlink, also one that leads to nothing, the file is made where it leads,
    /// and the symlink stays. Whether something stands there already is asked by
    /// [`check_target`](crate::check_target) before, and by [`publish`](Self::publish) again.
    ///
    /// # Errors
    /// [`Error::NotAnOutput`] for the name of a folder; [`Error::Io`].
    pub fn for_target(path: impl AsRef<Path>) -> Result<Self> {
        Self::for_target_kept(path.as_ref(), Keeping::Best)
    }

    /// Makes an empty file in a folder, to be published by [`publish_as`](Self::publish_as) when
    /// its name is known.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn in_folder(folder: impl AsRef<Path>) -> Result<Self> {
        let folder = Folder::open(folder.as_ref())?;
        Self::create(folder, None, Keeping::Best)
    }

    /// As [`for_target`](Self::for_target) where the filesystem has no unnamed files.
    #[cfg(test)]
    pub(crate) fn hidden_for_target(path: &Path) -> Result<Self> {
        Self::for_target_kept(path, Keeping::Hidden)
    }

    fn for_target_kept(path: &Path, keeping: Keeping) -> Result<Self> {
        let (folder, name) = resolve::resolve(path)?;
        let path = path.to_owned();
        Self::create(folder, Some(Target { name, path }), keeping)
    }

    fn create(folder: Folder, target: Option<Target>, keeping: Keeping) -> Result<Self> {
        let unnamed = match keeping {
            Keeping::Best => folder.create_unnamed().ok().filter(can_be_linked),
            #[cfg(test)]
            Keeping::Hidden => None,
        };
        let (file, temporary) = match unnamed {
            Some(file) => (file, None),
            None => {
                let (name, file) = folder.create_temporary()?;
                (file, Some(name))
            }
        };
        let name = match &target {
            Some(target) => target.path.display().to_string(),
            None => format!("file in {}", folder.path().display()),
        };
        let mut pending = Self {
            file: Positioned::new(file, name),
            folder,
            target,
            temporary,
            mode: Mode::empty(),
            private: false,
        };
        pending.note_mode()?;
        Ok(pending)
    }

    /// Notes the mode that the umask left, and makes a file that has a name private for now.
    fn note_mode(&mut self) -> Result<()> {
        let file = &self.file.file;
        let error = |error| self.file.error("create", error);
        self.mode = Mode::from_raw_mode(file.metadata().map_err(error)?.mode() & 0o777);
        if self.temporary.is_some() {
            fchmod(file, Mode::from_raw_mode(0o600)).map_err(|errno| error(errno.into()))?;
        }
        Ok(())
    }

    /// Writes bytes at `offset`; the file grows as needed.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::OutOfRange`].
    pub fn write_at(&self, offset: u64, data: &[u8]) -> Result<()> {
        self.file.write_at(offset, data)
    }

    /// Writes bytes that lie apart in memory, one part behind the other from `offset` on.
    ///
    /// # Errors
    /// As [`write_at`](Self::write_at).
    pub fn write_parts_at(&self, offset: u64, parts: &mut [IoSlice<'_>]) -> Result<()> {
        self.file.write_parts_at(offset, parts)
    }

    /// Has the kernel copy a range of another file to the same place, and returns where that ends:
    /// before the range's end where the kernel cannot.
    ///
    /// # Errors
    /// As [`write_at`](Self::write_at).
    pub fn copy_from(&self, from: &File, range: Range<u64>) -> Result<u64> {
        self.file.copy_from(from, range)
    }

    /// Fills `buf` with the bytes at `offset`.
    ///
    /// # Errors
    /// [`Error::Io`], also where the file ends before that.
    pub fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.file.read_at(offset, buf)
    }

    /// Makes a range a hole; the length stays.
    ///
    /// # Errors
    /// As [`write_at`](Self::write_at).
    pub fn punch(&self, offset: u64, len: u64) -> Result<()> {
        self.file.punch(offset, len)
    }

    /// Gives the file to an owner and a group.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn set_owner(&self, uid: u32, gid: u32) -> Result<()> {
        std::os::unix::fs::fchown(&self.file.file, Some(uid), Some(gid))
            .map_err(|error| self.file.error("set the owner of", error))
    }

    /// Lets only its owner read and write the file, also where it replaces one that others can read.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn make_private(&mut self) -> Result<()> {
        self.private = true;
        let private = Mode::from_raw_mode(0o600);
        fchmod(&self.file.file, private)
            .map_err(|errno| self.file.error("set the mode of", errno.into()))
    }

    /// Returns the length in bytes: the end of the last byte written, or what was set.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn len(&self) -> Result<u64> {
        self.file.len()
    }

    /// Tells whether the file has no bytes.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn is_empty(&self) -> Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Sets the length in bytes; what is added is a hole.
    ///
    /// # Errors
    /// As [`write_at`](Self::write_at).
    pub fn set_len(&self, len: u64) -> Result<()> {
        self.file.set_len(len)
    }

    /// Makes readable what has been written so far, of the length that the file has now.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn reader(&self) -> Result<FileReader> {
        match self.file.file.try_clone() {
            Ok(file) => FileReader::from_file(file, &self.file.name),
            Err(error) => Err(self.file.error("open", error)),
        }
    }

    /// Makes the first `len` bytes readable while more is written behind and between them; the file
    /// is that long at least from now on.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn reader_of(&self, len: u64) -> Result<FileReader> {
        if self.len()? < len {
            self.set_len(len)?;
        }
        let file = self.file.file.try_clone();
        let file = file.map_err(|error| self.file.error("open", error))?;
        Ok(FileReader::of_start(
            Positioned::new(file, &self.file.name),
            len,
        ))
    }

    /// Gives the file the name it was made for: durable before it is visible, and never half.
    ///
    /// A failure leaves what stood under the name before.
    ///
    /// # Errors
    /// [`Error::Exists`] when something stands there and `publish.force` is not set, also when it
    /// came a moment ago; [`Error::Unnamed`] for a file [in a folder](Self::in_folder);
    /// [`Error::Io`].
    pub fn publish(self, publish: Publish) -> Result<()> {
        match self.target.clone() {
            Some(Target { name, path }) => self.publish_at(&name, &path, publish),
            None => Err(Error::Unnamed {
                folder: self.folder.path().display().to_string(),
            }),
        }
    }

    /// Gives the file a name in its folder, and returns its path.
    ///
    /// # Errors
    /// [`Error::NotAnOutput`] when `name` is not a single name; as [`publish`](Self::publish).
    pub fn publish_as(self, name: impl AsRef<OsStr>, publish: Publish) -> Result<PathBuf> {
        let name = name.as_ref();
        let path = self.folder.path().join(name);
        if Path::new(name).file_name() != Some(name) {
            return Err(Error::NotAnOutput {
                path: path.display().to_string(),
                kind: "not a single name",
            });
        }
        self.publish_at(name, &path, publish)?;
        Ok(path)
    }

    pub(crate) fn file(&self) -> &Positioned {
        &self.file
    }
}

impl Drop for PendingFile {
    fn drop(&mut self) {
        if let Some(name) = &self.temporary {
            // Nobody is left to tell.
            let _ = self.folder.remove(name);
        }
    }
}

/// Tells whether an unnamed file can be given a name later: that takes /proc.
fn can_be_linked(file: &File) -> bool {
    let own = file.metadata();
    let through_proc = std::fs::metadata(proc_path(file));
    match (own, through_proc) {
        (Ok(own), Ok(seen)) => (own.dev(), own.ino()) == (seen.dev(), seen.ino()),
        _ => false,
    }
}

/// Returns the path under which the process's own open file can be linked.
fn proc_path(file: &File) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

#[cfg(test)]
mod tests;
