//! What the keywords of PAX records mean.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

use std::collections::BTreeMap;

use super::attribute::{base64, unescape, url_decode};
use super::{number, sparse};
use crate::tree::{Time, Xattrs};

/// What the records in force say about the next member.
#[derive(Clone, Debug, Default)]
pub(super) struct Keywords {
    pub(super) path: Option<Vec<u8>>,
    pub(super) linkpath: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) uid: Option<u32>,
    pub(super) gid: Option<u32>,
    pub(super) mtime: Option<Time>,
    pub(super) atime: Option<Time>,
    pub(super) ctime: Option<Time>,
    pub(super) crtime: Option<Time>,
    pub(super) devmajor: Option<u32>,
    pub(super) devminor: Option<u32>,
    pub(super) project: Option<u32>,
    /// Names of inode flags.
    pub(super) fflags: Option<Vec<u8>>,
    /// ACLs as text.
    pub(super) acl_access: Option<Vec<u8>>,
    pub(super) acl_default: Option<Vec<u8>>,
    pub(super) xattrs: Xattrs,
    /// Attributes of global records, as far as nothing takes them back.
    pub(super) inherited: Xattrs,
    /// The SELinux context as text, without a NUL at its end.
    pub(super) selinux: Option<Vec<u8>>,
    /// Attributes that libarchive writes twice: once with escapes that GNU tar would not undo, so
    /// that it comes in under the first name, and once under the second, its own.
    pub(super) twice: Vec<(Vec<u8>, Vec<u8>)>,
    pub(super) sparse: sparse::Records,
}

/// Records that say nothing this crate needs, each harmless to pass over: names of owners, the
/// encodings of what is raw bytes here, numbers of the filesystem the archive was made on.
const INFORMATIONAL: [&[u8]; 21] = [
    b"GNU.dumpdir",
    b"GNU.volume.label",
    b"LIBARCHIVE.symlinktype",
    b"SCHILY.archtype",
    b"SCHILY.dev",
    b"SCHILY.dir",
    b"SCHILY.filetype",
    b"SCHILY.ino",
    b"SCHILY.nlink",
    b"SCHILY.offset",
    b"SCHILY.realsize",
    b"SCHILY.release",
    b"SCHILY.tarfiletype",
    b"SCHILY.volhdr.blocksize",
    b"SCHILY.volhdr.dumptype",
    b"SCHILY.volhdr.filesys",
    b"SCHILY.volhdr.hostname",
    b"charset",
    b"comment",
    b"gname",
    b"uname",
];

impl Keywords {
    /// Takes in a record; returns whether its keyword is known.
    ///
    /// # Errors
    /// What is wrong with the value, for a message.
    pub(super) fn apply(&mut self, keyword: &[u8], value: &[u8]) -> Result<bool, String> {
        if let Some(keyword) = keyword.strip_prefix(b"GNU.sparse.") {
            return self.sparse.apply(keyword, value);
        }
        if let Some(name) = keyword.strip_prefix(b"SCHILY.xattr.") {
            self.xattr(&unescape(name), value)?;
            return Ok(true);
        }
        if let Some(name) = keyword.strip_prefix(b"LIBARCHIVE.xattr.") {
            let (own, other) = (
                url_decode(name).ok_or("its escapes are malformed")?,
                unescape(name),
            );
            self.xattr(&own, &base64(value).ok_or("its value is not base64")?)?;
            if own != other {
                self.twice.push((other, own));
            }
            return Ok(true);
        }
        match keyword {
            b"path" => self.path = bytes(value),
            b"linkpath" => self.linkpath = bytes(value),
            b"size" => self.size = integer(value)?,
            b"uid" => self.uid = id(value)?,
            b"gid" => self.gid = id(value)?,
            b"mtime" => self.mtime = time(value)?,
            b"atime" => self.atime = time(value)?,
            b"ctime" => self.ctime = time(value)?,
            b"LIBARCHIVE.creationtime" => self.crtime = time(value)?,
            b"SCHILY.devmajor" => self.devmajor = id(value)?,
            b"SCHILY.devminor" => self.devminor = id(value)?,
            b"SCHILY.fflags" => self.fflags = bytes(value),
            b"SCHILY.acl.access" => self.acl_access = bytes(value),
            b"SCHILY.acl.default" => self.acl_default = bytes(value),
            b"SCHILY.acl.ace" => return Err("NFSv4 ACLs are not read".to_owned()),
            b"SUN.holesdata" => return Err("sparse files of Solaris tar are not read".to_owned()),
            b"GNU.volume.filename" | b"GNU.volume.offset" | b"GNU.volume.size" => {
                return Err(
                    "the rest of a file from another volume; join the volumes first".to_owned(),
                );
            }
            b"hdrcharset" => {
                return Ok(matches!(
                    value,
                    b"" | b"BINARY" | b"ISO-IR 10646 2000 UTF-8"
                ));
            }
            b"FORGER.project" => self.project = id(value)?,
            b"RHT.security.selinux" => self.selinux = context(value)?,
            _ => return Ok(INFORMATIONAL.binary_search(&keyword).is_ok()),
        }
        Ok(true)
    }

    /// Sets an extended attribute. An empty value is an empty attribute, except that it takes back
    /// one that a global record has set.
    fn xattr(&mut self, name: &[u8], value: &[u8]) -> Result<(), String> {
        if name.is_empty() || name.contains(&0) {
            return Err("it names no attribute".to_owned());
        }
        if self.inherited.remove(name).is_none() || !value.is_empty() {
            self.xattrs.insert(name.into(), value.into());
        }
        Ok(())
    }
}

/// Reads a SELinux context.
fn context(value: &[u8]) -> Result<Option<Vec<u8>>, String> {
    let text = value.strip_suffix(b"\0").unwrap_or(value);
    match text.contains(&0) {
        true => Err("it contains a NUL".to_owned()),
        false => Ok(bytes(text)),
    }
}

fn bytes(value: &[u8]) -> Option<Vec<u8>> {
    (!value.is_empty()).then(|| value.to_vec())
}

fn integer(value: &[u8]) -> Result<Option<u64>, String> {
    if value.is_empty() {
        return Ok(None);
    }
    let number = number::decimal(value).filter(|number| i64::try_from(*number).is_ok());
    number
        .map(Some)
        .ok_or_else(|| format!("`{}` is no number below 2^63", number::printable(value)))
}

fn id(value: &[u8]) -> Result<Option<u32>, String> {
    let number = integer(value)?.map(u32::try_from).transpose();
    number.map_err(|_| format!("`{}` is no number below 2^32", number::printable(value)))
}

fn time(value: &[u8]) -> Result<Option<Time>, String> {
    if value.is_empty() {
        return Ok(None);
    }
    number::time(value)
        .map(Some)
        .ok_or_else(|| format!("`{}` is no time", number::printable(value)))
}

/// The records of global headers, in force until they are replaced.
#[derive(Debug, Default)]
pub(super) struct Globals {
    records: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Globals {
    /// Takes in a record; an empty value takes an earlier one back.
    ///
    /// # Errors
    /// The value is malformed, or the keyword cannot be meant for more than one member.
    pub(super) fn apply(&mut self, keyword: &[u8], value: &[u8]) -> Result<bool, String> {
        // Readers disagree on these, and where a body ends must not be a matter of opinion.
        if keyword == b"size" || keyword.starts_with(b"GNU.sparse.") {
            return Err("a global header cannot set it".to_owned());
        }
        let known = Keywords::default().apply(keyword, value)?;
        if value.is_empty() {
            self.records.remove(keyword);
        } else if known {
            self.records.insert(keyword.to_vec(), value.to_vec());
        }
        Ok(known)
    }

    /// Returns what the global records say about the next member.
    pub(super) fn keywords(&self) -> Keywords {
        let mut keywords = Keywords::default();
        for (keyword, value) in &self.records {
            // Every record was accepted when it came in.
            let _ = keywords.apply(keyword, value);
        }
        keywords.inherited = std::mem::take(&mut keywords.xattrs);
        keywords
    }

    /// Returns how many bytes the records take.
    pub(super) fn bytes(&self) -> u64 {
        let bytes = self
            .records
            .iter()
            .map(|(keyword, value)| keyword.len().saturating_add(value.len()));
        u64::try_from(bytes.fold(0, usize::saturating_add)).unwrap_or(u64::MAX)
    }

    /// Forgets everything: another archive starts.
    pub(super) fn clear(&mut self) {
        self.records.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn informational_keywords_are_sorted() {
        assert!(INFORMATIONAL.is_sorted());
    }

    #[test]
    fn empty_value_takes_a_record_back_but_makes_an_empty_attribute() {
        let mut globals = Globals::default();
        for (keyword, value) in [("uid", "7"), ("SCHILY.xattr.user.a", "x"), ("gid", "8")] {
            assert_eq!(
                globals.apply(keyword.as_bytes(), value.as_bytes()),
                Ok(true)
            );
        }
        globals.apply(b"gid", b"").unwrap();
        let mut keywords = globals.keywords();
        assert_eq!((keywords.uid, keywords.gid), (Some(7), None));
        keywords.apply(b"uid", b"").unwrap();
        keywords.apply(b"SCHILY.xattr.user.a", b"").unwrap();
        keywords.apply(b"SCHILY.xattr.user.b", b"").unwrap();
        keywords.apply(b"SCHILY.xattr.user.b", b"").unwrap();
        assert_eq!((keywords.uid, keywords.inherited.len()), (None, 0));
        assert_eq!(
            keywords
                .xattrs
                .keys()
                .map(|name| &name[..])
                .collect::<Vec<_>>(),
            [b"user.b"]
        );
    }

    #[test]
    fn values_of_the_wrong_kind_are_refused() {
        for (keyword, value) in [
            ("size", "-1"),
            ("size", "9223372036854775808"),
            ("uid", "4294967296"),
            ("gid", "x"),
            ("mtime", "yesterday"),
            ("SCHILY.devmajor", "-1"),
            ("SCHILY.xattr.", "x"),
            ("SCHILY.xattr.a\0b", "x"),
            ("RHT.security.selinux", "a\0b"),
            ("FORGER.project", "1.5"),
            ("LIBARCHIVE.xattr.user.%zz", "Zg"),
            ("LIBARCHIVE.xattr.user.a", "Z"),
            ("SCHILY.acl.ace", "owner@:rwx:allow"),
            ("SUN.holesdata", " 0 4096"),
            ("GNU.volume.offset", "5"),
        ] {
            let result = Keywords::default().apply(keyword.as_bytes(), value.as_bytes());
            assert!(result.is_err(), "{keyword}={value}");
        }
    }

    #[test]
    fn global_sizes_and_sparse_maps_are_refused() {
        for keyword in ["size", "GNU.sparse.map", "GNU.sparse.major"] {
            assert!(Globals::default().apply(keyword.as_bytes(), b"1").is_err());
        }
    }
}
