//! Partition tables, GPT and MBR: reading, writing, growing.
//!
//! ```
//! use forger_block::BlockRead;
//! use forger_disk::partition::{self, Kind, Layout, Part, Size};
//!
//! let root = Part {
//!     kind: Kind::guid_named("root-x86-64").expect("it has a name"),
//!     name: "root".into(),
//!     size: Size::Rest,
//!     ..Part::default()
//! };
//! let layout = Layout {
//!     size: Some(64 << 20),
//!     parts: vec![root],
//!     ..Layout::default()
//! };
//! let disk = layout.plan()?;
//! assert_eq!(disk.image.len(), 64 << 20);
//! let table = partition::read(&disk.image, None)?.expect("a table was planned");
//! assert_eq!(table.partitions[0].start, 1 << 20);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod architectures;
mod check;
mod error;
mod gpt;
mod gpt_layout;
mod gpt_read;
mod grow;
mod hybrid;
mod kind;
mod layout;
mod mbr;
mod mbr_grow;
mod mbr_layout;
mod note;

#[cfg(test)]
mod grow_tests;
#[cfg(test)]
mod mbr_grow_tests;
#[cfg(test)]
mod mbr_layout_tests;
#[cfg(test)]
mod tests;

use forger_block::BlockRead;

pub use self::check::check;
pub use self::error::{LayoutError, ReadError};
pub use self::gpt::CopyDamage;
pub use self::grow::{GrowError, Growth, Wanted, backup_len, grow};
pub use self::kind::Kind;
pub use self::layout::{Label, Layout, Part, Planned, Size};
pub use self::note::Note;
use crate::Guid;

/// A GPT attribute: the system must not go without the partition.
pub const ATTRIBUTE_REQUIRED: u64 = 1;
/// A GPT attribute: a legacy BIOS boots from it.
pub const ATTRIBUTE_LEGACY_BOOT: u64 = 1 << 2;
/// A GPT attribute of the Discoverable Partitions Specification: its filesystem is grown to it.
pub const ATTRIBUTE_GROW_FILESYSTEM: u64 = 1 << 59;
/// A GPT attribute of the Discoverable Partitions Specification: it is mounted read-only.
pub const ATTRIBUTE_READ_ONLY: u64 = 1 << 60;
/// A GPT attribute of the Discoverable Partitions Specification: it is not mounted of itself.
pub const ATTRIBUTE_NO_AUTO: u64 = 1 << 63;

/// How a disk is partitioned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// The kind of table.
    pub scheme: Scheme,
    /// Size of a sector, in bytes.
    pub sector_size: u64,
    /// The partitions in the order of their numbers.
    pub partitions: Vec<Partition>,
    /// What is odd about it.
    pub notes: Vec<Note>,
}

/// A kind of partition table, and what identifies the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// A GUID partition table, with the disk's GUID.
    Gpt(Guid),
    /// A master boot record, with the disk's signature.
    Mbr(u32),
}

/// A partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    /// Its number, from 1; logical partitions of an MBR from 5.
    pub number: u32,
    /// Where it starts, in bytes.
    pub start: u64,
    /// How long it is, in bytes.
    pub len: u64,
    /// What it is for.
    pub kind: Kind,
    /// Its own GUID; none in an MBR.
    pub guid: Option<Guid>,
    /// Its name; empty in an MBR.
    pub name: String,
    /// A GPT's attributes; in an MBR [`ATTRIBUTE_LEGACY_BOOT`] for an active partition.
    pub attributes: u64,
}

impl Table {
    /// Returns by what Linux finds a partition of it, `root=PARTUUID=…`: its GUID, or in an MBR the disk's
    /// signature and its number.
    #[must_use]
    pub fn partuuid(&self, partition: &Partition) -> Option<String> {
        match self.scheme {
            Scheme::Gpt(_) => partition.guid.map(|guid| guid.to_string()),
            Scheme::Mbr(0) => None,
            Scheme::Mbr(signature) => Some(format!("{signature:08x}-{:02x}", partition.number)),
        }
    }
}

impl Partition {
    /// Returns where the partition ends, in bytes.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.start.saturating_add(self.len)
    }
}

/// Reads the partition table of a disk; `None` when it has none.
///
/// Sectors have 512 bytes or 4096 where `sector_size` does not say so: a GPT is looked for in both
/// places. One damaged copy of a GPT is tolerated, and [said](Table::notes).
///
/// # Errors
/// A table whose copies are both damaged, or that lists impossible partitions.
pub fn read(disk: &dyn BlockRead, sector_size: Option<u64>) -> Result<Option<Table>, ReadError> {
    let sizes: &[u64] = match sector_size {
        Some(512) => &[512],
        Some(4096) => &[4096],
        _ => &[512, 4096],
    };
    if let Some(table) = gpt_read::read(disk, sizes)? {
        return Ok(Some(table));
    }
    mbr::read(disk, sizes.first().copied().unwrap_or(512))
}

/// Checks that no two partitions share bytes.
fn check_overlap(partitions: &[Partition]) -> Result<(), ReadError> {
    let mut order: Vec<&Partition> = partitions.iter().collect();
    order.sort_by_key(|partition| partition.start);
    for pair in order.windows(2) {
        if let [first, second] = pair
            && second.start < first.end()
        {
            return Err(ReadError::Overlap {
                first: first.number,
                second: second.number,
            });
        }
    }
    Ok(())
}
