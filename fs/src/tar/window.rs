//! The window onto the input: one buffer, out of which everything is borrowed.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

use std::io::{self, Read};
use std::sync::Arc;

use forger_block::BlockRead;

/// Size of the buffer in bytes.
const CAPACITY: usize = 1 << 20;

/// From so many bytes on a gap is jumped over where it can be.
const FAR: u64 = 64 << 10;

/// How much is read at once after a jump, in bytes: what follows may be jumped over, too.
const STEP: usize = 32 << 10;

/// A buffered input that knows its position.
pub(super) struct Window<R> {
    input: R,
    buffer: Box<[u8]>,
    /// `buffer[start..end]` is read and not yet consumed.
    start: usize,
    end: usize,
    /// The position of `start` in the input in bytes.
    offset: u64,
    ended: bool,
    /// The input again, at any offset.
    origin: Option<Arc<dyn BlockRead>>,
    /// Whether the input was left, and all comes from the origin.
    jumped: bool,
}

impl<R: Read> Window<R> {
    pub(super) fn new(input: R) -> Self {
        let buffer = vec![0; CAPACITY].into_boxed_slice();
        Self {
            input,
            buffer,
            start: 0,
            end: 0,
            offset: 0,
            ended: false,
            origin: None,
            jumped: false,
        }
    }

    /// Says where the input can be read again at any offset.
    pub(super) fn set_origin(&mut self, origin: Arc<dyn BlockRead>) {
        self.origin = Some(origin);
    }

    /// Returns the position of the next byte.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// Returns all that is buffered, at least `least` bytes (up to a mebibyte) unless the input
    /// ends before.
    pub(super) fn peek(&mut self, least: usize) -> io::Result<&[u8]> {
        while self.len() < least && !self.ended {
            if self.start > 0 {
                self.buffer.copy_within(self.start..self.end, 0);
                self.end = self.len();
                self.start = 0;
            }
            match self.fill() {
                Ok(0) => self.ended = true,
                Ok(count) => self.end = self.end.saturating_add(count),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(self.buffer.get(self.start..self.end).unwrap_or_default())
    }

    /// Reads behind what is buffered; returns how many bytes came.
    fn fill(&mut self) -> io::Result<usize> {
        let at = self.offset.saturating_add(length(self.len()));
        let free = self.buffer.get_mut(self.end..).unwrap_or_default();
        let Some(origin) = self.origin.as_ref().filter(|_| self.jumped) else {
            // A reader that claims more than it was given room for is not believed.
            return Ok(self.input.read(free)?.min(free.len()));
        };
        let left = origin.len().saturating_sub(at);
        let count = usize::try_from(left).unwrap_or(STEP).min(STEP);
        let piece = free.get_mut(..count).unwrap_or_default();
        origin.read_at(at, piece).map_err(io::Error::other)?;
        Ok(piece.len())
    }

    /// Takes `count` of the bytes that are buffered, or all when there are fewer.
    pub(super) fn take(&mut self, count: usize) -> &[u8] {
        let start = self.start;
        self.start = start.saturating_add(count).min(self.end);
        let taken = self.buffer.get(start..self.start).unwrap_or_default();
        // 2^64 bytes do not arrive.
        self.offset = self.offset.saturating_add(length(taken.len()));
        taken
    }

    /// Skips `count` bytes; returns how many of them the input does not have.
    pub(super) fn skip(&mut self, count: u64) -> io::Result<u64> {
        let mut left = count;
        if let Some(origin) = &self.origin
            && left.saturating_sub(length(self.len())) >= FAR
        {
            let there = origin.len().saturating_sub(self.offset).min(left);
            self.offset = self.offset.saturating_add(there);
            (self.start, self.end) = (0, 0);
            (self.jumped, self.ended) = (true, false);
            return Ok(left.saturating_sub(there));
        }
        while left > 0 {
            let buffered = self.peek(1)?.len();
            if buffered == 0 {
                break;
            }
            let step = usize::try_from(left).map_or(buffered, |left| left.min(buffered));
            self.take(step);
            left = left.saturating_sub(length(step));
        }
        Ok(left)
    }

    fn len(&self) -> usize {
        self.end.saturating_sub(self.start)
    }
}

fn length(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}
