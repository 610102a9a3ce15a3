//! Extended attributes: from the inode's tail, its block, and inodes of large values.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

use zerocopy::FromBytes;

use super::content::read_all;
use super::map::Access;
use super::{Image, Inode, ReadError, inode};
use crate::ext4::acl;
use crate::ext4::damage::Damage;
use crate::ext4::features::incompat;
use crate::ext4::inode::flag;
use crate::ext4::xattr::{HEAD, HEADER, MAGIC, RawBlockHeader, RawEntry, block_checksum, index};
use crate::ext4::{BlockNo, InodeNo};
use crate::tree::Xattrs;

/// The longest value that Linux passes, in bytes.
const VALUE_MAX: u32 = 65_536;

/// An attribute as it stands in an inode or block.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry<'a> {
    pub(crate) raw: RawEntry,
    /// Its name without the prefix.
    pub(crate) name: &'a [u8],
    /// Its value, unless an inode of its own holds that.
    pub(crate) value: &'a [u8],
}

impl Entry<'_> {
    /// Returns the inode that holds the value, if one does.
    pub(crate) fn value_inode(&self) -> Option<InodeNo> {
        let inode = self.raw.e_value_inum.get();
        (inode != 0).then_some(InodeNo(inode))
    }

    /// Checks that it has a name to be shown by and, where it is an ACL, that it is one.
    pub(crate) fn check_shown(&self) -> Result<(), Damage> {
        let acl = matches!(
            self.raw.e_name_index,
            index::ACL_ACCESS | index::ACL_DEFAULT
        );
        if full_name(self)?.is_some() && acl && self.value_inode().is_none() {
            acl::from_disk(self.value).map_err(|error| Damage::Acl(error.to_string()))?;
        }
        Ok(())
    }

    /// Tells whether it is the rest of an inline content.
    pub(crate) fn is_inline_data(&self) -> bool {
        self.raw.e_name_index == index::SYSTEM && self.name == b"data"
    }
}

/// Reads the entries that start at `start` in an area; values' offsets count from the area's start.
pub(crate) fn entries(area: &[u8], start: usize) -> Result<Vec<Entry<'_>>, Damage> {
    let cut_off = || Damage::Structure("the extended attributes are cut off");
    let mut found = Vec::new();
    let mut at = start;
    loop {
        let rest = area.get(at..).unwrap_or_default();
        let mark = rest.first_chunk::<4>().ok_or_else(cut_off)?;
        if *mark == [0; 4] {
            break;
        }
        let (raw, rest) = RawEntry::read_from_prefix(rest).map_err(|_| cut_off())?;
        let name = rest.get(..raw.e_name_len.into()).ok_or_else(cut_off)?;
        found.push((raw, name));
        let len = HEAD.saturating_add(name.len());
        at = at.saturating_add(len.checked_next_multiple_of(4).ok_or_else(cut_off)?);
    }
    let names_end = at.saturating_add(4);
    found
        .into_iter()
        .map(|(raw, name)| {
            let value = value(area, names_end, &raw)?;
            Ok(Entry { raw, name, value })
        })
        .collect()
}

fn value<'a>(area: &'a [u8], names_end: usize, raw: &RawEntry) -> Result<&'a [u8], Damage> {
    let size = raw.e_value_size.get();
    if raw.e_value_inum.get() != 0 {
        return if size > VALUE_MAX {
            Err(Damage::field(
                "e_value_size",
                size,
                "values have at most 64 KiB",
            ))
        } else {
            Ok(&[])
        };
    }
    let offset = usize::from(raw.e_value_offs.get());
    let len = usize::try_from(size).unwrap_or(usize::MAX);
    if len == 0 {
        return Ok(&[]);
    }
    if offset < names_end {
        return Err(Damage::field(
            "e_value_offs",
            raw.e_value_offs.get(),
            "values follow the names",
        ));
    }
    area.get(offset..offset.saturating_add(len))
        .ok_or_else(|| Damage::field("e_value_size", size, "values end with their area"))
}

/// Reads the entries in the tail of an inode; the tail begins with a magic, or is empty.
pub(crate) fn in_inode(tail: &[u8]) -> Result<Vec<Entry<'_>>, Damage> {
    match tail.get(4..) {
        Some(area) => entries(area, 0),
        None => Ok(Vec::new()),
    }
}

/// Reads the entries of a block, whose header and checksum are right.
pub(crate) fn in_block<'a>(
    access: Access<'_>,
    number: BlockNo,
    block: &'a [u8],
) -> Result<(RawBlockHeader, Vec<Entry<'a>>), Damage> {
    let (header, _) = RawBlockHeader::read_from_prefix(block)
        .map_err(|_| Damage::Structure("the extended attributes are cut off"))?;
    if header.h_magic.get() != MAGIC {
        return Err(Damage::field(
            "h_magic",
            header.h_magic.get(),
            "it is 0xea020000",
        ));
    }
    if header.h_blocks.get() != 1 {
        return Err(Damage::field("h_blocks", header.h_blocks.get(), "it is 1"));
    }
    if let Some(seed) = access.superblock.seed() {
        let (found, computed) = (header.h_checksum.get(), block_checksum(block, number, seed));
        if found != computed {
            return Err(Damage::Checksum {
                what: "attribute block",
                found,
                computed,
            });
        }
    }
    Ok((header, entries(block, HEADER)?))
}

/// Returns the full name of an attribute; none for what is not shown: the rest of inline content,
/// the context of encryption.
fn full_name(entry: &Entry<'_>) -> Result<Option<Vec<u8>>, Damage> {
    let prefix: &[u8] = match entry.raw.e_name_index {
        index::USER => b"user.",
        index::ACL_ACCESS => b"system.posix_acl_access",
        index::ACL_DEFAULT => b"system.posix_acl_default",
        index::TRUSTED => b"trusted.",
        index::LUSTRE => b"lustre.",
        index::SECURITY => b"security.",
        index::SYSTEM if entry.is_inline_data() => return Ok(None),
        index::SYSTEM => b"system.",
        index::RICHACL => b"system.richacl",
        index::ENCRYPTION => return Ok(None),
        index::HURD => b"gnu.",
        other => {
            return Err(Damage::field(
                "e_name_index",
                other,
                "no prefix has that index",
            ));
        }
    };
    Ok(Some([prefix, entry.name].concat()))
}

impl Access<'_> {
    /// Returns all attributes of an inode that users can see.
    pub(crate) fn xattrs(self, inode: &Inode) -> Result<Xattrs, ReadError> {
        let mut xattrs = Xattrs::new();
        let damaged = |damage| ReadError::inode(inode.number(), damage);
        for entry in in_inode(&inode.tail).map_err(damaged)? {
            self.take(inode, &entry, &mut xattrs)?;
        }
        if let Some(number) = inode.xattr_block(self.superblock) {
            self.superblock
                .check_blocks("i_file_acl", number, 1)
                .map_err(damaged)?;
            let block = self.blocks.read(number)?;
            let (_, entries) = in_block(self, number, &block)
                .map_err(|damage| ReadError::inode_block(inode.number(), number, damage))?;
            for entry in entries {
                self.take(inode, &entry, &mut xattrs)?;
            }
        }
        Ok(xattrs)
    }

    /// Tells whether an inode has the attribute that says how it is encrypted. What is damaged has not.
    pub(crate) fn has_encryption_context(self, inode: &Inode) -> Result<bool, ReadError> {
        let is_context = |entry: &Entry<'_>| entry.raw.e_name_index == index::ENCRYPTION;
        if in_inode(&inode.tail).is_ok_and(|entries| entries.iter().any(is_context)) {
            return Ok(true);
        }
        let Some(number) = inode.xattr_block(self.superblock) else {
            return Ok(false);
        };
        if self
            .superblock
            .check_blocks("i_file_acl", number, 1)
            .is_err()
        {
            return Ok(false);
        }
        let block = self.blocks.read(number)?;
        Ok(in_block(self, number, &block).is_ok_and(|(_, entries)| entries.iter().any(is_context)))
    }

    fn take(self, inode: &Inode, entry: &Entry<'_>, xattrs: &mut Xattrs) -> Result<(), ReadError> {
        let damaged = |damage| ReadError::inode(inode.number(), damage);
        let Some(name) = full_name(entry).map_err(damaged)? else {
            return Ok(());
        };
        let value = match entry.value_inode() {
            Some(holder) => self.large_value(inode, entry, holder)?,
            None => entry.value.to_vec(),
        };
        let value = match entry.raw.e_name_index {
            index::ACL_ACCESS | index::ACL_DEFAULT => {
                acl::from_disk(&value).map_err(|error| damaged(Damage::Acl(error.to_string())))?
            }
            _ => value,
        };
        if xattrs.insert(name.into(), value.into()).is_some() {
            return Err(damaged(Damage::Structure(
                "an extended attribute is there twice",
            )));
        }
        Ok(())
    }

    /// Reads a value that has an inode of its own.
    fn large_value(
        self,
        owner: &Inode,
        entry: &Entry<'_>,
        holder: InodeNo,
    ) -> Result<Vec<u8>, ReadError> {
        let bad = |problem| {
            ReadError::inode(
                owner.number(),
                Damage::BadInode {
                    field: "e_value_inum",
                    inode: holder.0,
                    problem,
                },
            )
        };
        if !self.superblock.has_incompat(incompat::EA_INODE) {
            return Err(bad("needs the feature ea_inode"));
        }
        let value = inode::read(self.superblock, self.blocks, holder)?;
        if !value.has_flag(flag::EA_INODE) {
            return Err(bad("does not hold an attribute's value"));
        }
        if value.size() != u64::from(entry.raw.e_value_size.get()) {
            return Err(bad("has another size than the attribute"));
        }
        let bytes = read_all(self, &value, VALUE_MAX.into())?;
        // The inode's atime is the checksum of the value.
        if let Some(seed) = self.superblock.seed() {
            let (found, computed) = (value.raw().i_atime.get(), seed.checksum(&bytes));
            if found != computed {
                let damage = Damage::Checksum {
                    what: "attribute value",
                    found,
                    computed,
                };
                return Err(ReadError::inode(holder, damage));
            }
        }
        Ok(bytes)
    }
}

impl Image {
    /// Returns the extended attributes of an inode, ACLs in the kernel's attribute form.
    ///
    /// # Errors
    /// [`ReadError::Corrupt`] when they are damaged.
    pub fn xattrs(&self, inode: &Inode) -> Result<Xattrs, ReadError> {
        self.access().xattrs(inode)
    }
}
