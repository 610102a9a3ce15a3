//! Reading a GUID partition table.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

use forger_block::BlockRead;
use zerocopy::FromBytes;

use super::gpt::{CopyDamage, Header, RawEntry, RawHeader, crc32};
use super::note::Note;
use super::{Kind, Partition, ReadError, Scheme, Table, check_overlap, mbr};
use crate::Guid;

/// One of the two copies of a table.
struct Copy {
    header: Header,
    raw: RawHeader,
    entries: Vec<u8>,
}

/// A table as it stands on disk, from the copy that is right.
pub(super) struct Good {
    /// Size of a sector, in bytes.
    pub(super) sector: u64,
    pub(super) raw: RawHeader,
    pub(super) entries: Vec<u8>,
    /// How long an entry is, in bytes.
    pub(super) entry_len: usize,
    /// Where the primary entries stand, in sectors.
    pub(super) primary_entries: u64,
    /// The sectors of the backup, where it is right.
    pub(super) backup: Option<(u64, u64)>,
    pub(super) table: Table,
}

/// Reads the right copy of a table, where there is one.
pub(super) fn good_copy(disk: &dyn BlockRead) -> Result<Option<Good>, ReadError> {
    let Some(table) = read(disk, &[512, 4096])? else {
        return Ok(None);
    };
    let sectors = Sectors::of(disk, table.sector_size);
    let place = |copy: &Copy| {
        (
            copy.header.entries_lba,
            copy.header.my_lba.saturating_add(1),
        )
    };
    let (copy, primary_entries, backup) = match sectors.copy(1)? {
        Ok(primary) => {
            let backup = sectors.copy(primary.header.alternate_lba)?.ok();
            let entries = primary.header.entries_lba;
            (primary, entries, backup.as_ref().map(place))
        }
        Err(damage) => {
            let backup = sectors.copy(sectors.count.saturating_sub(1))?;
            let backup = backup.map_err(|backup| ReadError::BothDamaged {
                primary: damage,
                backup,
            })?;
            let place = place(&backup);
            (backup, 2, Some(place))
        }
    };
    Ok(Some(Good {
        sector: table.sector_size,
        raw: copy.raw,
        entries: copy.entries,
        entry_len: copy.header.entry_len,
        primary_entries,
        backup,
        table,
    }))
}

/// A disk in sectors of one size.
struct Sectors<'a> {
    disk: &'a dyn BlockRead,
    size: u64,
    count: u64,
}

/// Reads the table of a disk whose sectors have one of `sizes` bytes.
pub(super) fn read(disk: &dyn BlockRead, sizes: &[u64]) -> Result<Option<Table>, ReadError> {
    let mut found = None;
    // A good primary copy of any size is better than a backup of another one.
    for &size in sizes {
        let sectors = Sectors::of(disk, size);
        match sectors.copy(1)? {
            Ok(primary) => return sectors.with_primary(&primary).map(Some),
            Err(CopyDamage::Missing { .. }) => {}
            Err(damage) => found = found.or(Some((sectors, damage))),
        }
    }
    if let Some((sectors, primary)) = found {
        return sectors.with_backup(primary).map(Some);
    }
    for &size in sizes {
        let sectors = Sectors::of(disk, size);
        let lba = sectors.count.saturating_sub(1);
        if lba > 1 && sectors.copy(lba)?.is_ok() {
            return sectors
                .with_backup(CopyDamage::Missing { lba: 1 })
                .map(Some);
        }
    }
    if mbr::is_protective(disk)? {
        return Err(ReadError::BothDamaged {
            primary: CopyDamage::Missing { lba: 1 },
            backup: CopyDamage::Missing {
                lba: (disk.len() / 512).saturating_sub(1),
            },
        });
    }
    Ok(None)
}

impl<'a> Sectors<'a> {
    fn of(disk: &'a dyn BlockRead, size: u64) -> Self {
        let count = disk.len().checked_div(size).unwrap_or(0);
        Self { disk, size, count }
    }

    /// Reads and checks the copy whose header stands in a sector.
    fn copy(&self, lba: u64) -> forger_block::Result<Result<Copy, CopyDamage>> {
        let size = usize::try_from(self.size).unwrap_or(0);
        let mut sector = vec![0; size];
        let at = lba.checked_mul(self.size);
        let Some(at) = at.filter(|_| lba < self.count) else {
            return Ok(Err(CopyDamage::Missing { lba }));
        };
        self.disk.read_at(at, &mut sector)?;
        let header = match Header::parse(&sector, lba, self.count) {
            Ok(header) => header,
            Err(damage) => return Ok(Err(damage)),
        };
        // Bounded by the header's check, and inside the disk.
        let mut entries = vec![0; header.entries_len];
        let at = header.entries_lba.saturating_mul(self.size);
        self.disk.read_at(at, &mut entries)?;
        if crc32(&entries) != header.entries_crc32 {
            return Ok(Err(CopyDamage::EntriesSum));
        }
        let Ok((raw, _)) = RawHeader::read_from_prefix(&sector) else {
            return Ok(Err(CopyDamage::Missing { lba }));
        };
        Ok(Ok(Copy {
            header,
            raw,
            entries,
        }))
    }

    fn with_primary(&self, primary: &Copy) -> Result<Table, ReadError> {
        let mut notes = Vec::new();
        let (lba, last) = (primary.header.alternate_lba, self.count.saturating_sub(1));
        match self.copy(lba)? {
            Err(damage) => notes.push(Note::BackupDamaged(damage)),
            Ok(backup) => {
                let (ours, theirs) = (&primary.header, &backup.header);
                let same = ours.disk_guid == theirs.disk_guid
                    && ours.first_usable_lba == theirs.first_usable_lba
                    && ours.last_usable_lba == theirs.last_usable_lba
                    && theirs.alternate_lba == ours.my_lba
                    && primary.entries == backup.entries;
                if !same {
                    notes.push(Note::CopiesDiffer);
                }
                if lba != last {
                    notes.push(Note::BackupNotAtEnd { lba, last });
                }
            }
        }
        self.table(primary, notes)
    }

    fn with_backup(&self, damage: CopyDamage) -> Result<Table, ReadError> {
        match self.copy(self.count.saturating_sub(1))? {
            Ok(backup) => self.table(&backup, vec![Note::PrimaryDamaged(damage)]),
            Err(backup) => Err(ReadError::BothDamaged {
                primary: damage,
                backup,
            }),
        }
    }

    fn table(&self, copy: &Copy, mut notes: Vec<Note>) -> Result<Table, ReadError> {
        match mbr::protection(self.disk)? {
            mbr::Protection::None => notes.push(Note::NoProtectiveMbr),
            mbr::Protection::Alone => {}
            mbr::Protection::Beside(partitions) => notes.push(Note::Hybrid { partitions }),
        }
        let mut partitions = Vec::new();
        let entries = copy.entries.chunks_exact(copy.header.entry_len);
        for (number, entry) in (1..).zip(entries) {
            if let Ok((entry, _)) = RawEntry::read_from_prefix(entry)
                && !Guid::from_disk(entry.partition_type_guid).is_zero()
            {
                partitions.push(self.partition(number, &entry, &copy.header)?);
            }
        }
        check_overlap(&partitions)?;
        Ok(Table {
            scheme: Scheme::Gpt(copy.header.disk_guid),
            sector_size: self.size,
            partitions,
            notes,
        })
    }

    fn partition(
        &self,
        number: u32,
        entry: &RawEntry,
        header: &Header,
    ) -> Result<Partition, ReadError> {
        let (start, end) = (entry.starting_lba.get(), entry.ending_lba.get());
        let usable = header.first_usable_lba..=header.last_usable_lba;
        if start > end || !usable.contains(&start) || !usable.contains(&end) {
            return Err(ReadError::Outside {
                number,
                start,
                end,
                what: "the usable sectors",
            });
        }
        // Inside the disk, so nothing overflows.
        let len = end.saturating_sub(start).saturating_add(1);
        Ok(Partition {
            number,
            start: start.saturating_mul(self.size),
            len: len.saturating_mul(self.size),
            kind: Kind::Gpt(Guid::from_disk(entry.partition_type_guid)),
            guid: Some(Guid::from_disk(entry.unique_partition_guid)),
            name: entry.name(),
            attributes: entry.attributes.get(),
        })
    }
}
