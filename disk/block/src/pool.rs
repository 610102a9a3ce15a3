//! Buffers that come back.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

/// Lends buffers of one size as [`Bytes`], and uses them again once whoever took them is done.
///
/// A megabyte of fresh memory costs about as much as copying it; a writer that hands its pieces
/// to another thread avoids that by filling the same few buffers in turn.
#[derive(Debug)]
pub struct BufferPool {
    size: usize,
    /// Whole buffers, the longest lent first.
    lent: VecDeque<Bytes>,
}

/// So many buffers are remembered at most. More than that are not used again.
const REMEMBERED: usize = 16;

impl BufferPool {
    /// Makes a pool of buffers of `size` bytes; none exists yet.
    #[must_use]
    pub fn new(size: usize) -> Self {
        Self {
            size,
            lent: VecDeque::new(),
        }
    }

    /// Returns a buffer of the pool's size; what it holds is arbitrary.
    pub fn take(&mut self) -> BytesMut {
        match self.lent.pop_front().map(Bytes::try_into_mut) {
            Some(Ok(buffer)) if buffer.len() == self.size => return buffer,
            // Still in use: it is the oldest, so the others are too.
            Some(Err(used)) if self.lent.len() + 1 < REMEMBERED => self.lent.push_front(used),
            _ => {}
        }
        BytesMut::zeroed(self.size)
    }

    /// Makes the first `len` bytes of a buffer shareable, at most all of it.
    pub fn lend(&mut self, buffer: BytesMut, len: usize) -> Bytes {
        let whole = buffer.freeze();
        let piece = whole.slice(..len.min(whole.len()));
        self.lent.push_back(whole);
        piece
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_back_when_nobody_uses_it() {
        let mut pool = BufferPool::new(1000);
        let mut first = pool.take();
        assert_eq!(first.len(), 1000);
        first.fill(7);
        let first = pool.lend(first, 10);
        assert_eq!(&first[..], [7; 10]);
        let address = first.as_ptr();

        let second = pool.take();
        assert_ne!(second.as_ptr(), address, "the first is still in use");
        assert_eq!(&first[..], [7; 10]);
        let part = first.slice(3..5);
        drop((first, pool.lend(second, 1000)));
        let third = pool.take();
        assert_ne!(third.as_ptr(), address, "a part is still in use");
        drop((part, third));
        let fourth = pool.take();
        assert_eq!(fourth.as_ptr(), address);
        assert_eq!(fourth.len(), 1000);
    }

    #[test]
    fn a_borrower_that_keeps_everything_costs_no_more_than_its_own() {
        let mut pool = BufferPool::new(10);
        let kept: Vec<Bytes> = (0..100)
            .map(|_| {
                let buffer = pool.take();
                pool.lend(buffer, 10)
            })
            .collect();
        assert!(pool.lent.len() <= REMEMBERED);
        drop(kept);
        assert_eq!(pool.take().len(), 10);
    }
}
