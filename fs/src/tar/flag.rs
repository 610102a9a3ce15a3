//! Inode flags by name: `SCHILY.fflags`, as libarchive writes them on Linux.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

use super::number;
use crate::tree::InodeFlags;

/// The names in the order in which they are written.
const NAMES: [(&str, u32); 14] = [
    ("sappnd", InodeFlags::APPEND),
    ("schg", InodeFlags::IMMUTABLE),
    ("nodump", InodeFlags::NODUMP),
    ("undel", InodeFlags::UNDELETE),
    ("compress", InodeFlags::COMPRESS),
    ("noatime", InodeFlags::NOATIME),
    ("dirsync", InodeFlags::DIRSYNC),
    ("journal-data", InodeFlags::JOURNAL_DATA),
    ("secdel", InodeFlags::SECURE_DELETE),
    ("sync", InodeFlags::SYNC),
    ("notail", InodeFlags::NOTAIL),
    ("topdir", InodeFlags::TOPDIR),
    ("nocow", InodeFlags::NOCOW),
    ("projinherit", InodeFlags::PROJECT_INHERIT),
];

/// Other names of the same flags.
const ALIASES: [(&str, u32); 5] = [
    ("sappend", InodeFlags::APPEND),
    ("schange", InodeFlags::IMMUTABLE),
    ("simmutable", InodeFlags::IMMUTABLE),
    ("journal", InodeFlags::JOURNAL_DATA),
    ("securedeletion", InodeFlags::SECURE_DELETE),
];

/// Reads names separated by commas or blanks; returns the flags and the names that are not known.
///
/// A name that starts with `no` where the flag's does not, or the other way round, takes it back.
pub(super) fn parse(text: &[u8]) -> (InodeFlags, Vec<String>) {
    let (mut flags, mut unknown) = (0, Vec::new());
    let names = text
        .split(|byte| matches!(byte, b',' | b' ' | b'\t'))
        .filter(|name| !name.is_empty());
    for name in names {
        match (bit(name), opposite(name).and_then(bit)) {
            (Some(bit), _) => flags |= bit,
            (None, Some(bit)) => flags &= !bit,
            (None, None) => unknown.push(number::printable(name)),
        }
    }
    (InodeFlags(flags), unknown)
}

/// Returns the names of flags; `None` if a flag has none.
pub(super) fn names(flags: InodeFlags) -> Option<String> {
    let set = NAMES
        .iter()
        .filter(|(_, bit)| flags.0 & bit != 0)
        .collect::<Vec<_>>();
    let known = set.iter().fold(0, |known, (_, bit)| known | bit);
    let names = set.iter().map(|(name, _)| *name).collect::<Vec<_>>();
    (known == flags.0).then(|| names.join(","))
}

fn bit(name: &[u8]) -> Option<u32> {
    let mut names = NAMES.iter().chain(&ALIASES);
    names
        .find(|(known, _)| known.as_bytes() == name)
        .map(|(_, bit)| *bit)
}

/// Returns the name without `no` in front, which must then be a flag's, or the flag's name with it.
fn opposite(name: &[u8]) -> Option<&[u8]> {
    match name.strip_prefix(b"no") {
        Some(rest) => Some(rest),
        None => {
            let mut names = NAMES.iter().map(|(known, _)| known.as_bytes());
            names.find(|known| known.strip_prefix(b"no") == Some(name))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_and_written_back() {
        for (name, bit) in NAMES {
            assert_eq!(
                parse(name.as_bytes()),
                (InodeFlags(bit), Vec::new()),
                "{name}"
            );
            assert_eq!(names(InodeFlags(bit)).as_deref(), Some(name));
        }
        let text = b"schg,nodump projinherit\tsimmutable,,notail";
        let (flags, unknown) = parse(text);
        assert_eq!(
            names(flags).as_deref(),
            Some("schg,nodump,notail,projinherit")
        );
        assert!(unknown.is_empty());
        assert_eq!(names(InodeFlags(0x8_0000)), None);
    }

    #[test]
    fn opposites_take_flags_back_and_unknown_names_are_listed() {
        assert_eq!(
            parse(b"schg,noschg,dump,tail,atime,nosync").0,
            InodeFlags(0)
        );
        assert_eq!(parse(b"nodump,dump").0, InodeFlags(0));
        assert_eq!(parse(b"uchg,hidden,schg").1, ["uchg", "hidden"]);
    }
}
