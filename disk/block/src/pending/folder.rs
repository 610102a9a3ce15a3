//! The folder in which a file comes to be.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, fsync, openat, syncfs, unlinkat};
use rustix::io::Errno;

use crate::{Error, Result};

/// An open folder: it stays the same one, whatever happens to its name.
#[derive(Debug)]
pub(crate) struct Folder {
    fd: OwnedFd,
    path: PathBuf,
}

impl Folder {
    pub(crate) fn open(path: &Path) -> Result<Self> {
        Self::open_at(CWD, path, path.to_owned())
    }

    /// Opens `path` seen from another folder; `shown` is what to call it.
    pub(super) fn open_at(base: impl AsFd, path: &Path, shown: PathBuf) -> Result<Self> {
        let path = if path.as_os_str().is_empty() {
            Path::new(".")
        } else {
            path
        };
        // PATH needs no permission to read the folder, as creating a file in it does not either.
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        match openat(base, path, flags, Mode::empty()) {
            Ok(fd) => Ok(Self { fd, path: shown }),
            Err(error) => Err(Error::io("open the folder", name(&shown), error.into())),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn shown(&self, name: &OsStr) -> String {
        self.path.join(name).display().to_string()
    }

    /// Creates a file without a name.
    pub(crate) fn create_unnamed(&self) -> rustix::io::Result<File> {
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        openat(&self.fd, ".", flags, Mode::from_raw_mode(0o666)).map(File::from)
    }

    /// Creates a file with a hidden name of its own, readable and writable by its owner only.
    pub(crate) fn create_temporary(&self) -> Result<(OsString, File)> {
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDWR | OFlags::CLOEXEC;
        self.with_temporary_name(|name| {
            openat(&self.fd, name, flags, Mode::from_raw_mode(0o666)).map(File::from)
        })
    }

    /// Calls `make` with hidden names until one is free.
    pub(super) fn with_temporary_name<T>(
        &self,
        mut make: impl FnMut(&OsStr) -> rustix::io::Result<T>,
    ) -> Result<(OsString, T)> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let mut last = Errno::EXIST;
        for _ in 0..10_000 {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let name = format!(".forger-{}-{number}.tmp", std::process::id());
            match make(name.as_ref()) {
                Ok(made) => return Ok((name.into(), made)),
                Err(error) => last = error,
            }
            if last != Errno::EXIST {
                break;
            }
        }
        Err(self.create_error(last))
    }

    pub(super) fn create_error(&self, error: Errno) -> Error {
        Error::io("create a file in", name(&self.path), error.into())
    }

    pub(crate) fn remove(&self, name: &OsStr) -> Result<()> {
        unlinkat(&self.fd, name, AtFlags::empty())
            .map_err(|error| Error::io("remove", self.shown(name), error.into()))
    }

    /// Makes the folder's names durable; `file` is one of them.
    pub(super) fn sync(&self, file: &File) -> Result<()> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let result = match openat(&self.fd, ".", flags, Mode::empty()) {
            Ok(folder) => fsync(folder),
            // Who may write to a folder but not read it can flush it with all the others.
            Err(Errno::ACCESS) => syncfs(file),
            Err(error) => Err(error),
        };
        match result {
            // Filesystems that cannot flush a folder say so.
            Ok(()) | Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => Ok(()),
            Err(error) => Err(Error::io(
                "flush the folder",
                name(&self.path),
                error.into(),
            )),
        }
    }
}

impl AsFd for Folder {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Says which folder; the empty path is the current one.
fn name(path: &Path) -> String {
    let path = path.display().to_string();
    if path.is_empty() { ".".into() } else { path }
}
