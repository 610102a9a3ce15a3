//! From a name to its place, as in a chroot.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

use super::{Error, Kind, NodeId, Tree, name, shown};

/// How many symlinks a name may lead through, as in Linux.
const MAX_LINKS: u32 = 40;

/// A folder: one that exists, or one to be made below it.
#[derive(Debug)]
pub(super) struct Reached {
    /// The deepest folder on the way that exists.
    pub(super) node: NodeId,
    /// The folders to be made below it, outermost first.
    pub(super) missing: Vec<Box<[u8]>>,
}

/// What a name means.
#[derive(Debug)]
pub(super) enum Place<'a> {
    /// A folder by itself: the root, or a name that ends in `..`.
    Folder(Reached),
    /// A name in a folder.
    Name(Reached, &'a [u8]),
}

/// A walk through the tree: the folder reached, and the steps yet to go.
struct Steps<'a> {
    node: NodeId,
    missing: Vec<&'a [u8]>,
    /// What is left of a symlink's targets, each within what is left of the one before it.
    targets: Vec<&'a [u8]>,
    links: u32,
}

impl<'a> Steps<'a> {
    fn follow(&mut self, target: &'a [u8]) {
        if target.first() == Some(&b'/') {
            self.node = NodeId::ROOT;
        }
        self.targets.push(target);
    }
}

impl<C> Tree<C> {
    /// Finds the place of a name, without following its last component.
    pub(super) fn place<'a>(&self, path: &'a [u8]) -> Result<Place<'a>, Error> {
        name::check(path)?;
        match name::split(path) {
            None => Ok(Place::Folder(Reached {
                node: NodeId::ROOT,
                missing: Vec::new(),
            })),
            Some((_, b"..")) => Ok(Place::Folder(self.reach(NodeId::ROOT, path, true)?)),
            Some((front, last)) => Ok(Place::Name(self.reach(NodeId::ROOT, front, true)?, last)),
        }
    }

    /// Finds the folder that `path` leads to from the folder `start`, following every symlink.
    ///
    /// `member` says that the path is a member name or hard-link target, whose `..` may not leave
    /// the root, and not a symlink's target.
    pub(super) fn reach(&self, start: NodeId, path: &[u8], member: bool) -> Result<Reached, Error> {
        let mut walk = Steps {
            node: start,
            missing: Vec::new(),
            targets: Vec::new(),
            links: 0,
        };
        let mut own = path;
        if !member {
            walk.follow(std::mem::take(&mut own));
        }
        loop {
            if let Some(target) = walk.targets.last_mut() {
                match next_step(target) {
                    Some(step) => self.step(&mut walk, step, false)?,
                    None => drop(walk.targets.pop()),
                }
            } else if let Some(step) = next_step(&mut own) {
                self.step(&mut walk, step, true)?;
            } else {
                break;
            }
        }
        Ok(Reached {
            node: walk.node,
            missing: walk.missing.into_iter().map(Box::from).collect(),
        })
    }

    fn step<'a>(&'a self, walk: &mut Steps<'a>, step: &'a [u8], member: bool) -> Result<(), Error> {
        if step == b".." {
            return self.step_back(walk, member);
        }
        if !walk.missing.is_empty() {
            name::check_component(step)?;
            walk.missing.push(step);
            return Ok(());
        }
        let folder = self.node(walk.node).directory();
        let Some(id) = folder.and_then(|folder| folder.get(step)) else {
            name::check_component(step)?;
            if self.pending_at(walk.node, step).is_some() {
                return Err(Error::PendingParent { name: shown(step) });
            }
            walk.missing.push(step);
            return Ok(());
        };
        match &self.node(id).kind {
            Kind::Directory(_) => walk.node = id,
            Kind::Symlink(_) if walk.links == MAX_LINKS => {
                return Err(Error::TooManySymlinks { name: shown(step) });
            }
            Kind::Symlink(target) => {
                walk.links = walk.links.saturating_add(1);
                walk.follow(target);
            }
            other => {
                return Err(Error::NotADirectory {
                    name: shown(step),
                    kind: other.name(),
                });
            }
        }
        Ok(())
    }

    fn step_back(&self, walk: &mut Steps<'_>, member: bool) -> Result<(), Error> {
        if walk.missing.pop().is_some() {
            return Ok(());
        }
        if walk.node == NodeId::ROOT && member {
            return Err(Error::LeavesRoot);
        }
        if let Some(folder) = self.node(walk.node).directory() {
            walk.node = folder.parent();
        }
        Ok(())
    }
}

/// Takes the next step off the front of a path.
fn next_step<'a>(path: &mut &'a [u8]) -> Option<&'a [u8]> {
    loop {
        let cut = path.iter().position(|&byte| byte == b'/');
        let (step, rest) = match cut {
            Some(at) => path.split_at_checked(at)?,
            None => (*path, &[][..]),
        };
        *path = rest.get(1..).unwrap_or_default();
        if !step.is_empty() && step != b"." {
            return Some(step);
        }
        cut?;
    }
}
