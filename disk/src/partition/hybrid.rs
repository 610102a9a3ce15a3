//! A hybrid MBR: partitions of a GPT that stand in the MBR as well, for firmware and systems that read
//! nothing else.
//!
//! ```text
//! entry 1      the protective one, up to the first of them
//! entries 2-4  up to three partitions of the GPT, by ascending numbers
//! ```

use super::mbr::{RawEntry, RawMbr};
use super::{ATTRIBUTE_LEGACY_BOOT, LayoutError, Partition, Table};

/// So many partitions have room beside the protective one.
const MOST: usize = 3;

/// Makes the MBR of a disk of so many sectors, which names the partitions of these numbers.
///
/// # Errors
/// Numbers that no partition has or that are too many, and partitions beyond the reach of an MBR.
pub(super) fn record(table: &Table, numbers: &[u32], sectors: u64) -> Result<RawMbr, LayoutError> {
    let wrong = |number, reason| Err(LayoutError::Hybrid { number, reason });
    let mut named: Vec<&Partition> = Vec::new();
    for number in numbers {
        let found = table.partitions.iter().find(|part| part.number == *number);
        match found {
            None => return wrong(*number, "there is no such partition"),
            Some(part) if named.contains(&part) => return wrong(*number, "it is named twice"),
            Some(_) if named.len() == MOST => {
                return wrong(
                    *number,
                    "there is room for three beside the protective entry",
                );
            }
            Some(part) => named.push(part),
        }
    }
    named.sort_by_key(|part| part.number);
    let mut mbr = RawMbr::protective(sectors);
    let [protective, others @ ..] = &mut mbr.entries;
    for (entry, part) in others.iter_mut().zip(&named) {
        let sector = |bytes: u64| u32::try_from(bytes / table.sector_size).ok();
        let (Some(first), Some(count)) = (sector(part.start), sector(part.len)) else {
            return wrong(part.number, "it lies beyond 2^32 sectors");
        };
        *entry = RawEntry {
            status: match part.attributes & ATTRIBUTE_LEGACY_BOOT {
                0 => 0,
                _ => 0x80,
            },
            // Nobody reads them: the values that say so.
            first_chs: [0xfe, 0xff, 0xff],
            kind: part.kind.byte(),
            last_chs: [0xfe, 0xff, 0xff],
            first_lba: first.into(),
            sectors: count.into(),
        };
        // From sector 1 to the first of them.
        protective.sectors = protective.sectors.get().min(first - 1).into();
    }
    Ok(mbr)
}
