//! As much of a master boot record as tells which disk has a signature.
//!
//! UEFI Specification, 5.2: it stands in the first sector.

use std::fs::File;
use std::os::unix::fs::FileExt;

/// Where the signature stands, and where the record's end, in bytes.
const SIGNATURE: u64 = 0x1b8;
const END: u64 = 0x1fe;

/// Reads what stands for a GUID where a disk has a master boot record: its signature and the partition's
/// number.
pub(crate) fn partuuid(text: &str) -> Option<(u32, u32)> {
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
    disk.read_exact_at(&mut found, SIGNATURE).is_ok()
        && disk.read_exact_at(&mut end, END).is_ok()
        && u32::from_le_bytes(found) == signature
        && end == [0x55, 0xaa]
}
