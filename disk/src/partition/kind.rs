//! What a partition is for.

use std::fmt;

use super::architectures::{ARCHITECTURES, COLUMNS};
use crate::Guid;

/// The type of a partition: a GUID in a GPT, a byte in an MBR.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A type GUID.
    Gpt(Guid),
    /// A type byte.
    Mbr(u8),
}

/// Types that have names and no architecture. The first column are the names of the Discoverable
/// Partitions Specification, or of systemd-repart where it has none.
const NAMED: [(&str, u128); 14] = [
    ("esp", 0xc12a7328_f81f_11d2_ba4b_00a0c93ec93b),
    ("xbootldr", 0xbc13c2ff_59e6_4262_a352_b275fd6f7172),
    ("swap", 0x0657fd6d_a4ab_43c4_84e5_0933c84b4f4f),
    ("home", 0x933ac7e1_2eb4_4f13_b844_0e14e2aef915),
    ("srv", 0x3b8f8425_20e0_4f3b_907f_1a25a76f98e8),
    ("var", 0x4d21b016_b534_45c2_a9fb_5c16e091fd2d),
    ("tmp", 0x7ec6f557_3bc5_4aca_b293_16ef5df639d1),
    ("user-home", 0x773f91ef_66d4_49b5_bd83_d683bf40ad16),
    ("linux-generic", 0x0fc63daf_8483_4772_8e79_3d69d8477de4),
    ("bios-boot", 0x21686148_6449_6e6f_744e_656564454649),
    ("microsoft-reserved", 0xe3c9e316_0b5c_4db8_817d_f92df00215ae),
    (
        "microsoft-basic-data",
        0xebd0a0a2_b9e5_4433_87c0_68b6b72699c7,
    ),
    ("linux-raid", 0xa19d880f_05fc_4d3b_a006_743f0f84911e),
    ("linux-lvm", 0xe6d6d379_f507_44c2_a23c_238f2a3df928),
];

/// Types of MBR partitions that have names.
const BYTES: [(u8, &str); 14] = [
    (0x05, "extended"),
    (0x0f, "extended"),
    (0x85, "extended"),
    (0x07, "ntfs"),
    (0x0b, "fat32"),
    (0x0c, "fat32"),
    (0x0e, "fat16"),
    (0x82, "swap"),
    (0x83, "linux-generic"),
    (0x8e, "linux-lvm"),
    (0xea, "xbootldr"),
    (0xee, "protective"),
    (0xef, "esp"),
    (0xfd, "linux-raid"),
];

impl Kind {
    /// Returns the type GUID of a name: `esp`, `root-x86-64`, `usr-arm64-verity`.
    #[must_use]
    pub fn guid_named(name: &str) -> Option<Guid> {
        let plain = NAMED.iter().find(|(known, _)| *known == name);
        let of_architecture = || {
            gpt_of_architectures()
                .find(|(prefix, architecture, suffix, _)| {
                    name.strip_prefix(prefix)
                        .and_then(|rest| rest.strip_suffix(suffix))
                        == Some(architecture)
                })
                .map(|(.., guid)| guid)
        };
        plain
            .map(|(_, guid)| *guid)
            .or_else(of_architecture)
            .map(Guid::new)
    }

    /// Returns the type's name where it has one: `esp`, `root-x86-64`, `linux-generic`.
    #[must_use]
    pub fn name(self) -> Option<String> {
        match self {
            Self::Mbr(byte) => BYTES
                .iter()
                .find(|(known, _)| *known == byte)
                .map(|(_, name)| (*name).to_owned()),
            Self::Gpt(guid) => NAMED
                .iter()
                .find(|(_, known)| Guid::new(*known) == guid)
                .map(|(name, _)| (*name).to_owned())
                .or_else(|| {
                    gpt_of_architectures()
                        .find(|(.., known)| Guid::new(*known) == guid)
                        .map(|(prefix, architecture, suffix, _)| {
                            format!("{prefix}{architecture}{suffix}")
                        })
                }),
        }
    }

    /// Returns the byte that stands for the type in an MBR; 0x83 (any Linux filesystem) for what has none.
    #[must_use]
    pub fn byte(self) -> u8 {
        let name = match self {
            Self::Mbr(byte) => return byte,
            Self::Gpt(_) => self.name().unwrap_or_default(),
        };
        match name.as_str() {
            "microsoft-basic-data" => 0x0c,
            name => BYTES
                .iter()
                .find(|(_, known)| *known == name)
                .map_or(0x83, |(byte, _)| *byte),
        }
    }

    /// Tells whether it is an EFI system partition.
    #[must_use]
    pub fn is_esp(self) -> bool {
        self.name().as_deref() == Some("esp")
    }

    /// Tells whether it is the root partition of some architecture.
    #[must_use]
    pub fn is_root(self) -> bool {
        let Self::Gpt(guid) = self else {
            return false;
        };
        ARCHITECTURES
            .iter()
            .any(|(_, [root, ..])| Guid::new(*root) == guid)
    }

    /// Tells whether it is for any Linux filesystem.
    #[must_use]
    pub fn is_linux(self) -> bool {
        self.name().as_deref() == Some("linux-generic")
    }
}

/// Returns prefix, architecture, suffix and GUID of every type that has an architecture.
fn gpt_of_architectures() -> impl Iterator<Item = (&'static str, &'static str, &'static str, u128)>
{
    ARCHITECTURES.iter().flat_map(|(architecture, guids)| {
        COLUMNS
            .iter()
            .zip(guids)
            .map(|((prefix, suffix), guid)| (*prefix, *architecture, *suffix, *guid))
    })
}

/// The GUID, or the byte in hexadecimal.
impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gpt(guid) => guid.fmt(f),
            Self::Mbr(byte) => write!(f, "0x{byte:02x}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_name_leads_to_its_type_and_back() {
        let plain = NAMED.iter().map(|(name, _)| (*name).to_owned());
        let others = gpt_of_architectures()
            .map(|(prefix, architecture, suffix, _)| format!("{prefix}{architecture}{suffix}"));
        let names: Vec<String> = plain.chain(others).collect();
        let mut seen = BTreeSet::new();
        for name in &names {
            let kind = Kind::Gpt(Kind::guid_named(name).unwrap());
            assert_eq!(kind.name().as_ref(), Some(name));
            assert!(seen.insert(kind.to_string()), "{name} twice");
        }
        assert_eq!(names.len(), 14 + 19 * 6);
        assert_eq!(Kind::guid_named("root-z80"), None);
    }

    #[test]
    fn root_is_the_root_of_any_architecture_but_no_verity() {
        let kind = |name| Kind::Gpt(Kind::guid_named(name).unwrap());
        assert!(kind("root-arm64").is_root());
        assert!(!kind("root-arm64-verity").is_root());
        assert!(!kind("linux-generic").is_root());
        assert!(Kind::Mbr(0xef).is_esp());
        assert_eq!(Kind::Mbr(0x41).to_string(), "0x41");
        assert_eq!(
            (kind("esp").byte(), kind("root-arm64").byte()),
            (0xef, 0x83)
        );
        assert_eq!(
            (kind("swap").byte(), kind("linux-lvm").byte()),
            (0x82, 0x8e)
        );
    }
}
