//! `--inject SRC:DEST[:MODE[:UID:GID]]`: a file of this machine under a name in the image.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use clap::builder::TypedValueParser;

use super::owner;

/// One injected file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Inject {
    /// The file on this machine.
    pub(crate) from: PathBuf,
    /// Its name in the image.
    pub(crate) to: Vec<u8>,
    /// Permission bits; those of the file when `None`.
    pub(crate) mode: Option<u16>,
    /// Owner; root when `None`.
    pub(crate) owner: Option<(u32, u32)>,
}

/// Reads `--inject`; names are raw bytes, and `\:` is a colon inside one.
pub(crate) fn parse(text: &OsStr) -> Result<Inject, String> {
    let fields = split(text.as_bytes());
    let (from, to, mode, ids) = match fields.as_slice() {
        [from, to] => (from, to, None, None),
        [from, to, mode] => (from, to, Some(mode), None),
        [from, to, mode, uid, gid] => (from, to, Some(mode), Some((uid, gid))),
        _ => {
            return Err(
                "expected SRC:DEST[:MODE[:UID:GID]], with \\: for a colon inside a name".to_owned(),
            );
        }
    };
    if from.is_empty() {
        return Err("the source before the first colon is empty".to_owned());
    }
    if to.iter().all(|byte| *byte == b'/') {
        return Err("the destination after the first colon is empty".to_owned());
    }
    Ok(Inject {
        from: OsString::from_vec(from.clone()).into(),
        to: to.clone(),
        mode: mode.map(|mode| octal(mode)).transpose()?,
        owner: ids.map(|(uid, gid)| numbers(uid, gid)).transpose()?,
    })
}

/// Splits at colons; a backslash before a colon or backslash makes it part of the name.
fn split(text: &[u8]) -> Vec<Vec<u8>> {
    let mut fields = vec![Vec::new()];
    let mut bytes = text.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        let escaped = (byte == b'\\')
            .then(|| bytes.next_if(|next| matches!(next, b':' | b'\\')))
            .flatten();
        match (byte, escaped) {
            (b':', _) => fields.push(Vec::new()),
            (byte, escaped) => {
                // There is always a last field: the list starts with one.
                if let Some(field) = fields.last_mut() {
                    field.push(escaped.unwrap_or(byte));
                }
            }
        }
    }
    fields
}

/// Reads permission bits in octal, 0 to 7777.
fn octal(mode: &[u8]) -> Result<u16, String> {
    std::str::from_utf8(mode)
        .ok()
        .filter(|text| {
            (1..=5).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
        })
        .and_then(|text| u16::from_str_radix(text, 8).ok())
        .filter(|mode| *mode <= 0o7777)
        .ok_or_else(|| {
            format!(
                "the mode {} is not octal between 0 and 7777",
                String::from_utf8_lossy(mode)
            )
        })
}

/// Reads a user and a group id.
fn numbers(uid: &[u8], gid: &[u8]) -> Result<(u32, u32), String> {
    let id = |bytes| std::str::from_utf8(bytes).ok().and_then(owner::id);
    id(uid).zip(id(gid)).ok_or_else(|| {
        let (uid, gid) = (String::from_utf8_lossy(uid), String::from_utf8_lossy(gid));
        format!("the owner {uid}:{gid} is not UID:GID in numbers")
    })
}

/// Lets clap read an [`Inject`] from raw bytes.
#[derive(Clone, Debug)]
pub(crate) struct Parser;

impl TypedValueParser for Parser {
    type Value = Inject;

    fn parse_ref(
        &self,
        cmd: &clap::Command,
        arg: Option<&clap::Arg>,
        value: &OsStr,
    ) -> Result<Inject, clap::Error> {
        parse(value).map_err(|reason| {
            let arg = arg.map(ToString::to_string).unwrap_or_default();
            let value = value.to_string_lossy();
            cmd.clone().error(
                clap::error::ErrorKind::ValueValidation,
                format!("invalid value '{value}' for '{arg}': {reason}"),
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inject(
        from: &str,
        to: &str,
        mode: Option<u16>,
        owner: Option<(u32, u32)>,
    ) -> Result<Inject, String> {
        Ok(Inject {
            from: from.into(),
            to: to.into(),
            mode,
            owner,
        })
    }

    fn parse(text: &str) -> Result<Inject, String> {
        super::parse(OsStr::new(text))
    }

    #[test]
    fn two_three_and_five_fields_are_read() {
        assert_eq!(
            parse("agent:/usr/bin/agent"),
            inject("agent", "/usr/bin/agent", None, None)
        );
        assert_eq!(parse("a:b:4755"), inject("a", "b", Some(0o4755), None));
        assert_eq!(
            parse("a:b/:0644:0:1000"),
            inject("a", "b/", Some(0o644), Some((0, 1000)))
        );
    }

    #[test]
    fn escaped_colons_belong_to_names() {
        assert_eq!(parse(r"a\:b:c\\d\e"), inject("a:b", r"c\d\e", None, None));
    }

    #[test]
    fn names_that_are_not_unicode_are_kept() {
        let inject = super::parse(OsStr::from_bytes(b"a\xff:b\xfe")).unwrap();
        assert_eq!(inject.from.as_os_str().as_bytes(), b"a\xff");
        assert_eq!(inject.to, b"b\xfe");
    }

    #[test]
    fn wrong_fields_are_refused() {
        for text in [
            "",
            "a",
            ":b",
            "a:",
            "a:/",
            "a:b:888",
            "a:b:",
            "a:b:644:0",
            "a:b:10000",
            "a:b:644:root:root",
            "a:b:644:0:0:0",
            "a:b:-1",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
