//! Names: every directory is reached from the root, every inode has as many names as it says.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

use std::collections::HashSet;

use super::attributes::{value_references, wrong_references};
use super::{Check, Known};
use crate::ext4::InodeNo;
use crate::ext4::damage::{Damage, Location};
use crate::ext4::features::ro_compat;
use crate::ext4::inode::flag;
use crate::ext4::read::{FileType, ReadError};

/// The most subdirectories that a count of links tells; beyond, it is 1.
const MAX_LINKS: u32 = 65_000;

impl Check<'_> {
    /// Checks that names make a tree, and counts them.
    pub(super) fn links(&mut self) -> Result<(), ReadError> {
        self.connections();
        let mut inodes: Vec<(InodeNo, Known)> = self
            .inodes
            .iter()
            .map(|(number, known)| (*number, *known))
            .collect();
        inodes.sort_unstable_by_key(|(number, _)| *number);
        for (number, known) in inodes {
            if self.full() {
                break;
            }
            let first = self.superblock_of().first_inode();
            let hidden = number != InodeNo::ROOT && (number < first || self.is_hidden(number));
            let orphan = self.orphans.contains(&number) && known.links == 0;
            if !hidden && !orphan {
                self.count_of_names(number, known)?;
            }
        }
        Ok(())
    }

    /// Checks that every directory leads up to the root, by the directory that its `..` names.
    fn connections(&mut self) {
        if !self.inodes.contains_key(&InodeNo::ROOT) {
            let damage = Damage::Structure("there is no root");
            self.error(Location::Inode(InodeNo::ROOT), damage);
        }
        let mut connected = HashSet::from([InodeNo::ROOT]);
        for directory in self.directories.clone() {
            let at = Location::Inode(directory);
            if !self.is_connected(directory, &mut connected) {
                let damage = Damage::Structure("no path leads from the root to the directory");
                self.error(at, damage);
            }
            let parents = self.parents.get(&directory).copied().unwrap_or_default();
            if parents.dot_dot != parents.named_in {
                let damage = Damage::BadInode {
                    field: "`..`",
                    inode: parents.dot_dot.map_or(0, |inode| inode.0),
                    problem: "is not the directory above",
                };
                self.error(at, damage);
            }
        }
    }

    /// Climbs from a directory up to one that is known to be connected. A directory that is not is told
    /// of once: what hangs below it counts as connected.
    fn is_connected(&self, directory: InodeNo, connected: &mut HashSet<InodeNo>) -> bool {
        let mut at = directory;
        let mut climbed = HashSet::new();
        while !connected.contains(&at) {
            let above = self.parents.get(&at).and_then(|parents| parents.named_in);
            let circle = !climbed.insert(at);
            match above {
                Some(above) if !circle => at = above,
                _ => {
                    connected.extend(climbed);
                    return false;
                }
            }
        }
        connected.extend(climbed);
        true
    }

    /// Tells whether the superblock names an inode that no directory does.
    fn is_hidden(&self, number: InodeNo) -> bool {
        let raw = self.superblock_of().raw();
        [raw.s_prj_quota_inum, raw.s_orphan_file_inum]
            .iter()
            .any(|special| special.get() == number.0)
    }

    fn count_of_names(&mut self, number: InodeNo, known: Known) -> Result<(), ReadError> {
        let at = Location::Inode(number);
        let mut names = known.names;
        if let Some(references) = self.value_references.get(&number).copied() {
            names = 1;
            if let Some(inode) = self.found(self.image.inode_unverified(number))?.flatten()
                && inode.has_flag(flag::EA_INODE)
                && let Some(found) = value_references(&inode)
                && found != references
            {
                self.error(at, wrong_references(found, references));
            }
        }
        if names == 0 {
            self.error(at, Damage::Structure("the inode has no name"));
            return Ok(());
        }
        let directory = known.file_type == Some(FileType::Directory);
        if directory && names > MAX_LINKS {
            if !self.superblock_of().has_ro_compat(ro_compat::DIR_NLINK) {
                let damage = Damage::Structure("more than 65,000 subdirectories need dir_nlink");
                self.error(at, damage);
            }
            names = 1;
        }
        // A directory that had too many subdirectories once may keep a count of 1.
        let was_large = directory && known.indexed && known.links == 1 && names > 1;
        if u32::from(known.links) != names && !was_large {
            let damage = Damage::Count {
                what: "i_links_count",
                found: known.links.into(),
                counted: names.into(),
            };
            self.error(at, damage);
        }
        Ok(())
    }
}
