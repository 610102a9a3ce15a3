//! What differs between two trees, name by name.
//!
//! Names are compared in the order of [`walk`](super::Tree::walk): depth first, in order of raw
//! names. A node with several names is compared once, at the first that both trees have. Contents
//! are compared by reading, never held; a content that could not be read again goes by its
//! [`Digests`].
mod body;
mod digests;
mod facts;
mod matched;

pub use body::{Body, Mismatch};
pub use digests::{Digests, PIECE};
pub use facts::Fact;
pub use matched::Differences;

use super::{Kind, Node, NodeId, Tree};

/// What counts as a difference.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    /// Compares all that a tree says: every time, modes of symlinks, and whether a fact is there at
    /// all. Without it a fact that only one tree has is no difference (a time, all of an implied
    /// folder), and of times only that of the last change of the content counts.
    pub exact: bool,
    /// Tells holes from zeros, where contents can be read.
    pub holes: bool,
    /// Leaves out times.
    pub ignore_times: bool,
    /// Leaves out owners and groups.
    pub ignore_owner: bool,
    /// Leaves out permission bits.
    pub ignore_mode: bool,
    /// Leaves out extended attributes and ACLs.
    pub ignore_xattrs: bool,
    /// Leaves out inode flags and project ids.
    pub ignore_flags: bool,
    /// Leaves out which names share a file.
    pub ignore_links: bool,
    /// Leaves out contents, but not their lengths.
    pub ignore_content: bool,
}

/// A name that is in one tree only, or stands for something else in the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The path below the start: components with `/` between, empty for the start itself.
    pub path: Vec<u8>,
    /// What is different.
    pub change: Change,
}

/// What is different at a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is in the second tree only, as this.
    Added(&'static str),
    /// It is in the first tree only, as this.
    Removed(&'static str),
    /// It is in both, with facts that differ; never empty.
    Changed(Vec<Fact>),
}

impl<C: Comparable> Tree<C> {
    /// Returns what is different in another tree.
    pub fn compare<'a>(&'a self, other: &'a Self, how: Comparison) -> Differences<'a, C> {
        self.compare_from(NodeId::ROOT, other, NodeId::ROOT, how)
    }

    /// Returns what is different at and below a node of another tree.
    pub fn compare_from<'a>(
        &'a self,
        node: NodeId,
        other: &'a Self,
        others: NodeId,
        how: Comparison,
    ) -> Differences<'a, C> {
        Differences::new((self, node), (other, others), how)
    }
}

/// Tells whether two nodes are equal, leaving aside what is in them where they are folders, and their other names.
///
/// # Errors
/// Whatever goes wrong when contents are read.
pub fn same<C: Comparable>(
    a: &Node<C>,
    b: &Node<C>,
    how: Comparison,
) -> forger_block::Result<bool> {
    let mut found = Vec::new();
    facts::compare(a, b, how, &mut found)?;
    Ok(found.is_empty())
}

/// A content that can be compared with others of its type.
pub trait Comparable {
    /// Returns its length in bytes.
    fn size(&self) -> u64;

    /// Finds the first difference from another content; `holes` tells these from zeros.
    ///
    /// # Errors
    /// Whatever goes wrong when contents are read.
    fn mismatch(&self, other: &Self, holes: bool) -> forger_block::Result<Option<Mismatch>>;
}

/// Returns what a node is, in a word.
pub(super) fn word<C>(kind: &Kind<C>) -> &'static str {
    match kind {
        Kind::File(_) => "file",
        Kind::Directory(_) => "directory",
        Kind::Symlink(_) => "symlink",
        Kind::CharDevice(_) => "char",
        Kind::BlockDevice(_) => "block",
        Kind::Fifo => "fifo",
        Kind::Socket => "socket",
    }
}
