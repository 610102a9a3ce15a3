//! The tree: levels above the lowest, built while that one passes.

use forger_block::BlockRead;

use super::error::{Error, Result};
use super::hash::{Hash, Hasher, each_part};
use super::layout::{Level, levels};
use super::{BLOCK, BLOCK_LEN, HASH, Parameters, Root};
use crate::observe::Observer;

/// A block of a level.
pub(super) struct Block<'a> {
    /// The level, 0 for the data's hashes.
    pub(super) level: usize,
    /// Where it stands in the hash area's file, in bytes.
    pub(super) offset: u64,
    /// Blocks of the level before it.
    pub(super) index: u64,
    /// Its bytes; those of several blocks that follow each other in level 0.
    pub(super) bytes: &'a [u8],
}

/// Computes a tree, gives its blocks to `put` as they become known, and returns the root hash.
pub(super) fn compute(
    data: &dyn BlockRead,
    parameters: &Parameters,
    threads: usize,
    observer: &mut dyn Observer,
    put: &mut dyn FnMut(Block<'_>) -> Result<()>,
) -> Result<Root> {
    let hasher = Hasher::new(&parameters.salt);
    let (levels, _) = levels(parameters)?;
    let Some((lowest, above)) = levels.split_first() else {
        let mut block = [0; BLOCK_LEN];
        data.read_at(0, &mut block)?;
        return Ok(Root(hasher.hash(&block)));
    };
    let mut tower = Tower {
        hasher: &hasher,
        floors: above.iter().map(Floor::new).collect(),
        root: [0; HASH],
    };
    let mut index = 0;
    let covered = u64::try_from(BLOCK_LEN / HASH).unwrap_or(0) * BLOCK;
    each_part(data, &hasher, threads, |part| {
        let count = u64::try_from(part.hashes.len()).unwrap_or(u64::MAX);
        observer.advance(count.saturating_mul(covered));
        if observer.cancelled() {
            return Err(forger_block::Error::Interrupted.into());
        }
        put(Block {
            level: 0,
            offset: lowest.offset + index * BLOCK,
            index,
            bytes: &part.blocks,
        })?;
        index += count;
        part.hashes
            .into_iter()
            .try_for_each(|hash| tower.add(0, hash, put))
    })?;
    tower.close(put)?;
    if index != lowest.blocks {
        return Err(Error::Length {
            len: data.len(),
            rule: "they became fewer",
        });
    }
    Ok(Root(tower.root))
}

/// The levels above the lowest, each with the block that is being filled.
struct Tower<'a> {
    hasher: &'a Hasher,
    floors: Vec<Floor>,
    /// The hash of the block that was completed last on the highest level.
    root: Hash,
}

struct Floor {
    level: Level,
    index: u64,
    block: Vec<u8>,
}

impl Floor {
    fn new(level: &Level) -> Self {
        Self {
            level: *level,
            index: 0,
            block: Vec::with_capacity(BLOCK_LEN),
        }
    }
}

impl Tower<'_> {
    /// Adds a hash to a floor; above the highest it is the root.
    fn add(
        &mut self,
        floor: usize,
        hash: Hash,
        put: &mut dyn FnMut(Block<'_>) -> Result<()>,
    ) -> Result<()> {
        let Some(here) = self.floors.get_mut(floor) else {
            self.root = hash;
            return Ok(());
        };
        here.block.extend_from_slice(&hash);
        if here.block.len() < BLOCK_LEN {
            return Ok(());
        }
        self.complete(floor, put)
    }

    fn complete(
        &mut self,
        floor: usize,
        put: &mut dyn FnMut(Block<'_>) -> Result<()>,
    ) -> Result<()> {
        let Some(here) = self.floors.get_mut(floor) else {
            return Ok(());
        };
        here.block.resize(BLOCK_LEN, 0);
        put(Block {
            level: floor + 1,
            offset: here.level.offset + here.index * BLOCK,
            index: here.index,
            bytes: &here.block,
        })?;
        let hash = self.hasher.hash(&here.block);
        here.block.clear();
        here.index += 1;
        self.add(floor + 1, hash, put)
    }

    /// Completes the last blocks, from the lowest floor up.
    fn close(&mut self, put: &mut dyn FnMut(Block<'_>) -> Result<()>) -> Result<()> {
        for floor in 0..self.floors.len() {
            if self
                .floors
                .get(floor)
                .is_some_and(|here| !here.block.is_empty())
            {
                self.complete(floor, put)?;
            }
        }
        Ok(())
    }
}
