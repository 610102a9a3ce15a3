//! Directories that are changed: their blocks, and where there is room in them.

use super::allocate::Run;
use super::error::{EditError, Result, damaged};
use super::groups::inode_group;
use super::leaf;
use super::map::Map;
use super::names::{Names, Slot};
use super::node::Node;
use super::volume::Volume;
use crate::ext4::dir::{self, DirEntry, fill_block, seal_block};
use crate::ext4::features::compat;
use crate::ext4::hash::HashVersion;
use crate::ext4::htree::{self, Form};
use crate::ext4::inode::{flag, mode};
use crate::ext4::read::{BlockKind, Inode, expect_directory, root_info};
use crate::ext4::{BlockNo, InodeNo};
use crate::tree::shown;

/// A directory that was looked into.
#[derive(Debug)]
pub(super) struct Folder {
    pub(super) parent: InodeNo,
    pub(super) names: Names,
    /// Its blocks in order.
    pub(super) blocks: Vec<BlockNo>,
    pub(super) map: Map,
    /// The hash function, where it has a hash tree.
    pub(super) index: Option<(u8, HashVersion)>,
    /// No longer entry fits each block; of a linear directory only, and 0 for blocks without entries.
    room: Vec<usize>,
    /// Why it cannot be changed.
    frozen: Option<&'static str>,
}

/// The room of a block that nobody has measured.
const ANY: usize = usize::MAX;

impl Volume {
    /// Returns a directory, read if it was not.
    pub(super) fn folder(&mut self, number: InodeNo) -> Result<&mut Folder> {
        if !self.folders.contains_key(&number.0.into()) {
            let folder = self.load(number)?;
            self.folders.insert(number.0.into(), folder);
        }
        self.folders
            .get_mut(&number.0.into())
            .ok_or_else(|| damaged("a directory is gone"))
    }

    /// Returns a directory that can be changed.
    pub(super) fn open_folder(&mut self, number: InodeNo) -> Result<&mut Folder> {
        let folder = self.folder(number)?;
        match folder.frozen {
            Some(what) => Err(EditError::Unsupported {
                path: format!("inode {}", number.0),
                what,
            }),
            None => Ok(folder),
        }
    }

    fn load(&mut self, number: InodeNo) -> Result<Folder> {
        let inode = self.inode(number)?;
        expect_directory(&inode)?;
        let frozen = [
            (flag::ENCRYPT, "an encrypted directory"),
            (flag::CASEFOLD, "a directory that ignores case"),
            (flag::INLINE_DATA, "a directory that is kept in its inode"),
        ]
        .into_iter()
        .find(|(bit, _)| inode.has_flag(*bit))
        .map(|(_, what)| what);
        let mut folder = Folder {
            parent: InodeNo(0),
            names: Names::default(),
            blocks: Vec::new(),
            map: Map::default(),
            index: None,
            room: Vec::new(),
            frozen,
        };
        if inode.has_flag(flag::INLINE_DATA) {
            self.load_inline(&inode, &mut folder)?;
        } else {
            self.load_blocks(&inode, &mut folder)?;
        }
        Ok(folder)
    }

    fn load_inline(&self, inode: &Inode, folder: &mut Folder) -> Result<()> {
        let parent = self.access().find(inode, b"..")?;
        folder.parent = parent.ok_or_else(|| damaged("a directory has no parent"))?;
        folder.names.gather();
        self.access().entries(inode, &mut |record| {
            folder.take(record.name, record.inode, record.file_type, 0);
            Ok(())
        })?;
        Ok(())
    }

    fn load_blocks(&mut self, inode: &Inode, folder: &mut Folder) -> Result<()> {
        folder.map = self.map_of(inode)?;
        let total = inode.size() / self.block_size();
        for run in &folder.map.runs {
            if run.logical != u64::try_from(folder.blocks.len()).unwrap_or(0) || run.unwritten {
                return Err(damaged(format!(
                    "directory {} has a hole",
                    inode.number().0
                )));
            }
            folder
                .blocks
                .extend((0..run.len).map(|step| BlockNo(run.physical.0 + step)));
        }
        if total != u64::try_from(folder.blocks.len()).unwrap_or(0) || total == 0 {
            // Blocks that were reserved beyond the end are the kernel's to use, not ours.
            return Err(EditError::Unsupported {
                path: format!("inode {}", inode.number().0),
                what: "a directory with blocks beyond its end",
            });
        }
        if folder.frozen.is_none() && inode.has_flag(flag::INDEX) {
            let root = self.blocks.read(folder.blocks[0])?;
            let info = root_info(&root).map_err(|damage| damaged(damage.to_string()))?;
            let unsigned = self.superblock.unsigned_hash();
            match HashVersion::new(info.hash_version, unsigned) {
                Some(function) => folder.index = Some((info.hash_version, function)),
                None => folder.frozen = Some("a directory with an unknown hash"),
            }
        }
        if inode.has_flag(flag::INDEX) {
            folder.names.gather();
        }
        for (logical, physical) in folder.blocks.clone().into_iter().enumerate() {
            self.load_block(inode, logical, physical, folder)?;
        }
        if folder.parent.0 == 0 {
            return Err(damaged(format!(
                "directory {} has no parent",
                inode.number().0
            )));
        }
        Ok(())
    }

    fn load_block(
        &self,
        inode: &Inode,
        logical: usize,
        physical: BlockNo,
        folder: &mut Folder,
    ) -> Result<()> {
        let number = u64::try_from(logical).unwrap_or(u64::MAX);
        let at = u32::try_from(logical).unwrap_or(u32::MAX);
        let access = self.access();
        let kind = self.overlay.view(physical, |block| {
            let kind = access.check_directory_block(inode, number, block)?;
            if kind != BlockKind::Node {
                access.leaf_entries(inode, number, block, &mut |record| {
                    folder.take(record.name, record.inode, record.file_type, at);
                    Ok(())
                })?;
            }
            Ok::<_, EditError>(kind)
        })??;
        let room = if kind == BlockKind::Node { 0 } else { ANY };
        folder.room.push(room);
        Ok(())
    }

    /// Returns where the entries of a block end.
    pub(super) fn leaf_end(&self) -> usize {
        dir::room(self.block_len(), self.superblock.seed().is_some())
    }

    /// Returns the form of a directory's blocks.
    pub(super) fn form(&self, node: &Node, version: (u8, HashVersion)) -> Form {
        Form {
            block_len: self.block_len(),
            seed: self
                .superblock
                .seed()
                .map(|seed| seed.inode(node.number, node.raw.i_generation.get())),
            version,
            hash_seed: self.superblock.hash_seed(),
        }
    }

    /// Changes the entries of a leaf and seals it, if it changed.
    pub(super) fn edit_leaf(
        &mut self,
        node: &Node,
        physical: BlockNo,
        change: impl FnOnce(&super::Superblock, &mut [u8]) -> Result<bool>,
    ) -> Result<bool> {
        let end = self.leaf_end();
        let seed = self
            .superblock
            .seed()
            .map(|seed| seed.inode(node.number, node.raw.i_generation.get()));
        let superblock = &self.superblock;
        self.overlay.edit_if(physical, |block| {
            let changed = change(superblock, &mut block[..end]);
            let changes = *changed.as_ref().unwrap_or(&false);
            if let Some(seed) = seed.filter(|_| changes) {
                seal_block(block, seed);
            }
            (changed, changes)
        })?
    }

    /// Gives a directory a name, which it does not have. The inode of the directory is changed, but
    /// not saved.
    pub(super) fn add_name(
        &mut self,
        node: &mut Node,
        name: &[u8],
        inode: InodeNo,
        file_type: u8,
    ) -> Result<()> {
        let folder = self.open_folder(node.number)?;
        let entry = DirEntry {
            name,
            inode,
            file_type,
        };
        if let Some(version) = folder.index {
            return self.add_indexed(node, version, entry);
        }
        let fits = |room: &usize| *room >= entry.len();
        let mut next = folder.room.iter().position(fits);
        while let Some(at) = next {
            if self.try_leaf(node, at, &entry)? {
                return Ok(());
            }
            self.measure_leaf(node, at)?;
            let behind = self.folder(node.number)?.room.iter().skip(at + 1);
            next = behind.clone().position(fits).map(|step| at + 1 + step);
        }
        let version = (
            self.superblock.raw().s_def_hash_version,
            HashVersion::new(
                self.superblock.raw().s_def_hash_version,
                self.superblock.unsigned_hash(),
            ),
        );
        if let (1, (number @ 0..=2, Some(function))) = (self.folder_len(node), version)
            && self.superblock.has_compat(compat::DIR_INDEX)
        {
            return self.rebuild(node, (number, function), entry);
        }
        let block = self.grow(node)?;
        let form_seed = self.form(node, (1, HashVersion::HALF_MD4)).seed;
        let mut bytes = vec![0; self.block_len()];
        fill_block(&mut bytes, [entry], form_seed);
        self.overlay.put(block, &bytes);
        let folder = self.folder(node.number)?;
        let at = folder.room.len();
        folder.room.push(ANY);
        folder.take(name, inode, file_type, u32::try_from(at).unwrap_or(0));
        Ok(())
    }

    fn folder_len(&self, node: &Node) -> usize {
        self.folders
            .get(&node.number.0.into())
            .map_or(0, |folder| folder.blocks.len())
    }

    /// Finds out how much room a leaf has in which an entry did not fit.
    fn measure_leaf(&mut self, node: &Node, at: usize) -> Result<()> {
        let physical = self.physical(node, at)?;
        let end = self.leaf_end();
        let superblock = &self.superblock;
        let room = self
            .overlay
            .view(physical, |block| leaf::room(superblock, &block[..end]))??;
        if let Some(known) = self.folder(node.number)?.room.get_mut(at) {
            *known = room;
        }
        Ok(())
    }

    /// Puts an entry into a leaf; false when it does not fit.
    pub(super) fn try_leaf(
        &mut self,
        node: &Node,
        at: usize,
        entry: &DirEntry<'_>,
    ) -> Result<bool> {
        let physical = self.physical(node, at)?;
        let fits = self.edit_leaf(node, physical, |superblock, area| {
            leaf::insert(superblock, area, entry)
        })?;
        if !fits {
            return Ok(false);
        }
        let at = u32::try_from(at).unwrap_or(u32::MAX);
        self.folder(node.number)?
            .take(entry.name, entry.inode, entry.file_type, at);
        Ok(true)
    }

    /// Returns where a block of a directory stands.
    pub(super) fn physical(&mut self, node: &Node, at: usize) -> Result<BlockNo> {
        let folder = self.folder(node.number)?;
        folder.blocks.get(at).copied().ok_or_else(|| {
            damaged(format!(
                "the index of directory {} leads beyond its end",
                node.number.0
            ))
        })
    }

    /// Takes a name from a directory.
    pub(super) fn remove_name(&mut self, node: &Node, name: &[u8]) -> Result<()> {
        let slot = self.slot(node, name)?;
        let at = usize::try_from(slot.block).unwrap_or(usize::MAX);
        let physical = self.physical(node, at)?;
        let found = self.edit_leaf(node, physical, |superblock, area| {
            leaf::remove(superblock, area, name)
        })?;
        if !found {
            return Err(damaged("a directory lost a name"));
        }
        let folder = self.folder(node.number)?;
        if let Some(known) = folder.room.get_mut(at) {
            *known = ANY;
        }
        folder.names.remove(name);
        Ok(())
    }

    /// Makes a name of a directory stand for another inode.
    pub(super) fn redirect_name(
        &mut self,
        node: &Node,
        name: &[u8],
        inode: InodeNo,
        file_type: u8,
    ) -> Result<()> {
        let slot = self.slot(node, name)?;
        let at = usize::try_from(slot.block).unwrap_or(usize::MAX);
        let physical = self.physical(node, at)?;
        let found = self.edit_leaf(node, physical, |superblock, area| {
            leaf::redirect(superblock, area, name, inode, file_type)
        })?;
        if !found {
            return Err(damaged("a directory lost a name"));
        }
        self.folder(node.number)?
            .take(name, inode, file_type, slot.block);
        Ok(())
    }

    fn slot(&mut self, node: &Node, name: &[u8]) -> Result<Slot> {
        self.open_folder(node.number)?;
        self.find_name(node.number, name)?
            .ok_or_else(|| damaged(format!("no name {} in its directory", shown(name))))
    }

    /// Makes `..` of a directory stand for another parent.
    pub(super) fn set_parent(&mut self, node: &Node, parent: InodeNo) -> Result<()> {
        let physical = {
            let folder = self.open_folder(node.number)?;
            folder.parent = parent;
            folder.blocks[0]
        };
        const DOT_DOT: usize = 12;
        let form = self.form(node, (1, HashVersion::HALF_MD4));
        let indexed = node.has_flag(flag::INDEX);
        self.overlay.edit(physical, |block| {
            let is_dot_dot = block.get(DOT_DOT + 6) == Some(&2)
                && block.get(DOT_DOT + 8..DOT_DOT + 10) == Some(b"..");
            if !is_dot_dot {
                return Err(damaged("a directory does not begin with . and .."));
            }
            block[DOT_DOT..DOT_DOT + 4].copy_from_slice(&parent.0.to_le_bytes());
            match form.seed {
                Some(_) if indexed => {
                    super::index::reseal(block, htree::ROOT_ENTRIES_AT, form.seed)
                }
                Some(seed) => {
                    seal_block(block, seed);
                    Ok(())
                }
                None => Ok(()),
            }
        })?
    }

    /// Makes the first block of a new directory.
    pub(super) fn begin_folder(&mut self, node: &mut Node, parent: InodeNo) -> Result<()> {
        let (group, _) = inode_group(&self.superblock, node.number.0);
        let block = self.take_block(group)?;
        let mut map = Map::default();
        map.push(
            0,
            Run {
                start: block,
                len: 1,
            },
        );
        self.begin_map(node);
        self.write_map(node, &mut map)?;
        self.count_blocks(node, i64::try_from(map.blocks()).unwrap_or(i64::MAX))?;
        node.raw.set_size(self.block_size());
        let file_type = self.entry_type(mode::DIRECTORY);
        let entries = [DirEntry::dot(node.number), DirEntry::dot_dot(parent)]
            .map(|entry| DirEntry { file_type, ..entry });
        let seed = self.form(node, (1, HashVersion::HALF_MD4)).seed;
        let mut bytes = vec![0; self.block_len()];
        fill_block(&mut bytes, entries, seed);
        self.overlay.put(block, &bytes);
        let folder = Folder {
            parent,
            names: Names::default(),
            blocks: vec![block],
            map,
            index: None,
            room: vec![ANY],
            frozen: None,
        };
        self.folders.insert(node.number.0.into(), folder);
        Ok(())
    }
}

impl Folder {
    /// Notes a name.
    pub(super) fn take(&mut self, name: &[u8], inode: InodeNo, file_type: u8, block: u32) {
        match name {
            b"." => {}
            b".." => self.parent = inode,
            _ => {
                let slot = Slot {
                    inode,
                    file_type,
                    block,
                };
                self.names.insert(name, slot);
            }
        }
    }
}
