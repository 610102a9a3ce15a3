//! A GPT on a disk that becomes longer: its backup moves to the new end, and a partition may grow. So may one
//! of an MBR.
//!
//! The steps of a GPT are durable one after the other, so that at every moment one copy of the table is whole:
//!
//! ```text
//! 1. backup at the new end      the primary copy is as it was
//! 2. primary                    torn: the backup at the end counts
//! 3. protective MBR             nobody relies on its length
//! 4. zeros over the old backup  what is left of it
//! ```

use forger_block::{BlockRead, BlockStore, Bytes};
use zerocopy::{FromBytes, IntoBytes};

use super::gpt::{RawEntry, crc32};
use super::{ReadError, gpt_read, mbr, mbr_grow};

/// How a table changes; [`apply`](Self::apply) does it.
#[derive(Clone, Debug)]
pub struct Growth {
    /// Each step is durable before the next begins.
    steps: Vec<Vec<(u64, Bytes)>>,
    /// What is erased in the end: offset and length, in bytes.
    old: Option<(u64, u64)>,
}

/// Why a table cannot grow.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GrowError {
    /// The table cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Reading or writing failed.
    #[error(transparent)]
    Block(#[from] forger_block::Error),
    /// There is neither a GPT nor an MBR.
    #[error("the disk has no partition table")]
    NoTable,
    /// The disk would become shorter, or is no multiple of its sectors.
    #[error("a disk of {now} bytes with sectors of {sector} cannot have {size}")]
    Size {
        /// What was asked for, in bytes.
        size: u64,
        /// What it has, in bytes.
        now: u64,
        /// Size of a sector, in bytes.
        sector: u64,
    },
    /// There is no such partition.
    #[error("there is no partition {number}")]
    NoPartition {
        /// Its number.
        number: u32,
    },
    /// The partition would reach into another one, or beyond the end.
    #[error("partition {number} can end at byte {most} at most, not at {end}")]
    NoRoom {
        /// Its number.
        number: u32,
        /// Where it should end, in bytes.
        end: u64,
        /// Where it can, in bytes.
        most: u64,
    },
}

/// What a table must become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Length of the disk, in bytes: at least what it is.
    pub size: u64,
    /// A partition and where it shall end, in bytes; rounded up to a sector.
    pub end: Option<(u32, u64)>,
}

/// Returns how many bytes the backup of a disk's GPT takes at its end; 0 where it has none.
///
/// # Errors
/// [`GrowError::Read`].
pub fn backup_len(disk: &dyn BlockRead) -> Result<u64, GrowError> {
    let Some(copy) = gpt_read::good_copy(disk)? else {
        return Ok(0);
    };
    let array = up(copy.entries.len() as u64, copy.sector);
    Ok(array + copy.sector)
}

/// Decides how the GPT or MBR of a disk grows; nothing is written.
///
/// The disk may have its new length already, with the backup where its end was. Everything that is
/// not about lengths stays: GUIDs, names, attributes, how many entries there are and how long they are.
///
/// # Errors
/// [`GrowError::NoTable`], [`GrowError::Size`], [`GrowError::NoPartition`], [`GrowError::NoRoom`].
pub fn grow(disk: &dyn BlockRead, wanted: Wanted) -> Result<Growth, GrowError> {
    let Some(copy) = gpt_read::good_copy(disk)? else {
        let steps = mbr_grow::grow(disk, wanted)?.ok_or(GrowError::NoTable)?;
        return Ok(Growth { steps, old: None });
    };
    let sector = copy.sector;
    let size = wanted.size;
    if size < disk.len() || !size.is_multiple_of(sector) {
        let now = disk.len();
        return Err(GrowError::Size { size, now, sector });
    }
    let array = up(copy.entries.len() as u64, sector) / sector;
    let last = size / sector - 1;
    let backup_entries = last - array;
    let mut entries = copy.entries.clone();
    if let Some(end) = wanted.end {
        move_end(&mut entries, &copy, end, backup_entries)?;
    }
    let header = |my: u64, alternate: u64, entries_lba: u64| {
        let mut raw = copy.raw.clone();
        raw.my_lba = my.into();
        raw.alternate_lba = alternate.into();
        raw.partition_entry_lba = entries_lba.into();
        raw.last_usable_lba = (backup_entries - 1).into();
        raw.partition_entry_array_crc32 = crc32(&entries).into();
        raw.header_size = narrow(super::gpt::HEADER_LEN).into();
        Bytes::copy_from_slice(&raw.seal())
    };
    let entries_at = |lba: u64| (lba * sector, Bytes::copy_from_slice(&entries));
    let primary_entries = copy.primary_entries;
    let mut steps = vec![
        vec![
            entries_at(backup_entries),
            (last * sector, header(last, 1, backup_entries)),
        ],
        vec![
            entries_at(primary_entries),
            (sector, header(1, last, primary_entries)),
        ],
    ];
    if let Some(record) = mbr::protect(disk, size / sector)? {
        steps.push(vec![(0, record)]);
    }
    Ok(Growth {
        steps,
        old: old_backup(&copy, backup_entries),
    })
}

/// Returns what is left of the old backup in front of the new one.
fn old_backup(copy: &gpt_read::Good, new: u64) -> Option<(u64, u64)> {
    let (start, end) = copy.backup?;
    let end = end.min(new);
    (start < end).then(|| (start * copy.sector, (end - start) * copy.sector))
}

/// Moves the end of a partition.
fn move_end(
    entries: &mut [u8],
    copy: &gpt_read::Good,
    (number, end): (u32, u64),
    limit: u64,
) -> Result<(), GrowError> {
    let index = usize::try_from(number).unwrap_or(0).wrapping_sub(1);
    let none = || GrowError::NoPartition { number };
    let known = copy.table.partitions.iter();
    let part = known.clone().find(|part| part.number == number);
    let part = part.ok_or_else(none)?;
    let behind = known
        .filter(|other| other.start > part.start)
        .map(|other| other.start);
    let most = behind.min().unwrap_or(u64::MAX).min(limit * copy.sector);
    let end = up(end, copy.sector);
    if end > most || end <= part.start {
        return Err(GrowError::NoRoom { number, end, most });
    }
    let bytes = entries.chunks_exact_mut(copy.entry_len).nth(index);
    let bytes = bytes.ok_or_else(none)?;
    let (mut entry, _) = RawEntry::read_from_prefix(bytes).map_err(|_| none())?;
    entry.ending_lba = (end / copy.sector - 1).into();
    bytes[..super::gpt::ENTRY_LEN].copy_from_slice(entry.as_bytes());
    Ok(())
}

impl Growth {
    /// Changes the table of a disk, which has its new length already.
    ///
    /// # Errors
    /// Those of the store; one copy of the table is whole then.
    pub fn apply(&self, disk: &dyn BlockStore) -> forger_block::Result<()> {
        for step in &self.steps {
            for (offset, bytes) in step {
                disk.write_at(*offset, bytes)?;
            }
            disk.sync()?;
        }
        if let Some((offset, len)) = self.old {
            disk.erase(offset, len)?;
            disk.sync()?;
        }
        Ok(())
    }
}

fn up(value: u64, unit: u64) -> u64 {
    value.checked_next_multiple_of(unit).unwrap_or(u64::MAX)
}

fn narrow(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}
