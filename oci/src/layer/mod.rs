//! Layers: read as sources of entries, verified, several at once; and written.

mod ahead;
mod collect;
mod diff;
mod hashing;
mod source;
mod write;

pub use ahead::{LayerOptions, open};
pub use collect::collect;
pub use diff::{Changes, DiffError, diff};
pub use source::LayerSource;
pub use write::{LayerWriter, Written};

#[cfg(test)]
mod tests;
