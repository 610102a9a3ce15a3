//! What a member is, and what stands between its header and the next one.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

use super::header::Dialect;
use super::member::Assembly;
use super::{Error, sparse};
use crate::source::EntryKind;
use crate::tree::Device;

/// What stands between a member's header and the next one.
#[derive(Debug)]
pub(super) enum Body {
    /// Nothing.
    None,
    /// So many bytes of content.
    Plain(u64),
    /// So many bytes, if they are there: a header's word for a hard link is not enough.
    Perhaps(u64),
    /// So many bytes that mean nothing to us.
    Ignored(u64),
    /// A sparse file whose map is known: the stored bytes and their places.
    Mapped(u64, Vec<sparse::Run>),
    /// A sparse file whose map is in the header and in extension blocks.
    OldSparse(u64),
    /// A sparse file whose map is the beginning of its body of so many bytes.
    MapFirst(u64),
}

impl Assembly<'_> {
    /// Decides what the member is and what body follows.
    pub(super) fn kind(&mut self, long_link: Option<Vec<u8>>) -> Result<(EntryKind, Body), Error> {
        let flag = self.header.typeflag;
        let sparse = self.keywords.sparse.describe(self.options.max_sparse_runs);
        let sparse = sparse.map_err(|reason| self.place().fault(reason))?;
        if sparse.is_some() && !matches!(flag, 0 | b'0' | b'7') {
            return Err(self
                .place()
                .fault("it belongs to no regular file".to_owned()));
        }
        match flag {
            0 | b'0' | b'7' if self.name.ends_with(b"/") => match self.size()? {
                0 => Ok((EntryKind::Directory, Body::None)),
                size => Err(self.fault(
                    "size",
                    format!("a directory (name with / at its end) of {size} bytes"),
                )),
            },
            0 | b'0' | b'7' => self.file(sparse),
            b'S' => self.old_sparse(),
            b'1' => {
                let target = self.target(long_link)?;
                let size = self.size()?;
                let body = match size {
                    0 => Body::None,
                    size if self.keywords.size.is_some() => Body::Plain(size),
                    size => Body::Perhaps(size),
                };
                Ok((EntryKind::HardLink { target, size }, body))
            }
            b'2' => Ok((EntryKind::Symlink(self.target(long_link)?), Body::None)),
            b'3' => Ok((EntryKind::CharDevice(self.device()?), Body::None)),
            b'4' => Ok((EntryKind::BlockDevice(self.device()?), Body::None)),
            b'5' => Ok((EntryKind::Directory, Body::None)),
            b'D' => Ok((EntryKind::Directory, Body::Ignored(self.size()?))),
            b'6' => Ok((EntryKind::Fifo, Body::None)),
            flag => Err(self.refuse(flag, refused(flag))),
        }
    }

    fn file(&self, sparse: Option<sparse::Described>) -> Result<(EntryKind, Body), Error> {
        let stored = self.size()?;
        let Some(described) = sparse else {
            return Ok((EntryKind::File { size: stored }, Body::Plain(stored)));
        };
        let size = self.sparse_size(described.size)?;
        let body = match described.runs {
            None => Body::MapFirst(stored),
            Some(runs) => {
                let runs = sparse::check(runs, size, stored);
                Body::Mapped(stored, runs.map_err(|reason| self.place().fault(reason))?)
            }
        };
        Ok((EntryKind::File { size }, body))
    }

    fn old_sparse(&self) -> Result<(EntryKind, Body), Error> {
        let tail = match self.header.dialect() {
            Dialect::Gnu => self.header.gnu(),
            _ => None,
        };
        let Some(tail) = tail else {
            return Err(self
                .place()
                .fault("type `S` in a header that is not GNU's".to_owned()));
        };
        let size = self.number("realsize", &tail.realsize)?;
        Ok((
            EntryKind::File {
                size: self.sparse_size(size)?,
            },
            Body::OldSparse(self.size()?),
        ))
    }

    fn sparse_size(&self, size: u64) -> Result<u64, Error> {
        match i64::try_from(size) {
            Ok(_) => Ok(size),
            Err(_) => Err(self
                .place()
                .fault(format!("the file's size, {size}, is no number below 2^63"))),
        }
    }

    /// Returns the link target in force.
    fn target(&mut self, long: Option<Vec<u8>>) -> Result<Vec<u8>, Error> {
        let target = self.keywords.linkpath.take().or(long);
        let target = target.unwrap_or_else(|| self.header.link().to_vec());
        if target.is_empty() {
            return Err(self.fault("linkname", "it is empty".to_owned()));
        }
        self.check_name("linkname", "a link target", &target)?;
        Ok(target)
    }

    fn device(&self) -> Result<Device, Error> {
        let header = self.header;
        let major = match self.keywords.devmajor {
            Some(major) => major,
            None => self.number("devmajor", &header.devmajor)?,
        };
        let minor = match self.keywords.devminor {
            Some(minor) => minor,
            None => self.number("devminor", &header.devminor)?,
        };
        Ok(Device { major, minor })
    }

    /// Returns the length of the body as stored.
    fn size(&self) -> Result<u64, Error> {
        match self.keywords.size {
            Some(size) => Ok(size),
            None => self
                .number::<i64>("size", &self.header.size)
                .map(i64::unsigned_abs),
        }
    }
}

/// Says why a type flag is refused.
fn refused(flag: u8) -> &'static str {
    match flag {
        b'A' => "a Solaris ACL, which is not read",
        b'E' => "a Solaris attribute file, which is not read",
        b'I' => "star's metadata of an inode without its content, which is not read",
        b'M' => "the rest of a file from another volume; join the volumes first",
        b'N' => "an old GNU list of names to change, which is not read",
        _ => "not known",
    }
}
