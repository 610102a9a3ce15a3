//! Names moved.

use super::Editor;
use super::error::Result;
use super::path::{Place, wrong};
use super::remove::keep_lost_and_found;
use super::volume::Volume;
use crate::ext4::InodeNo;

impl Editor {
    /// Moves a name, as `rename(2)` does: the new path is the name itself, not a folder to move into;
    /// a file that stands there is replaced, a folder only when it is empty and a folder is moved.
    ///
    /// # Errors
    /// [`EditError::Path`](super::EditError::Path) when there is nothing to move, when a folder would
    /// be moved into itself, or what stands at the new path cannot be replaced.
    pub fn rename(&mut self, from: &[u8], to: &[u8]) -> Result<()> {
        let old = self.volume.place(from)?;
        let slot = old.slot.ok_or_else(|| wrong(from, "does not exist"))?;
        let new = self.volume.place(to)?;
        self.volume.open_folder(old.parent)?;
        self.volume.open_folder(new.parent)?;
        keep_lost_and_found(&old, from)?;
        keep_lost_and_found(&new, to)?;
        let node = self.volume.node(slot.inode)?;
        let directory = node.is_directory();
        if directory {
            self.volume.open_folder(slot.inode)?;
            if self.volume.is_inside(new.parent, slot.inode)? {
                return Err(wrong(to, "is inside the folder that shall be moved"));
            }
        }
        if let Some(there) = new.slot {
            if there.inode == slot.inode {
                return Ok(());
            }
            let target = self.volume.node(there.inode)?.is_directory();
            if target && !directory {
                return Err(wrong(to, "is a folder"));
            }
            if directory && !target {
                return Err(wrong(to, "is no folder, and cannot be replaced by one"));
            }
            if target && !self.volume.is_empty_folder(there.inode)? {
                return Err(wrong(to, "is a folder that is not empty"));
            }
            self.volume.check_drop(there.inode)?;
        } else if directory && old.parent != new.parent {
            self.volume.check_links(new.parent, to)?;
        }
        self.volume.forget_paths();
        self.change(|volume| volume.move_name(&old, &new, slot.inode, directory))
    }
}

impl Volume {
    fn move_name(
        &mut self,
        old: &Place,
        new: &Place,
        number: InodeNo,
        directory: bool,
    ) -> Result<()> {
        let mut new = new.clone();
        if let Some(there) = new.slot.take() {
            self.unname(&new, u16::from(directory))?;
            if directory {
                self.drop_tree(there.inode)?;
            } else {
                self.drop_link(there.inode)?;
            }
        }
        let mut node = self.node(number)?;
        let file_type = self.entry_type(node.raw.i_mode.get());
        self.unname(old, u16::from(directory))?;
        if directory && old.parent != new.parent {
            self.set_parent(&node, new.parent)?;
        }
        self.name(&new, number, file_type, u16::from(directory))?;
        node.set_ctime(self.time)?;
        self.save(&mut node)
    }

    /// Tells whether a folder is another one, or lies somewhere below it.
    fn is_inside(&mut self, folder: InodeNo, top: InodeNo) -> Result<bool> {
        let mut at = folder;
        for _ in 0..self.superblock.inodes() {
            if at == top {
                return Ok(true);
            }
            if at == InodeNo::ROOT {
                return Ok(false);
            }
            at = self.folder(at)?.parent;
        }
        Err(super::error::damaged("a folder is above itself"))
    }
}
