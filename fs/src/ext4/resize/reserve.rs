//! The resize inode: it owns the blocks in reserve for group descriptors.
//!
//! Its double indirect block lists the reserved blocks behind the descriptors; each of them lists the
//! blocks at the same place in the groups with a copy. See `lib/ext2fs/res_gdt.c` of e2fsprogs.

use super::error::{ResizeError, Result};
use crate::ext4::edit::Editor;
use crate::ext4::features::compat;
use crate::ext4::read::Superblock;
use crate::ext4::{BlockNo, GroupNo, InodeNo};

/// Place of the double indirect block in `i_block`.
const DOUBLE: usize = 13 * 4;

/// Brings the resize inode, where there is one, in line with the new number of descriptors and copies.
pub(super) fn rewrite(editor: &mut Editor, new: &Superblock, copies: &[GroupNo]) -> Result<()> {
    if !new.has_compat(compat::RESIZE_INODE) {
        return Ok(());
    }
    let words = u64::from(new.block_size() / 4);
    let backups: Vec<u64> = copies
        .iter()
        .filter(|group| group.0 != 0)
        .map(|group| new.group_start(*group).0 - new.group_start(GroupNo(0)).0)
        .collect();
    let count = u64::from(new.raw().s_reserved_gdt_blocks.get());
    let copies = u64::try_from(backups.len()).unwrap_or(u64::MAX);
    if copies > words {
        return Err(ResizeError::Layout {
            what: "more copies of the superblock than the resize inode can list",
        });
    }
    let sectors = u64::from(new.block_size() / 512);
    let blocks = (1 + count * (1 + copies)) * sectors;
    let double = editor.change_inode(InodeNo::RESIZE, |raw| {
        raw.i_blocks_lo = u32::try_from(blocks).unwrap_or(u32::MAX).into();
        word(&raw.i_block, DOUBLE)
    })?;
    if !new.contains(BlockNo(double)) {
        return Err(ResizeError::Layout {
            what: "a resize inode without a double indirect block inside",
        });
    }
    let first = new.descriptor_block(0).0 + u64::from(new.desc_blocks());
    let mut listed = vec![0; new.block_len()];
    for i in 0..count {
        let block = first + i;
        put(
            &mut listed,
            (u64::from(new.desc_blocks()) + i) % words,
            block,
        );
        let mut list = vec![0; new.block_len()];
        for (at, offset) in (0..).zip(&backups) {
            put(&mut list, at, block + offset);
        }
        editor.put_block(BlockNo(block), &list)?;
    }
    editor.put_block(BlockNo(double), &listed)?;
    Ok(())
}

fn word(bytes: &[u8], at: usize) -> u64 {
    let word = bytes.get(at..).and_then(|rest| rest.first_chunk::<4>());
    word.map_or(0, |word| u32::from_le_bytes(*word).into())
}

/// Sets a word of a list; block numbers of the resize inode have 32 bits.
fn put(bytes: &mut [u8], index: u64, block: u64) {
    let at = usize::try_from(index * 4).unwrap_or(usize::MAX);
    if let Some(place) = bytes.get_mut(at..).and_then(|rest| rest.first_chunk_mut()) {
        let [a, b, c, d, ..] = block.to_le_bytes();
        *place = [a, b, c, d];
    }
}
