//! The host's end of the channel.
//!
//! One thread reads and hands out what arrives; it never writes, so that neither end can wait for the
//! other in a circle. Whoever consumes content gives credit for it. What the guest sends is bounded
//! everywhere: content by its credit, everything else by counts.

mod inbox;
mod reader;
mod ring;
mod sender;
mod streams;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use forger_wire::{Message, Ready};

use crate::console::Console;
use crate::error::{Error, Violation};

pub(crate) use inbox::{Inbox, Item, Outlet};
pub(crate) use ring::RING_LEN;
pub(crate) use sender::Sender;
pub(crate) use streams::Connections;

use reader::Reader;
use streams::Streams;

/// What the guest says of itself, not of a stream.
#[derive(Debug)]
pub(crate) enum Notice {
    Ready(Ready),
    SetUp,
    Bye,
}

/// Why a channel ended.
#[derive(Clone, Debug)]
pub(crate) enum End {
    /// The guest said goodbye.
    Bye,
    /// It ended without.
    Lost,
    /// The guest said that it cannot go on.
    Fault(String),
    /// The guest did what it may not do.
    Violation(Violation),
}

/// An open channel.
#[derive(Clone, Debug)]
pub(crate) struct Channel {
    sender: Sender,
    streams: Streams,
    shared: Arc<Shared>,
    console: Console,
}

/// What the reading thread leaves for others.
#[derive(Debug)]
pub(crate) struct Shared {
    end: Mutex<Option<End>>,
    ended: Condvar,
    /// When something arrived last.
    heard: Mutex<Instant>,
    /// What the guest wants in the log.
    log: Mutex<Vec<String>>,
}

/// The most lines that are kept of what a guest wants in the log.
const MAX_LOG: usize = 1000;

impl Shared {
    fn new() -> Self {
        Self {
            end: Mutex::default(),
            ended: Condvar::new(),
            heard: Mutex::new(Instant::now()),
            log: Mutex::default(),
        }
    }
}

/// What comes out of a channel beside its streams.
#[derive(Debug)]
pub(crate) struct Arrivals {
    pub(crate) notices: Receiver<Notice>,
    pub(crate) connections: Connections,
}

impl Channel {
    /// Starts to listen.
    pub(crate) fn open(
        stream: UnixStream,
        ring: Option<File>,
        console: Console,
    ) -> Result<(Self, Arrivals), Error> {
        let copy = stream
            .try_clone()
            .map_err(|error| Error::host("copy a socket", error))?;
        let sender = Sender::new(copy, ring);
        let (streams, connections) = Streams::new();
        let shared = Arc::new(Shared::new());
        let (notice, notices) = std::sync::mpsc::sync_channel(8);
        let reader = Reader {
            sender: sender.clone(),
            streams: streams.clone(),
            shared: Arc::clone(&shared),
            notices: notice,
        };
        thread::Builder::new()
            .name("guest channel".to_owned())
            .spawn(move || reader.run(stream))
            .map_err(|error| Error::host("start a thread", error))?;
        let channel = Self {
            sender,
            streams,
            shared,
            console,
        };
        let arrivals = Arrivals {
            notices,
            connections,
        };
        Ok((channel, arrivals))
    }

    /// Opens a stream of the host's and sends its first message.
    pub(crate) fn start(&self, message: &Message<'_>) -> Result<Inbox, Error> {
        let inbox = self
            .streams
            .open(&self.sender)
            .ok_or_else(|| self.lost("the job"))?;
        self.sender
            .send(inbox.id(), message)
            .map_err(|_| self.lost("the job"))?;
        Ok(inbox)
    }

    /// Sends a message that belongs to no stream.
    pub(crate) fn send(&self, message: &Message<'_>) -> Result<(), Error> {
        let sent = self.sender.send(0, message);
        sent.map_err(|_| self.lost("it took a message"))
    }

    /// Lets the guest's ring be used.
    pub(crate) fn use_ring(&self, len: u64) {
        self.sender.use_ring(len);
    }

    /// Takes what the guest wanted in the log since the last time.
    pub(crate) fn take_log(&self) -> Vec<String> {
        std::mem::take(&mut *locked(&self.shared.log))
    }

    /// Returns for how long nothing has arrived.
    pub(crate) fn silence(&self) -> Duration {
        locked(&self.shared.heard).elapsed()
    }

    /// Waits for the channel's end at most so long; tells whether it has ended.
    pub(crate) fn wait_for_end(&self, limit: Duration) -> bool {
        let end = locked(&self.shared.end);
        let waited = self
            .shared
            .ended
            .wait_timeout_while(end, limit, |end| end.is_none());
        waited.map_or(true, |(end, _)| end.is_some())
    }

    /// Returns what the guest's kernel says.
    pub(crate) fn console(&self) -> &Console {
        &self.console
    }

    /// Explains why the channel ended before something.
    pub(crate) fn lost(&self, before: &'static str) -> Error {
        let console = self.console.tail();
        match locked(&self.shared.end).clone() {
            Some(End::Fault(what)) => Error::Fault { what, console },
            Some(End::Violation(source)) => Error::Protocol { source, console },
            Some(End::Lost | End::Bye) | None => Error::Lost {
                cause: self.console.cause(),
                before,
                console,
            },
        }
    }

    /// Ends the channel from this side.
    pub(crate) fn close(&self) {
        self.sender.close();
    }
}

pub(crate) fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
