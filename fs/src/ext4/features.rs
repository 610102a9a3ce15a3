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
