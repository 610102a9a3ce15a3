//! The filesystem's label and uuid, also in the backups.

use zerocopy::FromBytes;

use super::error::{EditError, Result};
use super::groups::{after, put_desc};
use super::volume::{Volume, sealed};
use super::{Editor, Superblock};
use crate::ext4::checksum::Seed;
use crate::ext4::features::incompat;
use crate::ext4::read::{DescriptorSum, group};
use crate::ext4::superblock::{MAGIC, RawSuperblock, SIZE};
use crate::ext4::{BlockNo, GroupNo};
use crate::tree::shown;

impl Editor {
    /// Sets the label; an empty one is none.
    ///
    /// # Errors
    /// [`EditError::Value`] for more than 16 bytes, or a NUL.
    pub fn set_label(&mut self, label: &[u8]) -> Result<()> {
        if label.len() > 16 || label.contains(&0) {
            return Err(EditError::Value {
                field: "label",
                value: shown(label),
                rule: "it has at most 16 bytes, and no NUL",
            });
        }
        self.change(|volume| {
            volume.raw.s_volume_name = [0; 16];
            volume.raw.s_volume_name[..label.len()].copy_from_slice(label);
            volume.copy_identity()
        })
    }

    /// Sets the uuid. Where checksums of metadata start from the uuid, the old start is kept in the
    /// superblock from now on (the feature `metadata_csum_seed`), so that no other block changes;
    /// Linux knows that since 4.4. The journal keeps its own uuid.
    ///
    /// # Errors
    /// [`EditError::Unsupported`] where all descriptors would change, but stand in meta block groups.
    pub fn set_uuid(&mut self, uuid: [u8; 16]) -> Result<()> {
        let summed = self.volume.superblock.descriptor_sum();
        if summed == DescriptorSum::Crc16 && self.volume.superblock.has_incompat(incompat::META_BG)
        {
            return Err(EditError::Unsupported {
                path: "the uuid".to_owned(),
                what: "a filesystem with uninit_bg and meta_bg",
            });
        }
        self.change(|volume| {
            let old = volume.raw.s_uuid;
            volume.raw.s_uuid = uuid;
            match summed {
                DescriptorSum::None => {}
                DescriptorSum::Crc16 => volume.sum_descriptors_again()?,
                DescriptorSum::Crc32c(_) => {
                    let features = volume.raw.s_feature_incompat.get();
                    if features & incompat::CSUM_SEED == 0 {
                        volume.raw.s_checksum_seed = Seed::from_uuid(&old).0.into();
                        volume.raw.s_feature_incompat = (features | incompat::CSUM_SEED).into();
                    }
                }
            }
            volume.copy_identity()
        })
    }
}

impl Volume {
    /// Brings label, uuid and what hangs on it into the backups of the superblock.
    fn copy_identity(&mut self) -> Result<()> {
        for number in 1..self.superblock.groups() {
            if !self.superblock.has_super(GroupNo(number)) {
                continue;
            }
            let place = self.superblock.group_start(GroupNo(number));
            let (primary, superblock) = (&self.raw, &self.superblock);
            self.overlay.edit(place, |block| {
                let Some(bytes) = block.get_mut(..SIZE) else {
                    return;
                };
                let Ok(mut raw) = RawSuperblock::read_from_bytes(bytes) else {
                    return;
                };
                if raw.s_magic.get() != MAGIC {
                    return;
                }
                raw.s_uuid = primary.s_uuid;
                raw.s_volume_name = primary.s_volume_name;
                raw.s_feature_incompat = primary.s_feature_incompat;
                raw.s_checksum_seed = primary.s_checksum_seed;
                bytes.copy_from_slice(&sealed(&raw, superblock));
            })?;
        }
        Ok(())
    }

    /// Brings the sums of all descriptors, and of their copies, in line with the new uuid.
    fn sum_descriptors_again(&mut self) -> Result<()> {
        for group in &mut self.groups.list {
            group.changed = true;
        }
        let summing = Superblock::parse(&sealed(&self.raw, &self.superblock))?;
        let per_block = summing.descs_per_block().max(1);
        let first = summing.descriptor_block(0).0 - summing.group_start(GroupNo(0)).0;
        for copy in (1..summing.groups()).filter(|copy| summing.has_super(GroupNo(*copy))) {
            let start = after(summing.group_start(GroupNo(copy)), first);
            for number in 0..summing.groups() {
                let place = BlockNo(start.0 + u64::from(number / per_block));
                self.overlay.edit(place, |block| {
                    let number = GroupNo(number);
                    let desc = group::parse(&summing, number, block)?;
                    put_desc(&summing, number, desc.raw, block)
                })?;
            }
        }
        Ok(())
    }
}
