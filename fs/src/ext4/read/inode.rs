//! Inodes, validated.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

use super::blocks::Blocks;
use super::inode_bytes::{BASE, Bytes};
use super::superblock::Superblock;
use super::{Image, ReadError, group};
use crate::ext4::checksum::Seed;
use crate::ext4::damage::Damage;
use crate::ext4::features::{incompat, ro_compat};
use crate::ext4::inode::{RawInode, decode_device, decode_time, flag, mode};
use crate::ext4::{BlockNo, InodeNo};
use crate::tree::{Device, InodeFlags, Time};

/// What an inode is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FileType {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A character device.
    CharDevice,
    /// A block device.
    BlockDevice,
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
}

impl FileType {
    /// Returns the type that `i_mode` has.
    pub(crate) fn of(i_mode: u16) -> Option<Self> {
        Some(match i_mode & mode::TYPE {
            mode::FILE => Self::File,
            mode::DIRECTORY => Self::Directory,
            mode::SYMLINK => Self::Symlink,
            mode::CHAR => Self::CharDevice,
            mode::BLOCK => Self::BlockDevice,
            mode::FIFO => Self::Fifo,
            mode::SOCKET => Self::Socket,
            _ => return None,
        })
    }
}

/// An inode.
#[derive(Clone, Debug)]
pub struct Inode {
    number: InodeNo,
    raw: RawInode,
    /// Bytes of fields beyond the first 128 that are in use.
    extra: u16,
    file_type: FileType,
    /// What follows the fields, where it holds extended attributes.
    pub(super) tail: Box<[u8]>,
}

impl Inode {
    /// Validates an inode that is in use.
    pub(crate) fn parse(
        number: InodeNo,
        bytes: &[u8],
        superblock: &Superblock,
    ) -> Result<Self, Damage> {
        if let (Some(bytes), Some(seed)) = (Bytes::new(bytes), superblock.seed()) {
            bytes.check_sum(number, seed)?;
        }
        Self::parse_unsummed(number, bytes, superblock)
    }

    /// Validates an inode that is in use, all but its checksum.
    pub(crate) fn parse_unsummed(
        number: InodeNo,
        bytes: &[u8],
        superblock: &Superblock,
    ) -> Result<Self, Damage> {
        let bytes = Bytes::new(bytes).ok_or(Damage::Structure("the inode is cut off"))?;
        bytes.check_extra()?;
        let i_mode = bytes.raw.i_mode.get();
        let file_type = FileType::of(i_mode)
            .ok_or_else(|| Damage::field("i_mode", i_mode, "it names a type of file"))?;
        Ok(Self::new(number, bytes, file_type, superblock))
    }

    /// Takes an inode whose extra fields end inside it.
    pub(crate) fn new(
        number: InodeNo,
        bytes: Bytes<'_>,
        file_type: FileType,
        superblock: &Superblock,
    ) -> Self {
        let mut raw = bytes.raw;
        // Only regular files and, with large_dir, directories have a high word of the size.
        let wide = file_type == FileType::File || superblock.has_incompat(incompat::LARGEDIR);
        if !wide {
            raw.i_size_high = 0.into();
        }
        let extra = bytes.extra();
        let start = BASE.saturating_add(extra.into());
        let tail = bytes.all.get(start..).unwrap_or_default();
        let attributes =
            bytes.all.len() > BASE && tail.starts_with(&crate::ext4::xattr::MAGIC.to_le_bytes());
        Self {
            number,
            raw,
            extra,
            file_type,
            tail: if attributes { tail.into() } else { [].into() },
        }
    }

    /// Returns the inode's number.
    #[must_use]
    pub fn number(&self) -> InodeNo {
        self.number
    }

    /// Returns what it is.
    #[must_use]
    pub fn file_type(&self) -> FileType {
        self.file_type
    }

    /// Returns the permission bits with setuid, setgid and sticky.
    #[must_use]
    pub fn mode(&self) -> u16 {
        self.raw.i_mode.get() & !mode::TYPE
    }

    /// Returns the owning user id.
    #[must_use]
    pub fn uid(&self) -> u32 {
        self.raw.uid()
    }

    /// Returns the owning group id.
    #[must_use]
    pub fn gid(&self) -> u32 {
        self.raw.gid()
    }

    /// Returns the length of the content in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.raw.size()
    }

    /// Returns how many names refer to it; 1 on a directory with more than 65,000 subdirectories.
    #[must_use]
    pub fn links(&self) -> u16 {
        self.raw.i_links_count.get()
    }

    /// Returns all flags, those included that users cannot set.
    #[must_use]
    pub fn flags(&self) -> u32 {
        self.raw.i_flags.get()
    }

    /// Returns the flags that users can set and see.
    #[must_use]
    pub fn user_flags(&self) -> InodeFlags {
        InodeFlags(self.flags() & InodeFlags::ALL)
    }

    /// Returns the generation.
    #[must_use]
    pub fn generation(&self) -> u32 {
        self.raw.i_generation.get()
    }

    /// Returns the project id.
    #[must_use]
    pub fn project(&self) -> u32 {
        if self.has_extra(32) {
            self.raw.i_projid.get()
        } else {
            0
        }
    }

    /// Returns the space it takes in the image, in bytes.
    #[must_use]
    pub fn space(&self, superblock: &Superblock) -> u64 {
        let blocks = self.blocks_field(superblock);
        if self.has_flag(flag::HUGE_FILE) {
            blocks.saturating_mul(superblock.block_size().into())
        } else {
            blocks.saturating_mul(512)
        }
    }

    /// Returns the time of the last change of the content.
    #[must_use]
    pub fn mtime(&self) -> Time {
        self.time(self.raw.i_mtime.get(), self.raw.i_mtime_extra.get(), 12)
    }

    /// Returns the time of the last access.
    #[must_use]
    pub fn atime(&self) -> Time {
        self.time(self.raw.i_atime.get(), self.raw.i_atime_extra.get(), 16)
    }

    /// Returns the time of the last change of the metadata.
    #[must_use]
    pub fn ctime(&self) -> Time {
        self.time(self.raw.i_ctime.get(), self.raw.i_ctime_extra.get(), 8)
    }

    /// Returns the time of creation, where the inode has room for it.
    #[must_use]
    pub fn crtime(&self) -> Option<Time> {
        self.has_extra(20)
            .then(|| self.time(self.raw.i_crtime.get(), self.raw.i_crtime_extra.get(), 24))
    }

    /// Returns the device number, of a device.
    #[must_use]
    pub fn device(&self) -> Option<Device> {
        matches!(self.file_type, FileType::CharDevice | FileType::BlockDevice)
            .then(|| decode_device(&self.raw.i_block))
    }

    /// Tells whether content and names are encrypted.
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        self.has_flag(flag::ENCRYPT)
    }

    /// Tells whether the content stands in the inode itself (the feature `inline_data`).
    #[must_use]
    pub fn is_inline(&self) -> bool {
        self.has_flag(flag::INLINE_DATA)
    }

    /// Returns what follows the fields, where it holds extended attributes; else nothing.
    pub(crate) fn tail(&self) -> &[u8] {
        &self.tail
    }

    /// Returns the fields as they stand on disk.
    pub(crate) fn raw(&self) -> &RawInode {
        &self.raw
    }

    pub(crate) fn has_flag(&self, flag: u32) -> bool {
        self.flags() & flag != 0
    }

    /// Returns the block of extended attributes, if any.
    #[must_use]
    pub fn xattr_block(&self, superblock: &Superblock) -> Option<BlockNo> {
        let mut block = self.raw.file_acl();
        if !superblock.has_incompat(incompat::BITS64) {
            block = BlockNo(self.raw.i_file_acl_lo.get().into());
        }
        (block.0 != 0).then_some(block)
    }

    /// Returns `i_blocks`: sectors, or blocks with [`HUGE_FILE`](flag::HUGE_FILE).
    pub(crate) fn blocks_field(&self, superblock: &Superblock) -> u64 {
        if superblock.has_ro_compat(ro_compat::HUGE_FILE) {
            self.raw.blocks_field()
        } else {
            self.raw.i_blocks_lo.get().into()
        }
    }

    /// Returns the seed of the checksums of what belongs to the inode.
    pub(crate) fn seed(&self, superblock: &Superblock) -> Option<Seed> {
        let seed = superblock.seed()?;
        Some(seed.inode(self.number, self.generation()))
    }

    /// Tells whether a symlink's target stands in `i_block`.
    pub(crate) fn is_fast_symlink(&self, superblock: &Superblock) -> bool {
        let xattr = self
            .xattr_block(superblock)
            .map_or(0, |_| u64::from(superblock.cluster_size()) / 512);
        self.file_type == FileType::Symlink
            && !self.has_flag(flag::EXTENTS | flag::INLINE_DATA)
            && self.blocks_field(superblock) == xattr
    }

    /// Tells whether the fields reach `end` bytes beyond the first 128.
    fn has_extra(&self, end: u16) -> bool {
        self.extra >= end
    }

    fn time(&self, seconds: u32, extra: u32, end: u16) -> Time {
        decode_time(seconds, if self.has_extra(end) { extra } else { 0 })
    }
}

/// Reads and verifies an inode that is in use.
pub(crate) fn read(
    superblock: &Superblock,
    blocks: &Blocks,
    number: InodeNo,
) -> Result<Inode, ReadError> {
    let (place, offset) = group::inode_place(superblock, blocks, number)?;
    let block = blocks.read(place)?;
    let end = offset.saturating_add(superblock.inode_size().into());
    let bytes = block.get(offset..end).unwrap_or_default();
    Inode::parse(number, bytes, superblock).map_err(|damage| ReadError::inode(number, damage))
}

impl Image {
    /// Reads the fields of an inode, whether or not it is in use.
    pub(crate) fn raw_inode(&self, number: InodeNo) -> Result<RawInode, ReadError> {
        let (place, offset) = self.inode_place_unverified(number)?;
        let block = self.blocks.read(place)?;
        let bytes = Bytes::new(block.get(offset..).unwrap_or_default());
        let cut_off = || ReadError::inode(number, Damage::Structure("the inode is cut off"));
        bytes.map(|bytes| bytes.raw).ok_or_else(cut_off)
    }

    /// Reads an inode whose fields can be made out, whatever its checksum.
    pub(crate) fn inode_unverified(&self, number: InodeNo) -> Result<Option<Inode>, ReadError> {
        let (place, offset) = self.inode_place_unverified(number)?;
        let block = self.blocks.read(place)?;
        let end = offset.saturating_add(self.superblock.inode_size().into());
        let bytes = block.get(offset..end).and_then(Bytes::new);
        Ok(bytes.and_then(|bytes| {
            let file_type = FileType::of(bytes.raw.i_mode.get())?;
            bytes.check_extra().ok()?;
            Some(Inode::new(number, bytes, file_type, &self.superblock))
        }))
    }

    /// Reads an inode that is in use.
    ///
    /// # Errors
    /// [`ReadError::Corrupt`] when there is no such inode, when it is not in use, or damaged.
    pub fn inode(&self, number: InodeNo) -> Result<Inode, ReadError> {
        read(&self.superblock, &self.blocks, number)
    }
}
