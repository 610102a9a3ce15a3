//! A range of what can be read anywhere, read in order.

use std::io::{self, Read};
use std::sync::Arc;

use forger_block::BlockRead;

/// Reads a range in order.
#[derive(Debug)]
pub(crate) struct RangeReader {
    inner: Arc<dyn BlockRead>,
    at: u64,
    left: u64,
}

impl RangeReader {
    /// Reads `len` bytes from `at` on, or what there is of them.
    pub(crate) fn new(inner: Arc<dyn BlockRead>, at: u64, len: u64) -> Self {
        let left = len.min(inner.len().saturating_sub(at));
        Self { inner, at, left }
    }

    /// Reads everything from `at` on.
    pub(crate) fn from(inner: &Arc<dyn BlockRead>, at: u64) -> Self {
        Self::new(Arc::clone(inner), at, u64::MAX)
    }
}

impl Read for RangeReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let count = usize::try_from(self.left)
            .unwrap_or(usize::MAX)
            .min(buf.len());
        let Some(buf) = buf.get_mut(..count) else {
            return Ok(0);
        };
        self.inner.read_at(self.at, buf).map_err(io::Error::other)?;
        self.at = self.at.saturating_add(count as u64);
        self.left = self.left.saturating_sub(count as u64);
        Ok(count)
    }
}
