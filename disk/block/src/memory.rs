//! Images in memory: for small ones, and for tests.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use crate::read::check_range;
use crate::{BlockRead, Error, PlacedSink, Result};

impl BlockRead for Bytes {
    fn len(&self) -> u64 {
        self.as_ref().len() as u64
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        read_slice(self, offset, buf)
    }

    fn in_memory(&self) -> Option<Bytes> {
        Some(self.clone())
    }
}

impl BlockRead for Vec<u8> {
    fn len(&self) -> u64 {
        self.as_slice().len() as u64
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        read_slice(self, offset, buf)
    }
}

fn read_slice(bytes: &[u8], offset: u64, buf: &mut [u8]) -> Result<()> {
    usize::try_from(offset)
        .ok()
        .and_then(|start| bytes.get(start..)?.get(..buf.len()))
        .map(|part| buf.copy_from_slice(part))
        .ok_or(Error::OutOfRange {
            offset,
            len: buf.len() as u64,
            size: bytes.len() as u64,
        })
}

/// A [`PlacedSink`] into memory, up to a limit; as a forward sink it is
/// [`Forward<MemorySink>`](crate::Forward).
///
/// It grows to the end of the last byte written, so the limit bounds what one stray offset costs.
#[derive(Debug)]
pub struct MemorySink {
    bytes: Vec<u8>,
    limit: u64,
    output: MemoryOutput,
}

impl MemorySink {
    /// The limit where none is given, in bytes: 1 GiB.
    pub const DEFAULT_LIMIT: u64 = 1 << 30;

    /// Makes an empty sink that takes up to [`DEFAULT_LIMIT`](Self::DEFAULT_LIMIT) bytes.
    #[must_use]
    pub fn new() -> Self {
        Self::with_limit(Self::DEFAULT_LIMIT)
    }

    /// Makes an empty sink that takes up to `limit` bytes.
    #[must_use]
    pub fn with_limit(limit: u64) -> Self {
        Self {
            bytes: Vec::new(),
            limit,
            output: MemoryOutput::default(),
        }
    }

    /// Returns the place where the finished bytes will be.
    #[must_use]
    pub fn output(&self) -> MemoryOutput {
        self.output.clone()
    }

    /// Checks a range against the limit and returns it in the machine's own size.
    fn claim(&self, offset: u64, len: u64) -> Result<std::ops::Range<usize>> {
        check_range(offset, len, self.limit)?;
        match (usize::try_from(offset), usize::try_from(offset + len)) {
            (Ok(start), Ok(end)) => Ok(start..end),
            _ => Err(Error::OutOfRange {
                offset,
                len,
                size: self.limit,
            }),
        }
    }
}

impl Default for MemorySink {
    fn default() -> Self {
        Self::new()
    }
}

impl PlacedSink for MemorySink {
    fn write_at(&mut self, offset: u64, data: Bytes) -> Result<()> {
        let range = self.claim(offset, data.len() as u64)?;
        if range.is_empty() {
            return Ok(());
        }
        if range.end > self.bytes.len() {
            self.bytes.resize(range.end, 0);
        }
        self.bytes[range].copy_from_slice(&data);
        Ok(())
    }

    fn punch(&mut self, offset: u64, len: u64) -> Result<()> {
        let range = self.claim(offset, len)?;
        let written = self.bytes.len();
        self.bytes[range.start.min(written)..range.end.min(written)].fill(0);
        Ok(())
    }

    fn finish(mut self: Box<Self>, len: u64) -> Result<()> {
        let range = self.claim(0, len)?;
        let written = self.bytes.len() as u64;
        check_range(0, written, len)?;
        self.bytes.resize(range.end, 0);
        let bytes = Bytes::from(std::mem::take(&mut self.bytes));
        *self.output.lock() = Some(bytes);
        Ok(())
    }
}

/// Where a [`MemorySink`] publishes.
#[derive(Clone, Debug, Default)]
pub struct MemoryOutput(Arc<Mutex<Option<Bytes>>>);

impl MemoryOutput {
    /// Returns the bytes once the sink has been finished.
    #[must_use]
    pub fn bytes(&self) -> Option<Bytes> {
        self.lock().clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Bytes>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Forward;
    use crate::conformance::{self, Made};

    #[test]
    fn memory_reads_as_itself() {
        let bytes: Vec<u8> = (0..=255).cycle().take(3001).collect();
        conformance::reader(&bytes, &bytes);
        conformance::reader(&Bytes::from(bytes.clone()), &bytes);
        conformance::reader(&Vec::new(), &[]);
    }

    #[test]
    fn memory_sink_keeps_the_contract_of_a_placed_sink() {
        conformance::placed_sink(|| {
            let sink = MemorySink::new();
            let output = sink.output();
            Made::placed(sink, move || output.bytes().map(Vec::from))
        });
    }

    #[test]
    fn memory_sink_keeps_the_contract_of_a_forward_sink() {
        conformance::block_sink(|| {
            let sink = MemorySink::new();
            let output = sink.output();
            Made::forward(Forward::new(sink), move || output.bytes().map(Vec::from))
        });
    }

    #[test]
    fn the_limit_bounds_writes_and_length() {
        let mut sink = MemorySink::with_limit(10);
        assert!(sink.write_at(9, Bytes::from_static(b"ab")).is_err());
        sink.write_at(9, Bytes::from_static(b"a")).unwrap();
        assert!(Box::new(sink).finish(11).is_err());
    }
}
