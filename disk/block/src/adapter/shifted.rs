//! A part of an output as an output of its own.

use bytes::Bytes;

use crate::read::check_range;
use crate::{MAX_LEN, PlacedSink, Result};

/// A sink that writes into another one, so many bytes further on: a filesystem at its place on a disk.
///
/// It is a part of that output, which alone is finished: its own end says nothing.
pub struct Shifted<'a> {
    inner: &'a mut dyn PlacedSink,
    by: u64,
}

impl<'a> Shifted<'a> {
    /// Makes what stands in `inner` from byte `by` on a sink from 0 on.
    pub fn new(inner: &'a mut dyn PlacedSink, by: u64) -> Self {
        Self { inner, by }
    }

    fn place(&self, offset: u64, len: u64) -> Result<u64> {
        check_range(offset, len, MAX_LEN.saturating_sub(self.by))?;
        Ok(self.by + offset)
    }
}

impl std::fmt::Debug for Shifted<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shifted")
            .field("by", &self.by)
            .finish_non_exhaustive()
    }
}

impl PlacedSink for Shifted<'_> {
    fn write_at(&mut self, offset: u64, data: Bytes) -> Result<()> {
        let at = self.place(offset, data.len() as u64)?;
        self.inner.write_at(at, data)
    }

    fn punch(&mut self, offset: u64, len: u64) -> Result<()> {
        let at = self.place(offset, len)?;
        self.inner.punch(at, len)
    }

    fn finish(self: Box<Self>, _len: u64) -> Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemorySink;

    #[test]
    fn bytes_and_holes_land_further_on_and_nothing_is_finished() {
        let mut whole = Box::new(MemorySink::new());
        let output = whole.output();
        let mut part = Shifted::new(&mut *whole, 100);
        part.write_at(5, vec![7; 20].into()).unwrap();
        part.punch(10, 5).unwrap();
        assert!(part.write_at(MAX_LEN - 100, vec![1].into()).is_err());
        Box::new(part).finish(25).unwrap();
        assert!(output.bytes().is_none());
        whole.finish(200).unwrap();
        let mut expected = vec![0; 200];
        expected[105..125].fill(7);
        expected[110..115].fill(0);
        assert!(output.bytes().unwrap() == expected);
    }
}
