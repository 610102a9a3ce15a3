//! The blocks that nodes need beside their contents: directories, long symlinks, attribute blocks
//! and extent trees.
//!
//! Here they only get their place; their bytes are made when they are read, so that a plan's memory
//! does not grow with them.

use std::collections::HashMap;

use super::identity::Identity;
use super::numbers::Numbers;
use crate::ext4::checksum::Seed;
use crate::ext4::cursor::Cursor;
use crate::ext4::file_map::FileMap;
use crate::ext4::units::{BLOCK_SIZE, BlockNo, Extent, InodeNo};
use crate::ext4::{Error, dir, extent, xattr};
use crate::tree::{Directory, Kind, NodeId, Tree};

/// The longest symlink target that stands in the inode itself.
pub(crate) const FAST_SYMLINK: usize = 59;
/// How many inodes may share a block of attributes.
const MAX_SHARED: u32 = 1024;
/// Blocks of an empty `lost+found`, as mke2fs makes it.
const LOST_FOUND_BLOCKS: u32 = 4;

/// A run of blocks whose bytes are made on demand.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Item {
    /// Its first block in the image.
    pub(crate) first: BlockNo,
    /// Its number of blocks.
    pub(crate) blocks: u32,
    /// How many blocks of the same body stand before it.
    pub(crate) skip: u32,
    /// What it is a part of.
    pub(crate) body: Body,
}

/// What a body is made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Body {
    /// The entries of a directory.
    Directory(NodeId),
    /// The target of a symlink.
    Symlink(NodeId),
    /// The attributes of a node, shared by so many.
    Xattrs(NodeId, u32),
    /// The blocks of a file's extent tree.
    ExtentTree(NodeId),
}

/// Where a node's body stands.
#[derive(Clone, Debug, Default)]
pub(crate) struct Place {
    /// The extents, for what is not a file; a file's are in its [`FileMap`].
    pub(crate) extents: Box<[Extent]>,
    /// The blocks of the extent tree below the inode.
    pub(crate) tree: Box<[BlockNo]>,
    /// Whether a directory has an index.
    pub(crate) indexed: bool,
}

/// All bodies, in ascending order of their blocks.
#[derive(Debug, Default)]
pub(crate) struct Bodies {
    items: Vec<Item>,
    places: HashMap<NodeId, Place>,
    xattrs: HashMap<NodeId, BlockNo>,
}

impl Bodies {
    /// Gives every body its blocks.
    pub(crate) fn new(
        tree: &Tree<FileMap>,
        numbers: &Numbers,
        identity: &Identity,
        cursor: &mut Cursor,
    ) -> Result<Self, Error> {
        let mut bodies = Self::default();
        let nodes = || numbers.iter().map(|(inode, id)| (inode, id, tree.node(id)));
        for (inode, id, node) in nodes() {
            if let Kind::Directory(directory) = &node.kind {
                let built = directory_bytes(tree, directory, inode, numbers, identity)?;
                let blocks = built.data.len() as u64 / BLOCK_SIZE;
                let blocks = u32::try_from(blocks).unwrap_or(u32::MAX);
                bodies.add(Body::Directory(id), id, blocks, cursor);
                bodies.places.entry(id).or_default().indexed = built.indexed;
            }
        }
        for (_, id, node) in nodes() {
            if matches!(&node.kind, Kind::Symlink(target) if target.len() > FAST_SYMLINK) {
                bodies.add(Body::Symlink(id), id, 1, cursor);
            }
        }
        bodies.place_xattrs(tree, numbers, cursor)?;
        for (_, id, node) in nodes() {
            bodies.add_extent_tree(id, &node.kind, cursor);
        }
        Ok(bodies)
    }

    /// Returns the item that holds a block of the image.
    pub(crate) fn item_at(&self, block: BlockNo) -> Option<&Item> {
        let after = self.items.partition_point(|item| item.first <= block);
        let item = self.items[..after].last()?;
        (block.0 < item.first.0 + u64::from(item.blocks)).then_some(item)
    }

    /// Returns all items in ascending order.
    pub(crate) fn items(&self) -> &[Item] {
        &self.items
    }

    /// Returns where a node's body stands, if it has one.
    pub(crate) fn place(&self, node: NodeId) -> Option<&Place> {
        self.places.get(&node)
    }

    /// Returns the block of a node's attributes, if it has one.
    pub(crate) fn xattr_block(&self, node: NodeId) -> Option<BlockNo> {
        self.xattrs.get(&node).copied()
    }

    fn add(&mut self, body: Body, node: NodeId, blocks: u32, cursor: &mut Cursor) {
        let extents = cursor.take_extents(blocks);
        for extent in &extents {
            let item = Item {
                first: extent.physical,
                blocks: extent.len,
                skip: extent.logical,
                body,
            };
            self.items.push(item);
        }
        self.places.entry(node).or_default().extents = extents.into();
    }

    fn add_extent_tree(&mut self, id: NodeId, kind: &Kind<FileMap>, cursor: &mut Cursor) {
        let extents = match kind {
            Kind::File(map) => split(map.extents()).count(),
            _ => self
                .places
                .get(&id)
                .map_or(0, |place| split(&place.extents).count()),
        };
        let blocks = extent::tree_blocks(extents);
        if blocks == 0 {
            return;
        }
        let taken = cursor.take_extents(u32::try_from(blocks).unwrap_or(u32::MAX));
        let mut tree = Vec::new();
        for extent in taken {
            let body = Body::ExtentTree(id);
            self.items.push(Item {
                first: extent.physical,
                blocks: extent.len,
                skip: extent.logical,
                body,
            });
            tree.extend((0..u64::from(extent.len)).map(|n| BlockNo(extent.physical.0 + n)));
        }
        self.places.entry(id).or_default().tree = tree.into();
    }

    /// Gives equal attribute blocks one place, up to the number that may share it.
    fn place_xattrs(
        &mut self,
        tree: &Tree<FileMap>,
        numbers: &Numbers,
        cursor: &mut Cursor,
    ) -> Result<(), Error> {
        let mut shared: HashMap<[u8; 32], usize> = HashMap::new();
        for (_, id) in numbers.iter() {
            let xattrs = &tree.node(id).meta.xattrs;
            if xattrs.is_empty() {
                continue;
            }
            let placed = xattr::place(xattrs).map_err(|error| unplaced(&error))?;
            let Some(block) = placed.block else { continue };
            let key = *blake3::hash(&block[..]).as_bytes();
            let index = match shared.get(&key) {
                Some(&index) if self.share(index) => index,
                _ => {
                    let (first, _) = cursor.take(1);
                    let body = Body::Xattrs(id, 1);
                    self.items.push(Item {
                        first,
                        blocks: 1,
                        skip: 0,
                        body,
                    });
                    shared.insert(key, self.items.len() - 1);
                    self.items.len() - 1
                }
            };
            self.xattrs.insert(id, self.items[index].first);
        }
        Ok(())
    }

    /// Counts one more user of an attribute block, unless it has all it may have.
    fn share(&mut self, index: usize) -> bool {
        match &mut self.items[index].body {
            Body::Xattrs(_, users) if *users < MAX_SHARED => {
                *users += 1;
                true
            }
            _ => false,
        }
    }
}

/// Makes a directory's blocks.
pub(crate) fn directory_bytes(
    tree: &Tree<FileMap>,
    directory: &Directory,
    inode: InodeNo,
    numbers: &Numbers,
    identity: &Identity,
) -> Result<dir::Built, Error> {
    let entries: Vec<_> = directory
        .iter()
        .map(|(name, node)| dir::DirEntry {
            name,
            inode: numbers.inode(node),
            file_type: file_type(&tree.node(node).kind),
        })
        .collect();
    let parent = numbers.inode(directory.parent());
    let min_blocks = if inode == InodeNo::LOST_FOUND {
        LOST_FOUND_BLOCKS
    } else {
        1
    };
    let seed = Seed::from_uuid(&identity.uuid);
    dir::build(
        &entries,
        inode,
        parent,
        &identity.hash_seed,
        seed,
        min_blocks,
    )
    .map_err(|_| Error::Unrepresentable {
        entry: format!("the folder with inode {}", inode.0),
        offset: None,
        what: format!("{} names are too many for one folder", entries.len()),
        ignore: None,
    })
}

/// Returns the type that a directory entry gives beside the inode number.
fn file_type(kind: &Kind<FileMap>) -> u8 {
    match kind {
        Kind::File(_) => dir::file_type::FILE,
        Kind::Directory(_) => dir::file_type::DIRECTORY,
        Kind::CharDevice(_) => dir::file_type::CHAR,
        Kind::BlockDevice(_) => dir::file_type::BLOCK,
        Kind::Fifo => dir::file_type::FIFO,
        Kind::Socket => dir::file_type::SOCKET,
        Kind::Symlink(_) => dir::file_type::SYMLINK,
    }
}

/// Says that attributes that were checked on arrival cannot be placed after all.
fn unplaced(error: &xattr::XattrError) -> Error {
    Error::Unrepresentable {
        entry: "extended attributes".into(),
        offset: None,
        what: error.to_string(),
        ignore: None,
    }
}

/// Cuts runs into extents that the format can hold.
pub(crate) fn split(runs: &[Extent]) -> impl Iterator<Item = Extent> + '_ {
    runs.iter().flat_map(|run| {
        let starts = (0..run.len.div_ceil(extent::MAX_LEN)).map(|piece| piece * extent::MAX_LEN);
        starts.map(|start| Extent {
            logical: run.logical + start,
            len: (run.len - start).min(extent::MAX_LEN),
            physical: BlockNo(run.physical.0 + u64::from(start)),
        })
    })
}
