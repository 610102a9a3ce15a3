//! Names and files taken away.

use super::Editor;
use super::error::{EditError, Result, damaged};
use super::names::Slot;
use super::node::Node;
use super::path::{Place, wrong};
use super::volume::Volume;
use crate::ext4::InodeNo;
use crate::ext4::extent::MAGIC;
use crate::ext4::inode::{flag, mode};
use crate::ext4::read::FileType;

impl Editor {
    /// Removes what stands at a path; with `recursive` a folder with all that is in it, without, a
    /// folder only when it is empty.
    ///
    /// # Errors
    /// [`EditError::Path`] when nothing stands there, or the folder is not empty.
    pub fn remove(&mut self, path: &[u8], recursive: bool) -> Result<()> {
        let place = self.volume.place(path)?;
        let slot = place.slot.ok_or_else(|| wrong(path, "does not exist"))?;
        self.volume.open_folder(place.parent)?;
        keep_lost_and_found(&place, path)?;
        let node = self.volume.node(slot.inode)?;
        if !node.is_file() {
            self.volume.forget_paths();
        }
        if !node.is_directory() {
            self.volume.check_drop(slot.inode)?;
            return self.change(|volume| {
                volume.unname(&place, 0)?;
                volume.drop_link(slot.inode)
            });
        }
        let empty = self.volume.is_empty_folder(slot.inode)?;
        if !recursive && !empty {
            return Err(wrong(path, "is a folder that is not empty"));
        }
        self.change(|volume| {
            volume.unname(&place, 1)?;
            volume.drop_tree(slot.inode)
        })
    }
}

/// e2fsck needs `lost+found`.
pub(super) fn keep_lost_and_found(place: &Place, path: &[u8]) -> Result<()> {
    if place.parent == InodeNo::ROOT && place.name == b"lost+found" {
        return Err(wrong(path, "is where e2fsck puts what it finds, and stays"));
    }
    Ok(())
}

impl Volume {
    /// Takes a name away; `folders` is how many folders fewer its folder has then.
    pub(super) fn unname(&mut self, place: &Place, folders: u16) -> Result<()> {
        let mut parent = self.node(place.parent)?;
        self.remove_name(&parent, &place.name)?;
        let links = parent.raw.i_links_count.get();
        if links > 2 {
            parent.raw.i_links_count = links.saturating_sub(folders).into();
        }
        self.touch_folder(&mut parent)
    }

    /// Refuses a file that could not be removed rightly.
    pub(super) fn check_drop(&mut self, number: InodeNo) -> Result<()> {
        let inode = self.inode(number)?;
        if number.0 < self.superblock.first_inode().0 {
            return Err(EditError::Unsupported {
                path: format!("inode {}", number.0),
                what: "a reserved inode",
            });
        }
        if inode.has_flag(flag::EA_INODE) {
            return Err(EditError::Unsupported {
                path: format!("inode {}", number.0),
                what: "the value of an extended attribute",
            });
        }
        self.refuse_ea_inodes(&inode)
    }

    /// Takes one name from a file; with its last one the file is gone.
    pub(super) fn drop_link(&mut self, number: InodeNo) -> Result<()> {
        let mut node = self.node(number)?;
        let links = node.raw.i_links_count.get();
        if links == 0 {
            return Err(damaged(format!(
                "inode {} has a name, but no links",
                number.0
            )));
        }
        if links > 1 {
            node.raw.i_links_count = (links - 1).into();
            node.set_ctime(self.time)?;
            return self.save(&mut node);
        }
        self.delete(node)
    }

    /// Removes a folder, which has no name any more, with all that is in it.
    pub(super) fn drop_tree(&mut self, top: InodeNo) -> Result<()> {
        let mut left = vec![top];
        while let Some(number) = left.pop() {
            let names = self.all_names(number)?;
            let mut slots: Vec<Slot> = names.into_iter().map(|(_, slot)| slot).collect();
            slots.sort_by_key(|slot| slot.inode);
            for slot in slots {
                self.check_drop(slot.inode)?;
                let i_mode = self.node(slot.inode)?.raw.i_mode.get();
                if i_mode & mode::TYPE == mode::DIRECTORY {
                    left.push(slot.inode);
                } else {
                    self.drop_link(slot.inode)?;
                }
            }
            self.check_drop(number)?;
            self.folders.remove(&number.0.into());
            let node = self.node(number)?;
            self.delete(node)?;
        }
        Ok(())
    }

    /// Gives back an inode and all its blocks. The inode's time of deletion is the transaction's, or
    /// later: small values would look like the number of the next orphan.
    fn delete(&mut self, mut node: Node) -> Result<()> {
        let inode = self.inode(node.number)?;
        let directory = node.is_directory();
        self.contents.drop_inode(node.number);
        self.drop_xattr_block(&mut node)?;
        let mapped = matches!(
            inode.file_type(),
            FileType::File | FileType::Directory | FileType::Symlink
        ) && !inode.has_flag(flag::INLINE_DATA)
            && !inode.is_fast_symlink(&self.superblock);
        if mapped {
            let map = self.map_of(&inode)?;
            for run in &map.runs {
                self.free_blocks(run.physical, run.len)?;
            }
            for block in &map.nodes {
                self.free_blocks(*block, 1)?;
            }
        }
        // Attributes, and the rest of a content that is kept in the inode.
        let fields = node.fields();
        node.bytes.get_mut(fields..).unwrap_or_default().fill(0);
        let raw = &mut node.raw;
        raw.i_block = [0; 60];
        if raw.i_flags.get() & flag::EXTENTS != 0 {
            let [lo, hi] = MAGIC.to_le_bytes();
            raw.i_block[..6].copy_from_slice(&[lo, hi, 0, 0, 4, 0]);
        }
        raw.i_flags = (raw.i_flags.get() & !(flag::INLINE_DATA | flag::HUGE_FILE)).into();
        raw.i_links_count = 0.into();
        raw.set_size(0);
        raw.i_blocks_lo = 0.into();
        raw.i_blocks_high = 0.into();
        let now = u32::try_from(self.time.sec.clamp(0, u32::MAX.into())).unwrap_or(0);
        raw.i_dtime = now.max(self.superblock.inodes()).into();
        node.set_ctime(self.time)?;
        self.save(&mut node)?;
        self.free_inode(node.number, directory)
    }
}
