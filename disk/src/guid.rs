//! GUIDs, as partition tables hold them.

use std::fmt;
use std::str::FromStr;

/// A globally unique identifier (RFC 9562).
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Guid(u128);

impl Guid {
    /// The GUID of zeros, which means none.
    pub const ZERO: Self = Self(0);

    /// Makes a GUID of its digits: `0xc12a7328_f81f_11d2_ba4b_00a0c93ec93b`.
    #[must_use]
    pub const fn new(digits: u128) -> Self {
        Self(digits)
    }

    /// Derives a GUID from a seed and what it is for; the same ones give the same GUID.
    ///
    /// It has the form of a random one (version 4).
    #[must_use]
    pub fn derived(seed: &[u8], purpose: &str) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("forger 2026-11 partition table guid");
        hasher.update(&u64::try_from(seed.len()).unwrap_or(u64::MAX).to_le_bytes());
        hasher.update(seed);
        hasher.update(purpose.as_bytes());
        let mut digits = [0; 16];
        hasher.finalize_xof().fill(&mut digits);
        let bits = u128::from_be_bytes(digits);
        let version = !(0xf << 76);
        let variant = !(0x3 << 62);
        Self(bits & version & variant | 4 << 76 | 2 << 62)
    }

    /// Makes a GUID of bytes in the order of its digits, as filesystems hold it.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(u128::from_be_bytes(bytes))
    }

    /// Returns its bytes in the order of its digits.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    /// Reads what a partition table holds: the first three groups are little-endian.
    #[must_use]
    pub(crate) fn from_disk(bytes: [u8; 16]) -> Self {
        Self(u128::from_be_bytes(swapped(bytes)))
    }

    /// Returns what a partition table holds.
    #[must_use]
    pub(crate) fn to_disk(self) -> [u8; 16] {
        swapped(self.0.to_be_bytes())
    }

    /// Tells whether it is the GUID of zeros.
    #[must_use]
    pub fn is_zero(self) -> bool {
        self.0 == 0
    }
}

/// Turns the first three groups around.
fn swapped(bytes: [u8; 16]) -> [u8; 16] {
    let [a, b, c, d, e, f, g, h, rest @ ..] = bytes;
    let [i, j, k, l, m, n, o, p] = rest;
    [d, c, b, a, f, e, h, g, i, j, k, l, m, n, o, p]
}

/// Lower case, in groups.
impl fmt::Display for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bits = self.0;
        write!(
            f,
            "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
            bits >> 96,
            bits >> 80 & 0xffff,
            bits >> 64 & 0xffff,
            bits >> 48 & 0xffff,
            bits & 0xffff_ffff_ffff
        )
    }
}

impl fmt::Debug for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What was to be a GUID is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a GUID: 32 hexadecimal digits in groups of 8, 4, 4, 4 and 12")]
pub struct NotAGuid;

impl FromStr for Guid {
    type Err = NotAGuid;

    fn from_str(text: &str) -> Result<Self, NotAGuid> {
        let groups: Vec<&str> = text.split('-').collect();
        let shape = groups.iter().map(|group| group.len()).eq([8, 4, 4, 4, 12]);
        let digits = groups.concat();
        let hexadecimal = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        match u128::from_str_radix(&digits, 16) {
            Ok(bits) if shape && hexadecimal => Ok(Self(bits)),
            _ => Err(NotAGuid),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_three_groups_are_little_endian_on_disk() {
        let esp: Guid = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B".parse().unwrap();
        let disk = *b"\x28\x73\x2a\xc1\x1f\xf8\xd2\x11\xba\x4b\x00\xa0\xc9\x3e\xc9\x3b";
        assert_eq!(esp.to_disk(), disk);
        assert_eq!(Guid::from_disk(disk), esp);
        assert_eq!(esp.to_string(), "c12a7328-f81f-11d2-ba4b-00a0c93ec93b");
    }

    #[test]
    fn derived_guids_depend_on_seed_and_purpose_and_look_random() {
        let guid = Guid::derived(b"seed", "disk");
        assert_eq!(guid, Guid::derived(b"seed", "disk"));
        assert_ne!(guid, Guid::derived(b"seed", "partition 1"));
        assert_ne!(guid, Guid::derived(b"other", "disk"));
        let text = guid.to_string();
        assert_eq!(&text[14..15], "4");
        assert!("89ab".contains(&text[19..20]), "{text}");
    }

    #[test]
    fn nonsense_is_no_guid() {
        for text in [
            "",
            "c12a7328",
            "c12a7328-f81f-11d2-ba4b-00a0c93ec93",
            "+12a7328-f81f-11d2-ba4b-00a0c93ec93b",
            "c12a7328f81f-11d2-ba4b-00a0c93ec93b-",
        ] {
            assert_eq!(text.parse::<Guid>(), Err(NotAGuid), "{text}");
        }
    }
}
