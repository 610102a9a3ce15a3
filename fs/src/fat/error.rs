//! Why a volume cannot be made or read.

/// Why a volume cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Reading or composing bytes failed.
    #[error(transparent)]
    Block(#[from] forger_block::Error),
    /// An option has a value that FAT does not allow.
    #[error("{option}: {reason}")]
    Option {
        /// The option.
        option: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// A name cannot stand in a FAT.
    #[error("{entry}")]
    Name {
        /// The entry's path, lossily decoded.
        entry: String,
        /// What is wrong with it.
        source: NameError,
    },
    /// An entry cannot be represented.
    #[error("{entry}: {what}")]
    Unrepresentable {
        /// The entry's path, lossily decoded.
        entry: String,
        /// What FAT cannot hold.
        what: String,
        /// The kind that [`Ignore`](super::Ignore) can name, if any.
        ignore: Option<&'static str>,
    },
    /// The content does not fit the size.
    #[error("the content needs {needed} bytes, the volume has {size}")]
    TooSmall {
        /// What would be enough, in bytes.
        needed: u64,
        /// The size in bytes.
        size: u64,
    },
    /// No FAT has this size.
    #[error("no {bits} has {size} bytes with sectors of {sector}: {reason}")]
    Geometry {
        /// The kind of FAT.
        bits: String,
        /// The size in bytes.
        size: u64,
        /// Bytes in a sector.
        sector: u32,
        /// What is in the way.
        reason: String,
    },
    /// The observer asked to stop.
    #[error("interrupted")]
    Interrupted,
}

/// What is wrong with a name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// Long names are UTF-16.
    #[error("the name is not UTF-8, as names in a FAT must be")]
    NotUtf8,
    /// Longer than 255 units of UTF-16.
    #[error("the name has {units} UTF-16 units, 255 are possible")]
    Long {
        /// Its length.
        units: usize,
    },
    /// A character that FAT reserves.
    #[error("{0:?} cannot stand in a name of a FAT")]
    Character(char),
    /// Trailing dots and spaces are dropped by those who read a FAT.
    #[error("a name in a FAT cannot end in a dot or a space")]
    Trailing,
    /// Names differ only by case.
    #[error("it differs from {other} only by case, which FAT does not tell apart")]
    Collision {
        /// The other name.
        other: String,
    },
    /// A folder has more entries than FAT can hold.
    #[error("the folder has too many entries for a FAT")]
    FullFolder,
}

/// Why a volume cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// Reading the volume's bytes failed.
    #[error(transparent)]
    Block(#[from] forger_block::Error),
    /// There is no FAT.
    #[error("no FAT filesystem: {reason}")]
    NotFat {
        /// What is there instead.
        reason: String,
    },
    /// A structure is damaged.
    #[error("{at}: {what}")]
    Corrupt {
        /// Where.
        at: String,
        /// What is wrong.
        what: String,
    },
    /// An entry has no place in a tree.
    #[error("{path}")]
    Tree {
        /// The entry's path, lossily decoded.
        path: String,
        /// Why.
        source: crate::tree::Error,
    },
}
