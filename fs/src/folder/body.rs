//! A file's content, holes as the filesystem reports them.

use rustix::fd::OwnedFd;
use rustix::fs::{SeekFrom, seek};
use rustix::io::{Errno, pread, retry_on_intr};

use super::Error;
use super::status::Status;
use crate::source::{BodyPlace, BodyRun};
use crate::tree::Time;

/// How many bytes are read at a time.
const PIECE: u64 = 1 << 20;

/// An open file and how far it has been read.
#[derive(Debug)]
pub(super) struct Body {
    fd: OwnedFd,
    size: u64,
    mtime: Time,
    offset: u64,
    /// Up to here everything after `offset` is data.
    data_end: u64,
}

/// What comes next in a file.
#[derive(Debug)]
pub(super) enum Part {
    /// Bytes, at the start of the buffer.
    Data {
        /// How many.
        len: usize,
        /// Where they stand in the file.
        at: u64,
    },
    /// A hole of so many bytes.
    Hole(u64),
}

impl Part {
    /// Returns the part as a run of an entry's content, which stands where it did if it is read in its place.
    pub(super) fn run(self, buffer: &[u8], in_place: bool) -> BodyRun<'_> {
        match self {
            Self::Hole(len) => BodyRun::Hole(len),
            Self::Data { len, at } => BodyRun::Data {
                bytes: &buffer[..len],
                at: in_place.then_some(at),
            },
        }
    }
}

/// Why a file cannot be read on.
#[derive(Debug)]
pub(super) enum Broken {
    /// It is not what it was when it was opened.
    Changed(&'static str),
    /// The operating system's reason.
    Errno(Errno),
}

/// Says which file it is that cannot be read on.
pub(super) fn error(broken: Broken, path: String) -> Error {
    match broken {
        Broken::Changed(what) => Error::Changed { path, what },
        Broken::Errno(errno) => Error::Io {
            operation: "read",
            path,
            source: errno.into(),
        },
    }
}

impl From<Errno> for Broken {
    fn from(errno: Errno) -> Self {
        Self::Errno(errno)
    }
}

impl Body {
    /// Starts at the beginning of a file that had the given status when it was opened.
    pub(super) fn new(fd: OwnedFd, status: &Status) -> Self {
        Self {
            fd,
            size: status.size,
            mtime: status.mtime,
            offset: 0,
            data_end: 0,
        }
    }

    /// Reads the next piece or hole; at the end, checks that the file is still the same.
    pub(super) fn next(&mut self, buffer: &mut Vec<u8>) -> Result<Option<Part>, Broken> {
        if self.offset == self.size {
            self.check()?;
            return Ok(None);
        }
        if let Some(hole) = self.hole()? {
            return Ok(Some(Part::Hole(hole)));
        }
        let len = (self.data_end - self.offset).min(PIECE);
        let len = usize::try_from(len).expect("a piece has 1 MiB");
        if buffer.len() < len {
            buffer.resize(len, 0);
        }
        match retry_on_intr(|| pread(&self.fd, &mut buffer[..len], self.offset))? {
            0 => Err(Broken::Changed("it became shorter")),
            read => {
                let at = self.offset;
                self.offset += read as u64;
                Ok(Some(Part::Data { len: read, at }))
            }
        }
    }

    /// Passes over the next data or hole without reading it; at the end there is none.
    pub(super) fn pass(&mut self) -> Result<Option<BodyPlace>, Broken> {
        if self.offset == self.size {
            return Ok(None);
        }
        if let Some(hole) = self.hole()? {
            return Ok(Some(BodyPlace::Hole(hole)));
        }
        let at = std::mem::replace(&mut self.offset, self.data_end);
        let len = self.data_end - at;
        Ok(Some(BodyPlace::Data { at, len }))
    }

    /// Passes over a hole, if one begins here; else it is known afterwards how far the data go.
    fn hole(&mut self) -> Result<Option<u64>, Broken> {
        if self.offset < self.data_end {
            return Ok(None);
        }
        let Some(end) = self.find_data()? else {
            return Ok(None);
        };
        let hole = end - self.offset;
        self.offset = end;
        self.data_end = end;
        Ok(Some(hole))
    }

    /// Returns the end of the hole at `offset`, or finds the end of the data there.
    fn find_data(&mut self) -> Result<Option<u64>, Broken> {
        let data = match seek(&self.fd, SeekFrom::Data(self.offset)) {
            Ok(data) => data.min(self.size),
            // No data from here on, unless the file has become shorter.
            Err(Errno::NXIO) => self.size,
            Err(Errno::INVAL | Errno::OPNOTSUPP) => {
                self.data_end = self.size;
                return Ok(None);
            }
            Err(errno) => return Err(errno.into()),
        };
        if data > self.offset {
            return Ok(Some(data));
        }
        let end = seek(&self.fd, SeekFrom::Hole(self.offset))?;
        if end <= self.offset {
            return Err(Broken::Changed("it became shorter"));
        }
        self.data_end = end.min(self.size);
        Ok(None)
    }

    fn check(&self) -> Result<(), Broken> {
        let now = Status::of_fd(&self.fd)?;
        if now.size != self.size {
            return Err(Broken::Changed("its size is another now"));
        }
        if now.mtime != self.mtime {
            return Err(Broken::Changed("its mtime is another now"));
        }
        Ok(())
    }
}
