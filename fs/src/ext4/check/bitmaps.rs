//! Bitmaps and counts: what is in use is marked so, and nothing else.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

use super::Check;
use super::bits::Bits;
use super::groups::{descriptor_ranges, table_ranges};
use super::ranges::Ranges;
use crate::ext4::damage::{Damage, Location};
use crate::ext4::group_desc::{BLOCK_UNINIT, INODE_UNINIT};
use crate::ext4::halves::shorts;
use crate::ext4::read::{DescriptorSum, FileType, GroupDesc, ReadError};
use crate::ext4::{BlockNo, GroupNo, InodeNo};

/// What all groups came to.
#[derive(Default)]
struct Sums {
    free_clusters: u64,
    free_inodes: u64,
}

impl Check<'_> {
    /// Compares the bitmaps with what is in use, and counts.
    pub(super) fn bitmaps(&mut self) -> Result<(), ReadError> {
        if self.full() {
            return Ok(());
        }
        let superblock = self.superblock_of();
        let initial = self.initial_clusters()?;
        let mut inodes: Vec<(InodeNo, bool)> = self
            .inodes
            .iter()
            .map(|(number, known)| (*number, known.file_type == Some(FileType::Directory)))
            .collect();
        inodes.sort_unstable();
        let mut sums = Sums::default();
        for group in (0..superblock.groups()).map(GroupNo) {
            if self.full() {
                return Ok(());
            }
            let Some(desc) = self.descriptor(group)? else {
                continue;
            };
            self.blocks_of(group, &desc, &initial, &mut sums)?;
            self.inodes_of(group, &desc, &inodes, &mut sums)?;
        }
        let free_blocks = sums
            .free_clusters
            .saturating_mul(superblock.cluster_blocks());
        for (what, found, counted) in [
            ("s_free_blocks_count", superblock.free_blocks(), free_blocks),
            (
                "s_free_inodes_count",
                superblock.free_inodes().into(),
                sums.free_inodes,
            ),
        ] {
            // Linux sums the groups up at every mount, and keeps no total while mounted.
            if found != counted {
                let damage = Damage::Count {
                    what,
                    found,
                    counted,
                };
                self.advise(Location::Superblock, damage);
            }
        }
        Ok(())
    }

    fn compare(&mut self, at: Location, what: &'static str, found: u64, counted: u64) {
        if found != counted {
            let damage = Damage::Count {
                what,
                found,
                counted,
            };
            self.error(at, damage);
        }
    }

    /// Returns the clusters that hold the metadata of groups whose block bitmap is not initialised;
    /// they count as marked, wherever they are.
    fn initial_clusters(&mut self) -> Result<Ranges, ReadError> {
        let superblock = self.superblock_of();
        let mut initial = Ranges::default();
        for group in (0..superblock.groups()).map(GroupNo) {
            let Some(desc) = self.descriptor(group)? else {
                continue;
            };
            if !is_uninit(self, &desc, BLOCK_UNINIT) {
                continue;
            }
            let tables = table_ranges(superblock, &desc).map(|(_, range)| range);
            for range in descriptor_ranges(superblock, group).chain(tables) {
                let clusters = self.clusters(&range);
                initial.insert(clusters);
            }
        }
        Ok(initial)
    }

    fn blocks_of(
        &mut self,
        group: GroupNo,
        desc: &GroupDesc,
        initial: &Ranges,
        sums: &mut Sums,
    ) -> Result<(), ReadError> {
        let superblock = self.superblock_of();
        let start = superblock.group_start(group).0;
        let last = start.saturating_add(superblock.group_blocks(group));
        let clusters = self.clusters(&(start..last));
        let count = clusters.end.saturating_sub(clusters.start);
        let mut marked = Bits::new(superblock.block_len());
        if !is_uninit(self, desc, BLOCK_UNINIT) {
            let Some(block) = self.bitmap(group, "block bitmap", desc.raw.block_bitmap())? else {
                return Ok(());
            };
            marked.bytes.copy_from_slice(&block);
            let bits = superblock.clusters_per_group();
            self.sum(
                group,
                &marked,
                bits,
                desc.raw.block_bitmap_csum(),
                "block bitmap",
            );
            self.padding(group, &marked, count, "block bitmap");
        }
        marked.set_all(initial, &clusters);
        let mut used = Bits::new(superblock.block_len());
        used.set_all(&self.used, &clusters);
        if let Some((bit, marked)) = used.first_difference(&marked, count) {
            let cluster = clusters.start.saturating_add(bit);
            let ratio = superblock.cluster_blocks().ilog2();
            let damage = Damage::Marked {
                what: "block",
                number: cluster << ratio,
                marked,
            };
            self.error(Location::Group(group), damage);
        }
        let free = count.saturating_sub(marked.count(count));
        sums.free_clusters = sums.free_clusters.saturating_add(free);
        let found = desc.raw.free_blocks_count().into();
        self.compare(Location::Group(group), "bg_free_blocks_count", found, free);
        Ok(())
    }

    fn inodes_of(
        &mut self,
        group: GroupNo,
        desc: &GroupDesc,
        inodes: &[(InodeNo, bool)],
        sums: &mut Sums,
    ) -> Result<(), ReadError> {
        let superblock = self.superblock_of();
        let count = superblock.inodes_per_group();
        let mut marked = Bits::new(superblock.block_len());
        if !is_uninit(self, desc, INODE_UNINIT) {
            let Some(block) = self.bitmap(group, "inode bitmap", desc.raw.inode_bitmap())? else {
                return Ok(());
            };
            marked.bytes.copy_from_slice(&block);
            self.sum(
                group,
                &marked,
                count,
                desc.raw.inode_bitmap_csum(),
                "inode bitmap",
            );
            self.padding(group, &marked, count.into(), "inode bitmap");
        }
        let first = group.0.saturating_mul(count).saturating_add(1);
        let from = inodes.partition_point(|(number, _)| number.0 < first);
        let of_group = inodes
            .iter()
            .skip(from)
            .map(|(number, directory)| (number.0.saturating_sub(first), *directory))
            .take_while(|(bit, _)| *bit < count);
        let mut used = Bits::new(superblock.block_len());
        let mut directories = 0_u64;
        for (bit, directory) in of_group {
            let bit = u64::from(bit);
            used.set(bit);
            if directory && marked.get(bit) {
                directories = directories.saturating_add(1);
            }
        }
        let at = Location::Group(group);
        if let Some((bit, marked)) = used.first_difference(&marked, count.into()) {
            let damage = Damage::Marked {
                what: "inode",
                number: u64::from(first).saturating_add(bit),
                marked,
            };
            self.error(at, damage);
        }
        let free = u64::from(count).saturating_sub(marked.count(count.into()));
        sums.free_inodes = sums.free_inodes.saturating_add(free);
        self.compare(
            at,
            "bg_free_inodes_count",
            desc.raw.free_inodes_count().into(),
            free,
        );
        self.compare(
            at,
            "bg_used_dirs_count",
            desc.raw.used_dirs_count().into(),
            directories,
        );
        Ok(())
    }

    fn bitmap(
        &mut self,
        group: GroupNo,
        what: &'static str,
        block: BlockNo,
    ) -> Result<Option<forger_block::Bytes>, ReadError> {
        // A place outside was told of with the descriptor.
        if self.superblock_of().check_blocks(what, block, 1).is_err() {
            return Ok(None);
        }
        let _ = group;
        self.access().blocks.read(block).map(Some)
    }

    fn sum(&mut self, group: GroupNo, bits: &Bits, len: u32, found: u32, what: &'static str) {
        let superblock = self.superblock_of();
        let Some(seed) = superblock.seed() else {
            return;
        };
        let bytes = usize::try_from(len / 8).unwrap_or(usize::MAX);
        let computed = seed.checksum(bits.bytes.get(..bytes).unwrap_or_default());
        // Descriptors of 32 bytes have room for the low half only.
        let computed = if superblock.desc_size() < 64 {
            shorts(computed).0.into()
        } else {
            computed
        };
        if found != computed {
            let damage = Damage::Checksum {
                what,
                found,
                computed,
            };
            self.error(Location::Group(group), damage);
        }
    }

    /// Checks that the bits behind the last block or inode are set.
    fn padding(&mut self, group: GroupNo, bits: &Bits, count: u64, what: &'static str) {
        if bits.all_set_from(count) {
            return;
        }
        let damage = Damage::Padding { what };
        self.error(Location::Group(group), damage);
    }
}

fn is_uninit(check: &Check<'_>, desc: &GroupDesc, flag: u16) -> bool {
    check.superblock_of().descriptor_sum() != DescriptorSum::None
        && desc.raw.bg_flags.get() & flag != 0
}
