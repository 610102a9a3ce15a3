//! A partition before it is filled.

use forger_disk::Guid;
use forger_disk::partition::{Kind, Part};

use crate::boot::Architecture;

/// A partition before it is filled.
#[derive(Clone, Debug)]
pub struct Slot {
    /// What it is for.
    pub kind: Type,
    /// Everything else that the table says of it; its own `kind` does not count. A size that is not
    /// [`Content`](forger_disk::partition::Size::Content) is what it gets; the content is for
    /// [`Fill::Given`].
    pub part: Part,
    /// What goes into it.
    pub fill: Fill,
}

/// What a partition is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Type {
    /// What a GUID says.
    Guid(Guid),
    /// What a byte says, in a master boot record.
    Byte(u8),
    /// A type that each architecture has of its own: that of the disk's.
    Native(Native),
}

/// The types that each architecture has of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Native {
    /// The root filesystem.
    Root,
    /// Its hash tree.
    RootVerity,
    /// `/usr`.
    Usr,
    /// Its hash tree.
    UsrVerity,
}

/// What goes into a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fill {
    /// The content that it was given, or nothing.
    Given,
    /// What boots.
    Boot,
    /// The root filesystem.
    Root,
    /// A swap area.
    Swap,
    /// The hash tree of the slot with this index.
    Hashes(usize),
}

impl Native {
    /// Returns the type that `root`, `usr-verity` and the like name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "root" => Some(Self::Root),
            "root-verity" => Some(Self::RootVerity),
            "usr" => Some(Self::Usr),
            "usr-verity" => Some(Self::UsrVerity),
            _ => None,
        }
    }

    fn parts(self) -> (&'static str, &'static str) {
        match self {
            Self::Root => ("root", ""),
            Self::RootVerity => ("root", "-verity"),
            Self::Usr => ("usr", ""),
            Self::UsrVerity => ("usr", "-verity"),
        }
    }
}

impl Type {
    /// Returns the type that a name, a GUID or a byte (`0x0c`) means.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        if let Some(native) = Native::named(name) {
            return Some(Self::Native(native));
        }
        if let Some(digits) = name.strip_prefix("0x") {
            let byte = u8::from_str_radix(digits, 16).ok();
            return byte.filter(|byte| *byte != 0).map(Self::Byte);
        }
        let guid = Kind::guid_named(name).or_else(|| name.parse().ok());
        // Zeros mark an entry that is not used.
        guid.filter(|guid| !guid.is_zero()).map(Self::Guid)
    }

    /// Returns its GUID for an architecture; that of any Linux filesystem where the architecture is not
    /// known.
    #[must_use]
    pub fn guid(&self, architecture: Option<Architecture>) -> Guid {
        let generic = Part::default().kind;
        match (self, architecture) {
            (Self::Guid(guid), _) => *guid,
            (Self::Native(_), None) | (Self::Byte(_), _) => generic,
            (Self::Native(native), Some(architecture)) => {
                let (before, behind) = native.parts();
                let name = format!("{before}-{}{behind}", architecture.partition());
                Kind::guid_named(&name).unwrap_or(generic)
            }
        }
    }

    /// Returns the byte that it is in a master boot record, where it is one.
    #[must_use]
    pub fn byte(&self) -> Option<u8> {
        match self {
            Self::Byte(byte) => Some(*byte),
            _ => None,
        }
    }

    /// Returns its name, where it has one for all architectures.
    #[must_use]
    pub fn name(&self) -> Option<String> {
        match self {
            Self::Guid(guid) => Kind::Gpt(*guid).name(),
            Self::Byte(byte) => Kind::Mbr(*byte).name(),
            Self::Native(_) => None,
        }
    }

    /// Tells whether it is an EFI system partition.
    #[must_use]
    pub fn is_esp(&self) -> bool {
        self.name().as_deref() == Some("esp")
    }

    /// Tells whether it is the root filesystem of any architecture.
    #[must_use]
    pub fn is_root(&self) -> bool {
        match self {
            Self::Guid(guid) => Kind::Gpt(*guid).is_root(),
            Self::Native(native) => *native == Native::Root,
            Self::Byte(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_have_names_of_any_or_of_one_architecture() {
        let guid = |name: &str, architecture| Type::named(name).map(|kind| kind.guid(architecture));
        let x86 = Some(Architecture::X86_64);
        assert_eq!(guid("root", x86), Kind::guid_named("root-x86-64"));
        assert_eq!(
            guid("usr-verity", x86),
            Kind::guid_named("usr-x86-64-verity")
        );
        assert_eq!(guid("root-arm64", x86), Kind::guid_named("root-arm64"));
        assert_eq!(guid("root", None), Kind::guid_named("linux-generic"));
        assert_eq!(guid("swap", x86), Kind::guid_named("swap"));
        let digits = "933ac7e1-2eb4-4f13-b844-0e14e2aef915";
        assert_eq!(guid(digits, None), Kind::guid_named("home"));
        assert_eq!(Type::named("roots"), None);
        assert_eq!(Type::named("0x0C"), Some(Type::Byte(0x0c)));
        assert_eq!(Type::named("0x00"), None);
        assert_eq!(Type::named("0x100"), None);
        assert!(Type::Byte(0xef).is_esp());
        assert_eq!(Type::named(&Guid::ZERO.to_string()), None);
        assert!(Type::named("esp").unwrap().is_esp());
        assert!(Type::named("root-arm64").unwrap().is_root());
        assert!(!Type::named("root-verity").unwrap().is_root());
    }
}
