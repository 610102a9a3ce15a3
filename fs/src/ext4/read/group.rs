//! Groups: their descriptors, found and verified.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

use super::blocks::Blocks;
use super::superblock::{DescriptorSum, Superblock};
use super::{Image, ReadError};
use crate::ext4::damage::{Damage, Location};
use crate::ext4::features::incompat;
use crate::ext4::group_desc::{INODE_UNINIT, RawGroupDesc, SIZE};
use crate::ext4::halves::shorts;
use crate::ext4::{BlockNo, GroupNo, InodeNo};

/// A group descriptor as it stands in the image.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GroupDesc {
    /// The fields; the high words are zero without `64bit`.
    pub(crate) raw: RawGroupDesc,
    /// The checksum that belongs into it, with checksums.
    pub(crate) computed: Option<u16>,
}

impl GroupDesc {
    /// Tells whether the checksum, where there is one, is right.
    pub(crate) fn check_sum(&self) -> Result<(), Damage> {
        let found = self.raw.bg_checksum.get();
        match self.computed {
            Some(computed) if computed != found => Err(Damage::Checksum {
                what: "group descriptor",
                found: found.into(),
                computed: computed.into(),
            }),
            _ => Ok(()),
        }
    }

    /// Returns how many inodes of the table may be in use; the rest was never written.
    pub(crate) fn inodes_written(&self, superblock: &Superblock) -> u32 {
        let all = superblock.inodes_per_group();
        if superblock.descriptor_sum() == DescriptorSum::None {
            all
        } else if self.raw.bg_flags.get() & INODE_UNINIT != 0 {
            0
        } else {
            all.saturating_sub(self.raw.itable_unused())
        }
    }
}

/// Reads a group's descriptor at its place in a block of descriptors.
pub(crate) fn parse(superblock: &Superblock, group: GroupNo, block: &[u8]) -> Option<GroupDesc> {
    let size = usize::from(superblock.desc_size());
    let index = group.0.checked_rem(superblock.descs_per_block())?;
    let start = usize::try_from(index).ok()?.checked_mul(size)?;
    let bytes = block.get(start..start.checked_add(size)?)?;
    let mut known = [0; SIZE];
    let len = size.min(SIZE);
    known.get_mut(..len)?.copy_from_slice(bytes.get(..len)?);
    let computed = match superblock.descriptor_sum() {
        DescriptorSum::None => None,
        DescriptorSum::Crc16 => Some(crc16_of(superblock, group, bytes)),
        DescriptorSum::Crc32c(seed) => {
            let (head, tail) = bytes.split_at_checked(CHECKSUM)?;
            let sum = seed
                .update(&group.0.to_le_bytes())
                .update(head)
                .update(&[0; 2])
                .checksum(tail.get(2..)?);
            Some(shorts(sum).0)
        }
    };
    Some(GroupDesc {
        raw: zerocopy::transmute!(known),
        computed,
    })
}

/// Offset of `bg_checksum`.
const CHECKSUM: usize = 0x1e;

/// The checksum of `uninit_bg`: CRC-16 over uuid, group number and the descriptor without the sum;
/// what follows the sum counts with `64bit` only.
fn crc16_of(superblock: &Superblock, group: GroupNo, bytes: &[u8]) -> u16 {
    let (head, tail) = bytes.split_at_checked(CHECKSUM).unwrap_or((bytes, &[]));
    let tail = if superblock.has_incompat(incompat::BITS64) {
        tail.get(2..).unwrap_or_default()
    } else {
        &[]
    };
    let uuid = superblock.uuid();
    [&uuid[..], &group.0.to_le_bytes(), head, tail]
        .into_iter()
        .flatten()
        .fold(!0, |crc, byte| {
            (0..8).fold(crc ^ u16::from(*byte), |crc, _| {
                if crc & 1 == 0 {
                    crc >> 1
                } else {
                    crc >> 1 ^ 0xa001
                }
            })
        })
}

/// Reads and verifies a group's descriptor.
pub(crate) fn read(
    superblock: &Superblock,
    blocks: &Blocks,
    group: GroupNo,
) -> Result<GroupDesc, ReadError> {
    let desc = read_unverified(superblock, blocks, group)?;
    desc.check_sum()
        .map_err(|damage| ReadError::corrupt(Location::Group(group), damage))?;
    Ok(desc)
}

fn read_unverified(
    superblock: &Superblock,
    blocks: &Blocks,
    group: GroupNo,
) -> Result<GroupDesc, ReadError> {
    let index = group.0.checked_div(superblock.descs_per_block());
    let place = superblock.descriptor_block(index.unwrap_or(0));
    let at = Location::Group(group);
    superblock
        .check_blocks("the place of the group descriptor", place, 1)
        .map_err(|damage| ReadError::corrupt(at, damage))?;
    let block = blocks.read(place)?;
    parse(superblock, group, &block)
        .ok_or_else(|| ReadError::corrupt(at, Damage::Structure("there is no descriptor")))
}

impl Image {
    /// Reads and verifies a group's descriptor.
    pub(crate) fn group(&self, group: GroupNo) -> Result<GroupDesc, ReadError> {
        read(&self.superblock, &self.blocks, group)
    }

    /// Reads a group's descriptor, whatever its checksum.
    pub(crate) fn group_unverified(&self, group: GroupNo) -> Result<GroupDesc, ReadError> {
        read_unverified(&self.superblock, &self.blocks, group)
    }

    /// Returns where an inode stands: its block, and its offset there in bytes.
    pub(crate) fn inode_place(&self, inode: InodeNo) -> Result<(BlockNo, usize), ReadError> {
        inode_place(&self.superblock, &self.blocks, inode)
    }

    /// Returns where an inode stands, whatever the checksum of its group's descriptor.
    pub(crate) fn inode_place_unverified(
        &self,
        inode: InodeNo,
    ) -> Result<(BlockNo, usize), ReadError> {
        place_within(&self.superblock, inode, &|group| {
            self.group_unverified(group)
        })
    }
}

/// Returns where an inode stands: its block, and its offset there in bytes.
pub(crate) fn inode_place(
    superblock: &Superblock,
    blocks: &Blocks,
    inode: InodeNo,
) -> Result<(BlockNo, usize), ReadError> {
    place_within(superblock, inode, &|group| read(superblock, blocks, group))
}

fn place_within(
    superblock: &Superblock,
    inode: InodeNo,
    desc: &dyn Fn(GroupNo) -> Result<GroupDesc, ReadError>,
) -> Result<(BlockNo, usize), ReadError> {
    let nowhere = |damage| ReadError::inode(inode, damage);
    superblock
        .check_inode("the number", inode)
        .map_err(nowhere)?;
    let index = inode.0.saturating_sub(1);
    let per_group = superblock.inodes_per_group();
    let (group, index) = (
        GroupNo(index.checked_div(per_group).unwrap_or(0)),
        index.checked_rem(per_group).unwrap_or(0),
    );
    let desc = desc(group)?;
    let byte = u64::from(index).saturating_mul(superblock.inode_size().into());
    let len = u64::from(superblock.block_size());
    let block = BlockNo(
        desc.raw
            .inode_table()
            .0
            .saturating_add(byte >> superblock.block_bits()),
    );
    superblock
        .check_blocks("bg_inode_table", block, 1)
        .map_err(|damage| ReadError::corrupt(Location::Group(group), damage))?;
    let offset = usize::try_from(byte & len.saturating_sub(1)).unwrap_or(usize::MAX);
    Ok((block, offset))
}
