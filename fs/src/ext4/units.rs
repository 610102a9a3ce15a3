//! Units that cannot be confused: block, inode and group numbers.

/// The block size that the writer uses, in bytes.
pub const BLOCK_SIZE: u64 = 4096;

/// A physical block of the image, counted in filesystem blocks from 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockNo(pub u64);

impl BlockNo {
    /// Returns the byte offset of the block's start in an image of 4 KiB blocks.
    #[must_use]
    pub const fn offset(self) -> u64 {
        self.0 * BLOCK_SIZE
    }
}

/// An inode number; the first is 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InodeNo(pub u32);

impl InodeNo {
    /// The root directory.
    pub const ROOT: Self = Self(2);
    /// The resize inode, which owns the reserved group descriptor blocks.
    pub const RESIZE: Self = Self(7);
    /// The journal.
    pub const JOURNAL: Self = Self(8);
    /// `lost+found`, the first inode that is not reserved.
    pub const LOST_FOUND: Self = Self(11);
}

/// A block group, counted from 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupNo(pub u32);

/// A run of a file: `len` blocks from `logical` in the file, at `physical` in the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// First block in the file.
    pub logical: u32,
    /// Number of blocks, at least 1.
    pub len: u32,
    /// First block in the image.
    pub physical: BlockNo,
}
