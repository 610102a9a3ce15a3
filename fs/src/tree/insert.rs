//! Entries at a known place: for readers of filesystems, whose names are resolved already.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

use super::{Directory, Error, Kind, Meta, NodeId, Tree, name, shown};

impl<C> Tree<C> {
    /// Puts a new node under a new name of a folder.
    ///
    /// # Errors
    /// [`Error::Exists`] for a name that is there; what is wrong with the name or a symlink's target.
    ///
    /// # Panics
    /// When `parent` is no folder of this tree.
    pub(crate) fn insert(
        &mut self,
        parent: NodeId,
        last: &[u8],
        meta: Meta,
        kind: Kind<C>,
    ) -> Result<NodeId, Error> {
        self.check_new(parent, last)?;
        if u32::try_from(self.id_bound()).is_err() {
            return Err(Error::TooManyNodes);
        }
        let kind = match kind {
            Kind::Symlink(target) => {
                name::check_symlink(&target)?;
                Kind::Symlink(target)
            }
            Kind::Directory(_) => Kind::Directory(Directory::inside(parent)),
            other => other,
        };
        let node = self.push(meta, kind, false);
        let released = self.name(parent, last, node);
        debug_assert!(released.is_empty(), "the name is new");
        Ok(node)
    }

    /// Gives a node that is no folder a further, new name.
    ///
    /// # Errors
    /// [`Error::Exists`] for a name that is there, [`Error::LinkToDirectory`], and what is wrong with
    /// the name.
    ///
    /// # Panics
    /// As [`insert`](Self::insert).
    pub(crate) fn insert_name(
        &mut self,
        parent: NodeId,
        last: &[u8],
        node: NodeId,
    ) -> Result<(), Error> {
        self.check_new(parent, last)?;
        let target = self.node_mut(node);
        if target.kind.is_directory() {
            return Err(Error::LinkToDirectory {
                link: shown(last),
                target: format!("node {}", node.0),
            });
        }
        target.names = target
            .names
            .checked_add(1)
            .ok_or_else(|| Error::TooManyNames {
                target: shown(last),
            })?;
        let released = self.name(parent, last, node);
        debug_assert!(released.is_empty(), "the name is new");
        Ok(())
    }

    fn check_new(&self, parent: NodeId, last: &[u8]) -> Result<(), Error> {
        if last.is_empty() {
            return Err(Error::EmptyName);
        }
        if let Some(at) = last.iter().position(|byte| *byte == 0) {
            return Err(Error::Nul { at });
        }
        if let Some(at) = last.iter().position(|byte| *byte == b'/') {
            return Err(Error::Slash { at });
        }
        name::check_component(last)?;
        if matches!(last, b"." | b"..") {
            return Err(Error::EndsInParent { kind: "a new name" });
        }
        if self.folder(parent).get(last).is_some() {
            return Err(Error::Exists { name: shown(last) });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inserted_names_are_those_of_a_put() {
        let mut tree: Tree<u8> = Tree::new(Meta::default());
        let root = tree.root();
        let meta = Meta::default;
        let folder = tree.insert(root, b"d", meta(), Kind::directory()).unwrap();
        let file = tree.insert(folder, b"f", meta(), Kind::File(7)).unwrap();
        tree.insert_name(root, b"link", file).unwrap();
        assert_eq!(tree.get(b"d/f"), Some(file));
        assert_eq!(tree.get(b"link"), Some(file));
        assert_eq!(tree.node(file).names(), 2);
        assert_eq!(tree.node(folder).directory().unwrap().parent(), root);
    }

    #[test]
    fn names_that_are_there_or_illegal_are_refused() {
        let mut tree: Tree<u8> = Tree::new(Meta::default());
        let root = tree.root();
        let folder = tree.insert(root, b"d", Meta::default(), Kind::directory());
        let folder = folder.unwrap();
        for name in [&b"d"[..], b"", b"a/b", b"a\0", b".", b"..", &[b'x'; 256]] {
            assert!(
                tree.insert(root, name, Meta::default(), Kind::Fifo)
                    .is_err()
            );
        }
        assert!(tree.insert_name(root, b"e", folder).is_err());
        assert_eq!(tree.len(), 2);
    }
}
