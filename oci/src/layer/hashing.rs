//! Digests taken in a thread of their own, so that they cost no time where there is a processor to spare.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::{self, JoinHandle};

use crate::{Algorithm, Digest, Error, Hasher, Result};

/// Size of a piece that is handed to the thread, in bytes.
const PIECE: usize = 256 << 10;

/// How many pieces may wait.
const WAITING: usize = 4;

/// A hasher in a thread of its own.
#[derive(Debug)]
pub(super) struct Hashing {
    piece: Vec<u8>,
    pieces: SyncSender<Vec<u8>>,
    emptied: Receiver<Vec<u8>>,
    thread: JoinHandle<Digest>,
}

impl Hashing {
    pub(super) fn start(algorithm: Algorithm) -> io::Result<Self> {
        let (pieces, arriving) = sync_channel(WAITING);
        let (empty, emptied) = channel();
        let work = move || hash(algorithm, &arriving, &empty);
        let thread = thread::Builder::new()
            .name("hasher".to_owned())
            .spawn(work)?;
        Ok(Self {
            piece: Vec::new(),
            pieces,
            emptied,
            thread,
        })
    }

    pub(super) fn update(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let room = PIECE.saturating_sub(self.piece.len()).min(bytes.len());
            let (now, later) = bytes.split_at(room);
            self.piece.extend_from_slice(now);
            bytes = later;
            if self.piece.len() == PIECE {
                self.send()?;
            }
        }
        Ok(())
    }

    fn send(&mut self) -> io::Result<()> {
        let mut next = self.emptied.try_recv().unwrap_or_default();
        next.clear();
        next.reserve_exact(PIECE);
        let piece = std::mem::replace(&mut self.piece, next);
        self.pieces.send(piece).map_err(|_| died())
    }

    pub(super) fn finish(mut self) -> io::Result<Digest> {
        self.send()?;
        drop(self.pieces);
        self.thread.join().map_err(|_| died())
    }
}

fn hash(algorithm: Algorithm, pieces: &Receiver<Vec<u8>>, emptied: &Sender<Vec<u8>>) -> Digest {
    let mut hasher = Hasher::new(algorithm);
    for piece in pieces {
        hasher.update(&piece);
        // Nobody waits for it at the end.
        let _ = emptied.send(piece);
    }
    hasher.finish()
}

fn died() -> io::Error {
    io::Error::other("the thread that takes digests has ended")
}

/// What bytes that pass have to be.
#[derive(Clone, Debug)]
pub(super) struct Expected {
    /// Their digest.
    pub(super) digest: Digest,
    /// Their length in bytes, where it is known.
    pub(super) size: Option<u64>,
    /// The most bytes there may be.
    pub(super) limit: u64,
    /// What they are, for messages.
    pub(super) what: &'static str,
}

/// A reader whose end is an error unless what was read is what it has to be.
#[derive(Debug)]
pub(super) struct Verified<R> {
    inner: R,
    expected: Expected,
    hashing: Option<Hashing>,
    seen: u64,
    verified: Arc<AtomicBool>,
}

impl<R: Read> Verified<R> {
    pub(super) fn start(inner: R, expected: Expected) -> io::Result<Self> {
        let hashing = Hashing::start(expected.digest.algorithm())?;
        Ok(Self {
            inner,
            expected,
            hashing: Some(hashing),
            seen: 0,
            verified: Arc::default(),
        })
    }

    /// Returns what tells, later on, that the end was reached and all was right.
    pub(super) fn verdict(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.verified)
    }

    fn check_len(&self) -> Result<()> {
        if self.seen > self.expected.limit {
            return Err(Error::TooLarge {
                what: format!("{} {}", self.expected.what, self.expected.digest),
                size: self.seen,
                limit: self.expected.limit,
            });
        }
        match self.expected.size {
            Some(size) if self.seen > size => Err(self.length(size)),
            _ => Ok(()),
        }
    }

    fn length(&self, size: u64) -> Error {
        Error::Length {
            digest: self.expected.digest.to_string(),
            size,
            found: self.seen.min(size.saturating_add(1)),
        }
    }

    fn judge(&mut self) -> io::Result<()> {
        let Some(hashing) = self.hashing.take() else {
            return Ok(());
        };
        if let Some(size) = self.expected.size.filter(|size| *size != self.seen) {
            return Err(self.length(size).into());
        }
        let found = hashing.finish()?;
        if found != self.expected.digest {
            let digest = self.expected.digest.to_string();
            let found = found.to_string();
            return Err(match self.expected.size {
                Some(_) => Error::Mismatch { digest, found },
                None => Error::DiffId { digest, found },
            }
            .into());
        }
        self.verified.store(true, Ordering::Release);
        Ok(())
    }
}

impl<R: Read> Read for Verified<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buf)?;
        if count == 0 {
            if !buf.is_empty() {
                self.judge()?;
            }
            return Ok(0);
        }
        self.seen = self.seen.saturating_add(count as u64);
        self.check_len()?;
        if let Some(hashing) = &mut self.hashing {
            hashing.update(buf.get(..count).unwrap_or_default())?;
        }
        Ok(count)
    }
}
