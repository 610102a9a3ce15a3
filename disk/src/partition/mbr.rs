//! The master boot record, and the chain of extended ones.
//!
//! ```text
//! 0x000  boot code
//! 0x1b8  disk signature
//! 0x1be  four entries of 16 bytes: status, CHS, type, CHS, first sector, number of sectors
//! 0x1fe  55 aa
//! ```
//!
//! An extended partition holds a chain of records. In each, the first entry is a logical partition,
//! relative to the record, and the second the next record, relative to the extended partition.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

use std::collections::BTreeSet;

use forger_block::{BlockRead, Bytes};
use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::{ATTRIBUTE_LEGACY_BOOT, Kind, Partition, ReadError, Scheme, Table, check_overlap};

/// Length of the record, in bytes, whatever the sectors' size.
const LEN: usize = 512;

/// What the record ends with.
const SIGNATURE: u16 = 0xaa55;

/// The type of a partition that stands for a GPT.
const PROTECTIVE: u8 = 0xee;

/// More logical partitions than anybody makes.
const MAX_LOGICAL: usize = 256;

/// A master boot record.
#[derive(Clone, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct RawMbr {
    /// 0x000
    pub(super) boot_code: [u8; 440],
    /// 0x1b8
    pub(super) disk_signature: U32,
    /// 0x1bc
    pub(super) reserved: U16,
    /// 0x1be
    pub(super) entries: [RawEntry; 4],
    /// 0x1fe
    pub(super) signature: U16,
}

const _: () = assert!(size_of::<RawMbr>() == LEN);

/// An entry of a master boot record.
#[derive(Clone, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct RawEntry {
    /// 0x00: 0x80 for the active one, else 0.
    pub(super) status: u8,
    /// 0x01: cylinder, head and sector, which nobody reads any more.
    pub(super) first_chs: [u8; 3],
    /// 0x04: 0 for an entry that is not used.
    pub(super) kind: u8,
    /// 0x05
    pub(super) last_chs: [u8; 3],
    /// 0x08
    pub(super) first_lba: U32,
    /// 0x0c
    pub(super) sectors: U32,
}

impl RawMbr {
    /// Makes the record that protects the GPT of a disk.
    pub(super) fn protective(sectors: u64) -> Self {
        let rest = sectors.saturating_sub(1);
        let entry = RawEntry {
            status: 0,
            first_chs: [0, 2, 0],
            kind: PROTECTIVE,
            last_chs: [0xff, 0xff, 0xff],
            first_lba: 1.into(),
            sectors: u32::try_from(rest).unwrap_or(u32::MAX).into(),
        };
        let mut mbr = Self::empty();
        if let Some(first) = mbr.entries.first_mut() {
            *first = entry;
        }
        mbr
    }

    /// Makes a record that describes nothing.
    pub(super) fn empty() -> Self {
        let mut mbr: Self = zerocopy::transmute!([0_u8; LEN]);
        mbr.signature = SIGNATURE.into();
        mbr
    }

    /// Reads a record, if one stands there.
    pub(super) fn read(disk: &dyn BlockRead, at: u64) -> forger_block::Result<Option<Self>> {
        let inside = at.checked_add(512).is_some_and(|end| end <= disk.len());
        if !inside {
            return Ok(None);
        }
        let mut bytes = [0; LEN];
        disk.read_at(at, &mut bytes)?;
        let mbr: Self = zerocopy::transmute!(bytes);
        Ok((mbr.signature.get() == SIGNATURE).then_some(mbr))
    }

    /// Tells whether the entries can be ones; a boot sector of a filesystem ends the same way.
    fn is_plausible(&self) -> bool {
        let used = || self.entries.iter().filter(|entry| entry.kind != 0);
        let possible = |entry: &RawEntry| {
            matches!(entry.status, 0 | 0x80)
                && entry.first_lba.get() != 0
                && entry.sectors.get() != 0
        };
        used().count() > 0 && used().all(possible) && !self.is_filesystem()
    }

    /// Tells whether it is the boot sector of a FAT or NTFS filesystem.
    fn is_filesystem(&self) -> bool {
        let has = |at: usize, text: &[u8]| {
            self.boot_code
                .get(at..)
                .is_some_and(|rest| rest.starts_with(text))
        };
        has(54, b"FAT1") || has(82, b"FAT32") || has(3, b"NTFS") || has(3, b"EXFAT")
    }
}

/// How an MBR protects a GPT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protection {
    /// Not at all.
    None,
    /// With nothing beside.
    Alone,
    /// With so many other partitions.
    Beside(usize),
}

/// Tells how the MBR of a disk protects a GPT.
pub(super) fn protection(disk: &dyn BlockRead) -> forger_block::Result<Protection> {
    let Some(mbr) = RawMbr::read(disk, 0)? else {
        return Ok(Protection::None);
    };
    let count = |protective: bool| {
        mbr.entries
            .iter()
            .filter(|entry| entry.kind != 0 && (entry.kind == PROTECTIVE) == protective)
            .count()
    };
    Ok(match (count(true), count(false)) {
        (0, _) => Protection::None,
        (_, 0) => Protection::Alone,
        (_, others) => Protection::Beside(others),
    })
}

/// Returns the record of a disk that becomes `sectors` long, where it protects a GPT and nothing else.
pub(super) fn protect(disk: &dyn BlockRead, sectors: u64) -> forger_block::Result<Option<Bytes>> {
    let Some(mut mbr) = RawMbr::read(disk, 0)? else {
        return Ok(None);
    };
    if protection(disk)? != Protection::Alone {
        return Ok(None);
    }
    let whole = RawMbr::protective(sectors)
        .entries
        .map(|entry| entry.sectors);
    for entry in mbr
        .entries
        .iter_mut()
        .filter(|entry| entry.kind == PROTECTIVE)
    {
        if entry.first_lba.get() == 1 {
            entry.sectors = whole.first().copied().unwrap_or(entry.sectors);
        }
    }
    Ok(Some(Bytes::copy_from_slice(mbr.as_bytes())))
}

/// Tells whether nothing but a GPT can be on the disk.
pub(super) fn is_protective(disk: &dyn BlockRead) -> forger_block::Result<bool> {
    Ok(protection(disk)? == Protection::Alone)
}

/// Reads the table of a disk whose sectors have `size` bytes.
pub(super) fn read(disk: &dyn BlockRead, size: u64) -> Result<Option<Table>, ReadError> {
    let Some(mbr) = RawMbr::read(disk, 0)?.filter(RawMbr::is_plausible) else {
        return Ok(None);
    };
    let sectors = disk.len().checked_div(size).unwrap_or(0);
    let mut partitions = Vec::new();
    let mut extended = None;
    for (number, entry) in (1..).zip(&mbr.entries) {
        if entry.kind == 0 {
            continue;
        }
        let partition = entry.partition(number, 0, sectors, size)?;
        if entry.is_extended() && extended.is_none() {
            extended = Some(u64::from(entry.first_lba.get())..entry.end(0));
        }
        partitions.push(partition);
    }
    check_overlap(&partitions)?;
    if let Some(extended) = extended {
        let chain = Chain {
            disk,
            size,
            extended,
        };
        let logical = chain.read()?;
        check_overlap(&logical)?;
        partitions.extend(logical);
    }
    Ok(Some(Table {
        scheme: Scheme::Mbr(mbr.disk_signature.get()),
        sector_size: size,
        partitions,
        notes: Vec::new(),
    }))
}

impl RawEntry {
    /// Tells whether it is that of an extended partition, or of the next record in one.
    pub(super) fn is_extended(&self) -> bool {
        matches!(self.kind, 0x05 | 0x0f | 0x85)
    }

    /// Returns the sector behind the last one; the first is relative to `base`.
    pub(super) fn end(&self, base: u64) -> u64 {
        base.saturating_add(self.first_lba.get().into())
            .saturating_add(self.sectors.get().into())
    }

    /// Checks the entry; its first sector is relative to `base`.
    fn partition(
        &self,
        number: u32,
        base: u64,
        sectors: u64,
        size: u64,
    ) -> Result<Partition, ReadError> {
        let start = base.saturating_add(self.first_lba.get().into());
        let end = self.end(base);
        if end > sectors {
            return Err(ReadError::Outside {
                number,
                start,
                end: end.saturating_sub(1),
                what: "the disk",
            });
        }
        Ok(Partition {
            number,
            start: start.saturating_mul(size),
            len: u64::from(self.sectors.get()).saturating_mul(size),
            kind: Kind::Mbr(self.kind),
            guid: None,
            name: String::new(),
            attributes: if self.status == 0x80 {
                ATTRIBUTE_LEGACY_BOOT
            } else {
                0
            },
        })
    }
}

/// The chain of records in an extended partition.
pub(super) struct Chain<'a> {
    pub(super) disk: &'a dyn BlockRead,
    /// Of a sector, in bytes.
    pub(super) size: u64,
    /// The extended partition's sectors.
    pub(super) extended: std::ops::Range<u64>,
}

impl Chain<'_> {
    /// Reads the logical partitions.
    fn read(&self) -> Result<Vec<Partition>, ReadError> {
        let mut logical = Vec::new();
        for (sector, record) in self.records()? {
            let [first, ..] = &record.entries;
            if first.kind != 0 && first.sectors.get() != 0 && !first.is_extended() {
                let number = u32::try_from(logical.len()).unwrap_or(u32::MAX);
                let number = number.saturating_add(5);
                logical.push(first.partition(number, sector, self.extended.end, self.size)?);
            }
        }
        Ok(logical)
    }

    /// Reads the records, each with its sector.
    pub(super) fn records(&self) -> Result<Vec<(u64, RawMbr)>, ReadError> {
        let mut records = Vec::new();
        let mut seen = BTreeSet::new();
        let mut next = Some(self.extended.start);
        while let Some(sector) = next {
            let fail = |problem| ReadError::Chain { sector, problem };
            if !self.extended.contains(&sector) {
                return Err(fail("lies outside the extended partition"));
            }
            if !seen.insert(sector) {
                return Err(fail("is part of a loop"));
            }
            if seen.len() > MAX_LOGICAL {
                return Err(fail("follows 256 others"));
            }
            let at = sector.saturating_mul(self.size);
            let Some(record) = RawMbr::read(self.disk, at)? else {
                // An extended partition without any logical one may never have been written.
                if records.is_empty() {
                    break;
                }
                return Err(fail("has no signature"));
            };
            let [_, second, ..] = &record.entries;
            next = (second.is_extended() && second.first_lba.get() != 0).then(|| {
                self.extended
                    .start
                    .saturating_add(second.first_lba.get().into())
            });
            records.push((sector, record));
        }
        Ok(records)
    }
}
