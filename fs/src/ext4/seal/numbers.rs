//! Inode numbers: the root is 2, `lost+found` is 11, all others follow from 12 on in order of arrival.

use crate::ext4::Error;
use crate::ext4::file_map::FileMap;
use crate::ext4::units::InodeNo;
use crate::tree::{Kind, Meta, NodeId, Policy, Tree};

/// The folder for what e2fsck finds; always inode 11.
const LOST_FOUND: &[u8] = b"lost+found";

/// Which node has which inode number.
#[derive(Debug)]
pub(crate) struct Numbers {
    /// By inode number - `first`.
    nodes: Vec<NodeId>,
    /// 11, or 12 without a `lost+found`.
    first: u32,
    /// By node index; 0 where a node was removed.
    inodes: Vec<u32>,
    root: NodeId,
}

impl Numbers {
    /// Makes `lost+found` where there is none and `make` says so, and numbers all nodes.
    pub(crate) fn new(tree: &mut Tree<FileMap>, make: bool) -> Result<Self, Error> {
        let lost_found = match make || tree.get(LOST_FOUND).is_some() {
            true => Some(lost_found(tree)?),
            false => None,
        };
        let mut nodes: Vec<NodeId> = lost_found.into_iter().collect();
        let first = InodeNo::LOST_FOUND.0 + u32::from(lost_found.is_none());
        let mut inodes = vec![0; tree.id_bound()];
        inodes[tree.root().index()] = InodeNo::ROOT.0;
        if let Some(id) = lost_found {
            inodes[id.index()] = InodeNo::LOST_FOUND.0;
        }
        for id in tree.ids() {
            if id != tree.root() && Some(id) != lost_found {
                let next = u64::from(first) + nodes.len() as u64;
                inodes[id.index()] = u32::try_from(next).map_err(|_| Error::Unrepresentable {
                    entry: "the tree".into(),
                    offset: None,
                    what: "more than 2^32 inodes".into(),
                    ignore: None,
                })?;
                nodes.push(id);
            }
        }
        Ok(Self {
            nodes,
            first,
            inodes,
            root: tree.root(),
        })
    }

    /// Returns a node's inode number.
    pub(crate) fn inode(&self, node: NodeId) -> InodeNo {
        InodeNo(self.inodes[node.index()])
    }

    /// Returns the node with an inode number, if the number is not a reserved one.
    pub(crate) fn node(&self, inode: InodeNo) -> Option<NodeId> {
        if inode == InodeNo::ROOT {
            return Some(self.root);
        }
        let index = inode.0.checked_sub(self.first)?;
        self.nodes.get(usize::try_from(index).ok()?).copied()
    }

    /// Returns the highest number in use.
    pub(crate) fn last(&self) -> InodeNo {
        let last = u64::from(self.first) + self.nodes.len() as u64 - 1;
        InodeNo(u32::try_from(last).unwrap_or(u32::MAX))
    }

    /// Returns all nodes with their numbers, the root first, then in ascending order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (InodeNo, NodeId)> + '_ {
        let others = (self.first..).map(InodeNo).zip(self.nodes.iter().copied());
        std::iter::once((InodeNo::ROOT, self.root)).chain(others)
    }
}

/// Finds or makes `lost+found`.
fn lost_found(tree: &mut Tree<FileMap>) -> Result<NodeId, Error> {
    let refused = |source| Error::Entry {
        entry: "lost+found".into(),
        offset: None,
        source,
    };
    match tree.get(LOST_FOUND) {
        Some(id) if matches!(tree.node(id).kind, Kind::Directory(_)) => Ok(id),
        Some(id) => Err(Error::Unrepresentable {
            entry: "lost+found".into(),
            offset: None,
            what: format!(
                "is a {}; ext4 needs a folder there",
                tree.node(id).kind.name()
            ),
            ignore: None,
        }),
        None => {
            let meta = Meta {
                mode: 0o700,
                ..Meta::default()
            };
            let put = tree.put(LOST_FOUND, meta, Kind::directory(), Policy::default());
            put.map(|put| put.node).map_err(refused)
        }
    }
}
