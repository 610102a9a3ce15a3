//! Every name of a tree, depth first.

use std::collections::btree_map;

use super::{NodeId, Tree};

/// A name that a [`Walk`] came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Visit<'a> {
    /// The name in its folder; empty for the root.
    pub name: &'a [u8],
    /// How many folders it is below the root, which has 0.
    pub depth: usize,
    /// The folder it stands in; the root for the root.
    pub parent: NodeId,
    /// The node it refers to.
    pub node: NodeId,
}

/// Every name of a tree, depth first, in order of raw names, a folder before what is in it.
///
/// A node with several names is visited once for each.
#[derive(Debug)]
pub struct Walk<'a, C> {
    tree: &'a Tree<C>,
    /// The folders that are open, each with the length of its path and its names to come.
    open: Vec<Open<'a>>,
    path: Vec<u8>,
    /// Where it starts, until it has.
    start: Option<NodeId>,
}

#[derive(Debug)]
struct Open<'a> {
    folder: NodeId,
    path: usize,
    names: btree_map::Iter<'a, Box<[u8]>, NodeId>,
}

impl<C> Tree<C> {
    /// Returns every name, depth first, in order of raw names, the root first.
    #[must_use]
    pub fn walk(&self) -> Walk<'_, C> {
        self.walk_from(NodeId::ROOT)
    }

    /// Returns every name in a folder and below, as [`walk`](Self::walk) would if it were the root.
    #[must_use]
    pub fn walk_from(&self, folder: NodeId) -> Walk<'_, C> {
        Walk {
            tree: self,
            open: Vec::new(),
            path: Vec::new(),
            start: Some(folder),
        }
    }
}

impl<'a, C> Walk<'a, C> {
    /// Returns the path of the last visited name: components with `/` between, empty for the root.
    #[must_use]
    pub fn path(&self) -> &[u8] {
        &self.path
    }

    fn enter(&mut self, folder: NodeId) {
        if let Some(directory) = self.tree.node(folder).directory() {
            self.open.push(Open {
                folder,
                path: self.path.len(),
                names: directory.entries.iter(),
            });
        }
    }
}

impl<'a, C> Iterator for Walk<'a, C> {
    type Item = Visit<'a>;

    fn next(&mut self) -> Option<Visit<'a>> {
        if let Some(folder) = self.start.take() {
            self.enter(folder);
            return Some(Visit {
                name: b"",
                depth: 0,
                parent: folder,
                node: folder,
            });
        }
        loop {
            let depth = self.open.len();
            let open = self.open.last_mut()?;
            self.path.truncate(open.path);
            let Some((name, &node)) = open.names.next() else {
                self.open.pop();
                continue;
            };
            let parent = open.folder;
            if depth > 1 {
                self.path.push(b'/');
            }
            self.path.extend_from_slice(name);
            self.enter(node);
            return Some(Visit {
                name,
                depth,
                parent,
                node,
            });
        }
    }
}
