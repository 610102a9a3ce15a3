//! A tree written into a folder of the host.
//!
//! Nothing outside that folder is ever touched: every name is made relative to the open folder it
//! stands in, symlinks are never followed, and what is made is opened again by its handle. First all
//! names are made, folders open to their owner only; then, from the innermost folder on, folders get
//! their owners, modes and times. What the caller may not set is left out and counted, or refused.
//!
//! A setuid or setgid bit is only set on a file that has the owner it is for.
mod content;
mod error;
mod levels;
mod meta;
mod node;
mod remove;

use std::collections::BTreeMap;

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, Mode, OFlags, mkdirat, openat, unlinkat};
use rustix::io::Errno;

use crate::observe::Observer;
use crate::tree::{Content, NodeId, Tree, Visit, Walk};

pub use error::WriteError;
pub use meta::{Kept, NotKept};
pub use remove::{clear, remove};

use levels::Levels;

/// How a tree is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WriteOptions {
    /// Refuses what the caller may not set instead of counting it.
    pub strict: bool,
    /// Replaces what has a name that is needed, unless it is a folder, and takes folders that are
    /// there as they are. Without it a name that is there is an error.
    pub replace: bool,
}

/// Makes a node of a tree, and all below it where it is a folder, under a new name of an open
/// folder; returns what could not be set. Messages have `called` where the node is no folder.
///
/// # Errors
/// [`WriteError`]; what was made is left for the caller to [`remove()`].
pub fn write_as(
    tree: &Tree<Content>,
    node: NodeId,
    (parent, name): (BorrowedFd<'_>, &[u8]),
    called: &[u8],
    options: WriteOptions,
    observer: &mut dyn Observer,
) -> Result<NotKept, WriteError> {
    let mut writer = Writer::new(tree, options, observer);
    if tree.node(node).directory().is_none() {
        let visit = Visit {
            name,
            depth: 1,
            parent: NodeId::ROOT,
            node,
        };
        if writer.node(parent, visit, called)? {
            writer.flags_of_node(parent, visit, called)?;
        }
        return Ok(writer.not_kept);
    }
    let io = |errno| WriteError::io("make", called, errno);
    mkdirat(parent, name, Mode::RWXU).map_err(io)?;
    let root = openat(parent, name, levels::FOLDER, Mode::empty()).map_err(io)?;
    writer.folder(root, node)?;
    Ok(writer.not_kept)
}

/// Makes all that is in a folder of a tree in an open folder, which gets the metadata of that one;
/// returns what could not be set.
///
/// # Errors
/// As [`write_as`].
pub fn write_into(
    tree: &Tree<Content>,
    folder: NodeId,
    into: BorrowedFd<'_>,
    options: WriteOptions,
    observer: &mut dyn Observer,
) -> Result<NotKept, WriteError> {
    let io = |errno: Errno| WriteError::io("open", b".", errno);
    let root = openat(into, ".", levels::FOLDER, Mode::empty()).map_err(io)?;
    let mut writer = Writer::new(tree, options, observer);
    writer.folder(root, folder)?;
    Ok(writer.not_kept)
}

struct Writer<'a> {
    tree: &'a Tree<Content>,
    options: WriteOptions,
    observer: &'a mut dyn Observer,
    not_kept: NotKept,
    /// The paths of nodes of several names, below the root.
    firsts: BTreeMap<NodeId, Box<[u8]>>,
    buffer: Vec<u8>,
}

impl<'a> Writer<'a> {
    fn new(tree: &'a Tree<Content>, options: WriteOptions, observer: &'a mut dyn Observer) -> Self {
        Self {
            tree,
            options,
            observer,
            not_kept: NotKept::default(),
            firsts: BTreeMap::new(),
            buffer: Vec::new(),
        }
    }

    /// Makes what is in a folder, then gives all folders their metadata.
    fn folder(&mut self, root: OwnedFd, folder: NodeId) -> Result<(), WriteError> {
        let tree = self.tree;
        let mut levels = Levels::new(root);
        let mut walk = tree.walk_from(folder);
        while let Some(visit) = walk.next() {
            if visit.depth > 0 {
                self.make(&mut levels, visit, walk.path())?;
            }
        }
        self.finish_folders(&mut levels, tree.walk_from(folder))
    }

    /// Makes a name of a folder.
    fn make(
        &mut self,
        levels: &mut Levels,
        visit: Visit<'_>,
        path: &[u8],
    ) -> Result<(), WriteError> {
        self.observer.entry();
        self.check_cancelled(path)?;
        let io = |errno| WriteError::io("make", path, errno);
        check_name(visit.name).map_err(io)?;
        levels.leave(visit.depth, |_, _, _| Ok(()))?;
        let node = self.tree.node(visit.node);
        if node.directory().is_some() {
            self.make_folder(levels.folder(), visit.name).map_err(io)?;
            return levels.enter(visit.node, visit.name).map_err(io);
        }
        let parent = levels.folder();
        if self.options.replace {
            match unlinkat(parent, visit.name, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(errno) => return Err(WriteError::io("replace", path, errno)),
            }
        }
        if node.names() > 1 {
            if let Some(first) = self.firsts.get(&visit.node) {
                return link(levels.root(), first, parent, visit.name)
                    .map_err(|errno| WriteError::io("link", path, errno));
            }
            let made = self.node(parent, visit, path)?;
            if made {
                self.firsts.insert(visit.node, path.into());
            }
            return Ok(());
        }
        self.node(parent, visit, path).map(drop)
    }

    /// Makes a folder that only its owner may enter, or takes the one that is there.
    fn make_folder(&self, parent: BorrowedFd<'_>, name: &[u8]) -> Result<(), Errno> {
        let made = mkdirat(parent, name, Mode::RWXU);
        if made != Err(Errno::EXIST) || !self.options.replace {
            return made;
        }
        match unlinkat(parent, name, AtFlags::empty()) {
            // A folder is there; entering it tells whether it still is.
            Err(Errno::ISDIR | Errno::PERM) => Ok(()),
            Ok(()) => mkdirat(parent, name, Mode::RWXU),
            Err(errno) => Err(errno),
        }
    }

    /// Gives folders their metadata, the innermost first, and files their inode flags.
    fn finish_folders(
        &mut self,
        levels: &mut Levels,
        mut walk: Walk<'_, Content>,
    ) -> Result<(), WriteError> {
        levels.leave(1, |_, _, _| Ok(()))?;
        while let Some(visit) = walk.next() {
            let path = walk.path();
            if visit.depth == 0 {
                levels.set_root(visit.node);
                continue;
            }
            self.check_cancelled(path)?;
            levels.leave(visit.depth, |node, fd, path| self.finish(node, fd, path))?;
            let io = |errno| WriteError::io("enter", path, errno);
            if self.tree.node(visit.node).directory().is_some() {
                levels.enter(visit.node, visit.name).map_err(io)?;
            } else if self.tree.node(visit.node).meta.flags.0 != 0 {
                self.flags_of_node(levels.folder(), visit, path)?;
            }
        }
        levels.leave(0, |node, fd, path| self.finish(node, fd, path))
    }

    fn check_cancelled(&mut self, path: &[u8]) -> Result<(), WriteError> {
        match self.observer.cancelled() {
            true => Err(WriteError::io("make", path, Errno::INTR)),
            false => Ok(()),
        }
    }
}

/// Gives a file a further name.
fn link(
    root: BorrowedFd<'_>,
    first: &[u8],
    parent: BorrowedFd<'_>,
    name: &[u8],
) -> Result<(), Errno> {
    let slash = first.iter().rposition(|byte| *byte == b'/');
    let (folder, last) = match slash {
        Some(at) => (&first[..at], &first[at + 1..]),
        None => (&b"."[..], first),
    };
    let flags = OFlags::PATH | OFlags::DIRECTORY;
    let folder = super::beneath::open(root, folder, flags)?;
    rustix::fs::linkat(folder.as_fd(), last, parent, name, AtFlags::empty())
}

/// Refuses names that are more than one step, or lead elsewhere.
fn check_name(name: &[u8]) -> Result<(), Errno> {
    let odd = name.is_empty() || name == b"." || name == b"..";
    match odd || name.iter().any(|byte| matches!(byte, 0 | b'/')) {
        true => Err(Errno::INVAL),
        false => Ok(()),
    }
}
