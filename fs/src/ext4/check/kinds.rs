//! What the kinds of inodes have to look like.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

use super::mapped::Total;
use crate::ext4::BlockNo;
use crate::ext4::damage::Damage;
use crate::ext4::extent::RawExtent;
use crate::ext4::features::{incompat, ro_compat};
use crate::ext4::inode::{RawInode, flag, mode};
use crate::ext4::read::{
    Access, Bytes, FileType, Inode, ReadError, Superblock, inline_size, node_entries, node_header,
};
use crate::tree::InodeFlags;

/// Flags that only files and directories can have.
const FILE_FLAGS: u32 = InodeFlags::IMMUTABLE | InodeFlags::APPEND;
/// Flag of inodes that AFS opened by number.
const IMAGIC: u32 = 0x2000;

/// Checks fields that need a feature to be other than 0.
pub(super) fn fields(superblock: &Superblock, raw: &RawInode) -> Result<(), Damage> {
    let zero = "it is 0";
    if raw.i_obso_faddr.get() != 0 {
        return Err(Damage::field("i_faddr", raw.i_obso_faddr.get(), zero));
    }
    let directory = raw.i_mode.get() & mode::TYPE == mode::DIRECTORY;
    let high = raw.i_size_high.get();
    if directory && high != 0 && !superblock.has_incompat(incompat::LARGEDIR) {
        return Err(Damage::field(
            "i_size_high",
            high,
            "directories need large_dir for it",
        ));
    }
    let high = raw.i_file_acl_high.get();
    if high != 0 && !superblock.has_incompat(incompat::BITS64) {
        return Err(Damage::field("i_file_acl_high", high, "it needs 64bit"));
    }
    let high = raw.i_blocks_high.get();
    if high != 0 && !superblock.has_ro_compat(ro_compat::HUGE_FILE) {
        return Err(Damage::field("i_blocks_high", high, "it needs huge_file"));
    }
    Ok(())
}

/// Checks that no time has the form in which old kernels wrote those before 1970. Read as the format
/// says, it would be one from 2310 to 2378.
pub(super) fn times(bytes: &Bytes<'_>) -> Result<(), Damage> {
    let raw = &bytes.raw;
    if bytes.all.len() <= 128 {
        return Ok(());
    }
    let old = |seconds: u32, extra: u32| seconds & 0x8000_0000 != 0 && extra & 3 == 3;
    let times = [
        ("i_atime_extra", raw.i_atime, raw.i_atime_extra),
        ("i_ctime_extra", raw.i_ctime, raw.i_ctime_extra),
        ("i_mtime_extra", raw.i_mtime, raw.i_mtime_extra),
        ("i_crtime_extra", raw.i_crtime, raw.i_crtime_extra),
    ];
    for (field, seconds, extra) in times {
        if old(seconds.get(), extra.get()) {
            let rule = "e2fsck takes times from 2310 to 2378 for those before 1970";
            return Err(Damage::field(field, extra.get(), rule));
        }
    }
    Ok(())
}

/// Checks flags that need features, or exclude each other.
pub(super) fn flags(superblock: &Superblock, inode: &Inode) -> Result<(), Damage> {
    let flags = inode.flags();
    let refuse = |rule| Err(Damage::field("i_flags", flags, rule));
    let kind = inode.file_type();
    if inode.has_flag(flag::CASEFOLD)
        && (kind != FileType::Directory || !superblock.has_incompat(incompat::CASEFOLD))
    {
        return refuse("only directories are case-insensitive, with the feature casefold");
    }
    if flags & IMAGIC != 0 {
        return refuse("imagic inodes are not in use");
    }
    if inode.has_flag(flag::INLINE_DATA) {
        if inode.has_flag(flag::EXTENTS) {
            return refuse("inline content has no extents");
        }
        if !superblock.has_incompat(incompat::INLINE_DATA) {
            return refuse("inline content needs the feature inline_data");
        }
        if inline_size(inode)?.is_none() {
            return Err(Damage::Structure(
                "the inline content has no attribute system.data",
            ));
        }
    }
    let extents = superblock.has_incompat(incompat::EXTENTS);
    if inode.has_flag(flag::EXTENTS) {
        if !extents {
            return refuse("extents need their feature");
        }
        if kind == FileType::Symlink && !has_blocks(superblock, inode) {
            return refuse("a target in the inode has no extents");
        }
    } else if extents
        && matches!(kind, FileType::File | FileType::Directory)
        && !inode.has_flag(flag::INLINE_DATA)
        && node_header(&inode.raw().i_block).is_ok()
    {
        return refuse("the inode has extents");
    }
    if inode.has_flag(flag::INDEX) && kind != FileType::Directory {
        return refuse("only directories have hash trees");
    }
    Ok(())
}

/// Checks a device, pipe or socket.
pub(super) fn device(inode: &Inode) -> Result<(), Damage> {
    let refuse = |rule| Err(Damage::field("i_flags", inode.flags(), rule));
    if inode.has_flag(flag::EXTENTS | flag::INLINE_DATA) {
        return refuse("devices, pipes and sockets have no content");
    }
    if inode.has_flag(FILE_FLAGS) {
        return refuse("devices, pipes and sockets are neither immutable nor append-only");
    }
    if inode.size() != 0 || inode.raw().i_size_high.get() != 0 {
        let rule = "devices, pipes and sockets have none";
        return Err(Damage::field("i_size", inode.size(), rule));
    }
    Ok(())
}

/// Tells whether `i_block` leads to blocks.
pub(super) fn has_blocks(superblock: &Superblock, inode: &Inode) -> bool {
    match inode.file_type() {
        FileType::File | FileType::Directory => !inode.has_flag(flag::INLINE_DATA),
        FileType::Symlink if inode.has_flag(flag::INLINE_DATA) => false,
        FileType::Symlink if inode.xattr_block(superblock).is_none() => {
            inode.raw().i_blocks_lo.get() != 0 && !is_short(inode)
        }
        // With a block of attributes, i_blocks does not tell.
        FileType::Symlink => {
            let second = inode.raw().i_block.get(4..8).unwrap_or_default();
            inode.size() >= 60 || (inode.size() > 4 && second == [0; 4])
        }
        _ => false,
    }
}

/// Tells whether a symlink's target is short enough for the inode.
fn is_short(inode: &Inode) -> bool {
    (1..60).contains(&inode.size())
}

/// Checks that a symlink's target is as long as the inode says.
pub(super) fn symlink(access: Access<'_>, inode: &Inode) -> Result<Result<(), Damage>, ReadError> {
    let size = inode.size();
    if size == 0 || inode.raw().i_size_high.get() != 0 {
        return Ok(Err(Damage::field("i_size", size, "symlinks have a target")));
    }
    if inode.has_flag(flag::INLINE_DATA) {
        return Ok(inline_size(inode).and_then(|found| match found {
            Some(found) if found == size => Ok(()),
            _ => Err(Damage::field(
                "i_size",
                size,
                "it is that of the inline content",
            )),
        }));
    }
    if is_short(inode) {
        if inode.has_flag(flag::EXTENTS) {
            let rule = "a target in the inode has no extents";
            return Ok(Err(Damage::field("i_flags", inode.flags(), rule)));
        }
        return Ok(target(inode, &inode.raw().i_block));
    }
    match only_block(inode) {
        Ok(block) => {
            if let Err(damage) = access.superblock.check_blocks("the target", block, 1) {
                return Ok(Err(damage));
            }
            Ok(target(inode, &access.blocks.read(block)?))
        }
        Err(damage) => Ok(Err(damage)),
    }
}

/// Returns the one block that a long target takes.
fn only_block(inode: &Inode) -> Result<BlockNo, Damage> {
    let block = &inode.raw().i_block;
    let more = || Damage::Structure("the symlink's target does not take one block");
    if !inode.has_flag(flag::EXTENTS) {
        let (first, rest) = block.split_first_chunk::<4>().ok_or_else(more)?;
        if rest.iter().any(|byte| *byte != 0) {
            return Err(more());
        }
        return Ok(BlockNo(u32::from_le_bytes(*first).into()));
    }
    let header = node_header(block)?;
    let extents: Vec<RawExtent> = node_entries(block, &header).collect();
    match extents.as_slice() {
        [only]
            if header.eh_depth.get() == 0 && only.ee_block.get() == 0 && only.ee_len.get() == 1 =>
        {
            Ok(only.start())
        }
        _ => Err(more()),
    }
}

/// Checks that a target ends where the size says.
fn target(inode: &Inode, bytes: &[u8]) -> Result<(), Damage> {
    let len = if inode.is_encrypted() {
        let len = bytes
            .first_chunk::<2>()
            .map_or(0, |len| u16::from_le_bytes(*len));
        usize::from(len).saturating_add(2)
    } else {
        bytes.iter().take_while(|byte| **byte != 0).count()
    };
    let ends = len < bytes.len() && u64::try_from(len) == Ok(inode.size());
    if ends {
        return Ok(());
    }
    Err(Damage::field(
        "i_size",
        inode.size(),
        "the target has another length",
    ))
}

/// Checks the size against the blocks that there are.
pub(super) fn size(superblock: &Superblock, inode: &Inode, total: &Total) -> Result<(), Damage> {
    let size = inode.size();
    let bits = superblock.block_bits();
    let refuse = |rule| Err(Damage::field("i_size", size, rule));
    match inode.file_type() {
        FileType::Directory => directory_size(superblock, inode, total),
        FileType::Symlink => Ok(()),
        _ => {
            let block_size = u64::from(superblock.block_size());
            if !inode.has_flag(flag::VERITY)
                && total
                    .last_written
                    .is_some_and(|last| size < last.saturating_mul(block_size))
            {
                return refuse("blocks beyond the end are written");
            }
            let extents = inode.has_flag(flag::EXTENTS);
            let most = if extents {
                ((1_u64 << 32) << bits).saturating_sub(1)
            } else {
                largest_mapped(superblock)
            };
            if size > most {
                return refuse("the map cannot hold so much");
            }
            Ok(())
        }
    }
}

/// Returns the largest size that block pointers can map, in bytes.
fn largest_mapped(superblock: &Superblock) -> u64 {
    let per_block = u64::from(superblock.block_size() / 4);
    let blocks = [1, 2, 3].iter().fold(12_u64, |sum, level| {
        sum.saturating_add(per_block.saturating_pow(*level))
    });
    blocks.saturating_mul(superblock.block_size().into())
}

fn directory_size(superblock: &Superblock, inode: &Inode, total: &Total) -> Result<(), Damage> {
    let size = inode.size();
    let refuse = |rule| Err(Damage::field("i_size", size, rule));
    if inode.has_flag(flag::INLINE_DATA) {
        return match inline_size(inode) {
            Ok(Some(found)) if found == size => Ok(()),
            _ => refuse("it is that of the inline content"),
        };
    }
    let mask = u64::from(superblock.block_size()).saturating_sub(1);
    if size & mask != 0 {
        return refuse("directories have whole blocks");
    }
    let blocks = size >> superblock.block_bits();
    let spare = u64::from(superblock.raw().s_prealloc_dir_blocks);
    if blocks > total.end || total.end.saturating_sub(blocks) > spare {
        return refuse("the directory has another number of blocks");
    }
    Ok(())
}
