//! Writes that are gathered: what stands side by side is written by one call.

use super::error::Result;

/// So much is gathered before it is written, in bytes.
const GATHERED: usize = 256 << 10;

/// Writes bytes somewhere.
type WriteAt<'a> = &'a mut dyn FnMut(u64, &[u8]) -> forger_block::Result<()>;

/// What has been gathered and not yet been written; [`flush`](Self::flush) writes the rest.
pub(super) struct Batch<'a> {
    write_at: WriteAt<'a>,
    /// Where the first byte goes.
    start: u64,
    held: Vec<u8>,
}

impl<'a> Batch<'a> {
    pub(super) fn new(write_at: WriteAt<'a>) -> Self {
        Self {
            write_at,
            start: 0,
            held: Vec::new(),
        }
    }

    /// Writes bytes to a place, now or later.
    pub(super) fn put(&mut self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.follow(offset)?;
        self.held.extend_from_slice(bytes);
        Ok(())
    }

    /// Returns zeros, to be changed by the caller, that are written to a place.
    pub(super) fn room(&mut self, offset: u64, len: usize) -> Result<&mut [u8]> {
        self.follow(offset)?;
        let from = self.held.len();
        self.held.resize(from + len, 0);
        Ok(&mut self.held[from..])
    }

    /// Writes what is still held.
    pub(super) fn flush(&mut self) -> Result<()> {
        if !self.held.is_empty() {
            (self.write_at)(self.start, &self.held)?;
            self.held.clear();
        }
        Ok(())
    }

    /// Makes sure that the next byte goes to a place.
    fn follow(&mut self, offset: u64) -> Result<()> {
        let held = u64::try_from(self.held.len()).unwrap_or(u64::MAX);
        if self.held.len() >= GATHERED || self.start.saturating_add(held) != offset {
            self.flush()?;
            self.start = offset;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_written_together_and_nothing_is_lost() {
        let mut calls = Vec::new();
        let mut write_at = |offset, bytes: &[u8]| {
            calls.push((offset, bytes.to_vec()));
            Ok(())
        };
        let mut batch = Batch::new(&mut write_at);
        batch.put(10, b"ab").unwrap();
        batch.room(12, 2).unwrap()[0] = b'c';
        batch.put(20, b"d").unwrap();
        batch.put(19, b"e").unwrap();
        batch.put(20, &[7; GATHERED]).unwrap();
        batch.put(20 + GATHERED as u64, b"f").unwrap();
        batch.flush().unwrap();
        batch.flush().unwrap();
        let calls: Vec<_> = calls
            .iter()
            .map(|(offset, bytes)| (*offset, bytes.len(), bytes[0]))
            .collect();
        let last = 20 + GATHERED as u64;
        assert_eq!(
            calls,
            [
                (10, 4, b'a'),
                (20, 1, b'd'),
                (19, 1 + GATHERED, b'e'),
                (last, 1, b'f')
            ]
        );
    }
}
