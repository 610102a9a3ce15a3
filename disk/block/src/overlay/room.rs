//! Where an overlay keeps what was written: at the offsets at which it was written.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::ranges::RangeSet;
use crate::{Result, ScratchFile};

/// Memory is taken in pieces of so many bytes.
const PAGE: usize = 4096;
const PAGE_LEN: u64 = PAGE as u64;

/// What a page costs beside its bytes, about, in bytes.
const PAGE_COST: u64 = 64;

/// Bytes by their offset.
#[derive(Debug)]
pub(super) enum Room {
    /// Pages by their number.
    Memory(BTreeMap<u64, Box<[u8; PAGE]>>),
    /// A file whose holes are what was never written.
    File(ScratchFile),
}

impl Room {
    pub(super) fn memory() -> Self {
        Self::Memory(BTreeMap::new())
    }

    /// Returns how many bytes are taken by what was written.
    pub(super) fn used(&self, written: &RangeSet) -> u64 {
        match self {
            Self::Memory(pages) => (pages.len() as u64).saturating_mul(PAGE_LEN + PAGE_COST),
            Self::File(_) => written.total(),
        }
    }

    /// Returns how many bytes more a range takes, at most.
    pub(super) fn needs(&self, written: &RangeSet, range: &Range<u64>) -> u64 {
        match self {
            Self::Memory(pages) => {
                let of_range = range.start / PAGE_LEN..range.end.div_ceil(PAGE_LEN);
                let have = pages.range(of_range.clone()).count() as u64;
                (of_range.end - of_range.start - have) * (PAGE_LEN + PAGE_COST)
            }
            Self::File(_) => (range.end - range.start) - written.within(range),
        }
    }

    /// Fills `buf` with bytes that were written.
    pub(super) fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        match self {
            Self::Memory(pages) => {
                for (page, within, part) in pieces(offset, buf.len()) {
                    match pages.get(&page) {
                        Some(bytes) => buf[part].copy_from_slice(&bytes[within]),
                        None => buf[part].fill(0),
                    }
                }
                Ok(())
            }
            Self::File(file) => file.read_at(offset, buf),
        }
    }

    pub(super) fn write_at(&mut self, offset: u64, data: &[u8]) -> Result<()> {
        match self {
            Self::Memory(pages) => {
                for (page, within, part) in pieces(offset, data.len()) {
                    let bytes = pages.entry(page).or_insert_with(|| Box::new([0; PAGE]));
                    bytes[within].copy_from_slice(&data[part]);
                }
                Ok(())
            }
            Self::File(file) => file.write_at(offset, data),
        }
    }

    /// Gives a range's room back; what was there is gone.
    pub(super) fn punch(&mut self, offset: u64, len: u64) -> Result<()> {
        let end = offset + len;
        match self {
            Self::Memory(pages) => {
                // Whole pages go, of the others the part that is meant.
                let whole = offset.div_ceil(PAGE_LEN)..end / PAGE_LEN;
                let numbers: Vec<u64> = pages
                    .range(offset / PAGE_LEN..end.div_ceil(PAGE_LEN))
                    .map(|(number, _)| *number)
                    .collect();
                for number in numbers {
                    if whole.contains(&number) {
                        pages.remove(&number);
                    } else if let Some(bytes) = pages.get_mut(&number) {
                        let start = number * PAGE_LEN;
                        bytes[inside(offset, start)..inside(end, start)].fill(0);
                    }
                }
                Ok(())
            }
            // Only what the file has: a punch must not cost the time of a whole disk.
            Self::File(file) => {
                let have = file.file().len()?;
                file.punch(offset, end.min(have).saturating_sub(offset))
            }
        }
    }
}

/// Returns where an offset stands in the page that starts at `start`, held to its bounds.
fn inside(offset: u64, start: u64) -> usize {
    usize::try_from(offset.saturating_sub(start)).map_or(PAGE, |at| at.min(PAGE))
}

/// Cuts a range into pages: the page's number, the bytes of it, the bytes of the range.
fn pieces(offset: u64, len: usize) -> impl Iterator<Item = (u64, Range<usize>, Range<usize>)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        if done == len {
            return None;
        }
        let at = offset + done as u64;
        let start = inside(at % PAGE_LEN, 0);
        let count = (PAGE - start).min(len - done);
        let part = done..done + count;
        done += count;
        Some((at / PAGE_LEN, start..start + count, part))
    })
}
