//! All that changes, decided before anything is written.

use super::error::{ResizeError, Result};
use super::fresh::Fresh;
use super::kept::{self, Kept};
use super::{reserve, target};
use crate::ext4::edit::{self, Beyond, Editor};
use crate::ext4::features::{compat, incompat};
use crate::ext4::group_desc::RawGroupDesc;
use crate::ext4::read::Superblock;
use crate::ext4::superblock::{RawSuperblock, SIZE, STATE_VALID};
use crate::ext4::{BlockNo, GroupNo};

/// The memory that changed blocks may take, in bytes.
const MEMORY: u64 = 1 << 30;

/// A change of size. What changes inside the filesystem lies in the editor's transaction already.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) new: Superblock,
    pub(super) raw: RawSuperblock,
    /// The first block behind the filesystem as it was.
    old_end: u64,
    /// All blocks of descriptors.
    descriptors: Vec<DescriptorBlock>,
    /// Those that are written before the commit.
    early: Vec<(BlockNo, Vec<u8>)>,
    /// The groups with the superblock or a copy of it.
    copies: Vec<GroupNo>,
    fresh: Fresh,
    /// What stands behind the old end may hold anything, so that zeros must be written.
    unclean: bool,
}

/// A block of descriptors, and whether it is another than before.
#[derive(Debug)]
struct DescriptorBlock {
    bytes: Vec<u8>,
    changed: bool,
}

/// Lays what changes into the editor's transaction.
pub(super) fn plan(editor: &mut Editor, new: Superblock) -> Result<Plan> {
    let old = editor.superblock().clone();
    let (new, kept) = with_kept(editor, &old, new)?;
    let mut fresh = Fresh::plan(&new, old.groups())?;
    let unclean = editor.fixed_len().is_some();
    if unclean {
        fresh.leave_to_the_kernel();
    }
    let copies: Vec<GroupNo> = (0..new.groups())
        .map(GroupNo)
        .filter(|group| new.has_super(*group))
        .collect();
    let all = all_descriptors(editor, &new, &kept, &fresh)?;
    let descriptors = descriptor_blocks(editor, &old, &new, &all)?;
    let early = early(editor, &old, &new, &fresh)?;
    let mut raw = new.raw().clone();
    count_free(&new, &all, &mut raw);
    let plan = Plan {
        old_end: old.blocks(),
        new,
        raw,
        descriptors,
        early,
        copies,
        fresh,
        unclean,
    };
    plan.check_memory(&old, kept.len())?;
    for group in &kept {
        editor.put_block(group.desc.block_bitmap(), &group.bitmap)?;
    }
    plan.inside(editor, &old)?;
    reserve::rewrite(editor, &plan.new, &plan.copies)?;
    Ok(plan)
}

/// Returns the groups that stay; with `sparse_super2` the second copy is given up where its place in
/// the last group is taken.
fn with_kept(
    editor: &mut Editor,
    old: &Superblock,
    new: Superblock,
) -> Result<(Superblock, Vec<Kept>)> {
    if let Some(kept) = kept::kept(editor, &new)? {
        return Ok((new, kept));
    }
    let taken = ResizeError::Layout {
        what: "blocks in use where copies of the superblock belong",
    };
    if !new.has_compat(compat::SPARSE_SUPER2) {
        return Err(taken);
    }
    let mut raw = new.raw().clone();
    raw.s_backup_bgs[1] = 0.into();
    let new = target::parsed(old, &raw)?;
    let kept = kept::kept(editor, &new)?.ok_or(taken)?;
    Ok((new, kept))
}

/// Returns the descriptors of all groups, and whether each is new or changed.
fn all_descriptors(
    editor: &mut Editor,
    new: &Superblock,
    kept: &[Kept],
    fresh: &Fresh,
) -> Result<Vec<(RawGroupDesc, bool)>> {
    let mut all = Vec::new();
    let stay = editor.superblock().groups().min(new.groups());
    let mut changed = kept.iter().peekable();
    for group in (0..stay).map(GroupNo) {
        match changed.next_if(|kept| kept.group == group) {
            Some(kept) => all.push((kept.desc, true)),
            None => all.push((editor.descriptor(group)?, false)),
        }
    }
    all.extend(fresh.iter().map(|(_, desc)| (desc, true)));
    Ok(all)
}

fn descriptor_blocks(
    editor: &Editor,
    old: &Superblock,
    new: &Superblock,
    all: &[(RawGroupDesc, bool)],
) -> Result<Vec<DescriptorBlock>> {
    let per_block = usize::try_from(new.descs_per_block().max(1)).unwrap_or(usize::MAX);
    let mut blocks = Vec::new();
    for (index, part) in (0..).zip(all.chunks(per_block)) {
        let before = if index < old.desc_blocks() {
            Some(editor.block(old.descriptor_block(index))?)
        } else {
            None
        };
        let mut bytes = before.clone().unwrap_or_else(|| vec![0; new.block_len()]);
        // Nothing is left of groups that go.
        let used = part.len() * usize::from(new.desc_size());
        if let Some(rest) = bytes.get_mut(used..) {
            rest.fill(0);
        }
        let first = index * new.descs_per_block();
        for (number, (desc, _)) in (first..).zip(part).filter(|(_, (_, changed))| *changed) {
            edit::put_desc(new, GroupNo(number), *desc, &mut bytes);
        }
        let changed = before.as_ref() != Some(&bytes);
        blocks.push(DescriptorBlock { bytes, changed });
    }
    Ok(blocks)
}

/// Returns the blocks of descriptors inside the old filesystem that get new groups, as they are but for
/// those.
fn early(
    editor: &Editor,
    old: &Superblock,
    new: &Superblock,
    fresh: &Fresh,
) -> Result<Vec<(BlockNo, Vec<u8>)>> {
    let mut blocks: Vec<(BlockNo, Vec<u8>)> = Vec::new();
    for (group, desc) in fresh.iter() {
        let index = group.0 / new.descs_per_block().max(1);
        let place = new.descriptor_block(index);
        if place.0 >= old.blocks() {
            continue;
        }
        if blocks.last().is_none_or(|(last, _)| *last != place) {
            let bytes = if index < old.desc_blocks() {
                editor.block(place)?
            } else {
                vec![0; new.block_len()]
            };
            blocks.push((place, bytes));
        }
        if let Some((_, bytes)) = blocks.last_mut() {
            edit::put_desc(new, group, desc, bytes);
        }
    }
    Ok(blocks)
}

fn count_free(new: &Superblock, all: &[(RawGroupDesc, bool)], raw: &mut RawSuperblock) {
    let blocks = all
        .iter()
        .map(|(desc, _)| u64::from(desc.free_blocks_count()));
    let high = raw.s_free_blocks_count_hi;
    raw.set_free_blocks_count(blocks.sum());
    if !new.has_incompat(incompat::BITS64) {
        raw.s_free_blocks_count_hi = high;
    }
    let inodes = all
        .iter()
        .map(|(desc, _)| u64::from(desc.free_inodes_count()));
    let inodes: u64 = inodes.sum();
    raw.s_free_inodes_count = u32::try_from(inodes).unwrap_or(u32::MAX).into();
}

impl Plan {
    /// Refuses a change that takes too much memory: copies in every group of a huge filesystem.
    fn check_memory(&self, old: &Superblock, kept: usize) -> Result<()> {
        let inside = self.copies.iter().filter(|group| group.0 < old.groups());
        let inside = u64::try_from(inside.count()).unwrap_or(u64::MAX);
        let changed = self.descriptors.iter().filter(|block| block.changed);
        let changed = u64::try_from(changed.count()).unwrap_or(u64::MAX);
        let reserved = u64::from(self.new.raw().s_reserved_gdt_blocks.get());
        let kept = u64::try_from(kept).unwrap_or(u64::MAX);
        let blocks = inside.saturating_mul(1 + changed) + reserved + kept;
        if blocks.saturating_mul(self.new.block_size().into()) > MEMORY {
            return Err(ResizeError::Memory { blocks });
        }
        Ok(())
    }

    /// Lays descriptors and copies that stand inside the old filesystem into the transaction.
    fn inside(&self, editor: &Editor, old: &Superblock) -> Result<()> {
        let had = |group: GroupNo| group.0 < old.groups() && old.has_super(group);
        for (place, group, block) in self.descriptor_places() {
            let stays = block.changed || (self.holds_all(group) && !had(group));
            if place.0 < self.old_end && stays {
                editor.put_block(place, &block.bytes)?;
            }
        }
        for group in self.copies.iter().filter(|group| group.0 != 0) {
            let place = self.new.group_start(*group);
            if place.0 < self.old_end {
                let mut block = editor.block(place)?;
                block[..SIZE].copy_from_slice(&self.copy(*group));
                editor.put_block(place, &block)?;
            }
        }
        Ok(())
    }

    /// Tells whether a group's copy of the descriptors is there because of its copy of the superblock.
    fn holds_all(&self, group: GroupNo) -> bool {
        self.new.has_super(group)
    }

    /// Returns the places of all blocks of descriptors and of their copies, with the groups.
    fn descriptor_places(&self) -> impl Iterator<Item = (BlockNo, GroupNo, &DescriptorBlock)> {
        (0..).zip(&self.descriptors).flat_map(|(index, block)| {
            self.places(index)
                .into_iter()
                .map(move |(place, group)| (place, group, block))
        })
    }

    fn places(&self, index: u32) -> Vec<(BlockNo, GroupNo)> {
        let new = &self.new;
        let meta = new.has_incompat(incompat::META_BG);
        if meta && index >= new.raw().s_first_meta_bg.get() {
            let per_block = new.descs_per_block();
            let first = index * per_block;
            return [0, 1, per_block - 1]
                .map(|step| GroupNo(first.saturating_add(step)))
                .into_iter()
                .filter(|group| group.0 < new.groups())
                .map(|group| {
                    let own = u64::from(new.has_super(group));
                    (BlockNo(new.group_start(group).0 + own), group)
                })
                .collect();
        }
        let offset = new.descriptor_block(index).0 - new.group_start(GroupNo(0)).0;
        let copies = self.copies.iter();
        copies
            .map(|group| (BlockNo(new.group_start(*group).0 + offset), *group))
            .collect()
    }

    /// Returns the copy of the superblock for a group.
    fn copy(&self, group: GroupNo) -> [u8; SIZE] {
        let mut raw = self.raw.clone();
        // A field of 16 bits: copies beyond group 65535 show the low half.
        raw.s_block_group_nr = u16::try_from(group.0 & 0xffff).unwrap_or(0).into();
        // As e2fsprogs leaves it: a copy is never of a filesystem that was unmounted.
        raw.s_state = (raw.s_state.get() & !STATE_VALID).into();
        edit::sealed(&raw, &self.new)
    }
}

impl Beyond for Plan {
    fn early(&self) -> &[(BlockNo, Vec<u8>)] {
        &self.early
    }

    fn emit(
        &self,
        write: &mut dyn FnMut(u64, &[u8]) -> forger_block::Result<()>,
        zero: &mut dyn FnMut(u64, u64) -> forger_block::Result<()>,
    ) -> forger_block::Result<()> {
        let bits = self.new.block_bits();
        for (place, _, block) in self.descriptor_places() {
            if place.0 >= self.old_end {
                write(place.0 << bits, &block.bytes)?;
            }
        }
        for group in &self.copies {
            let place = self.new.group_start(*group);
            if place.0 >= self.old_end {
                let mut block = vec![0; self.new.block_len()];
                block[..SIZE].copy_from_slice(&self.copy(*group));
                write(place.0 << bits, &block)?;
            }
        }
        self.fresh.emit(
            &self.new,
            &mut |block, bytes| write(block.0 << bits, bytes),
            &mut |block, count| {
                if self.unclean {
                    zero(block.0 << bits, count << bits)
                } else {
                    Ok(())
                }
            },
        )
    }
}
