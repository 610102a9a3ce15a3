//! How a header and the extended headers in front of it become one member.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

use super::attribute::{self, Attributes};
use super::header::{Dialect, Header};
use super::keyword::{Globals, Keywords};
use super::pax::Records;
use super::{Error, Options, number, sparse};
use crate::source::{Entry, EntryKind};
use crate::tree::{Device, Meta, Time};

/// What extended headers have said about the next member.
#[derive(Debug, Default)]
pub(super) struct Pending {
    /// GNU long name.
    pub(super) path: Option<Vec<u8>>,
    /// GNU long link target.
    pub(super) link: Option<Vec<u8>>,
    /// The bodies of PAX headers, and where each starts in the archive.
    pub(super) records: Vec<(u64, Vec<u8>)>,
    /// Where the first of the extended headers stands.
    pub(super) since: Option<u64>,
}

impl Pending {
    /// Tells whether the next member would be changed by it.
    pub(super) fn is_empty(&self) -> bool {
        self.path.is_none() && self.link.is_none() && self.records.is_empty()
    }
}

/// A member, its body still to come.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) entry: Entry,
    pub(super) body: Body,
    /// Keywords that nobody knows.
    pub(super) unknown: Vec<Vec<u8>>,
    /// What was left out because the options allow it.
    pub(super) ignored: Vec<String>,
}

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

/// Decides what a header and what was pending add up to.
pub(super) fn assemble(
    header: &Header,
    offset: u64,
    pending: Pending,
    globals: &Globals,
    options: &Options,
) -> Result<Member, Error> {
    let mut member = Assembly {
        header,
        offset,
        options,
        name: header.path(),
        keywords: globals.keywords(),
    };
    if let Some(path) = pending.path {
        member.name = path;
    }
    let unknown = member.apply(&pending.records)?;
    member.rename()?;
    let (kind, body) = member.kind(pending.link)?;
    let attributes = member.attributes(&kind)?;
    let ignored = attributes.ignored.clone();
    let meta = member.meta(attributes)?;
    let entry = Entry {
        path: member.name,
        kind,
        meta,
        offset: Some(offset),
    };
    Ok(Member {
        entry,
        body,
        unknown,
        ignored,
    })
}

struct Assembly<'a> {
    header: &'a Header,
    offset: u64,
    options: &'a Options,
    name: Vec<u8>,
    keywords: Keywords,
}

impl Assembly<'_> {
    /// Applies the PAX records in front of the member; returns the keywords that nobody knows.
    fn apply(&mut self, bodies: &[(u64, Vec<u8>)]) -> Result<Vec<Vec<u8>>, Error> {
        let mut unknown = Vec::new();
        for (start, body) in bodies {
            for record in Records::new(body) {
                let (position, result) = match record {
                    Ok(record) => {
                        let applied = self.keywords.apply(record.keyword, record.value);
                        let keyword = number::printable(record.keyword);
                        let applied = applied.map_err(|reason| format!("{keyword}: {reason}"));
                        (
                            record.position,
                            applied.map(|known| (known, record.keyword)),
                        )
                    }
                    Err((position, reason)) => (position, Err(reason)),
                };
                let (known, keyword) = result.map_err(|reason| Error::Pax {
                    offset: start.saturating_add(u64::try_from(position).unwrap_or(0)),
                    entry: lossy(&self.name),
                    reason,
                })?;
                if !known {
                    unknown.push(keyword.to_vec());
                }
            }
        }
        Ok(unknown)
    }

    /// Puts the name in force in place and checks it.
    fn rename(&mut self) -> Result<(), Error> {
        let path = self.keywords.path.take();
        if let Some(path) = self.keywords.sparse.name.take().or(path) {
            self.name = path;
        }
        if self.name.is_empty() {
            return Err(self.fault("name", "it is empty".to_owned()));
        }
        self.check_name("name", "a name", &self.name)
    }

    fn check_name(
        &self,
        field: &'static str,
        what: &'static str,
        name: &[u8],
    ) -> Result<(), Error> {
        if name.contains(&0) {
            let name = number::printable(name);
            return Err(self.fault(field, format!("`{name}` contains a NUL")));
        }
        let (size, limit) = (
            u64::try_from(name.len()).unwrap_or(u64::MAX),
            self.options.max_name,
        );
        if size > limit {
            let (offset, entry) = (self.offset, lossy(name.get(..256).unwrap_or(name)));
            return Err(Error::TooLong {
                offset,
                entry,
                what,
                size,
                limit,
            });
        }
        Ok(())
    }

    /// Decides what the member is and what body follows.
    fn kind(&mut self, long_link: Option<Vec<u8>>) -> Result<(EntryKind, Body), Error> {
        let flag = self.header.typeflag;
        let sparse = self.keywords.sparse.describe(self.options.max_sparse_runs);
        let sparse = sparse.map_err(|reason| self.sparse_fault(reason))?;
        if sparse.is_some() && !matches!(flag, 0 | b'0' | b'7') {
            return Err(self.sparse_fault("it belongs to no regular file".to_owned()));
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
            flag => Err(Error::TypeFlag {
                offset: self.offset,
                entry: lossy(&self.name),
                flag: format!("`{}`", flag.escape_ascii()),
                reason: refused(flag),
            }),
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
                Body::Mapped(stored, runs.map_err(|reason| self.sparse_fault(reason))?)
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
            return Err(self.sparse_fault("type `S` in a header that is not GNU's".to_owned()));
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
            Err(_) => {
                Err(self.sparse_fault(format!("the file's size, {size}, is no number below 2^63")))
            }
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

    fn attributes(&mut self, kind: &EntryKind) -> Result<Attributes, Error> {
        let mode = self.number::<u32>("mode", &self.header.mode)? & 0o7777;
        let mode = u16::try_from(mode).unwrap_or(0);
        attribute::gather(&mut self.keywords, kind, mode, self.options).map_err(|refusal| {
            Error::Unrepresentable {
                offset: self.offset,
                entry: lossy(&self.name),
                what: refusal.what,
                ignore: refusal.ignore,
            }
        })
    }

    fn meta(&self, attributes: Attributes) -> Result<Meta, Error> {
        let (header, keywords) = (self.header, &self.keywords);
        let (atime, ctime) = self.header_times()?;
        let uid = keywords
            .uid
            .map_or_else(|| self.number("uid", &header.uid), Ok)?;
        let gid = keywords
            .gid
            .map_or_else(|| self.number("gid", &header.gid), Ok)?;
        let mtime = match (keywords.mtime, header.mtime.first()) {
            (None, Some(0)) => None,
            (None, _) => Some(self.time("mtime", &header.mtime)?),
            (mtime, _) => mtime,
        };
        Ok(Meta {
            mode: attributes.mode,
            uid,
            gid,
            mtime,
            atime: keywords.atime.or(atime),
            ctime: keywords.ctime.or(ctime),
            crtime: keywords.crtime,
            flags: attributes.flags,
            project: keywords.project.unwrap_or(0),
            xattrs: attributes.xattrs,
        })
    }

    /// Reads the access and change time that some dialects have in the header; 0 is unset.
    fn header_times(&self) -> Result<(Option<Time>, Option<Time>), Error> {
        let Some((atime, ctime)) = self.header.times() else {
            return Ok((None, None));
        };
        let set = |time: Time| (time != Time::default()).then_some(time);
        Ok((
            set(self.time("atime", atime)?),
            set(self.time("ctime", ctime)?),
        ))
    }

    fn time(&self, field: &'static str, bytes: &[u8]) -> Result<Time, Error> {
        self.signed(field, bytes).map(Time::from_sec)
    }

    /// Reads a number that is not negative.
    fn number<T>(&self, field: &'static str, bytes: &[u8]) -> Result<T, Error>
    where
        T: TryFrom<i128>,
    {
        let value = number::field(bytes).map_err(|reason| self.fault(field, reason))?;
        let reason = || match value {
            ..0 => format!("{value} is negative"),
            _ => format!("{value} is absurdly large"),
        };
        let positive = Some(value).filter(|value| *value >= 0);
        positive
            .and_then(|value| T::try_from(value).ok())
            .ok_or_else(|| self.fault(field, reason()))
    }

    fn signed(&self, field: &'static str, bytes: &[u8]) -> Result<i64, Error> {
        let value = number::field(bytes).map_err(|reason| self.fault(field, reason))?;
        i64::try_from(value).map_err(|_| self.fault(field, format!("{value} is absurd")))
    }

    fn fault(&self, field: &'static str, reason: String) -> Error {
        Error::Field {
            offset: self.offset,
            entry: lossy(&self.name),
            field,
            reason,
        }
    }

    fn sparse_fault(&self, reason: String) -> Error {
        Error::Sparse {
            offset: self.offset,
            entry: lossy(&self.name),
            reason,
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

/// Decodes a name for a message.
pub(super) fn lossy(name: &[u8]) -> String {
    String::from_utf8_lossy(name).into_owned()
}
