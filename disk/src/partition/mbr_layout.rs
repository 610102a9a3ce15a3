//! From what a disk shall be to a master boot record.
//!
//! ```text
//! 0          record: four entries, or three and the extended partition that holds all others
//! 1 MiB      primary partitions
//! ...        extended: an own record, 1 MiB before each logical partition; the logical partitions
//! ```
//!
//! There is no copy at the end.

use std::ops::Range;

use forger_block::{Bytes, SparseImage};
use zerocopy::IntoBytes;

use super::layout::{Label, Layout, Part, Planned, check_overlap, number, up};
use super::mbr::{RawEntry, RawMbr};
use super::{ATTRIBUTE_LEGACY_BOOT, Kind, LayoutError, Partition, Scheme, Table};
use crate::Guid;

/// How many entries a record has.
const ENTRIES: usize = 4;

/// Type of an extended partition, for disks of any size.
const EXTENDED: u8 = 0x0f;

/// Nobody reads cylinders, heads and sectors any more: the values that say so.
const NO_CHS: [u8; 3] = [0xfe, 0xff, 0xff];

/// The partitions where they stand, and what describes them.
struct Records {
    /// As reading the table gives them.
    partitions: Vec<Partition>,
    /// The extended partition, in bytes.
    extended: Option<Range<u64>>,
    /// Where each logical partition has its record, in bytes.
    places: Vec<u64>,
}

impl Layout {
    /// Returns how many partitions are primary.
    pub(super) fn primaries(&self) -> usize {
        let most = match self.parts.len() {
            len @ ..=ENTRIES => len,
            _ => ENTRIES - 1,
        };
        match self.label {
            Label::Mbr {
                primaries: Some(primaries),
                ..
            } => primaries.min(self.parts.len()),
            _ => most,
        }
    }

    /// Decides where everything stands on a disk with a master boot record.
    pub(super) fn plan_mbr(
        &self,
        signature: Option<u32>,
        lens: &[u64],
    ) -> Result<Planned, LayoutError> {
        self.check_mbr()?;
        let records = self.records(lens)?;
        let ends = records.partitions.iter().map(Partition::end);
        let end = ends.max().unwrap_or(self.first());
        let size = self.size_for(end)?;
        let derived = || {
            let digits = Guid::derived(&self.seed, "disk signature").to_bytes();
            // Zero is none.
            u32::from_be_bytes([digits[0], digits[1], digits[2], digits[3]]).max(1)
        };
        let signature = signature.unwrap_or_else(derived);
        let table = Table {
            scheme: Scheme::Mbr(signature),
            sector_size: self.sector_size,
            partitions: records.partitions.clone(),
            notes: Vec::new(),
        };
        let mut image = SparseImage::builder();
        for (at, record) in self.mbr_records(&records, signature)? {
            image.bytes(at, Bytes::copy_from_slice(record.as_bytes()))?;
        }
        self.add_contents(&table, &mut image)?;
        let image = image.finish(size)?;
        Ok(Planned { table, image })
    }

    /// Refuses what a master boot record cannot say.
    fn check_mbr(&self) -> Result<(), LayoutError> {
        let wrong = |number, reason| Err(LayoutError::Mbr { number, reason });
        if self.primaries()
            > if self.has_logical() {
                ENTRIES - 1
            } else {
                ENTRIES
            }
        {
            return wrong(
                number(ENTRIES),
                "a record has four entries, the extended one's among them",
            );
        }
        for (index, part) in self.parts.iter().enumerate() {
            let number = self.mbr_number(index);
            if part.guid.is_some() {
                return wrong(number, "it has no GUID there");
            }
            if part.attributes & !ATTRIBUTE_LEGACY_BOOT != 0 {
                return wrong(
                    number,
                    "it has no attributes there but the one of the active partition",
                );
            }
            if self.byte(part) == 0 {
                return wrong(number, "type 0 marks an entry that is not used");
            }
        }
        let active = self.parts.iter().filter(|part| part.attributes != 0);
        if active.count() > 1 {
            return wrong(0, "one partition is the active one");
        }
        match self.hybrid.is_empty() && self.guid.is_none() {
            true => Ok(()),
            false => wrong(0, "a GUID of the disk and a hybrid record belong to a GPT"),
        }
    }

    fn has_logical(&self) -> bool {
        self.primaries() < self.parts.len()
    }

    /// Returns the number that a partition gets: logical ones count from 5.
    fn mbr_number(&self, index: usize) -> u32 {
        match index.checked_sub(self.primaries()) {
            None => number(index),
            Some(logical) => number(ENTRIES + logical),
        }
    }

    fn byte(&self, part: &Part) -> u8 {
        part.byte.unwrap_or_else(|| Kind::Gpt(part.kind).byte())
    }

    /// Places the partitions, and the records of logical ones before them.
    fn records(&self, lens: &[u64]) -> Result<Records, LayoutError> {
        let mut at = self.first();
        let mut partitions = Vec::with_capacity(self.parts.len() + 1);
        let mut places = Vec::new();
        let mut logical = Vec::new();
        for (index, (part, len)) in self.parts.iter().zip(lens).enumerate() {
            let number = self.mbr_number(index);
            let is_logical = index >= self.primaries();
            let start = self.mbr_start(number, part, at, is_logical)?;
            part.check(number, *len)?;
            let partition = Partition {
                number,
                start,
                len: *len,
                kind: Kind::Mbr(self.byte(part)),
                guid: None,
                name: String::new(),
                attributes: part.attributes,
            };
            if is_logical {
                // As far before it as alignment has it, unless something stands there.
                places.push(start.saturating_sub(self.align).max(at));
                logical.push(partition);
            } else {
                partitions.push(partition);
            }
            at = match part.start {
                Some(_) => start.saturating_add(*len),
                None => up(start.saturating_add(*len), self.align),
            };
        }
        let end = logical.iter().map(Partition::end).max();
        let extended = places
            .first()
            .copied()
            .zip(end)
            .map(|(first, end)| first..end);
        if let Some(extended) = &extended {
            partitions.push(Partition {
                number: number(self.primaries()),
                start: extended.start,
                len: extended.end.saturating_sub(extended.start),
                kind: Kind::Mbr(EXTENDED),
                guid: None,
                name: String::new(),
                attributes: 0,
            });
        }
        check_overlap(&partitions)?;
        check_overlap(&logical)?;
        partitions.extend(logical);
        Ok(Records {
            partitions,
            extended,
            places,
        })
    }

    /// Returns where a partition starts that stands behind what ends at `at`.
    fn mbr_start(
        &self,
        number: u32,
        part: &Part,
        at: u64,
        is_logical: bool,
    ) -> Result<u64, LayoutError> {
        let before = if is_logical { self.sector_size } else { 0 };
        let Some(start) = part.start else {
            return Ok(up(at.saturating_add(before), self.align));
        };
        // Logical ones come in ascending order, each with a sector before it.
        let first = match is_logical {
            true => at.saturating_add(before),
            false => self.sector_size,
        };
        match start >= first && start.is_multiple_of(self.sector_size) {
            true => Ok(start),
            false => Err(LayoutError::Start {
                number,
                start,
                first,
                sector: self.sector_size,
            }),
        }
    }

    /// Makes the record of the disk and those of the logical partitions, each with its place.
    fn mbr_records(
        &self,
        records: &Records,
        signature: u32,
    ) -> Result<Vec<(u64, RawMbr)>, LayoutError> {
        let logical = |partition: &&Partition| partition.number > number(ENTRIES - 1);
        let primary: Vec<&Partition> = records
            .partitions
            .iter()
            .filter(|partition| !logical(partition))
            .collect();
        let mut disk = RawMbr::empty();
        disk.disk_signature = signature.into();
        for (entry, partition) in disk.entries.iter_mut().zip(&primary) {
            *entry = self.entry(partition, 0)?;
        }
        let mut made = vec![(0, disk)];
        let Some(extended) = &records.extended else {
            return Ok(made);
        };
        let partitions: Vec<&Partition> = records.partitions.iter().filter(logical).collect();
        for (index, (place, partition)) in records.places.iter().zip(&partitions).enumerate() {
            let mut record = RawMbr::empty();
            let [first, second, ..] = &mut record.entries;
            *first = self.entry(partition, *place)?;
            if let (Some(next), Some(following)) =
                (records.places.get(index + 1), partitions.get(index + 1))
            {
                let link = Partition {
                    start: *next,
                    len: following.end() - next,
                    kind: Kind::Mbr(0x05),
                    attributes: 0,
                    ..(*partition).clone()
                };
                *second = self.entry(&link, extended.start)?;
            }
            made.push((*place, record));
        }
        Ok(made)
    }

    /// Makes the entry of a partition, relative to `base`, in bytes.
    fn entry(&self, partition: &Partition, base: u64) -> Result<RawEntry, LayoutError> {
        let sector = |bytes: u64| u32::try_from(bytes / self.sector_size).ok();
        // The last sector as well: readers add them up in 32 bits.
        let (Some(_), Some(first), Some(count)) = (
            sector(partition.end()),
            sector(partition.start - base),
            sector(partition.len),
        ) else {
            return Err(LayoutError::Mbr {
                number: partition.number,
                reason: "it lies beyond 2^32 sectors",
            });
        };
        Ok(RawEntry {
            status: match partition.attributes & ATTRIBUTE_LEGACY_BOOT {
                0 => 0,
                _ => 0x80,
            },
            first_chs: NO_CHS,
            kind: partition.kind.byte(),
            last_chs: NO_CHS,
            first_lba: first.into(),
            sectors: count.into(),
        })
    }
}
