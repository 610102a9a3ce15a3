//! Why an image cannot be made.

use crate::{source, tree};

/// Why an ext4 image cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The source is damaged or cannot be read.
    #[error(transparent)]
    Source(#[from] source::Error),
    /// An entry has no place in the tree.
    #[error("{entry}{}", at(.offset))]
    Entry {
        /// The entry's name, lossily decoded.
        entry: String,
        /// Its header's place in the input in bytes.
        offset: Option<u64>,
        /// What is wrong with it.
        source: tree::Error,
    },
    /// An entry cannot be represented in ext4.
    #[error("{entry}{}: {what}", at(.offset))]
    Unrepresentable {
        /// The entry's name, lossily decoded.
        entry: String,
        /// Its header's place in the input in bytes.
        offset: Option<u64>,
        /// What cannot be represented, with the value and the limit.
        what: String,
        /// The kind that `--ignore` takes to leave it out, where there is one.
        ignore: Option<&'static str>,
    },
    /// The content does not fit the size that was asked for.
    #[error("the content needs {needed} bytes, {missing} more than the image of {size}")]
    TooSmall {
        /// Bytes needed.
        needed: u64,
        /// Bytes that the image would have.
        size: u64,
        /// The difference.
        missing: u64,
    },
    /// The image would outgrow its reserve of group descriptors.
    #[error("an image of {needed} bytes outgrows the reserve, which ends at {limit}")]
    TooLarge {
        /// Bytes needed.
        needed: u64,
        /// The largest size that the reserve allows, in bytes.
        limit: u64,
    },
    /// An option is outside its legal range, or two contradict each other.
    #[error("{option}: {reason}")]
    Option {
        /// The option's name as on the command line, without dashes.
        option: &'static str,
        /// What is wrong with its value.
        reason: String,
    },
    /// The tree takes more memory than allowed.
    #[error("the tree of {entries} entries needs more than {limit} bytes of memory")]
    Memory {
        /// Entries so far.
        entries: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// Contents cannot be read again later, and are too large to be kept.
    #[error("more than {limit} bytes of content from a source that cannot be read again")]
    NotSeekable {
        /// The limit in bytes.
        limit: u64,
    },
    /// Reading contents again or writing the output failed.
    #[error(transparent)]
    Block(#[from] forger_block::Error),
}

fn at(offset: &Option<u64>) -> String {
    offset.map_or_else(String::new, |offset| format!(" (header at byte {offset})"))
}
