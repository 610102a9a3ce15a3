//! The structures of a GUID partition table.
//!
//! UEFI specification 2.10, section 5.3. All numbers are little-endian.
//!
//! ```text
//! sector 0                 protective MBR
//! sector 1                 primary header
//! sector 2 ...             primary entries, 128 of 128 bytes as a rule
//! first_usable_lba ...     partitions
//! last_usable_lba + 1 ...  backup entries
//! last sector              backup header
//! ```
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::Guid;

/// What a header begins with.
pub(super) const SIGNATURE: [u8; 8] = *b"EFI PART";

/// Version 1.0, the only one.
pub(super) const REVISION: u32 = 0x0001_0000;

/// Length of a header's fields, in bytes.
pub(super) const HEADER_LEN: usize = 92;

/// Length of an entry as everybody writes it, in bytes.
pub(super) const ENTRY_LEN: usize = 128;

/// The largest entry that is read, in bytes.
const MAX_ENTRY_LEN: u32 = 4096;

/// The largest array of entries that is read, in bytes: 32768 common ones.
const MAX_ARRAY_LEN: u64 = 4 << 20;

/// The header of a table.
#[derive(Clone, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct RawHeader {
    /// 0x00
    pub(super) signature: [u8; 8],
    /// 0x08
    pub(super) revision: U32,
    /// 0x0c: length of the header, 92 as a rule.
    pub(super) header_size: U32,
    /// 0x10: over the header, with this field as zero.
    pub(super) header_crc32: U32,
    /// 0x14
    pub(super) reserved: U32,
    /// 0x18: where this header stands.
    pub(super) my_lba: U64,
    /// 0x20: where the other header stands.
    pub(super) alternate_lba: U64,
    /// 0x28
    pub(super) first_usable_lba: U64,
    /// 0x30
    pub(super) last_usable_lba: U64,
    /// 0x38
    pub(super) disk_guid: [u8; 16],
    /// 0x48
    pub(super) partition_entry_lba: U64,
    /// 0x50
    pub(super) number_of_partition_entries: U32,
    /// 0x54
    pub(super) size_of_partition_entry: U32,
    /// 0x58
    pub(super) partition_entry_array_crc32: U32,
}

const _: () = assert!(size_of::<RawHeader>() == HEADER_LEN);

/// An entry of a table.
#[derive(Clone, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct RawEntry {
    /// 0x00: zeros for an entry that is not used.
    pub(super) partition_type_guid: [u8; 16],
    /// 0x10
    pub(super) unique_partition_guid: [u8; 16],
    /// 0x20
    pub(super) starting_lba: U64,
    /// 0x28: inclusive.
    pub(super) ending_lba: U64,
    /// 0x30
    pub(super) attributes: U64,
    /// 0x38: UTF-16, filled up with zeros.
    pub(super) partition_name: [U16; 36],
}

const _: () = assert!(size_of::<RawEntry>() == ENTRY_LEN);

impl RawHeader {
    /// Returns the header's bytes with their checksum.
    pub(super) fn seal(mut self) -> [u8; HEADER_LEN] {
        self.header_crc32 = 0.into();
        self.header_crc32 = crc32(self.as_bytes()).into();
        zerocopy::transmute!(self)
    }
}

impl RawEntry {
    /// Returns the name; what is no UTF-16 becomes a replacement character.
    pub(super) fn name(&self) -> String {
        let units = self.partition_name.iter().map(|unit| unit.get());
        char::decode_utf16(units.take_while(|unit| *unit != 0))
            .map(|letter| letter.unwrap_or(char::REPLACEMENT_CHARACTER))
            .collect()
    }
}

/// A header that has been checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) my_lba: u64,
    pub(super) alternate_lba: u64,
    pub(super) first_usable_lba: u64,
    pub(super) last_usable_lba: u64,
    pub(super) disk_guid: Guid,
    /// Where the entries stand, in sectors.
    pub(super) entries_lba: u64,
    /// How long they are together, in bytes.
    pub(super) entries_len: usize,
    /// How long one is, in bytes.
    pub(super) entry_len: usize,
    pub(super) entries_crc32: u32,
}

/// What is wrong with one of the two copies of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CopyDamage {
    /// No header stands where one should.
    #[error("there is no header in sector {lba}")]
    Missing {
        /// Where it was looked for.
        lba: u64,
    },
    /// The header's length is impossible.
    #[error("the header has a length of {len}")]
    HeaderSize {
        /// What it says, in bytes.
        len: u32,
    },
    /// The header's checksum is wrong.
    #[error("the header's checksum is wrong")]
    HeaderSum,
    /// The header is of another version.
    #[error("the header has revision 0x{revision:08x}")]
    Revision {
        /// What it says.
        revision: u32,
    },
    /// The header says that it stands elsewhere.
    #[error("the header in sector {lba} says that it stands in sector {says}")]
    Place {
        /// Where it stands.
        lba: u64,
        /// Where it says it does.
        says: u64,
    },
    /// The usable sectors are impossible.
    #[error("the usable sectors are {first} to {last}, of {sectors}")]
    Usable {
        /// The first.
        first: u64,
        /// The last.
        last: u64,
        /// How many the disk has.
        sectors: u64,
    },
    /// Entries have an impossible size or number.
    #[error("there are {count} entries of {len} bytes")]
    Entries {
        /// How many.
        count: u32,
        /// How long one is, in bytes.
        len: u32,
    },
    /// The entries stand where they cannot.
    #[error("the entries stand in sector {lba}")]
    EntriesPlace {
        /// Where they should be.
        lba: u64,
    },
    /// The entries' checksum is wrong.
    #[error("the entries' checksum is wrong")]
    EntriesSum,
}

impl Header {
    /// Checks the header in a sector; the disk has `sectors` of them.
    pub(super) fn parse(sector: &[u8], lba: u64, sectors: u64) -> Result<Self, CopyDamage> {
        let missing = CopyDamage::Missing { lba };
        let (raw, _) = RawHeader::read_from_prefix(sector).map_err(|_| missing)?;
        if raw.signature != SIGNATURE {
            return Err(missing);
        }
        verify(&raw, sector)?;
        if raw.revision.get() != REVISION {
            let revision = raw.revision.get();
            return Err(CopyDamage::Revision { revision });
        }
        let says = raw.my_lba.get();
        if says != lba {
            return Err(CopyDamage::Place { lba, says });
        }
        let (first, last) = (raw.first_usable_lba.get(), raw.last_usable_lba.get());
        if first < 2 || last >= sectors || first > last.saturating_add(1) {
            return Err(CopyDamage::Usable {
                first,
                last,
                sectors,
            });
        }
        let (entry_len, entries_len) = array(&raw)?;
        let header = Self {
            my_lba: lba,
            alternate_lba: raw.alternate_lba.get(),
            first_usable_lba: first,
            last_usable_lba: last,
            disk_guid: Guid::from_disk(raw.disk_guid),
            entries_lba: raw.partition_entry_lba.get(),
            entries_len,
            entry_len,
            entries_crc32: raw.partition_entry_array_crc32.get(),
        };
        header.check_entries_place(sector.len(), sectors)?;
        Ok(header)
    }

    /// Checks that the entries stand apart from header and partitions.
    fn check_entries_place(&self, sector_size: usize, sectors: u64) -> Result<(), CopyDamage> {
        let lba = self.entries_lba;
        let wrong = CopyDamage::EntriesPlace { lba };
        let count = u64::try_from(self.entries_len.div_ceil(sector_size.max(1)));
        let end = count
            .ok()
            .and_then(|count| lba.checked_add(count))
            .ok_or(wrong)?;
        let before = end <= self.first_usable_lba;
        let behind = lba > self.last_usable_lba;
        let over_header = (lba..end).contains(&self.my_lba);
        if lba < 2 || end > sectors || !(before || behind) || over_header {
            return Err(wrong);
        }
        Ok(())
    }
}

/// Checks a header's length and checksum.
fn verify(raw: &RawHeader, sector: &[u8]) -> Result<(), CopyDamage> {
    let len = raw.header_size.get();
    let whole = usize::try_from(len)
        .ok()
        .filter(|len| *len >= HEADER_LEN)
        .and_then(|len| sector.get(..len))
        .ok_or(CopyDamage::HeaderSize { len })?;
    let mut unsealed = raw.clone();
    unsealed.header_crc32 = 0.into();
    let mut sum = flate2::Crc::new();
    sum.update(unsealed.as_bytes());
    sum.update(whole.get(HEADER_LEN..).unwrap_or_default());
    if sum.sum() != raw.header_crc32.get() {
        return Err(CopyDamage::HeaderSum);
    }
    Ok(())
}

/// Returns the length of an entry and of all, in bytes.
fn array(raw: &RawHeader) -> Result<(usize, usize), CopyDamage> {
    let (count, len) = (
        raw.number_of_partition_entries.get(),
        raw.size_of_partition_entry.get(),
    );
    let wrong = CopyDamage::Entries { count, len };
    let all = u64::from(count).saturating_mul(len.into());
    let possible = (128..=MAX_ENTRY_LEN).contains(&len) && len.is_power_of_two();
    if !possible || count == 0 || all > MAX_ARRAY_LEN {
        return Err(wrong);
    }
    match (usize::try_from(len), usize::try_from(all)) {
        (Ok(len), Ok(all)) => Ok((len, all)),
        _ => Err(wrong),
    }
}

/// Returns the checksum that headers and entries have.
pub(super) fn crc32(bytes: &[u8]) -> u32 {
    let mut sum = flate2::Crc::new();
    sum.update(bytes);
    sum.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksum_is_that_of_the_standard() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }
}
