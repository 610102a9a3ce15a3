//! Streams: credit towards the host, input from it.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use forger_wire::{Credit, Message, Side, WINDOW, affordable, cost};
use rustix::process::Pid;

use crate::channel::Outgoing;

/// The streams that are open.
#[derive(Clone, Debug, Default)]
pub(crate) struct Streams(Arc<Mutex<HashMap<u32, Arc<Stream>>>>);

/// One stream.
#[derive(Debug)]
pub(crate) struct Stream {
    id: u32,
    outgoing: Outgoing,
    /// How much may still be sent; `None` once the stream is over.
    credit: Mutex<Option<u64>>,
    more: Condvar,
    /// Where content from the host goes.
    input: Mutex<Option<Sender<Vec<u8>>>>,
    /// What it came in before, to be used again: new memory is what takes longest in some machines.
    spare: Mutex<Vec<Vec<u8>>>,
    /// The job's process and terminal.
    pub(crate) process: Mutex<Option<Pid>>,
    pub(crate) terminal: Mutex<Option<std::os::fd::OwnedFd>>,
}

impl Streams {
    /// Opens a stream; what the host sends on it comes out of the receiver.
    pub(crate) fn open(&self, id: u32, outgoing: &Outgoing) -> (Arc<Stream>, Receiver<Vec<u8>>) {
        // The host keeps to its credit, which bounds what waits here.
        let (sender, receiver) = channel();
        let stream = Arc::new(Stream {
            id,
            outgoing: outgoing.clone(),
            credit: Mutex::new(Some(u64::from(WINDOW))),
            more: Condvar::new(),
            input: Mutex::new(Some(sender)),
            spare: Mutex::default(),
            process: Mutex::default(),
            terminal: Mutex::default(),
        });
        locked(&self.0).insert(id, Arc::clone(&stream));
        (stream, receiver)
    }

    /// Finds a stream that is open.
    pub(crate) fn get(&self, id: u32) -> Option<Arc<Stream>> {
        locked(&self.0).get(&id).cloned()
    }

    /// Ends a stream.
    pub(crate) fn close(&self, id: u32) {
        if let Some(stream) = locked(&self.0).remove(&id) {
            stream.end();
        }
    }
}

impl Stream {
    /// Returns the stream's number.
    pub(crate) fn id(&self) -> u32 {
        self.id
    }

    /// Sends a message on this stream.
    pub(crate) fn send(&self, message: &Message<'_>) -> io::Result<()> {
        self.outgoing.send(self.id, message)
    }

    /// Sends content, as there is credit for it.
    ///
    /// # Errors
    /// A stream that is over, a channel that ended.
    pub(crate) fn put(&self, side: Side, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let room = self.room(bytes.len())?;
            let (piece, rest) = bytes.split_at(room);
            self.send(&Message::Data { side, bytes: piece })?;
            bytes = rest;
        }
        Ok(())
    }

    /// Waits for credit and takes at most `wanted` of it.
    fn room(&self, wanted: usize) -> io::Result<usize> {
        let mut credit = locked(&self.credit);
        loop {
            let left = credit.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
            if let Some(room) = affordable(*left, wanted) {
                *left -= u64::from(cost(room));
                return Ok(room);
            }
            credit = self
                .more
                .wait(credit)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Adds credit.
    pub(crate) fn add(&self, bytes: u32) {
        if let Some(credit) = &mut *locked(&self.credit) {
            *credit = credit.saturating_add(bytes.into());
        }
        self.more.notify_all();
    }

    /// Takes content from the host.
    pub(crate) fn take(&self, bytes: &[u8]) {
        if let Some(input) = &*locked(&self.input) {
            let mut piece = locked(&self.spare).pop().unwrap_or_default();
            piece.clear();
            piece.extend_from_slice(bytes);
            // Whoever no longer reads does not miss it.
            let _ = input.send(piece);
        }
    }

    /// Takes back what content came in.
    fn keep(&self, piece: Vec<u8>) {
        locked(&self.spare).push(piece);
    }

    /// Ends what the host sends.
    pub(crate) fn end_input(&self) {
        locked(&self.input).take();
    }

    /// Tells whether the stream is over, in both directions.
    pub(crate) fn is_over(&self) -> bool {
        locked(&self.credit).is_none()
    }

    /// Ends both directions: whoever waits for credit or input wakes up.
    fn end(&self) {
        locked(&self.credit).take();
        self.more.notify_all();
        self.end_input();
    }
}

/// What the host sends on a stream, as a reader that gives credit.
#[derive(Debug)]
pub(crate) struct Input {
    stream: Arc<Stream>,
    receiver: Receiver<Vec<u8>>,
    piece: Vec<u8>,
    at: usize,
    credit: Credit,
}

impl Input {
    pub(crate) fn new(stream: Arc<Stream>, receiver: Receiver<Vec<u8>>) -> Self {
        Self {
            stream,
            receiver,
            piece: Vec::new(),
            at: 0,
            credit: Credit::default(),
        }
    }

    /// Copies everything to `to`; what it no longer takes is dropped, so that the host never waits.
    pub(crate) fn pour(mut self, mut to: impl Write) {
        let mut open = true;
        while let Ok(piece) = self.receiver.recv() {
            open = open && to.write_all(&piece).and_then(|()| to.flush()).is_ok();
            let len = piece.len();
            self.stream.keep(piece);
            if self.consumed(len).is_err() {
                return;
            }
        }
    }

    fn consumed(&mut self, len: usize) -> io::Result<()> {
        // The host is not checked: it is the guest's master.
        let _ = self.credit.received(len);
        match self.credit.consumed(len) {
            Some(bytes) => self.stream.send(&Message::Credit { bytes }),
            None => Ok(()),
        }
    }
}

impl Read for Input {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.at == self.piece.len() {
            match self.receiver.recv() {
                Ok(piece) => self.stream.keep(std::mem::replace(&mut self.piece, piece)),
                Err(_) => return Ok(0),
            }
            self.at = 0;
            self.consumed(self.piece.len())?;
        }
        let rest = self.piece.get(self.at..).unwrap_or_default();
        let len = rest.len().min(buf.len());
        buf[..len].copy_from_slice(&rest[..len]);
        self.at += len;
        Ok(len)
    }
}

/// A writer whose bytes go to the host on one side of a stream.
#[derive(Debug)]
pub(crate) struct Output<'a>(pub(crate) &'a Stream);

impl Write for Output<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.put(Side::Stdout, buf)?;
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Locks, whatever happened to whoever held it.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
