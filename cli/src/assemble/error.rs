//! Why no disk can be assembled.

use forger_disk::partition::LayoutError;
use forger_disk::{Guid, SwapError};
use forger_fs::ext4::ReadError;
use forger_fs::tree::CollectError;
use forger_fs::{fat, verity};

use crate::boot;
use crate::partition::SelectError;

/// Why no disk can be assembled.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The root filesystem cannot be read.
    #[error("the root filesystem cannot be read")]
    Root(#[source] ReadError),
    /// What it boots from cannot be put together.
    #[error(transparent)]
    Boot(#[from] boot::Error),
    /// The boot partition cannot be made.
    #[error("the boot partition")]
    Esp(#[source] fat::Error),
    /// Files cannot be put into the boot partition.
    #[error("the boot partition's files")]
    BootFiles(#[source] CollectError),
    /// A swap area cannot be made.
    #[error("the partition {name:?}")]
    Swap {
        /// The partition's name.
        name: String,
        /// Why.
        source: SwapError,
    },
    /// A hash tree cannot be made.
    #[error("the hash tree of the partition {name:?}")]
    Verity {
        /// The name of the partition whose tree it is.
        name: String,
        /// Why.
        source: verity::Error,
    },
    /// The partitions do not fit.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// There is no such partition for the MBR to name.
    #[error("the hybrid MBR")]
    Hybrid(#[from] SelectError),
    /// The disk is too small for anything.
    #[error(
        "a disk of {size} bytes has no room for a root filesystem; {needed} bytes go to tables and other partitions"
    )]
    TooSmall {
        /// The size asked for.
        size: u64,
        /// What is taken before the root filesystem.
        needed: u64,
    },
    /// The boot partition is smaller than it can be.
    #[error(
        "a boot partition of {size} bytes is no FAT32 that firmware takes; {least} bytes are the least"
    )]
    SmallEsp {
        /// The size asked for.
        size: u64,
        /// The least.
        least: u64,
    },
    /// A partition that has to be there once is not there, or is there twice.
    #[error("the layout has {count} {what}, where it needs one")]
    Roles {
        /// What is missing or superfluous.
        what: &'static str,
        /// How many there are.
        count: usize,
    },
    /// A partition with a hash tree cannot have the GUID that it was given.
    #[error(
        "the partition {name:?} cannot have the GUID {guid}: it follows from the root hash where there is a hash tree"
    )]
    FixedGuid {
        /// The partition's name.
        name: String,
        /// The GUID that was asked for.
        guid: Guid,
    },
}
