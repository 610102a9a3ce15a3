//! The header of the file and those of its chunks.
//!
//! Android's `sparse_format.h` of libsparse. All numbers are little-endian.

use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// What a file begins with.
pub(crate) const MAGIC: [u8; 4] = 0xed26_ff3a_u32.to_le_bytes();

/// Kinds of chunks.
pub(super) mod kind {
    /// The bytes of the disk.
    pub(in super::super) const RAW: u16 = 0xcac1;
    /// Four bytes that are repeated.
    pub(in super::super) const FILL: u16 = 0xcac2;
    /// Anything, which reads as zeros.
    pub(in super::super) const DONT_CARE: u16 = 0xcac3;
    /// The CRC-32 of the disk up to here.
    pub(in super::super) const CRC32: u16 = 0xcac4;
}

/// The header of the file.
#[derive(Clone, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct RawHeader {
    /// 0x00
    pub(super) magic: [u8; 4],
    /// 0x04: 1; readers refuse others.
    pub(super) major_version: U16,
    /// 0x06
    pub(super) minor_version: U16,
    /// 0x08: of this header, in bytes.
    pub(super) file_hdr_sz: U16,
    /// 0x0a: of a chunk's header, in bytes.
    pub(super) chunk_hdr_sz: U16,
    /// 0x0c: in bytes, a multiple of 4.
    pub(super) blk_sz: U32,
    /// 0x10: blocks of the disk.
    pub(super) total_blks: U32,
    /// 0x14: chunks that follow.
    pub(super) total_chunks: U32,
    /// 0x18: CRC-32 of the disk, or 0.
    pub(super) image_checksum: U32,
}

/// The header of a chunk.
#[derive(Clone, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct RawChunk {
    /// 0x00
    pub(super) chunk_type: U16,
    /// 0x02
    pub(super) reserved1: U16,
    /// 0x04: in blocks of the disk.
    pub(super) chunk_sz: U32,
    /// 0x08: in bytes of the file, with this header.
    pub(super) total_sz: U32,
}

/// Lengths of the headers, in bytes.
pub(super) const HEADER_LEN: u16 = 28;
pub(super) const CHUNK_LEN: u16 = 12;

const _: () = assert!(size_of::<RawHeader>() == 28 && size_of::<RawChunk>() == 12);
