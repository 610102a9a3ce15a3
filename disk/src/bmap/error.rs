//! Why a block map cannot be read, or does not belong to a disk.

use crate::xml::XmlError;

/// Why a block map cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// It is no well-formed XML.
    #[error(transparent)]
    Xml(#[from] XmlError),
    /// It is no block map of a known version.
    #[error("no block map of a known version")]
    NotBmap,
    /// Something that every block map has is missing.
    #[error("{what} is missing")]
    Missing {
        /// The element.
        what: &'static str,
    },
    /// A value is impossible.
    #[error("{what} is {value:?}")]
    Value {
        /// The element or attribute.
        what: &'static str,
        /// Its value.
        value: String,
    },
    /// The block map's own checksum is another one.
    #[error("the block map is damaged: its checksum is {found}, not {expected}")]
    Sum {
        /// What it says.
        expected: String,
        /// What it has.
        found: String,
    },
}

/// Why a disk is not the one of a block map.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MapError {
    /// Reading the disk failed.
    #[error(transparent)]
    Block(#[from] forger_block::Error),
    /// The disk has another size.
    #[error("the disk has {found} bytes, the block map is of one of {expected} bytes")]
    Size {
        /// The size that the block map says, in bytes.
        expected: u64,
        /// The disk's, in bytes.
        found: u64,
    },
    /// A range has other contents.
    #[error("blocks {first} to {last} have the checksum {found}, not {expected}")]
    Sum {
        /// The first block of the range.
        first: u64,
        /// The last one.
        last: u64,
        /// What the block map says.
        expected: String,
        /// What the disk has.
        found: String,
    },
}
