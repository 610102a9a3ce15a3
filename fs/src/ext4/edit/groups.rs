//! Groups: their descriptors, and their bitmaps once something is taken from or given back to them.

use super::Superblock;
use super::allocate::Run;
use super::bits;
use super::error::{Result, damaged};
use super::overlay::Overlay;
use crate::ext4::features::incompat;
use crate::ext4::group_desc::{BLOCK_UNINIT, INODE_UNINIT, RawGroupDesc, SIZE};
use crate::ext4::read::{Blocks, DescriptorSum, group};
use crate::ext4::{BlockNo, GroupNo};

/// All groups.
#[derive(Debug)]
pub(super) struct Groups {
    pub(super) list: Vec<Group>,
}

/// A group.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) desc: RawGroupDesc,
    pub(super) changed: bool,
    pub(super) blocks: Option<Bitmap>,
    pub(super) inodes: Option<Bitmap>,
}

/// A bitmap and what the transaction did to it.
#[derive(Debug)]
pub(super) struct Bitmap {
    pub(super) bits: Vec<u8>,
    /// Given back in this transaction, and in use until it is committed: not to be written to.
    pub(super) barred: Vec<u8>,
    /// Taken in this transaction.
    pub(super) fresh: Vec<u8>,
    /// No bit below can be taken.
    pub(super) next: u32,
    pub(super) changed: bool,
}

impl Bitmap {
    fn new(bits: Vec<u8>) -> Self {
        Self {
            barred: vec![0; bits.len()],
            fresh: vec![0; bits.len()],
            bits,
            next: 0,
            changed: false,
        }
    }
}

impl Group {
    /// Returns how many blocks can be taken.
    pub(super) fn takeable_blocks(&self) -> u32 {
        let barred = self.blocks.as_ref().map_or(0, |map| {
            map.barred.iter().map(|byte| byte.count_ones()).sum()
        });
        self.desc.free_blocks_count().saturating_sub(barred)
    }
}

impl Groups {
    /// Reads and verifies all descriptors.
    pub(super) fn read(superblock: &Superblock, blocks: &Blocks) -> Result<Self> {
        let mut list = Vec::new();
        for number in 0..superblock.groups() {
            let desc = group::read(superblock, blocks, GroupNo(number))?.raw;
            let table = superblock.inode_table_blocks();
            for (field, block, count) in [
                ("bg_block_bitmap", desc.block_bitmap(), 1),
                ("bg_inode_bitmap", desc.inode_bitmap(), 1),
                ("bg_inode_table", desc.inode_table(), table),
            ] {
                superblock
                    .check_blocks(field, block, count)
                    .map_err(|damage| damaged(format!("group {number}: {damage}")))?;
            }
            list.push(Group {
                desc,
                changed: false,
                blocks: None,
                inodes: None,
            });
        }
        Ok(Self { list })
    }

    /// Returns a group.
    pub(super) fn get(&mut self, number: GroupNo) -> Result<&mut Group> {
        usize::try_from(number.0)
            .ok()
            .and_then(|index| self.list.get_mut(index))
            .ok_or_else(|| damaged(format!("group {} does not exist", number.0)))
    }

    /// Returns a group with its block bitmap loaded.
    pub(super) fn with_blocks(
        &mut self,
        number: GroupNo,
        superblock: &Superblock,
        overlay: &Overlay,
    ) -> Result<&mut Group> {
        let desc = self.get(number)?.desc;
        if self.get(number)?.blocks.is_none() {
            let count = u32::try_from(superblock.group_blocks(number)).unwrap_or(u32::MAX);
            let uninit = sums(superblock) && desc.bg_flags.get() & BLOCK_UNINIT != 0;
            let map = if uninit {
                self.uninit_blocks(number, superblock)
            } else {
                let map = overlay.view(desc.block_bitmap(), <[u8]>::to_vec)?;
                if let Some(seed) = superblock.seed() {
                    let covered = covered(superblock.clusters_per_group());
                    let sum = seed.checksum(map.get(..covered).unwrap_or(&map));
                    check_sum(number, "block", sum, desc.block_bitmap_csum(), superblock)?;
                }
                map
            };
            let free = bits::count_clear(&map, count);
            check_count(number, "blocks", free, desc.free_blocks_count())?;
            let group = self.get(number)?;
            group.blocks = Some(Bitmap::new(map));
        }
        self.get(number)
    }

    /// Returns a group with its inode bitmap loaded.
    pub(super) fn with_inodes(
        &mut self,
        number: GroupNo,
        superblock: &Superblock,
        overlay: &Overlay,
    ) -> Result<&mut Group> {
        let group = self.get(number)?;
        if group.inodes.is_none() {
            let desc = group.desc;
            let count = superblock.inodes_per_group();
            let uninit = sums(superblock) && desc.bg_flags.get() & INODE_UNINIT != 0;
            let map = if uninit {
                let mut map = vec![0; superblock.block_len()];
                bits::set_from(&mut map, count);
                map
            } else {
                let map = overlay.view(desc.inode_bitmap(), <[u8]>::to_vec)?;
                if let Some(seed) = superblock.seed() {
                    let sum = seed.checksum(map.get(..covered(count)).unwrap_or(&map));
                    check_sum(number, "inode", sum, desc.inode_bitmap_csum(), superblock)?;
                }
                map
            };
            let free = bits::count_clear(&map, count);
            check_count(number, "inodes", free, desc.free_inodes_count())?;
            group.inodes = Some(Bitmap::new(map));
        }
        Ok(group)
    }

    /// Returns the blocks that the transaction gives back, merged, in ascending order.
    pub(super) fn given_back(&self, superblock: &Superblock) -> Vec<Run> {
        let mut runs: Vec<Run> = Vec::new();
        for (number, group) in (0_u32..).zip(&self.list) {
            let Some(map) = &group.blocks else { continue };
            let start = superblock.group_start(GroupNo(number));
            for bit in bits::ones(&map.barred) {
                let block = after(start, bit.into());
                match runs.last_mut() {
                    Some(last) if after(last.start, last.len) == block => last.len += 1,
                    _ => runs.push(Run {
                        start: block,
                        len: 1,
                    }),
                }
            }
        }
        runs
    }

    /// Returns the block bitmap of a group that has none yet: only its own metadata are in use.
    fn uninit_blocks(&self, number: GroupNo, superblock: &Superblock) -> Vec<u8> {
        let mut map = vec![0; superblock.block_len()];
        let start = superblock.group_start(number).0;
        let len = superblock.group_blocks(number);
        let mut take = |first: u64, count: u64| {
            for block in first.max(start)..first.saturating_add(count).min(start + len) {
                bits::set(&mut map, u32::try_from(block - start).unwrap_or(u32::MAX));
            }
        };
        take(start, base_blocks(superblock, number));
        for group in &self.list {
            take(group.desc.block_bitmap().0, 1);
            take(group.desc.inode_bitmap().0, 1);
            take(group.desc.inode_table().0, superblock.inode_table_blocks());
        }
        bits::set_from(&mut map, u32::try_from(len).unwrap_or(u32::MAX));
        map
    }

    /// Writes the changed bitmaps and descriptors, with their checksums, into the overlay.
    pub(super) fn flush(&mut self, superblock: &Superblock, overlay: &Overlay) -> Result<()> {
        for (number, group) in (0_u32..).zip(&mut self.list) {
            let (blocks, inodes) = (
                superblock.clusters_per_group(),
                superblock.inodes_per_group(),
            );
            if let Some(map) = group.blocks.as_mut().filter(|map| map.changed) {
                overlay.put(group.desc.block_bitmap(), &map.bits);
                map.changed = false;
                if let Some(seed) = superblock.seed() {
                    let sum = seed.checksum(&map.bits[..covered(blocks)]);
                    group.desc.set_block_bitmap_csum(sum);
                }
            }
            if let Some(map) = group.inodes.as_mut().filter(|map| map.changed) {
                overlay.put(group.desc.inode_bitmap(), &map.bits);
                map.changed = false;
                if let Some(seed) = superblock.seed() {
                    let sum = seed.checksum(&map.bits[..covered(inodes)]);
                    group.desc.set_inode_bitmap_csum(sum);
                }
            }
            if std::mem::take(&mut group.changed) {
                write_desc(superblock, overlay, GroupNo(number), group.desc)?;
            }
        }
        Ok(())
    }
}

/// Tells whether descriptors have checksums, and with them flags and a mark of unused inodes.
pub(super) fn sums(superblock: &Superblock) -> bool {
    superblock.descriptor_sum() != DescriptorSum::None
}

fn covered(bits: u32) -> usize {
    usize::try_from(bits / 8).unwrap_or(usize::MAX)
}

fn check_sum(
    number: GroupNo,
    what: &str,
    computed: u32,
    found: u32,
    superblock: &Superblock,
) -> Result<()> {
    // Descriptors of 32 bytes have the low half only.
    let mask = if superblock.desc_size() >= 64 {
        u32::MAX
    } else {
        0xffff
    };
    if (computed ^ found) & mask == 0 {
        return Ok(());
    }
    Err(damaged(format!(
        "the checksum of the {what} bitmap of group {} is wrong",
        number.0
    )))
}

fn check_count(number: GroupNo, what: &str, counted: u32, found: u32) -> Result<()> {
    if counted == found {
        return Ok(());
    }
    Err(damaged(format!(
        "group {} says that {found} {what} are free, its bitmap that {counted} are",
        number.0
    )))
}

/// Returns how many blocks at a group's start copies of superblock and descriptors take.
fn base_blocks(superblock: &Superblock, number: GroupNo) -> u64 {
    let has_super = superblock.has_super(number);
    let own = u64::from(has_super);
    let per_block = superblock.descs_per_block().max(1);
    let meta = superblock.has_incompat(incompat::META_BG);
    let first_meta = superblock.raw().s_first_meta_bg.get();
    if meta && number.0 / per_block >= first_meta {
        // A meta group's descriptors stand in its first, second and last group.
        let index = number.0 % per_block;
        return own + u64::from(index == 0 || index == 1 || index == per_block - 1);
    }
    if !has_super {
        return 0;
    }
    let all = u64::from(superblock.groups().div_ceil(per_block));
    if meta {
        return own + u64::from(first_meta);
    }
    own + all + u64::from(superblock.raw().s_reserved_gdt_blocks.get())
}

fn write_desc(
    superblock: &Superblock,
    overlay: &Overlay,
    number: GroupNo,
    desc: RawGroupDesc,
) -> Result<()> {
    let per_block = superblock.descs_per_block().max(1);
    let place = superblock.descriptor_block(number.0 / per_block);
    overlay
        .edit(place, |block| put_desc(superblock, number, desc, block))?
        .ok_or_else(|| damaged("a group descriptor is cut off"))
}

/// Writes a descriptor and its checksum at its place in a block of descriptors.
pub(in crate::ext4) fn put_desc(
    superblock: &Superblock,
    number: GroupNo,
    desc: RawGroupDesc,
    block: &mut [u8],
) -> Option<()> {
    let size = usize::from(superblock.desc_size());
    let index = usize::try_from(number.0 % superblock.descs_per_block().max(1)).ok()?;
    let start = index * size;
    let known = size.min(SIZE);
    let bytes: [u8; SIZE] = zerocopy::transmute!(desc);
    block
        .get_mut(start..start + known)?
        .copy_from_slice(&bytes[..known]);
    if let Some(sum) = group::parse(superblock, number, block)?.computed {
        const CHECKSUM: usize = 0x1e;
        block
            .get_mut(start + CHECKSUM..start + CHECKSUM + 2)?
            .copy_from_slice(&sum.to_le_bytes());
    }
    Some(())
}

/// Returns the group of an inode and its index there.
pub(super) fn inode_group(superblock: &Superblock, inode: u32) -> (GroupNo, u32) {
    let index = inode.saturating_sub(1);
    let per_group = superblock.inodes_per_group().max(1);
    (GroupNo(index / per_group), index % per_group)
}

/// Returns the block after the last of a run.
pub(super) fn after(block: BlockNo, len: u64) -> BlockNo {
    BlockNo(block.0.saturating_add(len))
}
