//! POSIX ACLs: ext4 keeps them in a form of its own, shorter than the one user space sees.
//!
//! ```text
//! user space (system.posix_acl_*)   version 2 u32 | entries: tag u16, permissions u16, id u32
//! on disk                           version 1 u32 | entries: tag u16, permissions u16, and
//!                                   id u32 where the tag names a user or group
//! ```
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

/// Version of the form that user space sees.
const XATTR_VERSION: u32 = 2;
/// Version of the form on disk.
const DISK_VERSION: u32 = 1;

const USER_OBJ: u16 = 0x01;
const USER: u16 = 0x02;
const GROUP_OBJ: u16 = 0x04;
const GROUP: u16 = 0x08;
const MASK: u16 = 0x10;
const OTHER: u16 = 0x20;
/// The id of entries whose tag has none.
const UNDEFINED_ID: u32 = u32::MAX;

/// What is wrong with an ACL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum AclError {
    /// The value is no version 2 header with whole entries.
    #[error("the ACL is not in the kernel's attribute form, version 2")]
    Form,
    /// An entry's tag is unknown.
    #[error("the ACL has an entry of the unknown tag {0:#x}")]
    Tag(u16),
    /// Permissions beyond read, write, execute.
    #[error("the ACL has an entry with the permissions {0:#o}")]
    Permissions(u16),
    /// A named entry has no id.
    #[error("the ACL names a user or group without its id")]
    NoId,
    /// Entries are missing, repeated or not in order: owner, users, group, groups, mask, others.
    #[error("the ACL's entries are incomplete or out of order")]
    Order,
}

/// Turns the value of a `system.posix_acl_*` attribute into the form on disk.
///
/// # Errors
/// [`AclError`] for what Linux would refuse.
pub(crate) fn to_disk(value: &[u8]) -> Result<Vec<u8>, AclError> {
    let entries = value
        .strip_prefix(&XATTR_VERSION.to_le_bytes())
        .ok_or(AclError::Form)?;
    let (entries, []) = entries.as_chunks::<8>() else {
        return Err(AclError::Form);
    };
    let mut disk = DISK_VERSION.to_le_bytes().to_vec();
    let mut order = Order::default();
    for [tag_lo, tag_hi, perm_lo, perm_hi, id @ ..] in entries {
        let tag = u16::from_le_bytes([*tag_lo, *tag_hi]);
        let permissions = u16::from_le_bytes([*perm_lo, *perm_hi]);
        order.take(tag, permissions)?;
        disk.extend([*tag_lo, *tag_hi, *perm_lo, *perm_hi]);
        if has_id(tag) {
            if *id == UNDEFINED_ID.to_le_bytes() {
                return Err(AclError::NoId);
            }
            disk.extend(id);
        }
    }
    order.finish()?;
    Ok(disk)
}

/// Turns the form on disk into the value of a `system.posix_acl_*` attribute.
///
/// # Errors
/// [`AclError`] for what Linux would refuse to show.
pub(crate) fn from_disk(disk: &[u8]) -> Result<Vec<u8>, AclError> {
    let mut rest = disk
        .strip_prefix(&DISK_VERSION.to_le_bytes())
        .ok_or(AclError::Form)?;
    let mut value = XATTR_VERSION.to_le_bytes().to_vec();
    let mut order = Order::default();
    while !rest.is_empty() {
        let (head, after) = rest.split_first_chunk::<4>().ok_or(AclError::Form)?;
        let [tag_lo, tag_hi, perm_lo, perm_hi] = *head;
        let tag = u16::from_le_bytes([tag_lo, tag_hi]);
        order.take(tag, u16::from_le_bytes([perm_lo, perm_hi]))?;
        value.extend(head);
        if has_id(tag) {
            let (id, after) = after.split_first_chunk::<4>().ok_or(AclError::Form)?;
            value.extend(id);
            rest = after;
        } else {
            value.extend(UNDEFINED_ID.to_le_bytes());
            rest = after;
        }
    }
    order.finish()?;
    Ok(value)
}

fn has_id(tag: u16) -> bool {
    tag == USER || tag == GROUP
}

/// Watches that entries come in the order that Linux demands.
#[derive(Default)]
struct Order {
    last: u16,
    named: bool,
}

impl Order {
    fn take(&mut self, tag: u16, permissions: u16) -> Result<(), AclError> {
        if permissions > 7 {
            return Err(AclError::Permissions(permissions));
        }
        let follows = match tag {
            USER_OBJ => self.last == 0,
            USER => self.last == USER_OBJ || self.last == USER,
            GROUP_OBJ => self.last == USER_OBJ || self.last == USER,
            GROUP => self.last == GROUP_OBJ || self.last == GROUP,
            MASK => self.last == GROUP_OBJ || self.last == GROUP,
            OTHER if self.named => self.last == MASK,
            OTHER => self.last == GROUP_OBJ || self.last == MASK,
            _ => return Err(AclError::Tag(tag)),
        };
        self.named |= has_id(tag);
        self.last = tag;
        follows.then_some(()).ok_or(AclError::Order)
    }

    /// Others come last; an empty ACL is none at all.
    fn finish(&self) -> Result<(), AclError> {
        let whole = self.last == OTHER;
        whole.then_some(()).ok_or(AclError::Order)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(entries: &[(u16, u16, u32)]) -> Vec<u8> {
        let mut value = 2_u32.to_le_bytes().to_vec();
        for (tag, permissions, id) in entries {
            value.extend(tag.to_le_bytes());
            value.extend(permissions.to_le_bytes());
            value.extend(id.to_le_bytes());
        }
        value
    }

    const NONE: u32 = UNDEFINED_ID;

    /// `setfacl -m u:1000:rwx,g:50:r` on a directory of mode 775, as mke2fs copied it.
    #[test]
    fn acl_on_disk_equals_that_of_mke2fs() {
        let value = value(&[
            (USER_OBJ, 7, NONE),
            (USER, 7, 1000),
            (GROUP_OBJ, 5, NONE),
            (GROUP, 4, 50),
            (MASK, 7, NONE),
            (OTHER, 5, NONE),
        ]);
        let disk = b"\x01\0\0\0\x01\0\x07\0\x02\0\x07\0\xe8\x03\0\0\x04\0\x05\0\x08\0\x04\0\x32\0\0\0\x10\0\x07\0\x20\0\x05\0";
        assert_eq!(to_disk(&value).unwrap(), disk);
        assert_eq!(from_disk(disk).unwrap(), value);
    }

    #[test]
    fn minimal_acl_is_kept() {
        let value = value(&[(USER_OBJ, 6, NONE), (GROUP_OBJ, 4, NONE), (OTHER, 4, NONE)]);
        assert_eq!(from_disk(&to_disk(&value).unwrap()).unwrap(), value);
    }

    #[test]
    fn damaged_acls_are_refused() {
        type Entries = [(u16, u16, u32)];
        let refused: [(&Entries, AclError); 7] = [
            (&[], AclError::Order),
            (&[(USER_OBJ, 7, NONE)], AclError::Order),
            (&[(0x40, 7, NONE)], AclError::Tag(0x40)),
            (&[(USER_OBJ, 8, NONE)], AclError::Permissions(8)),
            (&[(USER_OBJ, 7, NONE), (USER, 7, NONE)], AclError::NoId),
            (
                &[(USER_OBJ, 7, NONE), (OTHER, 7, NONE), (GROUP_OBJ, 7, NONE)],
                AclError::Order,
            ),
            (
                // A named user needs a mask.
                &[
                    (USER_OBJ, 7, NONE),
                    (USER, 7, 1),
                    (GROUP_OBJ, 7, NONE),
                    (OTHER, 7, NONE),
                ],
                AclError::Order,
            ),
        ];
        for (entries, error) in refused {
            assert_eq!(to_disk(&value(entries)), Err(error), "{entries:?}");
        }
        assert_eq!(to_disk(b""), Err(AclError::Form));
        assert_eq!(to_disk(b"\x02\0\0\0\x01\0\x07"), Err(AclError::Form));
        assert_eq!(to_disk(b"\x01\0\0\0"), Err(AclError::Form));
        assert_eq!(from_disk(b"\x02\0\0\0"), Err(AclError::Form));
        assert_eq!(from_disk(b"\x01\0\0\0\x01\0"), Err(AclError::Form));
        assert_eq!(from_disk(b"\x01\0\0\0"), Err(AclError::Order));
    }
}
