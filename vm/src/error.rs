//! Why a guest could not do what it was asked to.

use std::io;

use forger_wire::WireError;

use crate::cause::Cause;

/// What went wrong around a guest; how a job itself ended is no error.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A backend does not work on this machine.
    #[error("{backend} does not work here: {reason}")]
    Unusable {
        /// The backend's name.
        backend: &'static str,
        /// Why not, and what would help.
        reason: String,
    },
    /// An option has a value that it cannot have.
    #[error("{option}: {reason}")]
    Option {
        /// The option's name.
        option: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// Something of the host did not work.
    #[error("cannot {what}")]
    Host {
        /// What could not be done.
        what: String,
        /// The reason.
        source: io::Error,
    },
    /// A disk cannot be read or written.
    #[error(transparent)]
    Block(#[from] forger_block::Error),
    /// The guest sends what nobody may send.
    #[error("the guest does not keep to the protocol{console}")]
    Protocol {
        /// What it did.
        source: Violation,
        /// The end of what its console said.
        console: Tail,
    },
    /// The guest says that it cannot go on.
    #[error("the guest gave up: {what}{console}")]
    Fault {
        /// What it said.
        what: String,
        /// The end of what its console said.
        console: Tail,
    },
    /// The guest is gone although nobody asked it to end.
    #[error("{cause} before {before}{console}")]
    Lost {
        /// Why it is gone.
        cause: Cause,
        /// What should have come first.
        before: &'static str,
        /// The end of what its console said.
        console: Tail,
    },
    /// The guest did not do in time what it should.
    #[error("the guest took longer than {seconds} s to {what}{console}")]
    Late {
        /// What it should do.
        what: &'static str,
        /// The limit.
        seconds: u64,
        /// The end of what its console said.
        console: Tail,
    },
    /// Files could not be carried in or out.
    #[error("cannot carry {path}: {reason}")]
    Transfer {
        /// The path in the guest.
        path: String,
        /// What the guest said.
        reason: String,
    },
    /// The caller wanted the end.
    #[error("stopped")]
    Stopped,
}

impl Error {
    /// Says what of the host did not work.
    pub(crate) fn host(what: impl Into<String>, source: impl Into<io::Error>) -> Self {
        Self::Host {
            what: what.into(),
            source: source.into(),
        }
    }
}

/// What a guest did that the protocol does not allow.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Violation {
    /// Bytes that are no frames, or frames that are no messages.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// More than there was credit for.
    #[error("it sent more on stream {stream} than it had credit for")]
    Overdrawn {
        /// The stream.
        stream: u32,
    },
    /// A message at the wrong time or place.
    #[error("it sent a message that has no place on stream {stream}")]
    Misplaced {
        /// The stream.
        stream: u32,
    },
    /// Another version of the protocol.
    #[error("it speaks version {version} of the protocol, this host version {ours}")]
    Version {
        /// Its version.
        version: u16,
        /// Ours.
        ours: u16,
    },
    /// More of something than anybody needs.
    #[error("it floods the host with {what}")]
    Flood {
        /// What it sends.
        what: &'static str,
    },
}

/// The end of what a guest's console said, for messages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tail(pub(crate) String);

impl Tail {
    /// Returns the text: whole lines, control characters replaced.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for Tail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0.is_empty() {
            true => Ok(()),
            false => write!(f, "; the end of its console:\n{}", self.0),
        }
    }
}
