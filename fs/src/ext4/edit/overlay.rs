//! The blocks of metadata as they will be: the image's, and what the transaction changes of them.

use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::BytesMut;
use forger_block::{BlockRead, Result};

use super::commit::Changed;
use super::numbers::NumberMap;
use crate::ext4::BlockNo;

/// Unchanged chunks are dropped when so many bytes of them are held.
pub(super) const CLEAN: usize = 64 << 20;
/// So much is read by one call, in bytes, or one block: where an inode or a directory is looked at, its
/// neighbours often are, too.
const CHUNK: usize = 16 << 10;

/// The image with the transaction's changes laid over it; as a [`BlockRead`] it is what every reader
/// of structures sees.
#[derive(Debug)]
pub(super) struct Overlay {
    image: Arc<dyn BlockRead>,
    block_len: usize,
    /// Blocks of a chunk, at most 32.
    per_chunk: usize,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    chunks: NumberMap<Chunk>,
    /// How many blocks are changed.
    changed: usize,
    /// How many chunks have none.
    clean: usize,
}

/// Blocks side by side.
#[derive(Debug)]
struct Chunk {
    bytes: BytesMut,
    /// A bit for every block that is as the image or the transaction has it.
    there: u32,
    /// A bit for every block that the transaction changes.
    changed: u32,
}

/// Where a block stands.
#[derive(Clone, Copy)]
struct Place {
    number: u64,
    /// The number of its chunk.
    chunk: u64,
    /// Its own number in the chunk.
    index: usize,
    /// Its bit.
    bit: u32,
}

impl Overlay {
    pub(super) fn new(image: Arc<dyn BlockRead>, block_len: usize) -> Self {
        Self {
            image,
            block_len,
            per_chunk: (CHUNK / block_len).clamp(1, 32),
            held: Mutex::default(),
        }
    }

    /// Returns how many blocks a chunk has.
    pub(super) fn per_chunk(&self) -> u64 {
        u64::try_from(self.per_chunk).unwrap_or(1)
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
        let place = self.place(block);
        let chunk = self.load(&mut held, place)?;
        let (result, changes) = change(chunk.block(place, self.block_len));
        if changes {
            held.note_change(place);
        }
        Ok(result)
    }

    /// Looks at a block.
    pub(super) fn view<T>(&self, block: BlockNo, look: impl FnOnce(&[u8]) -> T) -> Result<T> {
        let mut held = self.lock();
        let place = self.place(block);
        if let Some(chunk) = held.chunks.get(&place.chunk)
            && chunk.there & place.bit != 0
        {
            return Ok(look(chunk.look(place, self.block_len)));
        }
        held.forget_clean(self.chunk_len());
        let chunk = self.load(&mut held, place)?;
        Ok(look(chunk.look(place, self.block_len)))
    }

    /// Reads chunks without keeping others from what is held; returns how many bytes were read.
    pub(super) fn warm(&self, first: u64, count: u64) -> Result<usize> {
        let numbers = first..first.saturating_add(count);
        let held = self.lock();
        if numbers
            .clone()
            .all(|number| held.chunks.contains_key(&number))
        {
            return Ok(0);
        }
        drop(held);
        let mut buffer = self.read(first, count)?;
        let read = buffer.len();
        let mut held = self.lock();
        let Held { chunks, clean, .. } = &mut *held;
        for number in numbers {
            if buffer.is_empty() {
                break;
            }
            let bytes = buffer.split_to(self.chunk_len());
            chunks.entry(number).or_insert_with(|| {
                *clean += 1;
                Chunk::whole(bytes)
            });
        }
        Ok(read)
    }

    /// Gives a block a content without a look at what it had.
    pub(super) fn put(&self, block: BlockNo, bytes: &[u8]) {
        let place = self.place(block);
        let mut held = self.lock();
        let Held { chunks, clean, .. } = &mut *held;
        let chunk = chunks.entry(place.chunk).or_insert_with(|| {
            *clean += 1;
            self.empty()
        });
        chunk.block(place, self.block_len).copy_from_slice(bytes);
        chunk.there |= place.bit;
        held.note_change(place);
    }

    /// Leaves a block as it is in the image, because it holds no metadata any more.
    pub(super) fn forget(&self, block: BlockNo) {
        let place = self.place(block);
        let mut held = self.lock();
        if let Some(chunk) = held.chunks.get_mut(&place.chunk)
            && chunk.changed & place.bit != 0
        {
            chunk.there &= !place.bit;
            chunk.changed &= !place.bit;
            let clean = usize::from(chunk.changed == 0);
            held.clean += clean;
            held.changed = held.changed.saturating_sub(1);
        }
    }

    /// Takes the blocks that change away, in ascending order: nothing changes any more then.
    pub(super) fn take_changed(&self) -> Vec<Changed> {
        let mut held = self.lock();
        let Held {
            chunks, changed, ..
        } = std::mem::take(&mut *held);
        drop(held);
        let mut chunks: Vec<(u64, Chunk)> = chunks
            .into_iter()
            .filter(|(_, chunk)| chunk.changed != 0)
            .collect();
        chunks.sort_unstable_by_key(|(number, _)| *number);
        let mut blocks = Vec::with_capacity(changed);
        for (number, chunk) in chunks {
            let first = self.first(number);
            let bytes = chunk.bytes.freeze();
            let mut at = 0;
            for index in 0..u64::try_from(self.per_chunk).unwrap_or(0) {
                if chunk.changed >> index & 1 != 0 {
                    let block = bytes.slice(at..at + self.block_len);
                    blocks.push((BlockNo(first + index), block));
                }
                at += self.block_len;
            }
        }
        blocks
    }

    /// Returns the numbers of the blocks that change, in no order.
    pub(super) fn changed_numbers(&self) -> Vec<BlockNo> {
        let held = self.lock();
        let mut numbers = Vec::with_capacity(held.changed);
        for (number, chunk) in &held.chunks {
            let first = self.first(*number);
            let changed = (0..32).filter(|index| chunk.changed >> index & 1 != 0);
            numbers.extend(changed.map(|index| BlockNo(first + index)));
        }
        numbers
    }

    /// Returns how many blocks change.
    pub(super) fn changed_len(&self) -> usize {
        self.lock().changed
    }

    fn place(&self, block: BlockNo) -> Place {
        let per_chunk = u64::try_from(self.per_chunk).unwrap_or(1);
        let index = block.0 % per_chunk;
        Place {
            number: block.0,
            chunk: block.0 / per_chunk,
            index: usize::try_from(index).unwrap_or(0),
            bit: 1 << index,
        }
    }

    /// Returns the first block of a chunk.
    fn first(&self, chunk: u64) -> u64 {
        chunk.saturating_mul(u64::try_from(self.per_chunk).unwrap_or(1))
    }

    /// Returns the chunk of a block, in which the block is there.
    fn load<'a>(&self, held: &'a mut Held, place: Place) -> Result<&'a mut Chunk> {
        let chunk = match held.chunks.entry(place.chunk) {
            Entry::Occupied(there) => there.into_mut(),
            Entry::Vacant(free) => {
                let bytes = self.read(place.chunk, 1)?;
                // One that is not whole in the image is filled block by block.
                let chunk = if bytes.is_empty() {
                    self.empty()
                } else {
                    Chunk::whole(bytes)
                };
                held.clean += 1;
                free.insert(chunk)
            }
        };
        if chunk.there & place.bit == 0 {
            let at = self.offset(place.number);
            self.image.read_at(at, chunk.block(place, self.block_len))?;
            chunk.there |= place.bit;
        }
        Ok(chunk)
    }

    fn empty(&self) -> Chunk {
        Chunk {
            bytes: BytesMut::zeroed(self.chunk_len()),
            there: 0,
            changed: 0,
        }
    }

    /// Reads chunks side by side, those that are whole in the image.
    fn read(&self, first: u64, count: u64) -> Result<BytesMut> {
        let len = u64::try_from(self.chunk_len()).unwrap_or(u64::MAX);
        let whole = (self.image.len() / len).saturating_sub(first);
        let count = usize::try_from(count.min(whole)).unwrap_or(0);
        let mut bytes = BytesMut::zeroed(count * self.chunk_len());
        if count > 0 {
            self.image.read_at(first.saturating_mul(len), &mut bytes)?;
        }
        Ok(bytes)
    }

    /// Returns how many bytes a chunk has.
    fn chunk_len(&self) -> usize {
        self.per_chunk * self.block_len
    }

    /// Returns where a block stands in the image, in bytes.
    fn offset(&self, block: u64) -> u64 {
        block.saturating_mul(u64::try_from(self.block_len).unwrap_or(u64::MAX))
    }

    /// A panic while the lock is held leaves whole blocks.
    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    /// Notes that a block, which is there, changes.
    fn note_change(&mut self, place: Place) {
        if let Some(chunk) = self.chunks.get_mut(&place.chunk) {
            self.clean -= usize::from(chunk.changed == 0);
            self.changed += usize::from(chunk.changed & place.bit == 0);
            chunk.changed |= place.bit;
        }
    }

    /// Drops what does not change when too much of it is held.
    fn forget_clean(&mut self, chunk_len: usize) {
        if self.clean.saturating_mul(chunk_len) >= CLEAN {
            self.chunks.retain(|_, chunk| chunk.changed != 0);
            self.clean = 0;
        }
    }
}

impl Chunk {
    /// Makes a chunk of what the image has.
    fn whole(bytes: BytesMut) -> Self {
        Self {
            bytes,
            there: u32::MAX,
            changed: 0,
        }
    }

    fn block(&mut self, place: Place, len: usize) -> &mut [u8] {
        let start = place.index * len;
        self.bytes.get_mut(start..start + len).unwrap_or_default()
    }

    fn look(&self, place: Place, len: usize) -> &[u8] {
        let start = place.index * len;
        self.bytes.get(start..start + len).unwrap_or_default()
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
            let place = self.place(BlockNo(block));
            let Some(chunk) = held.chunks.get(&place.chunk) else {
                continue;
            };
            if chunk.changed & place.bit == 0 {
                continue;
            }
            let (bytes, start) = (chunk.look(place, self.block_len), block * len);
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
