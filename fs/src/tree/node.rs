//! Nodes: what names refer to.

use std::collections::BTreeMap;

use super::{Device, Meta};

/// A node's number, given in arrival order and never given twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u32);

impl NodeId {
    /// The root.
    pub const ROOT: Self = Self(0);

    /// Returns the number as an index, below [`Tree::id_bound`](super::Tree::id_bound).
    #[must_use]
    pub fn index(self) -> usize {
        usize::try_from(self.0).expect("usize has at least 32 bits on every supported target")
    }
}

/// What one or more names refer to.
#[derive(Clone, Debug)]
pub struct Node<C> {
    /// Owner, mode, times, flags, extended attributes.
    pub meta: Meta,
    /// What it is, with its content.
    pub kind: Kind<C>,
    pub(super) names: u32,
    pub(super) implied: bool,
}

impl<C> Node<C> {
    pub(super) fn new(meta: Meta, kind: Kind<C>, implied: bool) -> Self {
        Self {
            meta,
            kind,
            names: 1,
            implied,
        }
    }

    /// Makes a node whose content is another.
    pub(super) fn map_content<D>(self, content: impl FnOnce(C) -> D) -> Node<D> {
        let kind = match self.kind {
            Kind::File(own) => Kind::File(content(own)),
            Kind::Directory(directory) => Kind::Directory(directory),
            Kind::Symlink(target) => Kind::Symlink(target),
            Kind::CharDevice(device) => Kind::CharDevice(device),
            Kind::BlockDevice(device) => Kind::BlockDevice(device),
            Kind::Fifo => Kind::Fifo,
            Kind::Socket => Kind::Socket,
        };
        Node {
            meta: self.meta,
            kind,
            names: self.names,
            implied: self.implied,
        }
    }

    /// Returns how many names refer to the node; a folder has one.
    #[must_use]
    pub fn names(&self) -> u32 {
        self.names
    }

    /// Tells whether the node is a folder that only the names of others imply.
    #[must_use]
    pub fn implied(&self) -> bool {
        self.implied
    }

    /// Returns the folder, where it is one.
    #[must_use]
    pub fn directory(&self) -> Option<&Directory> {
        match &self.kind {
            Kind::Directory(directory) => Some(directory),
            _ => None,
        }
    }
}

/// What a node is. Hard links are not a kind: they are names of one node.
#[derive(Clone, Debug)]
pub enum Kind<C> {
    /// A regular file with its content.
    File(C),
    /// A folder.
    Directory(Directory),
    /// A symbolic link to these bytes, 1..=4095.
    Symlink(Box<[u8]>),
    /// A character device.
    CharDevice(Device),
    /// A block device.
    BlockDevice(Device),
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
}

impl<C> Kind<C> {
    /// Makes an empty folder.
    #[must_use]
    pub fn directory() -> Self {
        Self::Directory(Directory::inside(NodeId::ROOT))
    }

    /// Returns the kind with an article, for messages.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::File(_) => "a file",
            Self::Directory(_) => "a folder",
            Self::Symlink(_) => "a symlink",
            Self::CharDevice(_) => "a character device",
            Self::BlockDevice(_) => "a block device",
            Self::Fifo => "a fifo",
            Self::Socket => "a socket",
        }
    }

    /// Tells whether it is a folder.
    #[must_use]
    pub fn is_directory(&self) -> bool {
        matches!(self, Self::Directory(_))
    }
}

/// A folder's names, in order of their raw bytes.
#[derive(Clone, Debug)]
pub struct Directory {
    pub(super) entries: BTreeMap<Box<[u8]>, NodeId>,
    pub(super) parent: NodeId,
}

impl Directory {
    pub(super) fn inside(parent: NodeId) -> Self {
        Self {
            entries: BTreeMap::new(),
            parent,
        }
    }

    /// Returns the folder that this one stands in; the root's is the root.
    #[must_use]
    pub fn parent(&self) -> NodeId {
        self.parent
    }

    /// Returns what a name in this folder refers to.
    #[must_use]
    pub fn get(&self, name: &[u8]) -> Option<NodeId> {
        self.entries.get(name).copied()
    }

    /// Returns the names and what they refer to, in order of raw names.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&[u8], NodeId)> + DoubleEndedIterator {
        self.entries.iter().map(|(name, &id)| (&**name, id))
    }

    /// Returns the number of names.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Tells whether the folder has no names.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}
