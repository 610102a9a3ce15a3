//! The writer.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

use std::io::{self, Write};

use super::header::{Header, LEN};
use crate::source::{Entry, EntryKind};
use crate::tree::Device;

/// The name that ends an archive.
const TRAILER: &[u8] = b"TRAILER!!!";

/// What members are aligned to.
const ALIGN: u64 = 4;

/// What an archive is filled up to.
const BLOCK: u64 = 512;

/// The longest name that a kernel takes, its zero byte included.
const MAX_NAME: usize = 4096;

/// Why an archive cannot be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The output does not take the bytes.
    #[error("cannot write the archive at byte {offset}")]
    Io {
        /// How much of it is written.
        offset: u64,
        /// The reason.
        source: io::Error,
    },
    /// The entry has no place in a cpio archive.
    #[error("{entry}: {what}")]
    Unrepresentable {
        /// The entry's name, lossily decoded.
        entry: String,
        /// What it is.
        what: &'static str,
    },
}

/// Writes a deterministic archive.
///
/// Members are numbered in the order of their writing; times are whole seconds, as the format has no
/// more; extended attributes have no place in it and are refused.
///
/// ```
/// use forger_fs::cpio::Writer;
/// use forger_fs::source::{Entry, EntryKind};
/// use forger_fs::tree::Meta;
///
/// let entry = Entry {
///     path: b"init".to_vec(),
///     kind: EntryKind::File { size: 5 },
///     meta: Meta { mode: 0o755, ..Meta::default() },
///     offset: None,
/// };
/// let mut writer = Writer::new(Vec::new());
/// writer.append(&entry, b"hello")?;
/// assert_eq!(writer.finish()?.len(), 512);
/// # Ok::<(), forger_fs::cpio::WriteError>(())
/// ```
#[derive(Debug)]
pub struct Writer<W: Write> {
    output: W,
    offset: u64,
    members: u32,
}

impl<W: Write> Writer<W> {
    /// Starts an archive.
    pub fn new(output: W) -> Self {
        Self {
            output,
            offset: 0,
            members: 0,
        }
    }

    /// Appends a member; `content` is a regular file's, and empty for everything else.
    ///
    /// # Errors
    /// What the format cannot hold: hard links, sockets, attributes, names longer than a kernel takes,
    /// contents of another size than the entry says or of 4 GiB and more, times before 1970 or after
    /// 2106; an output that does not take the bytes.
    pub fn append(&mut self, entry: &Entry, content: &[u8]) -> Result<(), WriteError> {
        let refuse = |what| WriteError::Unrepresentable {
            entry: String::from_utf8_lossy(&entry.path).into_owned(),
            what,
        };
        let name = entry.path.as_slice();
        let name = name.strip_prefix(b"/").unwrap_or(name);
        if name.is_empty() || name == TRAILER || name.contains(&0) {
            return Err(refuse("no member can have this name"));
        }
        if name.len() >= MAX_NAME {
            return Err(refuse("its name is longer than a kernel takes"));
        }
        if !entry.meta.xattrs.is_empty() {
            return Err(refuse("cpio has no place for extended attributes"));
        }
        let (format, device, content) = match &entry.kind {
            EntryKind::File { size } if usize::try_from(*size) == Ok(content.len()) => {
                (0o100_000, Device::default(), content)
            }
            EntryKind::File { .. } => return Err(refuse("its content has another size")),
            EntryKind::Directory => (0o040_000, Device::default(), &[][..]),
            EntryKind::Symlink(target) => (0o120_000, Device::default(), target.as_slice()),
            EntryKind::CharDevice(device) => (0o020_000, *device, &[][..]),
            EntryKind::BlockDevice(device) => (0o060_000, *device, &[][..]),
            EntryKind::Fifo => (0o010_000, Device::default(), &[][..]),
            EntryKind::HardLink { .. } => return Err(refuse("hard links are not written")),
            EntryKind::Socket => return Err(refuse("cpio has no place for sockets")),
        };
        let seconds = entry.meta.mtime.map_or(0, |time| time.sec);
        let directory = matches!(entry.kind, EntryKind::Directory);
        let header = Header {
            mode: format | u32::from(entry.meta.mode),
            uid: entry.meta.uid,
            gid: entry.meta.gid,
            nlink: if directory { 2 } else { 1 },
            mtime: u32::try_from(seconds)
                .map_err(|_| refuse("its time is not between 1970 and 2106"))?,
            filesize: u32::try_from(content.len())
                .map_err(|_| refuse("its content has 4 GiB or more"))?,
            rmaj: device.major,
            rmin: device.minor,
            ..Header::default()
        };
        self.member(header, name, content)
    }

    /// Ends the archive and returns the output.
    ///
    /// # Errors
    /// An output that does not take the bytes.
    pub fn finish(mut self) -> Result<W, WriteError> {
        let header = Header {
            nlink: 1,
            ..Header::default()
        };
        // The trailer has the number 0, as in every archive.
        self.members = 0;
        self.numbered(header, TRAILER, &[])?;
        self.pad(BLOCK)?;
        let flushed = self.output.flush();
        flushed.map_err(|source| self.failed(source))?;
        Ok(self.output)
    }

    fn member(&mut self, header: Header, name: &[u8], content: &[u8]) -> Result<(), WriteError> {
        self.members = self.members.wrapping_add(1);
        self.numbered(header, name, content)
    }

    fn numbered(&mut self, header: Header, name: &[u8], content: &[u8]) -> Result<(), WriteError> {
        let header = Header {
            ino: self.members,
            // Names are shorter than 4096 bytes.
            namesize: u32::try_from(name.len())
                .unwrap_or(u32::MAX)
                .saturating_add(1),
            ..header
        };
        let bytes = header.to_bytes();
        debug_assert_eq!(bytes.len(), LEN);
        self.put(bytes.as_bytes())?;
        self.put(name)?;
        self.put(&[0])?;
        self.pad(ALIGN)?;
        self.put(content)?;
        self.pad(ALIGN)
    }

    fn pad(&mut self, align: u64) -> Result<(), WriteError> {
        static ZEROS: [u8; 512] = [0; 512];
        let aligned = self.offset.next_multiple_of(align);
        let missing = usize::try_from(aligned.saturating_sub(self.offset)).unwrap_or(0);
        self.put(ZEROS.get(..missing).unwrap_or_default())
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
        let written = self.output.write_all(bytes);
        written.map_err(|source| self.failed(source))?;
        let len = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.offset = self.offset.saturating_add(len);
        Ok(())
    }

    fn failed(&self, source: io::Error) -> WriteError {
        WriteError::Io {
            offset: self.offset,
            source,
        }
    }
}
