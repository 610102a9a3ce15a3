//! Which filesystems must not be edited.

use super::error::Result;
use super::{EditError, Superblock};
use crate::ext4::features::{self, compat, incompat, ro_compat};

const COMPAT: u32 = compat::DIR_PREALLOC
    | compat::IMAGIC_INODES
    | compat::HAS_JOURNAL
    | compat::EXT_ATTR
    | compat::RESIZE_INODE
    | compat::DIR_INDEX
    | compat::SPARSE_SUPER2
    | compat::FAST_COMMIT
    | compat::STABLE_INODES
    | compat::ORPHAN_FILE;

const INCOMPAT: u32 = incompat::FILETYPE
    | incompat::META_BG
    | incompat::EXTENTS
    | incompat::BITS64
    | incompat::FLEX_BG
    | incompat::EA_INODE
    | incompat::CSUM_SEED
    | incompat::LARGEDIR
    | incompat::INLINE_DATA
    | incompat::ENCRYPT
    | incompat::CASEFOLD;

const RO_COMPAT: u32 = ro_compat::SPARSE_SUPER
    | ro_compat::LARGE_FILE
    | ro_compat::HUGE_FILE
    | ro_compat::GDT_CSUM
    | ro_compat::DIR_NLINK
    | ro_compat::EXTRA_ISIZE
    | ro_compat::METADATA_CSUM
    | ro_compat::VERITY;

/// What makes a filesystem clean.
pub(super) const FSCK: &str = "e2fsck -fy";

/// Refuses a filesystem that is dirty, damaged, or has features that would not be kept right.
pub(super) fn check(superblock: &Superblock) -> Result<()> {
    let raw = superblock.raw();
    let state = |state| {
        let remedy = FSCK;
        Err(EditError::State { state, remedy })
    };
    if superblock.needs_recovery() {
        return state("has a journal that must be replayed first");
    }
    if !superblock.clean() {
        return state("was not unmounted cleanly or has known errors");
    }
    if raw.s_last_orphan.get() != 0 || superblock.has_ro_compat(ro_compat::ORPHAN_PRESENT) {
        return state("has orphaned files that must be removed first");
    }
    if raw.s_error_count.get() != 0 {
        return state("has a record of errors");
    }
    let words = [
        (raw.s_feature_compat.get() & !COMPAT, "compat"),
        (raw.s_feature_incompat.get() & !INCOMPAT, "incompat"),
        (raw.s_feature_ro_compat.get() & !RO_COMPAT, "ro_compat"),
    ];
    let [(c, _), (i, _), (r, _)] = words;
    if c | i | r == 0 {
        return Ok(());
    }
    let mut names: Vec<String> = features::names(c, i, r)
        .into_iter()
        .map(str::to_owned)
        .collect();
    for (word, kind) in words {
        for bit in (0..u32::BITS).map(|shift| 1 << shift) {
            let known = match kind {
                "compat" => features::names(bit, 0, 0),
                "incompat" => features::names(0, bit, 0),
                _ => features::names(0, 0, bit),
            };
            if word & bit != 0 && known.is_empty() {
                names.push(format!("{kind} {bit:#x}"));
            }
        }
    }
    Err(EditError::Features { names })
}
