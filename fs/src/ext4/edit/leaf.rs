//! A block of directory entries: names put into it and taken out.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

use super::Superblock;
use super::error::{EditError, Result, damaged};
use crate::ext4::dir::{DirEntry, encode_len, record_len};
use crate::ext4::read::{Record, Records};
use crate::ext4::{Damage, InodeNo};

/// Returns the entries of a block without its tail, the unused ones included.
pub(super) fn records<'a>(superblock: &'a Superblock, area: &'a [u8]) -> Result<Vec<Record<'a>>> {
    Records::new(superblock, area)
        .collect::<std::result::Result<_, _>>()
        .map_err(broken)
}

/// Returns what an entry leaves unused.
fn spare(record: &Record<'_>) -> usize {
    if record.inode.0 == 0 {
        return record.len;
    }
    record.len.saturating_sub(record_len(record.name.len()))
}

/// Returns the length of the longest entry that could be put into a block.
pub(super) fn room(superblock: &Superblock, area: &[u8]) -> Result<usize> {
    Records::new(superblock, area).try_fold(0, |most, record| {
        let record = record.map_err(broken)?;
        Ok(most.max(spare(&record)))
    })
}

/// Calls `visit` with the entries in use, as long as it wants more.
pub(super) fn each(
    superblock: &Superblock,
    area: &[u8],
    mut visit: impl FnMut(&Record<'_>) -> bool,
) -> Result<()> {
    find(superblock, area, |record| {
        record.inode.0 != 0 && !visit(record)
    })?;
    Ok(())
}

/// Returns the first entry that has a property.
fn find<'a>(
    superblock: &'a Superblock,
    area: &'a [u8],
    mut wanted: impl FnMut(&Record<'_>) -> bool,
) -> Result<Option<Record<'a>>> {
    for record in Records::new(superblock, area) {
        let record = record.map_err(broken)?;
        if wanted(&record) {
            return Ok(Some(record));
        }
    }
    Ok(None)
}

fn broken(damage: Damage) -> EditError {
    damaged(format!("a directory block: {damage}"))
}

/// Puts an entry into the first place that is long enough; false when there is none.
pub(super) fn insert(
    superblock: &Superblock,
    area: &mut [u8],
    entry: &DirEntry<'_>,
) -> Result<bool> {
    let found = find(superblock, area, |record| spare(record) >= entry.len())?
        .map(|record| (at(&record), record.len, spare(&record)));
    let Some((offset, len, spare)) = found else {
        return Ok(false);
    };
    let used = len.saturating_sub(spare);
    if used > 0 {
        set_len(area, offset, used);
    }
    if let Some(place) = area.get_mut(offset.saturating_add(used)..) {
        entry.write(place, spare);
    }
    Ok(true)
}

/// Takes an entry out: the one before it takes its place as well. No byte of it stays.
pub(super) fn remove(superblock: &Superblock, area: &mut [u8], name: &[u8]) -> Result<bool> {
    let mut before: Option<(usize, usize)> = None;
    let found = find(superblock, area, |record| {
        let found = record.inode.0 != 0 && record.name == name;
        if !found {
            before = Some((at(record), record.len));
        }
        found
    })?;
    let Some((offset, len)) = found.map(|record| (at(&record), record.len)) else {
        return Ok(false);
    };
    // The first entry of a block keeps its length.
    let kept = if before.is_some() { 0 } else { 6 };
    if let Some(entry) = area.get_mut(offset..offset.saturating_add(len)) {
        let (head, rest) = entry.split_at_mut(kept.min(entry.len()));
        head.iter_mut().take(4).for_each(|byte| *byte = 0);
        rest.fill(0);
    }
    if let Some((offset, before)) = before {
        set_len(area, offset, before.saturating_add(len));
    }
    Ok(true)
}

/// Makes an entry stand for another inode.
pub(super) fn redirect(
    superblock: &Superblock,
    area: &mut [u8],
    name: &[u8],
    inode: InodeNo,
    file_type: u8,
) -> Result<bool> {
    let found = find(superblock, area, |record| {
        record.inode.0 != 0 && record.name == name
    })?
    .map(|record| at(&record));
    let Some(offset) = found else {
        return Ok(false);
    };
    set_inode(area, offset, inode);
    if let Some(byte) = area.get_mut(offset.saturating_add(7)) {
        *byte = file_type;
    }
    Ok(true)
}

fn at(record: &Record<'_>) -> usize {
    usize::try_from(record.offset).unwrap_or(usize::MAX)
}

fn set_len(area: &mut [u8], offset: usize, len: usize) {
    let start = offset.saturating_add(4);
    if let Some(field) = area.get_mut(start..start.saturating_add(2)) {
        field.copy_from_slice(&encode_len(len).to_le_bytes());
    }
}

fn set_inode(area: &mut [u8], offset: usize, inode: InodeNo) {
    if let Some(field) = area.get_mut(offset..offset.saturating_add(4)) {
        field.copy_from_slice(&inode.0.to_le_bytes());
    }
}
