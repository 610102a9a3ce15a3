//! The copies of superblock and group descriptors.
//!
//! The kernel does not keep them up to date, so that only what never changes by itself is compared.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

use zerocopy::FromBytes;

use super::Check;
use crate::ext4::damage::{Damage, Location};
use crate::ext4::features::{incompat, ro_compat};
use crate::ext4::group_desc::RawGroupDesc;
use crate::ext4::read::{ReadError, parse_descriptor};
use crate::ext4::superblock::RawSuperblock;
use crate::ext4::{BlockNo, GroupNo};

impl Check<'_> {
    /// Compares all copies with what they are copies of.
    pub(super) fn backups(&mut self) -> Result<(), ReadError> {
        let superblock = self.superblock_of();
        for group in (1..superblock.groups()).map(GroupNo) {
            if self.full() {
                break;
            }
            if superblock.has_super(group) {
                self.backup(group)?;
            }
        }
        Ok(())
    }

    fn backup(&mut self, group: GroupNo) -> Result<(), ReadError> {
        let superblock = self.superblock_of();
        let place = superblock.group_start(group);
        if !superblock.contains(place) {
            return Ok(());
        }
        let block = self.access().blocks.read(place)?;
        let Ok((copy, _)) = RawSuperblock::read_from_prefix(&block) else {
            return Ok(());
        };
        let at = Location::Backup(group);
        if let Err(damage) = same(superblock.raw(), &copy, group) {
            self.advise(at, damage);
            return Ok(());
        }
        if !superblock.has_incompat(incompat::META_BG) {
            self.descriptors(group, place)?;
        }
        Ok(())
    }

    fn descriptors(&mut self, backup: GroupNo, place: BlockNo) -> Result<(), ReadError> {
        let superblock = self.superblock_of();
        let blocks = self.access().blocks;
        for index in 0..superblock.desc_blocks() {
            let primary = superblock.descriptor_block(index);
            let copy = BlockNo(place.0.saturating_add(1).saturating_add(index.into()));
            if !superblock.contains(primary) || !superblock.contains(copy) {
                break;
            }
            let (primary, copy) = (blocks.read(primary)?, blocks.read(copy)?);
            if primary == copy {
                continue;
            }
            let first = index.saturating_mul(superblock.descs_per_block());
            let last = first.saturating_add(superblock.descs_per_block());
            let differs = (first..last.min(superblock.groups()))
                .map(GroupNo)
                .find(|group| {
                    let places = |block: &[u8]| {
                        parse_descriptor(superblock, *group, block).map(|desc| places(&desc.raw))
                    };
                    places(&primary) != places(&copy)
                });
            if differs.is_some() {
                let damage = Damage::Structure("the copy of the group descriptors differs");
                self.advise(Location::Backup(backup), damage);
                break;
            }
        }
        Ok(())
    }
}

fn places(raw: &RawGroupDesc) -> [BlockNo; 3] {
    [raw.block_bitmap(), raw.inode_bitmap(), raw.inode_table()]
}

fn same(primary: &RawSuperblock, copy: &RawSuperblock, group: GroupNo) -> Result<(), Damage> {
    let summed = primary.s_feature_ro_compat.get() & ro_compat::METADATA_CSUM != 0;
    if summed && copy.s_checksum.get() != copy.checksum() {
        return Err(Damage::Checksum {
            what: "copy of the superblock",
            found: copy.s_checksum.get(),
            computed: copy.checksum(),
        });
    }
    let facts = |raw: &RawSuperblock| {
        (
            raw.s_magic,
            raw.s_uuid,
            [
                raw.s_inodes_count,
                raw.s_blocks_count_lo,
                raw.s_blocks_count_hi,
                raw.s_log_block_size,
                raw.s_log_cluster_size,
                raw.s_blocks_per_group,
                raw.s_inodes_per_group,
            ],
            (raw.s_inode_size, raw.s_desc_size, raw.s_reserved_gdt_blocks),
        )
    };
    if facts(primary) != facts(copy) {
        return Err(Damage::Structure("the copy of the superblock differs"));
    }
    let number = u64::from(copy.s_block_group_nr.get());
    if number != u64::from(group.0) & 0xffff {
        return Err(Damage::field(
            "s_block_group_nr",
            number,
            "it is the copy's group",
        ));
    }
    Ok(())
}
