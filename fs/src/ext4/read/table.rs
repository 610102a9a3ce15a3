//! Inode tables, read from end to end.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

use super::group::GroupDesc;
use super::{Image, ReadError};
use crate::ext4::damage::Location;
use crate::ext4::{BlockNo, GroupNo, InodeNo};

/// How many bytes of a table are read at a time.
const PIECE: usize = 1 << 20;

/// Takes an inode of the table: its number and its bytes.
type Visit<'a> = dyn FnMut(InodeNo, &[u8]) -> Result<(), ReadError> + 'a;

/// Calls `visit` with every inode of a group's table that can have been in use.
pub(crate) fn for_each_inode(
    image: &Image,
    group: GroupNo,
    desc: &GroupDesc,
    visit: &mut Visit<'_>,
) -> Result<(), ReadError> {
    let superblock = image.superblock();
    let size = usize::from(superblock.inode_size());
    let mut left = desc.inodes_written(superblock);
    let first = group.0.saturating_mul(superblock.inodes_per_group());
    let mut number = InodeNo(first.saturating_add(1));
    let mut block = desc.raw.inode_table();
    let mut buf = Vec::new();
    while left > 0 {
        let bytes = usize::try_from(left)
            .unwrap_or(usize::MAX)
            .saturating_mul(size);
        let len = bytes.min(PIECE).next_multiple_of(superblock.block_len());
        let blocks = u64::try_from(len).unwrap_or(u64::MAX) >> superblock.block_bits();
        superblock
            .check_blocks("bg_inode_table", block, blocks)
            .map_err(|damage| ReadError::corrupt(Location::Group(group), damage))?;
        buf.resize(len, 0);
        image.blocks.read_run(block, &mut buf)?;
        for bytes in buf.chunks_exact(size) {
            let Some(rest) = left.checked_sub(1) else {
                break;
            };
            left = rest;
            visit(number, bytes)?;
            number = InodeNo(number.0.saturating_add(1));
        }
        block = BlockNo(block.0.saturating_add(blocks));
    }
    Ok(())
}
