//! The filesystem as the transaction leaves it: superblock, groups, and metadata blocks.

use std::collections::HashMap;
use std::sync::Arc;

use forger_block::BlockRead;

use super::Superblock;
use super::content::Contents;
use super::error::{Result, damaged};
use super::folder::Folder;
use super::groups::Groups;
use super::numbers::NumberMap;
use super::overlay::Overlay;
use crate::ext4::features::incompat;
use crate::ext4::read::{Access, Blocks};
use crate::ext4::superblock::{OFFSET, RawSuperblock};
use crate::ext4::{BlockNo, InodeNo};
use crate::tree::Time;

/// All that the operations change.
#[derive(Debug)]
pub(super) struct Volume {
    /// Geometry and features, as they were at the opening.
    pub(super) superblock: Superblock,
    /// The superblock's fields as they will be.
    pub(super) raw: RawSuperblock,
    pub(super) overlay: Arc<Overlay>,
    pub(super) blocks: Blocks,
    pub(super) groups: Groups,
    /// Directories that were looked into.
    pub(super) folders: NumberMap<Folder>,
    /// Inodes whose checksum was verified, or becomes right when they are sealed: true.
    pub(super) known: NumberMap<bool>,
    /// Folders that paths lead to, through any symlinks.
    pub(super) paths: HashMap<Box<[u8]>, InodeNo>,
    /// Contents that are written at the commit.
    pub(super) contents: Contents,
    /// The time of all changes.
    pub(super) time: Time,
}

impl Volume {
    pub(super) fn new(
        superblock: Superblock,
        image: Arc<dyn BlockRead>,
        time: Time,
    ) -> Result<Self> {
        let block_len = superblock.block_len();
        let overlay = Arc::new(Overlay::new(image, block_len));
        let source: Arc<dyn BlockRead> = Arc::<Overlay>::clone(&overlay);
        let blocks = Blocks::uncached(source, block_len);
        let groups = Groups::read(&superblock, &blocks)?;
        Ok(Self {
            raw: superblock.raw().clone(),
            superblock,
            overlay,
            blocks,
            groups,
            folders: NumberMap::default(),
            known: NumberMap::default(),
            paths: HashMap::default(),
            contents: Contents::default(),
            time,
        })
    }

    /// Returns what the readers of structures need.
    pub(super) fn access(&self) -> Access<'_> {
        Access {
            superblock: &self.superblock,
            blocks: &self.blocks,
        }
    }

    pub(super) fn block_len(&self) -> usize {
        self.superblock.block_len()
    }

    pub(super) fn block_size(&self) -> u64 {
        self.superblock.block_size().into()
    }

    /// Changes the superblock's number of free blocks.
    pub(super) fn count_free_blocks(&mut self, change: i64) -> Result<()> {
        let free = free_blocks(&self.raw, &self.superblock)
            .checked_add_signed(change)
            .ok_or_else(|| damaged("s_free_blocks_count is too small"))?;
        let hi = self.raw.s_free_blocks_count_hi;
        self.raw.set_free_blocks_count(free);
        if !self.superblock.has_incompat(incompat::BITS64) {
            self.raw.s_free_blocks_count_hi = hi;
        }
        Ok(())
    }

    /// Changes the superblock's number of free inodes.
    pub(super) fn count_free_inodes(&mut self, change: i32) -> Result<()> {
        let free = self
            .raw
            .s_free_inodes_count
            .get()
            .checked_add_signed(change)
            .ok_or_else(|| damaged("s_free_inodes_count is too small"))?;
        self.raw.s_free_inodes_count = free.into();
        Ok(())
    }

    /// Takes away what is known of directories, which nothing needs any more once the transaction is whole:
    /// to free that takes a while.
    pub(super) fn forget_names(&mut self) -> impl Send + use<> {
        let (folders, paths) = (&mut self.folders, &mut self.paths);
        (std::mem::take(folders), std::mem::take(paths))
    }

    /// Brings bitmaps, descriptors and the superblock into the overlay, if anything changes at all.
    pub(super) fn flush(&mut self) -> Result<()> {
        self.seal_inodes()?;
        // The descriptors' sums may be over a new uuid.
        let summing = Superblock::parse(&sealed(&self.raw, &self.superblock))?;
        self.groups.flush(&summing, &self.overlay)?;
        let before = self.superblock.raw();
        let same =
            zerocopy::IntoBytes::as_bytes(before) == zerocopy::IntoBytes::as_bytes(&self.raw);
        if same && self.overlay.changed_len() == 0 {
            return Ok(());
        }
        if let Ok(now) = u32::try_from(self.time.sec)
            && now > self.raw.s_wtime.get()
        {
            self.raw.s_wtime = now.into();
        }
        let raw = self.raw.clone();
        self.put_superblock(&raw)
    }

    /// Lays a superblock over the primary one.
    pub(super) fn put_superblock(&self, raw: &RawSuperblock) -> Result<()> {
        let bytes = sealed(raw, &self.superblock);
        let (block, at) = place(self.block_size(), OFFSET);
        self.overlay.edit(block, |block| {
            block[at..at + bytes.len()].copy_from_slice(&bytes);
        })?;
        Ok(())
    }
}

/// Returns the bytes of a superblock, with its checksum where there is one.
pub(in crate::ext4) fn sealed(
    raw: &RawSuperblock,
    superblock: &Superblock,
) -> [u8; crate::ext4::superblock::SIZE] {
    if superblock.seed().is_some() {
        raw.clone().seal()
    } else {
        zerocopy::transmute!(raw.clone())
    }
}

/// Returns the block of a byte, and the byte's place in it.
pub(super) fn place(block_size: u64, byte: u64) -> (BlockNo, usize) {
    let at = usize::try_from(byte % block_size).unwrap_or(usize::MAX);
    (BlockNo(byte / block_size), at)
}

fn free_blocks(raw: &RawSuperblock, superblock: &Superblock) -> u64 {
    let hi = if superblock.has_incompat(incompat::BITS64) {
        raw.s_free_blocks_count_hi.get()
    } else {
        0
    };
    crate::ext4::halves::join_words(raw.s_free_blocks_count_lo.get(), hi)
}
