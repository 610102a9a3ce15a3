//! A file of this machine, opened when it is read: a script may name more than can be open at once.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use forger_block::{BlockRead, Error, FileReader, Result, Run};

/// A regular file that must not change until it has been read.
#[derive(Debug)]
pub(super) struct HostFile {
    path: PathBuf,
    len: u64,
    modified: Option<SystemTime>,
    /// Permission bits.
    pub(super) mode: u16,
}

impl HostFile {
    /// Examines a file.
    pub(super) fn new(path: &Path) -> Result<Self> {
        use std::os::unix::fs::PermissionsExt;
        let io = |error| Error::io("examine", path.display().to_string(), error);
        let metadata = std::fs::metadata(path).map_err(io)?;
        if !metadata.is_file() {
            return Err(Error::NotSeekable {
                path: path.display().to_string(),
                kind: "not a regular file",
            });
        }
        let bits = metadata.permissions().mode() & 0o7777;
        Ok(Self {
            path: path.to_owned(),
            len: metadata.len(),
            modified: metadata.modified().ok(),
            mode: u16::try_from(bits).unwrap_or(0o644),
        })
    }

    fn open(&self) -> Result<FileReader> {
        let now = Self::new(&self.path)?;
        if (now.len, now.modified) != (self.len, self.modified) {
            return Err(Error::Changed {
                object: self.path.display().to_string(),
            });
        }
        FileReader::open(&self.path)
    }
}

impl BlockRead for HostFile {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.open()?.read_at(offset, buf)
    }

    fn run_at(&self, offset: u64) -> Result<Run> {
        self.open()?.run_at(offset)
    }
}
