//! Why a VMDK image cannot be read or made.

use crate::image_error::image_error;

/// Why a VMDK image cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// Reading the file's bytes failed.
    #[error(transparent)]
    Block(#[from] forger_block::Error),
    /// The file is no sparse VMDK extent.
    #[error("no sparse VMDK image")]
    NotVmdk,
    /// The image uses something that cannot be read.
    #[error("{what} cannot be read")]
    Unsupported {
        /// What it is.
        what: String,
    },
    /// A field has an impossible value.
    #[error("{field} is {value}")]
    Field {
        /// The field, as the specification names it.
        field: &'static str,
        /// Its value.
        value: u64,
    },
    /// A grain table or grain lies beyond the end of the file.
    #[error(
        "the {what} of guest offset {guest} should stand at sector {sector} of a file of {size} bytes"
    )]
    Beyond {
        /// What it is.
        what: &'static str,
        /// Where the disk needs it, in bytes.
        guest: u64,
        /// Where it should be.
        sector: u32,
        /// The file's size, in bytes.
        size: u64,
    },
    /// A compressed grain is damaged.
    #[error("the compressed grain of guest offset {guest} is damaged")]
    Grain {
        /// Where the disk needs it, in bytes.
        guest: u64,
    },
}

image_error!(ReadError, "VMDK");

/// Why a VMDK image cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// Reading the source or writing the image failed.
    #[error(transparent)]
    Block(#[from] forger_block::Error),
    /// The image is too large for the format.
    #[error("{size} bytes are too many: a sparse VMDK holds up to 2 TiB")]
    TooLarge {
        /// The disk's size, in bytes.
        size: u64,
    },
    /// The name cannot stand in a descriptor.
    #[error("the name {name:?} cannot stand in a descriptor")]
    Name {
        /// The name.
        name: String,
    },
    /// The length of the disk is not known, and stands in the header.
    #[error("the length of the disk is not known before its end")]
    Unknown,
    /// The compression level is impossible.
    #[error("zlib has levels from 1 to 9, not {level}")]
    Level {
        /// What was asked for.
        level: u32,
    },
}
