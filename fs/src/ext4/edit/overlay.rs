//! The blocks of metadata as they will be: the image's, and what the transaction changes of them.

use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use forger_block::{BlockRead, Result};

use super::numbers::NumberMap;
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
    blocks: NumberMap<Block>,
    changed: usize,
}

#[derive(Debug)]
struct Block {
    bytes: Box<[u8]>,
    changed: bool,
}

impl Held {
    /// Holds the bytes that a block will have.
    fn change(&mut self, block: u64, bytes: Box<[u8]>) {
        let new = Block {
            bytes,
            changed: true,
        };
        let old = self.blocks.insert(block, new);
        self.changed += usize::from(old.is_none_or(|old| !old.changed));
    }
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
        self.edit_if(block, |bytes| (change(bytes), true))
    }

    /// Changes a block of metadata, or leaves it as it is: `change` returns which.
    pub(super) fn edit_if<T>(
        &self,
        block: BlockNo,
        change: impl FnOnce(&mut [u8]) -> (T, bool),
    ) -> Result<T> {
        let mut held = self.lock();
        let Held { blocks, changed } = &mut *held;
        let block = match blocks.entry(block.0) {
            Entry::Occupied(there) => there.into_mut(),
            Entry::Vacant(place) => place.insert(Block {
                bytes: self.load(block.0)?,
                changed: false,
            }),
        };
        let (result, changes) = change(&mut block.bytes);
        *changed += usize::from(changes && !block.changed);
        block.changed |= changes;
        Ok(result)
    }

    /// Looks at a block.
    pub(super) fn view<T>(&self, block: BlockNo, look: impl FnOnce(&[u8]) -> T) -> Result<T> {
        let mut held = self.lock();
        if let Some(block) = held.blocks.get(&block.0) {
            return Ok(look(&block.bytes));
        }
        let bytes = self.load(block.0)?;
        let clean = held.blocks.len().saturating_sub(held.changed);
        if clean.saturating_mul(self.block_len) >= CLEAN {
            held.blocks.retain(|_, block| block.changed);
        }
        let result = look(&bytes);
        let clean = Block {
            bytes,
            changed: false,
        };
        held.blocks.insert(block.0, clean);
        Ok(result)
    }

    /// Gives a block a content without a look at what it had.
    pub(super) fn put(&self, block: BlockNo, bytes: &[u8]) {
        self.lock().change(block.0, bytes.into());
    }

    /// Leaves a block as it is in the image, because it holds no metadata any more.
    pub(super) fn forget(&self, block: BlockNo) {
        let mut held = self.lock();
        if held.blocks.get(&block.0).is_some_and(|block| block.changed) {
            held.blocks.remove(&block.0);
            held.changed = held.changed.saturating_sub(1);
        }
    }

    /// Takes the blocks that change away, in ascending order: nothing changes any more then.
    pub(super) fn take_changed(&self) -> Vec<(BlockNo, Box<[u8]>)> {
        let mut held = self.lock();
        let blocks = std::mem::take(&mut held.blocks);
        held.changed = 0;
        let mut changed: Vec<(BlockNo, Box<[u8]>)> = blocks
            .into_iter()
            .filter(|(_, block)| block.changed)
            .map(|(number, block)| (BlockNo(number), block.bytes))
            .collect();
        changed.sort_unstable_by_key(|(number, _)| *number);
        changed
    }

    /// Returns the numbers of the blocks that change, in no order.
    pub(super) fn changed_numbers(&self) -> Vec<BlockNo> {
        let held = self.lock();
        let changed = held.blocks.iter().filter(|(_, block)| block.changed);
        changed.map(|(number, _)| BlockNo(*number)).collect()
    }

    /// Returns how many blocks change.
    pub(super) fn changed_len(&self) -> usize {
        self.lock().changed
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
        for block in offset / len..end.div_ceil(len) {
            let Some(Block { bytes, .. }) = held.blocks.get(&block) else {
                continue;
            };
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
