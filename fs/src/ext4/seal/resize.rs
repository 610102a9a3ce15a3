//! The resize inode (7): it owns the reserved descriptor blocks, so that nothing else takes them.
//!
//! Its double indirect block lists the primary reserved blocks; each of those lists its copies in
//! the backup groups. See `lib/ext2fs/res_gdt.c` of e2fsprogs for the layout the kernel expects.

use super::Sealed;
use super::table::internal_inode;
use crate::ext4::geometry::{BLOCKS_PER_GROUP, has_super};
use crate::ext4::inode::RawInode;
use crate::ext4::units::{BLOCK_SIZE, GroupNo};

/// Block addresses in a block.
const ADDRESSES: u64 = BLOCK_SIZE / 4;
/// Place of the double indirect block in `i_block`.
const DOUBLE_INDIRECT: usize = 13 * 4;

/// Returns the inode, if there are reserved blocks.
pub(crate) fn inode(sealed: &Sealed) -> Option<RawInode> {
    let block = sealed.resize_block?;
    let size = (ADDRESSES * ADDRESSES + ADDRESSES + 12) * BLOCK_SIZE;
    let mut raw = internal_inode(sealed, size);
    let address = address(block.0);
    raw.i_block[DOUBLE_INDIRECT..DOUBLE_INDIRECT + 4].copy_from_slice(&address);
    let copies = 1 + backups(sealed).count() as u64;
    raw.set_blocks(1 + sealed.reserved_blocks() * copies);
    Some(raw)
}

/// Makes the double indirect block.
pub(crate) fn double_indirect(sealed: &Sealed) -> Vec<u8> {
    let descs = sealed.desc_blocks();
    let mut bytes = vec![0; 4096];
    for reserved in 0..sealed.reserved_blocks() {
        put(
            &mut bytes,
            (descs + reserved) % ADDRESSES,
            1 + descs + reserved,
        );
    }
    bytes
}

/// Makes a primary reserved block: its copies in the backup groups.
pub(crate) fn reserved_block(sealed: &Sealed, reserved: u64) -> Vec<u8> {
    let primary = 1 + sealed.desc_blocks() + reserved;
    let mut bytes = vec![0; 4096];
    for (index, group) in (0..).zip(backups(sealed)) {
        put(
            &mut bytes,
            index,
            u64::from(group) * BLOCKS_PER_GROUP + primary,
        );
    }
    bytes
}

/// Returns the groups with a backup, the first one apart.
fn backups(sealed: &Sealed) -> impl Iterator<Item = u32> {
    let groups = u32::try_from(sealed.sized.groups()).unwrap_or(u32::MAX);
    (1..groups).filter(|&group| has_super(GroupNo(group)))
}

fn put(bytes: &mut [u8], index: u64, block: u64) {
    let start = usize::try_from(index).unwrap_or(0) * 4;
    bytes[start..start + 4].copy_from_slice(&address(block));
}

/// Returns a block number as the inode's 32 bit words hold it; an image has fewer than 2^32 blocks.
fn address(block: u64) -> [u8; 4] {
    let [a, b, c, d, ..] = block.to_le_bytes();
    [a, b, c, d]
}
