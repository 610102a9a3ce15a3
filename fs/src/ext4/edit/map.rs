//! The blocks of a file: read from its map, and laid down in a new one.

use super::allocate::Run;
use super::error::{EditError, Result};
use super::groups::inode_group;
use super::node::Node;
use super::volume::Volume;
use crate::ext4::damage::{Damage, Location};
use crate::ext4::extent::{self, MAX_LEN};
use crate::ext4::features::incompat;
use crate::ext4::inode::flag;
use crate::ext4::read::{Inode, Mapped, ReadError, Visitor};
use crate::ext4::{BlockNo, Extent};

/// Pointers in `i_block` that lead to content.
const DIRECT: usize = 12;

/// The blocks of a file and of its map.
#[derive(Clone, Debug, Default)]
pub(super) struct Map {
    /// The content, in file order.
    pub(super) runs: Vec<Mapped>,
    /// The nodes of the extent tree, or the indirect blocks.
    pub(super) nodes: Vec<BlockNo>,
}

impl Visitor for Map {
    fn node(&mut self, block: BlockNo) -> std::result::Result<bool, ReadError> {
        self.nodes.push(block);
        Ok(true)
    }

    fn run(&mut self, run: Mapped) -> std::result::Result<(), ReadError> {
        self.runs.push(run);
        Ok(())
    }

    fn damage(&mut self, location: Location, damage: Damage) -> std::result::Result<(), ReadError> {
        Err(ReadError::corrupt(location, damage))
    }
}

impl Map {
    /// Adds blocks at the end of the content.
    pub(super) fn push(&mut self, logical: u64, run: Run) {
        match self.runs.last_mut() {
            Some(last)
                if last.logical + last.len == logical
                    && last.physical.0 + last.len == run.start.0
                    && !last.unwritten =>
            {
                last.len += run.len;
            }
            _ => self.runs.push(Mapped {
                logical,
                physical: run.start,
                len: run.len,
                unwritten: false,
            }),
        }
    }

    /// Returns how many blocks the content and the map take.
    pub(super) fn blocks(&self) -> u64 {
        let content: u64 = self.runs.iter().map(|run| run.len).sum();
        content.saturating_add(u64::try_from(self.nodes.len()).unwrap_or(u64::MAX))
    }
}

impl Volume {
    /// Reads the map of an inode, blocks beyond its end included.
    pub(super) fn map_of(&self, inode: &Inode) -> Result<Map> {
        let mut map = Map::default();
        self.access().walk(inode, &mut map)?;
        Ok(map)
    }

    /// Lays down the runs of a map in the inode and in blocks for its nodes: those that it has, and
    /// more or fewer. Nothing is counted in the inode.
    pub(super) fn write_map(&mut self, node: &mut Node, map: &mut Map) -> Result<()> {
        if node.has_flag(flag::EXTENTS) {
            self.write_extents(node, map)
        } else {
            self.write_pointers(node, map)
        }
    }

    fn size_nodes(&mut self, node: &Node, map: &mut Map, needed: u64) -> Result<()> {
        let (group, _) = inode_group(&self.superblock, node.number.0);
        let needed = usize::try_from(needed).unwrap_or(usize::MAX);
        while map.nodes.len() > needed
            && let Some(block) = map.nodes.pop()
        {
            self.free_blocks(block, 1)?;
        }
        while map.nodes.len() < needed {
            let block = self.take_block(group)?;
            map.nodes.push(block);
        }
        Ok(())
    }

    fn write_extents(&mut self, node: &mut Node, map: &mut Map) -> Result<()> {
        let mut extents = Vec::new();
        for run in &map.runs {
            let mut done = 0;
            while done < run.len {
                let len = (run.len - done).min(MAX_LEN.into());
                let end = run.logical + done + len;
                if end > u32::MAX.into() {
                    return Err(too_large(node));
                }
                extents.push(Extent {
                    logical: u32::try_from(run.logical + done).unwrap_or(u32::MAX),
                    len: u32::try_from(len).unwrap_or(u32::MAX),
                    physical: BlockNo(run.physical.0 + done),
                });
                done += len;
            }
        }
        let block_len = self.block_len();
        let needed = extent::tree_blocks_of(extents.len(), block_len);
        self.size_nodes(node, map, needed)?;
        let seed = self
            .superblock
            .seed()
            .map(|seed| seed.inode(node.number, node.raw.i_generation.get()));
        let built = extent::build_of(&extents, &map.nodes, block_len, seed);
        node.raw.i_block = built.root;
        for (block, bytes) in built.blocks {
            self.overlay.put(block, &bytes);
        }
        Ok(())
    }

    /// Lays down block pointers: twelve in the inode, then indirect blocks of three levels.
    fn write_pointers(&mut self, node: &mut Node, map: &mut Map) -> Result<()> {
        let per_block = self.block_len() / 4;
        let mut pointers = Vec::new();
        for run in &map.runs {
            let logical = usize::try_from(run.logical).unwrap_or(usize::MAX);
            let end = logical.saturating_add(usize::try_from(run.len).unwrap_or(usize::MAX));
            if end > DIRECT + per_block + per_block * per_block + per_block.saturating_pow(3)
                || run.physical.0 + run.len > u32::MAX.into()
            {
                return Err(too_large(node));
            }
            // A pointer for every block up to the last is memory in the order of what is written,
            // unless the content is a hole of terabytes.
            if end > (1 << 28) {
                return Err(too_large(node));
            }
            pointers.resize(logical, 0);
            let first = u32::try_from(run.physical.0).unwrap_or(0);
            let len = u32::try_from(run.len).unwrap_or(0);
            pointers.extend(first..first + len);
        }
        let needed = indirect_blocks(&pointers, per_block);
        self.size_nodes(node, map, needed)?;
        let mut places = map.nodes.clone().into_iter();
        let mut words = [0_u32; 15];
        let (direct, mut rest) = pointers.split_at(pointers.len().min(DIRECT));
        words[..direct.len()].copy_from_slice(direct);
        for level in 1..=3_u32 {
            let span = per_block.saturating_pow(level);
            let (part, after) = rest.split_at(rest.len().min(span));
            words[DIRECT + usize::try_from(level).unwrap_or(3) - 1] =
                self.write_indirect(part, level, &mut places);
            rest = after;
        }
        for (bytes, word) in node.raw.i_block.chunks_exact_mut(4).zip(words) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        Ok(())
    }

    /// Lays down an indirect block over pointers; 0 where all of them are holes.
    fn write_indirect(
        &self,
        pointers: &[u32],
        level: u32,
        places: &mut impl Iterator<Item = BlockNo>,
    ) -> u32 {
        if pointers.iter().all(|pointer| *pointer == 0) {
            return 0;
        }
        let Some(own) = places.next() else { return 0 };
        let per_block = self.block_len() / 4;
        let below: Vec<u32> = if level == 1 {
            pointers.to_vec()
        } else {
            pointers
                .chunks(per_block.saturating_pow(level - 1))
                .map(|part| self.write_indirect(part, level - 1, places))
                .collect()
        };
        let mut block = vec![0; self.block_len()];
        for (bytes, word) in block.chunks_exact_mut(4).zip(below) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        self.overlay.put(own, &block);
        u32::try_from(own.0).unwrap_or(0)
    }

    /// Says that a new file has an extent tree, or block pointers.
    pub(super) fn begin_map(&self, node: &mut Node) {
        if self.superblock.has_incompat(incompat::EXTENTS) {
            node.raw.i_flags = (node.raw.i_flags.get() | flag::EXTENTS).into();
        }
    }
}

/// Returns how many indirect blocks lead to pointers.
fn indirect_blocks(pointers: &[u32], per_block: usize) -> u64 {
    fn below(part: &[u32], level: u32, per_block: usize) -> u64 {
        if part.iter().all(|pointer| *pointer == 0) {
            return 0;
        }
        if level == 1 {
            return 1;
        }
        let parts = part.chunks(per_block.saturating_pow(level - 1));
        1 + parts
            .map(|part| below(part, level - 1, per_block))
            .sum::<u64>()
    }
    let mut rest = pointers.get(DIRECT..).unwrap_or_default();
    let mut blocks = 0;
    for level in 1..=3 {
        let span = per_block.saturating_pow(level);
        let (part, after) = rest.split_at(rest.len().min(span));
        blocks += below(part, level, per_block);
        rest = after;
    }
    blocks
}

fn too_large(node: &Node) -> EditError {
    EditError::Value {
        field: "size of inode",
        value: node.number.0.to_string(),
        rule: "more blocks than its map can lead to",
    }
}
