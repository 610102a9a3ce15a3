//! The groups that stay: what changes of their block bitmaps and descriptors.

use std::collections::BTreeMap;
use std::ops::Range;

use super::bits;
use super::error::Result;
use super::fresh::tables;
use crate::ext4::GroupNo;
use crate::ext4::check::descriptor_ranges;
use crate::ext4::edit::Editor;
use crate::ext4::group_desc::{BLOCK_UNINIT, RawGroupDesc};
use crate::ext4::read::{DescriptorSum, Superblock};

/// A group that stays, as it will be.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) group: GroupNo,
    pub(super) desc: RawGroupDesc,
    pub(super) bitmap: Vec<u8>,
}

/// What changes in a group's block bitmap, in blocks of the filesystem.
#[derive(Debug, Default)]
struct Change {
    clear: Vec<Range<u64>>,
    set: Vec<Range<u64>>,
}

/// Returns all groups whose bitmap changes, or none where copies would have to stand on blocks that
/// are in use.
pub(super) fn kept(editor: &mut Editor, new: &Superblock) -> Result<Option<Vec<Kept>>> {
    let old = editor.superblock().clone();
    let mut list = Vec::new();
    for (number, change) in changes(editor, &old, new)? {
        match apply(editor, &old, new, GroupNo(number), &change)? {
            Some(kept) => list.push(kept),
            None => return Ok(None),
        }
    }
    Ok(Some(list))
}

fn changes(
    editor: &mut Editor,
    old: &Superblock,
    new: &Superblock,
) -> Result<BTreeMap<u32, Change>> {
    let mut changes: BTreeMap<u32, Change> = BTreeMap::new();
    let stay = old.groups().min(new.groups());
    for group in (0..stay).map(GroupNo) {
        let (before, after) = (copies(old, group), copies(new, group));
        if before.end > after.end {
            let change = changes.entry(group.0).or_default();
            change.clear.push(after.end..before.end);
        } else if after.end > before.end {
            let change = changes.entry(group.0).or_default();
            change.set.push(before.end..after.end);
        }
        let (blocks, now) = (old.group_blocks(group), new.group_blocks(group));
        let summed = old.descriptor_sum() != DescriptorSum::None;
        let uninit = summed && editor.descriptor(group)?.bg_flags.get() & BLOCK_UNINIT != 0;
        // The last group's bitmap is always written.
        if blocks != now || (uninit && group.0 + 1 == new.groups()) {
            let change = changes.entry(group.0).or_default();
            let start = new.group_start(group).0;
            if now > blocks {
                change.clear.push(start + blocks..start + now);
            }
        }
    }
    for group in (stay..old.groups()).map(GroupNo) {
        for range in tables(old, &editor.descriptor(group)?) {
            free(new, range, &mut changes);
        }
    }
    Ok(changes)
}

/// Frees what the metadata of a group that goes take in groups that stay.
fn free(new: &Superblock, range: Range<u64>, changes: &mut BTreeMap<u32, Change>) {
    let end = range.end.min(new.blocks());
    let mut at = range.start;
    while at < end {
        let group = new.group_of(crate::ext4::BlockNo(at));
        let stop = (new.group_start(group).0 + new.group_blocks(group)).min(end);
        changes.entry(group.0).or_default().clear.push(at..stop);
        at = stop;
    }
}

/// Returns the blocks at a group's start that copies of superblock and descriptors take.
fn copies(superblock: &Superblock, group: GroupNo) -> Range<u64> {
    let start = superblock.group_start(group).0;
    let end = descriptor_ranges(superblock, group)
        .map(|range| range.end)
        .max();
    start..end.unwrap_or(start)
}

fn apply(
    editor: &mut Editor,
    old: &Superblock,
    new: &Superblock,
    group: GroupNo,
    change: &Change,
) -> Result<Option<Kept>> {
    let start = new.group_start(group).0;
    let within =
        |range: &Range<u64>| range.start.saturating_sub(start)..range.end.saturating_sub(start);
    let mut bitmap = match editor.block_bitmap(group)? {
        Some(bitmap) => bitmap,
        None => initial(editor, old, group)?,
    };
    for range in &change.clear {
        bits::clear(&mut bitmap, within(range));
    }
    for range in &change.set {
        if bits::any(&mut bitmap, within(range)) {
            return Ok(None);
        }
        bits::set(&mut bitmap, within(range));
    }
    let blocks = new.group_blocks(group);
    bits::set(&mut bitmap, blocks..u64::MAX);
    let mut desc = editor.descriptor(group)?;
    desc.set_free_blocks_count(bits::count_clear(&bitmap, blocks));
    if new.descriptor_sum() != DescriptorSum::None {
        desc.bg_flags = (desc.bg_flags.get() & !BLOCK_UNINIT).into();
    }
    if let Some(seed) = new.seed() {
        let covered = usize::try_from(new.clusters_per_group() / 8).unwrap_or(usize::MAX);
        desc.set_block_bitmap_csum(seed.checksum(&bitmap[..covered]));
    }
    Ok(Some(Kept {
        group,
        desc,
        bitmap,
    }))
}

/// Returns the bitmap of a group whose own was never written: only its own metadata are in use.
fn initial(editor: &mut Editor, old: &Superblock, group: GroupNo) -> Result<Vec<u8>> {
    let mut bitmap = vec![0; old.block_len()];
    let start = old.group_start(group).0;
    let end = start + old.group_blocks(group);
    let own = tables(old, &editor.descriptor(group)?);
    for range in own.into_iter().chain(descriptor_ranges(old, group)) {
        let within = range.start.max(start)..range.end.min(end);
        if within.start < within.end {
            bits::set(&mut bitmap, within.start - start..within.end - start);
        }
    }
    Ok(bitmap)
}
