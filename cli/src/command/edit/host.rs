//! A file of this machine: read at once where it is small, else opened when it is read, because a
//! script may name more than can be open at once.

use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use bytes::BytesMut;
use forger_block::{BlockRead, Bytes, Error, FileReader, Result, Run};
use rustix::fs::OFlags;

/// Files up to this length are read when they are opened, in bytes.
const SMALL: u64 = 256 << 10;

/// A regular file that must not change until it has been read.
#[derive(Debug)]
pub(super) struct HostFile {
    path: PathBuf,
    facts: Facts,
    /// What is at hand until [`rest`](Self::rest).
    held: Mutex<Held>,
}

#[derive(Debug)]
enum Held {
    Bytes(Bytes),
    File(File),
    Nothing,
}

/// What shall be the same when it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Facts {
    len: u64,
    modified: (i64, i64),
    bits: u32,
    /// It has room on the disk for all its bytes, so that nothing is a hole.
    whole: bool,
}

impl HostFile {
    /// Opens a file, and reads it if it is small.
    pub(super) fn new(path: &Path) -> Result<Self> {
        Self::new_in(path, &mut BytesMut::new())
    }

    /// Opens a file, and reads it into what is left of a buffer if it is small.
    pub(super) fn new_in(path: &Path, room: &mut BytesMut) -> Result<Self> {
        let (facts, file) = open(path)?;
        let mut new = Self {
            path: path.to_owned(),
            facts,
            held: Mutex::new(Held::Nothing),
        };
        let held = if facts.whole && facts.len <= SMALL {
            let len = usize::try_from(facts.len).unwrap_or(0);
            if room.len() < len {
                *room = BytesMut::zeroed(len);
            }
            let mut bytes = room.split_to(len);
            new.read_exact(&file, 0, &mut bytes)?;
            Held::Bytes(bytes.freeze())
        } else {
            Held::File(file)
        };
        new.held = Mutex::new(held);
        Ok(new)
    }

    /// Returns the permission bits.
    pub(super) fn mode(&self) -> u16 {
        u16::try_from(self.facts.bits).unwrap_or(0o644)
    }

    /// Lets go of what is at hand; who reads the file opens it again.
    pub(super) fn rest(&self) {
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = Held::Nothing;
    }

    fn again(&self) -> Result<File> {
        match open(&self.path)? {
            (now, file) if now == self.facts => Ok(file),
            _ => Err(self.changed()),
        }
    }

    fn read_exact(&self, file: &File, offset: u64, buf: &mut [u8]) -> Result<()> {
        file.read_exact_at(buf, offset)
            .map_err(|error| match error.kind() {
                ErrorKind::UnexpectedEof => self.changed(),
                _ => Error::io("read", self.path.display().to_string(), error),
            })
    }

    fn changed(&self) -> Error {
        Error::Changed {
            object: self.path.display().to_string(),
        }
    }
}

fn open(path: &Path) -> Result<(Facts, File)> {
    let name = || path.display().to_string();
    let io = |error| Error::io("open", name(), error);
    let file = std::fs::OpenOptions::new()
        .read(true)
        // Opening a FIFO must not wait for its other end.
        .custom_flags(i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or(0))
        .open(path)
        .map_err(io)?;
    let metadata = file.metadata().map_err(io)?;
    if !metadata.is_file() {
        return Err(Error::NotSeekable {
            path: name(),
            kind: "not a regular file",
        });
    }
    let facts = Facts {
        len: metadata.len(),
        modified: (metadata.mtime(), metadata.mtime_nsec()),
        bits: metadata.mode() & 0o7777,
        whole: metadata.blocks().saturating_mul(512) >= metadata.len(),
    };
    Ok((facts, file))
}

impl BlockRead for HostFile {
    fn len(&self) -> u64 {
        self.facts.len
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        match &*self.held.lock().unwrap_or_else(PoisonError::into_inner) {
            Held::Bytes(bytes) => return bytes.read_at(offset, buf),
            Held::File(file) => return self.read_exact(file, offset, buf),
            Held::Nothing => {}
        }
        self.read_exact(&self.again()?, offset, buf)
    }

    fn run_at(&self, offset: u64) -> Result<Run> {
        match self.facts.len.checked_sub(offset) {
            Some(left) if left > 0 && self.facts.whole => Ok(Run::Data(left)),
            _ => FileReader::open(&self.path)?.run_at(offset),
        }
    }

    fn in_memory(&self) -> Option<Bytes> {
        match &*self.held.lock().unwrap_or_else(PoisonError::into_inner) {
            Held::Bytes(bytes) => Some(bytes.clone()),
            _ => None,
        }
    }
}
