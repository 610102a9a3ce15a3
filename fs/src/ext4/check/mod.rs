//! Checking a filesystem: every rule that `e2fsck` checks in its five passes, with the place where
//! it is broken.
//!
//! | step | what it proves |
//! |---|---|
//! | [`superblock`], [`groups`], [`resize`], [`backups`] | the superblock agrees with itself, every group's metadata has its place, the reserve for growing is whole, the copies agree |
//! | [`inodes`] with [`kinds`], [`mapped`] and [`attributes`] | every inode is of one kind, its blocks lie inside the filesystem and belong to nobody else, sizes and counts are right |
//! | [`directories`] with [`index`] | every block of a directory is whole, every name leads to an inode of its kind, hash trees lead to every name |
//! | [`links`] | every directory is reached from the root by one name, every inode has as many names as it says |
//! | [`bitmaps`] | what is in use is marked so, nothing else is, the counts add up |
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

mod attributes;
mod backups;
mod bitmaps;
mod bits;
mod directories;
mod finding;
mod groups;
mod index;
mod inodes;
mod kinds;
mod links;
mod mapped;
mod ranges;
mod resize;
mod superblock;

use std::collections::{HashMap, HashSet};

pub use finding::{Finding, Report, Severity};

pub(in crate::ext4) use self::groups::descriptor_ranges;

use self::ranges::Ranges;
use super::damage::{Damage, Location};
use super::read::{Access, FileType, Image, ReadError, Superblock};
use super::{BlockNo, InodeNo};

/// How many findings [`check`] lists.
const LIMIT: usize = 1000;

/// Checks a filesystem as it is after its journal is replayed, and lists the first 1000 findings.
///
/// # Errors
/// [`ReadError::Block`] when the image cannot be read.
pub fn check(image: &Image) -> Result<Report, ReadError> {
    check_within(image, LIMIT)
}

/// Checks a filesystem as [`check`] does, and stops after `limit` findings.
///
/// # Errors
/// As [`check`].
pub fn check_within(image: &Image, limit: usize) -> Result<Report, ReadError> {
    let mut check = Check {
        image,
        report: Report::new(limit),
        metadata: Ranges::default(),
        used: Ranges::default(),
        inodes: HashMap::new(),
        directories: Vec::new(),
        parents: HashMap::new(),
        attribute_blocks: HashMap::new(),
        value_references: HashMap::new(),
        orphans: HashSet::new(),
    };
    check.superblock()?;
    check.groups()?;
    check.resize_inode()?;
    check.backups()?;
    check.inodes()?;
    check.directories()?;
    check.links()?;
    check.bitmaps()?;
    Ok(check.report)
}

/// What is known so far.
struct Check<'a> {
    image: &'a Image,
    report: Report,
    /// Blocks that hold superblocks, descriptors, bitmaps and inode tables.
    metadata: Ranges,
    /// Clusters (blocks without `bigalloc`) in use.
    used: Ranges,
    /// Inodes in use.
    inodes: HashMap<InodeNo, Known>,
    /// Directories in use, in order of numbers.
    directories: Vec<InodeNo>,
    /// The directory that names a directory, and the one that its `..` names.
    parents: HashMap<InodeNo, Parents>,
    /// Blocks of extended attributes.
    attribute_blocks: HashMap<BlockNo, Shared>,
    /// Inodes that hold attributes' values, and how many attributes name them.
    value_references: HashMap<InodeNo, u64>,
    /// Inodes that were to be removed or cut.
    orphans: HashSet<InodeNo>,
}

/// An inode in use.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    /// Names it says it has.
    links: u16,
    /// Names that were found.
    names: u32,
    /// What it is, if that is known.
    file_type: Option<FileType>,
    /// Whether it is a directory with a hash tree.
    indexed: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct Parents {
    /// The directory that has a name for it.
    named_in: Option<InodeNo>,
    /// What its `..` says.
    dot_dot: Option<InodeNo>,
}

/// A block of attributes that inodes share.
#[derive(Clone, Copy, Debug)]
struct Shared {
    /// How many inodes use it, as it says.
    references: u32,
    /// How many do.
    seen: u32,
    /// Clusters of attribute values in inodes of their own, which count for every inode that uses it.
    value_clusters: u64,
}

impl<'a> Check<'a> {
    fn access(&self) -> Access<'a> {
        self.image.access()
    }

    fn superblock_of(&self) -> &'a Superblock {
        self.image.superblock()
    }

    /// Tells whether enough was found.
    fn full(&self) -> bool {
        self.report.cut
    }

    fn error(&mut self, location: Location, damage: Damage) {
        self.report.push(Severity::Error, location, damage);
    }

    fn advise(&mut self, location: Location, damage: Damage) {
        self.report.push(Severity::Advice, location, damage);
    }

    /// Notes what a result says is wrong.
    fn note(&mut self, location: Location, result: Result<(), Damage>) {
        if let Err(damage) = result {
            self.error(location, damage);
        }
    }

    /// Takes the error of a read: damage is a finding, anything else ends the check.
    fn absorb(&mut self, error: ReadError) -> Result<(), ReadError> {
        match error {
            ReadError::Corrupt { location, damage } => {
                self.error(location, damage);
                Ok(())
            }
            other => Err(other),
        }
    }

    /// Returns the value of a read; damage is a finding and gives none.
    fn found<T>(&mut self, result: Result<T, ReadError>) -> Result<Option<T>, ReadError> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(error) => self.absorb(error).map(|()| None),
        }
    }

    /// Returns the number of the cluster that a block lies in.
    fn cluster_of(&self, block: u64) -> u64 {
        let ratio = self.superblock_of().cluster_blocks();
        block >> ratio.ilog2()
    }
}
