//! Why a bundle cannot be made or opened.

use std::io;

/// Why a bundle cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The image cannot be made from its source.
    #[error(transparent)]
    Image(#[from] forger_fs::ext4::Error),
    /// The image cannot be written into the bundle.
    #[error(transparent)]
    Block(#[from] forger_block::Error),
    /// A field of the manifest is not legal.
    #[error("{field} {value:?}: {reason}")]
    Field {
        /// The field's name in the manifest.
        field: &'static str,
        /// The value, cut to 64 characters.
        value: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The compression level is outside its range.
    #[error("level {level} lies outside 1..=22")]
    Level {
        /// The level that was asked for.
        level: i32,
    },
    /// The manifest cannot be written as JSON.
    #[error("the manifest cannot be written")]
    Json(#[source] serde_json::Error),
    /// The caller asked to stop.
    #[error("interrupted")]
    Interrupted,
}

/// Why a bundle is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The bundle cannot be read.
    #[error("cannot read the bundle at byte {offset}")]
    Read {
        /// Place in the compressed bundle, in bytes.
        offset: u64,
        /// The operating system's reason.
        source: io::Error,
    },
    /// The bundle ends inside a compressed frame.
    #[error("the bundle ends at byte {offset}, inside a zstd frame")]
    TruncatedFrame {
        /// Length of what is there, in bytes.
        offset: u64,
    },
    /// The compressed data is damaged, or is no zstd.
    #[error("no valid zstd data near byte {offset} of the bundle: {reason}")]
    Zstd {
        /// Place in the compressed bundle, in bytes.
        offset: u64,
        /// What zstd says.
        reason: String,
    },
    /// The tar stream ends too early.
    #[error("the bundle's tar stream ends at byte {offset}, inside {within}")]
    Truncated {
        /// Length of the decompressed stream, in bytes.
        offset: u64,
        /// What was being read.
        within: &'static str,
    },
    /// The tar stream holds something that a bundle does not have.
    #[error("at byte {offset} of the bundle's tar stream: {what}")]
    Member {
        /// Place in the decompressed stream, in bytes.
        offset: u64,
        /// What is there, and what should be.
        what: String,
    },
    /// A size lies above its limit.
    #[error("{what} of {size} bytes is larger than the limit of {limit} bytes")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// Its size in bytes.
        size: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// `manifest.json` is not what it should be.
    #[error("manifest.json cannot be understood")]
    Json(#[source] serde_json::Error),
    /// A field of `manifest.json` is missing or not legal.
    #[error("manifest.json: {field}: {reason}")]
    Manifest {
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The bundle is not the one that was asked for.
    #[error("the bundle's sha256 is {found}, not {expected}")]
    Sha256 {
        /// The digest that was asked for, in hexadecimal.
        expected: String,
        /// The digest of what was read, in hexadecimal.
        found: String,
    },
    /// The image is not the one that the manifest describes.
    #[error("the image's blake3 is {found}; the manifest says {expected}")]
    Blake3 {
        /// The manifest's digest, in hexadecimal.
        expected: String,
        /// The digest of what was read, in hexadecimal.
        found: String,
    },
    /// The image cannot be written.
    #[error(transparent)]
    Block(#[from] forger_block::Error),
    /// The caller asked to stop.
    #[error("interrupted")]
    Interrupted,
}
