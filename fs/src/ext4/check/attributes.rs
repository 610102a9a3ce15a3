//! Extended attributes: in inodes, in blocks that inodes share, and values in inodes of their own.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

use super::ranges::Ranges;
use super::{Check, Shared};
use crate::ext4::BlockNo;
use crate::ext4::damage::{Damage, Location};
use crate::ext4::features::{compat, incompat};
use crate::ext4::inode::flag;
use crate::ext4::read::{Attribute, Inode, ReadError, in_block, in_inode};
use crate::ext4::xattr::entry_hash;

/// What the attributes of an inode take, in clusters that `i_blocks` counts.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cost {
    /// The block of attributes.
    pub(super) block: u64,
    /// Values in inodes of their own.
    pub(super) values: u64,
}

impl Check<'_> {
    /// Checks the attributes in an inode; returns the clusters of values in inodes of their own.
    pub(super) fn attributes_in_inode(&mut self, inode: &Inode) -> Result<u64, ReadError> {
        let at = Location::Inode(inode.number());
        let tail = inode.tail();
        let entries = match in_inode(tail) {
            Ok(entries) => entries,
            Err(damage) => {
                self.error(at, damage);
                return Ok(0);
            }
        };
        self.note(at, apart(&entries));
        let mut clusters = 0_u64;
        self.presentable(at, &entries);
        for entry in &entries {
            // The kernel writes no hash here; older tools did.
            if entry.value_inode().is_none() && entry.raw.e_hash.get() != 0 {
                self.note(at, check_hash(entry));
            }
            clusters = clusters.saturating_add(self.large_value(inode, at, entry)?);
        }
        Ok(clusters)
    }

    /// Checks the block of attributes of an inode; returns the clusters it takes.
    pub(super) fn attribute_block(&mut self, inode: &Inode) -> Result<Cost, ReadError> {
        let superblock = self.superblock_of();
        let Some(number) = inode.xattr_block(superblock) else {
            return Ok(Cost::default());
        };
        let at = Location::Inode(inode.number());
        if !superblock.has_compat(compat::EXT_ATTR) {
            let rule = "the feature ext_attr is not there";
            self.error(at, Damage::field("i_file_acl", number.0, rule));
            return Ok(Cost::default());
        }
        if let Err(damage) = superblock.check_blocks("i_file_acl", number, 1) {
            self.error(at, damage);
            return Ok(Cost::default());
        }
        let cost = |shared: &Shared| Cost {
            block: 1,
            values: shared.value_clusters,
        };
        if let Some(shared) = self.attribute_blocks.get_mut(&number) {
            shared.seen = shared.seen.saturating_add(1);
            return Ok(cost(shared));
        }
        let shared = self.new_attribute_block(inode, number)?;
        self.attribute_blocks.insert(number, shared);
        Ok(cost(&shared))
    }

    fn new_attribute_block(&mut self, inode: &Inode, number: BlockNo) -> Result<Shared, ReadError> {
        let at = Location::InodeBlock {
            inode: inode.number(),
            block: number,
        };
        if self.claim(number, 1).is_some() {
            let damage = Damage::TakenBlock {
                what: "the block of attributes",
                block: number.0,
            };
            self.error(at, damage);
        }
        let block = self.access().blocks.read(number)?;
        let mut shared = Shared {
            references: 1,
            seen: 1,
            value_clusters: 0,
        };
        match in_block(self.access(), number, &block) {
            Ok((header, entries)) => {
                shared.references = header.h_refcount.get();
                self.note(at, apart(&entries));
                self.presentable(at, &entries);
                for entry in &entries {
                    if entry.raw.e_name_index == 0 {
                        let damage = Damage::field("e_name_index", 0_u8, "it is not 0");
                        self.error(at, damage);
                    }
                    if entry.value_inode().is_none() {
                        self.note(at, check_hash(entry));
                    }
                    let clusters = self.large_value(inode, at, entry)?;
                    shared.value_clusters = shared.value_clusters.saturating_add(clusters);
                }
            }
            Err(damage) => self.error(at, damage),
        }
        Ok(shared)
    }

    /// Says which attributes cannot be shown; `e2fsck` does not look at names and ACLs.
    fn presentable(&mut self, at: Location, entries: &[Attribute<'_>]) {
        for (i, entry) in entries.iter().enumerate() {
            let same = |other: &Attribute<'_>| {
                other.raw.e_name_index == entry.raw.e_name_index && other.name == entry.name
            };
            if entries.iter().take(i).any(same) {
                let damage = Damage::Structure("an extended attribute is there twice");
                self.advise(at, damage);
            }
            if let Err(damage) = entry.check_shown() {
                self.advise(at, damage);
            }
        }
    }

    /// Checks the inode that holds an attribute's value; returns the clusters that count for the
    /// attribute's owner.
    fn large_value(
        &mut self,
        owner: &Inode,
        at: Location,
        entry: &Attribute<'_>,
    ) -> Result<u64, ReadError> {
        let Some(number) = entry.value_inode() else {
            return Ok(0);
        };
        let superblock = self.superblock_of();
        if !superblock.has_incompat(incompat::EA_INODE) {
            let damage = Damage::Structure("values in inodes of their own need ea_inode");
            self.error(at, damage);
        }
        let bad = |problem| Damage::BadInode {
            field: "e_value_inum",
            inode: number.0,
            problem,
        };
        if number < superblock.first_inode() || number.0 > superblock.inodes() {
            self.error(at, bad("cannot hold a value"));
            return Ok(0);
        }
        let references = self.value_references.entry(number).or_default();
        *references = references.saturating_add(1);
        let Some(value) = self.found(self.image.inode(number))? else {
            return Ok(0);
        };
        let size = u64::from(entry.raw.e_value_size.get());
        if size == 0 || size != value.size() {
            self.error(at, bad("has another size than the attribute"));
            return Ok(0);
        }
        // The checksum of the value, which the inode has for its atime, takes the value's place.
        let sum = value.raw().i_atime.get().to_le_bytes();
        let hash = entry.raw.e_hash.get();
        let right = [false, true]
            .into_iter()
            .any(|signed| entry_hash(entry.name, &sum, signed) == hash);
        if !value.has_flag(flag::EA_INODE) {
            self.error(at, bad("does not hold an attribute's value"));
        } else if !right && !old_style(owner, &value) {
            self.error(at, bad("holds another value"));
        }
        Ok(if right {
            size.div_ceil(superblock.cluster_size().into())
        } else {
            0
        })
    }

    /// Checks that blocks of attributes are used as often as they say.
    pub(super) fn attribute_references(&mut self) {
        let mut blocks: Vec<(BlockNo, Shared)> = self
            .attribute_blocks
            .iter()
            .map(|(block, shared)| (*block, *shared))
            .collect();
        blocks.sort_unstable_by_key(|(block, _)| *block);
        for (block, shared) in blocks {
            if shared.references != shared.seen {
                let damage = Damage::Count {
                    what: "h_refcount",
                    found: shared.references.into(),
                    counted: shared.seen.into(),
                };
                self.error(Location::Block(block), damage);
            }
        }
    }
}

/// Tells whether a value was linked to its owner in the way of Lustre: by time and generation.
fn old_style(owner: &Inode, value: &Inode) -> bool {
    value.raw().i_mtime.get() == owner.number().0 && value.generation() == owner.generation()
}

/// Checks that no two values share bytes.
fn apart(entries: &[Attribute<'_>]) -> Result<(), Damage> {
    let mut taken = Ranges::default();
    for entry in entries {
        let size = u64::from(entry.raw.e_value_size.get());
        if entry.value_inode().is_some() || size == 0 {
            continue;
        }
        let start = u64::from(entry.raw.e_value_offs.get());
        let end = start.saturating_add(size.next_multiple_of(4));
        if taken.insert(start..end).is_some() {
            return Err(Damage::field(
                "e_value_offs",
                start,
                "values do not overlap",
            ));
        }
    }
    Ok(())
}

/// Checks the hash of name and value, whose characters old kernels took as signed.
fn check_hash(entry: &Attribute<'_>) -> Result<(), Damage> {
    let found = entry.raw.e_hash.get();
    let hash = |signed| entry_hash(entry.name, entry.value, signed);
    if found == hash(false) || found == hash(true) {
        return Ok(());
    }
    Err(Damage::Checksum {
        what: "attribute (e_hash)",
        found,
        computed: hash(false),
    })
}

/// The number of references to an inode that holds a value, as the inode says.
pub(super) fn value_references(inode: &Inode) -> Option<u64> {
    let raw = inode.raw();
    // The old way has no count; change time and access time are the same then.
    let counted = raw.i_ctime.get() != raw.i_atime.get();
    counted.then(|| u64::from(raw.i_ctime.get()) << 32 | u64::from(raw.i_version_lo.get()))
}

/// Makes the damage of a value's count of references.
pub(super) fn wrong_references(found: u64, counted: u64) -> Damage {
    Damage::Count {
        what: "the number of attributes with the value",
        found,
        counted,
    }
}
