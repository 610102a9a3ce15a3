//! Why a qcow2 image cannot be read or made.

use crate::image_error::image_error;

/// Why a qcow2 image cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// Reading the file's bytes failed.
    #[error(transparent)]
    Block(#[from] forger_block::Error),
    /// The file is no qcow2 image.
    #[error("no qcow2 image")]
    NotQcow2,
    /// The image uses something that cannot be read.
    #[error("{what} cannot be read")]
    Unsupported {
        /// What it is.
        what: String,
    },
    /// The image needs another file, which its reader was not given.
    #[error("the image needs its {role} {name:?}")]
    Needs {
        /// What the file is to the image.
        role: Role,
        /// Its name, as it stands in the image.
        name: String,
    },
    /// The image has no such snapshot.
    #[error("there is no snapshot {wanted:?}; there are {names:?}")]
    NoSnapshot {
        /// What was asked for.
        wanted: String,
        /// The names of those that there are.
        names: Vec<String>,
    },
    /// A structure is damaged.
    #[error("{place}: {damage}")]
    Corrupt {
        /// Where it stands.
        place: Place,
        /// What is wrong with it.
        damage: Damage,
    },
}

/// What another file is to an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It holds what the image does not.
    Backing,
    /// It holds the image's data clusters.
    Data,
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Backing => "backing file",
            Self::Data => "data file",
        })
    }
}

/// Where a structure stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Place {
    /// The header.
    #[error("header")]
    Header,
    /// A header extension.
    #[error("header extension at offset {0}")]
    Extension(u64),
    /// The list of snapshots.
    #[error("snapshot {0}")]
    Snapshot(u32),
    /// An entry of the L1 table.
    #[error("entry {0} of the L1 table")]
    L1(u64),
    /// The L2 entry of a cluster.
    #[error("the L2 entry of the cluster at guest offset {0}")]
    L2(u64),
    /// A compressed cluster.
    #[error("the compressed cluster at guest offset {0}")]
    Compressed(u64),
}

/// What is wrong with a structure.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Damage {
    /// A field has an impossible value.
    #[error("{field} is {value}")]
    Field {
        /// The field, as the specification names it.
        field: &'static str,
        /// Its value.
        value: u64,
    },
    /// Something is referred to that lies beyond the end of the file, or not at a cluster.
    #[error("{field} refers to offset {offset} in a file of {size} bytes")]
    Offset {
        /// The field, as the specification names it.
        field: &'static str,
        /// Where it should be.
        offset: u64,
        /// The file's size.
        size: u64,
    },
    /// Two entries refer to the same table.
    #[error("the table at offset {offset} is used twice")]
    Twice {
        /// Where the table stands.
        offset: u64,
    },
    /// A structure ends too early.
    #[error("it is cut short")]
    Short,
    /// A compressed cluster cannot be decompressed.
    #[error("it cannot be decompressed to {0} bytes")]
    Decompress(usize),
}

impl ReadError {
    pub(super) fn corrupt(place: Place, damage: Damage) -> Self {
        Self::Corrupt { place, damage }
    }

    pub(super) fn field(place: Place, field: &'static str, value: u64) -> Self {
        Self::corrupt(place, Damage::Field { field, value })
    }
}

image_error!(ReadError, "qcow2");

/// Why a qcow2 image cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// Reading the source or writing the image failed.
    #[error(transparent)]
    Block(#[from] forger_block::Error),
    /// An option has an impossible value, alone or beside the others.
    #[error("{option}: {reason}")]
    Option {
        /// The option.
        option: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The image is too large for its clusters.
    #[error(
        "{size} bytes are too many for clusters of {cluster} bytes: the L1 table would exceed 32 MiB"
    )]
    TooLarge {
        /// The image's size, in bytes.
        size: u64,
        /// The size of a cluster, in bytes.
        cluster: u64,
    },
}
