//! One stream into two sinks.

use crate::{BlockSink, Result};

/// A [`BlockSink`] that passes everything on to two others, the first one first.
///
/// The first is finished before the second; where the second fails to, the first has been
/// published.
#[derive(Debug)]
pub struct Tee<A, B> {
    first: A,
    second: B,
}

impl<A: BlockSink, B: BlockSink> Tee<A, B> {
    /// Joins two sinks that stand at the same position.
    pub fn new(first: A, second: B) -> Self {
        Self { first, second }
    }

    /// Returns both sinks, unfinished.
    pub fn into_parts(self) -> (A, B) {
        (self.first, self.second)
    }
}

impl<A: BlockSink, B: BlockSink> BlockSink for Tee<A, B> {
    fn position(&self) -> u64 {
        self.first.position()
    }

    fn write(&mut self, data: &[u8]) -> Result<()> {
        self.first.write(data)?;
        self.second.write(data)
    }

    fn skip(&mut self, len: u64) -> Result<()> {
        self.first.skip(len)?;
        self.second.skip(len)
    }

    fn finish(self: Box<Self>) -> Result<()> {
        let Self { first, second } = *self;
        Box::new(first).finish()?;
        Box::new(second).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::{self, Made};
    use crate::{Forward, MemorySink};

    #[test]
    fn both_sinks_of_a_tee_get_everything() {
        conformance::block_sink(|| {
            let (first, second) = (MemorySink::new(), MemorySink::new());
            let (one, other) = (first.output(), second.output());
            let tee = Tee::new(Forward::new(first), Forward::new(second));
            Made::forward(tee, move || {
                assert_eq!(one.bytes(), other.bytes());
                one.bytes().map(Vec::from)
            })
        });
    }
}
