//! Entries enter and names leave: the last entry wins.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

use super::resolve::{Place, Reached};
use super::{Directory, Error, Kind, Meta, Node, NodeId, Tree, name, shown};

/// Estimated heap bytes of a folder's name beside its own bytes: its share of a B-tree node, and
/// what the allocator adds.
const NAME_COST: u64 = 56;

/// Estimated heap bytes of an attribute beside its name's and value's bytes.
const XATTR_COST: u64 = 96;

/// How entries replace others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// A folder that arrives where a symlink to a folder stands leaves the symlink as it is
    /// (overlays on a merged `/usr`) and does not replace it (root filesystem archives).
    pub keep_directory_symlink: bool,
}

/// What an entry did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Put<C> {
    /// The node that the name now refers to; the folder, where a symlink to it was kept.
    pub node: NodeId,
    /// The contents that no name refers to any more.
    pub released: Vec<C>,
}

impl<C> Tree<C> {
    /// Checks whether anything but a folder can be put at `path`, and changes nothing.
    ///
    /// # Errors
    /// What [`put`](Self::put) would return.
    pub fn check(&self, path: &[u8]) -> Result<(), Error> {
        match self.place(path)? {
            Place::Name(..) => Ok(()),
            Place::Folder(reached) => Err(folder_only(&reached, "a file")),
        }
    }

    /// Puts an entry at `path`; the module's documentation has the table of what it replaces.
    ///
    /// A folder comes as [`Kind::directory`]. On an error nothing has changed.
    ///
    /// # Errors
    /// Whatever is wrong with the name or the symlink's target.
    pub fn put(
        &mut self,
        path: &[u8],
        meta: Meta,
        kind: Kind<C>,
        policy: Policy,
    ) -> Result<Put<C>, Error> {
        if let Kind::Symlink(target) = &kind {
            name::check_symlink(target)?;
        }
        let place = self.place(path)?;
        if kind.is_directory() {
            return self.put_directory(place, meta, policy);
        }
        match place {
            Place::Folder(reached) => Err(folder_only(&reached, kind.name())),
            Place::Name(reached, last) => {
                self.check_room(&reached)?;
                let parent = self.make(reached);
                let node = self.push(meta, kind, false);
                let released = self.name(parent, last, node);
                Ok(Put { node, released })
            }
        }
    }

    fn put_directory(
        &mut self,
        place: Place<'_>,
        meta: Meta,
        policy: Policy,
    ) -> Result<Put<C>, Error> {
        let (reached, last) = match place {
            Place::Name(reached, last) => (reached, last),
            Place::Folder(reached) => {
                self.check_room(&reached)?;
                let node = self.make(reached);
                self.set_meta(node, meta);
                return Ok(Put::at(node));
            }
        };
        if reached.missing.is_empty()
            && let Some(there) = self.folder(reached.node).get(last)
        {
            match &self.node(there).kind {
                Kind::Directory(_) => {
                    self.set_meta(there, meta);
                    return Ok(Put::at(there));
                }
                Kind::Symlink(target) if policy.keep_directory_symlink => {
                    if let Ok(led) = self.reach(reached.node, target, false)
                        && led.missing.is_empty()
                    {
                        return Ok(Put::at(led.node));
                    }
                }
                _ => {}
            }
        }
        self.check_room(&reached)?;
        let parent = self.make(reached);
        let node = self.push(meta, Kind::Directory(Directory::inside(parent)), false);
        let released = self.name(parent, last, node);
        Ok(Put { node, released })
    }

    /// Removes a name, and all below it where it is a folder; returns the released contents.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Root`], and whatever is wrong with the name.
    pub fn remove(&mut self, path: &[u8]) -> Result<Vec<C>, Error> {
        let not_found = || Error::NotFound { name: shown(path) };
        let (reached, last) = match self.place(path)? {
            Place::Name(reached, last) => (reached, last),
            Place::Folder(reached) => return Err(folder_only(&reached, "nothing")),
        };
        if !reached.missing.is_empty() {
            return Err(not_found());
        }
        let mut released = Vec::new();
        if let Some(body) = self.drop_pending(reached.node, last) {
            released.extend(body);
            return Ok(released);
        }
        let folder = self.folder_mut(reached.node);
        let id = folder.entries.remove(last).ok_or_else(not_found)?;
        self.refund(name_cost(last));
        self.unname(id, &mut released);
        Ok(released)
    }

    /// Returns what `path` refers to, without following its last component; `None` where there is
    /// nothing and for a name that is not legal.
    #[must_use]
    pub fn get(&self, path: &[u8]) -> Option<NodeId> {
        match self.place(path).ok()? {
            Place::Folder(reached) if reached.missing.is_empty() => Some(reached.node),
            Place::Name(reached, last) if reached.missing.is_empty() => {
                self.folder(reached.node).get(last)
            }
            _ => None,
        }
    }

    /// Makes the folders that are missing, implied; returns the innermost.
    pub(super) fn make(&mut self, reached: Reached) -> NodeId {
        let mut parent = reached.node;
        for step in reached.missing {
            let meta = Meta {
                mode: 0o755,
                ..Meta::default()
            };
            let node = self.push(meta, Kind::Directory(Directory::inside(parent)), true);
            let released = self.name(parent, &step, node);
            debug_assert!(released.is_empty(), "a missing folder has no name yet");
            parent = node;
        }
        parent
    }

    /// Lets a name refer to a node, whose count already includes it, and releases what it referred
    /// to before.
    pub(super) fn name(&mut self, parent: NodeId, last: &[u8], node: NodeId) -> Vec<C> {
        let mut released = Vec::new();
        if let Some(body) = self.drop_pending(parent, last) {
            released.extend(body);
        }
        let folder = self.folder_mut(parent);
        // Looked up first, so that a replaced name is not allocated again.
        if let Some(there) = folder.entries.get_mut(last) {
            let old = std::mem::replace(there, node);
            self.unname(old, &mut released);
        } else {
            folder.entries.insert(last.into(), node);
            self.charge(name_cost(last));
        }
        released
    }

    /// Takes a name away from a node; a node without names goes, and with a folder all below it.
    pub(super) fn unname(&mut self, id: NodeId, released: &mut Vec<C>) {
        let mut rest = vec![id];
        while let Some(id) = rest.pop() {
            let Some(slot) = self.nodes.get_mut(id.index()) else {
                continue;
            };
            let Some(node) = slot else { continue };
            node.names = node.names.saturating_sub(1);
            if node.names > 0 {
                continue;
            }
            let Some(node) = slot.take() else { continue };
            self.live = self.live.saturating_sub(1);
            self.refund(meta_cost(&node.meta).saturating_add(kind_cost(&node.kind)));
            match node.kind {
                Kind::File(content) => released.push(content),
                Kind::Directory(folder) => {
                    self.drop_all_pending(id, released);
                    for (last, child) in folder.entries {
                        self.refund(name_cost(&last));
                        rest.push(child);
                    }
                }
                _ => {}
            }
        }
    }

    /// Adds a node that one name is about to refer to.
    pub(super) fn push(&mut self, meta: Meta, kind: Kind<C>, implied: bool) -> NodeId {
        let id = u32::try_from(self.nodes.len()).expect("check_room has counted the nodes");
        self.charge(meta_cost(&meta).saturating_add(kind_cost(&kind)));
        self.nodes.push(Some(Node::new(meta, kind, implied)));
        self.live = self.live.saturating_add(1);
        NodeId(id)
    }

    /// Checks that an entry and the folders it implies can be numbered.
    pub(super) fn check_room(&self, reached: &Reached) -> Result<(), Error> {
        let nodes = self.nodes.len().saturating_add(reached.missing.len());
        match u32::try_from(nodes) {
            Ok(last) if last < u32::MAX => Ok(()),
            _ => Err(Error::TooManyNodes),
        }
    }

    fn set_meta(&mut self, id: NodeId, meta: Meta) {
        let cost = meta_cost(&meta);
        let node = self.node_mut(id);
        let old = std::mem::replace(&mut node.meta, meta);
        node.implied = false;
        self.refund(meta_cost(&old));
        self.charge(cost);
    }

    pub(super) fn folder(&self, id: NodeId) -> &Directory {
        let folder = self.node(id).directory();
        folder.expect("names are resolved to folders only")
    }

    pub(super) fn folder_mut(&mut self, id: NodeId) -> &mut Directory {
        match &mut self.node_mut(id).kind {
            Kind::Directory(folder) => folder,
            _ => unreachable!("names are resolved to folders only"),
        }
    }

    pub(super) fn charge(&mut self, bytes: u64) {
        self.heap = self.heap.saturating_add(bytes);
    }

    pub(super) fn refund(&mut self, bytes: u64) {
        self.heap = self.heap.saturating_sub(bytes);
    }
}

impl<C> Put<C> {
    fn at(node: NodeId) -> Self {
        Self {
            node,
            released: Vec::new(),
        }
    }
}

/// The error for putting something else where only a folder can be.
pub(super) fn folder_only(reached: &Reached, kind: &'static str) -> Error {
    if reached.node == NodeId::ROOT && reached.missing.is_empty() {
        Error::Root { kind }
    } else {
        Error::EndsInParent { kind }
    }
}

/// The heap that a name takes in its folder, in bytes.
pub(super) fn name_cost(last: &[u8]) -> u64 {
    NAME_COST.saturating_add(bytes(last))
}

/// The heap that metadata takes, in bytes.
pub(super) fn meta_cost(meta: &Meta) -> u64 {
    meta.xattrs.iter().fold(0, |sum, (name, value)| {
        sum.saturating_add(XATTR_COST)
            .saturating_add(bytes(name))
            .saturating_add(bytes(value))
    })
}

fn kind_cost<C>(kind: &Kind<C>) -> u64 {
    match kind {
        Kind::Symlink(target) => bytes(target).saturating_add(16),
        _ => 0,
    }
}

fn bytes(slice: &[u8]) -> u64 {
    u64::try_from(slice.len()).unwrap_or(u64::MAX)
}
