//! Where the blocks of a file stand: extent trees and indirect blocks, walked for whoever asks.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

use super::blocks::Blocks;
use super::superblock::Superblock;
use super::{FileType, Image, Inode, ReadError, extents, indirect};
use crate::ext4::BlockNo;
use crate::ext4::damage::{Damage, Location};
use crate::ext4::inode::flag;

/// A run of blocks as the map has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapped {
    /// First block in the file.
    pub logical: u64,
    /// First block in the image.
    pub physical: BlockNo,
    /// Number of blocks, at least 1.
    pub len: u64,
    /// Whether the blocks are allocated but read as zeros.
    pub unwritten: bool,
}

/// Where all blocks of a file stand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Map {
    /// The content, in file order, neighbours joined; what no run covers are holes.
    pub runs: Vec<Mapped>,
    /// Blocks of the map itself: nodes of the extent tree, or indirect blocks.
    pub nodes: Vec<BlockNo>,
}

/// What receives a walk through the map of a file.
pub(crate) trait Visitor {
    /// Takes a block of the map itself: a node of the extent tree, or an indirect block. The walk
    /// goes below it when this returns true.
    fn node(&mut self, block: BlockNo) -> Result<bool, ReadError>;

    /// Takes a run of blocks, in file order.
    fn run(&mut self, run: Mapped) -> Result<(), ReadError>;

    /// Takes what is wrong; the walk goes on beside it when this returns `Ok`.
    fn damage(&mut self, location: Location, damage: Damage) -> Result<(), ReadError>;

    /// Takes what Linux refuses, but `e2fsck` passes over.
    fn oddity(&mut self, location: Location, damage: Damage) -> Result<(), ReadError> {
        self.damage(location, damage)
    }

    /// Tells whether the visitor wants to know of what does no harm to reading as well.
    fn strict(&self) -> bool {
        false
    }
}

/// The parts of an image that a walk needs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Access<'a> {
    pub(crate) superblock: &'a Superblock,
    pub(crate) blocks: &'a Blocks,
}

impl Access<'_> {
    /// Walks the map of an inode, which is neither inline nor a fast symlink.
    pub(crate) fn walk(self, inode: &Inode, visitor: &mut dyn Visitor) -> Result<(), ReadError> {
        if inode.has_flag(flag::EXTENTS) {
            extents::walk(self, inode, visitor)
        } else {
            indirect::walk(self, inode, visitor)
        }
    }

    /// Returns the runs that hold the content up to the inode's size.
    pub(crate) fn runs(self, inode: &Inode) -> Result<Vec<Mapped>, ReadError> {
        let mut runs = Runs {
            blocks: inode.size().div_ceil(self.superblock.block_size().into()),
            map: Map::default(),
            lenient: false,
        };
        self.walk(inode, &mut runs)?;
        Ok(runs.map.runs)
    }

    /// Returns all runs that can be made out, whatever the inode's size, in file order.
    pub(crate) fn runs_leniently(self, inode: &Inode) -> Result<Vec<Mapped>, ReadError> {
        let mut runs = Runs {
            blocks: u64::MAX,
            map: Map::default(),
            lenient: true,
        };
        self.walk(inode, &mut runs)?;
        Ok(runs.map.runs)
    }
}

/// Collects runs up to a number of blocks.
struct Runs {
    blocks: u64,
    map: Map,
    /// Goes on beside damage.
    lenient: bool,
}

impl Visitor for Runs {
    fn node(&mut self, block: BlockNo) -> Result<bool, ReadError> {
        self.map.nodes.push(block);
        Ok(true)
    }

    fn run(&mut self, mut run: Mapped) -> Result<(), ReadError> {
        run.len = run.len.min(self.blocks.saturating_sub(run.logical));
        if run.len == 0 {
            return Ok(());
        }
        match self.map.runs.last_mut() {
            Some(last)
                if last.unwritten == run.unwritten
                    && last.logical.saturating_add(last.len) == run.logical
                    && last.physical.0.saturating_add(last.len) == run.physical.0 =>
            {
                last.len = last.len.saturating_add(run.len);
            }
            _ => self.map.runs.push(run),
        }
        Ok(())
    }

    fn damage(&mut self, location: Location, damage: Damage) -> Result<(), ReadError> {
        if self.lenient {
            return Ok(());
        }
        Err(ReadError::corrupt(location, damage))
    }
}

impl Image {
    /// Returns where the blocks of an inode stand, those beyond its size included; nothing where it
    /// holds its content itself or has none.
    ///
    /// # Errors
    /// [`ReadError::Corrupt`] when the map is damaged.
    pub fn map(&self, inode: &Inode) -> Result<Map, ReadError> {
        let mapped = matches!(
            inode.file_type(),
            FileType::File | FileType::Directory | FileType::Symlink
        );
        if !mapped || inode.has_flag(flag::INLINE_DATA) || inode.is_fast_symlink(&self.superblock) {
            return Ok(Map::default());
        }
        let mut runs = Runs {
            blocks: u64::MAX,
            map: Map::default(),
            lenient: false,
        };
        self.access().walk(inode, &mut runs)?;
        Ok(runs.map)
    }

    pub(crate) fn access(&self) -> Access<'_> {
        Access {
            superblock: &self.superblock,
            blocks: &self.blocks,
        }
    }
}
