//! The folder for what a check finds, which every image gets of itself.

use forger_fs::tree::{Directory, NodeId, Tree};

/// Its name in the root.
const NAME: &[u8] = b"lost+found";

/// Leaves out `lost+found` of what is taken from `start` on, when it is as mkfs makes it: empty, and
/// only root may enter.
pub(crate) fn leave_out<C>(tree: &mut Tree<C>, start: NodeId) {
    if start != tree.root() {
        return;
    }
    let made = tree.get(NAME).is_some_and(|id| {
        let node = tree.node(id);
        let meta = &node.meta;
        let plain = meta.mode == 0o700 && (meta.uid, meta.gid) == (0, 0) && meta.xattrs.is_empty();
        plain && node.directory().is_some_and(Directory::is_empty)
    });
    if made {
        // It is there, and nothing else refers to it.
        let _ = tree.remove(NAME);
    }
}
