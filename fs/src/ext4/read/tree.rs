//! A whole filesystem as a tree: one pass over its metadata, in the order of blocks.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

use super::directory::is_dot;
use super::inode_bytes::Bytes;
use super::table::for_each_inode;
use super::{FileType, Image, Inode, ReadError};
use crate::ext4::damage::{Damage, Location};
use crate::ext4::extent;
use crate::ext4::inode::flag;
use crate::ext4::{BlockNo, GroupNo, InodeNo};
use crate::tree::{Content, Device, Kind, Meta, NodeId, Policy, Tree, shown};

/// How much memory a tree may take unless the caller says: 8 GiB.
const MEMORY_LIMIT: u64 = 8 << 30;
/// What an inode, a node or a name takes in memory at most, beside names, links and attributes.
const COST: u64 = 512;

impl Image {
    /// Reads all metadata; contents are spans of the image.
    ///
    /// Inode tables are read in order, then directories, extent blocks and attribute blocks in the
    /// order they stand in, then the names are put together. `lost+found` is a directory like others.
    ///
    /// # Errors
    /// [`ReadError::Corrupt`] for damage in anything that has a name, [`ReadError::Unsupported`] for
    /// encrypted inodes, [`ReadError::Memory`] beyond 8 GiB.
    pub fn tree(&self) -> Result<Tree<Content>, ReadError> {
        self.tree_within(MEMORY_LIMIT)
    }

    /// Reads all metadata as [`tree`](Self::tree) does, in at most about `limit` bytes of memory.
    ///
    /// # Errors
    /// As [`tree`](Self::tree).
    pub fn tree_within(&self, limit: u64) -> Result<Tree<Content>, ReadError> {
        let mut nodes = Nodes {
            image: self,
            limit,
            memory: 0,
            found: Vec::new(),
        };
        nodes.scan()?;
        nodes.prepare()?;
        nodes.assemble()
    }
}

/// The names in a directory, without `.` and `..`.
type Names = Vec<(Box<[u8]>, InodeNo)>;

/// What is known of an inode.
enum Found {
    /// It is in use.
    Inode(Box<Inode>),
    /// Its metadata and kind, to be taken by its first name.
    Node(Meta, Kind<Content>),
    /// Its metadata and names, to be taken by its only name.
    Directory(Meta, Names),
    /// It has this node.
    Taken(NodeId),
    /// It is a directory that has its name already.
    TakenDirectory,
    /// It cannot be read, which matters when it has a name.
    Damaged(ReadError),
}

struct Nodes<'a> {
    image: &'a Image,
    limit: u64,
    memory: u64,
    /// In order of numbers.
    found: Vec<(InodeNo, Found)>,
}

impl Nodes<'_> {
    fn charge(&mut self, bytes: usize) -> Result<(), ReadError> {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        self.memory = self.memory.saturating_add(bytes).saturating_add(COST);
        if self.memory > self.limit {
            return Err(ReadError::Memory {
                what: "the tree",
                limit: self.limit,
            });
        }
        Ok(())
    }

    /// Reads the inode tables of all groups.
    fn scan(&mut self) -> Result<(), ReadError> {
        for group in 0..self.image.superblock.groups() {
            let (image, group) = (self.image, GroupNo(group));
            let desc = image.group(group)?;
            for_each_inode(image, group, &desc, &mut |number, bytes| {
                self.take(number, bytes)
            })?;
        }
        Ok(())
    }

    /// Takes an inode of the table, if it can have a name.
    fn take(&mut self, number: InodeNo, bytes: &[u8]) -> Result<(), ReadError> {
        let superblock = &self.image.superblock;
        let reserved = number < superblock.first_inode() && number != InodeNo::ROOT;
        let Some(raw) = Bytes::new(bytes).map(|bytes| bytes.raw) else {
            return Ok(());
        };
        if reserved || raw.i_links_count.get() == 0 {
            return Ok(());
        }
        let found = match Inode::parse(number, bytes, superblock) {
            Ok(inode) => Found::Inode(Box::new(inode)),
            Err(damage) => Found::Damaged(ReadError::inode(number, damage)),
        };
        self.found.push((number, found));
        self.charge(0)
    }

    /// Reads what the inodes lead to, in the order it stands in the image.
    fn prepare(&mut self) -> Result<(), ReadError> {
        let mut order: Vec<(BlockNo, usize)> = self
            .found
            .iter()
            .enumerate()
            .map(|(i, (_, found))| match found {
                Found::Inode(inode) => (self.first_block(inode), i),
                _ => (BlockNo(0), i),
            })
            .collect();
        order.sort_unstable();
        for (_, i) in order {
            let Some((number, found)) = self.found.get(i) else {
                continue;
            };
            let (number, Found::Inode(inode)) = (*number, found) else {
                continue;
            };
            let (prepared, cost) = match self.node(inode) {
                Ok(prepared) => prepared,
                Err(error) => (Found::Damaged(error), 0),
            };
            self.charge(cost)?;
            if let Some(slot) = self.found.get_mut(i) {
                *slot = (number, prepared);
            }
        }
        Ok(())
    }

    /// Returns the first block that is needed to know all of an inode.
    fn first_block(&self, inode: &Inode) -> BlockNo {
        if let Some(block) = inode.xattr_block(&self.image.superblock) {
            return block;
        }
        let root = &inode.raw().i_block;
        let word = |at: usize| {
            let chunk = root.get(at..).and_then(|rest| rest.first_chunk::<4>());
            u32::from_le_bytes(*chunk.unwrap_or(&[0; 4]))
        };
        let directory = inode.file_type() == FileType::Directory;
        let block = if inode.has_flag(flag::EXTENTS) {
            // The first entry: of a leaf, the block is its last word; of an index, the middle one.
            let depth = word(4) >> 16;
            match (depth, directory) {
                (0, true) => word(extent::ENTRY.saturating_add(8)),
                (0, false) => 0,
                _ => word(extent::ENTRY.saturating_add(4)),
            }
        } else if directory {
            word(0)
        } else {
            word(48)
        };
        BlockNo(block.into())
    }

    /// Reads all of an inode; returns what it is, and its names, links and attributes in bytes.
    fn node(&self, inode: &Inode) -> Result<(Found, usize), ReadError> {
        let image = self.image;
        if inode.is_encrypted() {
            return Err(ReadError::Unsupported {
                location: Location::Inode(inode.number()),
                what: "an encrypted inode",
            });
        }
        let meta = self.meta(inode)?;
        let mut cost = meta.xattrs.iter().fold(0_usize, |sum, (name, value)| {
            sum.saturating_add(name.len())
                .saturating_add(value.len())
                .saturating_add(100)
        });
        let kind = match inode.file_type() {
            FileType::File => {
                let content = image.access().content(inode)?;
                cost = cost.saturating_add(content.spans().len().saturating_mul(64));
                Kind::File(content)
            }
            FileType::Directory => {
                let names = self.names(inode)?;
                for (name, _) in &names {
                    cost = cost.saturating_add(name.len()).saturating_add(100);
                }
                return Ok((Found::Directory(meta, names), cost));
            }
            FileType::Symlink => {
                let target = image.symlink(inode)?;
                cost = cost.saturating_add(target.len());
                Kind::Symlink(target.into())
            }
            FileType::CharDevice => Kind::CharDevice(device(inode)),
            FileType::BlockDevice => Kind::BlockDevice(device(inode)),
            FileType::Fifo => Kind::Fifo,
            FileType::Socket => Kind::Socket,
        };
        Ok((Found::Node(meta, kind), cost))
    }

    fn meta(&self, inode: &Inode) -> Result<Meta, ReadError> {
        Ok(Meta {
            mode: inode.mode(),
            uid: inode.uid(),
            gid: inode.gid(),
            mtime: Some(inode.mtime()),
            atime: Some(inode.atime()),
            ctime: Some(inode.ctime()),
            crtime: inode.crtime(),
            flags: inode.user_flags(),
            project: inode.project(),
            xattrs: self.image.xattrs(inode)?,
        })
    }

    fn names(&self, inode: &Inode) -> Result<Names, ReadError> {
        let mut names = Vec::new();
        self.image.access().entries(inode, &mut |record| {
            if !is_dot(record.name) {
                names.push((record.name.into(), record.inode));
            }
            Ok(())
        })?;
        names.shrink_to_fit();
        Ok(names)
    }

    /// Puts the nodes together, from the root on.
    fn assemble(mut self) -> Result<Tree<Content>, ReadError> {
        let (meta, names) = match self.claim(InodeNo::ROOT, NodeId::ROOT)? {
            Claimed::Directory(meta, names) => (meta, names),
            _ => {
                let damage = Damage::Structure("the root is not a directory");
                return Err(ReadError::inode(InodeNo::ROOT, damage));
            }
        };
        let mut tree = Tree::new(Meta::default());
        tree.put(b"/", meta, Kind::directory(), Policy::default())
            .map_err(|source| ReadError::Tree {
                path: "/".to_owned(),
                source,
            })?;
        // Directories whose names are to come, each with its number.
        let mut open = vec![(InodeNo::ROOT, NodeId::ROOT, names)];
        while let Some((directory, parent, names)) = open.pop() {
            for (name, number) in names {
                let next = NodeId(u32::try_from(tree.id_bound()).unwrap_or(u32::MAX));
                let put = match self.claim(number, next)? {
                    Claimed::Node(meta, kind) => tree.insert(parent, &name, meta, kind),
                    Claimed::Link(node) => tree.insert_name(parent, &name, node).map(|()| node),
                    Claimed::Directory(meta, names) => tree
                        .insert(parent, &name, meta, Kind::directory())
                        .inspect(|node| open.push((number, *node, names))),
                };
                put.map_err(|source| ReadError::Tree {
                    path: format!("{} in directory inode {}", shown(&name), directory.0),
                    source,
                })?;
            }
        }
        Ok(tree)
    }

    /// Takes what is known of an inode for one of its names; `node` is what it becomes if this is the
    /// first.
    fn claim(&mut self, number: InodeNo, node: NodeId) -> Result<Claimed, ReadError> {
        let unused = || {
            ReadError::inode(
                number,
                Damage::Structure("it has a name, but is not in use"),
            )
        };
        let at = self
            .found
            .binary_search_by_key(&number, |(number, _)| *number)
            .map_err(|_| unused())?;
        let (_, slot) = self.found.get_mut(at).ok_or_else(unused)?;
        match std::mem::replace(slot, Found::Taken(node)) {
            Found::Node(meta, kind) => Ok(Claimed::Node(meta, kind)),
            Found::Directory(meta, names) => {
                *slot = Found::TakenDirectory;
                Ok(Claimed::Directory(meta, names))
            }
            Found::Taken(first) => {
                *slot = Found::Taken(first);
                Ok(Claimed::Link(first))
            }
            Found::TakenDirectory => {
                let damage = Damage::Structure("the directory has more than one name");
                Err(ReadError::inode(number, damage))
            }
            Found::Damaged(error) => Err(error),
            Found::Inode(_) => Err(unused()),
        }
    }
}

/// What a name gets.
enum Claimed {
    Node(Meta, Kind<Content>),
    Directory(Meta, Names),
    Link(NodeId),
}

fn device(inode: &Inode) -> Device {
    inode.device().unwrap_or_default()
}
