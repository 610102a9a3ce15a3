//! Why a client is no longer served.

use std::io;

/// Why serving a client ended before it left.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The stream failed.
    #[error("the connection failed")]
    Stream(#[source] io::Error),
    /// A message does not begin as it should.
    #[error("the client sent {found:#x} where {expected} begins")]
    Magic {
        /// What should begin there.
        expected: &'static str,
        /// What was found.
        found: u64,
    },
    /// The client wants what no server gives.
    #[error("the client set the unknown flags {flags:#x}")]
    Flags {
        /// All flags it set.
        flags: u32,
    },
    /// The client asked for an export that is not there, in a way that leaves no answer.
    #[error("there is no export {name:?}")]
    NoExport {
        /// What it asked for.
        name: String,
    },
    /// The client did not come to an end of its options.
    #[error("the client sent more than {limit} options")]
    TooManyOptions {
        /// How many there may be.
        limit: u32,
    },
    /// A message is longer than may be.
    #[error("the client announced {len} bytes, more than {limit}")]
    TooLong {
        /// What it announced, in bytes.
        len: u32,
        /// What it may send, in bytes.
        limit: u32,
    },
    /// A read failed after its reply had begun.
    #[error("the disk cannot be read")]
    Disk(#[source] forger_block::Error),
}

impl From<io::Error> for ServeError {
    fn from(error: io::Error) -> Self {
        Self::Stream(error)
    }
}
