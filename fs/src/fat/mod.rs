//! FAT12, FAT16 and FAT32 filesystems: made from a tree, read back as one.
//!
//! Follows Microsoft's "FAT: General Overview of On-Disk Format" 1.03 and its long file names.
//!
//! A FAT keeps names, contents and times (of two seconds, from 1980 to 2107, taken as UTC). It has no
//! owners, modes, links, devices or attributes: [`plan`] refuses symlinks and special files, and notes what
//! else it leaves out.
//!
//! ```text
//! boot sector, FSInfo and their copies | FAT | FAT | root folder (12, 16) | folders | contents in order
//! ```
//!
//! ```
//! use forger_fs::fat::{Options, Volume, plan};
//! use forger_fs::observe::Silent;
//! use forger_fs::tree::{Content, Kind, Meta, Policy, Tree};
//!
//! let mut tree = Tree::new(Meta::default());
//! let file = Kind::File(Content::inline(&b"instance-id: 1\n"[..]));
//! tree.put(b"meta-data", Meta::default(), file, Policy::default())?;
//! let options = Options { label: Some("CIDATA".into()), ..Options::default() };
//! let (image, summary) = plan(&tree, &options, &mut Silent)?;
//! assert_eq!(summary.files, 1);
//! let volume = Volume::open(std::sync::Arc::new(image))?;
//! assert_eq!(volume.label().as_deref(), Some("CIDATA"));
//! assert!(volume.tree()?.get(b"meta-data").is_some());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod boot;
mod error;
mod folder;
mod gather;
mod geometry;
mod name;
mod options;
mod plan;
mod read;
mod stamp;
mod table;
#[cfg(test)]
mod tests;

pub use error::{Error, NameError, ReadError};
pub use geometry::{Bits, Geometry};
pub use options::{Ignore, Options, Size};
pub use plan::{Summary, plan};
pub use read::Volume;
