//! As much of a GUID partition table as tells which partition has a GUID.
//!
//! UEFI Specification, 5.3: the header stands in the second sector.

use std::fs::File;
use std::os::unix::fs::FileExt;

/// What a header begins with.
const SIGNATURE: &[u8; 8] = b"EFI PART";

/// The most entries that are looked at, and the most bytes of one.
const MAX_ENTRIES: u32 = 4096;
const MAX_ENTRY: u32 = 4096;

/// Reads a GUID as it stands in a table: the first three groups have the low byte first.
pub(crate) fn guid(text: &str) -> Option<[u8; 16]> {
    let groups: Vec<&str> = text.split('-').collect();
    let lens: Vec<usize> = groups.iter().map(|group| group.len()).collect();
    if lens != [8, 4, 4, 4, 12] {
        return None;
    }
    let mut guid = [0; 16];
    let mut at = 0;
    for (index, group) in groups.iter().enumerate() {
        let digits = group.as_bytes().chunks(2);
        let bytes: Option<Vec<u8>> = digits
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
            .collect();
        let mut bytes = bytes?;
        if index < 3 {
            bytes.reverse();
        }
        guid.get_mut(at..at + bytes.len())?.copy_from_slice(&bytes);
        at += bytes.len();
    }
    Some(guid)
}

/// Returns the number, from 1, of the partition with a GUID on a disk; nothing where there is no table, or
/// none with it.
pub(crate) fn partition(disk: &File, sector: u64, guid: &[u8; 16]) -> Option<u32> {
    let mut header = [0; 0x58];
    disk.read_exact_at(&mut header, sector).ok()?;
    if !header.starts_with(SIGNATURE) {
        return None;
    }
    let start = u64::from_le_bytes(header.get(0x48..0x50)?.try_into().ok()?);
    let count = u32::from_le_bytes(header.get(0x50..0x54)?.try_into().ok()?);
    let len = u32::from_le_bytes(header.get(0x54..0x58)?.try_into().ok()?);
    if !(128..=MAX_ENTRY).contains(&len) {
        return None;
    }
    let start = start.checked_mul(sector)?;
    (0..count.min(MAX_ENTRIES)).find_map(|index| {
        let mut unique = [0; 16];
        let at = u64::from(index) * u64::from(len) + 0x10;
        disk.read_exact_at(&mut unique, start.checked_add(at)?)
            .ok()?;
        (unique == *guid).then_some(index + 1)
    })
}
