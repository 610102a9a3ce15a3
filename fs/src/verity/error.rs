//! Why a hash tree cannot be made, or does not fit its data.

/// Why a hash tree cannot be made, or does not fit its data.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Reading or writing failed, or was interrupted.
    #[error(transparent)]
    Block(#[from] forger_block::Error),
    /// The data have a length that has no tree.
    #[error("the data have {len} bytes: {rule}")]
    Length {
        /// Their length in bytes.
        len: u64,
        /// What is allowed.
        rule: &'static str,
    },
    /// The hash area cannot stand where it shall.
    #[error("the hash area cannot begin at byte {offset}: {rule}")]
    Offset {
        /// Where it shall begin.
        offset: u64,
        /// What is allowed.
        rule: &'static str,
    },
    /// The salt is too long.
    #[error("a salt of {len} bytes is too long: a superblock holds 256")]
    Salt {
        /// Its length in bytes.
        len: usize,
    },
    /// There is no superblock.
    #[error("there is no dm-verity superblock at byte {offset}")]
    NoSuperblock {
        /// Where it was looked for.
        offset: u64,
    },
    /// The superblock says something that is not known.
    #[error("the superblock at byte {offset}: {field} is {value}: {rule}")]
    Unsupported {
        /// Where the superblock stands.
        offset: u64,
        /// The field, named as in cryptsetup's `verity.c`.
        field: &'static str,
        /// What it holds.
        value: String,
        /// What is known.
        rule: &'static str,
    },
    /// A block of data does not have the hash that the tree has for it.
    #[error(
        "block {block} of the data, at byte {offset}, does not have the hash that is stored for it"
    )]
    Data {
        /// The block.
        block: u64,
        /// Where it starts.
        offset: u64,
    },
    /// A block of the tree does not have the hash that the level above has for it, or holds more than
    /// hashes.
    #[error("the hash block at byte {offset} is damaged")]
    Tree {
        /// Where it starts.
        offset: u64,
    },
    /// The root hash is another one.
    #[error("the root hash is {found}, not {expected}")]
    Root {
        /// What was computed, in hexadecimal digits.
        found: String,
        /// What was asked for, in hexadecimal digits.
        expected: String,
    },
}

pub(super) type Result<T> = std::result::Result<T, Error>;
