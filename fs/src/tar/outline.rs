//! How an entry becomes a header and the PAX records that it needs.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

use std::collections::BTreeMap;

use super::attribute::escape;
use super::header::Header;
use super::member::lossy;
use super::number::{octal_field, octal_limit, time_text};
use super::{WriteError, WriteOptions, flag, pax};
use crate::source::{Entry, EntryKind};
use crate::tree::acl::{self, Acl};
use crate::tree::{Device, InodeFlags, Meta, Time};

/// What stands before a member's body.
pub(super) struct Outline {
    header: Header,
    /// In order of keyword.
    records: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// How a member's content is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stored {
    /// There is none.
    Not,
    /// So many bytes, as they are.
    Plain(u64),
    /// So many bytes with the map in front, for a file of `size`.
    Sparse { size: u64, body: u64 },
}

/// Decides what describes an entry.
pub(super) fn outline(
    entry: &Entry,
    stored: Stored,
    options: &WriteOptions,
) -> Result<Outline, WriteError> {
    let typeflag = match &entry.kind {
        EntryKind::File { .. } => b'0',
        EntryKind::HardLink { .. } => b'1',
        EntryKind::Symlink(_) => b'2',
        EntryKind::CharDevice(_) => b'3',
        EntryKind::BlockDevice(_) => b'4',
        EntryKind::Directory => b'5',
        EntryKind::Fifo => b'6',
        EntryKind::Socket => return Err(refused(entry, "a socket", Some("sockets"))),
    };
    let mut outline = Outline {
        header: Header::posix(typeflag),
        records: BTreeMap::new(),
    };
    outline.name(entry, matches!(stored, Stored::Sparse { .. }))?;
    outline.content(&entry.kind, stored);
    let device = match &entry.kind {
        EntryKind::CharDevice(device) | EntryKind::BlockDevice(device) => *device,
        _ => Device::default(),
    };
    outline.device(device);
    outline.owner(&entry.meta);
    // A further name shares what its target has.
    if !matches!(entry.kind, EntryKind::HardLink { .. }) {
        outline.times(&entry.meta);
        outline.attributes(entry, options.acls_as_xattrs)?;
    }
    Ok(outline)
}

/// The error for what has no place in a tar archive.
pub(super) fn refused(entry: &Entry, what: &str, ignore: Option<&'static str>) -> WriteError {
    WriteError::Unrepresentable {
        entry: lossy(&entry.path),
        what: what.to_owned(),
        ignore,
    }
}

impl Outline {
    /// Returns the blocks to be written: the records with their own header, if there are any, and
    /// the header.
    pub(super) fn blocks(mut self) -> Vec<u8> {
        use zerocopy::IntoBytes;
        let mut blocks = Vec::new();
        if !self.records.is_empty() {
            let mut body = Vec::new();
            self.records
                .iter()
                .for_each(|(keyword, value)| pax::push(&mut body, keyword, value));
            let mut header = Header::posix(b'x');
            header.set_short_path(b"PaxHeaders/record");
            header.mode = *b"0000644\0";
            (header.uid, header.gid) = (*b"0000000\0", *b"0000000\0");
            header.mtime = *b"00000000000\0";
            let size = u64::try_from(body.len()).unwrap_or(u64::MAX);
            // Names and attributes of a file are far below 8 GiB.
            header.size = octal_field(size).unwrap_or_else(octal_limit);
            header.seal();
            blocks.extend_from_slice(header.as_bytes());
            blocks.append(&mut body);
            blocks.resize(blocks.len().next_multiple_of(512), 0);
        }
        self.header.seal();
        blocks.extend_from_slice(self.header.as_bytes());
        blocks
    }

    fn record(&mut self, keyword: &[u8], value: impl AsRef<[u8]>) {
        self.records
            .insert(keyword.to_vec(), value.as_ref().to_vec());
    }

    fn name(&mut self, entry: &Entry, sparse: bool) -> Result<(), WriteError> {
        let directory = entry.kind == EntryKind::Directory;
        let path = match (trimmed(&entry.path), directory) {
            (b"", true) if !entry.path.is_empty() => b"./".to_vec(),
            (path, true) => [path, b"/"].concat(),
            (path, false) => path.to_vec(),
        };
        if path.is_empty() || path.contains(&0) {
            return Err(refused(
                entry,
                "a name that is empty or contains a NUL",
                None,
            ));
        }
        if sparse {
            // Readers that know nothing of it extract the map and the data under this name.
            let (folder, base) = match path.iter().rposition(|byte| *byte == b'/') {
                Some(at) => path
                    .split_at_checked(at.saturating_add(1))
                    .unwrap_or_default(),
                None => (&b""[..], &path[..]),
            };
            let stand_in = [folder, b"GNUSparseFile.0/", base].concat();
            if !self.header.set_path(&stand_in) {
                self.header.set_short_path(&stand_in);
            }
            self.text(b"GNU.sparse.name", &path);
        } else if !self.header.set_path(&path) {
            self.header.set_short_path(&path);
            self.text(b"path", &path);
        }
        if let EntryKind::Symlink(target) | EntryKind::HardLink { target, .. } = &entry.kind {
            if target.is_empty() || target.contains(&0) {
                return Err(refused(
                    entry,
                    "a target that is empty or contains a NUL",
                    None,
                ));
            }
            if !self.header.set_link(target) {
                self.text(b"linkpath", target);
            }
        }
        Ok(())
    }

    /// Sets a record of text, which is UTF-8 unless another one says that it is not.
    fn text(&mut self, keyword: &[u8], value: &[u8]) {
        self.record(keyword, value);
        if std::str::from_utf8(value).is_err() {
            self.record(b"hdrcharset", b"BINARY");
        }
    }

    fn content(&mut self, kind: &EntryKind, stored: Stored) {
        let body = match stored {
            Stored::Not => 0,
            Stored::Plain(size) => size,
            Stored::Sparse { size, body } => {
                self.record(b"GNU.sparse.major", b"1");
                self.record(b"GNU.sparse.minor", b"0");
                self.record(b"GNU.sparse.realsize", size.to_string());
                body
            }
        };
        let field = octal_field(body);
        // A hard link's size is believed only if a record gives it.
        if field.is_none() || (body > 0 && matches!(kind, EntryKind::HardLink { .. })) {
            self.record(b"size", body.to_string());
        }
        self.header.size = field.unwrap_or_else(octal_limit);
    }

    fn device(&mut self, Device { major, minor }: Device) {
        let (majors, minors) = (octal_field(major.into()), octal_field(minor.into()));
        if majors.is_none() {
            self.record(b"SCHILY.devmajor", major.to_string());
        }
        if minors.is_none() {
            self.record(b"SCHILY.devminor", minor.to_string());
        }
        self.header.devmajor = majors.unwrap_or_else(octal_limit);
        self.header.devminor = minors.unwrap_or_else(octal_limit);
    }

    fn owner(&mut self, meta: &Meta) {
        // Twelve bits always fit.
        self.header.mode = octal_field((meta.mode & 0o7777).into()).unwrap_or_else(octal_limit);
        let (uid, gid) = (octal_field(meta.uid.into()), octal_field(meta.gid.into()));
        if uid.is_none() {
            self.record(b"uid", meta.uid.to_string());
        }
        if gid.is_none() {
            self.record(b"gid", meta.gid.to_string());
        }
        self.header.uid = uid.unwrap_or_else(octal_limit);
        self.header.gid = gid.unwrap_or_else(octal_limit);
        if let Some(mtime) = meta.mtime {
            let seconds = u64::try_from(mtime.sec).unwrap_or(0);
            self.header.mtime = octal_field(seconds).unwrap_or_else(octal_limit);
        }
    }

    fn times(&mut self, meta: &Meta) {
        let fits = |time: &Time| {
            let seconds = u64::try_from(time.sec).ok();
            time.nsec == 0 && seconds.and_then(octal_field::<12>).is_some()
        };
        for (keyword, time) in [
            (&b"mtime"[..], meta.mtime.filter(|time| !fits(time))),
            (b"atime", meta.atime),
            (b"ctime", meta.ctime),
            (b"LIBARCHIVE.creationtime", meta.crtime),
        ] {
            if let Some(time) = time {
                self.record(keyword, time_text(time));
            }
        }
    }

    fn attributes(&mut self, entry: &Entry, raw_acls: bool) -> Result<(), WriteError> {
        let meta = &entry.meta;
        for (name, value) in &meta.xattrs {
            if name.is_empty() || name.contains(&0) {
                return Err(refused(
                    entry,
                    "an attribute without a name or with a NUL in it",
                    None,
                ));
            }
            let text = match raw_acls {
                true => None,
                false => acl_text(name, value, meta.mode),
            };
            let (keyword, value) = match text {
                Some((keyword, text)) => (keyword.to_vec(), text.into_bytes()),
                None => (
                    [b"SCHILY.xattr.", &escape(name)[..]].concat(),
                    value.to_vec(),
                ),
            };
            self.record(&keyword, value);
        }
        if meta.flags != InodeFlags::default() {
            let names = flag::names(meta.flags);
            let what = || format!("inode flags without a name: {:#x}", meta.flags.0);
            let names = names.ok_or_else(|| refused(entry, &what(), None))?;
            self.record(b"SCHILY.fflags", names);
        }
        if meta.project != 0 {
            self.record(b"FORGER.project", meta.project.to_string());
        }
        Ok(())
    }
}

/// Returns an ACL as text where that says the same to every reader: to one that lets the access ACL
/// decide the mode, too.
fn acl_text(name: &[u8], value: &[u8], mode: u16) -> Option<(&'static [u8], String)> {
    let acl = Acl::from_attribute(value)
        .ok()
        .filter(|acl| acl.to_attribute() == value)?;
    match name {
        acl::ACCESS if !acl.is_minimal() && acl.mode() == mode & 0o777 => {
            Some((b"SCHILY.acl.access", acl.to_string()))
        }
        acl::DEFAULT => Some((b"SCHILY.acl.default", acl.to_string())),
        _ => None,
    }
}

/// Returns a name without the slashes at its end.
fn trimmed(path: &[u8]) -> &[u8] {
    let last = path.iter().rposition(|byte| *byte != b'/');
    let end = last.map_or(0, |last| last.saturating_add(1));
    path.get(..end).unwrap_or_default()
}
