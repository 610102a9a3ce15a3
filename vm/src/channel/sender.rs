//! The way to the guest.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use forger_wire::{Message, Side, WINDOW, affordable, cost};

use super::locked;
use super::ring::{RING_LEN, Ring};

/// Frames up to this length in bytes go over the channel itself, though there is a ring.
const SHORT: usize = 512;

/// How many bytes of such frames may be on their way: the guest's kernel holds 4096 of a serial line, and one of
/// User-Mode Linux does not listen to the line any more, in both directions, once it has held them back.
const ON_THE_LINE: u64 = 2048;

/// How long the guest may take no bytes at all.
const PATIENCE: Duration = Duration::from_secs(120);

/// Sends messages, from any thread.
#[derive(Clone, Debug)]
pub(crate) struct Sender(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    stream: Mutex<Outgoing>,
    /// The same socket, to end it while another thread writes.
    control: Option<UnixStream>,
    ring: Option<Ring>,
    ring_in_use: AtomicBool,
    line: Mutex<Line>,
}

#[derive(Debug)]
struct Outgoing {
    stream: UnixStream,
    /// How many slots of the ring were used so far.
    slots: u32,
}

/// What is on its way beside the ring, in bytes since the start.
#[derive(Debug, Default)]
struct Line {
    sent: u64,
    /// How much of it the guest has read for sure.
    read: u64,
    /// How much was sent before each slot that the guest has not taken.
    slots: VecDeque<u64>,
}

impl Line {
    /// Counts a frame that is to be sent, if there is room for it.
    fn take(&mut self, len: usize) -> bool {
        let sent = self
            .sent
            .saturating_add(u64::try_from(len).unwrap_or(u64::MAX));
        let room = sent.saturating_sub(self.read) <= ON_THE_LINE;
        if room {
            self.sent = sent;
        }
        room
    }

    /// Takes note that the guest has taken the next slot, and read all that was sent before.
    fn taken(&mut self) {
        if let Some(before) = self.slots.pop_front() {
            self.read = before;
        }
    }
}

impl Sender {
    pub(super) fn new(stream: UnixStream, ring: Option<File>) -> Self {
        // A time-out that is not 0 is always taken.
        let _ = stream.set_write_timeout(Some(PATIENCE));
        Self(Arc::new(Inner {
            control: stream.try_clone().ok(),
            stream: Mutex::new(Outgoing { stream, slots: 0 }),
            ring: ring.map(Ring::new),
            ring_in_use: AtomicBool::new(false),
            line: Mutex::default(),
        }))
    }

    /// Sends a message.
    pub(crate) fn send(&self, stream: u32, message: &Message<'_>) -> io::Result<()> {
        let mut frame = Vec::new();
        message.encode(stream, &mut frame);
        let inner = &*self.0;
        let ring = inner.ring.as_ref();
        let Some(ring) = ring.filter(|_| inner.ring_in_use.load(Ordering::Acquire)) else {
            return locked(&inner.stream).stream.write_all(&frame);
        };
        if frame.len() <= SHORT {
            let mut outgoing = locked(&inner.stream);
            if locked(&inner.line).take(frame.len()) || is_urgent(message) {
                return outgoing.stream.write_all(&frame);
            }
        }
        // Before the lock: whoever frees a slot may need nobody's lock.
        ring.reserve()?;
        let mut outgoing = locked(&inner.stream);
        let offset = ring.put(outgoing.slots, &frame)?;
        outgoing.slots = outgoing.slots.wrapping_add(1);
        let mut line = locked(&inner.line);
        let before = line.sent;
        line.slots.push_back(before);
        drop(line);
        let len = u32::try_from(frame.len()).map_err(io::Error::other)?;
        frame.clear();
        Message::Elsewhere { offset, len }.encode(0, &mut frame);
        outgoing.stream.write_all(&frame)
    }

    /// Uses the ring from here on, if the guest sees it whole.
    pub(super) fn use_ring(&self, len: u64) {
        self.0.ring_in_use.store(len >= RING_LEN, Ordering::Release);
    }

    /// Takes note that the guest has taken a slot; tells whether there was one to take.
    pub(super) fn taken(&self) -> bool {
        locked(&self.0.line).taken();
        self.0.ring.as_ref().is_some_and(Ring::release)
    }

    /// Ends both directions.
    pub(super) fn close(&self) {
        if let Some(control) = &self.0.control {
            // It may have ended itself.
            let _ = control.shutdown(Shutdown::Both);
        }
        if let Some(ring) = &self.0.ring {
            ring.close();
        }
    }
}

/// Tells whether a message is one of those, short and few, that never wait for a slot: a guest that takes none is
/// noticed, told and ended by them.
fn is_urgent(message: &Message<'_>) -> bool {
    matches!(
        message,
        Message::Ping { .. } | Message::Signal { .. } | Message::Shutdown
    )
}

/// How much may be sent on a stream.
#[derive(Debug)]
pub(crate) struct Window {
    /// `None` once the stream is over.
    left: Mutex<Option<u64>>,
    more: Condvar,
}

impl Window {
    pub(super) fn new() -> Self {
        Self {
            left: Mutex::new(Some(WINDOW.into())),
            more: Condvar::new(),
        }
    }

    pub(super) fn add(&self, bytes: u32) {
        if let Some(left) = &mut *locked(&self.left) {
            // What nobody needs is not believed.
            *left = left.saturating_add(bytes.into()).min(u64::from(WINDOW) * 4);
        }
        self.more.notify_all();
    }

    pub(super) fn close(&self) {
        locked(&self.left).take();
        self.more.notify_all();
    }

    /// Waits for room, at most for `limit`, and takes at most `wanted` of it.
    fn take(&self, wanted: usize, limit: Option<Duration>) -> io::Result<usize> {
        let mut left = locked(&self.left);
        loop {
            let open = left.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
            if let Some(room) = affordable(*open, wanted) {
                *open -= u64::from(cost(room));
                return Ok(room);
            }
            left = match limit {
                None => self.more.wait(left).unwrap_or_else(PoisonError::into_inner),
                Some(limit) => {
                    let waited = self.more.wait_timeout(left, limit);
                    let (left, ended) = waited.unwrap_or_else(PoisonError::into_inner);
                    if ended.timed_out() {
                        return Err(io::ErrorKind::TimedOut.into());
                    }
                    left
                }
            };
        }
    }

    /// Sends content on a stream as there is credit for it; waits for credit at most for `limit`.
    pub(crate) fn put(
        &self,
        sender: &Sender,
        stream: u32,
        mut bytes: &[u8],
        limit: Option<Duration>,
    ) -> io::Result<()> {
        while !bytes.is_empty() {
            let room = self.take(bytes.len(), limit)?;
            let (piece, rest) = bytes.split_at(room);
            let message = Message::Data {
                side: Side::Stdin,
                bytes: piece,
            };
            sender.send(stream, &message)?;
            bytes = rest;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_on_the_line_than_the_guest_can_hold() {
        let mut line = Line::default();
        assert!((0..4).all(|_| line.take(500)));
        assert!(!line.take(500) && line.take(48) && !line.take(1));
        // A slot tells that all before it is read, and nothing of what comes after it.
        line.slots.push_back(line.sent);
        line.taken();
        assert!(line.take(2000) && !line.take(500));
        line.taken();
        assert!(!line.take(500), "no slot was taken");
    }
}
