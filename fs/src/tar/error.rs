//! Why a tar stream is refused.

use std::io;

/// Why a tar stream is refused. Offsets are in bytes of the uncompressed archive.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Reading the input failed; a damaged compressed stream arrives here as well.
    #[error("cannot read the archive at byte {offset}")]
    Io {
        /// How far the archive was read.
        offset: u64,
        /// The reason.
        source: io::Error,
    },
    /// The input has no bytes at all.
    #[error("the input is empty, which is no archive (an empty archive has two zero blocks)")]
    Empty,
    /// The input is something else.
    #[error("the input is no tar archive: {reason}")]
    NotTar {
        /// What was found instead.
        reason: String,
    },
    /// The archive ends inside a member.
    #[error("{entry}: the archive ends at byte {offset}, {missing} bytes before the end of {what}")]
    Truncated {
        /// Where the input ends.
        offset: u64,
        /// The member's name, lossily decoded.
        entry: String,
        /// What is cut: `a header`, `its content`.
        what: &'static str,
        /// How many bytes of it are missing at least.
        missing: u64,
    },
    /// The archive ends between two members, but without its end marker.
    #[error("the archive ends at byte {offset} without its end marker, so members may be missing")]
    MissingEnd {
        /// Where the input ends.
        offset: u64,
    },
    /// Something follows the end marker.
    #[error("after the archive's end marker there is more at byte {offset}")]
    DataAfterEnd {
        /// The first byte that is not zero.
        offset: u64,
    },
    /// A header's checksum is wrong.
    #[error(
        "the header at byte {offset} (after {after}) is damaged: checksum {stored}, should be {computed}"
    )]
    Checksum {
        /// Where the header stands.
        offset: u64,
        /// The member before it, lossily decoded.
        after: String,
        /// What the checksum field holds.
        stored: String,
        /// The sum of the header's bytes.
        computed: u32,
    },
    /// A header field does not hold what it should.
    #[error("{entry} (header at byte {offset}): field {field}: {reason}")]
    Field {
        /// Where the header stands.
        offset: u64,
        /// The member's name, lossily decoded.
        entry: String,
        /// The field's name in the specification.
        field: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// PAX records are malformed or say what cannot be.
    #[error("{entry}: PAX record at byte {offset}: {reason}")]
    Pax {
        /// Where the record stands.
        offset: u64,
        /// The member that the records belong to, or their own header, lossily decoded.
        entry: String,
        /// What is wrong.
        reason: String,
    },
    /// The map of a sparse file is malformed or does not fit its size.
    #[error("{entry} (header at byte {offset}): sparse map: {reason}")]
    Sparse {
        /// Where the header stands.
        offset: u64,
        /// The member's name, lossily decoded.
        entry: String,
        /// What is wrong.
        reason: String,
    },
    /// A member is of a kind that has no place in a file tree.
    #[error("{entry} (header at byte {offset}): type {flag} is {reason}")]
    TypeFlag {
        /// Where the header stands.
        offset: u64,
        /// The member's name, lossily decoded.
        entry: String,
        /// The type flag, printable.
        flag: String,
        /// What it stands for.
        reason: &'static str,
    },
    /// A member says something that has no place in a file tree.
    #[error("{entry} (header at byte {offset}): {what}")]
    Unrepresentable {
        /// Where the header stands.
        offset: u64,
        /// The member's name, lossily decoded.
        entry: String,
        /// What it says.
        what: String,
        /// The kind that `--ignore` takes to leave it out, where there is one.
        ignore: Option<&'static str>,
    },
    /// Something that is held in memory is larger than its limit.
    #[error(
        "{entry} (header at byte {offset}): {what} of {size} bytes, more than the limit of {limit}"
    )]
    TooLong {
        /// Where the header stands.
        offset: u64,
        /// The member's name, lossily decoded.
        entry: String,
        /// What is too long: `a long name`, `PAX records`.
        what: &'static str,
        /// Its length in bytes as claimed.
        size: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// Extended headers at the end of the archive belong to no member.
    #[error("the header at byte {offset} describes a member that does not follow")]
    Dangling {
        /// Where the extended header stands.
        offset: u64,
    },
}
