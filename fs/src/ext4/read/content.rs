//! What files hold: spans of the image, holes, bytes in the inode.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

use forger_block::{BlockRead, MAX_LEN};

use super::map::Access;
use super::{FileType, Image, Inode, ReadError, xattr};
use crate::ext4::damage::{Damage, Location};
use crate::ext4::inode::flag;
use crate::tree::Content;

impl Access<'_> {
    /// Returns the content of a file, symlink or directory.
    pub(crate) fn content(self, inode: &Inode) -> Result<Content, ReadError> {
        let size = inode.size();
        if size > MAX_LEN {
            let damage = Damage::field("i_size", size, "files have less than 2^63 bytes");
            return Err(ReadError::inode(inode.number(), damage));
        }
        if inode.has_flag(flag::INLINE_DATA) {
            return Ok(Content::inline(inline(inode)?));
        }
        if inode.is_fast_symlink(self.superblock) {
            return Ok(Content::inline(fast_symlink(inode)?));
        }
        let source = self.blocks.source();
        let bytes = |blocks: u64| {
            blocks
                .saturating_mul(self.superblock.block_size().into())
                .min(size)
        };
        let mut content = Content::new();
        for run in self.runs(inode)? {
            let (start, end) = (
                bytes(run.logical),
                bytes(run.logical.saturating_add(run.len)),
            );
            content.push_hole(start.saturating_sub(content.size()));
            let len = end.saturating_sub(start);
            if run.unwritten {
                content.push_hole(len);
            } else {
                content.push_span(source, self.blocks.offset(run.physical), len);
            }
        }
        content.push_hole(size.saturating_sub(content.size()));
        Ok(content)
    }
}

/// Reads a content of at most `limit` bytes into memory.
pub(crate) fn read_all(
    access: Access<'_>,
    inode: &Inode,
    limit: u64,
) -> Result<Vec<u8>, ReadError> {
    let content = access.content(inode)?;
    let len = Some(content.size())
        .filter(|size| *size <= limit)
        .and_then(|size| usize::try_from(size).ok())
        .ok_or_else(|| {
            let damage = Damage::field(
                "i_size",
                content.size(),
                "it is more than the inode's use allows",
            );
            ReadError::inode(inode.number(), damage)
        })?;
    let mut bytes = vec![0; len];
    content.read_at(0, &mut bytes)?;
    Ok(bytes)
}

/// Returns the two parts of an inline content: 60 bytes in `i_block`, and an attribute's value.
pub(crate) fn inline_parts(inode: &Inode) -> Result<(&[u8; 60], &[u8]), ReadError> {
    let damaged = |damage| ReadError::inode(inode.number(), damage);
    let entries = xattr::in_inode(&inode.tail).map_err(damaged)?;
    let entry = entries.iter().find(|entry| entry.is_inline_data());
    // Inodes of 128 bytes have no place for the attribute.
    let rest = entry.map_or(&[][..], |entry| entry.value);
    Ok((&inode.raw().i_block, rest))
}

/// Returns the length of an inline content in bytes; none without its attribute.
pub(crate) fn inline_size(inode: &Inode) -> Result<Option<u64>, Damage> {
    let entries = xattr::in_inode(&inode.tail)?;
    let room = inode.tail.len().saturating_sub(4);
    for entry in &entries {
        let offset = entry.raw.e_value_offs.get();
        if usize::from(offset) > room {
            return Err(Damage::field(
                "e_value_offs",
                offset,
                "values end with their area",
            ));
        }
    }
    let entry = entries.iter().find(|entry| entry.is_inline_data());
    Ok(entry.map(|entry| u64::from(entry.raw.e_value_size.get()).saturating_add(60)))
}

fn inline(inode: &Inode) -> Result<Vec<u8>, ReadError> {
    let (first, rest) = inline_parts(inode)?;
    let mut bytes = [first.as_slice(), rest].concat();
    let size = usize::try_from(inode.size()).unwrap_or(usize::MAX);
    if size > bytes.len() {
        let damage = Damage::field("i_size", inode.size(), "the inline content is shorter");
        return Err(ReadError::inode(inode.number(), damage));
    }
    bytes.truncate(size);
    Ok(bytes)
}

fn fast_symlink(inode: &Inode) -> Result<Vec<u8>, ReadError> {
    let target = usize::try_from(inode.size())
        .ok()
        .and_then(|size| inode.raw().i_block.get(..size));
    target.map(<[u8]>::to_vec).ok_or_else(|| {
        let damage = Damage::field(
            "i_size",
            inode.size(),
            "a target in the inode has at most 60 bytes",
        );
        ReadError::inode(inode.number(), damage)
    })
}

impl Image {
    /// Returns the content of a regular file by reference: spans of the image as it is after its
    /// journal is replayed, and holes.
    ///
    /// # Errors
    /// [`ReadError::WrongKind`] for what is no regular file, [`ReadError::Unsupported`] for an
    /// encrypted one, [`ReadError::Corrupt`] when its map is damaged.
    pub fn content(&self, inode: &Inode) -> Result<Content, ReadError> {
        if inode.file_type() != FileType::File {
            return Err(ReadError::WrongKind {
                inode: inode.number(),
                expected: "a regular file",
            });
        }
        refuse_encrypted(inode)?;
        self.access().content(inode)
    }

    /// Returns the target of a symlink.
    ///
    /// # Errors
    /// As [`content`](Self::content).
    pub fn symlink(&self, inode: &Inode) -> Result<Vec<u8>, ReadError> {
        if inode.file_type() != FileType::Symlink {
            return Err(ReadError::WrongKind {
                inode: inode.number(),
                expected: "a symlink",
            });
        }
        refuse_encrypted(inode)?;
        let target = read_all(self.access(), inode, self.superblock.block_size().into())?;
        if target.is_empty() || target.contains(&0) {
            let damage = Damage::Structure("the symlink's target is empty or has a NUL");
            return Err(ReadError::inode(inode.number(), damage));
        }
        Ok(target)
    }
}

fn refuse_encrypted(inode: &Inode) -> Result<(), ReadError> {
    if inode.is_encrypted() {
        return Err(ReadError::Unsupported {
            location: Location::Inode(inode.number()),
            what: "encrypted content",
        });
    }
    Ok(())
}
