//! Why an entry has no place in the tree.

/// Why a name, link or node is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// `..` in a member name or hard-link target leaves the root.
    #[error("`..` leaves the root")]
    LeavesRoot,
}
