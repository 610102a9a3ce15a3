//! Feature bits of the superblock: [`s_feature_compat`, `s_feature_incompat`, `s_feature_ro_compat`][doc].
//!
//! [doc]: https://docs.kernel.org/filesystems/ext4/globals.html#the-super-block

/// `s_feature_compat`: who does not know a bit may still read and write.
pub(crate) mod compat {
    /// Directory preallocation.
    pub(crate) const DIR_PREALLOC: u32 = 0x1;
    /// "imagic" inodes of AFS.
    pub(crate) const IMAGIC_INODES: u32 = 0x2;
    /// A journal.
    pub(crate) const HAS_JOURNAL: u32 = 0x4;
    /// Extended attributes.
    pub(crate) const EXT_ATTR: u32 = 0x8;
    /// Reserved group descriptor blocks, owned by the resize inode.
    pub(crate) const RESIZE_INODE: u32 = 0x10;
    /// Hash trees in directories.
    pub(crate) const DIR_INDEX: u32 = 0x20;
    /// At most two backup superblocks, in `s_backup_bgs`.
    pub(crate) const SPARSE_SUPER2: u32 = 0x200;
    /// Fast commits.
    pub(crate) const FAST_COMMIT: u32 = 0x400;
    /// Stable inode numbers.
    pub(crate) const STABLE_INODES: u32 = 0x800;
    /// A file lists the orphaned inodes.
    pub(crate) const ORPHAN_FILE: u32 = 0x1000;
}

/// `s_feature_incompat`: who does not know a bit must not even read.
pub(crate) mod incompat {
    /// Compression (never in use).
    pub(crate) const COMPRESSION: u32 = 0x1;
    /// Directory entries carry the file type.
    pub(crate) const FILETYPE: u32 = 0x2;
    /// The journal must be replayed.
    pub(crate) const RECOVER: u32 = 0x4;
    /// The device is a journal, not a filesystem.
    pub(crate) const JOURNAL_DEV: u32 = 0x8;
    /// Group descriptors stand in their meta block groups.
    pub(crate) const META_BG: u32 = 0x10;
    /// Extent trees.
    pub(crate) const EXTENTS: u32 = 0x40;
    /// 64-bit block numbers.
    pub(crate) const BITS64: u32 = 0x80;
    /// Multiple mount protection.
    pub(crate) const MMP: u32 = 0x100;
    /// Bitmaps and inode tables may stand in other groups.
    pub(crate) const FLEX_BG: u32 = 0x200;
    /// Large extended attributes in inodes of their own.
    pub(crate) const EA_INODE: u32 = 0x400;
    /// Data in directory entries (never in use).
    pub(crate) const DIRDATA: u32 = 0x1000;
    /// The checksum seed is `s_checksum_seed`.
    pub(crate) const CSUM_SEED: u32 = 0x2000;
    /// Directories of more than 2 GiB or with three index levels.
    pub(crate) const LARGEDIR: u32 = 0x4000;
    /// Small contents in the inode.
    pub(crate) const INLINE_DATA: u32 = 0x8000;
    /// Encrypted files.
    pub(crate) const ENCRYPT: u32 = 0x1_0000;
    /// Case-insensitive directories.
    pub(crate) const CASEFOLD: u32 = 0x2_0000;
}

/// `s_feature_ro_compat`: who does not know a bit may read, not write.
pub(crate) mod ro_compat {
    /// Backups only in groups 0, 1 and powers of 3, 5, 7.
    pub(crate) const SPARSE_SUPER: u32 = 0x1;
    /// Files of 2 GiB and more.
    pub(crate) const LARGE_FILE: u32 = 0x2;
    /// B-tree directories (never in use).
    pub(crate) const BTREE_DIR: u32 = 0x4;
    /// Block counts of files beyond 2^32 sectors.
    pub(crate) const HUGE_FILE: u32 = 0x8;
    /// Group descriptors have a CRC-16.
    pub(crate) const GDT_CSUM: u32 = 0x10;
    /// A directory may have more than 65,000 subdirectories.
    pub(crate) const DIR_NLINK: u32 = 0x20;
    /// Inodes have fields beyond the first 128 bytes.
    pub(crate) const EXTRA_ISIZE: u32 = 0x40;
    /// A snapshot.
    pub(crate) const HAS_SNAPSHOT: u32 = 0x80;
    /// Quotas.
    pub(crate) const QUOTA: u32 = 0x100;
    /// Allocation in clusters of blocks.
    pub(crate) const BIGALLOC: u32 = 0x200;
    /// CRC-32C on all metadata.
    pub(crate) const METADATA_CSUM: u32 = 0x400;
    /// Replicas (never in use).
    pub(crate) const REPLICA: u32 = 0x800;
    /// Never to be mounted writable.
    pub(crate) const READONLY: u32 = 0x1000;
    /// Project quotas.
    pub(crate) const PROJECT: u32 = 0x2000;
    /// Shared blocks, read-only (Android).
    pub(crate) const SHARED_BLOCKS: u32 = 0x4000;
    /// fs-verity files.
    pub(crate) const VERITY: u32 = 0x8000;
    /// The orphan file has entries.
    pub(crate) const ORPHAN_PRESENT: u32 = 0x1_0000;
}

const COMPAT_NAMES: &[(u32, &str)] = &[
    (compat::DIR_PREALLOC, "dir_prealloc"),
    (compat::IMAGIC_INODES, "imagic_inodes"),
    (compat::HAS_JOURNAL, "has_journal"),
    (compat::EXT_ATTR, "ext_attr"),
    (compat::RESIZE_INODE, "resize_inode"),
    (compat::DIR_INDEX, "dir_index"),
    (compat::SPARSE_SUPER2, "sparse_super2"),
    (compat::FAST_COMMIT, "fast_commit"),
    (compat::STABLE_INODES, "stable_inodes"),
    (compat::ORPHAN_FILE, "orphan_file"),
];

const INCOMPAT_NAMES: &[(u32, &str)] = &[
    (incompat::COMPRESSION, "compression"),
    (incompat::FILETYPE, "filetype"),
    (incompat::RECOVER, "needs_recovery"),
    (incompat::JOURNAL_DEV, "journal_dev"),
    (incompat::META_BG, "meta_bg"),
    (incompat::EXTENTS, "extent"),
    (incompat::BITS64, "64bit"),
    (incompat::MMP, "mmp"),
    (incompat::FLEX_BG, "flex_bg"),
    (incompat::EA_INODE, "ea_inode"),
    (incompat::DIRDATA, "dirdata"),
    (incompat::CSUM_SEED, "metadata_csum_seed"),
    (incompat::LARGEDIR, "large_dir"),
    (incompat::INLINE_DATA, "inline_data"),
    (incompat::ENCRYPT, "encrypt"),
    (incompat::CASEFOLD, "casefold"),
];

const RO_COMPAT_NAMES: &[(u32, &str)] = &[
    (ro_compat::SPARSE_SUPER, "sparse_super"),
    (ro_compat::LARGE_FILE, "large_file"),
    (ro_compat::BTREE_DIR, "btree_dir"),
    (ro_compat::HUGE_FILE, "huge_file"),
    (ro_compat::GDT_CSUM, "uninit_bg"),
    (ro_compat::DIR_NLINK, "dir_nlink"),
    (ro_compat::EXTRA_ISIZE, "extra_isize"),
    (ro_compat::HAS_SNAPSHOT, "snapshot"),
    (ro_compat::QUOTA, "quota"),
    (ro_compat::BIGALLOC, "bigalloc"),
    (ro_compat::METADATA_CSUM, "metadata_csum"),
    (ro_compat::REPLICA, "replica"),
    (ro_compat::READONLY, "read-only"),
    (ro_compat::PROJECT, "project"),
    (ro_compat::SHARED_BLOCKS, "shared_blocks"),
    (ro_compat::VERITY, "verity"),
    (ro_compat::ORPHAN_PRESENT, "orphan_present"),
];

/// Returns the names of the known bits of all three words, as e2fsprogs calls and orders them.
pub(crate) fn names(compat: u32, incompat: u32, ro_compat: u32) -> Vec<&'static str> {
    [
        (compat, COMPAT_NAMES),
        (incompat, INCOMPAT_NAMES),
        (ro_compat, RO_COMPAT_NAMES),
    ]
    .into_iter()
    .flat_map(|(word, table)| table.iter().filter(move |(bit, _)| word & bit != 0))
    .map(|(_, name)| *name)
    .collect()
}

/// Returns the bits that have no name: of the compatible features, and of those that forbid writing.
pub(crate) fn unknown(compat: u32, ro_compat: u32) -> (u32, u32) {
    let known = |table: &[(u32, &str)]| table.iter().fold(0, |all, (bit, _)| all | bit);
    (
        compat & !known(COMPAT_NAMES),
        ro_compat & !known(RO_COMPAT_NAMES),
    )
}

/// Returns the names of incompatible features; unknown bits as numbers.
pub(crate) fn incompat_names(word: u32) -> Vec<String> {
    (0..u32::BITS)
        .map(|shift| 1 << shift)
        .filter(|bit| word & bit != 0)
        .map(|bit| {
            let known = INCOMPAT_NAMES.iter().find(|(known, _)| *known == bit);
            known.map_or_else(
                || format!("incompat {bit:#x}"),
                |(_, name)| (*name).to_owned(),
            )
        })
        .collect()
}
