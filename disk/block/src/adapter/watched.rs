//! Counting, progress and a way to stop.

use std::fmt;

use bytes::Bytes;

use crate::{BlockSink, PlacedSink, Result, Run};

/// A sink that tells a function about each piece before it passes it on: to count, to show
/// progress, or to stop by returning [`Error::Interrupted`](crate::Error::Interrupted).
///
/// As a [`BlockSink`] it tells data and holes, as a [`PlacedSink`] data only.
pub struct Watched<S, F> {
    inner: S,
    watch: F,
}

impl<S, F: FnMut(Run) -> Result<()>> Watched<S, F> {
    /// Calls `watch` before each piece that goes into `inner`.
    pub fn new(inner: S, watch: F) -> Self {
        Self { inner, watch }
    }

    /// Returns the sink inside.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, F> BlockSink for Watched<S, F>
where
    S: BlockSink,
    F: FnMut(Run) -> Result<()> + Send,
{
    fn position(&self) -> u64 {
        self.inner.position()
    }

    fn write(&mut self, data: &[u8]) -> Result<()> {
        (self.watch)(Run::Data(data.len() as u64))?;
        self.inner.write(data)
    }

    fn skip(&mut self, len: u64) -> Result<()> {
        (self.watch)(Run::Hole(len))?;
        self.inner.skip(len)
    }

    fn finish(self: Box<Self>) -> Result<()> {
        Box::new(self.inner).finish()
    }
}

impl<S, F> PlacedSink for Watched<S, F>
where
    S: PlacedSink,
    F: FnMut(Run) -> Result<()> + Send,
{
    fn write_at(&mut self, offset: u64, data: Bytes) -> Result<()> {
        (self.watch)(Run::Data(data.len() as u64))?;
        self.inner.write_at(offset, data)
    }

    fn punch(&mut self, offset: u64, len: u64) -> Result<()> {
        self.inner.punch(offset, len)
    }

    fn finish(self: Box<Self>, len: u64) -> Result<()> {
        Box::new(self.inner).finish(len)
    }
}

impl<S: fmt::Debug, F> fmt::Debug for Watched<S, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watched")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::{self, Made};
    use crate::{Error, Forward, MemorySink};

    #[test]
    fn a_watched_sink_keeps_both_contracts() {
        conformance::placed_sink(|| {
            let sink = MemorySink::new();
            let output = sink.output();
            let sink = Watched::new(sink, |_| Ok(()));
            Made::placed(sink, move || output.bytes().map(Vec::from))
        });
        conformance::block_sink(|| {
            let sink = MemorySink::new();
            let output = sink.output();
            let sink = Watched::new(Forward::new(sink), |_| Ok(()));
            Made::forward(sink, move || output.bytes().map(Vec::from))
        });
    }

    #[test]
    fn data_and_holes_are_counted_apart() {
        let (mut data, mut holes) = (0, 0);
        let mut sink = Watched::new(Forward::new(MemorySink::new()), |run| {
            match run {
                Run::Data(len) => data += len,
                Run::Hole(len) => holes += len,
            }
            Ok(())
        });
        sink.write(&[1; 10]).unwrap();
        sink.skip(100).unwrap();
        sink.write(&[1; 5]).unwrap();
        drop(sink);
        assert_eq!((data, holes), (15, 100));
    }

    #[test]
    fn an_error_of_the_watcher_stops_before_the_piece() {
        let mut sink = Watched::new(Forward::new(MemorySink::new()), |_| Err(Error::Interrupted));
        assert!(matches!(sink.write(b"a"), Err(Error::Interrupted)));
        assert_eq!(sink.position(), 0);
    }
}
