//! Why a VHDX image cannot be read or made.

use crate::image_error::image_error;

/// Why a VHDX image cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// Reading the file's bytes failed.
    #[error(transparent)]
    Block(#[from] forger_block::Error),
    /// The file is no VHDX image.
    #[error("no VHDX image")]
    NotVhdx,
    /// The image uses something that cannot be read.
    #[error("{what} cannot be read")]
    Unsupported {
        /// What it is.
        what: &'static str,
    },
    /// Neither copy of a structure can be used.
    #[error("both copies of the {structure} are damaged")]
    Damaged {
        /// The structure.
        structure: &'static str,
    },
    /// A field has an impossible value.
    #[error("{field} is {value}")]
    Field {
        /// The field, as the specification names it.
        field: &'static str,
        /// Its value.
        value: u64,
    },
    /// Something that every image has is missing.
    #[error("the image has no {what}")]
    Missing {
        /// What it is.
        what: &'static str,
    },
    /// The entry of a block is impossible.
    #[error("the entry of block {block} is 0x{entry:016x} in a file of {size} bytes")]
    Entry {
        /// The block's number.
        block: u64,
        /// The entry.
        entry: u64,
        /// The file's size, in bytes.
        size: u64,
    },
}

image_error!(ReadError, "VHDX");

/// Why a VHDX image cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// Reading the source or putting the parts together failed.
    #[error(transparent)]
    Block(#[from] forger_block::Error),
    /// Sectors have an impossible size.
    #[error("sectors of {size} bytes: 512 and 4096 are possible")]
    SectorSize {
        /// What was asked for, in bytes.
        size: u64,
    },
    /// The disk is too large for the format.
    #[error("{size} bytes are too many: a VHDX holds up to 64 TiB")]
    TooLarge {
        /// The disk's size, in bytes.
        size: u64,
    },
}
