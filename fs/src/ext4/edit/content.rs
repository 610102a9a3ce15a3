//! New contents: where they come from, and the free blocks that they go to at the commit.

use std::sync::Arc;

use forger_block::{BlockRead, Bytes, Run as Part};

use super::allocate::Run;
use super::batch::Batch;
use super::error::Result;
use super::numbers::NumberMap;
use crate::ext4::{BlockNo, InodeNo};

/// Contents up to this length are read at once, so that no file stays open for them, in bytes.
const SMALL: u64 = 256 << 10;
/// So many bytes of small contents are kept in memory.
const KEPT: u64 = 256 << 20;
/// Bytes that are copied at a time.
const PIECE: u64 = 64 << 10;

/// All new contents.
#[derive(Debug, Default)]
pub(super) struct Contents {
    of: NumberMap<Vec<Piece>>,
    kept: u64,
}

/// A part of a content and its place.
#[derive(Debug)]
struct Piece {
    start: BlockNo,
    /// Bytes; the rest of the last block becomes zeros.
    len: u64,
    source: Source,
    offset: u64,
}

/// Where a content comes from.
#[derive(Clone, Debug)]
pub(super) enum Source {
    /// It is here.
    Held(Bytes),
    /// It is read when it is written.
    Read(Arc<dyn BlockRead>),
}

impl Source {
    pub(super) fn len(&self) -> u64 {
        match self {
            Self::Held(bytes) => BlockRead::len(bytes),
            Self::Read(source) => source.len(),
        }
    }
}

/// A run of blocks of a content that is not a hole, counted in the content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) first: u64,
    pub(super) len: u64,
}

impl Contents {
    /// Returns a content as it shall be kept: small ones in memory.
    pub(super) fn keep(&mut self, source: Arc<dyn BlockRead>) -> Result<Source> {
        let len = source.len();
        // What is in memory has no holes.
        let whole = len == 0 || matches!(source.run_at(0)?, Part::Data(data) if data >= len);
        if !whole || len > SMALL || self.kept.saturating_add(len) > KEPT {
            return Ok(Source::Read(source));
        }
        let bytes = match source.in_memory() {
            Some(bytes) => bytes,
            None => {
                let mut bytes = vec![0; usize::try_from(len).unwrap_or(0)];
                source.read_at(0, &mut bytes)?;
                bytes.into()
            }
        };
        self.kept = self.kept.saturating_add(len);
        Ok(Source::Held(bytes))
    }

    /// Notes that blocks of an inode's content go to their runs.
    pub(super) fn add(
        &mut self,
        inode: InodeNo,
        source: &Source,
        range: Range,
        runs: &[Run],
        block_size: u64,
    ) {
        let mut offset = range.first * block_size;
        for run in runs {
            let len = (run.len * block_size).min(source.len().saturating_sub(offset));
            self.of.entry(inode.0.into()).or_default().push(Piece {
                start: run.start,
                len,
                source: source.clone(),
                offset,
            });
            offset += run.len * block_size;
        }
    }

    /// Leaves out the contents of an inode that is gone.
    pub(super) fn drop_inode(&mut self, inode: InodeNo) {
        if let Some(pieces) = self.of.remove(&inode.0.into()) {
            let freed: u64 = pieces.iter().map(|piece| piece.len).sum();
            self.kept = self.kept.saturating_sub(freed);
        }
    }

    /// Tells whether there is nothing to write.
    pub(super) fn is_empty(&self) -> bool {
        self.of.is_empty()
    }

    /// Writes all contents, in the order of their places.
    pub(super) fn write<'a>(&'a self, block_size: u64, batch: &mut Batch<'a>) -> Result<()> {
        let mut pieces: Vec<&Piece> = self.of.values().flatten().collect();
        pieces.sort_by_key(|piece| piece.start);
        for piece in pieces {
            let at = piece.start.0 * block_size;
            piece.write(at, batch)?;
            let tail = piece.len.next_multiple_of(block_size) - piece.len;
            batch.zeros(at + piece.len, usize::try_from(tail).unwrap_or(0))?;
        }
        Ok(())
    }

    /// Returns how many bytes are to be written.
    pub(super) fn len(&self) -> u64 {
        self.of.values().flatten().map(|piece| piece.len).sum()
    }
}

impl Piece {
    fn write<'a>(&'a self, at: u64, batch: &mut Batch<'a>) -> Result<()> {
        let source = match &self.source {
            Source::Read(source) => source,
            Source::Held(bytes) => {
                let from = usize::try_from(self.offset).unwrap_or(usize::MAX);
                let len = usize::try_from(self.len).unwrap_or(usize::MAX);
                return batch.put(at, &bytes[from..][..len]);
            }
        };
        let mut done = 0;
        while done < self.len {
            let step = PIECE.min(self.len - done);
            let mut bytes = vec![0; usize::try_from(step).unwrap_or(0)];
            source.read_at(self.offset + done, &mut bytes)?;
            batch.put(at + done, bytes)?;
            done += step;
        }
        Ok(())
    }
}

/// Returns the blocks of a content that hold data, merged.
pub(super) fn data_blocks(source: &Source, block_size: u64) -> Result<Vec<Range>> {
    let source: &dyn BlockRead = match source {
        Source::Held(bytes) => bytes,
        Source::Read(source) => source,
    };
    let (mut at, len) = (0, source.len());
    let mut ranges: Vec<Range> = Vec::new();
    while at < len {
        let part = source.run_at(at)?;
        let step = part.len().clamp(1, len - at);
        if let Part::Data(_) = part {
            let (first, end) = (at / block_size, (at + step).div_ceil(block_size));
            match ranges.last_mut() {
                Some(last) if last.first + last.len >= first => {
                    last.len = last.len.max(end - last.first);
                }
                _ => ranges.push(Range {
                    first,
                    len: end - first,
                }),
            }
        }
        at += step;
    }
    Ok(ranges)
}
