//! Why a catalog is refused, or has not what is looked for.

/// Why a catalog is refused, or has not what is looked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// It is no JSON, or of another shape.
    #[error("{place} is no catalog")]
    Json {
        /// The catalog.
        place: String,
        /// Where, and why.
        source: serde_json::Error,
    },
    /// It is of a version that is not known.
    #[error("{place} is a catalog of version {version}, known is 1")]
    Version {
        /// The catalog.
        place: String,
        /// Its version.
        version: u32,
    },
    /// An entry makes no sense.
    #[error("{place}: entry {number} ({name:?}) is refused: {reason}")]
    Entry {
        /// The catalog.
        place: String,
        /// Which entry, from 1.
        number: usize,
        /// Its name.
        name: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// Two entries have the same name and architecture.
    #[error("{place}: {name:?} stands twice for the same arch")]
    Twice {
        /// The catalog.
        place: String,
        /// The name.
        name: String,
    },
    /// There is no such bundle.
    #[error("there is no bundle {name:?} in {place}")]
    Missing {
        /// The catalog.
        place: String,
        /// What was looked for.
        name: String,
        /// What there is.
        known: Vec<String>,
    },
    /// There are several.
    #[error("there are several bundles {name:?} in {place}")]
    Several {
        /// The catalog.
        place: String,
        /// What was looked for.
        name: String,
        /// What they are for.
        archs: Vec<String>,
    },
    /// An URL leads nowhere.
    #[error("{url:?} is no place for a catalog or bundle: {reason}")]
    Location {
        /// The URL.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
}
