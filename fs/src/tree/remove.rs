//! Names leave, and what has no name goes with them.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

use super::cost::{kind_cost, meta_cost, name_cost};
use super::put::folder_only;
use super::resolve::Place;
use super::{Error, Kind, NodeId, Tree, shown};

impl<C> Tree<C> {
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
        if self.folder(reached.node).get(last).is_none() {
            return Err(not_found());
        }
        self.drop_name(reached.node, last, &mut released);
        Ok(released)
    }

    /// Removes a name of a folder where it is there, and all below it.
    pub(super) fn drop_name(&mut self, folder: NodeId, last: &[u8], released: &mut Vec<C>) {
        if let Some(id) = self.folder_mut(folder).entries.remove(last) {
            self.refund(name_cost(last));
            self.unname(id, released);
        }
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
}
