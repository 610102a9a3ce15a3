//! The compressed bytes, counted.

use std::cell::Cell;
use std::io::{self, BufRead, Read};
use std::rc::Rc;

/// Size of the buffer in bytes.
const CAPACITY: usize = 256 << 10;

/// What is known of an [`Input`] while a decoder owns it.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// Bytes consumed.
    pub(super) at: Cell<u64>,
    /// Reading failed: the error that the decoder passes on is not about the format.
    pub(super) failed: Cell<bool>,
}

/// A buffered reader that counts what is consumed.
pub(super) struct Input<R> {
    inner: R,
    buffer: Vec<u8>,
    /// `buffer[start..end]` is read and not consumed.
    start: usize,
    end: usize,
    progress: Rc<Progress>,
}

impl<R: Read> Input<R> {
    pub(super) fn new(inner: R) -> Self {
        let (buffer, progress) = (vec![0; CAPACITY], Rc::default());
        Self {
            inner,
            buffer,
            start: 0,
            end: 0,
            progress,
        }
    }

    pub(super) fn progress(&self) -> Rc<Progress> {
        Rc::clone(&self.progress)
    }

    fn refill(&mut self) -> io::Result<()> {
        while self.start == self.end {
            match self.inner.read(&mut self.buffer) {
                Ok(0) => break,
                Ok(count) => (self.start, self.end) = (0, count.min(self.buffer.len())),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.progress.failed.set(true);
                    return Err(error);
                }
            }
        }
        Ok(())
    }
}

impl<R: Read> BufRead for Input<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.refill()?;
        Ok(&self.buffer[self.start..self.end])
    }

    fn consume(&mut self, count: usize) {
        let count = count.min(self.end - self.start);
        self.start += count;
        let at = self.progress.at.get();
        self.progress
            .at
            .set(at.saturating_add(u64::try_from(count).unwrap_or(0)));
    }
}

impl<R: Read> Read for Input<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let count = self.fill_buf()?.read(buf)?;
        self.consume(count);
        Ok(count)
    }
}
