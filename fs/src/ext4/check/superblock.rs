//! The superblock's fields beside those without which nothing can be read.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

use super::Check;
use crate::ext4::damage::{Damage, Location};
use crate::ext4::features::{self, compat, incompat, ro_compat};
use crate::ext4::read::{ReadError, Superblock};

impl Check<'_> {
    /// Checks that the superblock agrees with itself.
    pub(super) fn superblock(&mut self) -> Result<(), ReadError> {
        let superblock = self.superblock_of();
        for result in [
            counts(superblock),
            features(superblock),
            extra_sizes(superblock),
            orders(superblock),
        ] {
            self.note(Location::Superblock, result);
        }
        if let Err(damage) = needless_features(superblock) {
            self.advise(Location::Superblock, damage);
        }
        if superblock.has_ro_compat(ro_compat::QUOTA) {
            let rule = "the quotas' sums are not compared with what is in use";
            self.advise(Location::Superblock, Damage::Structure(rule));
        }
        self.journal()?;
        // Orphans belong to a filesystem that was not unmounted.
        if self.image.replayed() {
            let orphans = self.found(self.image.orphans())?;
            self.orphans = orphans.unwrap_or_default().into_iter().collect();
        }
        Ok(())
    }

    /// Checks that a journal that needs no replay has nothing to replay.
    fn journal(&mut self) -> Result<(), ReadError> {
        let superblock = self.superblock_of();
        let raw = superblock.raw();
        let has = superblock.has_compat(compat::HAS_JOURNAL);
        if !has && raw.s_journal_inum.get() != 0 {
            let damage = Damage::field(
                "s_journal_inum",
                raw.s_journal_inum.get(),
                "the feature has_journal is not there",
            );
            self.error(Location::Superblock, damage);
        }
        let Some(number) = superblock.journal() else {
            return Ok(());
        };
        let users = self.image.journal_users(number);
        if self.found(users)?.is_some_and(|users| users > 1) {
            let damage = Damage::Structure("other filesystems use the journal");
            self.error(Location::Journal { block: 0 }, damage);
        }
        match self.image.journal_start(number) {
            Ok(0) => Ok(()),
            Ok(_) if superblock.needs_recovery() || self.image.replayed() => Ok(()),
            Ok(start) => {
                let damage = Damage::field("s_start", start, "no replay is asked for");
                self.error(Location::Journal { block: 0 }, damage);
                Ok(())
            }
            Err(ReadError::Unsupported { location, what }) => {
                self.error(location, Damage::Structure(what));
                Ok(())
            }
            Err(error) => self.absorb(error),
        }
    }
}

fn counts(superblock: &Superblock) -> Result<(), Damage> {
    let raw = superblock.raw();
    let reserved = superblock.reserved_blocks();
    if reserved > superblock.blocks() / 2 {
        let rule = "at most half of all blocks are reserved";
        return Err(Damage::field("s_r_blocks_count", reserved, rule));
    }
    let clusters = raw.s_clusters_per_group.get();
    if clusters != superblock.clusters_per_group() {
        let rule = "it agrees with s_blocks_per_group";
        return Err(Damage::field("s_clusters_per_group", clusters, rule));
    }
    let reserve = raw.s_reserved_gdt_blocks.get();
    if u32::from(reserve) > superblock.block_size() / 4 {
        let rule = "the resize inode has room for fewer";
        return Err(Damage::field("s_reserved_gdt_blocks", reserve, rule));
    }
    let per_block = superblock.block_size() >> superblock.inode_size().ilog2();
    let most = superblock
        .blocks_per_group()
        .saturating_sub(4)
        .saturating_mul(per_block);
    let inodes = superblock.inodes_per_group();
    if inodes > most {
        let rule = "the table does not fit the group";
        return Err(Damage::field("s_inodes_per_group", inodes, rule));
    }
    let desc_size = raw.s_desc_size.get();
    if desc_size != 0 && (desc_size > 1024 || !desc_size.is_power_of_two()) {
        let rule = "it is a power of two up to 1024";
        return Err(Damage::field("s_desc_size", desc_size, rule));
    }
    Ok(())
}

/// Checks features that go without saying, or say nothing without another.
fn needless_features(superblock: &Superblock) -> Result<(), Damage> {
    let metadata_csum = superblock.has_ro_compat(ro_compat::METADATA_CSUM);
    if metadata_csum && superblock.has_ro_compat(ro_compat::GDT_CSUM) {
        return Err(Damage::Structure(
            "metadata_csum and uninit_bg exclude each other",
        ));
    }
    if !metadata_csum && superblock.has_incompat(incompat::CSUM_SEED) {
        return Err(Damage::Structure("metadata_csum_seed needs metadata_csum"));
    }
    if superblock.has_incompat(incompat::BITS64) && !superblock.has_incompat(incompat::EXTENTS) {
        return Err(Damage::Structure("64bit needs extents"));
    }
    Ok(())
}

fn features(superblock: &Superblock) -> Result<(), Damage> {
    let raw = superblock.raw();
    let compat = raw.s_feature_compat.get();
    let (compat, ro_compat) = features::unknown(compat, raw.s_feature_ro_compat.get());
    let rule = "nobody knows what such features demand";
    if compat != 0 {
        return Err(Damage::field("s_feature_compat", compat, rule));
    }
    if ro_compat != 0 {
        return Err(Damage::field("s_feature_ro_compat", ro_compat, rule));
    }
    let resize = superblock.has_compat(compat::RESIZE_INODE);
    if resize && superblock.has_incompat(incompat::META_BG) {
        return Err(Damage::Structure(
            "resize_inode and meta_bg exclude each other",
        ));
    }
    let reserve = superblock.raw().s_reserved_gdt_blocks.get();
    if !resize && reserve != 0 {
        let rule = "the feature resize_inode is not there";
        return Err(Damage::field("s_reserved_gdt_blocks", reserve, rule));
    }
    let quotas = [
        ("s_usr_quota_inum", raw.s_usr_quota_inum.get(), Some(3)),
        ("s_grp_quota_inum", raw.s_grp_quota_inum.get(), Some(4)),
        ("s_prj_quota_inum", raw.s_prj_quota_inum.get(), None),
    ];
    for (field, inode, own) in quotas {
        let legal =
            own == Some(inode) || (first(superblock)..=superblock.inodes()).contains(&inode);
        if superblock.has_ro_compat(ro_compat::QUOTA) && inode != 0 && !legal {
            return Err(Damage::field(field, inode, "it is an inode for quotas"));
        }
    }
    if superblock.has_ro_compat(ro_compat::ORPHAN_PRESENT)
        && !superblock.has_compat(compat::ORPHAN_FILE)
    {
        return Err(Damage::Structure("orphan_present needs orphan_file"));
    }
    Ok(())
}

fn first(superblock: &Superblock) -> u32 {
    superblock.first_inode().0
}

fn extra_sizes(superblock: &Superblock) -> Result<(), Damage> {
    let room = superblock.inode_size().saturating_sub(128);
    if room == 0 {
        return Ok(());
    }
    let raw = superblock.raw();
    for (field, size) in [
        ("s_min_extra_isize", raw.s_min_extra_isize.get()),
        ("s_want_extra_isize", raw.s_want_extra_isize.get()),
    ] {
        if size != 0 && (!(4..=room).contains(&size) || !size.is_multiple_of(4)) {
            return Err(Damage::field(
                field,
                size,
                "it is a multiple of 4 that fits the inode",
            ));
        }
    }
    Ok(())
}

fn orders(superblock: &Superblock) -> Result<(), Damage> {
    let raw = superblock.raw();
    let first_meta = raw.s_first_meta_bg.get();
    if superblock.has_incompat(incompat::META_BG) && first_meta > superblock.desc_blocks() {
        let rule = "there are fewer blocks of descriptors";
        return Err(Damage::field("s_first_meta_bg", first_meta, rule));
    }
    let first_inode = superblock.first_inode().0;
    if first_inode > superblock.inodes() {
        return Err(Damage::field(
            "s_first_ino",
            first_inode,
            "there are fewer inodes",
        ));
    }
    Ok(())
}
