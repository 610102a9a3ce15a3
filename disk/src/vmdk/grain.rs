//! Compressed grains.

use flate2::{Decompress, FlushDecompress};

/// Decompresses grains, one after the other.
pub(super) struct Inflater(Decompress);

impl Inflater {
    pub(super) fn new() -> Self {
        Self(Decompress::new(true))
    }

    /// Fills a buffer with a grain, and returns how much of it there is, in bytes.
    pub(super) fn inflate(&mut self, packed: &[u8], grain: &mut [u8]) -> u64 {
        self.0.reset(true);
        // What matters is how much came out.
        let _ = self.0.decompress(packed, grain, FlushDecompress::Finish);
        self.0.total_out()
    }
}

impl std::fmt::Debug for Inflater {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inflater").finish_non_exhaustive()
    }
}
