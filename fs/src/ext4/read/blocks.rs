//! The image's blocks: bounds, and a small cache for metadata.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

use std::sync::{Arc, Mutex, PoisonError};

use forger_block::{BlockRead, Bytes};

use super::ReadError;
use crate::ext4::BlockNo;

/// How many bytes of metadata blocks are kept.
const CACHE: usize = 8 << 20;

/// The blocks of an image, as they are after the journal is replayed.
#[derive(Debug)]
pub(crate) struct Blocks {
    source: Arc<dyn BlockRead>,
    block_len: usize,
    /// Slot `block % len`: the block that was read last of those that share the slot.
    cache: Mutex<Vec<Option<(BlockNo, Bytes)>>>,
}

impl Blocks {
    /// Makes blocks of `block_len` bytes of an image.
    pub(crate) fn new(source: Arc<dyn BlockRead>, block_len: usize) -> Self {
        let slots = CACHE.checked_div(block_len).unwrap_or(0).max(1);
        Self {
            source,
            block_len,
            cache: Mutex::new(vec![None; slots]),
        }
    }

    /// Makes blocks of which none is kept, over a source that keeps them itself or changes.
    pub(crate) fn uncached(source: Arc<dyn BlockRead>, block_len: usize) -> Self {
        Self {
            source,
            block_len,
            cache: Mutex::new(Vec::new()),
        }
    }

    /// Returns the image's bytes.
    pub(crate) fn source(&self) -> &Arc<dyn BlockRead> {
        &self.source
    }

    /// Returns where a block starts in the image, in bytes.
    pub(crate) fn offset(&self, block: BlockNo) -> u64 {
        let len = u64::try_from(self.block_len).unwrap_or(u64::MAX);
        block.0.saturating_mul(len)
    }

    /// Returns a block of metadata, from the cache if it is there.
    pub(crate) fn read(&self, block: BlockNo) -> Result<Bytes, ReadError> {
        let slot = self.slot(block);
        if let Some(Some((there, bytes))) = self.lock().get(slot)
            && *there == block
        {
            return Ok(bytes.clone());
        }
        let mut bytes = vec![0; self.block_len];
        self.source.read_at(self.offset(block), &mut bytes)?;
        let bytes = Bytes::from(bytes);
        if let Some(entry) = self.lock().get_mut(slot) {
            *entry = Some((block, bytes.clone()));
        }
        Ok(bytes)
    }

    /// Fills `buf` from a block on, past the cache: for what is read once.
    pub(crate) fn read_run(&self, first: BlockNo, buf: &mut [u8]) -> Result<(), ReadError> {
        Ok(self.source.read_at(self.offset(first), buf)?)
    }

    fn slot(&self, block: BlockNo) -> usize {
        let slots = self.lock().len();
        usize::try_from(block.0)
            .unwrap_or(usize::MAX)
            .checked_rem(slots)
            .unwrap_or(0)
    }

    /// A poisoned cache is still a cache: its entries are whole.
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Option<(BlockNo, Bytes)>>> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_that_share_a_slot_stay_apart() {
        let image: Vec<u8> = (0..20_u8)
            .flat_map(|n| std::iter::repeat_n(n, 1 << 20))
            .collect();
        let blocks = Blocks::new(Arc::new(image), 1 << 20);
        for block in [0, 8, 16, 0, 8, 19] {
            let bytes = blocks.read(BlockNo(block)).unwrap();
            assert_eq!(bytes.get(5).copied().map(u64::from), Some(block));
        }
        assert!(blocks.read(BlockNo(20)).is_err());
        assert!(blocks.read(BlockNo(u64::MAX)).is_err());
    }
}
