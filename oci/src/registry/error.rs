//! Why a registry did not do what it was asked to.

use std::time::Duration;

use crate::http;

/// Why a registry did not do what it was asked to. URLs are shown without their queries.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There was no answer.
    #[error(transparent)]
    Http(#[from] http::Error),
    /// The registry wants to know who asks.
    #[error("{host} refuses {repository}{}: {reason}", if *known { " to this user" } else { " to anybody unknown" })]
    Unauthorized {
        /// The registry.
        host: String,
        /// The repository.
        repository: String,
        /// Whether credentials were sent.
        known: bool,
        /// What the registry says.
        reason: String,
    },
    /// The registry has had enough of this user or address for a while.
    #[error("{host} has had too many requests: {reason}{}", after.map_or_else(String::new, |after| format!(" (it asks to wait {} s)", after.as_secs())))]
    RateLimited {
        /// The registry.
        host: String,
        /// What it says.
        reason: String,
        /// For how long.
        after: Option<Duration>,
    },
    /// The registry refused.
    #[error("{method} {url} was answered with {status}: {reason}")]
    Refused {
        /// The method.
        method: &'static str,
        /// What was asked.
        url: String,
        /// The status.
        status: u16,
        /// What the registry says.
        reason: String,
    },
    /// The registry answered as the specification does not allow.
    #[error("{url} answered against the specification: {reason}")]
    Protocol {
        /// What was asked.
        url: String,
        /// What is wrong.
        reason: String,
    },
    /// A registry stored something else than it was given.
    #[error("{url} stored {stored} where {digest} was sent")]
    Stored {
        /// Where it was sent.
        url: String,
        /// What was sent.
        digest: String,
        /// What the registry says it has.
        stored: String,
    },
    /// An upload did not get further, however often it was taken up.
    #[error(
        "the upload of {digest} to {url} came no further than {offset} of {size} bytes: {reason}"
    )]
    Stalled {
        /// The blob.
        digest: String,
        /// Where it should go.
        url: String,
        /// What the registry has, in bytes.
        offset: u64,
        /// The blob's length in bytes.
        size: u64,
        /// What happened last.
        reason: String,
    },
    /// A list is longer than what is taken.
    #[error("{url}: the list is longer than {limit} {what}")]
    Endless {
        /// What was asked.
        url: String,
        /// The limit.
        limit: usize,
        /// What was counted.
        what: &'static str,
    },
    /// A file of credentials cannot be understood.
    #[error("{file}: {reason}")]
    Credentials {
        /// The file.
        file: String,
        /// What is wrong, without what it holds.
        reason: String,
    },
    /// Nobody could be asked for credentials.
    #[error("cannot find out the credentials for {host}")]
    Keychain {
        /// The registry.
        host: String,
        /// The reason.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl Error {
    /// Returns how long a registry asks to wait.
    pub(super) fn asks_to_wait(&self) -> Option<Duration> {
        match self {
            Self::RateLimited { after, .. } => *after,
            _ => None,
        }
    }
}

impl From<Error> for crate::Error {
    fn from(error: Error) -> Self {
        Self::Other(Box::new(error))
    }
}

impl From<http::Error> for crate::Error {
    fn from(error: http::Error) -> Self {
        Error::Http(error).into()
    }
}
