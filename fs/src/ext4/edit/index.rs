//! Names put into a directory with a hash tree.

use super::error::{Result, damaged};
use super::leaf;
use super::node::Node;
use super::volume::Volume;
use crate::ext4::checksum::Seed;
use crate::ext4::dir::{DirEntry, fill_block};
use crate::ext4::hash::HashVersion;
use crate::ext4::htree::{NODE_ENTRIES_AT, ROOT_ENTRIES_AT, RawIndexEntry, write_index};
use crate::ext4::read::{count_limit, index_entries, root_info};

/// An index block on the way to a leaf.
#[derive(Clone, Copy, Debug)]
struct Step {
    /// The block in the directory.
    logical: usize,
    /// Where its entries start.
    start: usize,
    /// The entry that leads on.
    entry: usize,
}

/// A name of a leaf that is split.
struct Moved {
    hash: u32,
    name: Box<[u8]>,
    inode: crate::ext4::InodeNo,
    file_type: u8,
}

impl Moved {
    fn entry(&self) -> DirEntry<'_> {
        DirEntry {
            name: &self.name,
            inode: self.inode,
            file_type: self.file_type,
        }
    }
}

impl Volume {
    /// Puts an entry into the leaf of its hash, which is split when it is full; when the index block
    /// above is full as well, the directory is built anew.
    pub(super) fn add_indexed(
        &mut self,
        node: &mut Node,
        version: (u8, HashVersion),
        entry: DirEntry<'_>,
    ) -> Result<()> {
        let form = self.form(node, version);
        let hash = version.1.hash(entry.name, &form.hash_seed).major;
        let (step, leaf) = self.probe(node, hash)?;
        if self.try_leaf(node, leaf, &entry)? {
            return Ok(());
        }
        let above = self.physical(node, step.logical)?;
        let full = self.overlay.view(above, |block| {
            count_limit(block, step.start).map(|head| head.count == head.limit)
        })?;
        if full.map_err(|damage| damaged(damage.to_string()))? {
            return self.rebuild(node, version, entry);
        }
        let (split, upper) = self.split(node, version, step, leaf)?;
        let target = if hash >= split { upper } else { leaf };
        if self.try_leaf(node, target, &entry)? {
            return Ok(());
        }
        self.rebuild(node, version, entry)
    }

    /// Finds the leaf of a hash and the index block above it.
    fn probe(&mut self, node: &Node, hash: u32) -> Result<(Step, usize)> {
        let bad = |damage: crate::ext4::Damage| damaged(damage.to_string());
        let root = self.physical(node, 0)?;
        let info = self.overlay.view(root, root_info)?.map_err(bad)?;
        let (mut logical, mut start) = (0, ROOT_ENTRIES_AT);
        for level in (0..=info.indirect_levels.min(2)).rev() {
            let physical = self.physical(node, logical)?;
            let entries = self
                .overlay
                .view(physical, |block| index_entries(block, start))?
                .map_err(bad)?;
            let after = entries.partition_point(|entry| entry.hash.get() <= hash);
            let entry = after.saturating_sub(1);
            let below = entries
                .get(entry)
                .ok_or_else(|| damaged("an index block is empty"))?;
            let below = usize::try_from(below.block.get() & 0x0fff_ffff).unwrap_or(usize::MAX);
            if level == 0 {
                let step = Step {
                    logical,
                    start,
                    entry,
                };
                return Ok((step, below));
            }
            (logical, start) = (below, NODE_ENTRIES_AT);
        }
        Err(damaged("a hash tree without leaves"))
    }

    /// Moves the upper half of a leaf's names, by hash, to a new one; returns where it starts, and
    /// its place in the directory.
    fn split(
        &mut self,
        node: &mut Node,
        version: (u8, HashVersion),
        step: Step,
        leaf: usize,
    ) -> Result<(u32, usize)> {
        let form = self.form(node, version);
        let lower_block = self.physical(node, leaf)?;
        let mut names = self.leaf_names(lower_block, &form)?;
        names.sort_by_key(|name| name.hash);
        let all: usize = names.iter().map(|name| name.entry().len()).sum();
        let mut size = 0;
        let cut = names
            .iter()
            .position(|name| {
                size += name.entry().len();
                size > all / 2
            })
            .unwrap_or(0)
            .clamp(1, names.len().saturating_sub(1).max(1));
        let upper = names.split_off(cut.min(names.len()));
        let (Some(last), Some(first)) = (names.last(), upper.first()) else {
            return Err(damaged("a full leaf has fewer than two names"));
        };
        let split = first.hash | u32::from(first.hash == last.hash);
        let upper_block = self.grow(node)?;
        for (block, part) in [(lower_block, &names), (upper_block, &upper)] {
            let mut bytes = vec![0; self.block_len()];
            fill_block(&mut bytes, part.iter().map(Moved::entry), form.seed);
            self.overlay.put(block, &bytes);
        }
        let folder = self.folder(node.number)?;
        let logical = folder.blocks.len().saturating_sub(1);
        let number = u32::try_from(logical).unwrap_or(u32::MAX);
        for name in &upper {
            folder.take(&name.name, name.inode, name.file_type, number);
        }
        let above = self.physical(node, step.logical)?;
        self.overlay.edit(above, |block| {
            let bad = |damage: crate::ext4::Damage| damaged(damage.to_string());
            let head = count_limit(block, step.start).map_err(bad)?;
            let mut entries = index_entries(block, step.start).map_err(bad)?;
            let new = RawIndexEntry {
                hash: split.into(),
                block: number.into(),
            };
            entries.insert(step.entry + 1, new);
            write_index(
                block,
                step.start,
                head.limit.get().into(),
                &entries,
                form.seed,
            );
            Ok::<_, super::EditError>(())
        })??;
        Ok((split, logical))
    }

    fn leaf_names(
        &self,
        block: crate::ext4::BlockNo,
        form: &crate::ext4::htree::Form,
    ) -> Result<Vec<Moved>> {
        let end = crate::ext4::dir::room(form.block_len, form.seed.is_some());
        self.overlay.view(block, |block| {
            let names = leaf::records(&self.superblock, &block[..end])?
                .iter()
                .filter(|record| record.inode.0 != 0)
                .map(|record| Moved {
                    hash: form.version.1.hash(record.name, &form.hash_seed).major,
                    name: record.name.into(),
                    inode: record.inode,
                    file_type: record.file_type,
                })
                .collect();
            Ok(names)
        })?
    }
}

/// Seals an index block whose entries did not change.
pub(super) fn reseal(block: &mut [u8], start: usize, seed: Option<Seed>) -> Result<()> {
    let bad = |damage: crate::ext4::Damage| damaged(damage.to_string());
    let head = count_limit(block, start).map_err(bad)?;
    let entries = index_entries(block, start).map_err(bad)?;
    write_index(block, start, head.limit.get().into(), &entries, seed);
    Ok(())
}
