//! Why a request came to nothing.

use std::io;
use std::time::Duration;

/// Why a request came to nothing. URLs are shown without their queries.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An option makes no sense.
    #[error("{option}: {reason}")]
    Option {
        /// The option.
        option: &'static str,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A text is no URL that could be asked.
    #[error("{url:?} is no usable URL: {reason}")]
    Url {
        /// The text.
        url: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A proxy's URL is none.
    #[error("the proxy for {host} is no usable URL")]
    Proxy {
        /// The host behind the proxy.
        host: String,
    },
    /// The certificates to trust cannot be read.
    #[error("{origin}: certificate {number} cannot be read")]
    Roots {
        /// Where they come from.
        origin: String,
        /// Which one, from 1.
        number: usize,
        /// The reason.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Certificates to trust are needed, and there are none.
    #[error("there are no certificates to trust, so {host} cannot be told from another host")]
    NoRoots {
        /// The host.
        host: String,
    },
    /// Plain HTTP is not for hosts other than this one.
    #[error("{host} is another machine, and plain HTTP to it was not asked for")]
    PlainHttp {
        /// The host.
        host: String,
    },
    /// A redirect leads from HTTPS to plain HTTP.
    #[error("{from} redirects from HTTPS to plain HTTP at {to}")]
    Downgrade {
        /// What was asked.
        from: String,
        /// Where it leads.
        to: String,
    },
    /// One redirect followed the other.
    #[error("{url} is behind more than {limit} redirects")]
    Redirects {
        /// What was asked first.
        url: String,
        /// How many were followed.
        limit: usize,
    },
    /// The server did not answer, or not in HTTP.
    #[error("{method} {url} failed")]
    Exchange {
        /// The method.
        method: &'static str,
        /// What was asked.
        url: String,
        /// The reason.
        source: io::Error,
    },
    /// The connection or TLS could not be established, in a way that another attempt will not
    /// mend.
    #[error("cannot connect to {host}")]
    Connect {
        /// The host.
        host: String,
        /// The reason.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Nothing came for too long.
    #[error("{method} {url}: nothing came for {} s ({what})", after.as_secs())]
    TimedOut {
        /// The method.
        method: &'static str,
        /// What was asked.
        url: String,
        /// What was waited for.
        what: String,
        /// How long.
        after: Duration,
    },
    /// A body that is held in memory is longer than its kind ever is.
    #[error("{url}: the answer is longer than {limit} bytes")]
    TooLong {
        /// What was asked.
        url: String,
        /// The limit in bytes.
        limit: u64,
    },
    /// The body of an answer broke off or could not be read.
    #[error("{url}: the answer broke off")]
    Body {
        /// What was asked.
        url: String,
        /// The reason.
        source: io::Error,
    },
    /// What should be sent cannot be read.
    #[error("cannot read what should be sent to {url}")]
    Source {
        /// Where it should go.
        url: String,
        /// The reason.
        source: io::Error,
    },
    /// Whoever asked does not want to wait any longer.
    #[error("stopped on request")]
    Cancelled,
}

impl Error {
    /// Tells whether the same request may well succeed in a moment.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Exchange { .. } | Self::TimedOut { .. } | Self::Body { .. }
        )
    }
}
