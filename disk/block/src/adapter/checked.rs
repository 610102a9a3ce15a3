//! Asserting that every byte is written at most once.

use bytes::Bytes;

use crate::ranges::RangeSet;
use crate::read::check_range;
use crate::{Error, MAX_LEN, PlacedSink, Result};

/// A [`PlacedSink`] that returns [`Error::Overlap`] for a byte that is written a second time, also
/// after it was punched; for tests and fuzzing.
#[derive(Debug)]
pub struct Checked<P> {
    inner: P,
    taken: RangeSet,
}

impl<P: PlacedSink> Checked<P> {
    /// Watches over a sink to which nothing has been written yet.
    pub fn new(inner: P) -> Self {
        Self {
            inner,
            taken: RangeSet::default(),
        }
    }
}

impl<P: PlacedSink> PlacedSink for Checked<P> {
    fn write_at(&mut self, offset: u64, data: Bytes) -> Result<()> {
        let len = data.len() as u64;
        check_range(offset, len, MAX_LEN)?;
        let range = offset..offset + len;
        if self.taken.overlaps(&range) {
            return Err(Error::Overlap { offset, len });
        }
        self.taken.insert(range);
        self.inner.write_at(offset, data)
    }

    fn punch(&mut self, offset: u64, len: u64) -> Result<()> {
        check_range(offset, len, MAX_LEN)?;
        self.inner.punch(offset, len)
    }

    fn finish(self: Box<Self>, len: u64) -> Result<()> {
        Box::new(self.inner).finish(len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemorySink;
    use crate::conformance::{self, Made};

    #[test]
    fn a_checked_sink_keeps_the_contract() {
        conformance::placed_sink(|| {
            let sink = MemorySink::new();
            let output = sink.output();
            Made::placed(Checked::new(sink), move || output.bytes().map(Vec::from))
        });
    }

    #[test]
    fn a_second_write_is_an_overlap_also_after_a_punch() {
        let mut sink = Checked::new(MemorySink::new());
        sink.write_at(10, vec![1; 10].into()).unwrap();
        sink.write_at(20, vec![1; 10].into()).unwrap();
        sink.write_at(15, Bytes::new()).unwrap();
        sink.punch(10, 20).unwrap();
        for (offset, len) in [(9, 2), (12, 1), (29, 1), (0, 100)] {
            let error = sink.write_at(offset, vec![1; len].into()).unwrap_err();
            assert!(matches!(error, Error::Overlap { .. }));
        }
        sink.write_at(30, vec![1].into()).unwrap();
    }
}
