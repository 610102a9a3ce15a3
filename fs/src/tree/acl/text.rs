//! ACLs as text: `user::rwx,user:1000:r-x,group::r-x,mask::rwx,other::r--`.
//!
//! What is read: entries separated by commas or newlines; `#` starts a comment; tags may be their
//! first letter and stand after `default:`; `mask` and `other` may do without the empty field; a
//! fourth field is the numeric id of the name in the second (star and libarchive write that).
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

use std::fmt::{self, Display, Formatter};

use super::{Acl, AclEntry, Error, NO_ID, Who};

/// An ACL as its text has it, as far as it has numeric ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parsed {
    /// The list, without the entries of `unresolved`.
    pub acl: Acl,
    /// The entries that name a user or group without an id, lossily decoded.
    pub unresolved: Vec<String>,
}

impl Acl {
    /// Reads a list from text. Names are never looked up: an entry needs a numeric id.
    ///
    /// # Errors
    /// [`Error::Entry`], and [`Error::Invalid`] if the entries make no list.
    pub fn parse(text: &[u8]) -> Result<Parsed, Error> {
        let (mut entries, mut unresolved) = (Vec::new(), Vec::new());
        for item in text.split(|byte| matches!(byte, b',' | b'\n')) {
            let item = item
                .split(|byte| *byte == b'#')
                .next()
                .unwrap_or_default()
                .trim_ascii();
            if item.is_empty() {
                continue;
            }
            match entry(item).map_err(|reason| Error::Entry {
                entry: shown(item),
                reason,
            })? {
                Some(entry) => entries.push(entry),
                None => unresolved.push(shown(item)),
            }
        }
        Ok(Parsed {
            acl: Self::new(entries)?,
            unresolved,
        })
    }
}

/// Reads one entry; `None` if it names someone without an id.
fn entry(item: &[u8]) -> Result<Option<AclEntry>, &'static str> {
    let mut fields = item.split(|byte| *byte == b':').map(<[u8]>::trim_ascii);
    let mut tag = fields.next().unwrap_or_default();
    if matches!(tag, b"default" | b"d") {
        tag = fields.next().unwrap_or_default();
    }
    let rest = fields.collect::<Vec<_>>();
    let (name, text, id) = match (tag, &rest[..]) {
        (b"mask" | b"m" | b"other" | b"o", [text] | [b"", text]) => (&b""[..], *text, None),
        (b"user" | b"u" | b"group" | b"g", [name, text]) => (*name, *text, None),
        (b"user" | b"u" | b"group" | b"g", [name, text, b""]) => (*name, *text, None),
        (b"user" | b"u" | b"group" | b"g", [name, text, id]) => (*name, *text, Some(*id)),
        (b"mask" | b"m" | b"other" | b"o" | b"user" | b"u" | b"group" | b"g", _) => {
            return Err("it has too many or too few fields");
        }
        _ => return Err("its tag is not user, group, mask or other"),
    };
    let permissions = permissions(text).ok_or("its permissions are not like `r-x`")?;
    let id = match id {
        Some(id) => Some(number(id).ok_or("its last field is no id")?),
        None => number(name),
    };
    let who = match (tag, name) {
        (b"mask" | b"m", _) => Who::Mask,
        (b"other" | b"o", _) => Who::Other,
        (b"user" | b"u", b"") => Who::Owner,
        (b"group" | b"g", b"") => Who::OwningGroup,
        (b"user" | b"u", _) => match id {
            Some(id) => Who::User(id),
            None => return Ok(None),
        },
        _ => match id {
            Some(id) => Who::Group(id),
            None => return Ok(None),
        },
    };
    Ok(Some(AclEntry { who, permissions }))
}

/// Reads `rwx`, any letter replaced by `-` or left out.
fn permissions(text: &[u8]) -> Option<u8> {
    if text.is_empty() || text.len() > 3 {
        return None;
    }
    text.iter().try_fold(0u8, |permissions, letter| {
        let bit = match letter {
            b'r' => 4,
            b'w' => 2,
            b'x' => 1,
            b'-' => return Some(permissions),
            _ => return None,
        };
        (permissions & bit == 0).then_some(permissions | bit)
    })
}

fn number(text: &[u8]) -> Option<u32> {
    let digits = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    let text = std::str::from_utf8(text).ok().filter(|_| digits)?;
    text.parse().ok().filter(|id| *id != NO_ID)
}

fn shown(item: &[u8]) -> String {
    String::from_utf8_lossy(item.get(..64).unwrap_or(item)).into_owned()
}

/// Writes the list as one line, with numeric ids.
impl Display for Acl {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (place, entry) in self.entries().iter().enumerate() {
            f.write_str(if place == 0 { "" } else { "," })?;
            match entry.who {
                Who::Owner => f.write_str("user::")?,
                Who::User(id) => write!(f, "user:{id}:")?,
                Who::OwningGroup => f.write_str("group::")?,
                Who::Group(id) => write!(f, "group:{id}:")?,
                Who::Mask => f.write_str("mask::")?,
                Who::Other => f.write_str("other::")?,
            }
            for (bit, letter) in [(4, "r"), (2, "w"), (1, "x")] {
                f.write_str(if entry.permissions & bit == 0 {
                    "-"
                } else {
                    letter
                })?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "user::rwx,user:1000:r-x,group::r-x,group:50:-w-,mask::rwx,other::r--";

    #[test]
    fn text_of_every_writer_is_read() {
        let expected = Acl::parse(TEXT.as_bytes()).unwrap();
        assert_eq!(expected.unresolved, Vec::<String>::new());
        for text in [
            "user::rwx\nuser:1000:r-x\ngroup::r-x\ngroup:50:-w-\nmask::rwx\nother::r--\n",
            "user::rwx\nuser:1000:r-x\t#effective:r-x\ngroup::r-x\ngroup:50:-w-\nmask::rwx\nother::r--",
            "user::rwx,group::r-x,other::r--,user:joe:r-x:1000,group:staff:-w-:50,mask::rwx",
            "user::rwx,user:1000:r-x,group::r-x,group:50:-w-,mask:rwx,other:r--",
            "u::rwx, u:1000:rx, g::r-x, g:50:w, m::rwx, o::r",
            "default:user::rwx,default:user:1000:r-x,d:g::r-x,d:group:50:-w-,d:m::rwx,d:o::r--",
            "# file: a\nuser::rwx\nuser:1000:r-x:\n\ngroup::r-x\ngroup:50:-w-\nmask::rwx\nother::r--",
        ] {
            assert_eq!(
                Acl::parse(text.as_bytes()).as_ref(),
                Ok(&expected),
                "{text}"
            );
        }
    }

    #[test]
    fn text_is_written_in_canonical_order_with_ids() {
        let shuffled = "other::r--,mask::rwx,group:50:-w-,group::r-x,user:joe:r-x:1000,user::rwx";
        assert_eq!(
            Acl::parse(shuffled.as_bytes()).unwrap().acl.to_string(),
            TEXT
        );
    }

    #[test]
    fn names_without_ids_are_left_out_and_listed() {
        let text = "user::rw-,user:joe:rwx,group::r--,group:staff:r--,mask::rwx,other::---";
        let parsed = Acl::parse(text.as_bytes()).unwrap();
        assert_eq!(parsed.unresolved, ["user:joe:rwx", "group:staff:r--"]);
        assert_eq!(
            parsed.acl.to_string(),
            "user::rw-,group::r--,mask::rwx,other::---"
        );
    }

    #[test]
    fn malformed_text_is_refused() {
        for entry in [
            "user:1000",
            "user",
            "usr::rwx",
            "user::rwz",
            "user::rwxr",
            "user::rr",
            "user::",
            "user:joe:rwx:x",
            "user:joe:rwx:4294967295",
            "user:1:rwx:1:1",
            "mask:a:rwx",
            "other",
            "mask::rwx:5",
            "owner@:r:allow",
            "default",
            ":",
        ] {
            let text = format!("user::rwx,group::rwx,other::rwx,mask::rwx,{entry}");
            assert!(
                matches!(Acl::parse(text.as_bytes()), Err(Error::Entry { .. })),
                "{entry}"
            );
        }
        assert!(matches!(Acl::parse(b""), Err(Error::Invalid(_))));
    }
}
