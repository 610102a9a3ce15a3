//! Seal: everything about an image that ingest left open, as a pure function of tree and options.
//!
//! ```text
//! contents | directories, symlinks, attributes, extent trees | resize inode | journal
//!          | block bitmaps | inode bitmaps | inode tables | free          (around the late ranges)
//! ```
mod bodies;
mod identity;
mod late;
mod metadata;
mod numbers;
mod resize;
mod size;
mod table;
mod usage;

use std::sync::Arc;

use forger_block::{BlockRead, Bytes, SparseImage, SparseImageBuilder};

use self::bodies::Bodies;
use self::identity::Identity;
use self::metadata::Metadata;
use self::numbers::Numbers;
use self::size::{Need, Sized};
use self::usage::Usage;
use super::bitmap::Bitmap;
use super::file_map::FileMap;
use super::geometry::{Frame, desc_blocks, group_start, has_super};
use super::ingest::Ingested;
use super::options::{Journal, Options};
use super::superblock::RawSuperblock;
use super::units::{BLOCK_SIZE, BlockNo, GroupNo};
use super::{Error, Summary};
use crate::observe::{Note, Observer};
use crate::tree::{Kind, NodeId, Tree};

/// A finished decision about every byte that is not content.
pub(crate) struct Sealed {
    tree: Tree<FileMap>,
    numbers: Numbers,
    identity: Identity,
    bodies: Bodies,
    sized: Sized,
    usage: Usage,
    frame: Frame,
    /// The resize inode's double indirect block.
    resize_block: Option<BlockNo>,
    /// Directories by group, as far as inodes are in use.
    folders: Vec<u32>,
    free_blocks: u64,
    label: Vec<u8>,
    reserved_share: u16,
    superblock: RawSuperblock,
    entries: u64,
    content_bytes: u64,
    contents_end: u64,
}

/// Decides everything that ingest left open.
pub(crate) fn seal(
    ingested: Ingested,
    options: &Options,
    frame: Frame,
    observer: &mut dyn Observer,
) -> Result<Sealed, Error> {
    let Ingested {
        mut tree,
        mut cursor,
        released,
        entries,
        content_bytes,
    } = ingested;
    let contents_end = cursor.position().offset();
    let numbers = Numbers::new(&mut tree, options.lost_found)?;
    let identity = Identity::new(&tree, options);
    let bodies = Bodies::new(&tree, &numbers, &identity, &mut cursor)?;
    // Whether any block stays reserved is known only with the size; the list takes a block always.
    let resize_block = cursor.take(1).0;
    let need = Need {
        cursor,
        released: released.iter().map(|gap| gap.len).sum(),
        inodes: u64::from(numbers.last().0),
    };
    let sized = size::size(&need, options, frame)?;
    if sized.journal.is_empty() && options.journal == Journal::Auto {
        observer.note(Note::NoJournal {
            blocks: sized.blocks,
        });
    }
    let usage = Usage::new(&sized, released, frame);
    let folders = folders_by_group(&tree, &numbers, &sized);
    let mut sealed = Sealed {
        tree,
        numbers,
        identity,
        bodies,
        sized,
        usage,
        frame,
        resize_block: Some(resize_block),
        folders,
        free_blocks: 0,
        label: options.label.clone().unwrap_or_default(),
        reserved_share: options.reserved,
        superblock: RawSuperblock::zeroed(),
        entries,
        content_bytes,
        contents_end,
    };
    sealed.free_blocks = sealed
        .groups()
        .map(|group| u64::from(sealed.usage.free(group)))
        .sum();
    sealed.superblock = late::common_superblock(&sealed);
    Ok(sealed)
}

fn folders_by_group(tree: &Tree<FileMap>, numbers: &Numbers, sized: &Sized) -> Vec<u32> {
    let mut folders = Vec::new();
    for (inode, id) in numbers.iter() {
        if matches!(tree.node(id).kind, Kind::Directory(_)) {
            let group = u64::from(inode.0 - 1) / sized.inodes_per_group;
            let group = usize::try_from(group).unwrap_or(0);
            if folders.len() <= group {
                folders.resize(group + 1, 0);
            }
            folders[group] += 1;
        }
    }
    folders
}

impl Sealed {
    /// Says what came out.
    pub(crate) fn summary(&self) -> Summary {
        let inodes = self.sized.groups() * self.sized.inodes_per_group;
        Summary {
            size: self.sized.bytes,
            blocks: self.sized.blocks,
            free_blocks: self.free_blocks,
            inodes,
            free_inodes: inodes - u64::from(self.numbers.last().0),
            uuid: self.identity.uuid,
            hash_seed: self.identity.hash_seed,
            time: self.identity.time,
            entries: self.entries,
            content_bytes: self.content_bytes,
            contents_end: self.contents_end,
            journal_bytes: self.sized.journal_blocks() * BLOCK_SIZE,
            label: (!self.label.is_empty()).then(|| self.label.clone()),
        }
    }

    /// Returns the metadata in its place: all but the late ranges, and these.
    pub(crate) fn metadata(self) -> forger_block::Result<(SparseImage, SparseImage)> {
        let sealed = Arc::new(self);
        let mut placed = SparseImageBuilder::default();
        Self::add_placed(&sealed, &mut placed)?;
        let mut late = SparseImageBuilder::default();
        sealed.add_late_ranges(&mut late)?;
        Ok((
            placed.finish(sealed.sized.bytes)?,
            late.finish(sealed.sized.bytes)?,
        ))
    }

    /// Adds all metadata to an image that holds the contents.
    pub(crate) fn image(
        sealed: &Arc<Self>,
        mut contents: SparseImageBuilder,
    ) -> forger_block::Result<SparseImage> {
        Self::add_placed(sealed, &mut contents)?;
        sealed.add_late_ranges(&mut contents)?;
        contents.finish(sealed.sized.bytes)
    }

    fn add_placed(sealed: &Arc<Self>, image: &mut SparseImageBuilder) -> forger_block::Result<()> {
        for (offset, bytes) in late::fixed_blocks(sealed) {
            image.bytes(offset, bytes)?;
        }
        let made: Arc<dyn BlockRead> = Arc::new(Metadata::new(Arc::clone(sealed)));
        let mut span = |first: BlockNo, blocks: u64| {
            let offset = first.offset();
            image.span(offset, blocks * BLOCK_SIZE, &made, offset)
        };
        for item in sealed.bodies.items() {
            span(item.first, u64::from(item.blocks))?;
        }
        for group in sealed.groups() {
            let index = index_of(group);
            if !sealed.usage.untouched(group) {
                span(sealed.sized.block_bitmaps[index], 1)?;
            }
            let used = u64::from(sealed.used_inodes(group));
            if used > 0 {
                span(sealed.sized.inode_bitmaps[index], 1)?;
                span(sealed.sized.inode_tables[index], used.div_ceil(16))?;
            }
        }
        Ok(())
    }

    fn add_late_ranges(&self, image: &mut SparseImageBuilder) -> forger_block::Result<()> {
        let descriptors = late::descriptors(self);
        for group in self.groups().filter(|group| has_super(*group)) {
            let start = group_start(group).offset();
            image.bytes(start, late::superblock_block(self, group))?;
            image.bytes(start + BLOCK_SIZE, descriptors.clone())?;
        }
        for reserved in 0..self.reserved_blocks() {
            let block = BlockNo(1 + self.desc_blocks() + reserved);
            image.bytes(
                block.offset(),
                Bytes::from(resize::reserved_block(self, reserved)),
            )?;
        }
        Ok(())
    }

    fn groups(&self) -> impl Iterator<Item = GroupNo> + use<> {
        (0..u32::try_from(self.sized.groups()).unwrap_or(u32::MAX)).map(GroupNo)
    }

    fn desc_blocks(&self) -> u64 {
        desc_blocks(self.sized.groups())
    }

    /// Returns how many descriptor blocks are kept free for growth.
    fn reserved_blocks(&self) -> u64 {
        self.frame.reserve - self.desc_blocks()
    }

    fn inodes_per_group(&self) -> u32 {
        u32::try_from(self.sized.inodes_per_group).unwrap_or(u32::MAX)
    }

    /// Returns how many inodes of a group are in use: the first ones, as numbers go up.
    fn used_inodes(&self, group: GroupNo) -> u32 {
        let before = u64::from(group.0) * self.sized.inodes_per_group;
        let used = u64::from(self.numbers.last().0).saturating_sub(before);
        u32::try_from(used.min(self.sized.inodes_per_group)).unwrap_or(u32::MAX)
    }

    fn inode_bitmap(&self, group: GroupNo) -> Bitmap {
        usage::inode_bitmap(self.used_inodes(group), self.inodes_per_group())
    }

    fn folders_in(&self, group: GroupNo) -> u32 {
        self.folders.get(index_of(group)).copied().unwrap_or(0)
    }

    fn subfolders(&self, id: NodeId) -> u32 {
        let Kind::Directory(directory) = &self.tree.node(id).kind else {
            return 0;
        };
        let folders = directory
            .iter()
            .filter(|(_, child)| matches!(self.tree.node(*child).kind, Kind::Directory(_)));
        u32::try_from(folders.count()).unwrap_or(u32::MAX)
    }
}

fn index_of(group: GroupNo) -> usize {
    usize::try_from(group.0).unwrap_or(usize::MAX)
}
