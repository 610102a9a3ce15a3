//! Network Block Device: a disk for a client at the other end of a stream.
//!
//! The [protocol](https://github.com/NetworkBlockDevice/nbd/blob/master/doc/proto.md) in its fixed
//! newstyle: `EXPORT_NAME`, `LIST`, `INFO`, `GO`, structured replies, and the metadata context
//! `base:allocation`; reading (with holes), writing, zeroing, trimming, flushing, caching.
//!
//! ```text
//!  Handshake   options and answers, until the client has chosen an export
//!  Session     requests and replies, until the client leaves
//! ```
//!
//! [`serve`] does both over any stream. Sockets, time limits and how many clients there may be are
//! the caller's: nothing here opens or waits for anything but the stream it was given. One
//! export may be served to several clients at once.

mod error;
mod handshake;
mod message;
mod options;
mod reply;
mod session;
mod status;
#[cfg(test)]
mod tests;

pub use self::error::ServeError;
pub use self::handshake::negotiate;
pub use self::options::{Export, Limits};
pub use self::session::{Served, Session};

use std::io::{Read, Write};

/// Serves exports to the client at the other end of a stream until it leaves.
///
/// Returns what was done, or nothing when the client left without choosing an export.
///
/// # Errors
/// A client that breaks the protocol or goes beyond the limits, and a stream that fails. What is
/// wrong with a disk is told to the client.
pub fn serve<S: Read + Write>(
    stream: &mut S,
    exports: &[Export],
    limits: &Limits,
) -> Result<Option<Served>, ServeError> {
    match negotiate(stream, exports, limits)? {
        Some(session) => session.run(stream).map(Some),
        None => Ok(None),
    }
}
