//! What is wrong with a layout.

use std::fmt;

use forger_fs::{ext4, fat, tree};

/// Where something stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file's name.
    pub file: String,
    /// The line, from 1; the file as a whole when `None`.
    pub line: Option<usize>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        self.line.map_or(Ok(()), |line| write!(f, ":{line}"))
    }
}

/// What is wrong with a layout.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// It is not the JSON that sfdisk writes.
    #[error("it is no dump of sfdisk --json")]
    Json(#[source] serde_json::Error),
    /// A dump says what cannot be laid out.
    #[error("{field} is {value:?}: {rule}")]
    Field {
        /// What it is called in the dump.
        field: String,
        /// What it says.
        value: String,
        /// What is possible.
        rule: &'static str,
    },
    /// A definition says what cannot be read, or not be done.
    #[error("{place}: {problem}")]
    Definition {
        /// Where.
        place: Place,
        /// What is wrong.
        problem: String,
    },
    /// The partitions do not fit the disk.
    #[error("the partitions need {needed} bytes, the disk has {size}")]
    TooSmall {
        /// What they need at least, tables included, in bytes.
        needed: u64,
        /// The disk's size in bytes.
        size: u64,
    },
    /// Files cannot be copied.
    #[error("{place}: CopyFiles={path}")]
    Copy {
        /// The definition.
        place: Place,
        /// What was to be copied.
        path: String,
        /// Why it is not.
        source: Box<tree::CollectError>,
    },
    /// A name has no place in a filesystem.
    #[error("{place}: {path}")]
    Path {
        /// The definition.
        place: Place,
        /// The name.
        path: String,
        /// Why.
        source: Box<tree::Error>,
    },
    /// An ext4 cannot be made.
    #[error("{place}")]
    Ext4 {
        /// The definition.
        place: Place,
        /// Why.
        source: Box<ext4::Error>,
    },
    /// A FAT cannot be made.
    #[error("{place}")]
    Fat {
        /// The definition.
        place: Place,
        /// Why.
        source: Box<fat::Error>,
    },
}

impl Error {
    /// Refuses something in a definition.
    pub(super) fn at(place: &Place, problem: impl Into<String>) -> Self {
        Self::Definition {
            place: place.clone(),
            problem: problem.into(),
        }
    }
}
