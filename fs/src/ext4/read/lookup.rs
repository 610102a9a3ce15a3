//! Finding a name: in a directory through its hash tree, and along a path.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

use zerocopy::FromBytes;

use super::content::inline_parts;
use super::directory::expect_directory;
use super::directory_block::{BlockKind, count_limit};
use super::map::{Access, Mapped};
use super::{FileType, Image, Inode, ReadError};
use crate::ext4::damage::{Damage, Location};
use crate::ext4::features::incompat;
use crate::ext4::hash::HashVersion;
use crate::ext4::htree::{ENTRY, NODE_ENTRIES_AT, ROOT_ENTRIES_AT, RawIndexEntry, RawRootInfo};
use crate::ext4::inode::flag;
use crate::ext4::{BlockNo, InodeNo};
use crate::tree::shown;

/// How many symlinks a path may lead through.
const MAX_SYMLINKS: u32 = 40;

/// Reads what the root of a hash tree says of it.
pub(crate) fn root_info(block: &[u8]) -> Result<RawRootInfo, Damage> {
    let start = ROOT_ENTRIES_AT.saturating_sub(ENTRY);
    let (info, _) = RawRootInfo::read_from_prefix(block.get(start..).unwrap_or_default())
        .map_err(|_| Damage::Structure("the root of the hash tree is cut off"))?;
    if info.reserved_zero.get() != 0 {
        return Err(Damage::field(
            "reserved_zero",
            info.reserved_zero.get(),
            "it is 0",
        ));
    }
    if info.info_length != 8 {
        return Err(Damage::field("info_length", info.info_length, "it is 8"));
    }
    Ok(info)
}

/// Returns how many levels of nodes a tree may have below its root.
pub(crate) fn max_levels(access: Access<'_>) -> u8 {
    if access.superblock.has_incompat(incompat::LARGEDIR) {
        2
    } else {
        1
    }
}

/// Returns the entries of an index block; the first has the hash 0.
pub(crate) fn index_entries(block: &[u8], start: usize) -> Result<Vec<RawIndexEntry>, Damage> {
    let head = count_limit(block, start)?;
    let area = block.get(start..).unwrap_or_default();
    Ok(area
        .chunks_exact(ENTRY)
        .take(head.count.get().into())
        .enumerate()
        .map(|(i, entry)| {
            let mut entry =
                RawIndexEntry::read_from_bytes(entry).expect("the size is that of an entry");
            if i == 0 {
                entry.hash = 0.into();
            }
            entry
        })
        .collect())
}

impl Access<'_> {
    /// Returns the inode that a name in a directory stands for.
    pub(crate) fn find(self, directory: &Inode, name: &[u8]) -> Result<Option<InodeNo>, ReadError> {
        expect_directory(directory)?;
        if directory.has_flag(flag::INLINE_DATA) && name == b".." {
            let ([a, b, c, d, ..], _) = inline_parts(directory)?;
            return Ok(Some(InodeNo(u32::from_le_bytes([*a, *b, *c, *d]))));
        }
        let indexed = directory.has_flag(flag::INDEX)
            && !directory.has_flag(flag::CASEFOLD | flag::ENCRYPT | flag::INLINE_DATA);
        if indexed
            && !matches!(name, b"." | b"..")
            && let Some(search) = Search::new(self, directory, name)?
        {
            return search.run();
        }
        let mut found = None;
        self.entries(directory, &mut |record| {
            if record.name == name && found.is_none() {
                found = Some(record.inode);
            }
            Ok(())
        })?;
        Ok(found)
    }
}

/// A search through the hash tree of a directory.
struct Search<'a> {
    access: Access<'a>,
    directory: &'a Inode,
    name: &'a [u8],
    hash: u32,
    levels: u8,
    runs: Vec<Mapped>,
    /// Blocks that may still be looked at: no search needs one twice.
    left: u64,
}

impl<'a> Search<'a> {
    /// Begins a search; none when the hash function cannot be computed.
    fn new(
        access: Access<'a>,
        directory: &'a Inode,
        name: &'a [u8],
    ) -> Result<Option<Self>, ReadError> {
        let runs = access.runs(directory)?;
        let mut search = Self {
            access,
            directory,
            name,
            hash: 0,
            levels: 0,
            left: runs.iter().map(|run| run.len).fold(0, u64::saturating_add),
            runs,
        };
        let (_, root) = search.block(0)?;
        let info = root_info(&root).map_err(|damage| search.damaged(0, damage))?;
        let superblock = access.superblock;
        let Some(function) = HashVersion::new(info.hash_version, superblock.unsigned_hash()) else {
            return Ok(None);
        };
        if info.indirect_levels > max_levels(access) {
            let damage = Damage::field(
                "indirect_levels",
                info.indirect_levels,
                "it is at most 1, or 2 with large_dir",
            );
            return Err(search.damaged(0, damage));
        }
        search.hash = function.hash(name, &superblock.hash_seed()).major;
        search.levels = info.indirect_levels;
        Ok(Some(search))
    }

    fn run(mut self) -> Result<Option<InodeNo>, ReadError> {
        let levels = self.levels;
        self.index(0, ROOT_ENTRIES_AT, levels)
    }

    /// Searches below an index block; `levels` of nodes are between it and the leaves.
    fn index(
        &mut self,
        logical: u64,
        start: usize,
        levels: u8,
    ) -> Result<Option<InodeNo>, ReadError> {
        let (_, block) = self.block(logical)?;
        let entries =
            index_entries(&block, start).map_err(|damage| self.damaged(logical, damage))?;
        let after = entries.partition_point(|entry| entry.hash.get() <= self.hash);
        let first = after.saturating_sub(1);
        for (i, entry) in entries.iter().enumerate().skip(first) {
            // Names of one hash may continue in the following blocks.
            if i > first && entry.hash.get() != self.hash | 1 {
                break;
            }
            let below = u64::from(entry.block.get() & 0x0fff_ffff);
            let found = match levels.checked_sub(1) {
                Some(levels) => self.index(below, NODE_ENTRIES_AT, levels)?,
                None => self.leaf(below)?,
            };
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    fn leaf(&mut self, logical: u64) -> Result<Option<InodeNo>, ReadError> {
        let (kind, block) = self.block(logical)?;
        if kind != BlockKind::Leaf {
            let damage = Damage::Structure("the hash tree leads to no leaf");
            return Err(self.damaged(logical, damage));
        }
        let mut found = None;
        self.access
            .leaf_entries(self.directory, logical, &block, &mut |record| {
                if record.name == self.name {
                    found = Some(record.inode);
                }
                Ok(())
            })?;
        Ok(found)
    }

    /// Reads a block of the directory.
    fn block(&mut self, logical: u64) -> Result<(BlockKind, forger_block::Bytes), ReadError> {
        let after = self
            .runs
            .partition_point(|run| run.logical <= logical)
            .saturating_sub(1);
        let physical = self.runs.get(after).and_then(|run| {
            let step = logical.checked_sub(run.logical)?;
            (step < run.len && !run.unwritten).then(|| BlockNo(run.physical.0.saturating_add(step)))
        });
        // The root is read twice: once for what it says of the tree.
        self.left = match (logical, self.left.checked_sub(1)) {
            (0, _) => self.left,
            (_, Some(left)) => left,
            (_, None) => {
                let damage = Damage::Structure("the hash tree leads to blocks repeatedly");
                return Err(self.damaged(logical, damage));
            }
        };
        let physical = physical.ok_or_else(|| {
            self.damaged(
                logical,
                Damage::Structure("the directory has no such block"),
            )
        })?;
        self.access
            .directory_block(self.directory, logical, physical)
    }

    fn damaged(&self, block: u64, damage: Damage) -> ReadError {
        let inode = self.directory.number();
        ReadError::corrupt(Location::DirectoryBlock { inode, block }, damage)
    }
}

impl Image {
    /// Returns what a name in a directory stands for.
    ///
    /// # Errors
    /// [`ReadError::WrongKind`] for what is no directory; [`ReadError::Corrupt`].
    pub fn entry(&self, directory: &Inode, name: &[u8]) -> Result<Option<InodeNo>, ReadError> {
        self.access().find(directory, name)
    }

    /// Returns what a path leads to, from the root and without leaving it; symlinks on the way are
    /// followed, and the last component with `follow`.
    ///
    /// # Errors
    /// [`ReadError::NotFound`], [`ReadError::NotADirectory`], [`ReadError::TooManySymlinks`], and
    /// whatever is damaged on the way.
    pub fn lookup(&self, path: &[u8], follow: bool) -> Result<Inode, ReadError> {
        // Components to come, the next one last.
        let mut rest = components(path);
        let mut folders = vec![self.inode(InodeNo::ROOT)?];
        let mut symlinks = 0_u32;
        while let Some(name) = rest.pop() {
            let Some(folder) = folders.last() else { break };
            if name == b".." {
                if folders.len() > 1 {
                    folders.pop();
                }
                continue;
            }
            if folder.file_type() != FileType::Directory {
                return Err(ReadError::NotADirectory { path: shown(path) });
            }
            let number = self.entry(folder, &name)?;
            let number = number.ok_or_else(|| ReadError::NotFound { path: shown(path) })?;
            let inode = self.inode(number)?;
            if inode.file_type() != FileType::Symlink || (rest.is_empty() && !follow) {
                folders.push(inode);
                continue;
            }
            symlinks = symlinks.saturating_add(1);
            if symlinks > MAX_SYMLINKS {
                return Err(ReadError::TooManySymlinks { path: shown(path) });
            }
            let target = self.symlink(&inode)?;
            if target.starts_with(b"/") {
                folders.truncate(1);
            }
            rest.append(&mut components(&target));
        }
        folders
            .pop()
            .ok_or_else(|| ReadError::NotFound { path: shown(path) })
    }
}

/// Returns the components of a path that mean a step, the last one first.
fn components(path: &[u8]) -> Vec<Vec<u8>> {
    path.rsplit(|byte| *byte == b'/')
        .filter(|step| !step.is_empty() && *step != b".")
        .map(<[u8]>::to_vec)
        .collect()
}
