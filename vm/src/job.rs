//! A job that runs in a guest.

use std::io::{self, Write};
use std::time::Duration;

use forger_wire::{Ended, Message, Side, Terminal};

use crate::channel::{Channel, Inbox, Item, Outlet};
use crate::error::{Error, Violation};

/// A job that runs.
///
/// Output that nobody takes with [`next`](Self::next) makes the job wait. When this is dropped the job
/// runs on, and its output is lost.
#[derive(Debug)]
pub struct Process {
    inbox: Inbox,
    channel: Channel,
}

/// What a job did.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// It runs, under this process id in the guest.
    Started(u32),
    /// It wrote to standard output, or to its terminal.
    Stdout(Vec<u8>),
    /// It wrote to standard error.
    Stderr(Vec<u8>),
    /// It has ended; nothing follows.
    Exit(Ended),
}

impl Process {
    pub(crate) fn new(inbox: Inbox, channel: Channel) -> Self {
        Self { inbox, channel }
    }

    /// Waits for what it does next.
    ///
    /// # Errors
    /// A guest that is gone: then nobody knows how the job ended, and it is no success.
    pub fn next(&self) -> Result<Event, Error> {
        loop {
            if let Some(event) = self.wait(None)? {
                return Ok(event);
            }
        }
    }

    /// Waits for what it does next, at most so long.
    ///
    /// # Errors
    /// As [`next`](Self::next).
    pub fn next_within(&self, limit: Duration) -> Result<Option<Event>, Error> {
        self.wait(Some(limit))
    }

    fn wait(&self, limit: Option<Duration>) -> Result<Option<Event>, Error> {
        let item = self.inbox.next(limit);
        let item = item.map_err(|_| self.channel.lost("it said how the job ended"))?;
        let Some(item) = item else {
            return Ok(None);
        };
        Ok(Some(match item {
            Item::Started(pid) => Event::Started(pid),
            Item::Data(Side::Stdout, bytes) => Event::Stdout(bytes),
            Item::Data(_, bytes) => Event::Stderr(bytes),
            Item::Exit(ended) => Event::Exit(ended),
            Item::Close(_) | Item::Done(_) | Item::Reset => {
                return Err(Error::Protocol {
                    source: Violation::Misplaced {
                        stream: self.inbox.id(),
                    },
                    console: self.channel.console().tail(),
                });
            }
        }))
    }

    /// Runs it to its end and keeps what it writes, at most `limit` bytes of each kind.
    ///
    /// # Errors
    /// As [`next`](Self::next).
    pub fn output(&self, limit: usize) -> Result<(Ended, Vec<u8>, Vec<u8>), Error> {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let keep = |kept: &mut Vec<u8>, bytes: &[u8]| {
            let room = limit.saturating_sub(kept.len()).min(bytes.len());
            kept.extend_from_slice(&bytes[..room]);
        };
        loop {
            match self.next()? {
                Event::Stdout(bytes) => keep(&mut out, &bytes),
                Event::Stderr(bytes) => keep(&mut err, &bytes),
                Event::Exit(ended) => return Ok((ended, out, err)),
                Event::Started(_) => {}
            }
        }
    }

    /// Returns the way to its standard input, for another thread.
    #[must_use]
    pub fn input(&self) -> Input {
        Input(Some(self.inbox.outlet()))
    }

    /// Sends a signal to the job and all in its session.
    ///
    /// # Errors
    /// A guest that is gone.
    pub fn signal(&self, number: u8) -> Result<(), Error> {
        self.send(&Message::Signal { number })
    }

    /// Gives its terminal a new size.
    ///
    /// # Errors
    /// A guest that is gone.
    pub fn resize(&self, size: Terminal) -> Result<(), Error> {
        self.send(&Message::Resize(size))
    }

    fn send(&self, message: &Message<'_>) -> Result<(), Error> {
        let sent = self.inbox.send(message);
        sent.map_err(|_| self.channel.lost("it said how the job ended"))
    }
}

/// A job's standard input, which ends when this is dropped.
#[derive(Debug)]
pub struct Input(Option<Outlet>);

impl Write for Input {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        match &mut self.0 {
            Some(outlet) => outlet.write(buf),
            None => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Input {
    fn drop(&mut self) {
        if let Some(outlet) = self.0.take() {
            // A job that has ended needs no end of its input.
            let _ = outlet.send(&Message::Close { side: Side::Stdin });
        }
    }
}
