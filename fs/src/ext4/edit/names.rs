//! The names of a directory: looked for in its blocks at first, and gathered in a map once they are
//! looked for often.

use std::collections::HashMap;

use super::error::{Result, damaged};
use super::leaf;
use super::volume::Volume;
use crate::ext4::InodeNo;
use crate::ext4::read::is_dot;

/// So many blocks of a directory may be looked through before a map of its names is cheaper.
const LOOKED: usize = 32;

/// What a name stands for, and where it stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slot {
    pub(super) inode: InodeNo,
    pub(super) file_type: u8,
    /// The block of the directory.
    pub(super) block: u32,
}

/// What is known of a directory's names besides its blocks.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// All of them, or nothing yet; always there for a directory with an index.
    map: Option<HashMap<Box<[u8]>, Slot>>,
    /// How many blocks were looked through.
    looked: usize,
}

impl Names {
    /// Begins to keep names.
    pub(super) fn gather(&mut self) {
        self.map.get_or_insert_default();
    }

    /// Notes a name, or that it stands somewhere else now.
    pub(super) fn insert(&mut self, name: &[u8], slot: Slot) {
        if let Some(map) = &mut self.map {
            map.insert(name.into(), slot);
        }
    }

    /// Notes that a name is gone.
    pub(super) fn remove(&mut self, name: &[u8]) {
        if let Some(map) = &mut self.map {
            map.remove(name);
        }
    }
}

impl Volume {
    /// Returns what a name of a directory stands for.
    pub(super) fn find_name(&mut self, number: InodeNo, name: &[u8]) -> Result<Option<Slot>> {
        if is_dot(name) {
            return Ok(None);
        }
        let folder = self.folder(number)?;
        let blocks = folder.blocks.len();
        if let Some(map) = &folder.names.map {
            return Ok(map.get(name).copied());
        }
        folder.names.looked = folder.names.looked.saturating_add(blocks);
        if folder.names.looked > LOOKED {
            self.gather_names(number)?;
            return self.find_name(number, name);
        }
        for at in 0..blocks {
            if let Some(slot) = self.look_through(number, at, name)? {
                return Ok(Some(slot));
            }
        }
        Ok(None)
    }

    /// Looks for a name in a block of a directory.
    fn look_through(&mut self, number: InodeNo, at: usize, name: &[u8]) -> Result<Option<Slot>> {
        let mut found = None;
        self.each_name(number, at, &mut |there, slot| {
            if there == name {
                found = Some(slot);
            }
            found.is_none()
        })?;
        Ok(found)
    }

    /// Calls `visit` with the names in a block of a directory without an index, as long as it wants more.
    fn each_name(
        &mut self,
        number: InodeNo,
        at: usize,
        visit: &mut dyn FnMut(&[u8], Slot) -> bool,
    ) -> Result<()> {
        let end = self.leaf_end();
        let folder = self.folder(number)?;
        let physical = folder.blocks.get(at).copied();
        let physical = physical.ok_or_else(|| damaged("a directory lost a block"))?;
        let block = u32::try_from(at).unwrap_or(u32::MAX);
        let superblock = &self.superblock;
        self.overlay.view(physical, |bytes| {
            let entries = bytes.get(..end).unwrap_or_default();
            leaf::each(superblock, entries, |record| {
                if is_dot(record.name) {
                    return true;
                }
                let slot = Slot {
                    inode: record.inode,
                    file_type: record.file_type,
                    block,
                };
                visit(record.name, slot)
            })
        })?
    }

    /// Keeps all names of a directory at hand.
    fn gather_names(&mut self, number: InodeNo) -> Result<()> {
        let names = self.all_names(number)?;
        self.folder(number)?.names.map = Some(names.into_iter().collect());
        Ok(())
    }

    /// Returns all names of a directory.
    pub(super) fn all_names(&mut self, number: InodeNo) -> Result<Vec<(Box<[u8]>, Slot)>> {
        let folder = self.folder(number)?;
        let blocks = folder.blocks.len();
        if let Some(map) = &folder.names.map {
            let names = map.iter().map(|(name, slot)| (name.clone(), *slot));
            return Ok(names.collect());
        }
        let mut names = Vec::new();
        for at in 0..blocks {
            self.each_name(number, at, &mut |name, slot| {
                names.push((name.into(), slot));
                true
            })?;
        }
        Ok(names)
    }

    /// Tells whether a directory has no names.
    pub(super) fn is_empty_folder(&mut self, number: InodeNo) -> Result<bool> {
        Ok(self.all_names(number)?.is_empty())
    }
}
