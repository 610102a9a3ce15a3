//! The guest's way out: an HTTP proxy at the host's end of the channel.
//!
//! A guest has no network. Programs in it find `http_proxy` and `https_proxy`, which name a port on
//! the guest's own loopback; what arrives there comes through the channel, one stream a connection, and
//! is answered here, with the host's resolver and sockets. `CONNECT` carries TLS from end to end;
//! of plain HTTP each request is seen, its content counted and hashed.
//!
//! | refused | unless |
//! |---|---|
//! | a host that no pattern allows | there are no patterns |
//! | an address on the host's loopback, a link-local or unspecified one | a pattern names that very host |
//! | more connections at once than the limit | never |
//!
//! The guest's end carries 128 at once, and lets further ones wait for their turn: more than 512 are an offence
//! of something else in the guest, which ends it.

mod allow;
mod connection;
mod head;
mod plain;
mod record;
mod relay;
#[cfg(test)]
mod tests;
mod tunnel;

use std::fmt;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use forger_wire::Message;

use crate::channel::{Connections, Inbox, locked};
use crate::error::Error;
use connection::Refusal;

pub use allow::{Pattern, PatternError};
pub use record::Request;

/// What a guest may reach.
#[derive(Clone, Debug)]
pub struct Options {
    /// Hosts that it may reach; all, if there are none.
    pub allow: Vec<Pattern>,
    /// How long a connection may take to come about.
    pub connect_limit: Duration,
    /// How long neither side may say anything.
    pub idle_limit: Duration,
    /// Connections at once.
    pub max_connections: usize,
    /// Gets each request as it ends, in the thread of its connection.
    pub observer: Option<Observer>,
}

/// Whoever wants to know of each request.
#[derive(Clone)]
pub struct Observer(Arc<dyn Fn(&Request) + Send + Sync>);

impl Observer {
    /// Makes one of a function.
    #[must_use]
    pub fn new(see: impl Fn(&Request) + Send + Sync + 'static) -> Self {
        Self(Arc::new(see))
    }
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Observer")
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            allow: Vec::new(),
            connect_limit: Duration::from_secs(30),
            idle_limit: Duration::from_secs(300),
            max_connections: 64,
            observer: None,
        }
    }
}

/// How much is written down of requests in bytes: a guest decides how many there are, and how long.
const MAX_RECORDS: usize = 64 << 20;

/// What is served to one guest.
#[derive(Clone, Debug)]
pub(crate) struct Served(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    options: Options,
    open: Mutex<usize>,
    closed: Condvar,
    records: Mutex<Records>,
}

/// What went through.
#[derive(Debug, Default)]
struct Records {
    requests: Vec<Request>,
    /// How much they take in bytes.
    size: usize,
    /// How many further ones there were.
    left_out: u64,
}

impl Served {
    /// Returns what went through so far, in the order in which it ended.
    pub(crate) fn requests(&self) -> Vec<Request> {
        locked(&self.0.records).requests.clone()
    }

    /// Returns how many further requests there were, beyond those that are written down.
    pub(crate) fn left_out(&self) -> u64 {
        locked(&self.0.records).left_out
    }

    /// Waits until no connection is open, at most so long.
    pub(crate) fn settle(&self, limit: Duration) {
        let open = locked(&self.0.open);
        // Those that are still open then are passed by.
        let waited = self
            .0
            .closed
            .wait_timeout_while(open, limit, |open| *open > 0);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }

    fn note(&self, request: Request) {
        let mut records = locked(&self.0.records);
        records.size = records.size.saturating_add(request.size());
        if records.size > MAX_RECORDS {
            records.left_out += 1;
            return;
        }
        if let Some(observer) = &self.0.options.observer {
            observer.0(&request);
        }
        records.requests.push(request);
    }
}

/// Serves connections in the background; refuses them all without options.
pub(crate) fn serve(
    connections: Connections,
    options: Option<Options>,
) -> Result<Option<Served>, Error> {
    let served = options.map(|options| {
        Served(Arc::new(Shared {
            options,
            open: Mutex::new(0),
            closed: Condvar::new(),
            records: Mutex::default(),
        }))
    });
    let of_thread = served.clone();
    thread::Builder::new()
        .name("guest proxy".to_owned())
        .spawn(move || {
            for inbox in connections {
                match &of_thread {
                    Some(served) => accept(served, inbox),
                    None => refuse(&inbox),
                }
            }
        })
        .map_err(|error| Error::host("start a thread", error))?;
    Ok(served)
}

fn accept(served: &Served, inbox: Inbox) {
    let Some(connection) = Open::take(served) else {
        let limit = served.0.options.max_connections;
        let reason = format!("too many connections at once: {limit} are open");
        let refusal = Refusal::new(503, reason);
        served.note(Request {
            status: Some(refusal.status),
            ..Request::refused("", "", &refusal.reason)
        });
        connection::tell(&inbox, &refusal);
        return refuse(&inbox);
    };
    let started = thread::Builder::new()
        .name("guest connection".to_owned())
        .spawn(move || {
            let served = &connection.0;
            connection::serve(&inbox, &served.0.options, |request| served.note(request));
            refuse(&inbox);
        });
    if started.is_err() {
        served.note(Request::refused("", "", "the host starts no more threads"));
    }
}

/// A connection that counts as open until this is dropped.
struct Open(Served);

impl Open {
    /// Counts one more, if there may be one.
    fn take(served: &Served) -> Option<Self> {
        let mut open = locked(&served.0.open);
        if *open >= served.0.options.max_connections {
            return None;
        }
        *open += 1;
        Some(Self(served.clone()))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let shared = &self.0.0;
        *locked(&shared.open) -= 1;
        shared.closed.notify_all();
    }
}

/// Ends a connection.
fn refuse(inbox: &Inbox) {
    // The guest may be gone.
    let _ = inbox.send(&Message::Reset);
}
