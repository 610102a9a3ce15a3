//! The model: every name, node and fact of a filesystem, contents by reference.
//!
//! A [`Tree`] takes entries in arrival order, as an extracting `tar` would, and holds what a
//! filesystem would hold afterwards. It is generic over `C`, the handle of a file's content:
//! [`Content`] for trees that can be kept and compared, something of its own for a writer that
//! places contents as they arrive.
//!
//! # Names
//!
//! Names are raw bytes. A leading `/`, every `.` and every empty component are stripped; `.`, `./`
//! and `/` are the root. Refused are the empty name, names with a NUL, components over 255 bytes,
//! and names whose `..` leaves the root, whether as written or after links are followed.
//!
//! A name that passes through a symlink resolves as in a chroot: an absolute target starts again at
//! the root, `..` of a *target* at the root stays there, and 40 links are followed at most. `..`
//! steps to the parent of the folder that was reached, after links are followed (as the kernel does,
//! not as text): with `l -> a/b`, the name `l/../x` is `a/x`. The last component is never followed.
//! Parents that are missing, also those a dangling symlink leads to, are made: *implied* folders,
//! 0755 root:root without times, until an entry of their own arrives. A folder that is named only
//! for a `..` to leave it again, as `a` in `a/../b`, is not made.
//!
//! # The last entry wins
//!
//! | arrives \ stands there | file, symlink, device, fifo, socket, hard link | folder |
//! |---|---|---|
//! | file, symlink, device, fifo, socket | a new node takes the name; the old node loses it | the subtree is removed, a new node takes the name |
//! | hard link | the target's node takes the name | the subtree is removed (but not the target, should it lie inside) |
//! | folder | a new folder takes the name; with [`Policy::keep_directory_symlink`] a symlink that leads to a folder stays | metadata is replaced, children stay |
//!
//! An entry's metadata replaces the old metadata wholly. A node lives while a name refers to it: a
//! content whose last name is gone is handed back as *released*. The root is only replaced by a
//! folder. A symlink that is kept for a folder's sake changes nothing in the folder it leads to,
//! neither owner, mode nor times: so does GNU tar's `--keep-directory-symlink`.
//!
//! # Hard links
//!
//! A link is bound to the node that holds the target's name when the link arrives, so that a later
//! replacement of the target leaves the link on the old node. Where nothing holds that name yet the
//! link is *pending*: its name shows nowhere until [`Tree::settle`] binds it to what holds the
//! target's name by then. A pending name that gets another entry is dropped; as a parent it is
//! refused. Links to symlinks are links to the symlink itself; links to folders are refused, and so
//! are cycles of pending links. A link to itself changes nothing if the name exists. A link with a
//! body replaces the content of the node, for all its names, at the moment it is bound; where several
//! pending links to one node have bodies, the last of them stays.
pub mod acl;
#[cfg(any(test, feature = "arbitrary"))]
pub mod arbitrary;
pub mod capability;
mod collect;
pub mod compare;
mod content;
mod cost;
mod dump;
mod error;
mod insert;
mod layer;
mod link;
mod meta;
mod name;
mod node;
mod put;
mod remove;
mod resolve;
mod settle;
mod source;
mod walk;

use std::collections::BTreeMap;

pub use collect::{CollectError, INLINE_LIMIT};
pub use content::{Content, Span};
pub use dump::Holes;
pub use error::Error;
pub use layer::{Upper, Whiteout};
pub use link::Linked;
pub use meta::{Device, InodeFlags, Meta, Time, Xattrs};
pub use name::{MAX_NAME, MAX_SYMLINK, shown};
pub(crate) use name::{check as check_name, steps};
pub use node::{Directory, Kind, Node, NodeId};
pub use put::{Policy, Put};
pub use source::TreeSource;
pub use walk::{Visit, Walk};

use link::Pending;

/// Every name, node and fact of a filesystem; contents are handles `C`.
///
/// The module's documentation says how entries change it.
///
/// ```
/// use forger_fs::tree::{Content, Holes, Kind, Meta, Policy, Tree};
///
/// let mut tree = Tree::new(Meta { mode: 0o755, ..Meta::default() });
/// let policy = Policy::default();
/// let link = Kind::Symlink((*b"usr/bin").into());
/// tree.put(b"./bin", Meta::default(), link, policy)?;
/// let hello = Kind::File(Content::inline(&b"hello"[..]));
/// tree.put(b"./bin/hello", Meta::default(), hello, policy)?;
/// tree.link(b"bin/hi", b"usr/bin/hello", None)?;
/// tree.settle()?;
/// assert_eq!(tree.get(b"usr/bin/hi"), tree.get(b"usr/bin/hello"));
/// print!("{}", tree.dump(Holes::Shown)?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Tree<C> {
    /// All nodes in arrival order, the root first; `None` where a node lost its last name.
    nodes: Vec<Option<Node<C>>>,
    /// Hard links that wait for their target: by folder, then by name.
    pending: BTreeMap<NodeId, BTreeMap<Box<[u8]>, Pending<C>>>,
    /// How many links have been pending so far; orders them.
    arrivals: u64,
    /// Nodes that are alive.
    live: usize,
    /// Estimated bytes of heap beside the arena.
    heap: u64,
}

impl<C> Tree<C> {
    /// Makes a tree of one implied folder, the root, with the given metadata.
    #[must_use]
    pub fn new(root: Meta) -> Self {
        let mut tree = Self {
            nodes: Vec::new(),
            pending: BTreeMap::new(),
            arrivals: 0,
            live: 1,
            heap: 0,
        };
        tree.heap = cost::meta_cost(&root);
        tree.nodes
            .push(Some(Node::new(root, Kind::directory(), true)));
        tree
    }

    /// Returns the root, which is always there and always a folder.
    #[must_use]
    pub const fn root(&self) -> NodeId {
        NodeId::ROOT
    }

    /// Returns a node.
    ///
    /// # Panics
    /// When the node has been removed or is another tree's.
    #[must_use]
    pub fn node(&self, id: NodeId) -> &Node<C> {
        self.find(id).expect("the node is alive and of this tree")
    }

    /// Returns a node, or `None` when it has been removed.
    #[must_use]
    pub fn find(&self, id: NodeId) -> Option<&Node<C>> {
        self.nodes.get(id.index()).and_then(Option::as_ref)
    }

    /// Returns a node to be changed; its [`Kind`] must stay the same.
    ///
    /// # Panics
    /// As [`node`](Self::node).
    pub(crate) fn node_mut(&mut self, id: NodeId) -> &mut Node<C> {
        self.nodes
            .get_mut(id.index())
            .and_then(Option::as_mut)
            .expect("the node is alive and of this tree")
    }

    /// Returns a node's metadata to be changed.
    ///
    /// # Panics
    /// As [`node`](Self::node).
    pub fn meta_mut(&mut self, id: NodeId) -> &mut Meta {
        &mut self.node_mut(id).meta
    }

    /// Returns a file's content to be changed, or `None` for a node of another kind.
    ///
    /// # Panics
    /// As [`node`](Self::node).
    pub fn content_mut(&mut self, id: NodeId) -> Option<&mut C> {
        match &mut self.node_mut(id).kind {
            Kind::File(content) => Some(content),
            _ => None,
        }
    }

    /// Makes a tree whose contents are others. Links that are still pending are left out:
    /// [settle](Self::settle) first.
    #[must_use]
    pub fn map_contents<D>(self, mut content: impl FnMut(C) -> D) -> Tree<D> {
        let mut map = |node: Node<C>| node.map_content(&mut content);
        Tree {
            nodes: self
                .nodes
                .into_iter()
                .map(|node| node.map(&mut map))
                .collect(),
            pending: BTreeMap::new(),
            arrivals: self.arrivals,
            live: self.live,
            heap: self.heap,
        }
    }

    /// Returns the ids of all live nodes in arrival order, the root first.
    pub fn ids(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.iter().map(|(id, _)| id)
    }

    /// Returns all live nodes in arrival order, the root first.
    pub fn iter(&self) -> impl Iterator<Item = (NodeId, &Node<C>)> {
        let ids = (0u32..).map(NodeId);
        ids.zip(&self.nodes)
            .filter_map(|(id, node)| node.as_ref().map(|node| (id, node)))
    }

    /// Returns how many nodes are alive, the root included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.live
    }

    /// Tells whether the root is all there is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.live == 1
    }

    /// Returns the bound of the ids given so far: every id is below it, so that a `Vec` of this
    /// length can hold a fact for each.
    #[must_use]
    pub fn id_bound(&self) -> usize {
        self.nodes.len()
    }

    /// Estimates the memory that nodes, names, links and attributes take, in bytes; what the
    /// contents `C` own on the heap is not in it. Costs nothing.
    #[must_use]
    pub fn memory(&self) -> u64 {
        let arena = self
            .nodes
            .len()
            .saturating_mul(size_of::<Option<Node<C>>>());
        u64::try_from(arena)
            .unwrap_or(u64::MAX)
            .saturating_add(self.heap)
    }
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
