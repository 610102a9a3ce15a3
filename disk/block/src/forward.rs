//! A placed sink that is written forward.

use std::fmt;

use bytes::BytesMut;

use crate::read::check_range;
use crate::stream::PIECE;
use crate::{BlockSink, BufferPool, MAX_LEN, PlacedSink, Result};

/// Makes a [`BlockSink`] of any [`PlacedSink`]: pieces are gathered to up to 1 MiB, holes are
/// left out.
pub struct Forward<P> {
    placed: P,
    pool: BufferPool,
    /// A buffer whose first `gathered` bytes stand right before `position` and have not been
    /// passed on.
    buffer: Option<BytesMut>,
    gathered: usize,
    position: u64,
}

impl<P: PlacedSink> Forward<P> {
    /// Starts at byte 0 of `placed`.
    pub fn new(placed: P) -> Self {
        Self {
            placed,
            pool: BufferPool::new(PIECE),
            buffer: None,
            gathered: 0,
            position: 0,
        }
    }

    /// Passes on what is gathered, and returns the placed sink and the position.
    ///
    /// # Errors
    /// As [`BlockSink::write`].
    pub fn into_placed(mut self) -> Result<(P, u64)> {
        self.pass_on()?;
        Ok((self.placed, self.position))
    }

    fn pass_on(&mut self) -> Result<()> {
        let Some(buffer) = self.buffer.take() else {
            return Ok(());
        };
        let data = self.pool.lend(buffer, std::mem::take(&mut self.gathered));
        let at = self.position - data.len() as u64;
        self.placed.write_at(at, data)
    }
}

impl<P: PlacedSink> BlockSink for Forward<P> {
    fn position(&self) -> u64 {
        self.position
    }

    fn write(&mut self, mut data: &[u8]) -> Result<()> {
        check_range(self.position, data.len() as u64, MAX_LEN)?;
        while !data.is_empty() {
            // Pieces end at multiples of their size, so that a file is written in whole pages.
            let within = usize::try_from(self.position % PIECE as u64).unwrap_or(0);
            let (piece, rest) = data.split_at(data.len().min(PIECE - within));
            let buffer = self.buffer.get_or_insert_with(|| self.pool.take());
            let end = self.gathered + piece.len();
            buffer[self.gathered..end].copy_from_slice(piece);
            self.gathered = end;
            self.position += piece.len() as u64;
            data = rest;
            if within + piece.len() == PIECE {
                self.pass_on()?;
            }
        }
        Ok(())
    }

    fn skip(&mut self, len: u64) -> Result<()> {
        check_range(self.position, len, MAX_LEN)?;
        if len > 0 {
            self.pass_on()?;
            self.position += len;
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<()> {
        let (placed, len) = self.into_placed()?;
        Box::new(placed).finish(len)
    }
}

impl<P: fmt::Debug> fmt::Debug for Forward<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Forward")
            .field("placed", &self.placed)
            .field("position", &self.position)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Checked, MemorySink};

    #[test]
    fn small_writes_are_gathered_and_every_byte_is_placed_once() {
        let memory = MemorySink::new();
        let output = memory.output();
        let mut sink = Forward::new(Checked::new(memory));
        for byte in 0..=255_u8 {
            sink.write(&vec![byte; 10_007]).unwrap();
            sink.skip(u64::from(byte % 2)).unwrap();
        }
        let len = sink.position();
        Box::new(sink).finish().unwrap();
        assert_eq!(output.bytes().unwrap().len() as u64, len);
        assert_eq!(len, 256 * 10_007 + 128);
    }

    #[test]
    fn the_placed_sink_comes_back_with_everything_in_it() {
        let memory = MemorySink::new();
        let output = memory.output();
        let mut sink = Forward::new(memory);
        sink.write(b"abc").unwrap();
        let (memory, position) = sink.into_placed().unwrap();
        assert_eq!(position, 3);
        Box::new(memory).finish(4).unwrap();
        assert_eq!(&output.bytes().unwrap()[..], b"abc\0");
    }
}
