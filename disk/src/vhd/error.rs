//! Why a VHD image cannot be read or made.

use crate::image_error::image_error;

/// Why a VHD image cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// Reading the file's bytes failed.
    #[error(transparent)]
    Block(#[from] forger_block::Error),
    /// The file is no VHD image.
    #[error("no VHD image: it does not end with a footer")]
    NotVhd,
    /// It is an image that needs its parent.
    #[error("a differencing VHD cannot be read: it needs its parent")]
    Differencing,
    /// A checksum is wrong.
    #[error("the checksum of the {structure} is wrong")]
    Sum {
        /// What it is the checksum of.
        structure: &'static str,
    },
    /// A field has an impossible value.
    #[error("{field} of the {structure} is {value}")]
    Field {
        /// The structure.
        structure: &'static str,
        /// The field, as the specification names it.
        field: &'static str,
        /// Its value.
        value: u64,
    },
    /// A block lies beyond the end of the file.
    #[error("block {block} should stand at sector {sector} of a file of {size} bytes")]
    Beyond {
        /// The block's number.
        block: u64,
        /// Where it should be.
        sector: u32,
        /// The file's size, in bytes.
        size: u64,
    },
}

image_error!(ReadError, "VHD");

/// Why a VHD image cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// Reading the source or putting the parts together failed.
    #[error(transparent)]
    Block(#[from] forger_block::Error),
    /// The disk is too large for the format.
    #[error("{size} bytes are too many: a VHD holds up to 2040 GiB")]
    TooLarge {
        /// The disk's size, in bytes.
        size: u64,
    },
}
