//! A disk that is served to others.

use std::sync::Arc;

use forger_block::{BlockRead, BlockStore};

/// What a server gives its clients.
#[derive(Clone, Debug)]
pub enum Disk {
    /// Nobody may write to it.
    ReadOnly(Arc<dyn BlockRead>),
    /// Whoever is served may write to it.
    Writable(Arc<dyn BlockStore>),
}

impl Disk {
    /// Returns what is read.
    #[must_use]
    pub fn reader(&self) -> &dyn BlockRead {
        match self {
            Self::ReadOnly(reader) => &**reader,
            Self::Writable(store) => &**store,
        }
    }

    /// Returns what is written to, if anything may be.
    #[must_use]
    pub fn store(&self) -> Option<&dyn BlockStore> {
        match self {
            Self::ReadOnly(_) => None,
            Self::Writable(store) => Some(&**store),
        }
    }
}
