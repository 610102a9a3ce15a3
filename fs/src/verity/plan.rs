//! A hash area that is read on demand: nobody has to write it before its root hash is known.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use forger_block::{BlockRead, Bytes, MAX_LEN, Run, check_range};

use super::error::Result;
use super::hash::Hasher;
use super::layout::{Level, levels};
use super::{BLOCK, BLOCK_LEN, HASHES, Parameters, Root, tree};
use crate::observe::Observer;

/// Blocks of the lowest level that are held in memory: those of 8 GiB of data, 64 MiB. The others are made
/// anew when they are read.
const HELD: usize = 16_384;

/// Plans the hash area of data: its superblock and tree, as they stand in a file or partition of their own;
/// and computes the root hash.
///
/// # Errors
/// As [`build`](super::build).
pub fn plan(
    data: &Arc<dyn BlockRead>,
    parameters: &Parameters,
    threads: usize,
    observer: &mut dyn Observer,
) -> Result<(Arc<dyn BlockRead>, Root)> {
    plan_holding(HELD, data, parameters, threads, observer)
}

/// Plans as [`plan`] does, and holds so many blocks of the lowest level.
pub(super) fn plan_holding(
    most: usize,
    data: &Arc<dyn BlockRead>,
    parameters: &Parameters,
    threads: usize,
    observer: &mut dyn Observer,
) -> Result<(Arc<dyn BlockRead>, Root)> {
    parameters.check_len(&**data)?;
    let (levels, end) = levels(parameters)?;
    let mut area = Area {
        data: Arc::clone(data),
        hasher: Hasher::new(parameters.salt()),
        lowest: levels.first().copied(),
        blocks: BTreeMap::new(),
        len: end,
    };
    let mut first = parameters.superblock().to_vec();
    first.resize(BLOCK_LEN, 0);
    area.blocks
        .insert(parameters.hash_offset(), Bytes::from(first));
    let root = tree::compute(&**data, parameters, threads, observer, &mut |block| {
        let places = (block.offset..).step_by(BLOCK_LEN);
        for (bytes, offset) in block.bytes.chunks(BLOCK_LEN).zip(places) {
            // Higher levels are a hundredth of the lowest.
            if block.level > 0 || area.blocks.len() <= most {
                area.blocks.insert(offset, Bytes::copy_from_slice(bytes));
            }
        }
        Ok(())
    })?;
    Ok((Arc::new(area), root))
}

/// Superblock and tree.
struct Area {
    data: Arc<dyn BlockRead>,
    hasher: Hasher,
    lowest: Option<Level>,
    /// What is held, by its place in bytes.
    blocks: BTreeMap<u64, Bytes>,
    len: u64,
}

impl fmt::Debug for Area {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Area")
            .field("len", &self.len)
            .field("held", &self.blocks.len())
            .finish_non_exhaustive()
    }
}

impl Area {
    /// Returns the block at a place.
    fn block(&self, offset: u64) -> forger_block::Result<Bytes> {
        if let Some(block) = self.blocks.get(&offset) {
            return Ok(block.clone());
        }
        let from = self
            .lowest
            .and_then(|level| offset.checked_sub(level.offset));
        match from {
            Some(from) => self.hashes(from / BLOCK * HASHES),
            // Before the superblock, where it does not stand first.
            None => Ok(Bytes::from_static(&[0; BLOCK_LEN])),
        }
    }

    /// Makes the block with the hashes of the data from a block on.
    fn hashes(&self, first: u64) -> forger_block::Result<Bytes> {
        let mut hashes = Vec::with_capacity(BLOCK_LEN);
        let block = [0; BLOCK_LEN];
        let count = (self.data.len() / BLOCK).saturating_sub(first).min(HASHES);
        if let Run::Hole(hole) = self.data.run_at(first * BLOCK)?
            && hole >= count * BLOCK
        {
            let times = usize::try_from(count).unwrap_or(0);
            hashes = self.hasher.hash(&block).repeat(times);
        } else {
            self.add(&mut hashes, first..first + count)?;
        }
        hashes.resize(BLOCK_LEN, 0);
        Ok(Bytes::from(hashes))
    }

    /// Appends the hashes of blocks of the data.
    fn add(&self, hashes: &mut Vec<u8>, blocks: Range<u64>) -> forger_block::Result<()> {
        let mut block = [0; BLOCK_LEN];
        for index in blocks {
            self.data.read_at(index * BLOCK, &mut block)?;
            hashes.extend_from_slice(&self.hasher.hash(&block));
        }
        Ok(())
    }
}

impl BlockRead for Area {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> forger_block::Result<()> {
        let len = u64::try_from(buf.len()).unwrap_or(MAX_LEN);
        check_range(offset, len, self.len)?;
        let (mut at, mut rest) = (offset, buf);
        while !rest.is_empty() {
            let skip = usize::try_from(at % BLOCK).unwrap_or(0);
            let block = self.block(at - at % BLOCK)?;
            let have = block.get(skip..).unwrap_or_default();
            let (piece, behind) = rest.split_at_mut(have.len().min(rest.len()));
            piece.copy_from_slice(&have[..piece.len()]);
            at += u64::try_from(piece.len()).unwrap_or(MAX_LEN);
            rest = behind;
        }
        Ok(())
    }

    fn run_at(&self, offset: u64) -> forger_block::Result<Run> {
        check_range(offset, 0, self.len)?;
        match self.len - offset {
            0 => Ok(Run::Hole(0)),
            left => Ok(Run::Data(left)),
        }
    }
}
