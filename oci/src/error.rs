//! What goes wrong with images.

use std::io;

/// The result of an operation on images.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why an image cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A text is no digest that can be verified.
    #[error("{text:?} is no digest: {reason}")]
    Digest {
        /// The text, its first characters.
        text: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A text is no reference to an image.
    #[error("{text:?} is no image reference: {reason}")]
    Reference {
        /// The text, its first characters.
        text: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A text names no platform.
    #[error("{text:?} is no platform: {reason}")]
    Platform {
        /// The text, its first characters.
        text: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A blob is not what its digest says.
    #[error("blob {digest} is damaged or was exchanged: its digest is {found}")]
    Mismatch {
        /// The digest it is known by.
        digest: String,
        /// The digest of what is there.
        found: String,
    },
    /// What a layer's blob holds, decompressed, is not what the image's configuration says.
    #[error("a layer holds something else than its diff_id {digest} says: its digest is {found}")]
    DiffId {
        /// The digest of the decompressed layer in the configuration.
        digest: String,
        /// The digest of what is there.
        found: String,
    },
    /// A blob is longer or shorter than its descriptor says.
    #[error("blob {digest} has {found} bytes, its descriptor says {size}")]
    Length {
        /// The digest it is known by.
        digest: String,
        /// Its length in bytes as its descriptor has it.
        size: u64,
        /// The bytes that there are; one more than `size` where there are more.
        found: u64,
    },
    /// There is no such thing.
    #[error("there is no {what} in {place}")]
    Missing {
        /// What was looked for: `blob sha256:…`, `image "stable"`.
        what: String,
        /// Where.
        place: String,
    },
    /// A layer may not be given away by registries, and the place has it not.
    #[error("there is no layer {digest} in {place}; it may not be given away, and is said to be at {}", urls.join(", "))]
    Foreign {
        /// The layer's digest.
        digest: String,
        /// Where it was looked for.
        place: String,
        /// Where it is said to be.
        urls: Vec<String>,
    },
    /// A name does not say which of several images is meant.
    #[error("{place} has {count} images, and it is not said which is meant")]
    Ambiguous {
        /// Where.
        place: String,
        /// How many there are.
        count: usize,
        /// Their names.
        names: Vec<String>,
    },
    /// No image is for the platform that is asked for.
    #[error("there is no image for {platform} in {place}")]
    NoPlatform {
        /// The platform that was asked for.
        platform: String,
        /// The digest of the index.
        place: String,
        /// The platforms that there are.
        platforms: Vec<String>,
    },
    /// A document is longer than allowed.
    #[error("{what} has {size} bytes, the limit is {limit}")]
    TooLarge {
        /// The document.
        what: String,
        /// Its length in bytes.
        size: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// A document is no JSON, or not of the shape it should be of.
    #[error("{what} cannot be understood")]
    Json {
        /// The document.
        what: String,
        /// Where, and why.
        source: serde_json::Error,
    },
    /// A document contradicts itself or what refers to it.
    #[error("{what} is not valid: {reason}")]
    Invalid {
        /// The document.
        what: String,
        /// The contradiction.
        reason: String,
    },
    /// A file could not be read or written.
    #[error(transparent)]
    Block(#[from] forger_block::Error),
    /// Reading bytes failed midway.
    #[error("cannot read {what}")]
    Read {
        /// What was read.
        what: String,
        /// The reason.
        source: io::Error,
    },
    /// Nothing can be put where something has failed before, which says why.
    #[error("writing {place} has failed before")]
    Failed {
        /// The place.
        place: String,
    },
    /// Another place for images, a registry say, reports an error of its own.
    #[error(transparent)]
    Other(Box<dyn std::error::Error + Send + Sync>),
}

impl Error {
    /// Wraps an error of reading, and takes one of ours out of it again.
    pub fn read(what: impl Into<String>, source: io::Error) -> Self {
        match source.downcast::<Self>() {
            Ok(error) => error,
            Err(source) => Self::Read {
                what: what.into(),
                source,
            },
        }
    }

    /// Makes the error of a document that contradicts itself.
    pub fn invalid(what: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Invalid {
            what: what.into(),
            reason: reason.into(),
        }
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        Self::new(io::ErrorKind::InvalidData, error)
    }
}
