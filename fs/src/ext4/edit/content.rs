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
const PIECE: u64 = 256 << 10;

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
    source: Arc<dyn BlockRead>,
    offset: u64,
}

/// A run of blocks of a content that is not a hole, counted in the content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) first: u64,
    pub(super) len: u64,
}

impl Contents {
    /// Returns a content as it shall be kept: small ones in memory.
    pub(super) fn keep(&mut self, source: Arc<dyn BlockRead>) -> Result<Arc<dyn BlockRead>> {
        let len = source.len();
        // What is in memory has no holes.
        let whole = len == 0 || matches!(source.run_at(0)?, Part::Data(data) if data >= len);
        if !whole || len > SMALL || self.kept.saturating_add(len) > KEPT {
            return Ok(source);
        }
        let mut bytes = vec![0; usize::try_from(len).unwrap_or(0)];
        source.read_at(0, &mut bytes)?;
        self.kept = self.kept.saturating_add(len);
        Ok(Arc::new(Bytes::from(bytes)))
    }

    /// Notes that blocks of an inode's content go to their runs.
    pub(super) fn add(
        &mut self,
        inode: InodeNo,
        source: &Arc<dyn BlockRead>,
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
                source: Arc::clone(source),
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
    pub(super) fn write(&self, block_size: u64, batch: &mut Batch<'_>) -> Result<()> {
        let mut pieces: Vec<&Piece> = self.of.values().flatten().collect();
        pieces.sort_by_key(|piece| piece.start);
        for piece in pieces {
            let mut done = 0;
            while done < piece.len {
                let step = PIECE.min(piece.len - done);
                let whole = usize::try_from(step.next_multiple_of(block_size)).unwrap_or(0);
                let room = batch.room(piece.start.0 * block_size + done, whole)?;
                let part = usize::try_from(step).unwrap_or(0);
                piece
                    .source
                    .read_at(piece.offset + done, &mut room[..part])?;
                done += step;
            }
        }
        Ok(())
    }

    /// Returns how many bytes are to be written.
    pub(super) fn len(&self) -> u64 {
        self.of.values().flatten().map(|piece| piece.len).sum()
    }
}

/// Returns the blocks of a content that hold data, merged.
pub(super) fn data_blocks(source: &dyn BlockRead, block_size: u64) -> Result<Vec<Range>> {
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
