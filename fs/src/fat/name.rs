//! Names: the long one in UTF-16, and the short one of eight and three characters beside it.

use std::collections::{HashMap, HashSet};

use super::NameError;

/// A short name: eight characters and three, padded with spaces.
pub(super) type Short = [u8; 11];

/// Characters of UTF-16 that an entry of a long name holds.
pub(super) const UNITS: usize = 13;
/// The longest name in units of UTF-16.
const MAX_UNITS: usize = 255;

/// Checks a name, and returns it in UTF-16.
pub(super) fn units(name: &[u8]) -> Result<Vec<u16>, NameError> {
    let text = std::str::from_utf8(name).map_err(|_| NameError::NotUtf8)?;
    let reserved = |c: &char| c.is_control() || "\"*/:<>?\\|".contains(*c);
    if let Some(bad) = text.chars().find(reserved) {
        return Err(NameError::Character(bad));
    }
    if text.ends_with(['.', ' ']) {
        return Err(NameError::Trailing);
    }
    let units: Vec<u16> = text.encode_utf16().collect();
    match units.len() {
        0..=MAX_UNITS => Ok(units),
        units => Err(NameError::Long { units }),
    }
}

/// Tells whether a character can stand in a short name.
pub(super) fn is_short(byte: u8) -> bool {
    byte.is_ascii_uppercase() || byte.is_ascii_digit() || b"!#$%&'()-@^_`{}~".contains(&byte)
}

/// Returns a name as a short one, if that says all of it.
pub(super) fn exact(name: &[u8]) -> Option<Short> {
    let (base, extension) = match name.iter().position(|byte| *byte == b'.') {
        Some(dot) => (&name[..dot], &name[dot + 1..]),
        None => (name, &[][..]),
    };
    let dotted = name.contains(&b'.');
    let fits = (1..=8).contains(&base.len()) && extension.len() <= 3;
    let whole = fits && !(dotted && extension.is_empty());
    let legal = base.iter().chain(extension).all(|byte| is_short(*byte));
    (whole && legal).then(|| padded(base, extension))
}

fn padded(base: &[u8], extension: &[u8]) -> Short {
    let mut short = [b' '; 11];
    short[..base.len()].copy_from_slice(base);
    short[8..8 + extension.len()].copy_from_slice(extension);
    short
}

/// The sum of a short name that its long name's entries carry.
pub(super) fn sum(short: &Short) -> u8 {
    short
        .iter()
        .fold(0_u8, |sum, byte| sum.rotate_right(1).wrapping_add(*byte))
}

/// Gives the names of one folder their short names, none twice.
#[derive(Debug, Default)]
pub(super) struct Shorts {
    taken: HashSet<Short>,
    folded: HashMap<String, Vec<u8>>,
    /// The next number for names that begin alike.
    next: HashMap<Vec<u8>, u32>,
}

impl Shorts {
    /// Enters a name, and takes its short name where it is one.
    ///
    /// All names of a folder are entered before short names are made for the others, so that nobody else
    /// gets the name.
    pub(super) fn enter(&mut self, name: &[u8]) -> Result<(), NameError> {
        let folded = String::from_utf8_lossy(name).to_uppercase();
        if let Some(other) = self.folded.insert(folded, name.to_vec()) {
            return Err(NameError::Collision {
                other: String::from_utf8_lossy(&other).into_owned(),
            });
        }
        self.taken.extend(exact(name));
        Ok(())
    }

    /// Makes a short name for one that is none: its first characters in capitals, and a number where
    /// something is lost or taken.
    pub(super) fn make(&mut self, name: &[u8]) -> Result<Short, NameError> {
        let text = String::from_utf8_lossy(name);
        let text = text.trim_start_matches('.');
        let (base, extension) = text.rsplit_once('.').unwrap_or((text, ""));
        let mut lossy = text.len() != name.len();
        let mut part = |part: &str, room: usize| {
            let mut short: Vec<u8> = Vec::new();
            for c in part.chars() {
                match u8::try_from(c.to_ascii_uppercase()) {
                    Ok(b' ' | b'.') => lossy = true,
                    Ok(byte) if is_short(byte) => short.push(byte),
                    _ => {
                        lossy = true;
                        short.push(b'_');
                    }
                }
            }
            lossy |= short.len() > room;
            short.truncate(room);
            short
        };
        let (base, extension) = (part(base, 8), part(extension, 3));
        let plain = padded(&base, &extension);
        if !lossy && !base.is_empty() && self.taken.insert(plain) {
            return Ok(plain);
        }
        self.numbered(&base, &extension)
    }

    fn numbered(&mut self, base: &[u8], extension: &[u8]) -> Result<Short, NameError> {
        let key = padded(&base[..base.len().min(6)], extension).to_vec();
        let next = self.next.entry(key).or_insert(1);
        while *next < 1_000_000 {
            let tail = format!("~{next}");
            *next += 1;
            let kept = base.len().min(8 - tail.len());
            let short = padded(&[&base[..kept], tail.as_bytes()].concat(), extension);
            if self.taken.insert(short) {
                return Ok(short);
            }
        }
        Err(NameError::FullFolder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shorts(names: &[&str]) -> Vec<String> {
        let mut shorts = Shorts::default();
        for name in names {
            shorts.enter(name.as_bytes()).unwrap();
        }
        let make = |name: &&str| {
            let name = name.as_bytes();
            let short = exact(name).unwrap_or_else(|| shorts.make(name).unwrap());
            String::from_utf8(short.to_vec()).unwrap()
        };
        names.iter().map(make).collect()
    }

    #[test]
    fn names_of_eight_and_three_capitals_are_short_already() {
        assert_eq!(
            shorts(&["BOOTX64.EFI", "EFI", "A.B"]),
            ["BOOTX64 EFI", "EFI        ", "A       B  "]
        );
        for name in ["a", "TOOLONGNAME", "A.B.C", "A.LONG", "A B", ".A"] {
            assert_eq!(exact(name.as_bytes()), None, "{name}");
        }
    }

    #[test]
    fn other_names_get_capitals_and_a_number_where_something_is_lost() {
        let names = [
            "meta-data",
            "readme.txt",
            "Read me.txt",
            ".bashrc",
            "é.conf",
            "a.b.c",
            "README~1.TXT",
        ];
        let expected = [
            "META-D~1   ",
            "README  TXT",
            "README~2TXT",
            "BASHRC~1   ",
            "_~1     CON",
            "AB~1    C  ",
            "README~1TXT",
        ];
        assert_eq!(shorts(&names), expected);
    }

    #[test]
    fn a_crowd_of_names_that_begin_alike_gets_different_short_names() {
        let names: Vec<String> = (0..3000)
            .map(|i| format!("some-long-name-{i}.config"))
            .collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let made: HashSet<String> = shorts(&names).into_iter().collect();
        assert_eq!(made.len(), 3000);
    }

    #[test]
    fn names_that_differ_by_case_only_collide() {
        let mut shorts = Shorts::default();
        shorts.enter("Straße".as_bytes()).unwrap();
        let error = shorts.enter("straße".as_bytes()).unwrap_err();
        assert!(matches!(error, NameError::Collision { .. }));
    }

    #[test]
    fn what_fat_reserves_is_refused() {
        for name in ["a:b", "a?", "tab\t", "dot.", "space ", "back\\slash"] {
            assert!(units(name.as_bytes()).is_err(), "{name}");
        }
        assert_eq!(units(b"\xff"), Err(NameError::NotUtf8));
        assert_eq!(
            units("𝄞".repeat(128).as_bytes()),
            Err(NameError::Long { units: 256 })
        );
        assert!(units("𝄞".repeat(127).as_bytes()).is_ok());
    }
}
