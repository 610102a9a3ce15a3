//! As much of a partition table as tells which partition has a GUID, or which disk a signature.
//!
//! UEFI Specification, 5.2 and 5.3: a master boot record stands in the first sector, the header of a GUID
//! partition table in the second.

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

/// Reads what stands for a GUID where a disk has a master boot record: its signature and the partition's
/// number.
pub(crate) fn record(text: &str) -> Option<(u32, u32)> {
    let (signature, number) = text.split_once('-')?;
    let hex = |digits: &str, len: usize| {
        let all = digits.len() == len && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        all.then(|| u32::from_str_radix(digits, 16).ok()).flatten()
    };
    let (signature, number) = (hex(signature, 8)?, hex(number, 2)?);
    (signature != 0 && number != 0).then_some((signature, number))
}

/// Tells whether a disk has a master boot record with a signature.
pub(crate) fn is_signed(disk: &File, signature: u32) -> bool {
    let (mut found, mut end) = ([0; 4], [0; 2]);
    disk.read_exact_at(&mut found, 0x1b8).is_ok()
        && disk.read_exact_at(&mut end, 0x1fe).is_ok()
        && u32::from_le_bytes(found) == signature
        && end == [0x55, 0xaa]
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
