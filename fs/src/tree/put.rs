//! Entries enter and names leave: the last entry wins.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

use super::cost::{kind_cost, meta_cost, name_cost};
use super::resolve::{Place, Reached};
use super::{Directory, Error, Kind, Meta, Node, NodeId, Tree, name};

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

    /// Tells whether there is a folder at `path`, or a symlink that leads to one.
    #[must_use]
    pub fn is_folder(&self, path: &[u8]) -> bool {
        let Ok(place) = self.place(path) else {
            return false;
        };
        let (reached, last) = match place {
            Place::Folder(reached) => return reached.missing.is_empty(),
            Place::Name(reached, last) => (reached, last),
        };
        if !reached.missing.is_empty() {
            return false;
        }
        let there = self.folder(reached.node).get(last);
        match there.map(|there| &self.node(there).kind) {
            Some(Kind::Directory(_)) => true,
            Some(Kind::Symlink(target)) => self
                .reach(reached.node, target, false)
                .is_ok_and(|led| led.missing.is_empty()),
            _ => false,
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

    pub(super) fn set_meta(&mut self, id: NodeId, meta: Meta) {
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
