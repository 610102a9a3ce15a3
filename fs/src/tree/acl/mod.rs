//! POSIX ACLs: as text, as entries, and as the kernel's attribute.
//!
//! ```text
//! attribute system.posix_acl_access, system.posix_acl_default, little endian:
//!
//!   0x00 version u32 = 2 | 0x04 entry | 0x0c entry | ...
//!                          tag u16, permissions u16, id u32
//! ```
//!
//! The tags are those of the kernel's `include/uapi/linux/posix_acl.h`.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

mod text;

pub use text::Parsed;

/// The attribute that holds the ACL of a file or folder.
pub const ACCESS: &[u8] = b"system.posix_acl_access";

/// The attribute that holds the ACL that new files in a folder start with.
pub const DEFAULT: &[u8] = b"system.posix_acl_default";

const VERSION: u32 = 2;

/// The id of entries that have none.
const NO_ID: u32 = u32::MAX;

/// An access control list that the kernel would accept: entries in canonical order, one each for
/// owner, owning group and others, and a mask if anyone else is named.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Acl {
    entries: Vec<AclEntry>,
}

/// What one class of users may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AclEntry {
    /// Whom it is about.
    pub who: Who,
    /// Read 4, write 2, execute 1: 0..=7.
    pub permissions: u8,
}

/// Whom an ACL entry is about, in canonical order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Who {
    /// The file's owner.
    Owner,
    /// The user of this id.
    User(u32),
    /// The file's group.
    OwningGroup,
    /// The group of this id.
    Group(u32),
    /// Upper bound for everyone but owner and others.
    Mask,
    /// Everyone else.
    Other,
}

/// Why something is no ACL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An entry of the text is malformed.
    #[error("`{entry}` is no ACL entry: {reason}")]
    Entry {
        /// The entry, lossily decoded.
        entry: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The attribute is not of the kernel's form.
    #[error("an ACL attribute of {len} bytes: {reason}")]
    Attribute {
        /// Its length in bytes.
        len: usize,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The entries do not make a list that the kernel accepts.
    #[error("{0}")]
    Invalid(&'static str),
}

impl Acl {
    /// Makes a list of entries in any order.
    ///
    /// # Errors
    /// [`Error::Invalid`] for missing or repeated entries.
    pub fn new(mut entries: Vec<AclEntry>) -> Result<Self, Error> {
        entries.sort_unstable();
        if entries
            .windows(2)
            .any(|pair| matches!(pair, [a, b] if a.who == b.who))
        {
            return Err(Error::Invalid(
                "two ACL entries are about the same user or group",
            ));
        }
        let has = |who| entries.iter().any(|entry| entry.who == who);
        if !(has(Who::Owner) && has(Who::OwningGroup) && has(Who::Other)) {
            return Err(Error::Invalid(
                "an ACL without an entry for owner, group or others",
            ));
        }
        let named = |entry: &AclEntry| matches!(entry.who, Who::User(_) | Who::Group(_));
        if entries.iter().any(named) && !has(Who::Mask) {
            return Err(Error::Invalid(
                "an ACL that names a user or group, but has no mask",
            ));
        }
        Ok(Self { entries })
    }

    /// Returns the entries in canonical order.
    #[must_use]
    pub fn entries(&self) -> &[AclEntry] {
        &self.entries
    }

    /// Reads the value of an attribute.
    ///
    /// # Errors
    /// [`Error::Attribute`] and [`Error::Invalid`].
    pub fn from_attribute(value: &[u8]) -> Result<Self, Error> {
        let fault = |reason| Error::Attribute {
            len: value.len(),
            reason,
        };
        let (version, rest) = value
            .split_first_chunk()
            .ok_or_else(|| fault("too short"))?;
        if u32::from_le_bytes(*version) != VERSION {
            return Err(fault("not of version 2"));
        }
        let (entries, rest) = rest.as_chunks::<8>();
        if !rest.is_empty() {
            return Err(fault("its last entry is cut"));
        }
        let entries = entries.iter().map(|[t0, t1, p0, p1, id @ ..]| {
            let who = who(u16::from_le_bytes([*t0, *t1]), u32::from_le_bytes(*id));
            let permissions = u8::try_from(u16::from_le_bytes([*p0, *p1]));
            match (who, permissions) {
                (Some(who), Ok(permissions @ 0..=7)) => Ok(AclEntry { who, permissions }),
                (None, _) => Err(fault("an unknown tag or id")),
                (Some(_), _) => Err(fault("permissions beyond rwx")),
            }
        });
        Self::new(entries.collect::<Result<_, _>>()?)
    }

    /// Returns the value of the attribute.
    #[must_use]
    pub fn to_attribute(&self) -> Vec<u8> {
        let mut value = VERSION.to_le_bytes().to_vec();
        for entry in &self.entries {
            let (tag, id) = tag(entry.who);
            value.extend_from_slice(&tag.to_le_bytes());
            value.extend_from_slice(&u16::from(entry.permissions).to_le_bytes());
            value.extend_from_slice(&id.to_le_bytes());
        }
        value
    }

    /// Tells whether the list says no more than permission bits can: the kernel does not store such
    /// an access ACL.
    #[must_use]
    pub fn is_minimal(&self) -> bool {
        self.entries.len() == 3
    }

    /// Returns the nine permission bits that go with it as access ACL: the mask, if there is one,
    /// stands for the group.
    #[must_use]
    pub fn mode(&self) -> u16 {
        let of = |who| self.entries.iter().find(|entry| entry.who == who);
        let bits = |entry: Option<&AclEntry>| entry.map_or(0, |entry| u16::from(entry.permissions));
        let group = of(Who::Mask).or(of(Who::OwningGroup));
        bits(of(Who::Owner)) << 6 | bits(group) << 3 | bits(of(Who::Other))
    }
}

fn who(tag: u16, id: u32) -> Option<Who> {
    match tag {
        0x01 => Some(Who::Owner),
        0x02 if id != NO_ID => Some(Who::User(id)),
        0x04 => Some(Who::OwningGroup),
        0x08 if id != NO_ID => Some(Who::Group(id)),
        0x10 => Some(Who::Mask),
        0x20 => Some(Who::Other),
        _ => None,
    }
}

fn tag(who: Who) -> (u16, u32) {
    match who {
        Who::Owner => (0x01, NO_ID),
        Who::User(id) => (0x02, id),
        Who::OwningGroup => (0x04, NO_ID),
        Who::Group(id) => (0x08, id),
        Who::Mask => (0x10, NO_ID),
        Who::Other => (0x20, NO_ID),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(who: Who, permissions: u8) -> AclEntry {
        AclEntry { who, permissions }
    }

    fn minimal() -> Vec<AclEntry> {
        vec![
            entry(Who::Owner, 6),
            entry(Who::OwningGroup, 4),
            entry(Who::Other, 0),
        ]
    }

    #[test]
    fn attribute_is_the_kernels() {
        let mut entries = minimal();
        entries.extend([entry(Who::User(1000), 7), entry(Who::Mask, 5)]);
        let acl = Acl::new(entries).unwrap();
        // setfacl -m u:1000:rwx,m:rx on a file of mode 0640; getfattr -m- -e hex.
        let value = b"\x02\0\0\0\x01\0\x06\0\xff\xff\xff\xff\x02\0\x07\0\xe8\x03\0\0\
            \x04\0\x04\0\xff\xff\xff\xff\x10\0\x05\0\xff\xff\xff\xff\x20\0\0\0\xff\xff\xff\xff";
        assert_eq!(acl.to_attribute(), value);
        assert_eq!(Acl::from_attribute(value), Ok(acl.clone()));
        assert_eq!(acl.mode(), 0o650);
        assert!(!acl.is_minimal());
    }

    #[test]
    fn minimal_list_is_the_permission_bits() {
        let acl = Acl::new(minimal()).unwrap();
        assert!(acl.is_minimal());
        assert_eq!(acl.mode(), 0o640);
    }

    #[test]
    fn lists_that_the_kernel_refuses_are_refused() {
        let with = |extra: &[AclEntry]| [&minimal()[..], extra].concat();
        for entries in [
            vec![],
            minimal().into_iter().skip(1).collect(),
            with(&[entry(Who::Owner, 1)]),
            with(&[entry(Who::User(5), 1)]),
            with(&[
                entry(Who::User(5), 1),
                entry(Who::User(5), 2),
                entry(Who::Mask, 1),
            ]),
        ] {
            assert!(Acl::new(entries.clone()).is_err(), "{entries:?}");
        }
    }

    #[test]
    fn attributes_that_are_cut_or_strange_are_refused() {
        let value = Acl::new(minimal()).unwrap().to_attribute();
        for end in 0..value.len() {
            assert!(
                Acl::from_attribute(value.get(..end).unwrap()).is_err(),
                "{end}"
            );
        }
        for (place, byte) in [(0, 1), (4, 3), (6, 8), (7, 1)] {
            let mut value = value.clone();
            *value.get_mut(place).unwrap() = byte;
            assert!(Acl::from_attribute(&value).is_err(), "{place}");
        }
    }
}
