//! The archive that a Debian package is: `ar`, of which only the plain form occurs.
//!
//! ```text
//!  "!<arch>\n"   then for each member:
//!  0x00 name 16   0x10 time 12   0x1c owner 6   0x22 group 6   0x28 mode 8   0x30 length 10   0x3a "`\n"
//!  content, filled up to an even length
//! ```
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

use std::io::Read;

use super::Error;

/// What an archive begins with.
pub(super) const MAGIC: &[u8; 8] = b"!<arch>\n";

/// The start of a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Member {
    /// Its name.
    pub(super) name: String,
    /// The length of its content in bytes.
    pub(super) len: u64,
}

/// Reads the start of an archive.
pub(super) fn start(input: &mut impl Read) -> Result<(), Error> {
    let mut magic = [0; 8];
    input.read_exact(&mut magic).map_err(Error::Read)?;
    match &magic == MAGIC {
        true => Ok(()),
        false => Err(Error::NotAPackage {
            why: "it does not begin as an ar archive",
        }),
    }
}

/// Reads the header of the next member; its content follows, and a byte more if its length is odd.
pub(super) fn member(input: &mut impl Read) -> Result<Option<Member>, Error> {
    let mut header = [0; 60];
    let mut have = 0;
    while let Some(room) = header.get_mut(have..).filter(|room| !room.is_empty()) {
        match input.read(room) {
            Ok(0) if have == 0 => return Ok(None),
            Ok(0) => {
                return Err(Error::NotAPackage {
                    why: "it ends inside a header",
                });
            }
            Ok(count) => have = have.saturating_add(count),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Error::Read(error)),
        }
    }
    let field = |range: std::ops::Range<usize>| {
        let bytes = header.get(range).unwrap_or_default();
        String::from_utf8_lossy(bytes).trim_end().to_owned()
    };
    let len = field(48..58).parse().ok();
    let (Some(len), Some(b"`\n")) = (len, header.get(58..60)) else {
        return Err(Error::NotAPackage {
            why: "a header is damaged",
        });
    };
    let name = field(0..16).trim_end_matches('/').to_owned();
    Ok(Some(Member { name, len }))
}

/// Reads the content of a member, and the byte that fills it up.
pub(super) fn content(
    input: &mut impl Read,
    member: &Member,
    limit: u64,
) -> Result<Vec<u8>, Error> {
    if member.len > limit {
        return Err(Error::TooLarge {
            what: member.name.clone(),
            limit,
        });
    }
    let odd = member.len & 1;
    let mut bytes = Vec::new();
    let read = input
        .take(member.len.saturating_add(odd))
        .read_to_end(&mut bytes);
    read.map_err(Error::Read)?;
    let len = usize::try_from(member.len).unwrap_or(usize::MAX);
    if bytes.len() < len {
        return Err(Error::NotAPackage {
            why: "it ends inside a member",
        });
    }
    bytes.truncate(len);
    Ok(bytes)
}
