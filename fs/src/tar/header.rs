//! The 512-byte header record and its dialects.
//!
//! ```text
//! 0x000 name            100     0x09d linkname  100     0x129 gname      32
//! 0x064 mode              8     0x101 magic       6     0x149 devmajor    8
//! 0x06c uid               8     0x107 version     2     0x151 devminor    8
//! 0x074 gid               8     0x109 uname      32     0x159 tail      167
//! 0x07c size             12
//! 0x088 mtime            12     tail: POSIX  prefix 155, unused 12
//! 0x094 chksum            8           star   prefix 131, atime 12, ctime 12, unused 12
//! 0x09c typeflag          1           GNU    atime, ctime, ..., sparse map, realsize
//! ```
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::number;

/// The unit of an archive in bytes.
pub(super) const BLOCK: usize = 512;

/// A header as it stands in the archive.
#[derive(Clone, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct Header {
    pub(super) name: [u8; 100],
    pub(super) mode: [u8; 8],
    pub(super) uid: [u8; 8],
    pub(super) gid: [u8; 8],
    pub(super) size: [u8; 12],
    pub(super) mtime: [u8; 12],
    chksum: [u8; 8],
    pub(super) typeflag: u8,
    pub(super) linkname: [u8; 100],
    pub(super) magic: [u8; 6],
    pub(super) version: [u8; 2],
    pub(super) uname: [u8; 32],
    pub(super) gname: [u8; 32],
    pub(super) devmajor: [u8; 8],
    pub(super) devminor: [u8; 8],
    tail: [u8; 167],
}

/// The tail in POSIX archives.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct PosixTail {
    prefix: [u8; 155],
    unused: [u8; 12],
}

/// The tail in archives of Jörg Schilling's star that carry times.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct StarTail {
    prefix: [u8; 131],
    atime: [u8; 12],
    ctime: [u8; 12],
    unused: [u8; 12],
}

/// The tail in GNU archives.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct GnuTail {
    pub(super) atime: [u8; 12],
    pub(super) ctime: [u8; 12],
    offset: [u8; 12],
    longnames: [u8; 4],
    unused: u8,
    /// The first four entries of a sparse map.
    pub(super) sparse: [SparseField; 4],
    /// Not 0: a block with further entries follows.
    pub(super) is_extended: u8,
    /// The sparse file's length, holes included.
    pub(super) realsize: [u8; 12],
    pad: [u8; 17],
}

/// An entry of an old GNU sparse map.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct SparseField {
    pub(super) offset: [u8; 12],
    pub(super) numbytes: [u8; 12],
}

/// A block with further entries of an old GNU sparse map.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct SparseBlock {
    pub(super) sparse: [SparseField; 21],
    pub(super) is_extended: u8,
    pad: [u8; 7],
}

const _: () = assert!(size_of::<Header>() == BLOCK);
const _: () = assert!(std::mem::offset_of!(Header, chksum) == 0x94);
const _: () = assert!(std::mem::offset_of!(Header, magic) == 0x101);
const _: () = assert!(size_of::<PosixTail>() == 167);
const _: () = assert!(size_of::<StarTail>() == 167);
const _: () = assert!(size_of::<GnuTail>() == 167);
const _: () = assert!(size_of::<SparseBlock>() == BLOCK);

/// Which of the incompatible layouts a header has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// Nothing after the link name.
    V7,
    /// POSIX: `ustar`, NUL; PAX headers are of this dialect too.
    Posix,
    /// As POSIX, with a shorter prefix and two times.
    Star,
    /// `ustar`, two spaces.
    Gnu,
}

impl Header {
    /// Copies a header out of a block.
    pub(super) fn of(block: &[u8]) -> Option<Self> {
        Self::read_from_bytes(block).ok()
    }

    /// Makes a POSIX header of a type, all other fields blank.
    pub(super) fn posix(typeflag: u8) -> Self {
        let mut header = Self::new_zeroed();
        header.typeflag = typeflag;
        header.magic = *b"ustar\0";
        header.version = *b"00";
        header
    }

    /// Sets the name, split into prefix and name where it must be; tells whether it fits.
    pub(super) fn set_path(&mut self, path: &[u8]) -> bool {
        let Ok(tail) = PosixTail::mut_from_bytes(&mut self.tail) else {
            return false;
        };
        let splits = path
            .iter()
            .enumerate()
            .filter(|(_, byte)| **byte == b'/')
            .map(|(at, _)| at);
        let fits = |at: usize| {
            let (prefix, name) = (path.get(..at)?, path.get(at.checked_add(1)?..)?);
            let long = prefix.len() > tail.prefix.len() || name.len() > self.name.len();
            (!long && !prefix.is_empty() && !name.is_empty()).then_some((prefix, name))
        };
        let split = match path.len() <= self.name.len() {
            true => Some((&b""[..], path)),
            false => splits.filter_map(fits).next(),
        };
        let Some((prefix, name)) = split else {
            return false;
        };
        copy(&mut tail.prefix, prefix);
        copy(&mut self.name, name);
        true
    }

    /// Sets as much of the name as fits, for readers that know no more than the header.
    pub(super) fn set_short_path(&mut self, path: &[u8]) {
        copy(&mut self.name, path);
    }

    /// Sets the link target, as much as fits; tells whether all does.
    pub(super) fn set_link(&mut self, target: &[u8]) -> bool {
        copy(&mut self.linkname, target);
        target.len() <= self.linkname.len()
    }

    /// Sets the checksum; nothing is changed after that.
    pub(super) fn seal(&mut self) {
        self.chksum = [b' '; 8];
        let sum = self
            .as_bytes()
            .iter()
            .map(|byte| u64::from(*byte))
            .sum::<u64>();
        // At most 512 * 255: six digits, then NUL and space as POSIX has it.
        if let Some(digits) = number::octal_field::<7>(sum) {
            copy(&mut self.chksum, &digits);
        }
    }

    /// Tells whether the checksum holds, or what it is and should be.
    ///
    /// The sum of all bytes, the checksum's own taken as spaces. Some old writers added signed
    /// bytes, which is accepted.
    pub(super) fn verify(&self) -> Result<(), (String, u32)> {
        let digits = self.chksum.trim_ascii_start();
        let shown =
            || number::printable(digits.split(|byte| *byte == 0).next().unwrap_or_default());
        let stored = match digits.first() {
            Some(b'0'..=b'7') => number::field(&self.chksum).ok(),
            _ => None,
        };
        let others = || {
            let own = self.chksum.iter().map(|byte| i32::from(*byte)).sum::<i32>();
            (
                own,
                i32::try_from(self.chksum.len())
                    .unwrap_or(0)
                    .wrapping_mul(i32::from(b' ')),
            )
        };
        let (own, spaces) = others();
        let unsigned = self
            .as_bytes()
            .iter()
            .map(|byte| i32::from(*byte))
            .sum::<i32>();
        let unsigned = unsigned.wrapping_sub(own).wrapping_add(spaces);
        if stored == Some(i128::from(unsigned)) {
            return Ok(());
        }
        let high = self.as_bytes().iter().filter(|byte| **byte >= 0x80).count();
        let high_own = self.chksum.iter().filter(|byte| **byte >= 0x80).count();
        let negative = i32::try_from(high.saturating_sub(high_own)).unwrap_or(0);
        let signed = unsigned.wrapping_sub(negative.wrapping_mul(256));
        if stored == Some(i128::from(signed)) {
            return Ok(());
        }
        Err((shown(), unsigned.unsigned_abs()))
    }

    /// Tells the dialect.
    pub(super) fn dialect(&self) -> Dialect {
        if !self.magic.starts_with(b"ustar") {
            Dialect::V7
        } else if self.magic.ends_with(b" ") && self.version.starts_with(b" ") {
            Dialect::Gnu
        } else if self.star().is_some() {
            Dialect::Star
        } else {
            Dialect::Posix
        }
    }

    /// Returns the member's name as the header has it.
    pub(super) fn path(&self) -> Vec<u8> {
        let prefix = match self.dialect() {
            Dialect::V7 | Dialect::Gnu => &[][..],
            Dialect::Posix => {
                PosixTail::ref_from_bytes(&self.tail).map_or(&[][..], |tail| &tail.prefix)
            }
            Dialect::Star => self.star().map_or(&[][..], |tail| &tail.prefix),
        };
        let (prefix, name) = (text(prefix), text(&self.name));
        if prefix.is_empty() {
            name.to_vec()
        } else {
            [prefix, name].join(&b'/')
        }
    }

    /// Returns the link target as the header has it.
    pub(super) fn link(&self) -> &[u8] {
        text(&self.linkname)
    }

    /// Returns the access and change time fields of the dialects that have them.
    pub(super) fn times(&self) -> Option<(&[u8; 12], &[u8; 12])> {
        match self.dialect() {
            Dialect::V7 | Dialect::Posix => None,
            Dialect::Star => self.star().map(|tail| (&tail.atime, &tail.ctime)),
            Dialect::Gnu => self.gnu().map(|tail| (&tail.atime, &tail.ctime)),
        }
    }

    /// Views the tail as GNU's.
    pub(super) fn gnu(&self) -> Option<&GnuTail> {
        GnuTail::ref_from_bytes(&self.tail).ok()
    }

    /// Views the tail as star's, if it looks like that: as GNU tar decides it.
    fn star(&self) -> Option<&StarTail> {
        let tail = StarTail::ref_from_bytes(&self.tail).ok()?;
        let time = |field: &[u8; 12]| {
            matches!(field.first(), Some(b'0'..=b'7')) && field.last() == Some(&b' ')
        };
        let matches = tail.prefix.last() == Some(&0) && time(&tail.atime) && time(&tail.ctime);
        matches.then_some(tail)
    }
}

/// Tells whether bytes start with a tar header whose checksum holds.
#[must_use]
pub fn is_header(bytes: &[u8]) -> bool {
    let block = bytes.get(..BLOCK).and_then(Header::of);
    block.is_some_and(|header| header.verify().is_ok())
}

/// Copies as much of the text as fits to the start of a field.
fn copy(field: &mut [u8], text: &[u8]) {
    field
        .iter_mut()
        .zip(text)
        .for_each(|(to, from)| *to = *from);
}

/// Returns a field's bytes before the first NUL.
fn text(field: &[u8]) -> &[u8] {
    field.split(|byte| *byte == 0).next().unwrap_or_default()
}
