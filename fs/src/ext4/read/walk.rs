//! Every name below a directory, depth first.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

use std::collections::BTreeSet;

use super::{DirectoryEntry, FileType, Image, Inode, ReadError};
use crate::ext4::InodeNo;
use crate::ext4::damage::Damage;

/// Every name below a directory, depth first, in order of raw names, a directory before what is in
/// it.
///
/// An inode is read only where a directory may be entered, so that a listing of names costs the
/// directories alone. A directory that is reached twice is damage: a walk always ends. After an
/// error there is nothing more.
#[derive(Debug)]
pub struct Walk<'a> {
    image: &'a Image,
    open: Vec<Level>,
    path: Vec<u8>,
    /// Directories that were entered.
    entered: BTreeSet<InodeNo>,
    /// What the last step came to, to be entered by the next.
    last: Option<(InodeNo, Option<FileType>)>,
}

/// A directory that is open.
#[derive(Debug)]
struct Level {
    /// Length of its path.
    path: usize,
    names: std::vec::IntoIter<DirectoryEntry>,
}

/// A name that a [`Walk`] came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// How many directories it is below the start, at least 1.
    pub depth: usize,
    /// Its name, what it stands for, and what that is as far as the directory says.
    pub entry: DirectoryEntry,
}

impl<'a> Walk<'a> {
    fn new(image: &'a Image, start: &Inode, path: &[u8]) -> Result<Self, ReadError> {
        let mut walk = Self {
            image,
            open: Vec::new(),
            path: path.to_vec(),
            entered: BTreeSet::new(),
            last: None,
        };
        while walk.path.last() == Some(&b'/') {
            walk.path.pop();
        }
        walk.enter(start)?;
        Ok(walk)
    }

    /// Returns the path of the last step: the start's, and the names below it, with `/` between.
    #[must_use]
    pub fn path(&self) -> &[u8] {
        &self.path
    }

    /// Leaves out what is below the last step.
    pub fn skip_below(&mut self) {
        self.last = None;
    }

    fn enter(&mut self, directory: &Inode) -> Result<(), ReadError> {
        if !self.entered.insert(directory.number()) {
            let damage = Damage::Structure("the directory has more than one name");
            return Err(ReadError::inode(directory.number(), damage));
        }
        let mut names = self.image.list(directory)?;
        names.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        self.open.push(Level {
            path: self.path.len(),
            names: names.into_iter(),
        });
        Ok(())
    }

    /// Enters what the last step came to, where that is a directory.
    fn enter_last(&mut self) -> Result<(), ReadError> {
        let Some((number, file_type)) = self.last.take() else {
            return Ok(());
        };
        if file_type.is_some_and(|known| known != FileType::Directory) {
            return Ok(());
        }
        let inode = self.image.inode(number)?;
        if inode.file_type() != FileType::Directory {
            return Ok(());
        }
        self.enter(&inode)
    }

    fn step(&mut self) -> Result<Option<Step>, ReadError> {
        self.enter_last()?;
        loop {
            let depth = self.open.len();
            let Some(level) = self.open.last_mut() else {
                return Ok(None);
            };
            self.path.truncate(level.path);
            let Some(entry) = level.names.next() else {
                self.open.pop();
                continue;
            };
            self.path.push(b'/');
            self.path.extend_from_slice(&entry.name);
            self.last = Some((entry.inode, entry.file_type));
            return Ok(Some(Step { depth, entry }));
        }
    }
}

impl Iterator for Walk<'_> {
    type Item = Result<Step, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        let step = self.step().transpose();
        if matches!(step, Some(Err(_))) {
            self.open.clear();
            self.last = None;
        }
        step
    }
}

impl Image {
    /// Walks through everything below a directory, whose path is `path`.
    ///
    /// # Errors
    /// [`ReadError::WrongKind`] for what is no directory; [`ReadError::Corrupt`].
    pub fn walk(&self, directory: &Inode, path: &[u8]) -> Result<Walk<'_>, ReadError> {
        Walk::new(self, directory, path)
    }
}
