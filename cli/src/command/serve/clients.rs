//! NBD's clients: a thread each, none of which can hold up the others or the end.

use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use forger_disk::nbd::{self, Export, Limits, ServeError, Served};

use super::Until;
use super::door::{Door, Peer};
use crate::exit::Failure;
use crate::progress::Console;
use crate::signals::Stopped;

/// A client has so long to choose an export.
const HANDSHAKE: Duration = Duration::from_secs(20);
/// A client has so long to take what it asked for.
const TAKE: Duration = Duration::from_secs(120);

/// A client that is served.
struct Client {
    number: u64,
    since: Instant,
    peer: Peer,
    chosen: Arc<AtomicBool>,
    thread: JoinHandle<Result<Option<Served>, ServeError>>,
}

/// Serves everybody who comes until it is time to end.
///
/// # Errors
/// A socket that fails.
pub(super) fn serve(
    door: &Door,
    export: Export,
    most: usize,
    until: Until,
    console: &mut Console,
) -> Result<(), Failure> {
    let exports = Arc::new([export]);
    let failed = |error| Failure::failed("cannot wait for clients").because(error);
    let (ended, end) = UnixStream::pair().map_err(failed)?;
    let mut clients: Vec<Client> = Vec::new();
    let mut count = 0;
    let mut idle_since = Instant::now();
    loop {
        while clients.len() < most {
            let Some(peer) = door.accept().map_err(failed)? else {
                break;
            };
            count += 1;
            match Client::start(count, peer, &exports, &end) {
                Ok(client) => clients.push(client),
                Err(error) => console.say(&format!("client {count} cannot be served: {error}")),
            }
        }
        if clients.is_empty() && until.is_over(count, idle_since) {
            return Ok(());
        }
        let wait = until.wait(&clients, idle_since);
        let mut fds = vec![ended.as_fd()];
        if clients.len() < most {
            fds.push(door.as_fd());
        }
        match console.signals().wait_any(&fds, wait) {
            Ok(()) => {}
            Err(error) if error.get_ref().is_some_and(|inner| inner.is::<Stopped>()) => {
                leave(clients, console);
                return Ok(());
            }
            Err(error) => return Err(failed(error)),
        }
        let (gone, here): (Vec<Client>, Vec<Client>) = clients
            .into_iter()
            .partition(|client| client.thread.is_finished());
        clients = here;
        for client in gone {
            // One byte for each: the end of a client wakes this loop once.
            let _ = (&ended).read(&mut [0; 1]);
            client.conclude(console);
            idle_since = Instant::now();
        }
        for client in clients.iter().filter(|client| client.dawdles()) {
            client.peer.shut();
        }
    }
}

impl Until {
    fn is_over(self, count: u64, idle_since: Instant) -> bool {
        let idle = self.idle.is_some_and(|limit| idle_since.elapsed() >= limit);
        idle || self.once && count > 0
    }

    /// Returns how long nothing but clients is of interest.
    fn wait(self, clients: &[Client], idle_since: Instant) -> Option<Duration> {
        let idle = self
            .idle
            .filter(|_| clients.is_empty())
            .map(|limit| limit.saturating_sub(idle_since.elapsed()));
        let handshakes = clients
            .iter()
            .filter(|client| !client.chosen.load(Ordering::Relaxed))
            .map(|client| HANDSHAKE.saturating_sub(client.since.elapsed()));
        handshakes.chain(idle).min()
    }
}

impl Client {
    fn start(
        number: u64,
        peer: Peer,
        exports: &Arc<[Export; 1]>,
        end: &UnixStream,
    ) -> io::Result<Self> {
        peer.set_write_timeout(TAKE)?;
        let (mut stream, end) = (peer.try_clone()?, end.try_clone()?);
        let chosen = Arc::new(AtomicBool::new(false));
        let (exports, chooses) = (Arc::clone(exports), Arc::clone(&chosen));
        let thread = std::thread::Builder::new().spawn(move || {
            let _told = OnEnd(end);
            let served = session(&mut stream, &*exports, &chooses);
            stream.shut();
            served
        })?;
        Ok(Self {
            number,
            since: Instant::now(),
            peer,
            chosen,
            thread,
        })
    }

    /// Tells whether a client has not chosen an export for too long.
    fn dawdles(&self) -> bool {
        !self.chosen.load(Ordering::Relaxed) && self.since.elapsed() >= HANDSHAKE
    }

    /// Says what became of a client.
    fn conclude(self, console: &mut Console) {
        let Self { number, thread, .. } = self;
        match thread.join() {
            Ok(Ok(None)) => console.detail(&format!("client {number} only asked")),
            Ok(Ok(Some(served))) => console.detail(&format!(
                "client {number}: {} requests, {} bytes read, {} written",
                served.requests, served.read, served.written
            )),
            Ok(Err(error)) => {
                let cause = std::error::Error::source(&error);
                let cause = cause.map_or_else(String::new, |cause| format!(": {cause}"));
                console.detail(&format!("client {number} was left: {error}{cause}"));
            }
            Err(_) => console.say(&format!("client {number} was left: an error of forger")),
        }
    }
}

/// Wakes whoever waits for the end of a thread, however it ends.
struct OnEnd(UnixStream);

impl Drop for OnEnd {
    fn drop(&mut self) {
        let _ = self.0.write_all(&[0]);
    }
}

fn session(
    stream: &mut Peer,
    exports: &[Export],
    chosen: &AtomicBool,
) -> Result<Option<Served>, ServeError> {
    let limits = Limits::default();
    let Some(session) = nbd::negotiate(stream, exports, &limits)? else {
        return Ok(None);
    };
    chosen.store(true, Ordering::Relaxed);
    session.run(stream).map(Some)
}

/// Ends every connection, and waits until what clients asked for is done or given up.
fn leave(clients: Vec<Client>, console: &mut Console) {
    for client in &clients {
        client.peer.shut();
    }
    for client in clients {
        client.conclude(console);
    }
}
