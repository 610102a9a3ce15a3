//! What a tree costs, estimated: said at every change, so that asking is free.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

use super::{Kind, Meta, Tree};

/// Estimated heap bytes of a folder's name beside its own bytes: its share of a B-tree node, and
/// what the allocator adds.
const NAME_COST: u64 = 56;

/// Estimated heap bytes of an attribute beside its name's and value's bytes.
const XATTR_COST: u64 = 96;

impl<C> Tree<C> {
    pub(super) fn charge(&mut self, bytes: u64) {
        self.heap = self.heap.saturating_add(bytes);
    }

    pub(super) fn refund(&mut self, bytes: u64) {
        self.heap = self.heap.saturating_sub(bytes);
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

/// The heap that a node's kind takes, in bytes; a content's is not in it.
pub(super) fn kind_cost<C>(kind: &Kind<C>) -> u64 {
    match kind {
        Kind::Symlink(target) => bytes(target).saturating_add(16),
        _ => 0,
    }
}

fn bytes(slice: &[u8]) -> u64 {
    u64::try_from(slice.len()).unwrap_or(u64::MAX)
}
