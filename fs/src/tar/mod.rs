//! Tar archives: reading every dialect in use, and writing a deterministic PAX archive.
//!
//! An archive is a sequence of 512-byte blocks: for each member a header, then its body padded to a
//! whole block; two zero blocks end it.
//!
//! ```text
//!   x header | its records | header | body ...... pad | header | ... | 0 | 0 | zeros
//!   ^ PAX: says what the next header cannot            ^ next member   ^ end marker
//! ```
//!
//! | file | concept |
//! |---|---|
//! | `header` | the 512-byte record, its checksum and its dialects |
//! | `number` | octal, base-256 and decimal numbers, times |
//! | `window`, `blocks` | the input, where headers stand in it and where it ends |
//! | `extension` | the headers that describe the next one |
//! | `pax` | the grammar of extended records |
//! | `keyword` | what each PAX keyword means |
//! | `attribute`, `flag` | how attributes, ACLs and inode flags are spelt |
//! | `member`, `kind` | header and keywords become an [`Entry`](crate::source::Entry) |
//! | `sparse` | the maps of GNU sparse files |
//! | `content` | where the reader stands in a body |
//! | `read` | [`Reader`] |
//! | `outline` | an entry becomes header and records |
//! | `write` | [`Writer`] |
//!
//! Specifications: POSIX.1-2017 [`pax`](https://pubs.opengroup.org/onlinepubs/9699919799/utilities/pax.html),
//! GNU tar's manual, appendix "Tar Internals", libarchive's `tar(5)`.
//!
//! # What the reader decides
//!
//! - Owners are the numeric ids, always; user and group names are never looked up.
//! - Names and link targets are raw bytes, whatever `hdrcharset` says.
//! - A PAX record wins over a GNU long name, which wins over the header; a record in front of a
//!   member wins over a global one. An empty value takes a record back.
//! - A record in front of a member is for that member: never for a long-name header in between, and
//!   its `size` is the size of that member's body only.
//! - An access ACL that is given as text decides the permission bits, as in the kernel, and is not
//!   kept if it says no more. ACLs count as attribute (`SCHILY.xattr.system.posix_acl_access`, which
//!   has ids) before text (`SCHILY.acl.access`, which with GNU tar has names).
//! - A header without an mtime (its field blank) has none.
//! - Only one thing is decided by names alone: a regular file whose name ends with `/` is a directory.
//! - A directory, symbolic link, device or FIFO has no body, whatever its `size` field says. A hard
//!   link has one if a PAX record gives its size, or if its header does and what follows is neither
//!   a header nor zeros.
mod attribute;
mod blocks;
mod content;
mod error;
mod extension;
mod flag;
mod foreign;
mod header;
mod keyword;
mod kind;
mod member;
mod notes;
mod number;
mod options;
mod outline;
mod pax;
mod read;
mod sparse;
#[cfg(test)]
mod tests;
mod window;
mod write;

pub use error::Error;
pub use header::is_header;
pub use options::Options;
pub use read::Reader;
pub use write::{WriteError, WriteOptions, Writer};
