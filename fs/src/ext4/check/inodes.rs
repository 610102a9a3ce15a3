//! Inodes: each of one kind, with the fields and the blocks of that kind.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

use super::{Check, Known, kinds};
use crate::ext4::checksum::Seed;
use crate::ext4::damage::{Damage, Location};
use crate::ext4::features::{compat, incompat, ro_compat};
use crate::ext4::inode::{RawInode, flag, mode};
use crate::ext4::read::{Bytes, FileType, Inode, ReadError, for_each_inode};
use crate::ext4::{GroupNo, InodeNo};
use crate::tree::InodeFlags;

/// Inode of the bad blocks.
const BAD_BLOCKS: InodeNo = InodeNo(1);
/// Inode for a boot loader.
const BOOT_LOADER: InodeNo = InodeNo(5);
/// Flags that no user can set on anything but files and directories.
const FILE_FLAGS: u32 = InodeFlags::IMMUTABLE | InodeFlags::APPEND;

impl Check<'_> {
    /// Checks every inode that can be in use.
    pub(super) fn inodes(&mut self) -> Result<(), ReadError> {
        let superblock = self.superblock_of();
        for group in (0..superblock.groups()).map(GroupNo) {
            if self.full() {
                return Ok(());
            }
            let Some(desc) = self.descriptor(group)? else {
                continue;
            };
            let image = self.image;
            let result = for_each_inode(image, group, &desc, &mut |number, bytes| {
                if self.full() {
                    return Ok(());
                }
                self.inode(number, bytes)
            });
            self.found(result)?;
        }
        self.attribute_references();
        Ok(())
    }

    fn inode(&mut self, number: InodeNo, bytes: &[u8]) -> Result<(), ReadError> {
        let Some(bytes) = Bytes::new(bytes) else {
            return Ok(());
        };
        let at = Location::Inode(number);
        if let Some(seed) = self.superblock_of().seed() {
            self.note(at, check_sum(&bytes, number, seed));
        }
        let raw = bytes.raw;
        let orphan = self.orphans.contains(&number);
        if !orphan {
            self.deletion(number, &raw);
        }
        let links = raw.i_links_count.get();
        let reserved = number < self.superblock_of().first_inode();
        if links == 0 && !reserved && !orphan && !self.is_special(number) {
            return Ok(());
        }
        if self.is_special(number) || (reserved && number != InodeNo::ROOT) {
            return self.special(number, &bytes);
        }
        if links == 0 && !orphan {
            return Ok(());
        }
        self.ordinary(number, &bytes)
    }

    /// Checks the time of deletion, which an inode with names has not.
    fn deletion(&mut self, number: InodeNo, raw: &RawInode) {
        let superblock = self.superblock_of();
        let at = Location::Inode(number);
        let deleted = raw.i_dtime.get();
        let fields = superblock.raw();
        // Images whose clock began at 1970 have deletion times as low as inode numbers.
        let low_times = [fields.s_wtime, fields.s_mtime, fields.s_mkfs_time]
            .iter()
            .any(|time| time.get() != 0 && time.get() < superblock.inodes());
        if deleted != 0 && deleted < superblock.inodes() && !low_times {
            let rule = "it is a number of the orphan list, which does not have the inode";
            self.error(at, Damage::field("i_dtime", deleted, rule));
        }
        let links = raw.i_links_count.get();
        let ordinary = number >= superblock.first_inode() && !self.is_special(number);
        if links == 0 && ordinary && deleted == 0 && raw.i_mode.get() != 0 {
            let damage = Damage::Structure("the deleted inode has no time of deletion");
            self.error(at, damage);
        }
        if links != 0 && deleted != 0 && (ordinary || number == InodeNo::ROOT) {
            let rule = "inodes with names are not deleted";
            self.error(at, Damage::field("i_dtime", deleted, rule));
        }
    }

    /// Tells whether the superblock names an inode that no directory does.
    fn is_special(&self, number: InodeNo) -> bool {
        let superblock = self.superblock_of();
        let raw = superblock.raw();
        let quota = superblock.has_ro_compat(ro_compat::QUOTA | ro_compat::PROJECT)
            && raw.s_prj_quota_inum.get() == number.0;
        let orphans =
            superblock.has_compat(compat::ORPHAN_FILE) && raw.s_orphan_file_inum.get() == number.0;
        quota || orphans
    }

    /// Checks an inode that no directory names: reserved, or named by the superblock.
    fn special(&mut self, number: InodeNo, bytes: &Bytes<'_>) -> Result<(), ReadError> {
        let superblock = self.superblock_of();
        let raw = &bytes.raw;
        let at = Location::Inode(number);
        let i_mode = raw.i_mode.get();
        let quotas = [3, 4].map(InodeNo).contains(&number)
            && superblock.has_ro_compat(ro_compat::QUOTA)
            && [
                superblock.raw().s_usr_quota_inum.get(),
                superblock.raw().s_grp_quota_inum.get(),
            ]
            .contains(&number.0);
        let journal = number == InodeNo::JOURNAL;
        let unused = !quotas && (journal || [3, 4].map(InodeNo).contains(&number));
        let named = superblock.raw().s_journal_inum.get() == number.0;
        if quotas || self.is_special(number) || named {
            if i_mode & mode::TYPE != mode::FILE {
                let rule = "the superblock names it as a regular file";
                self.error(at, Damage::field("i_mode", i_mode, rule));
            }
        } else if unused {
            let in_use = raw.i_links_count.get() != 0
                || raw.i_blocks_lo.get() != 0
                || raw.i_block.iter().take(4).any(|byte| *byte != 0);
            if in_use {
                let damage = Damage::Structure("the reserved inode is in use without its feature");
                self.error(at, damage);
            }
        } else if !reserved_mode(number, i_mode) {
            let rule = "the inode is reserved";
            self.error(at, Damage::field("i_mode", i_mode, rule));
        }
        self.inodes.insert(
            number,
            Known {
                links: raw.i_links_count.get(),
                ..Known::default()
            },
        );
        if unused && !named {
            return Ok(());
        }
        let inode = Inode::new(number, *bytes, FileType::File, superblock);
        self.blocks(&inode, 0)
    }

    /// Checks an inode that directories name, or an orphan.
    fn ordinary(&mut self, number: InodeNo, bytes: &Bytes<'_>) -> Result<(), ReadError> {
        let superblock = self.superblock_of();
        let at = Location::Inode(number);
        let raw = &bytes.raw;
        let i_mode = raw.i_mode.get();
        let file_type = FileType::of(i_mode);
        let directory = file_type == Some(FileType::Directory);
        self.inodes.insert(
            number,
            Known {
                links: raw.i_links_count.get(),
                names: 0,
                file_type,
                indexed: raw.i_flags.get() & flag::INDEX != 0,
            },
        );
        if directory && raw.i_links_count.get() != 0 {
            self.directories.push(number);
        }
        if number == InodeNo::ROOT && !directory {
            self.error(at, Damage::Structure("the root is not a directory"));
        }
        self.note(at, kinds::fields(superblock, raw));
        self.note(at, bytes.check_extra());
        let Some(file_type) = file_type else {
            let rule = "it names a type of file";
            self.error(at, Damage::field("i_mode", i_mode, rule));
            return Ok(());
        };
        if bytes.check_extra().is_err() {
            return Ok(());
        }
        self.note(at, kinds::times(bytes));
        let inode = Inode::new(number, *bytes, file_type, superblock);
        self.note(at, kinds::flags(superblock, &inode));
        if inode.has_flag(flag::EA_INODE) && file_type != FileType::File {
            let rule = "only regular files hold values of attributes";
            self.advise(at, Damage::field("i_flags", inode.flags(), rule));
        }
        let values = self.attributes_in_inode(&inode)?;
        if inode.is_encrypted() && !self.access().has_encryption_context(&inode)? {
            let rule = "encryption needs an attribute with its context";
            self.error(at, Damage::field("i_flags", inode.flags(), rule));
        }
        match file_type {
            FileType::Symlink => {
                let result = kinds::symlink(self.access(), &inode);
                self.shape(at, result)?;
                if inode.has_flag(FILE_FLAGS) {
                    let rule = "symlinks are neither immutable nor append-only";
                    self.error(at, Damage::field("i_flags", inode.flags(), rule));
                }
            }
            FileType::File | FileType::Directory => {}
            _ => self.note(at, kinds::device(&inode)),
        }
        self.blocks(&inode, values)
    }

    fn shape(
        &mut self,
        at: Location,
        result: Result<Result<(), Damage>, ReadError>,
    ) -> Result<(), ReadError> {
        if let Some(result) = self.found(result)? {
            self.note(at, result);
        }
        Ok(())
    }

    /// Claims the blocks of an inode and compares them with what the inode says of them.
    fn blocks(&mut self, inode: &Inode, values: u64) -> Result<(), ReadError> {
        let superblock = self.superblock_of();
        let cost = self.attribute_block(inode)?;
        let mut clusters = values
            .saturating_add(cost.block)
            .saturating_add(cost.values);
        let inline =
            superblock.has_incompat(incompat::INLINE_DATA) && inode.has_flag(flag::INLINE_DATA);
        let reserve =
            inode.number() == InodeNo::RESIZE && superblock.has_compat(compat::RESIZE_INODE);
        let total = if reserve {
            self.map_reserve(inode)?
        } else if !inline && kinds::has_blocks(superblock, inode) {
            self.map(inode)?
        } else {
            super::mapped::Total::default()
        };
        clusters = clusters.saturating_add(total.clusters);
        let at = Location::Inode(inode.number());
        let directory = inode.file_type() == FileType::Directory;
        if directory && clusters == 0 && !inode.has_flag(flag::INLINE_DATA) {
            self.error(at, Damage::Structure("the directory has no blocks"));
        }
        if !self.orphans.contains(&inode.number()) {
            self.note(at, kinds::size(superblock, inode, &total));
        }
        self.note(at, count_of_blocks(self, inode, clusters));
        Ok(())
    }
}

/// Checks the checksum; an inode of zeros needs none.
fn check_sum(bytes: &Bytes<'_>, number: InodeNo, seed: Seed) -> Result<(), Damage> {
    let result = bytes.check_sum(number, seed);
    let base = bytes.all.get(..128).unwrap_or_default();
    if result.is_err() && base.iter().all(|byte| *byte == 0) {
        return Ok(());
    }
    result
}

fn reserved_mode(number: InodeNo, i_mode: u16) -> bool {
    let kind = i_mode & mode::TYPE;
    match number {
        BOOT_LOADER => kind != mode::DIRECTORY,
        InodeNo::RESIZE => i_mode == 0 || kind == mode::FILE,
        BAD_BLOCKS => i_mode == 0,
        _ => i_mode == 0,
    }
}

/// Compares `i_blocks` with the clusters that the inode takes.
fn count_of_blocks(check: &Check<'_>, inode: &Inode, clusters: u64) -> Result<(), Damage> {
    let superblock = check.superblock_of();
    let blocks = clusters.saturating_mul(superblock.cluster_blocks());
    let huge = superblock.has_ro_compat(ro_compat::HUGE_FILE) && inode.has_flag(flag::HUGE_FILE);
    let counted = if huge {
        blocks
    } else {
        blocks.saturating_mul(u64::from(superblock.block_size() / 512))
    };
    let found = inode.blocks_field(superblock);
    if found == counted {
        return Ok(());
    }
    Err(Damage::Count {
        what: "i_blocks",
        found,
        counted,
    })
}
