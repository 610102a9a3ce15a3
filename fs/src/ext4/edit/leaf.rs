//! A block of directory entries: names put into it and taken out.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

use super::Superblock;
use super::error::{Result, damaged};
use crate::ext4::InodeNo;
use crate::ext4::dir::{DirEntry, encode_len, record_len};
use crate::ext4::read::{Record, Records};

/// Returns the entries of a block without its tail, the unused ones included.
pub(super) fn records<'a>(superblock: &'a Superblock, area: &'a [u8]) -> Result<Vec<Record<'a>>> {
    Records::new(superblock, area)
        .collect::<std::result::Result<_, _>>()
        .map_err(|damage| damaged(format!("a directory block: {damage}")))
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
    let records = records(superblock, area)?;
    Ok(records.iter().map(spare).max().unwrap_or(0))
}

/// Puts an entry into the first place that is long enough; false when there is none.
pub(super) fn insert(
    superblock: &Superblock,
    area: &mut [u8],
    entry: &DirEntry<'_>,
) -> Result<bool> {
    let found = records(superblock, area)?
        .iter()
        .find(|record| spare(record) >= entry.len())
        .map(|record| (at(record), record.len, spare(record)));
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

/// Takes an entry out: the one before it takes its place as well.
pub(super) fn remove(superblock: &Superblock, area: &mut [u8], name: &[u8]) -> Result<bool> {
    let mut before: Option<(usize, usize)> = None;
    let mut found = None;
    for record in records(superblock, area)? {
        if record.inode.0 != 0 && record.name == name {
            found = Some((at(&record), record.len));
            break;
        }
        before = Some((at(&record), record.len));
    }
    let Some((offset, len)) = found else {
        return Ok(false);
    };
    match before {
        Some((offset, before)) => set_len(area, offset, before.saturating_add(len)),
        None => set_inode(area, offset, InodeNo(0)),
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
    let found = records(superblock, area)?
        .iter()
        .find(|record| record.inode.0 != 0 && record.name == name)
        .map(at);
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
