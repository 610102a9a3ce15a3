//! Hard links: bound on arrival, or pending until the end.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

use std::collections::BTreeMap;

use super::cost::name_cost;
use super::put::folder_only;
use super::resolve::Place;
use super::{Error, Kind, NodeId, Tree, shown};

/// A hard link that waits for its target.
#[derive(Clone, Debug)]
pub(super) struct Pending<C> {
    /// Its place among all links that were ever pending.
    pub(super) arrival: u64,
    /// Its name as it arrived.
    pub(super) link: Box<[u8]>,
    /// Its target as it arrived.
    pub(super) target: Box<[u8]>,
    /// The content it carries.
    pub(super) body: Option<C>,
}

impl<C> Pending<C> {
    pub(super) fn cost(&self) -> u64 {
        name_cost(&self.link).saturating_add(name_cost(&self.target))
    }
}

/// What a hard link did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Linked<C> {
    /// The node that the name now refers to; `None` while the link waits for its target.
    pub node: Option<NodeId>,
    /// The contents that no name refers to any more.
    pub released: Vec<C>,
}

/// What a link's target means now.
pub(super) enum Target {
    /// A node that can have a further name.
    Node(NodeId),
    /// The name of a link that waits itself.
    Pending(NodeId, Box<[u8]>),
    /// Nothing yet.
    Nothing,
}

impl<C> Tree<C> {
    /// Checks whether a hard link can stand at `path`, with or without a content, and changes
    /// nothing.
    ///
    /// # Errors
    /// What [`link`](Self::link) would return.
    pub fn check_link(&self, path: &[u8], target: &[u8], body: bool) -> Result<(), Error> {
        match self.place(path)? {
            Place::Name(..) => {}
            Place::Folder(reached) => return Err(folder_only(&reached, "a hard link")),
        }
        match self.target(path, target)? {
            Target::Node(id) if body => self.check_body(id, path, target),
            _ => Ok(()),
        }
    }

    /// Adds a hard link at `path` to `target`, which may carry a content of its own.
    ///
    /// The link is bound to the node that holds the target's name, or is pending until
    /// [`settle`](Self::settle). On an error nothing has changed.
    ///
    /// # Errors
    /// Whatever is wrong with either name; a target that is a folder, or that cannot have the
    /// content.
    pub fn link(
        &mut self,
        path: &[u8],
        target: &[u8],
        body: Option<C>,
    ) -> Result<Linked<C>, Error> {
        self.check_link(path, target, body.is_some())?;
        let Place::Name(reached, last) = self.place(path)? else {
            unreachable!("check_link takes nothing else");
        };
        self.check_room(&reached)?;
        let found = self.target(path, target)?;
        match found {
            Target::Node(node) => {
                self.check_names(node, 1, target)?;
                let parent = self.make(reached);
                Ok(self.bind(parent, last, node, body))
            }
            Target::Pending(..) | Target::Nothing => {
                let parent = self.make(reached);
                let released = self.wait(parent, last, path, target, body);
                Ok(Linked {
                    node: None,
                    released,
                })
            }
        }
    }

    /// Returns how many hard links wait for their target.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.pending.values().map(BTreeMap::len).sum()
    }

    /// Lets a name refer to the node, and gives the node the link's body.
    pub(super) fn bind(
        &mut self,
        parent: NodeId,
        last: &[u8],
        id: NodeId,
        body: Option<C>,
    ) -> Linked<C> {
        let mut released = Vec::new();
        if self.folder(parent).get(last) != Some(id) {
            let node = self.node_mut(id);
            node.names = node.names.saturating_add(1);
            released = self.name(parent, last, id);
        }
        if let (Some(body), Some(content)) = (body, self.content_mut(id)) {
            released.push(std::mem::replace(content, body));
        }
        Linked {
            node: Some(id),
            released,
        }
    }

    /// Lets a name wait for a target; what it referred to loses it now.
    fn wait(
        &mut self,
        parent: NodeId,
        last: &[u8],
        link: &[u8],
        target: &[u8],
        body: Option<C>,
    ) -> Vec<C> {
        let mut released = Vec::new();
        released.extend(self.drop_pending(parent, last).flatten());
        if let Some(old) = self.folder_mut(parent).entries.remove(last) {
            self.refund(name_cost(last));
            self.unname(old, &mut released);
        }
        let pending = Pending {
            arrival: self.arrivals,
            link: link.into(),
            target: target.into(),
            body,
        };
        self.arrivals = self.arrivals.saturating_add(1);
        self.charge(pending.cost());
        let names = self.pending.entry(parent).or_default();
        names.insert(last.into(), pending);
        released
    }

    /// Finds what a link's target means now.
    pub(super) fn target(&self, link: &[u8], target: &[u8]) -> Result<Target, Error> {
        let to_folder = || Error::LinkToDirectory {
            link: shown(link),
            target: shown(target),
        };
        let place = self.place(target).map_err(|source| Error::LinkTarget {
            link: shown(link),
            target: shown(target),
            source: Box::new(source),
        })?;
        let (reached, last) = match place {
            Place::Name(reached, last) => (reached, last),
            Place::Folder(reached) if reached.missing.is_empty() => return Err(to_folder()),
            Place::Folder(_) => return Ok(Target::Nothing),
        };
        if !reached.missing.is_empty() {
            return Ok(Target::Nothing);
        }
        match self.folder(reached.node).get(last) {
            Some(id) if self.node(id).kind.is_directory() => Err(to_folder()),
            Some(id) => Ok(Target::Node(id)),
            None if self.pending_at(reached.node, last).is_some() => {
                Ok(Target::Pending(reached.node, last.into()))
            }
            None => Ok(Target::Nothing),
        }
    }

    /// Checks that a node can have so many further names.
    pub(super) fn check_names(&self, id: NodeId, more: u32, target: &[u8]) -> Result<(), Error> {
        match self.node(id).names.checked_add(more) {
            Some(_) => Ok(()),
            None => Err(Error::TooManyNames {
                target: shown(target),
            }),
        }
    }

    pub(super) fn check_body(&self, id: NodeId, link: &[u8], target: &[u8]) -> Result<(), Error> {
        match &self.node(id).kind {
            Kind::File(_) => Ok(()),
            other => Err(Error::LinkBody {
                link: shown(link),
                target: shown(target),
                kind: other.name(),
            }),
        }
    }

    pub(super) fn pending_at(&self, parent: NodeId, last: &[u8]) -> Option<&Pending<C>> {
        self.pending.get(&parent)?.get(last)
    }

    /// Drops the link that waits at a name; returns its body, if there was such a link.
    pub(super) fn drop_pending(&mut self, parent: NodeId, last: &[u8]) -> Option<Option<C>> {
        let names = self.pending.get_mut(&parent)?;
        let link = names.remove(last)?;
        if names.is_empty() {
            self.pending.remove(&parent);
        }
        self.refund(link.cost());
        Some(link.body)
    }

    /// Drops the links that wait in a folder.
    pub(super) fn drop_all_pending(&mut self, parent: NodeId, released: &mut Vec<C>) {
        for (_, link) in self.pending.remove(&parent).unwrap_or_default() {
            self.refund(link.cost());
            released.extend(link.body);
        }
    }
}
