//! Redirects and retries around single exchanges.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::exchange::Exchanger;
use super::retry::retry_after;
use super::{
    Error, Method, Origin, Proxies, Request, Response, Roots, Schedule, Url, is_loopback,
    is_transient,
};

/// Redirects that are followed for one request.
const REDIRECTS: usize = 10;

/// Time, as whoever calls sees it.
pub trait Clock: Send + Sync {
    /// Returns the seconds since 1970.
    fn now(&self) -> u64;

    /// Waits for so long before a request is made again, because of `reason`; `false` is the wish
    /// to give up.
    fn wait(&self, duration: Duration, reason: &str) -> bool;
}

/// How hosts are reached.
#[derive(Clone, Debug)]
pub struct Options {
    /// The authorities that vouch for hosts; none are built in.
    pub roots: Roots,
    /// The proxies in between.
    pub proxies: Proxies,
    /// Allows plain HTTP to hosts other than this one.
    pub plain_http: bool,
    /// How often and how patiently a request is repeated.
    pub schedule: Schedule,
    /// The time limit for looking up a name, and for connecting (TLS included).
    pub connect: Duration,
    /// The time limit for the headers of an answer, and between two pieces of a body.
    pub idle: Duration,
    /// What the client calls itself.
    pub user_agent: String,
}

impl Default for Options {
    /// Nobody is trusted, no proxy, 30 seconds to connect, 60 without a sign of life.
    fn default() -> Self {
        Self {
            roots: Roots::default(),
            proxies: Proxies::default(),
            plain_http: false,
            schedule: Schedule::default(),
            connect: Duration::from_secs(30),
            idle: Duration::from_secs(60),
            user_agent: format!("forger/{}", env!("CARGO_PKG_VERSION")),
        }
    }
}

impl Options {
    /// Checks that the values make sense.
    ///
    /// # Errors
    /// [`Error::Option`].
    pub fn validate(&self) -> Result<(), Error> {
        let limits = [("connect", self.connect), ("idle", self.idle)];
        if let Some((option, _)) = limits.into_iter().find(|(_, limit)| limit.is_zero()) {
            let reason = "no time is not enough";
            return Err(Error::Option { option, reason });
        }
        self.schedule.validate()
    }
}

/// Makes requests, from any number of threads.
pub struct Client {
    exchanger: Exchanger,
    clock: Arc<dyn Clock>,
    /// Origins that have answered: only those can be away for a moment.
    reached: Mutex<HashSet<Origin>>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client")
            .field("options", self.exchanger.options())
            .finish_non_exhaustive()
    }
}

impl Client {
    /// Makes a client.
    ///
    /// # Errors
    /// [`Error::Option`].
    pub fn new(options: Options, clock: Arc<dyn Clock>) -> Result<Self, Error> {
        options.validate()?;
        Ok(Self {
            exchanger: Exchanger::new(options),
            clock,
            reached: Mutex::default(),
        })
    }

    /// Returns the clock, for whoever repeats more than a request.
    #[must_use]
    pub fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    /// Returns how often and how patiently requests are repeated.
    #[must_use]
    pub fn schedule(&self) -> Schedule {
        self.exchanger.options().schedule
    }

    /// Tells whether plain HTTP may go to a host.
    #[must_use]
    pub fn allows_plain(&self, host: &str) -> bool {
        self.exchanger.options().plain_http || is_loopback(host)
    }

    /// Ends every request under way, on whatever thread, and refuses further ones.
    pub fn shut_down(&self) {
        self.exchanger.close();
    }

    /// Makes a request, follows where it leads, and repeats it where that may help.
    ///
    /// The answer may be a refusal: whoever asks looks at its status.
    ///
    /// # Errors
    /// Why there is no answer.
    pub fn send(&self, request: &Request<'_>) -> Result<Response, Error> {
        for attempt in 1_u32.. {
            let result = self.follow(request);
            let (asked, reason) = match &result {
                Ok(response) if is_transient(response.status) => {
                    let asked = response.header("retry-after");
                    let asked = asked.and_then(|value| retry_after(value, self.clock.now()));
                    (
                        asked,
                        format!("{} answered {}", response.url, response.status),
                    )
                }
                Err(error) if self.may_pass(error, request) => (None, describe(error)),
                _ => return result,
            };
            let wait = match request.once {
                true => None,
                false => self.schedule().wait(attempt, asked),
            };
            let Some(wait) = wait else {
                return result;
            };
            // The connection of an answer that is not read is closed.
            drop(result);
            self.pause(wait, &reason)?;
        }
        Err(Error::Cancelled)
    }

    /// Waits before something is tried again.
    ///
    /// # Errors
    /// [`Error::Cancelled`].
    pub fn pause(&self, wait: Duration, reason: &str) -> Result<(), Error> {
        match !self.exchanger.is_closed() && self.clock.wait(wait, reason) {
            true => Ok(()),
            false => Err(Error::Cancelled),
        }
    }

    /// Tells whether an error may be one of the moment: a host that never answered is rather a
    /// wrong one.
    fn may_pass(&self, error: &Error, request: &Request<'_>) -> bool {
        let reached = self.reached.lock().unwrap_or_else(PoisonError::into_inner);
        let connected = match error {
            Error::Exchange { source, .. } => is_broken_connection(source),
            _ => false,
        };
        error.is_transient() && (connected || reached.contains(request.url.origin()))
    }

    /// Makes a request, and the ones it is redirected to.
    fn follow(&self, request: &Request<'_>) -> Result<Response, Error> {
        let mut url = request.url.clone();
        for _ in 0..=REDIRECTS {
            self.check(&url)?;
            let own = url.origin() == request.url.origin();
            let authorization = request.authorization.as_ref().filter(|_| own);
            let response = self.exchanger.exchange(request, &url, authorization)?;
            self.note_reached(url.origin());
            let Some(location) = redirection(request.method, &response) else {
                return Ok(response);
            };
            let next = url.join(location)?;
            if url.origin().is_secure() && !next.origin().is_secure() {
                return Err(Error::Downgrade {
                    from: url.to_string(),
                    to: next.to_string(),
                });
            }
            url = next;
        }
        Err(Error::Redirects {
            url: request.url.to_string(),
            limit: REDIRECTS,
        })
    }

    fn note_reached(&self, origin: &Origin) {
        let mut reached = self.reached.lock().unwrap_or_else(PoisonError::into_inner);
        if !reached.contains(origin) {
            reached.insert(origin.clone());
        }
    }

    /// Refuses plain HTTP where it is not wanted.
    fn check(&self, url: &Url) -> Result<(), Error> {
        let origin = url.origin();
        if origin.is_secure() || self.allows_plain(origin.host()) {
            return Ok(());
        }
        Err(Error::PlainHttp {
            host: origin.host().to_owned(),
        })
    }
}

/// Tells whether an answer sends the same request elsewhere, and where.
fn redirection(method: Method, response: &Response) -> Option<&str> {
    let follows = match response.status {
        307 | 308 => true,
        301..=303 => method.is_read(),
        _ => false,
    };
    response.header("location").filter(|_| follows)
}

/// Tells whether a connection was there, and broke.
fn is_broken_connection(error: &std::io::Error) -> bool {
    use std::io::ErrorKind as Kind;
    matches!(
        error.kind(),
        Kind::UnexpectedEof | Kind::ConnectionReset | Kind::ConnectionAborted | Kind::BrokenPipe
    )
}

/// Says an error and its reason in one line.
fn describe(error: &Error) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
