//! Paths: followed inside the image, as in a chroot.

use std::borrow::Cow;

use super::EditError;
use super::error::Result;
use super::names::Slot;
use super::volume::Volume;
use crate::ext4::InodeNo;
use crate::ext4::read::{FileType, is_dot, read_all};
use crate::tree::{MAX_NAME, shown};

/// How many symlinks a path may lead through.
const MAX_SYMLINKS: u32 = 40;

/// How many folders of a path are looked for one below the other before it is walked instead.
const MAX_SHORT: u32 = 64;

/// A name in a directory that exists.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) parent: InodeNo,
    pub(super) name: Vec<u8>,
    /// What stands there.
    pub(super) slot: Option<Slot>,
}

/// Makes the error of a path.
pub(super) fn wrong(path: &[u8], problem: &'static str) -> EditError {
    EditError::Path {
        path: shown(path),
        problem,
    }
}

impl Volume {
    /// Follows a path up to its last component, which is not followed.
    pub(super) fn place(&mut self, path: &[u8]) -> Result<Place> {
        if let Some(place) = self.beside(path)? {
            return Ok(place);
        }
        let mut rest = steps(path);
        if path.contains(&0) {
            return Err(wrong(path, "a path has no NUL"));
        }
        if rest.iter().any(|step| step.len() > MAX_NAME) {
            return Err(wrong(path, "a name has at most 255 bytes"));
        }
        let Some(name) = (!rest.is_empty()).then(|| rest.remove(0).into_owned()) else {
            return Err(wrong(path, "the root itself has no name"));
        };
        if name == b".." {
            return Err(wrong(path, "the last component must be a name"));
        }
        let parent = self.walk(path, rest)?;
        let slot = self.find_name(parent, &name)?;
        Ok(Place { parent, name, slot })
    }

    /// Follows a path through folders alone, with what earlier paths led to; none where it leads
    /// otherwise, or to nothing.
    fn beside(&mut self, path: &[u8]) -> Result<Option<Place>> {
        let (above, name) = split(path);
        if !is_plain(name) {
            return Ok(None);
        }
        let Some(parent) = self.folder_at(above, MAX_SHORT)? else {
            return Ok(None);
        };
        let slot = self.find_name(parent, name)?;
        Ok(Some(Place {
            parent,
            name: name.to_vec(),
            slot,
        }))
    }

    /// Returns the folder that a path up to a slash leads to, if all on the way are folders, at most
    /// `depth` of which are not known.
    fn folder_at(&mut self, above: &[u8], depth: u32) -> Result<Option<InodeNo>> {
        if above.is_empty() || above == b"/" {
            return Ok(Some(InodeNo::ROOT));
        }
        if let Some(number) = self.paths.get(above) {
            return Ok(Some(*number));
        }
        let (upper, name) = split(above.strip_suffix(b"/").unwrap_or(above));
        if depth == 0 || !is_plain(name) {
            return Ok(None);
        }
        let Some(parent) = self.folder_at(upper, depth - 1)? else {
            return Ok(None);
        };
        let Some(slot) = self.find_name(parent, name)? else {
            return Ok(None);
        };
        let known = self.folders.contains_key(&slot.inode.0.into());
        if !known && self.inode(slot.inode)?.file_type() != FileType::Directory {
            return Ok(None);
        }
        self.paths.insert(above.into(), slot.inode);
        Ok(Some(slot.inode))
    }

    /// Returns the inode of a path whose last component is not followed.
    pub(super) fn locate(&mut self, path: &[u8]) -> Result<InodeNo> {
        if is_root(path) {
            return Ok(InodeNo::ROOT);
        }
        self.place(path)?
            .slot
            .map(|slot| slot.inode)
            .ok_or_else(|| wrong(path, "does not exist"))
    }

    /// Forgets where paths lead, because a name goes away that one may lead through.
    pub(super) fn forget_paths(&mut self) {
        self.paths.clear();
    }

    /// Follows steps, the last of which comes first, to a directory.
    pub(super) fn walk(&mut self, path: &[u8], mut rest: Vec<Step<'_>>) -> Result<InodeNo> {
        let mut folders = vec![InodeNo::ROOT];
        let mut symlinks = 0;
        while let Some(step) = rest.pop() {
            let current = folders.last().copied().unwrap_or(InodeNo::ROOT);
            if *step == *b".." {
                if folders.len() > 1 {
                    folders.pop();
                }
                continue;
            }
            let slot = self.find_name(current, &step)?;
            let slot = slot.ok_or_else(|| wrong(path, "a folder on the way does not exist"))?;
            if self.folders.contains_key(&slot.inode.0.into()) {
                folders.push(slot.inode);
                continue;
            }
            let inode = self.inode(slot.inode)?;
            match inode.file_type() {
                FileType::Directory => folders.push(slot.inode),
                FileType::Symlink => {
                    symlinks += 1;
                    if symlinks > MAX_SYMLINKS {
                        return Err(wrong(path, "leads through more than 40 symlinks"));
                    }
                    let limit = self.block_size();
                    let target = read_all(self.access(), &inode, limit)?;
                    if target.starts_with(b"/") {
                        folders.truncate(1);
                    }
                    let target = steps(&target).into_iter();
                    rest.extend(target.map(|step| Step::Owned(step.into_owned())));
                }
                _ => return Err(wrong(path, "leads through something that is no folder")),
            }
        }
        Ok(folders.pop().unwrap_or(InodeNo::ROOT))
    }
}

/// A component of a path.
pub(super) type Step<'a> = Cow<'a, [u8]>;

/// Splits a path before its last component.
fn split(path: &[u8]) -> (&[u8], &[u8]) {
    let slash = path.iter().rposition(|byte| *byte == b'/');
    path.split_at(slash.map_or(0, |at| at + 1))
}

/// Tells whether a component is a name, which leads one folder down at most.
fn is_plain(name: &[u8]) -> bool {
    !name.is_empty() && !is_dot(name) && name.len() <= MAX_NAME && !name.contains(&0)
}

/// Tells whether a path means the root itself.
pub(super) fn is_root(path: &[u8]) -> bool {
    let mut components = path.split(|byte| *byte == b'/');
    components.all(|step| step.is_empty() || step == b".")
}

/// Returns the components of a path that mean a step, the last one first.
pub(super) fn steps(path: &[u8]) -> Vec<Step<'_>> {
    path.rsplit(|byte| *byte == b'/')
        .filter(|step| !step.is_empty() && *step != b".")
        .map(Step::Borrowed)
        .collect()
}
