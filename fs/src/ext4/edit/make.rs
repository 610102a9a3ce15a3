//! New files, folders, symlinks, devices and names.

use std::sync::Arc;

use forger_block::BlockRead;

use super::Editor;
use super::content::{Source, data_blocks};
use super::error::{EditError, Result};
use super::groups::inode_group;
use super::map::Map;
use super::node::Node;
use super::path::{Place, steps, wrong};
use super::volume::Volume;
use crate::ext4::InodeNo;
use crate::ext4::features::ro_compat;
use crate::ext4::inode::{encode_device, mode};
use crate::tree::{Device, InodeFlags, Meta, shown};

/// A directory may have so many links: itself, its name, its subdirectories.
const LINK_MAX: u16 = 65_000;
/// Symlinks below this length stand in the inode, in bytes.
const FAST_SYMLINK: usize = 60;

/// What `mknod` makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Special {
    /// A character device.
    CharDevice(Device),
    /// A block device.
    BlockDevice(Device),
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
}

impl Editor {
    /// Puts a regular file at a path; what stands there, unless it is a folder, loses the name.
    ///
    /// A hole of the source becomes a hole of the file. A source that is longer than 256 KiB is read
    /// when the transaction is committed. Times that `meta` does not have are the transaction's.
    ///
    /// # Errors
    /// [`EditError::Path`] for a folder, or where the folder above does not exist; [`EditError::Full`].
    pub fn put(&mut self, path: &[u8], meta: &Meta, source: Arc<dyn BlockRead>) -> Result<()> {
        let source = self.volume.contents.keep(source)?;
        self.make(path, meta, mode::FILE, true, |volume, node| {
            volume.lay_content(node, &source)
        })
    }

    /// Makes a folder; with `parents` also those above, and one that exists stays as it is.
    ///
    /// # Errors
    /// [`EditError::Path`] where something stands there already.
    pub fn mkdir(&mut self, path: &[u8], meta: &Meta, parents: bool) -> Result<()> {
        if !parents {
            return self.make_folder(path, meta);
        }
        let mut names = steps(path);
        let mut whole = Vec::new();
        while let Some(name) = names.pop() {
            whole.push(b'/');
            whole.extend_from_slice(&name);
            if *name == *b".." {
                continue;
            }
            let place = self.volume.place(&whole)?;
            match place.slot {
                None => self.make_folder(&whole, meta)?,
                Some(slot) if names.is_empty() => {
                    if !self.volume.node(slot.inode)?.is_directory() {
                        return Err(wrong(path, "exists and is no folder"));
                    }
                }
                // A symlink on the way is followed by the next step.
                Some(_) => {}
            }
        }
        Ok(())
    }

    fn make_folder(&mut self, path: &[u8], meta: &Meta) -> Result<()> {
        let place = self.volume.place(path)?;
        self.make(path, meta, mode::DIRECTORY, false, |volume, node| {
            volume.begin_folder(node, place.parent)
        })
    }

    /// Makes a symlink to a target, which is data and may lead anywhere.
    ///
    /// # Errors
    /// [`EditError::Path`] where something stands there already; [`EditError::Value`] for a target
    /// that is empty, has a NUL or does not fit a block.
    pub fn symlink(&mut self, target: &[u8], path: &[u8], meta: &Meta) -> Result<()> {
        let limit = self.volume.block_len().min(4096);
        if target.is_empty() || target.contains(&0) || target.len() >= limit {
            return Err(EditError::Value {
                field: "symlink target",
                value: shown(target),
                rule: "it has 1 to 4095 bytes, fits a block, and has no NUL",
            });
        }
        let meta = Meta {
            mode: 0o777,
            ..meta.clone()
        };
        self.make(path, &meta, mode::SYMLINK, false, |volume, node| {
            volume.lay_target(node, target)
        })
    }

    /// Makes a device, pipe or socket.
    ///
    /// # Errors
    /// [`EditError::Path`] where something stands there already; [`EditError::Value`] for a device
    /// number that is too wide.
    pub fn mknod(&mut self, path: &[u8], special: Special, meta: &Meta) -> Result<()> {
        let (kind, device) = match special {
            Special::CharDevice(device) => (mode::CHAR, Some(device)),
            Special::BlockDevice(device) => (mode::BLOCK, Some(device)),
            Special::Fifo => (mode::FIFO, None),
            Special::Socket => (mode::SOCKET, None),
        };
        let block = match device {
            Some(device) => encode_device(device).ok_or_else(|| EditError::Value {
                field: "device",
                value: format!("{}:{}", device.major, device.minor),
                rule: "numbers have at most 12 and 20 bits",
            })?,
            None => [0; 60],
        };
        self.make(path, meta, kind, false, |_, node| {
            node.raw.i_block = block;
            Ok(())
        })
    }

    /// Gives what stands at a path one more name; a symlink is not followed.
    ///
    /// # Errors
    /// [`EditError::Path`] for a folder, or where something has the new name already.
    pub fn link(&mut self, existing: &[u8], path: &[u8]) -> Result<()> {
        let number = self.volume.locate(existing)?;
        let mut node = self.volume.node(number)?;
        if node.is_directory() {
            return Err(wrong(existing, "a folder has one name only"));
        }
        let links = node.raw.i_links_count.get();
        if links >= LINK_MAX {
            return Err(wrong(existing, "has 65,000 names already"));
        }
        let place = self.volume.place(path)?;
        if place.slot.is_some() {
            return Err(wrong(path, "exists"));
        }
        self.volume.open_folder(place.parent)?;
        self.change(|volume| {
            let time = volume.time;
            node.raw.i_links_count = (links + 1).into();
            node.set_ctime(time)?;
            volume.save(&mut node)?;
            let file_type = volume.entry_type(node.raw.i_mode.get());
            volume.name(&place, number, file_type, 0)
        })
    }

    /// Makes an inode and names it.
    fn make(
        &mut self,
        path: &[u8],
        meta: &Meta,
        kind: u16,
        replace: bool,
        fill: impl FnOnce(&mut Volume, &mut Node) -> Result<()>,
    ) -> Result<()> {
        check_meta(meta)?;
        let place = self.volume.place(path)?;
        self.volume.open_folder(place.parent)?;
        let old = place.slot.map(|slot| slot.inode);
        if let Some(old) = old {
            if !replace {
                return Err(wrong(path, "exists"));
            }
            let node = self.volume.node(old)?;
            if node.is_directory() {
                return Err(wrong(path, "is a folder"));
            }
            if !node.is_file() {
                self.volume.forget_paths();
            }
            self.volume.check_drop(old)?;
        }
        let directory = kind == mode::DIRECTORY;
        if directory {
            self.volume.check_links(place.parent, path)?;
        }
        self.change(|volume| {
            let (group, _) = inode_group(&volume.superblock, place.parent.0);
            let mut node = volume.new_node(group, kind | meta.mode)?;
            node.raw.set_owner(meta.uid, meta.gid);
            node.raw.i_links_count = if directory { 2 } else { 1 }.into();
            node.raw.i_flags = (node.raw.i_flags.get() | meta.flags.0).into();
            let time = volume.time;
            let mtime = meta.mtime.unwrap_or(time);
            node.set_mtime(mtime)?;
            node.set_atime(meta.atime.unwrap_or(mtime))?;
            node.set_ctime(meta.ctime.unwrap_or(time))?;
            node.set_crtime(meta.crtime.unwrap_or(time))?;
            fill(volume, &mut node)?;
            if !meta.xattrs.is_empty() {
                volume.set_xattrs(&mut node, &meta.xattrs, &shown(path))?;
            }
            volume.save(&mut node)?;
            let file_type = volume.entry_type(kind);
            volume.name(&place, node.number, file_type, u16::from(directory))?;
            match old {
                Some(old) => volume.drop_link(old),
                None => Ok(()),
            }
        })
    }
}

/// Refuses what inodes of this filesystem are not given.
fn check_meta(meta: &Meta) -> Result<()> {
    let value = |field, value: String, rule| Err(EditError::Value { field, value, rule });
    if meta.mode > 0o7777 {
        return value("mode", format!("{:o}", meta.mode), "it is at most 7777");
    }
    if meta.project != 0 {
        let rule = "filesystems with projects cannot be edited";
        return value("project", meta.project.to_string(), rule);
    }
    if meta.flags.0 & !InodeFlags::ALL != 0 {
        let rule = "no such flags can be set";
        return value("flags", format!("{:#x}", meta.flags.0), rule);
    }
    Ok(())
}

impl Volume {
    /// Lays down a new file's content: blocks and their map; the bytes follow at the commit.
    fn lay_content(&mut self, node: &mut Node, source: &Source) -> Result<()> {
        self.begin_map(node);
        let size = source.len();
        let (group, _) = inode_group(&self.superblock, node.number.0);
        let mut map = Map::default();
        for range in data_blocks(source, self.block_size())? {
            let runs = self.take_blocks(group, range.len)?;
            let mut logical = range.first;
            for run in &runs {
                map.push(logical, *run);
                logical += run.len;
            }
            let block_size = self.block_size();
            self.contents
                .add(node.number, source, range, &runs, block_size);
        }
        self.write_map(node, &mut map)?;
        self.count_blocks(node, i64::try_from(map.blocks()).unwrap_or(i64::MAX))?;
        node.raw.set_size(size);
        if size > i32::MAX.unsigned_abs().into() {
            let features = self.raw.s_feature_ro_compat.get() | ro_compat::LARGE_FILE;
            self.raw.s_feature_ro_compat = features.into();
        }
        Ok(())
    }

    /// Lays down a symlink's target, in the inode or in a block, which counts as metadata.
    fn lay_target(&mut self, node: &mut Node, target: &[u8]) -> Result<()> {
        let len = u64::try_from(target.len()).unwrap_or(u64::MAX);
        node.raw.set_size(len);
        if target.len() < FAST_SYMLINK {
            node.raw.i_block[..target.len()].copy_from_slice(target);
            return Ok(());
        }
        let (group, _) = inode_group(&self.superblock, node.number.0);
        let runs = self.take_blocks(group, 1)?;
        let mut map = Map::default();
        for run in runs {
            map.push(0, run);
            let mut bytes = vec![0; self.block_len()];
            bytes[..target.len()].copy_from_slice(target);
            self.overlay.put(run.start, &bytes);
        }
        self.begin_map(node);
        self.write_map(node, &mut map)?;
        self.count_blocks(node, 1)
    }

    /// Checks that a folder may have one more folder in it.
    pub(super) fn check_links(&mut self, number: InodeNo, path: &[u8]) -> Result<()> {
        let links = self.node(number)?.raw.i_links_count.get();
        if links >= LINK_MAX - 1 && !self.superblock.has_ro_compat(ro_compat::DIR_NLINK) {
            return Err(wrong(path, "its folder has 65,000 folders already"));
        }
        Ok(())
    }

    /// Makes a name stand for an inode; `folders` is how many folders more its folder has then.
    pub(super) fn name(
        &mut self,
        place: &Place,
        inode: InodeNo,
        file_type: u8,
        folders: u16,
    ) -> Result<()> {
        let mut parent = self.node(place.parent)?;
        match place.slot {
            Some(_) => self.redirect_name(&parent, &place.name, inode, file_type)?,
            None => self.add_name(&mut parent, &place.name, inode, file_type)?,
        }
        add_links(&mut parent, folders);
        self.touch_folder(&mut parent)
    }

    /// Notes that a folder's content changed, and saves it.
    pub(super) fn touch_folder(&mut self, node: &mut Node) -> Result<()> {
        let time = self.time;
        node.set_mtime(time)?;
        node.set_ctime(time)?;
        self.save(node)
    }
}

/// Counts folders more in a folder; 1 stands for too many to count.
fn add_links(node: &mut Node, folders: u16) {
    let links = node.raw.i_links_count.get();
    if links == 1 || folders == 0 {
        return;
    }
    let links = links.saturating_add(folders);
    node.raw.i_links_count = if links > LINK_MAX { 1 } else { links }.into();
}
