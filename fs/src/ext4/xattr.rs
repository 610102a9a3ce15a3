//! Extended attributes: in the rest of the inode, then in one block.
//!
//! See [Extended Attributes](https://docs.kernel.org/filesystems/ext4/dynamic.html#extended-attributes).
//!
//! ```text
//! inode  magic ea020000 u32 | entries | 0 u32 | ... free ... | values up to the inode's end
//! block  magic ea020000 u32 | refcount | blocks (1) | hash | checksum | 0 0 0 (32 bytes)
//!        entries, sorted by index, length of name, name | 0 u32 | ... free ... | values
//! entry  name_len u8 | index u8 | value_offs u16 | value_inum u32 | value_size u32 | hash u32 | name
//! ```
//!
//! Values stand in the order of their entries, from the end backwards, each padded to 4 bytes. Their
//! offsets count from the first entry in an inode, from the block's start in a block. Inodes whose
//! blocks are equal may share one.

use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::BlockNo;
use super::acl::{self, AclError};
use super::checksum::Seed;
use super::inode::TAIL;
use crate::tree::Xattrs;

/// `h_magic` of inode and block.
pub(crate) const MAGIC: u32 = 0xea02_0000;
/// Length of a block in bytes, as the writer makes them.
pub(crate) const BLOCK: usize = 4096;
/// Length of the block's header.
pub(crate) const HEADER: usize = 32;
/// Length of an entry without its name.
pub(crate) const HEAD: usize = 16;
/// Length of the magic in an inode, and of the zeros after the last entry.
const WORD: usize = 4;
/// The longest name, prefix included, that the kernel can ask for.
const NAME_MAX: usize = 255;

/// `e_name_index`: the prefix that an entry's name does not spell out.
pub(crate) mod index {
    /// `user.`
    pub(crate) const USER: u8 = 1;
    /// `system.posix_acl_access`, whole.
    pub(crate) const ACL_ACCESS: u8 = 2;
    /// `system.posix_acl_default`, whole.
    pub(crate) const ACL_DEFAULT: u8 = 3;
    /// `trusted.`
    pub(crate) const TRUSTED: u8 = 4;
    /// `lustre.` (unused)
    pub(crate) const LUSTRE: u8 = 5;
    /// `security.`
    pub(crate) const SECURITY: u8 = 6;
    /// `system.`: `data` is the rest of inline content.
    pub(crate) const SYSTEM: u8 = 7;
    /// `system.richacl` (never in Linux)
    pub(crate) const RICHACL: u8 = 8;
    /// `c`: the context of encryption.
    pub(crate) const ENCRYPTION: u8 = 9;
    /// `gnu.`
    pub(crate) const HURD: u8 = 10;
}

/// The header of a block.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct RawBlockHeader {
    /// 0x00: [`MAGIC`].
    pub(crate) h_magic: U32,
    /// 0x04: inodes that use the block.
    pub(crate) h_refcount: U32,
    /// 0x08: 1.
    pub(crate) h_blocks: U32,
    /// 0x0c: hash over all entries' hashes; 0 forbids sharing.
    pub(crate) h_hash: U32,
    /// 0x10: checksum over the block's number and the block.
    pub(crate) h_checksum: U32,
    /// 0x14: reserved.
    pub(crate) h_reserved: [U32; 3],
}

/// An entry without its name.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct RawEntry {
    /// 0x0: length of the name.
    pub(crate) e_name_len: u8,
    /// 0x1: [`index`].
    pub(crate) e_name_index: u8,
    /// 0x2: place of the value.
    pub(crate) e_value_offs: U16,
    /// 0x4: inode that holds the value; 0 is none.
    pub(crate) e_value_inum: U32,
    /// 0x8: length of the value.
    pub(crate) e_value_size: U32,
    /// 0xc: hash of name and value; 0 in an inode.
    pub(crate) e_hash: U32,
}

const _: () = {
    use std::mem::{offset_of, size_of};
    assert!(size_of::<RawBlockHeader>() == HEADER);
    assert!(offset_of!(RawBlockHeader, h_checksum) == CHECKSUM);
    assert!(size_of::<RawEntry>() == HEAD);
};

/// Offset of `h_checksum`.
const CHECKSUM: usize = 0x10;

/// Why attributes have no place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum XattrError {
    /// The name's prefix is not one that ext4 knows.
    #[error("the attribute {name} has a prefix that ext4 does not know")]
    UnknownPrefix {
        /// The name, lossily decoded.
        name: String,
    },
    /// The name is empty after its prefix, has a NUL, or more than 255 bytes.
    #[error("the attribute name {name} is empty, has a NUL or more than 255 bytes")]
    BadName {
        /// The name, lossily decoded.
        name: String,
    },
    /// The ACL is malformed.
    #[error("{name}")]
    BadAcl {
        /// The name, lossily decoded.
        name: String,
        /// What is wrong.
        source: AclError,
    },
    /// The attributes need more than the inode and one block.
    #[error("the attributes need {needed} bytes, more than the {room} of an inode and one block")]
    DoesNotFit {
        /// Bytes needed, entries and values.
        needed: usize,
        /// Bytes there are.
        room: usize,
    },
}

/// Where attributes stand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Placed {
    /// What follows the fields of the inode: at most 96 bytes, empty without attributes there.
    pub(crate) in_inode: Vec<u8>,
    /// The block, with neither reference count nor checksum, which [`seal_block`] adds.
    pub(crate) block: Option<Box<[u8; BLOCK]>>,
}

/// An attribute as it stands on disk.
struct Attribute {
    index: u8,
    name: Vec<u8>,
    value: Vec<u8>,
}

impl Attribute {
    fn new(name: &[u8], value: &[u8]) -> Result<Self, XattrError> {
        let shown = || String::from_utf8_lossy(name).into_owned();
        let (index, suffix) =
            split_name(name).ok_or_else(|| XattrError::UnknownPrefix { name: shown() })?;
        let acl = matches!(index, index::ACL_ACCESS | index::ACL_DEFAULT);
        if name.len() > NAME_MAX || name.contains(&0) || (suffix.is_empty() && !acl) {
            return Err(XattrError::BadName { name: shown() });
        }
        let value = if acl {
            acl::to_disk(value).map_err(|source| XattrError::BadAcl {
                name: shown(),
                source,
            })?
        } else {
            value.to_vec()
        };
        Ok(Self {
            index,
            name: suffix.to_vec(),
            value,
        })
    }

    /// Returns what the entry takes.
    fn entry_len(&self) -> usize {
        (HEAD + self.name.len()).next_multiple_of(4)
    }

    /// Returns what entry and value take.
    fn len(&self) -> usize {
        self.entry_len() + self.value.len().next_multiple_of(4)
    }
}

/// Splits a name into the index of its prefix and the rest.
fn split_name(name: &[u8]) -> Option<(u8, &[u8])> {
    match name {
        b"system.posix_acl_access" => return Some((index::ACL_ACCESS, b"")),
        b"system.posix_acl_default" => return Some((index::ACL_DEFAULT, b"")),
        _ => {}
    }
    [
        (index::USER, &b"user."[..]),
        (index::TRUSTED, b"trusted."),
        (index::SECURITY, b"security."),
    ]
    .into_iter()
    .find_map(|(index, prefix)| Some((index, name.strip_prefix(prefix)?)))
}

/// Places attributes: as many bytes as possible in the inode, the rest in a block.
///
/// # Errors
/// [`XattrError`] for what ext4 cannot hold.
pub(crate) fn place(xattrs: &Xattrs) -> Result<Placed, XattrError> {
    let (in_inode, block) = place_of(xattrs, TAIL, BLOCK)?;
    Ok(Placed {
        in_inode,
        block: block.and_then(|block| block.into_boxed_slice().try_into().ok()),
    })
}

/// As [`place`], with `tail` bytes after the fields of the inode, and blocks of another length.
///
/// # Errors
/// [`XattrError`] for what ext4 cannot hold.
pub(crate) fn place_of(
    xattrs: &Xattrs,
    tail: usize,
    block_len: usize,
) -> Result<(Vec<u8>, Option<Vec<u8>>), XattrError> {
    if xattrs.is_empty() {
        return Ok((Vec::new(), None));
    }
    let inode_room = tail.saturating_sub(2 * WORD);
    let block_room = block_len.saturating_sub(HEADER + WORD);
    let mut attributes = xattrs
        .iter()
        .map(|(name, value)| Attribute::new(name, value))
        .collect::<Result<Vec<_>, _>>()?;
    attributes.sort_by(|a, b| sort_key(a).cmp(&sort_key(b)));
    let chosen = choose_for_inode(&attributes, inode_room);
    let (mut inner, mut outer) = (Vec::new(), Vec::new());
    for (attribute, chosen) in attributes.iter().zip(chosen) {
        if chosen {
            inner.push(attribute);
        } else {
            outer.push(attribute);
        }
    }
    let outer_len: usize = outer.iter().map(|attribute| attribute.len()).sum();
    if outer_len > block_room {
        return Err(XattrError::DoesNotFit {
            needed: attributes.iter().map(Attribute::len).sum(),
            room: inode_room + block_room,
        });
    }
    Ok((
        encode_in_inode(&inner, tail),
        (!outer.is_empty()).then(|| encode_block(&outer, block_len)),
    ))
}

fn sort_key(attribute: &Attribute) -> (u8, usize, &[u8]) {
    (attribute.index, attribute.name.len(), &attribute.name)
}

/// Chooses the attributes for the inode so that they fill it as far as possible; of equal choices, the
/// one whose attributes are all there first.
fn choose_for_inode(attributes: &[Attribute], room: usize) -> Vec<bool> {
    // best[n]: the choice that fills exactly n words.
    let mut best: Vec<Option<Vec<bool>>> = vec![None; room / WORD + 1];
    best[0] = Some(vec![false; attributes.len()]);
    for (i, attribute) in attributes.iter().enumerate() {
        let words = attribute.len() / WORD;
        for filled in (words..best.len()).rev() {
            if best[filled].is_none()
                && let Some(mut choice) = best[filled - words].clone()
            {
                choice[i] = true;
                best[filled] = Some(choice);
            }
        }
    }
    best.into_iter().flatten().next_back().unwrap_or_default()
}

fn encode_in_inode(attributes: &[&Attribute], tail: usize) -> Vec<u8> {
    if attributes.is_empty() {
        return Vec::new();
    }
    let mut tail = vec![0; tail];
    let (magic, area) = tail.split_at_mut(WORD);
    magic.copy_from_slice(&MAGIC.to_le_bytes());
    // The hash stays 0 in an inode, as the kernel leaves it.
    write_entries(area, 0, attributes, |_| 0);
    tail
}

fn encode_block(attributes: &[&Attribute], block_len: usize) -> Vec<u8> {
    let mut block = vec![0; block_len];
    write_entries(&mut block, HEADER, attributes, |attribute| {
        entry_hash(&attribute.name, &attribute.value, false)
    });
    let header = RawBlockHeader {
        h_magic: MAGIC.into(),
        h_refcount: 0.into(),
        h_blocks: 1.into(),
        h_hash: block_hash(
            attributes
                .iter()
                .map(|attribute| entry_hash(&attribute.name, &attribute.value, false)),
        )
        .into(),
        h_checksum: 0.into(),
        h_reserved: [0.into(); 3],
    };
    block[..HEADER].copy_from_slice(header.as_bytes());
    block
}

/// Writes entries from `start` and values from the area's end, which offsets count from its start.
fn write_entries(
    area: &mut [u8],
    start: usize,
    attributes: &[&Attribute],
    hash: impl Fn(&Attribute) -> u32,
) {
    let (mut at, mut end) = (start, area.len());
    for attribute in attributes {
        let size = attribute.value.len();
        end -= size.next_multiple_of(4);
        let offset = if size == 0 { 0 } else { end };
        let raw = RawEntry {
            e_name_len: u8::try_from(attribute.name.len()).expect("names have at most 255 bytes"),
            e_name_index: attribute.index,
            e_value_offs: U16::new(u16::try_from(offset).expect("offsets lie in a block")),
            e_value_inum: 0.into(),
            e_value_size: U32::new(u32::try_from(size).expect("values fit a block")),
            e_hash: hash(attribute).into(),
        };
        area[at..at + HEAD].copy_from_slice(raw.as_bytes());
        area[at + HEAD..at + HEAD + attribute.name.len()].copy_from_slice(&attribute.name);
        area[end..end + size].copy_from_slice(&attribute.value);
        at += attribute.entry_len();
    }
}

/// Returns `e_hash` of an entry in a block: over the name's bytes, then over the value's words.
///
/// Before version 6.2, Linux took the bytes as signed where the machine's characters are.
pub(crate) fn entry_hash(name: &[u8], value: &[u8], signed: bool) -> u32 {
    let widen = |byte: u8| {
        if signed {
            i32::from(byte.cast_signed()).cast_unsigned()
        } else {
            byte.into()
        }
    };
    let hash = name
        .iter()
        .fold(0_u32, |hash, byte| hash.rotate_left(5) ^ widen(*byte));
    value.chunks(4).fold(hash, |hash, chunk| {
        let mut word = [0; 4];
        word[..chunk.len()].copy_from_slice(chunk);
        hash.rotate_left(16) ^ u32::from_le_bytes(word)
    })
}

/// Returns `h_hash` of a block from its entries' hashes; 0 when one of them is 0.
pub(crate) fn block_hash(hashes: impl IntoIterator<Item = u32>) -> u32 {
    let mut block = 0_u32;
    for hash in hashes {
        if hash == 0 {
            return 0;
        }
        block = block.rotate_left(16) ^ hash;
    }
    block
}

/// Returns the checksum of a block at its place.
pub(crate) fn block_checksum(block: &[u8], number: BlockNo, seed: Seed) -> u32 {
    seed.update(&number.0.to_le_bytes())
        .update(&block[..CHECKSUM])
        .update(&[0; 4])
        .checksum(&block[CHECKSUM + 4..])
}

/// Fills in the number of inodes that use the block, and the checksum of the block at its place.
pub(crate) fn seal_block(block: &mut [u8; BLOCK], number: BlockNo, refcount: u32, seed: Seed) {
    seal_block_of(block, number, refcount, Some(seed));
}

/// As [`seal_block`], for a block of another length, or without checksums.
pub(crate) fn seal_block_of(block: &mut [u8], number: BlockNo, refcount: u32, seed: Option<Seed>) {
    block[4..8].copy_from_slice(&refcount.to_le_bytes());
    if let Some(seed) = seed {
        let sum = block_checksum(block, number, seed);
        block[CHECKSUM..CHECKSUM + 4].copy_from_slice(&sum.to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn xattrs(list: &[(&[u8], &[u8])]) -> Xattrs {
        list.iter()
            .map(|(name, value)| ((*name).into(), (*value).into()))
            .collect()
    }

    fn does_not_fit(xattrs: &Xattrs) -> bool {
        matches!(place(xattrs), Err(XattrError::DoesNotFit { .. }))
    }

    /// Inode 12 of an image of mke2fs, from byte 160.
    #[test]
    fn attributes_in_the_inode_equal_those_of_mke2fs() {
        let placed = place(&xattrs(&[
            (b"security.thing", b"xyz"),
            (b"user.color", b"blue"),
        ]))
        .unwrap();
        let mut expected = [0; TAIL];
        expected[..52].copy_from_slice(
            b"\0\0\x02\xea\x05\x01\x58\0\0\0\0\0\x04\0\0\0\0\0\0\0color\0\0\0\x05\x06\x54\0\0\0\0\0\x03\0\0\0\0\0\0\0thing\0\0\0",
        );
        expected[TAIL - 8..].copy_from_slice(b"xyz\0blue");
        assert_eq!(placed.in_inode, expected);
        assert_eq!(placed.block, None);
    }

    /// An access and a default ACL: one in the inode, one in block 2070 of an image of mke2fs, which
    /// leaves `h_hash` 0.
    #[test]
    fn block_equals_that_of_mke2fs_beside_its_hash() {
        let access = b"\x02\0\0\0\x01\0\x07\0\xff\xff\xff\xff\x02\0\x07\0\xe8\x03\0\0\x04\0\x05\0\xff\xff\xff\xff\x08\0\x04\0\x32\0\0\0\x10\0\x07\0\xff\xff\xff\xff\x20\0\x05\0\xff\xff\xff\xff";
        let default = b"\x02\0\0\0\x01\0\x07\0\xff\xff\xff\xff\x02\0\x04\0\x07\0\0\0\x04\0\x05\0\xff\xff\xff\xff\x10\0\x05\0\xff\xff\xff\xff\x20\0\x05\0\xff\xff\xff\xff";
        let placed = place(&xattrs(&[
            (b"system.posix_acl_access", access),
            (b"system.posix_acl_default", default),
        ]))
        .unwrap();
        assert_eq!(
            placed.in_inode[..20],
            *b"\0\0\x02\xea\0\x02\x38\0\0\0\0\0\x24\0\0\0\0\0\0\0"
        );
        let mut block = placed.block.unwrap();
        assert_eq!(
            block[32..48],
            *b"\0\x03\xe4\x0f\0\0\0\0\x1c\0\0\0\x25\0\x12\0"
        );
        block[12..16].fill(0);
        let uuid = b"\x01\x23\x45\x67\x89\xab\xcd\xef\x01\x23\x45\x67\x89\xab\xcd\xef";
        seal_block(&mut block, BlockNo(2070), 1, Seed::from_uuid(uuid));
        assert_eq!(
            block[..20],
            *b"\0\0\x02\xea\x01\0\0\0\x01\0\0\0\0\0\0\0\x02\x42\xb5\x3d"
        );
    }

    /// A block that Linux 6.18 made with setfattr, shared by two inodes.
    #[test]
    fn order_and_hashes_equal_those_of_the_kernel() {
        let attributes: Vec<Attribute> = [
            (&b"trusted.z"[..], vec![b'x'; 62]),
            (b"user.abc", vec![b'w'; 61]),
            (b"user.big", vec![b'z'; 99]),
            (b"user.empty", vec![]),
            (b"user.\xc3\xa9", vec![b'y'; 63]),
        ]
        .iter()
        .map(|(name, value)| Attribute::new(name, value).unwrap())
        .collect();
        let mut sorted: Vec<&Attribute> = attributes.iter().collect();
        sorted.sort_by(|a, b| sort_key(a).cmp(&sort_key(b)));
        let block = encode_block(&sorted, BLOCK);
        let hashes: Vec<(&[u8], u32)> = sorted
            .iter()
            .map(|a| (a.name.as_slice(), entry_hash(&a.name, &a.value, false)))
            .collect();
        assert_eq!(
            hashes,
            [
                (&b"\xc3\xa9"[..], 0x7900_18c9),
                (b"abc", 0x7776_ff23),
                (b"big", 0x853d_7a7b),
                (b"empty", 0x0667_4ef9),
                (b"z", 0x7878_007a),
            ]
        );
        assert_eq!(block[12..16], 0x359f_13d9_u32.to_le_bytes());
    }

    #[test]
    fn no_attributes_take_no_place() {
        assert_eq!(place(&Xattrs::new()).unwrap(), Placed::default());
    }

    #[test]
    fn inode_is_filled_as_far_as_possible() {
        // 20 + 40, 20 + 44, 20 + 4 bytes: the second and the third fill all 88.
        let placed = place(&xattrs(&[
            (b"user.a", &[1; 40]),
            (b"user.b", &[2; 44]),
            (b"user.c", &[3; 4]),
        ]))
        .unwrap();
        assert_eq!(placed.in_inode[20..21], *b"b");
        let block = placed.block.unwrap();
        assert_eq!(block[HEADER + HEAD..HEADER + HEAD + 2], *b"a\0");
    }

    #[test]
    fn attributes_fit_up_to_the_last_byte() {
        // One entry of 20 bytes for the inode and 68 of value; one for the block and 4040.
        let full = xattrs(&[(b"user.a", &[1; 68]), (b"user.b", &[2; 4040])]);
        let placed = place(&full).unwrap();
        assert_eq!(placed.in_inode.len(), TAIL);
        let block = placed.block.unwrap();
        assert_eq!(block[HEADER + 20..HEADER + 24], [0; 4]);
        assert_eq!(block[HEADER + 24], 2);
        assert!(does_not_fit(&xattrs(&[(b"user.b", &[2; 4041])])));
        assert!(does_not_fit(&xattrs(&[
            (b"user.a", &[1; 69]),
            (b"user.b", &[2; 4040])
        ])));
    }

    #[test]
    fn names_outside_the_format_are_refused() {
        let error = |name: &[u8]| place(&xattrs(&[(name, b"v")])).unwrap_err();
        for name in [&b"btrfs.x"[..], b"user", b"system.data", b"gnu.translator"] {
            assert!(matches!(error(name), XattrError::UnknownPrefix { .. }));
        }
        let long = [b"user.".to_vec(), vec![b'n'; 251]].concat();
        for name in [&b"user."[..], b"user.a\0b", &long] {
            assert!(matches!(error(name), XattrError::BadName { .. }));
        }
        assert!(matches!(
            error(b"system.posix_acl_access"),
            XattrError::BadAcl { .. }
        ));
        assert!(place(&xattrs(&[(&long[..255], b"v")])).is_ok());
    }
}
