//! How a header and the extended headers in front of it become one member.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

use super::attribute::{self, Attributes};
use super::header::Header;
use super::keyword::{Globals, Keywords};
use super::kind::Body;
use super::{Error, Options, number, pax, sparse};
use crate::source::{Entry, EntryKind};
use crate::tree::{Meta, Time};

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
    /// Checks that nothing describes a member that does not come.
    pub(super) fn check_empty(&self) -> Result<(), Error> {
        let empty = self.path.is_none() && self.link.is_none() && self.records.is_empty();
        match self.since {
            Some(offset) if !empty => Err(Error::Dangling { offset }),
            _ => Ok(()),
        }
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
    let mut unknown = Vec::new();
    for (start, body) in &pending.records {
        let apply = |keyword: &[u8], value: &[u8]| member.keywords.apply(keyword, value);
        unknown.extend(pax::apply(body, *start, &member.name, apply)?);
    }
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

/// A member on the way.
pub(super) struct Assembly<'a> {
    pub(super) header: &'a Header,
    offset: u64,
    pub(super) options: &'a Options,
    pub(super) name: Vec<u8>,
    pub(super) keywords: Keywords,
}

impl Assembly<'_> {
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

    pub(super) fn check_name(
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
    pub(super) fn number<T>(&self, field: &'static str, bytes: &[u8]) -> Result<T, Error>
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

    /// The error for a field.
    pub(super) fn fault(&self, field: &'static str, reason: String) -> Error {
        Error::Field {
            offset: self.offset,
            entry: lossy(&self.name),
            field,
            reason,
        }
    }

    /// Where a sparse map belongs to.
    pub(super) fn place(&self) -> sparse::Place<'_> {
        sparse::Place {
            offset: self.offset,
            entry: &self.name,
        }
    }

    /// The error for a type flag that is refused.
    pub(super) fn refuse(&self, flag: u8, reason: &'static str) -> Error {
        Error::TypeFlag {
            offset: self.offset,
            entry: lossy(&self.name),
            flag: format!("`{}`", flag.escape_ascii()),
            reason,
        }
    }
}

/// Decodes a name for a message.
pub(super) fn lossy(name: &[u8]) -> String {
    String::from_utf8_lossy(name).into_owned()
}
