//! A disk that becomes longer, and with it the last of its partitions.

use std::ops::Range;
use std::sync::Arc;

use forger_block::BlockRead;
use forger_disk::Format;
use forger_disk::partition::{GrowError, Wanted, backup_len, grow};
use forger_fs::ext4::{EditError, Image, Resizer};
use forger_fs::tree::Time;

use super::{Republish, Subject, overlay, window};
use crate::exit::Failure;

/// Disks grow to multiples of this, in bytes.
const UNIT: u64 = 1 << 20;

impl Subject {
    /// Returns the size of the filesystem, in bytes; none where there is no ext2, ext3 or ext4.
    pub(crate) fn filesystem_len(&self) -> Option<u64> {
        let image = Image::open(Arc::clone(&self.medium.reader)).ok()?;
        Some(image.superblock().size())
    }

    /// Returns the length of a disk whose partitions are not looked into, in bytes.
    pub(crate) fn whole_disk(&self) -> Option<u64> {
        self.medium.partitions()?;
        Some(self.medium.reader.len())
    }

    /// Makes room for a filesystem of `len` bytes: its partition grows, and the disk where that ends
    /// too early. Returns the disk's new length where it did.
    ///
    /// # Errors
    /// A partition that is not the last one, a disk without a table.
    pub(crate) fn make_room(&mut self, len: u64, tried: bool) -> Result<Option<u64>, Failure> {
        let Some(range) = self
            .range
            .clone()
            .filter(|range| len > range.end - range.start)
        else {
            return Ok(None);
        };
        let number = self.medium.part.as_ref().map_or(0, |part| part.number);
        let disk = self.medium.container.disk();
        let backup = backup_len(&disk).map_err(|error| self.refused(error))?;
        let end = range.start.saturating_add(len);
        let size = end
            .saturating_add(backup)
            .next_multiple_of(UNIT)
            .max(disk.len());
        let end = Some((number, end.next_multiple_of(4096)));
        self.grow_disk(Wanted { size, end }, tried)?;
        let table = self.table()?;
        let part = table.iter().find(|part| part.0 == number);
        self.range = part.map(|part| part.1.clone());
        Ok(Some(size))
    }

    /// Makes the disk longer, and its partition table with it.
    ///
    /// # Errors
    /// A disk without a partition table, and one that would become shorter.
    pub(crate) fn grow_disk(&mut self, wanted: Wanted, tried: bool) -> Result<(), Failure> {
        let disk = self.medium.container.disk();
        let growth = grow(&disk, wanted).map_err(|error| self.refused(error))?;
        let cannot = || format!("cannot resize {}", self.address.disk());
        if self.over.is_some() || tried {
            let over = overlay(&self.medium, Some(wanted.size), &cannot)?;
            let applied = growth.apply(&*over);
            applied.map_err(|error| crate::remedy::block(cannot(), error))?;
            self.over = Some(over);
            return Ok(());
        }
        let grown = self.lock.grow(wanted.size);
        grown
            .and_then(|()| growth.apply(&self.lock))
            .map_err(|error| {
                crate::remedy::block(format!("cannot resize {}", self.address.disk()), error)
            })
    }

    fn table(&self) -> Result<Vec<(u32, Range<u64>)>, Failure> {
        let disk: &dyn BlockRead = match &self.over {
            Some(over) => &**over,
            None => &self.lock,
        };
        let table = forger_disk::partition::read(disk, None).map_err(|error| self.failed(error))?;
        let partitions = table.map(|table| table.partitions).unwrap_or_default();
        let ranges = partitions
            .into_iter()
            .map(|part| (part.number, part.start..part.end()));
        Ok(ranges.collect())
    }

    /// Begins to resize the filesystem; second is what has to be done when it is committed.
    ///
    /// # Errors
    /// As [`Resizer::open`].
    pub(crate) fn resizer(
        self,
        time: Time,
    ) -> Result<(Resizer, Option<Republish>), forger_fs::ext4::ResizeError> {
        let Some(over) = self.over else {
            let resizer = match self.range {
                Some(range) => Resizer::within(self.lock, range, time)?,
                None => Resizer::locked(self.lock, time)?,
            };
            return Ok((resizer, None));
        };
        let store = window(&over, self.range).map_err(EditError::from)?;
        let resizer = Resizer::unseen(store, time)?;
        let copied = self.medium.container.format() != Format::Raw;
        let copy = Republish::new(self.address, self.medium, self.lock, over);
        Ok((resizer, copied.then_some(copy)))
    }

    fn refused(&self, error: GrowError) -> Failure {
        let help = match &error {
            GrowError::NoRoom { .. } => Some(
                "only the last partition can grow beyond what is free behind it; forger disk makes a \
                 new disk with other sizes"
                    .to_owned(),
            ),
            GrowError::Size { size, now, .. } if size < now => Some(format!(
                "{}#PART names a partition whose filesystem shall shrink",
                self.address.image.display()
            )),
            _ => None,
        };
        self.failed(error).help_if(help)
    }

    fn failed(&self, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Failure {
        Failure::failed(format!("cannot resize {}", self.address.disk())).because(error)
    }
}
