//! Why an Android sparse image cannot be read or made.

use crate::image_error::image_error;

/// Why an Android sparse image cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// Reading the file's bytes failed.
    #[error(transparent)]
    Block(#[from] forger_block::Error),
    /// The file is no Android sparse image.
    #[error("no Android sparse image")]
    NotSparse,
    /// The image has a version that is not known.
    #[error("version {major} is not known")]
    Version {
        /// The major version.
        major: u16,
    },
    /// A field of the file's header has an impossible value.
    #[error("{field} is {value}")]
    Field {
        /// The field, as libsparse names it.
        field: &'static str,
        /// Its value.
        value: u64,
    },
    /// A field of a chunk's header has an impossible value.
    #[error("{field} of chunk {chunk} at offset {offset} is {value}")]
    Chunk {
        /// The chunk's number.
        chunk: u32,
        /// Where its header stands in the file, in bytes.
        offset: u64,
        /// The field, as libsparse names it.
        field: &'static str,
        /// Its value.
        value: u64,
    },
    /// A chunk lies beyond the end of the file.
    #[error("chunk {chunk} at offset {offset} lies beyond the end of a file of {size} bytes")]
    Beyond {
        /// The chunk's number.
        chunk: u32,
        /// Where it stands in the file, in bytes.
        offset: u64,
        /// The file's size, in bytes.
        size: u64,
    },
    /// The image has more chunks than anybody keeps.
    #[error("more than {limit} chunks")]
    TooMany {
        /// How many there may be.
        limit: usize,
    },
    /// The contents are not what a checksum says.
    #[error(
        "the CRC-32 of the first {len} bytes of the disk is 0x{found:08x}, not 0x{expected:08x}"
    )]
    Sum {
        /// So much of the disk the checksum is of, in bytes.
        len: u64,
        /// What the image says.
        expected: u32,
        /// What the contents have.
        found: u32,
    },
}

image_error!(ReadError, "Android sparse");

/// Why an Android sparse image cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// Reading the source or putting the parts together failed.
    #[error(transparent)]
    Block(#[from] forger_block::Error),
    /// Blocks have an impossible size.
    #[error("blocks of {size} bytes: a power of two from 4096 to 1 MiB is possible")]
    BlockSize {
        /// What was asked for, in bytes.
        size: u32,
    },
    /// The disk is too large for the format.
    #[error("{size} bytes are too many: blocks of {block} bytes are counted with 32 bits")]
    TooLarge {
        /// The disk's size, in bytes.
        size: u64,
        /// Size of a block, in bytes.
        block: u32,
    },
}
