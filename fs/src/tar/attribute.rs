//! What rides on extended attributes: ACLs, inode flags, and how attributes are spelt.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

use super::keyword::Keywords;
use super::{Options, flag};
use crate::source::EntryKind;
use crate::tree::acl::{self, Acl};
use crate::tree::{InodeFlags, Xattrs};

/// What a member's records say beside owner and times.
#[derive(Debug)]
pub(super) struct Attributes {
    pub(super) mode: u16,
    pub(super) flags: InodeFlags,
    pub(super) xattrs: Xattrs,
    /// What was left out, for notes.
    pub(super) ignored: Vec<String>,
}

/// Why a member's attributes are refused, and what allows to leave them out.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) what: String,
    pub(super) ignore: Option<&'static str>,
}

impl From<String> for Refusal {
    fn from(what: String) -> Self {
        Self { what, ignore: None }
    }
}

/// Puts ACLs and inode flags in the form of the tree.
///
/// As in the kernel, an access ACL that is given as text decides the nine permission bits, and one
/// that says no more than they do is not kept. An ACL that is given as the attribute itself is
/// checked, but kept as it is, and counts before text.
pub(super) fn gather(
    keywords: &mut Keywords,
    kind: &EntryKind,
    mode: u16,
    options: &Options,
) -> Result<Attributes, Refusal> {
    let mut xattrs = std::mem::take(&mut keywords.inherited);
    xattrs.append(&mut keywords.xattrs);
    let mut all = Attributes {
        mode,
        flags: InodeFlags::default(),
        xattrs,
        ignored: Vec::new(),
    };
    all.settle_names(keywords);
    all.access(keywords.acl_access.take(), kind, options)?;
    all.default(keywords.acl_default.take(), kind, options)?;
    if let Some(text) = keywords.fflags.take() {
        let (flags, unknown) = flag::parse(&text);
        let what = format!(
            "inode flags that Linux does not have: {}",
            unknown.join(",")
        );
        match (unknown.is_empty(), options.ignore_flags) {
            (true, _) => {}
            (false, true) => all.ignored.push(what),
            (false, false) => {
                return Err(Refusal {
                    what,
                    ignore: Some("flags"),
                });
            }
        }
        all.flags = flags;
    }
    Ok(all)
}

impl Attributes {
    /// Settles which of two spellings of one attribute counts.
    fn settle_names(&mut self, keywords: &mut Keywords) {
        for (other, own) in keywords.twice.drain(..) {
            if self.xattrs.get(&other[..]) == self.xattrs.get(&own[..]) {
                self.xattrs.remove(&other[..]);
            }
        }
        if let Some(mut context) = keywords.selinux.take() {
            // The kernel has it with its NUL; where the attribute itself is there, it counts.
            context.push(0);
            self.xattrs
                .entry((*b"security.selinux").into())
                .or_insert(context.into());
        }
    }

    fn access(
        &mut self,
        text: Option<Vec<u8>>,
        kind: &EntryKind,
        options: &Options,
    ) -> Result<(), Refusal> {
        if matches!(kind, EntryKind::Symlink(_))
            && (text.is_some() || self.xattrs.contains_key(acl::ACCESS))
        {
            return Err("an ACL on a symbolic link".to_owned().into());
        }
        if let Some(value) = self.xattrs.get(acl::ACCESS) {
            Acl::from_attribute(value).map_err(malformed)?;
        } else if let Some(text) = text {
            let acl = self.parse(&text, options)?;
            self.mode = self.mode & !0o777 | acl.mode();
            if !acl.is_minimal() {
                self.xattrs
                    .insert(acl::ACCESS.into(), acl.to_attribute().into());
            }
        }
        Ok(())
    }

    fn default(
        &mut self,
        text: Option<Vec<u8>>,
        kind: &EntryKind,
        options: &Options,
    ) -> Result<(), Refusal> {
        let present = text.is_some() || self.xattrs.contains_key(acl::DEFAULT);
        if present && !matches!(kind, EntryKind::Directory) {
            return Err("a default ACL on what is no directory".to_owned().into());
        }
        if let Some(value) = self.xattrs.get(acl::DEFAULT) {
            Acl::from_attribute(value).map_err(malformed)?;
        } else if let Some(text) = text {
            let acl = self.parse(&text, options)?;
            self.xattrs
                .insert(acl::DEFAULT.into(), acl.to_attribute().into());
        }
        Ok(())
    }

    /// Reads an ACL's text, which may have to do without the names that have no id.
    fn parse(&mut self, text: &[u8], options: &Options) -> Result<Acl, Refusal> {
        let parsed = Acl::parse(text).map_err(malformed)?;
        if !parsed.unresolved.is_empty() {
            let entries = parsed.unresolved.join(" ");
            let what = format!("ACL entries without a numeric id: {entries}");
            if !options.ignore_acl_names {
                return Err(Refusal {
                    what,
                    ignore: Some("acls"),
                });
            }
            self.ignored.push(what);
        }
        Ok(parsed.acl)
    }
}

fn malformed(error: acl::Error) -> String {
    format!("its ACL: {error}")
}

/// Does to attribute names what GNU tar does: [`unescape`] undoes it.
pub(super) fn escape(name: &[u8]) -> Vec<u8> {
    let mut escaped = Vec::with_capacity(name.len());
    for byte in name {
        match byte {
            b'=' => escaped.extend_from_slice(b"%3D"),
            b'%' => escaped.extend_from_slice(b"%25"),
            _ => escaped.push(*byte),
        }
    }
    escaped
}

/// Undoes what GNU tar does to attribute names: `%3D` is `=`, `%25` is `%`.
pub(super) fn unescape(name: &[u8]) -> Vec<u8> {
    percent(name, |hex| matches!(hex, b"3D" | b"25")).unwrap_or_default()
}

/// Decodes a name as libarchive encodes it: any byte may be `%` and two hexadecimal digits.
pub(super) fn url_decode(name: &[u8]) -> Option<Vec<u8>> {
    percent(name, |_| true)
}

/// Decodes the escapes that are meant; `None` if one of them is malformed.
fn percent(name: &[u8], meant: impl Fn(&[u8]) -> bool) -> Option<Vec<u8>> {
    let mut plain = Vec::with_capacity(name.len());
    let mut rest = name;
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        let hex = after.get(..2).unwrap_or(after);
        if *first != b'%' || !meant(hex) {
            plain.push(*first);
            continue;
        }
        let digit = |at: usize| {
            hex.get(at)
                .and_then(|digit| char::from(*digit).to_digit(16))
        };
        let byte = digit(0)? << 4 | digit(1)?;
        plain.push(u8::try_from(byte).ok()?);
        rest = after.get(2..)?;
    }
    Some(plain)
}

/// Decodes base64 with or without padding; `None` if it is something else.
pub(super) fn base64(text: &[u8]) -> Option<Vec<u8>> {
    let text = text.strip_suffix(b"=").unwrap_or(text);
    let text = text.strip_suffix(b"=").unwrap_or(text);
    let mut plain = Vec::new();
    for group in text.chunks(4) {
        let bits = group
            .iter()
            .try_fold(0u32, |bits, letter| Some(bits << 6 | sextet(*letter)?))?;
        let [_, a, b, c] = match group.len() {
            4 => bits,
            3 => bits << 6,
            2 => bits << 12,
            _ => return None,
        }
        .to_be_bytes();
        plain.extend([a, b, c].iter().take(group.len().saturating_sub(1)));
    }
    Some(plain)
}

fn sextet(letter: u8) -> Option<u32> {
    let value = match letter {
        b'A'..=b'Z' => letter.checked_sub(b'A')?,
        b'a'..=b'z' => letter.checked_sub(b'a')?.checked_add(26)?,
        b'0'..=b'9' => letter.checked_sub(b'0')?.checked_add(52)?,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    };
    Some(u32::from(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gnu_escapes_in_attribute_names_are_undone() {
        assert_eq!(escape(b"user.a=b%c%2"), b"user.a%3Db%25c%252");
        assert_eq!(unescape(b"user.a%3Db%25c%2"), b"user.a=b%c%2");
        assert_eq!(unescape(b"user.%3d%41%"), b"user.%3d%41%");
    }

    #[test]
    fn libarchive_escapes_in_attribute_names_are_undone() {
        assert_eq!(
            url_decode(b"user.a%3Db%C3%bc"),
            Some(b"user.a=b\xc3\xbc".to_vec())
        );
        for name in [&b"user.%"[..], b"user.%4", b"user.%4x", b"user.%+1"] {
            assert_eq!(url_decode(name), None);
        }
    }

    #[test]
    fn base64_is_decoded_with_and_without_padding() {
        for (text, plain) in [
            ("", &b""[..]),
            ("Zg", b"f"),
            ("Zg==", b"f"),
            ("Zm8", b"fo"),
            ("Zm8=", b"fo"),
            ("Zm9v", b"foo"),
            ("AAD/+w==", b"\0\0\xff\xfb"),
        ] {
            assert_eq!(base64(text.as_bytes()).as_deref(), Some(plain), "{text}");
        }
        for text in ["Z", "Zm9vZ", "Zm-v", "Zm 9", "Zg===", "Z=g="] {
            assert_eq!(base64(text.as_bytes()), None, "{text}");
        }
    }

    fn gathered(
        records: &[(&str, &[u8])],
        kind: &EntryKind,
        options: &Options,
    ) -> Result<Attributes, Refusal> {
        let mut keywords = Keywords::default();
        for (keyword, value) in records {
            assert_eq!(
                keywords.apply(keyword.as_bytes(), value),
                Ok(true),
                "{keyword}"
            );
        }
        gather(&mut keywords, kind, 0o4600, options)
    }

    #[test]
    fn access_acl_decides_the_permission_bits() {
        let text = b"user::rwx,user:5:rw-,group::r--,mask::r-x,other::--x";
        let records: [(&str, &[u8]); 1] = [("SCHILY.acl.access", text)];
        let file = EntryKind::File { size: 0 };
        let all = gathered(&records, &file, &Options::default()).unwrap();
        assert_eq!(all.mode, 0o4751);
        let value = all.xattrs.get(acl::ACCESS).unwrap();
        assert_eq!(
            Acl::from_attribute(value).unwrap().to_string().as_bytes(),
            text
        );
        let minimal: [(&str, &[u8]); 1] =
            [("SCHILY.acl.access", b"user::r--,group::r--,other::r--")];
        let all = gathered(&minimal, &file, &Options::default()).unwrap();
        assert_eq!((all.mode, all.xattrs.len()), (0o4444, 0));
    }

    #[test]
    fn attribute_counts_before_other_spellings_of_it() {
        let acl = Acl::parse(b"user::r--,user:5:rw-,group::r--,mask::r--,other::---")
            .unwrap()
            .acl;
        let value = acl.to_attribute();
        let records: [(&str, &[u8]); 6] = [
            ("SCHILY.xattr.security.selinux", b"plain"),
            ("RHT.security.selinux", b"other"),
            ("SCHILY.xattr.system.posix_acl_access", &value),
            (
                "SCHILY.acl.access",
                b"user::r--,user:joe:rw-,group::r--,mask::r--,other::---",
            ),
            ("LIBARCHIVE.xattr.user.%C3%BC", b"Zg"),
            ("SCHILY.xattr.user.%C3%BC", b"f"),
        ];
        let all = gathered(&records, &EntryKind::Directory, &Options::default()).unwrap();
        let expected: [(&[u8], &[u8]); 3] = [
            (b"security.selinux", b"plain"),
            (acl::ACCESS, &value),
            ("user.\u{fc}".as_bytes(), b"f"),
        ];
        let xattrs = all
            .xattrs
            .iter()
            .map(|(name, value)| (&name[..], &value[..]));
        assert_eq!(xattrs.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn acls_and_flags_that_cannot_be_are_refused() {
        let (file, directory) = (EntryKind::File { size: 0 }, EntryKind::Directory);
        let link = EntryKind::Symlink(b"x".to_vec());
        let minimal = b"user::r--,group::r--,other::r--";
        for (keyword, value, kind, ignore) in [
            ("SCHILY.acl.access", &b"user::r--"[..], &file, None),
            (
                "SCHILY.acl.access",
                b"user::r--,user:joe:r--,group::r--,mask::r--,other::r--",
                &file,
                Some("acls"),
            ),
            ("SCHILY.acl.access", minimal, &link, None),
            ("SCHILY.acl.default", minimal, &file, None),
            ("SCHILY.xattr.system.posix_acl_access", b"junk", &file, None),
            ("SCHILY.fflags", b"uchg", &directory, Some("flags")),
        ] {
            let refusal = gathered(&[(keyword, value)], kind, &Options::default()).unwrap_err();
            assert_eq!(refusal.ignore, ignore, "{keyword}: {}", refusal.what);
        }
    }

    #[test]
    fn what_may_be_ignored_is_left_out_with_a_note() {
        let options = Options {
            ignore_acl_names: true,
            ignore_flags: true,
            ..Options::default()
        };
        let records: [(&str, &[u8]); 2] = [
            (
                "SCHILY.acl.default",
                b"user::rwx,group:staff:r--,group::r--,mask::r--,other::r--",
            ),
            ("SCHILY.fflags", b"nodump,uchg"),
        ];
        let all = gathered(&records, &EntryKind::Directory, &options).unwrap();
        assert_eq!(all.flags, InodeFlags(InodeFlags::NODUMP));
        assert_eq!(all.ignored.len(), 2);
        assert!(all.xattrs.contains_key(acl::DEFAULT));
    }
}
