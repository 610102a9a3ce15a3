//! Writes that are gathered: what stands side by side is written by one call, from where it lies in
//! memory.

use std::borrow::Cow;
use std::io::IoSlice;

use super::error::Result;
use super::store::{CALL, ZEROS};

/// Writes parts one behind the other.
type WriteParts<'a> = &'a mut dyn FnMut(u64, &mut [IoSlice<'_>]) -> forger_block::Result<()>;

/// What has been gathered and not yet been written; [`flush`](Self::flush) writes the rest.
pub(super) struct Batch<'a> {
    write: WriteParts<'a>,
    /// Where the first byte goes.
    start: u64,
    /// Bytes that are held; at most [`CALL`] unless one part is longer.
    len: usize,
    parts: Vec<Cow<'a, [u8]>>,
}

impl<'a> Batch<'a> {
    pub(super) fn new(write: WriteParts<'a>) -> Self {
        Self {
            write,
            start: 0,
            len: 0,
            parts: Vec::new(),
        }
    }

    /// Writes bytes to a place, now or later.
    pub(super) fn put(&mut self, offset: u64, bytes: impl Into<Cow<'a, [u8]>>) -> Result<()> {
        match bytes.into() {
            Cow::Borrowed(bytes) => {
                let mut at = offset;
                for piece in bytes.chunks(CALL) {
                    self.push(at, Cow::Borrowed(piece))?;
                    at = after(at, piece.len());
                }
                Ok(())
            }
            owned => self.push(offset, owned),
        }
    }

    /// Writes zeros to a place.
    pub(super) fn zeros(&mut self, offset: u64, len: usize) -> Result<()> {
        let (mut at, mut left) = (offset, len);
        while left > 0 {
            let piece = left.min(CALL);
            self.push(at, Cow::Borrowed(&ZEROS[..piece]))?;
            at = after(at, piece);
            left -= piece;
        }
        Ok(())
    }

    /// Writes what is still held.
    pub(super) fn flush(&mut self) -> Result<()> {
        if !self.parts.is_empty() {
            let mut parts: Vec<IoSlice<'_>> =
                self.parts.iter().map(|part| IoSlice::new(part)).collect();
            (self.write)(self.start, &mut parts)?;
            self.parts.clear();
            self.len = 0;
        }
        Ok(())
    }

    fn push(&mut self, offset: u64, part: Cow<'a, [u8]>) -> Result<()> {
        if self.len + part.len() > CALL || after(self.start, self.len) != offset {
            self.flush()?;
            self.start = offset;
        }
        self.len += part.len();
        self.parts.push(part);
        Ok(())
    }
}

fn after(offset: u64, len: usize) -> u64 {
    offset.saturating_add(u64::try_from(len).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_written_together_and_nothing_is_lost() {
        let long = vec![b'l'; CALL + 1];
        let mut calls = Vec::new();
        let mut write = |offset, parts: &mut [IoSlice<'_>]| {
            let bytes: Vec<u8> = parts.iter().flat_map(|part| part.to_vec()).collect();
            calls.push((offset, bytes));
            Ok(())
        };
        let mut batch = Batch::new(&mut write);
        batch.put(10, &b"ab"[..]).unwrap();
        batch.put(12, vec![b'c']).unwrap();
        batch.zeros(13, 2).unwrap();
        batch.put(20, &b"d"[..]).unwrap();
        batch.put(19, &b"e"[..]).unwrap();
        batch.put(20, &long[..]).unwrap();
        batch.flush().unwrap();
        batch.flush().unwrap();
        let end = 20 + CALL as u64;
        let expected = [
            (10, b"abc\0\0".to_vec()),
            (20, b"d".to_vec()),
            (19, b"e".to_vec()),
            (20, long[1..].to_vec()),
            (end, b"l".to_vec()),
        ];
        assert_eq!(calls, expected);
    }
}
