//! Directories: every block whole, every name leading to an inode of its kind.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

use std::collections::HashSet;

use super::Check;
use super::index::Tree;
use crate::ext4::damage::{Damage, Location};
use crate::ext4::dir::file_type;
use crate::ext4::features::incompat;
use crate::ext4::inode::flag;
use crate::ext4::read::{
    BlockKind, FileType, Inode, ReadError, Record, Records, block_kind, check_block_sum,
    check_name, inline_parts, is_dot,
};
use crate::ext4::superblock::ENCODING_STRICT;
use crate::ext4::{BlockNo, InodeNo};

/// The shortest name of an encrypted directory, in bytes.
const ENCRYPTED_NAME: usize = 16;

impl Check<'_> {
    /// Checks the content of every directory.
    pub(super) fn directories(&mut self) -> Result<(), ReadError> {
        let root = self.parents.entry(InodeNo::ROOT).or_default();
        root.named_in = Some(InodeNo::ROOT);
        for number in self.directories.clone() {
            if self.full() {
                return Ok(());
            }
            // An inode whose checksum is wrong was told of already; its blocks were claimed.
            let inode = self.found(self.image.inode_unverified(number))?.flatten();
            if let Some(inode) = inode {
                self.directory(&inode)?;
            }
        }
        Ok(())
    }

    fn directory(&mut self, inode: &Inode) -> Result<(), ReadError> {
        let mut names = Names {
            inode,
            names: HashSet::new(),
            tree: None,
        };
        if inode.has_flag(flag::INLINE_DATA) {
            return self.inline_directory(inode, &mut names);
        }
        let runs = self.access().runs_leniently(inode)?;
        let mut next = 0;
        for run in runs {
            if run.logical > next && !inode.has_flag(flag::EXTENTS) {
                let at = names.at(next);
                self.error(at, Damage::Structure("the directory has a hole"));
            }
            for step in 0..run.len {
                if self.full() {
                    return Ok(());
                }
                let number = run.logical.saturating_add(step);
                let physical = BlockNo(run.physical.0.saturating_add(step));
                let block = self.access().blocks.read(physical)?;
                self.block(&mut names, number, &block)?;
            }
            next = run.logical.saturating_add(run.len);
        }
        if let Some(tree) = names.tree {
            tree.finish(self);
        }
        Ok(())
    }

    /// An inline directory has neither `.` nor `..`, but the number of its parent.
    fn inline_directory(&mut self, inode: &Inode, names: &mut Names<'_>) -> Result<(), ReadError> {
        let Some((first, second)) = self.found(inline_parts(inode))? else {
            return Ok(());
        };
        let (parent, first) = first.split_at_checked(4).unwrap_or_default();
        let parent = parent.first_chunk::<4>().copied().unwrap_or_default();
        let parent = InodeNo(u32::from_le_bytes(parent));
        let size = inode.size();
        if size & 3 != 0 || (61..72).contains(&size) {
            let rule = "inline directories end with an entry";
            self.error(
                Location::Inode(inode.number()),
                Damage::field("i_size", size, rule),
            );
        }
        self.count(inode.number());
        self.dot_dot(names, 0, 0, parent);
        self.entries(names, 0, first, 2);
        self.entries(names, 1, second, 2);
        Ok(())
    }

    fn block(&mut self, names: &mut Names<'_>, number: u64, block: &[u8]) -> Result<(), ReadError> {
        let inode = names.inode;
        let kind = block_kind(inode, number, block);
        if kind == BlockKind::Root {
            names.tree = Tree::open(self, inode, block)?;
        }
        let sum = inode
            .seed(self.superblock_of())
            .map_or(Ok(()), |seed| check_block_sum(block, kind, seed));
        self.note(names.at(number), sum);
        let mut tree = names.tree.take();
        match (&mut tree, kind) {
            (Some(tree), BlockKind::Root | BlockKind::Node) => {
                tree.index(self, number, kind, block);
            }
            (Some(tree), BlockKind::Leaf) => tree.leaf(number),
            (None, _) => {}
        }
        names.tree = tree;
        if kind != BlockKind::Node {
            let dots = if number == 0 { 0 } else { 2 };
            self.entries(names, number, block, dots);
        }
        Ok(())
    }

    /// Checks the entries of a block; `dots` says how many of `.` and `..` are behind.
    fn entries(&mut self, names: &mut Names<'_>, number: u64, block: &[u8], mut dots: u8) {
        let superblock = self.superblock_of();
        let mut records = Records::new(superblock, block);
        loop {
            let offset = records.offset();
            let Some(record) = records.next() else { break };
            let record = match record {
                Ok(record) => record,
                Err(damage) => {
                    self.error(names.entry(number, offset), damage);
                    break;
                }
            };
            match dots {
                0 => self.first(names, number, &record),
                1 => self.second(names, number, &record),
                _ => self.entry(names, number, &record),
            }
            dots = dots.saturating_add(1).min(2);
        }
        if dots < 2 {
            let damage = Damage::Structure("`.` or `..` is missing");
            self.error(names.at(number), damage);
        }
    }

    fn first(&mut self, names: &Names<'_>, number: u64, record: &Record<'_>) {
        let own = names.inode.number();
        let at = names.entry(number, record.offset);
        if record.inode.0 == 0 || record.name != b"." {
            self.error(at, Damage::Structure("the first entry is not `.`"));
        } else if record.inode != own {
            let damage = Damage::BadInode {
                field: "`.`",
                inode: record.inode.0,
                problem: "is not the directory",
            };
            self.error(at, damage);
        }
        if record.len > 24 {
            let damage = Damage::Structure("`.` takes more than its place");
            self.error(at, damage);
        }
        self.target(names, number, record);
    }

    fn second(&mut self, names: &Names<'_>, number: u64, record: &Record<'_>) {
        let at = names.entry(number, record.offset);
        if record.inode.0 == 0 || record.name != b".." {
            self.error(at, Damage::Structure("the second entry is not `..`"));
            return;
        }
        let parents = self.parents.entry(names.inode.number()).or_default();
        parents.dot_dot = Some(record.inode);
        self.target(names, number, record);
    }

    /// Takes the parent of an inline directory.
    fn dot_dot(&mut self, names: &Names<'_>, number: u64, offset: u32, parent: InodeNo) {
        let parents = self.parents.entry(names.inode.number()).or_default();
        parents.dot_dot = Some(parent);
        let record = Record {
            offset,
            len: 0,
            inode: parent,
            file_type: if self.superblock_of().has_incompat(incompat::FILETYPE) {
                file_type::DIRECTORY
            } else {
                file_type::UNKNOWN
            },
            name: b"..",
        };
        self.target(names, number, &record);
    }

    /// Checks an entry behind `.` and `..`.
    fn entry(&mut self, names: &mut Names<'_>, number: u64, record: &Record<'_>) {
        if record.inode.0 == 0 {
            return;
        }
        let own = names.inode.number();
        let at = names.entry(number, record.offset);
        if record.inode == own {
            self.error(at, Damage::Structure("the name leads to its own directory"));
        } else if is_dot(record.name) {
            self.error(at, Damage::Structure("`.` or `..` is there twice"));
        } else if record.inode == InodeNo::ROOT {
            self.error(at, Damage::Structure("the name leads to the root"));
        }
        self.note(at, check_name(names.inode, record.name));
        let strict = self.superblock_of().raw().s_encoding_flags.get() & ENCODING_STRICT != 0;
        if strict && names.inode.has_flag(flag::CASEFOLD) && !names.inode.is_encrypted() {
            let utf8 = std::str::from_utf8(record.name).is_ok();
            let rule = Damage::Structure("the case-insensitive name is not UTF-8");
            self.note(at, utf8.then_some(()).ok_or(rule));
        }
        if names.inode.is_encrypted() && record.name.len() < ENCRYPTED_NAME {
            self.error(at, Damage::Structure("the encrypted name is too short"));
        }
        if !names.names.insert(record.name.into()) {
            self.error(at, Damage::Structure("the name is there twice"));
        }
        if let Some(mut tree) = names.tree.take() {
            tree.name(self, number, record.name);
            names.tree = Some(tree);
        }
        if !self.target(names, number, record) {
            return;
        }
        let known = self.inodes.get(&record.inode);
        if known.is_some_and(|known| known.file_type == Some(FileType::Directory)) {
            let parents = self.parents.entry(record.inode).or_default();
            if parents.named_in.is_some() {
                self.error(
                    at,
                    Damage::Structure("the directory has more than one name"),
                );
            } else {
                parents.named_in = Some(own);
            }
        }
    }

    /// Checks what an entry leads to, and counts it; false when it leads to nothing.
    fn target(&mut self, names: &Names<'_>, number: u64, record: &Record<'_>) -> bool {
        let at = names.entry(number, record.offset);
        let superblock = self.superblock_of();
        if record.inode.0 == 0 {
            return false;
        }
        let bad = |problem| Damage::BadInode {
            field: "the entry",
            inode: record.inode.0,
            problem,
        };
        let reserved = record.inode < superblock.first_inode() && record.inode != InodeNo::ROOT;
        let raw = superblock.raw();
        let hidden = [
            raw.s_usr_quota_inum,
            raw.s_grp_quota_inum,
            raw.s_prj_quota_inum,
            raw.s_orphan_file_inum,
        ]
        .iter()
        .any(|special| special.get() == record.inode.0);
        if reserved || hidden || record.inode.0 > superblock.inodes() {
            self.error(at, bad("does not exist, or is reserved"));
            return false;
        }
        if self.value_references.contains_key(&record.inode) {
            self.error(at, bad("holds an attribute's value"));
        }
        let Some(known) = self.inodes.get(&record.inode).copied() else {
            self.error(at, bad("is not in use"));
            return false;
        };
        let expected = known.file_type.map_or(file_type::UNKNOWN, entry_type);
        let keeps = superblock.has_incompat(incompat::FILETYPE);
        if keeps && record.file_type != expected {
            let rule = "the inode is of another type";
            let damage = Damage::field("file_type", record.file_type, rule);
            if record.file_type == file_type::UNKNOWN {
                self.advise(at, damage);
            } else {
                self.error(at, damage);
            }
        }
        self.count(record.inode);
        true
    }

    fn count(&mut self, inode: InodeNo) {
        if let Some(known) = self.inodes.get_mut(&inode) {
            known.names = known.names.saturating_add(1);
        }
    }
}

/// A directory whose entries are checked.
struct Names<'a> {
    inode: &'a Inode,
    /// The names so far.
    names: HashSet<Box<[u8]>>,
    tree: Option<Tree>,
}

impl Names<'_> {
    fn at(&self, block: u64) -> Location {
        Location::DirectoryBlock {
            inode: self.inode.number(),
            block,
        }
    }

    fn entry(&self, block: u64, offset: u32) -> Location {
        Location::DirectoryEntry {
            inode: self.inode.number(),
            block,
            offset,
        }
    }
}

/// Returns the `file_type` of entries that lead to an inode of a type.
fn entry_type(file_type: FileType) -> u8 {
    match file_type {
        FileType::File => file_type::FILE,
        FileType::Directory => file_type::DIRECTORY,
        FileType::Symlink => file_type::SYMLINK,
        FileType::CharDevice => file_type::CHAR,
        FileType::BlockDevice => file_type::BLOCK,
        FileType::Fifo => file_type::FIFO,
        FileType::Socket => file_type::SOCKET,
    }
}
