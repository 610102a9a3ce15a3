//! The window onto the input: one buffer, out of which everything is borrowed.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

use std::io::{self, Read};

/// Size of the buffer in bytes.
const CAPACITY: usize = 1 << 20;

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
        }
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
            let free = self.buffer.get_mut(self.end..).unwrap_or_default();
            match self.input.read(free) {
                Ok(0) => self.ended = true,
                // A reader that claims more than it was given room for is not believed.
                Ok(count) => self.end = self.end.saturating_add(count.min(free.len())),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(self.buffer.get(self.start..self.end).unwrap_or_default())
    }

    /// Takes `count` of the bytes that are buffered, or all when there are fewer.
    pub(super) fn take(&mut self, count: usize) -> &[u8] {
        let start = self.start;
        self.start = start.saturating_add(count).min(self.end);
        let taken = self.buffer.get(start..self.start).unwrap_or_default();
        // 2^64 bytes do not arrive.
        self.offset = self
            .offset
            .saturating_add(u64::try_from(taken.len()).unwrap_or(0));
        taken
    }

    /// Skips `count` bytes; returns how many of them the input does not have.
    pub(super) fn skip(&mut self, count: u64) -> io::Result<u64> {
        let mut left = count;
        while left > 0 {
            let buffered = self.peek(1)?.len();
            if buffered == 0 {
                break;
            }
            let step = usize::try_from(left).map_or(buffered, |left| left.min(buffered));
            self.take(step);
            left = left.saturating_sub(u64::try_from(step).unwrap_or(0));
        }
        Ok(left)
    }

    fn len(&self) -> usize {
        self.end.saturating_sub(self.start)
    }
}
