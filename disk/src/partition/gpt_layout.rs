//! From what a disk shall be to a GUID partition table.

use std::collections::BTreeSet;

use forger_block::{Bytes, SparseImage};
use zerocopy::IntoBytes;
use zerocopy::little_endian::U16;

use super::gpt::{ENTRY_LEN, HEADER_LEN, REVISION, RawEntry, RawHeader, SIGNATURE, crc32};
use super::layout::{ENTRIES, Layout, Part, Planned, check_overlap, narrow, number, up};
use super::{Kind, LayoutError, Note, Partition, Scheme, Table, hybrid};
use crate::Guid;

impl Layout {
    /// Decides where everything stands on a disk with a GPT.
    pub(super) fn plan_gpt(&self, lens: &[u64]) -> Result<Planned, LayoutError> {
        let mut partitions = Vec::with_capacity(self.parts.len());
        let mut at = self.first();
        for (part, len) in self.parts.iter().zip(lens) {
            let number = number(partitions.len());
            if let Some(start) = part.start {
                self.check_start(number, start)?;
                at = start;
            }
            part.check(number, *len)?;
            partitions.push(self.partition(number, part, at, *len)?);
            at = up(at.saturating_add(*len), self.align);
        }
        check_overlap(&partitions)?;
        let ends = partitions.iter().map(Partition::end);
        let size = self.size_for(ends.max().unwrap_or(self.first()))?;
        let guid = self
            .guid
            .unwrap_or_else(|| Guid::derived(&self.seed, "disk"));
        let table = Table {
            scheme: Scheme::Gpt(guid),
            sector_size: self.sector_size,
            partitions,
            notes: match self.hybrid.len() {
                0 => Vec::new(),
                partitions => vec![Note::Hybrid { partitions }],
            },
        };
        check_twice(&table, guid)?;
        let image = self.image(&table, guid, size)?;
        Ok(Planned { table, image })
    }

    /// Checks the place of a partition that has one.
    fn check_start(&self, number: u32, start: u64) -> Result<(), LayoutError> {
        let first = 2 * self.sector_size + self.array();
        if start >= first && start.is_multiple_of(self.sector_size) {
            return Ok(());
        }
        Err(LayoutError::Start {
            number,
            start,
            first,
            sector: self.sector_size,
        })
    }

    fn partition(
        &self,
        number: u32,
        part: &Part,
        start: u64,
        len: u64,
    ) -> Result<Partition, LayoutError> {
        let units = part.name.encode_utf16().count();
        if units > 36 || part.name.contains('\0') {
            return Err(LayoutError::Name {
                number,
                name: part.name.clone(),
                units,
            });
        }
        let purpose = format!("partition {number} {} {}", part.kind, part.name);
        let derived = || Guid::derived(&self.seed, &purpose);
        Ok(Partition {
            number,
            start,
            len,
            kind: Kind::Gpt(part.kind),
            guid: Some(part.guid.unwrap_or_else(derived)),
            name: part.name.clone(),
            attributes: part.attributes,
        })
    }

    fn image(&self, table: &Table, guid: Guid, size: u64) -> Result<SparseImage, LayoutError> {
        let sector = self.sector_size;
        let last = size / sector - 1;
        let array = self.array();
        let entries = entries(table, array);
        let primary = Copy {
            my_lba: 1,
            alternate_lba: last,
            entry_lba: 2,
        };
        let backup = Copy {
            my_lba: last,
            alternate_lba: 1,
            entry_lba: last - array / sector,
        };
        let usable = 2 + array / sector..=backup.entry_lba - 1;
        let header = |copy: Copy| {
            let raw = RawHeader {
                signature: SIGNATURE,
                revision: REVISION.into(),
                header_size: narrow(HEADER_LEN).into(),
                header_crc32: 0.into(),
                reserved: 0.into(),
                my_lba: copy.my_lba.into(),
                alternate_lba: copy.alternate_lba.into(),
                first_usable_lba: (*usable.start()).into(),
                last_usable_lba: (*usable.end()).into(),
                disk_guid: guid.to_disk(),
                partition_entry_lba: copy.entry_lba.into(),
                number_of_partition_entries: narrow(ENTRIES).into(),
                size_of_partition_entry: narrow(ENTRY_LEN).into(),
                partition_entry_array_crc32: crc32(&entries[..ENTRIES * ENTRY_LEN]).into(),
            };
            Bytes::copy_from_slice(&raw.seal())
        };
        let mut image = SparseImage::builder();
        let mbr = hybrid::record(table, &self.hybrid, size / sector)?;
        image.bytes(0, Bytes::copy_from_slice(mbr.as_bytes()))?;
        let entries = Bytes::copy_from_slice(&entries);
        for copy in [primary, backup] {
            image.bytes(copy.my_lba * sector, header(copy))?;
            image.bytes(copy.entry_lba * sector, entries.clone())?;
        }
        self.add_contents(table, &mut image)?;
        Ok(image.finish(size)?)
    }
}

/// Where one of the two copies stands, in sectors.
#[derive(Clone, Copy)]
struct Copy {
    my_lba: u64,
    alternate_lba: u64,
    entry_lba: u64,
}

/// Returns the array of entries, `len` bytes.
fn entries(table: &Table, len: u64) -> Vec<u8> {
    let mut array = Vec::new();
    for partition in &table.partitions {
        let mut name = [U16::ZERO; 36];
        for (field, unit) in name.iter_mut().zip(partition.name.encode_utf16()) {
            *field = unit.into();
        }
        let kind = match partition.kind {
            Kind::Gpt(guid) => guid,
            Kind::Mbr(_) => Guid::ZERO,
        };
        let entry = RawEntry {
            partition_type_guid: kind.to_disk(),
            unique_partition_guid: partition.guid.unwrap_or_default().to_disk(),
            starting_lba: (partition.start / table.sector_size).into(),
            ending_lba: (partition.end() / table.sector_size - 1).into(),
            attributes: partition.attributes.into(),
            partition_name: name,
        };
        array.extend_from_slice(entry.as_bytes());
    }
    array.resize(usize::try_from(len).unwrap_or(usize::MAX), 0);
    array
}

fn check_twice(table: &Table, disk: Guid) -> Result<(), LayoutError> {
    let mut seen = BTreeSet::from([disk]);
    for guid in table
        .partitions
        .iter()
        .filter_map(|partition| partition.guid)
    {
        if !seen.insert(guid) {
            return Err(LayoutError::Twice { guid });
        }
    }
    Ok(())
}
