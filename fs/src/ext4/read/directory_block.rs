//! The blocks of directories: which kind they are, and their checksums.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

use zerocopy::FromBytes;

use super::Inode;
use super::records::decode_len;
use crate::ext4::checksum::Seed;
use crate::ext4::damage::Damage;
use crate::ext4::dir::{RawDirEntry, RawDirTail, TAIL, TAIL_TYPE};
use crate::ext4::htree::{self, NODE_ENTRIES_AT, ROOT_ENTRIES_AT, RawCountLimit, index_checksum};
use crate::ext4::inode::flag;

/// What a block of a directory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BlockKind {
    /// Entries.
    Leaf,
    /// The root of a hash tree, with `.` and `..`.
    Root,
    /// A node of a hash tree.
    Node,
}

/// Returns what a block of a directory is, from its place and form.
pub(crate) fn kind(inode: &Inode, logical: u64, block: &[u8]) -> BlockKind {
    if !inode.has_flag(flag::INDEX) {
        return BlockKind::Leaf;
    }
    if logical == 0 {
        return BlockKind::Root;
    }
    match RawDirEntry::read_from_prefix(block) {
        Ok((raw, _))
            if raw.inode.get() == 0
                && raw.name_len == 0
                && decode_len(raw.rec_len.get(), block.len()) == block.len() =>
        {
            BlockKind::Node
        }
        _ => BlockKind::Leaf,
    }
}

/// Checks the checksum of a block of a directory; `seed` is that of the directory's inode.
pub(crate) fn check_sum(block: &[u8], kind: BlockKind, seed: Seed) -> Result<(), Damage> {
    let (found, computed) = match kind {
        BlockKind::Leaf => leaf_sums(block, seed)?,
        BlockKind::Root => index_sums(block, ROOT_ENTRIES_AT, seed)?,
        BlockKind::Node => index_sums(block, NODE_ENTRIES_AT, seed)?,
    };
    if found == computed {
        return Ok(());
    }
    Err(Damage::Checksum {
        what: "directory block",
        found,
        computed,
    })
}

fn leaf_sums(block: &[u8], seed: Seed) -> Result<(u32, u32), Damage> {
    let no_tail = || Damage::Structure("the directory block has no checksum");
    let at = block.len().checked_sub(TAIL).ok_or_else(no_tail)?;
    let (entries, tail) = block.split_at_checked(at).ok_or_else(no_tail)?;
    let tail = RawDirTail::read_from_bytes(tail).map_err(|_| no_tail())?;
    let right = tail.det_reserved_zero1.get() == 0
        && tail.det_rec_len.get() == 12
        && tail.det_reserved_zero2 == 0
        && tail.det_reserved_ft == TAIL_TYPE;
    if !right {
        return Err(no_tail());
    }
    Ok((tail.det_checksum.get(), seed.checksum(entries)))
}

fn index_sums(block: &[u8], start: usize, seed: Seed) -> Result<(u32, u32), Damage> {
    let no_tail = || Damage::Structure("the index block has no checksum");
    let head = count_limit(block, start)?;
    let end = |entries: u16| {
        usize::from(entries)
            .checked_mul(htree::ENTRY)
            .and_then(|len| len.checked_add(start))
    };
    let tail = end(head.limit.get())
        .and_then(|at| block.get(at..)?.first_chunk::<8>())
        .ok_or_else(no_tail)?;
    let [a, b, c, d, sum @ ..] = *tail;
    let used = end(head.count.get())
        .and_then(|end| block.get(..end))
        .ok_or_else(no_tail)?;
    Ok((
        u32::from_le_bytes(sum),
        index_checksum(used, [a, b, c, d], seed),
    ))
}

/// Reads the counts of an index block whose entries start at `start`.
pub(crate) fn count_limit(block: &[u8], start: usize) -> Result<RawCountLimit, Damage> {
    let at = block.get(start..).unwrap_or_default();
    let (head, _) = RawCountLimit::read_from_prefix(at)
        .map_err(|_| Damage::Structure("the index block is cut off"))?;
    let (limit, count) = (head.limit.get(), head.count.get());
    let room = block
        .len()
        .saturating_sub(start)
        .checked_div(htree::ENTRY)
        .unwrap_or(0);
    if usize::from(limit) > room {
        return Err(Damage::field(
            "limit",
            limit,
            "the block has room for fewer",
        ));
    }
    if count == 0 || count > limit {
        return Err(Damage::field("count", count, "it is from 1 to limit"));
    }
    Ok(head)
}
