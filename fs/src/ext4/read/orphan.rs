//! Orphans: inodes that were to be removed or cut when the filesystem was last in use.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

use std::collections::HashSet;

use zerocopy::FromBytes;

use super::{Image, ReadError};
use crate::ext4::BlockNo;
use crate::ext4::InodeNo;
use crate::ext4::damage::Damage;
use crate::ext4::features::{compat, ro_compat};
use crate::ext4::inode::RawInode;

/// `ob_magic` at the end of every block of the orphan file.
const FILE_MAGIC: u32 = 0x0b10_ca04;
/// Length of a block's tail: magic and checksum.
const FILE_TAIL: usize = 8;

impl Image {
    /// Returns the inodes on the orphan list and in the orphan file. Those without names are to be
    /// removed, those with names to be cut to their size; reading takes no notice of either.
    ///
    /// # Errors
    /// [`ReadError::Corrupt`] when the list leads in a circle or out of the filesystem.
    pub fn orphans(&self) -> Result<Vec<InodeNo>, ReadError> {
        let mut orphans = Vec::new();
        let mut seen = HashSet::new();
        let mut next = InodeNo(self.superblock.raw().s_last_orphan.get());
        while next.0 != 0 {
            if !seen.insert(next) {
                let damage = Damage::Structure("the list of orphans is a circle");
                return Err(ReadError::inode(next, damage));
            }
            orphans.push(next);
            let (place, offset) = self.inode_place(next)?;
            let block = self.blocks.read(place)?;
            let (raw, _) = RawInode::read_from_prefix(block.get(offset..).unwrap_or_default())
                .map_err(|_| ReadError::inode(next, Damage::Structure("the inode is cut off")))?;
            next = InodeNo(raw.i_dtime.get());
        }
        self.orphan_file(&mut orphans)?;
        Ok(orphans)
    }

    fn orphan_file(&self, orphans: &mut Vec<InodeNo>) -> Result<(), ReadError> {
        if !self.superblock.has_compat(compat::ORPHAN_FILE)
            || !self.superblock.has_ro_compat(ro_compat::ORPHAN_PRESENT)
        {
            return Ok(());
        }
        let number = InodeNo(self.superblock.raw().s_orphan_file_inum.get());
        let file = self.inode(number)?;
        for run in self.access().runs(&file)? {
            for step in 0..run.len {
                let place = BlockNo(run.physical.0.saturating_add(step));
                let block = self.blocks.read(place)?;
                let entries = orphan_block(&block)
                    .map_err(|damage| ReadError::inode_block(number, place, damage))?;
                orphans.extend(entries);
            }
        }
        Ok(())
    }
}

/// Returns the inodes that a block of the orphan file lists.
fn orphan_block(block: &[u8]) -> Result<impl Iterator<Item = InodeNo> + '_, Damage> {
    let end = block.len().saturating_sub(FILE_TAIL);
    let (entries, tail) = block.split_at_checked(end).unwrap_or_default();
    let magic = tail
        .first_chunk::<4>()
        .map_or(0, |word| u32::from_le_bytes(*word));
    if magic != FILE_MAGIC {
        return Err(Damage::field("ob_magic", magic, "it is 0x0b10ca04"));
    }
    let (words, _) = entries.as_chunks::<4>();
    Ok(words
        .iter()
        .map(|word| InodeNo(u32::from_le_bytes(*word)))
        .filter(|inode| inode.0 != 0))
}
