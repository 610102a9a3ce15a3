//! Why a partition table cannot be read or made.

use super::gpt::CopyDamage;

/// Why a partition table cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// Reading the disk's bytes failed.
    #[error(transparent)]
    Block(#[from] forger_block::Error),
    /// Neither copy of a GPT can be used.
    #[error("both copies of the GPT are damaged: the primary ({primary}), the backup ({backup})")]
    BothDamaged {
        /// What is wrong with the one at the start.
        primary: CopyDamage,
        /// What is wrong with the one at the end.
        backup: CopyDamage,
    },
    /// Partitions share bytes.
    #[error("partitions {first} and {second} overlap")]
    Overlap {
        /// The number of the one that starts first.
        first: u32,
        /// The number of the other.
        second: u32,
    },
    /// A partition lies where none may.
    #[error("partition {number} (sectors {start} to {end}) lies outside {what}")]
    Outside {
        /// The partition's number.
        number: u32,
        /// Its first sector.
        start: u64,
        /// Its last sector.
        end: u64,
        /// What it should lie in.
        what: &'static str,
    },
    /// The chain of logical partitions goes wrong.
    #[error("the extended boot record at sector {sector} {problem}")]
    Chain {
        /// The record's sector.
        sector: u64,
        /// What is wrong with it.
        problem: &'static str,
    },
}

/// Why a layout makes no disk.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LayoutError {
    /// Putting the parts together failed.
    #[error(transparent)]
    Block(#[from] forger_block::Error),
    /// Sectors have an impossible size.
    #[error("sectors of {size} bytes: 512 and 4096 are possible")]
    SectorSize {
        /// What was asked for, in bytes.
        size: u64,
    },
    /// The alignment is no multiple of the sectors' size.
    #[error("an alignment of {align} bytes is no multiple of {sector} bytes")]
    Align {
        /// What was asked for, in bytes.
        align: u64,
        /// The size of sectors, in bytes.
        sector: u64,
    },
    /// There are more partitions than entries.
    #[error("{count} partitions: a table has 128")]
    TooMany {
        /// How many were asked for.
        count: usize,
    },
    /// A name does not fit its field.
    #[error("partition {number}: the name {name:?} has {units} UTF-16 units; the table holds 36")]
    Name {
        /// The partition's number.
        number: u32,
        /// Its name.
        name: String,
        /// How long it is.
        units: usize,
    },
    /// A partition is smaller than what shall be in it.
    #[error("partition {number}: {size} bytes are less than its content of {content}")]
    Content {
        /// The partition's number.
        number: u32,
        /// Its size, in bytes.
        size: u64,
        /// The content's length, in bytes.
        content: u64,
    },
    /// A partition starts where none can.
    #[error(
        "partition {number} starts at byte {start}: partitions start from {first} on, at multiples of {sector}"
    )]
    Start {
        /// The partition's number.
        number: u32,
        /// Where it shall start, in bytes.
        start: u64,
        /// Where partitions may start at the earliest, in bytes.
        first: u64,
        /// The size of sectors, in bytes.
        sector: u64,
    },
    /// Partitions share bytes.
    #[error("partitions {first} and {second} overlap")]
    Overlap {
        /// The number of the one that starts first.
        first: u32,
        /// The number of the other.
        second: u32,
    },
    /// A partition would be empty.
    #[error("partition {number} has no size")]
    Empty {
        /// The partition's number.
        number: u32,
    },
    /// A share, or the rest, of a disk that has no size of its own.
    #[error("partition {number}: a share needs a disk of a given size")]
    NoSize {
        /// The partition's number.
        number: u32,
    },
    /// The partitions do not fit the disk.
    #[error("the partitions need {needed} bytes, the disk has {size}")]
    TooSmall {
        /// What they need at least, tables included, in bytes.
        needed: u64,
        /// The disk's size, in bytes.
        size: u64,
    },
    /// The disk's size is no whole number of sectors.
    #[error("a disk of {size} bytes has no whole number of {sector}-byte sectors")]
    Ragged {
        /// The disk's size, in bytes.
        size: u64,
        /// The size of sectors, in bytes.
        sector: u64,
    },
    /// Shares exceed the whole.
    #[error("the shares add up to more than 100%")]
    Shares,
    /// A partition cannot stand in the MBR as well.
    #[error("partition {number} in the MBR: {reason}")]
    Hybrid {
        /// The partition's number.
        number: u32,
        /// Why.
        reason: &'static str,
    },
    /// A master boot record cannot say something of a partition, or of the disk where the number is 0.
    #[error("a master boot record{}: {reason}", of_partition(*.number))]
    Mbr {
        /// The partition's number.
        number: u32,
        /// What it cannot say.
        reason: &'static str,
    },
    /// Two partitions have the same identity.
    #[error("two partitions have the guid {guid}")]
    Twice {
        /// The GUID.
        guid: crate::Guid,
    },
}

fn of_partition(number: u32) -> String {
    match number {
        0 => String::new(),
        number => format!(" of partition {number}"),
    }
}
