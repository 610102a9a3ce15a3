//! A partition of an MBR that grows: primary, or the last logical one along with the extended one around it.
//!
//! Each step is durable before the next, and what surrounds something grows first: at every moment each
//! partition lies in the one that holds it.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

use forger_block::{BlockRead, Bytes};
use zerocopy::IntoBytes;

use super::grow::{GrowError, Wanted};
use super::mbr::{self, Chain, RawEntry, RawMbr};
use super::{Partition, ReadError, Table};

/// What is written in one step: offset and bytes.
type Step = Vec<(u64, Bytes)>;

/// Sectors of a disk with an MBR, in bytes.
const SECTOR: u64 = 512;

/// Decides how the MBR of a disk grows; `None` where there is none.
///
/// # Errors
/// As [`grow`](super::grow()).
pub(super) fn grow(disk: &dyn BlockRead, wanted: Wanted) -> Result<Option<Vec<Step>>, GrowError> {
    let Some(table) = mbr::read(disk, SECTOR)? else {
        return Ok(None);
    };
    let (size, now) = (wanted.size, disk.len());
    if size < now || !size.is_multiple_of(SECTOR) {
        let sector = SECTOR;
        return Err(GrowError::Size { size, now, sector });
    }
    let Some((number, end)) = wanted.end else {
        return Ok(Some(Vec::new()));
    };
    let growing = Growing {
        disk,
        table: &table,
        number,
        end: end.checked_next_multiple_of(SECTOR).unwrap_or(u64::MAX),
    };
    let part = growing.part(number)?;
    growing.check(part, size)?;
    match number {
        ..=4 => growing.primary(),
        _ => growing.logical(part),
    }
    .map(Some)
}

/// A partition that shall end elsewhere.
struct Growing<'a> {
    disk: &'a dyn BlockRead,
    table: &'a Table,
    number: u32,
    /// In bytes.
    end: u64,
}

impl Growing<'_> {
    fn part(&self, number: u32) -> Result<&Partition, GrowError> {
        let mut parts = self.table.partitions.iter();
        parts
            .find(|part| part.number == number)
            .ok_or(GrowError::NoPartition { number })
    }

    /// Checks that there is room up to the next partition, the end of the disk, and what 32 bits can say.
    fn check(&self, part: &Partition, size: u64) -> Result<(), GrowError> {
        // The logical ones lie in the extended one.
        let beside = |other: &&Partition| part.number > 4 || other.number <= 4;
        let all = self.table.partitions.iter().filter(beside);
        let starts = all
            .map(|other| other.start)
            .filter(|start| *start > part.start);
        let furthest = part
            .start
            .saturating_add(u64::from(u32::MAX).saturating_mul(SECTOR));
        let most = starts.min().unwrap_or(u64::MAX).min(size).min(furthest);
        match self.end <= most && self.end > part.start {
            true => Ok(()),
            false => Err(GrowError::NoRoom {
                number: self.number,
                end: self.end,
                most,
            }),
        }
    }

    fn primary(&self) -> Result<Vec<Step>, GrowError> {
        let mut record = self.record(0)?;
        let index = usize::try_from(self.number).unwrap_or(0).saturating_sub(1);
        self.stretch(record.entries.get_mut(index), 0)?;
        Ok(vec![step(0, &record)])
    }

    /// Stretches the extended partition, the link to the record of the logical one, and the entry there.
    fn logical(&self, part: &Partition) -> Result<Vec<Step>, GrowError> {
        let mut first = self.record(0)?;
        let extended = first.entries.iter_mut().find(|entry| entry.is_extended());
        let start = extended
            .as_ref()
            .map_or(0, |entry| u64::from(entry.first_lba.get()));
        let reach = extended.as_ref().map_or(0, |entry| entry.end(0));
        let chain = Chain {
            disk: self.disk,
            size: SECTOR,
            extended: start..reach,
        };
        let records = chain.records()?;
        let behind = records
            .iter()
            .map(|(sector, _)| sector.saturating_mul(SECTOR));
        let behind = behind.filter(|record| *record > part.start).min();
        if let Some(most) = behind.filter(|record| *record < self.end) {
            let (number, end) = (self.number, self.end);
            return Err(GrowError::NoRoom { number, end, most });
        }
        let mut steps = Vec::new();
        if self.end > reach.saturating_mul(SECTOR) {
            self.stretch(extended, 0)?;
            steps.push(step(0, &first));
        }
        let holds = |(sector, record): &(u64, RawMbr)| {
            let entry = record.entries.first()?;
            let at = sector.saturating_add(entry.first_lba.get().into());
            (entry.kind != 0 && at.saturating_mul(SECTOR) == part.start).then_some(())
        };
        let Some(index) = records.iter().position(|record| holds(record).is_some()) else {
            let number = self.number;
            return Err(GrowError::NoPartition { number });
        };
        let before = index.checked_sub(1).and_then(|index| records.get(index));
        if let Some((sector, record)) = before {
            let mut record = record.clone();
            self.stretch(record.entries.get_mut(1), start)?;
            steps.push(step(*sector, &record));
        }
        if let Some((sector, record)) = records.get(index) {
            let mut record = record.clone();
            self.stretch(record.entries.first_mut(), *sector)?;
            steps.push(step(*sector, &record));
        }
        Ok(steps)
    }

    /// Moves the end of an entry whose first sector is relative to `base`.
    fn stretch(&self, entry: Option<&mut RawEntry>, base: u64) -> Result<(), GrowError> {
        let number = self.number;
        let entry = entry.ok_or(GrowError::NoPartition { number })?;
        let first = base.saturating_add(entry.first_lba.get().into());
        let sectors = (self.end / SECTOR).saturating_sub(first);
        let sectors = u32::try_from(sectors).map_err(|_| GrowError::NoRoom {
            number,
            end: self.end,
            most: first.saturating_add(u32::MAX.into()).saturating_mul(SECTOR),
        })?;
        entry.sectors = sectors.into();
        // Nobody reads it: the value that says so.
        entry.last_chs = [0xfe, 0xff, 0xff];
        Ok(())
    }

    /// Reads the record in a sector, which was read before.
    fn record(&self, sector: u64) -> Result<RawMbr, GrowError> {
        let record = RawMbr::read(self.disk, sector.saturating_mul(SECTOR))?;
        record.ok_or_else(|| {
            let problem = "has no signature";
            ReadError::Chain { sector, problem }.into()
        })
    }
}

fn step(sector: u64, record: &RawMbr) -> Step {
    let bytes = Bytes::copy_from_slice(record.as_bytes());
    vec![(sector.saturating_mul(SECTOR), bytes)]
}
