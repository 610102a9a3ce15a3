//! Hash trees: every block is led to once, and every name stands where its hash leads.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

use std::collections::HashMap;

use super::Check;
use crate::ext4::InodeNo;
use crate::ext4::damage::{Damage, Location};
use crate::ext4::features::compat;
use crate::ext4::hash::HashVersion;
use crate::ext4::htree::{ENTRY, NODE_ENTRIES_AT, ROOT_ENTRIES_AT, RawIndexEntry};
use crate::ext4::read::{BlockKind, Inode, ReadError, index_entries, max_index_levels, root_info};

/// SipHash, which needs an encryption key.
const SIPHASH: u8 = 6;
/// The end of the hashes.
const LAST_HASH: u32 = 0xffff_fffe;

/// The hash tree of a directory, as its blocks are read.
pub(super) struct Tree {
    inode: InodeNo,
    /// The hash function; none when it cannot be computed.
    pub(super) function: Option<HashVersion>,
    levels: u8,
    /// The entries of root and nodes.
    indexes: HashMap<u64, Vec<RawIndexEntry>>,
    /// The smallest and largest hash in each leaf; none in an empty one.
    leaves: HashMap<u64, Option<(u32, u32)>>,
}

impl Tree {
    /// Reads the root of a hash tree.
    pub(super) fn open(
        check: &mut Check<'_>,
        inode: &Inode,
        root: &[u8],
    ) -> Result<Option<Self>, ReadError> {
        let superblock = check.superblock_of();
        let at = Location::DirectoryBlock {
            inode: inode.number(),
            block: 0,
        };
        if !superblock.has_compat(compat::DIR_INDEX) {
            let damage = Damage::Structure("hash trees need the feature dir_index");
            check.error(Location::Inode(inode.number()), damage);
            return Ok(None);
        }
        let info = match root_info(root) {
            Ok(info) => info,
            Err(damage) => {
                check.error(at, damage);
                return Ok(None);
            }
        };
        let version = info.hash_version;
        let function = HashVersion::new(version, superblock.unsigned_hash());
        if version > 2 && version != SIPHASH {
            let rule = "it is legacy, half_md4, tea or siphash";
            check.error(at, Damage::field("hash_version", version, rule));
        }
        if info.unused_flags & 1 != 0 {
            let rule = "incompatible flags are not set";
            check.error(at, Damage::field("unused_flags", info.unused_flags, rule));
        }
        if info.indirect_levels > max_index_levels(check.access()) {
            let rule = "it is at most 1, or 2 with large_dir";
            check.error(
                at,
                Damage::field("indirect_levels", info.indirect_levels, rule),
            );
            return Ok(None);
        }
        Ok(Some(Self {
            inode: inode.number(),
            function,
            levels: info.indirect_levels,
            indexes: HashMap::new(),
            leaves: HashMap::new(),
        }))
    }

    /// Takes the root or a node.
    pub(super) fn index(
        &mut self,
        check: &mut Check<'_>,
        number: u64,
        kind: BlockKind,
        block: &[u8],
    ) {
        let start = if kind == BlockKind::Root {
            ROOT_ENTRIES_AT
        } else {
            NODE_ENTRIES_AT
        };
        match index_entries(block, start) {
            Ok(entries) => {
                let tail = if check.superblock_of().seed().is_some() {
                    ENTRY
                } else {
                    0
                };
                let room = block.len().saturating_sub(start).saturating_sub(tail);
                let expected = room.checked_div(ENTRY).unwrap_or(0);
                let limit = u16::from_le_bytes(
                    block
                        .get(start..)
                        .and_then(|rest| rest.first_chunk::<2>())
                        .copied()
                        .unwrap_or_default(),
                );
                if usize::from(limit) != expected {
                    let rule = "it is what the block has room for";
                    check.error(self.at(number), Damage::field("limit", limit, rule));
                }
                self.indexes.insert(number, entries);
            }
            Err(damage) => {
                check.error(self.at(number), damage);
                self.indexes.insert(number, Vec::new());
            }
        }
    }

    /// Takes a leaf that has no name yet.
    pub(super) fn leaf(&mut self, number: u64) {
        self.leaves.insert(number, None);
    }

    /// Takes a name of a leaf.
    pub(super) fn name(&mut self, check: &Check<'_>, number: u64, name: &[u8]) {
        let Some(function) = self.function else {
            return;
        };
        let hash = function
            .hash(name, &check.superblock_of().hash_seed())
            .major;
        if let Some(range) = self.leaves.get_mut(&number) {
            let (least, most) = range.unwrap_or((hash, hash));
            *range = Some((least.min(hash), most.max(hash)));
        }
    }

    /// Walks the tree from its root, once all blocks are read.
    pub(super) fn finish(mut self, check: &mut Check<'_>) {
        let blocks = self.indexes.len().saturating_add(self.leaves.len());
        let mut left = blocks;
        self.below(check, 0, self.levels, 0, LAST_HASH, &mut left);
        let mut lost: Vec<u64> = self
            .indexes
            .keys()
            .chain(self.leaves.keys())
            .copied()
            .collect();
        lost.sort_unstable();
        for number in lost {
            let damage = Damage::Structure("the hash tree does not lead to the block");
            check.error(self.at(number), damage);
        }
    }

    /// Checks an index block whose hashes lie in `least..=most`, and all below. What was led to is
    /// taken out of the maps, so that nothing is walked twice.
    fn below(
        &mut self,
        check: &mut Check<'_>,
        number: u64,
        levels: u8,
        least: u32,
        most: u32,
        left: &mut usize,
    ) {
        let Some(entries) = self.indexes.remove(&number) else {
            let damage = Damage::Structure("the hash tree leads here twice, or to no index block");
            check.error(self.at(number), damage);
            return;
        };
        let hash = |entry: &RawIndexEntry| entry.hash.get() & !1;
        let mut before = 0;
        for (i, entry) in entries.iter().enumerate() {
            *left = left.saturating_sub(1);
            if hash(entry) < before {
                let rule = "hashes ascend";
                check.error(
                    self.at(number),
                    Damage::field("hash", entry.hash.get(), rule),
                );
            }
            before = hash(entry);
            let from = if i == 0 { least } else { hash(entry) };
            let next = entries.get(i.saturating_add(1));
            let to = next.map_or(most, hash);
            let block = u64::from(entry.block.get() & 0x0fff_ffff);
            match levels.checked_sub(1) {
                Some(levels) => self.below(check, block, levels, from, to, left),
                None => self.check_leaf(check, block, from, to),
            }
        }
    }

    fn check_leaf(&mut self, check: &mut Check<'_>, number: u64, least: u32, most: u32) {
        let Some(range) = self.leaves.remove(&number) else {
            let damage = Damage::Structure("the hash tree leads here twice, or to no leaf");
            check.error(self.at(number), damage);
            return;
        };
        if let Some((first, last)) = range
            && (first < least || last > most)
        {
            let damage = Damage::Structure("names stand where their hashes do not lead");
            check.error(self.at(number), damage);
        }
    }

    fn at(&self, block: u64) -> Location {
        Location::DirectoryBlock {
            inode: self.inode,
            block,
        }
    }
}
