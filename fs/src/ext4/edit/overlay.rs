//! The blocks of metadata as they will be: the image's, and what the transaction changes of them.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use forger_block::{BlockRead, Result};

use crate::ext4::BlockNo;

/// Unchanged blocks are dropped when so many bytes of them are held.
const CLEAN: usize = 64 << 20;

/// The image with the transaction's changes laid over it; as a [`BlockRead`] it is what every reader
/// of structures sees.
#[derive(Debug)]
pub(super) struct Overlay {
    image: Arc<dyn BlockRead>,
    block_len: usize,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    clean: HashMap<u64, Box<[u8]>>,
    changed: BTreeMap<u64, Box<[u8]>>,
}

impl Overlay {
    pub(super) fn new(image: Arc<dyn BlockRead>, block_len: usize) -> Self {
        Self {
            image,
            block_len,
            held: Mutex::default(),
        }
    }

    /// Changes a block of metadata.
    pub(super) fn edit<T>(&self, block: BlockNo, change: impl FnOnce(&mut [u8]) -> T) -> Result<T> {
        let mut held = self.lock();
        if !held.changed.contains_key(&block.0) {
            let bytes = match held.clean.remove(&block.0) {
                Some(bytes) => bytes,
                None => self.load(block.0)?,
            };
            held.changed.insert(block.0, bytes);
        }
        let bytes = held.changed.entry(block.0).or_default();
        Ok(change(bytes))
    }

    /// Looks at a block.
    pub(super) fn view<T>(&self, block: BlockNo, look: impl FnOnce(&[u8]) -> T) -> Result<T> {
        let mut held = self.lock();
        if let Some(bytes) = held.changed.get(&block.0) {
            return Ok(look(bytes));
        }
        if let Some(bytes) = held.clean.get(&block.0) {
            return Ok(look(bytes));
        }
        let bytes = self.load(block.0)?;
        if held.clean.len().saturating_mul(self.block_len) >= CLEAN {
            held.clean.clear();
        }
        Ok(look(held.clean.entry(block.0).or_insert(bytes)))
    }

    /// Gives a block a content without a look at what it had.
    pub(super) fn put(&self, block: BlockNo, bytes: &[u8]) {
        let mut held = self.lock();
        held.clean.remove(&block.0);
        held.changed.insert(block.0, bytes.into());
    }

    /// Leaves a block as it is in the image, because it holds no metadata any more.
    pub(super) fn forget(&self, block: BlockNo) {
        self.lock().changed.remove(&block.0);
    }

    /// Returns the blocks that change, in ascending order.
    pub(super) fn changed(&self) -> Vec<(BlockNo, Box<[u8]>)> {
        let held = self.lock();
        held.changed
            .iter()
            .map(|(block, bytes)| (BlockNo(*block), bytes.clone()))
            .collect()
    }

    /// Returns how many blocks change.
    pub(super) fn changed_len(&self) -> usize {
        self.lock().changed.len()
    }

    fn load(&self, block: u64) -> Result<Box<[u8]>> {
        let mut bytes = vec![0; self.block_len];
        let len = u64::try_from(self.block_len).unwrap_or(u64::MAX);
        self.image.read_at(block.saturating_mul(len), &mut bytes)?;
        Ok(bytes.into())
    }

    /// A panic while the lock is held leaves whole blocks.
    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl BlockRead for Overlay {
    fn len(&self) -> u64 {
        self.image.len()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        let len = u64::try_from(self.block_len).unwrap_or(u64::MAX);
        if offset.is_multiple_of(len) && buf.len() == self.block_len {
            return self.view(BlockNo(offset / len), |bytes| buf.copy_from_slice(bytes));
        }
        self.image.read_at(offset, buf)?;
        let end = offset.saturating_add(u64::try_from(buf.len()).unwrap_or(u64::MAX));
        let held = self.lock();
        for (block, bytes) in held.changed.range(offset / len..end.div_ceil(len)) {
            let start = block * len;
            let (from, to) = (start.max(offset), (start + len).min(end));
            let at = |position: u64, base: u64| usize::try_from(position - base).unwrap_or(0);
            buf[at(from, offset)..at(to, offset)]
                .copy_from_slice(&bytes[at(from, start)..at(to, start)]);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_see_what_changed_and_nothing_else() {
        let image: Vec<u8> = (0..4_u8).flat_map(|n| [n; 1024]).collect();
        let overlay = Overlay::new(Arc::new(image.clone()), 1024);
        overlay.edit(BlockNo(1), |bytes| bytes[1023] = 9).unwrap();
        overlay.put(BlockNo(2), &[7; 1024]);
        let mut expected = image.clone();
        expected[2047] = 9;
        expected[2048..3072].fill(7);
        for (start, end) in [(0, 4096), (1024, 2048), (2000, 2100), (2046, 3073)] {
            let mut buf = vec![0; end - start];
            overlay.read_at(start as u64, &mut buf).unwrap();
            assert_eq!(buf, expected[start..end], "{start}..{end}");
        }
        overlay.forget(BlockNo(2));
        let mut buf = vec![0; 1024];
        overlay.read_at(2048, &mut buf).unwrap();
        assert_eq!(buf, image[2048..3072]);
    }
}
