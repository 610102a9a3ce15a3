//! ext4: planning and writing images.
//!
//! The on-disk format is documented in the Linux kernel's
//! [`Documentation/filesystems/ext4`](https://docs.kernel.org/filesystems/ext4/).
mod acl;
mod bitmap;
mod check;
mod checksum;
mod cursor;
mod damage;
mod dir;
mod edit;
mod error;
mod extent;
mod features;
mod file_map;
mod geometry;
mod group_desc;
mod halves;
mod hash;
mod htree;
mod ingest;
mod inode;
mod journal;
mod options;
mod place;
mod placed;
mod read;
mod record;
mod represent;
mod resize;
#[cfg(test)]
mod round_trip;
mod seal;
mod store;
mod superblock;
mod units;
mod write;
mod xattr;

pub use check::{Finding, Report, Severity, check, check_within};
pub use damage::{Damage, Location};
pub use edit::{Committed, EditError, Editor, LockedFile, Special, Store, Way};
pub use error::Error;
pub use geometry::late_ranges;
pub use options::{Free, Ignore, Inodes, Journal, Options, Size};
pub use placed::{Placed, write_contents};
pub use read::{
    DirectoryEntry, FileType, Image, Inode, Map, Mapped, ReadError, Step, Superblock, Walk,
};
pub use resize::{Planned, ResizeError, Resizer};
pub use units::{BLOCK_SIZE, BlockNo, Extent, GroupNo, InodeNo};
pub use write::{Layer, Summary, dry_run, plan, write};
