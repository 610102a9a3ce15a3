//! ext4: planning and writing images.
//!
//! The on-disk format is documented in the Linux kernel's
//! [`Documentation/filesystems/ext4`](https://docs.kernel.org/filesystems/ext4/).
mod acl;
mod bitmap;
mod checksum;
mod dir;
mod error;
mod extent;
mod features;
mod group_desc;
mod halves;
mod hash;
mod htree;
mod inode;
mod journal;
mod options;
mod superblock;
mod units;
mod xattr;

pub use error::Error;
pub use options::{Free, Ignore, Inodes, Journal, Options, Size};
pub use units::{BLOCK_SIZE, BlockNo, Extent, GroupNo, InodeNo};
