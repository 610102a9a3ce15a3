//! A disk that can be written to, over one that cannot.

mod room;

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use self::room::Room;
use crate::ranges::RangeSet;
use crate::read::{check_range, clip, run_within};
use crate::{BlockRead, BlockStore, Error, MAX_LEN, Result, Run, ScratchFile};

/// What a range that is kept apart costs beside its bytes, about, in bytes.
const RANGE_COST: u64 = 96;

/// A copy-on-write overlay: what is written is kept in memory or in a scratch file, everything else
/// is read from the base, which stays as it is.
///
/// It is gone when it is dropped. Nothing is copied out of the base when a part of a block is
/// written: the overlay knows to the byte what is its own. Behind the end of the base it holds
/// zeros.
#[derive(Debug)]
pub struct Overlay {
    base: Arc<dyn BlockRead>,
    len: u64,
    limit: u64,
    state: RwLock<State>,
}

#[derive(Debug)]
struct State {
    /// What was written and not erased since.
    written: RangeSet,
    /// What was erased and not written since.
    erased: RangeSet,
    room: Room,
}

/// What the bytes from an offset on are, and where they end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Nature {
    Base,
    Written,
    Erased,
}

impl Overlay {
    /// Keeps up to `limit` bytes of changes in memory.
    #[must_use]
    pub fn in_memory(base: Arc<dyn BlockRead>, limit: u64) -> Self {
        Self::new(base, Room::memory(), limit)
    }

    /// Keeps up to `limit` bytes of changes in a file without a name.
    #[must_use]
    pub fn in_file(base: Arc<dyn BlockRead>, file: ScratchFile, limit: u64) -> Self {
        Self::new(base, Room::File(file), limit)
    }

    fn new(base: Arc<dyn BlockRead>, room: Room, limit: u64) -> Self {
        Self {
            len: base.len(),
            base,
            limit,
            state: RwLock::new(State {
                written: RangeSet::default(),
                erased: RangeSet::default(),
                room,
            }),
        }
    }

    /// Makes the disk longer than its base: what is added is a hole.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] for less than the base has, or more than [`MAX_LEN`].
    pub fn with_len(mut self, len: u64) -> Result<Self> {
        check_range(0, len, MAX_LEN)?;
        check_range(0, self.base.len(), len)?;
        self.len = len;
        Ok(self)
    }

    /// Returns what lies below.
    #[must_use]
    pub fn base(&self) -> &Arc<dyn BlockRead> {
        &self.base
    }

    /// Returns how many bytes the changes take, of the limit.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.read().used()
    }

    /// Returns the ranges that are no longer the base's, in ascending order: each with whether it
    /// was written (or erased).
    #[must_use]
    pub fn changes(&self) -> Vec<(std::ops::Range<u64>, bool)> {
        let state = self.read();
        let mut changes: Vec<_> = state
            .written
            .iter()
            .map(|range| (range, true))
            .chain(state.erased.iter().map(|range| (range, false)))
            .collect();
        changes.sort_by_key(|(range, _)| range.start);
        changes
    }

    /// Fills `buf` with what the base has, and zeros behind its end.
    fn read_base(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        let have = clip(self.base.len().saturating_sub(offset), buf.len());
        let (inside, behind) = buf.split_at_mut(have);
        behind.fill(0);
        if inside.is_empty() {
            return Ok(());
        }
        self.base.read_at(offset, inside)
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Tells what the bytes from `offset` on are, and where they end.
    fn nature(&self, offset: u64) -> (Nature, u64) {
        let (written, until_written) = self.written.find(offset);
        let (erased, until_erased) = self.erased.find(offset);
        match (written, erased) {
            (true, _) => (Nature::Written, until_written),
            (false, true) => (Nature::Erased, until_erased),
            (false, false) => (Nature::Base, until_written.min(until_erased)),
        }
    }

    fn used(&self) -> u64 {
        let ranges = self.written.count() + self.erased.count();
        let ranges = u64::try_from(ranges).unwrap_or(u64::MAX);
        self.room
            .used(&self.written)
            .saturating_add(ranges.saturating_mul(RANGE_COST))
    }
}

impl BlockRead for Overlay {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        check_range(offset, buf.len() as u64, self.len)?;
        // The base does not change: it is read when the lock is free again.
        let mut from_base = Vec::new();
        {
            let state = self.read();
            let mut done = 0;
            while done < buf.len() {
                let at = offset + done as u64;
                let (nature, end) = state.nature(at);
                let len = clip(end - at, buf.len() - done);
                let piece = &mut buf[done..done + len];
                match nature {
                    Nature::Written => state.room.read_at(at, piece)?,
                    Nature::Erased => piece.fill(0),
                    Nature::Base => from_base.push(done..done + len),
                }
                done += len;
            }
        }
        for range in from_base {
            let at = offset + range.start as u64;
            self.read_base(at, &mut buf[range])?;
        }
        Ok(())
    }

    fn run_at(&self, offset: u64) -> Result<Run> {
        check_range(offset, 0, self.len)?;
        if offset == self.len {
            return Ok(Run::Hole(0));
        }
        let (nature, end) = self.read().nature(offset);
        let most = end.min(self.len) - offset;
        match nature {
            Nature::Written => Ok(Run::Data(most)),
            Nature::Erased => Ok(Run::Hole(most)),
            Nature::Base if offset >= self.base.len() => Ok(Run::Hole(most)),
            Nature::Base => run_within(&*self.base, offset, most),
        }
    }
}

impl BlockStore for Overlay {
    fn write_at(&self, offset: u64, data: &[u8]) -> Result<()> {
        let len = data.len() as u64;
        check_range(offset, len, self.len)?;
        if data.is_empty() {
            return Ok(());
        }
        let range = offset..offset + len;
        let mut state = self.write();
        let more = state.room.needs(&state.written, &range);
        if state.used().saturating_add(more) > self.limit {
            return Err(Error::Full { limit: self.limit });
        }
        state.room.write_at(offset, data)?;
        state.erased.remove(range.clone());
        state.written.insert(range);
        Ok(())
    }

    fn erase(&self, offset: u64, len: u64) -> Result<()> {
        check_range(offset, len, self.len)?;
        if len == 0 {
            return Ok(());
        }
        let range = offset..offset + len;
        let mut state = self.write();
        // Erasing gives room back as a rule; many small ones must not take it without end.
        if !state.written.overlaps(&range) && state.used().saturating_add(RANGE_COST) > self.limit {
            return Err(Error::Full { limit: self.limit });
        }
        state.room.punch(offset, len)?;
        state.written.remove(range.clone());
        state.erased.insert(range);
        Ok(())
    }

    /// Does nothing: an overlay does not outlive its process.
    fn sync(&self) -> Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
