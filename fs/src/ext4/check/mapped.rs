//! The blocks of an inode: inside the filesystem, in order, and nobody else's.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

use super::Check;
use crate::ext4::BlockNo;
use crate::ext4::damage::{Damage, Location};
use crate::ext4::features::{incompat, ro_compat};
use crate::ext4::inode::flag;
use crate::ext4::read::{FileType, Inode, Mapped, ReadError, Visitor};

/// What an inode's map came to.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Total {
    /// Clusters of content, extent blocks and indirect blocks.
    pub(super) clusters: u64,
    /// The block after the last one of the content.
    pub(super) end: u64,
    /// The last block of the content that was written.
    pub(super) last_written: Option<u64>,
}

impl Check<'_> {
    /// Walks the map of an inode and claims its blocks.
    pub(super) fn map(&mut self, inode: &Inode) -> Result<Total, ReadError> {
        let access = self.access();
        let depth = u16::from_le_bytes(
            inode
                .raw()
                .i_block
                .get(6..)
                .and_then(|rest| rest.first_chunk::<2>())
                .copied()
                .unwrap_or_default(),
        );
        let mut claims = Claims {
            deep: inode.has_flag(flag::EXTENTS) && depth > 0,
            inode,
            total: Total::default(),
            previous: None,
            told: Told::default(),
            check: self,
        };
        access.walk(inode, &mut claims)?;
        Ok(claims.total)
    }

    /// Counts the blocks of the resize inode. Only the double indirect block is its own; the others
    /// are the reserve of descriptor blocks, which is checked on its own.
    pub(super) fn map_reserve(&mut self, inode: &Inode) -> Result<Total, ReadError> {
        let superblock = self.superblock_of();
        let blocks = self.access().blocks;
        let at = Location::Inode(inode.number());
        let mut total = Total::default();
        let mut outside = Ok(());
        let mut leads = |bytes: &[u8]| -> Vec<BlockNo> {
            let (words, _) = bytes.as_chunks::<4>();
            let blocks = words
                .iter()
                .map(|word| BlockNo(u32::from_le_bytes(*word).into()));
            blocks
                .filter(|block| block.0 != 0)
                .filter(|block| {
                    let result = superblock.check_blocks("an indirect pointer", *block, 1);
                    let inside = result.is_ok();
                    if !inside {
                        outside = result;
                    }
                    inside
                })
                .collect()
        };
        for double in leads(inode.raw().i_block.get(52..56).unwrap_or_default()) {
            if let Some(taken) = self.claim(double, 1) {
                let damage = Damage::TakenBlock {
                    what: "the double indirect block",
                    block: taken.0,
                };
                self.error(at, damage);
            }
            total.clusters = total.clusters.saturating_add(1);
            for reserved in leads(&blocks.read(double)?) {
                let copies = leads(&blocks.read(reserved)?).len();
                let count = u64::try_from(copies).unwrap_or(u64::MAX).saturating_add(1);
                total.clusters = total.clusters.saturating_add(count);
            }
        }
        self.note(at, outside);
        Ok(total)
    }

    /// Claims clusters for an inode; returns the first block that was taken.
    pub(super) fn claim(&mut self, first: BlockNo, len: u64) -> Option<BlockNo> {
        let range = first.0..first.0.saturating_add(len);
        let clusters = self.clusters(&range);
        let taken = self.used.insert(clusters)?;
        let ratio = self.superblock_of().cluster_blocks().ilog2();
        Some(BlockNo((taken.start << ratio).max(first.0)))
    }
}

/// What was said of an inode already: each is said once.
#[derive(Debug, Default)]
struct Told {
    taken: bool,
    hole: bool,
    unwritten: bool,
    beyond: bool,
    large: bool,
    misplaced: bool,
}

struct Claims<'c, 'a> {
    check: &'c mut Check<'a>,
    inode: &'c Inode,
    total: Total,
    /// The last cluster of the run before.
    previous: Option<u64>,
    told: Told,
    /// Whether the extents stand in blocks of their own.
    deep: bool,
}

impl Claims<'_, '_> {
    fn at(&self) -> Location {
        Location::Inode(self.inode.number())
    }

    fn claim(&mut self, what: &'static str, first: BlockNo, len: u64) {
        // Read-only images of Android share blocks between files.
        let shared = ro_compat::SHARED_BLOCKS;
        if self.check.superblock_of().has_ro_compat(shared) {
            self.check.claim(first, len);
            return;
        }
        if let Some(block) = self.check.claim(first, len)
            && !std::mem::replace(&mut self.told.taken, true)
        {
            let damage = Damage::TakenBlock {
                what,
                block: block.0,
            };
            self.check.error(self.at(), damage);
        }
    }

    /// The rules for the blocks of directories.
    fn directory_run(&mut self, run: &Mapped) {
        let at = self.at();
        if run.unwritten && !std::mem::replace(&mut self.told.unwritten, true) {
            let damage = Damage::Structure("the directory has unwritten blocks");
            self.check.error(at, damage);
        }
        let large = self.check.superblock_of().has_incompat(incompat::LARGEDIR);
        if run.logical > self.total.end && !large && !std::mem::replace(&mut self.told.hole, true) {
            let damage = Damage::Structure("the directory has a hole");
            self.check.error(at, damage);
        }
        let most = (1_u64 << 31) >> self.check.superblock_of().block_bits();
        let end = run.logical.saturating_add(run.len);
        if end > most && !large && !std::mem::replace(&mut self.told.large, true) {
            let damage = Damage::Structure("directories of more than 2 GiB need large_dir");
            self.check.error(at, damage);
        }
    }

    /// In a tree with nodes, what was written ends with the content.
    fn check_end(&mut self, run: &Mapped) {
        let size = self.inode.size();
        let end = size.div_ceil(self.check.superblock_of().block_size().into());
        let beyond = run.logical.saturating_add(run.len) > end;
        let allowed = run.unwritten
            || !self.deep
            || size == 0
            || self.inode.has_flag(flag::VERITY)
            || self.check.orphans.contains(&self.inode.number());
        if beyond && !allowed && !std::mem::replace(&mut self.told.beyond, true) {
            let damage = Damage::field("i_size", size, "blocks beyond the end are written");
            self.check.error(self.at(), damage);
        }
    }

    /// With `bigalloc`, a cluster of the file is a cluster of the image.
    fn check_alignment(&mut self, run: &Mapped) {
        let mask = self
            .check
            .superblock_of()
            .cluster_blocks()
            .saturating_sub(1);
        let misplaced = run.logical & mask != run.physical.0 & mask;
        if misplaced && !std::mem::replace(&mut self.told.misplaced, true) {
            let damage = Damage::Structure("blocks are not at their place in their clusters");
            self.check.error(self.at(), damage);
        }
    }
}

impl Visitor for Claims<'_, '_> {
    fn node(&mut self, block: BlockNo) -> Result<bool, ReadError> {
        self.claim("an extent block or indirect block", block, 1);
        self.total.clusters = self.total.clusters.saturating_add(1);
        Ok(true)
    }

    fn run(&mut self, run: Mapped) -> Result<(), ReadError> {
        if self.inode.file_type() == FileType::Directory {
            self.directory_run(&run);
        }
        self.check_end(&run);
        self.check_alignment(&run);
        let end = run.logical.saturating_add(run.len);
        self.total.end = self.total.end.max(end);
        if !run.unwritten {
            self.total.last_written = Some(end.saturating_sub(1));
        }
        let blocks = run.physical.0..run.physical.0.saturating_add(run.len);
        let mut clusters = self.check.clusters(&blocks);
        if self.previous == Some(clusters.start) && self.check.superblock_of().cluster_blocks() > 1
        {
            clusters.start = clusters.start.saturating_add(1);
        }
        self.previous = Some(clusters.end.saturating_sub(1));
        let count = clusters.end.saturating_sub(clusters.start);
        self.total.clusters = self.total.clusters.saturating_add(count);
        if count > 0 {
            let ratio = self.check.superblock_of().cluster_blocks();
            let first = BlockNo(clusters.start.saturating_mul(ratio));
            self.claim("content", first, count.saturating_mul(ratio));
        }
        Ok(())
    }

    fn damage(&mut self, location: Location, damage: Damage) -> Result<(), ReadError> {
        self.check.error(location, damage);
        Ok(())
    }

    fn oddity(&mut self, location: Location, damage: Damage) -> Result<(), ReadError> {
        self.check.advise(location, damage);
        Ok(())
    }

    fn strict(&self) -> bool {
        true
    }
}
