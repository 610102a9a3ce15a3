//! A single file of the host as a source.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags};

use super::body::{self, Body};
use super::status::Status;
use super::{Error, Owners, attributes, entry, meta};
use crate::source::{self, BodyRun, Entry, EntryKind, Source};
use crate::tree::shown;

/// A regular file of the host as a [`Source`] of one entry under a name of its own.
#[derive(Debug)]
pub struct HostFile {
    path: String,
    /// The entry, until it has been delivered.
    entry: Option<Entry>,
    body: Body,
    buffer: Vec<u8>,
}

impl HostFile {
    /// Opens a file to be the entry `name`; `path` may be a symlink to it. Without `mode` it keeps
    /// the host's.
    ///
    /// # Errors
    /// When it cannot be opened or examined, or is not a regular file.
    pub fn open(
        path: &Path,
        name: &[u8],
        mode: Option<u16>,
        owners: Owners,
    ) -> Result<Self, Error> {
        let shown = shown(path.as_os_str().as_bytes());
        let io = |operation| {
            let path = shown.clone();
            move |errno: rustix::io::Errno| Error::Io {
                operation,
                path,
                source: errno.into(),
            }
        };
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let fd = rustix::fs::open(path, flags, Mode::empty()).map_err(io("open"))?;
        let status = Status::of_fd(&fd).map_err(io("examine"))?;
        if status.kind != FileType::RegularFile {
            return Err(Error::NotAFile { path: shown });
        }
        let mut buffer = Vec::new();
        let mut meta = meta(&status, owners);
        meta.mode = mode.unwrap_or(meta.mode);
        meta.xattrs =
            attributes::of_fd(&fd, &mut buffer).map_err(io("read the extended attributes of"))?;
        meta.flags = attributes::flags(&fd).map_err(io("read the inode flags of"))?;
        let kind = EntryKind::File { size: status.size };
        Ok(Self {
            entry: Some(entry(name, kind, meta)),
            body: Body::new(fd, &status),
            path: shown,
            buffer,
        })
    }
}

impl Source for HostFile {
    fn next_entry(&mut self) -> Result<Option<Entry>, source::Error> {
        Ok(self.entry.take())
    }

    fn next_run(&mut self) -> Result<Option<BodyRun<'_>>, source::Error> {
        if self.entry.is_some() {
            return Ok(None);
        }
        match self.body.next(&mut self.buffer) {
            Ok(part) => Ok(part.map(|part| part.run(&self.buffer, false))),
            Err(broken) => Err(body::error(broken, self.path.clone()).into()),
        }
    }
}
