//! The structures of an image.
//!
//! Microsoft's MS-VHDX, version 2. All numbers are little-endian.
//!
//! ```text
//! 0        file type identifier
//! 64 KiB   header, and its copy at 128 KiB
//! 192 KiB  region table, and its copy at 256 KiB
//! 1 MiB    log, block allocation table, metadata, blocks: each at a multiple of 1 MiB
//! ```
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::Guid;

/// What a file begins with.
pub(crate) const FILE_SIGNATURE: [u8; 8] = *b"vhdxfile";

/// Where header and copy stand.
pub(super) const HEADERS: [u64; 2] = [64 << 10, 128 << 10];

/// Length of a header, in bytes, as far as its checksum goes.
pub(super) const HEADER_LEN: usize = 4096;

/// Where region table and copy stand.
pub(super) const REGION_TABLES: [u64; 2] = [192 << 10, 256 << 10];

/// Length of a region table, or of the metadata table, in bytes.
pub(super) const TABLE_LEN: usize = 64 << 10;

/// Everything large stands at multiples of it, in bytes.
pub(super) const MIB: u64 = 1 << 20;

/// The largest disk, in bytes.
pub(super) const MAX_SIZE: u64 = 64 << 40;

/// Regions.
pub(super) const BAT: Guid = Guid::new(0x2dc27766_f623_4200_9d64_115e9bfd4a08);
pub(super) const METADATA: Guid = Guid::new(0x8b7ca206_4790_4b9a_b8fe_575f050f886e);

/// Items of metadata.
pub(super) mod item {
    use crate::Guid;

    pub(in super::super) const FILE_PARAMETERS: Guid =
        Guid::new(0xcaa16737_fa36_4d43_b3b6_33f0aa44e76b);
    pub(in super::super) const VIRTUAL_DISK_SIZE: Guid =
        Guid::new(0x2fa54224_cd1b_4876_b211_5dbed83bf4b8);
    pub(in super::super) const VIRTUAL_DISK_ID: Guid =
        Guid::new(0xbeca12ab_b2e6_4523_93ef_c309e000c746);
    pub(in super::super) const LOGICAL_SECTOR_SIZE: Guid =
        Guid::new(0x8141bf1d_a96f_4709_ba47_f233a8faab5f);
    pub(in super::super) const PHYSICAL_SECTOR_SIZE: Guid =
        Guid::new(0xcda348c7_445d_4471_9cc9_e9885251c556);
}

/// States of a block.
pub(super) mod state {
    pub(in super::super) const NOT_PRESENT: u64 = 0;
    pub(in super::super) const UNDEFINED: u64 = 1;
    pub(in super::super) const ZERO: u64 = 2;
    pub(in super::super) const UNMAPPED: u64 = 3;
    pub(in super::super) const FULLY_PRESENT: u64 = 6;
}

/// The fields of a header.
#[derive(Clone, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct RawHeader {
    /// 0x00
    pub(super) signature: [u8; 4],
    /// 0x04: over 4096 bytes.
    pub(super) checksum: U32,
    /// 0x08
    pub(super) sequence_number: U64,
    /// 0x10
    pub(super) file_write_guid: [u8; 16],
    /// 0x20
    pub(super) data_write_guid: [u8; 16],
    /// 0x30: zeros for a log without entries.
    pub(super) log_guid: [u8; 16],
    /// 0x40
    pub(super) log_version: U16,
    /// 0x42
    pub(super) version: U16,
    /// 0x44
    pub(super) log_length: U32,
    /// 0x48
    pub(super) log_offset: U64,
}

const _: () = assert!(size_of::<RawHeader>() == 80);

/// The head of a region table.
#[derive(Clone, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct RawRegions {
    /// 0x00
    pub(super) signature: [u8; 4],
    /// 0x04: over 64 KiB.
    pub(super) checksum: U32,
    /// 0x08
    pub(super) entry_count: U32,
    /// 0x0c
    pub(super) reserved: U32,
}

/// An entry of a region table.
#[derive(Clone, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct RawRegion {
    /// 0x00
    pub(super) guid: [u8; 16],
    /// 0x10
    pub(super) file_offset: U64,
    /// 0x18
    pub(super) length: U32,
    /// 0x1c: bit 0: whoever does not know it cannot read the image.
    pub(super) required: U32,
}

const _: () = assert!(size_of::<RawRegion>() == 32);

/// The head of the metadata table.
#[derive(Clone, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct RawMetadata {
    /// 0x00
    pub(super) signature: [u8; 8],
    /// 0x08
    pub(super) reserved: U16,
    /// 0x0a
    pub(super) entry_count: U16,
    /// 0x0c
    pub(super) reserved2: [u8; 20],
}

const _: () = assert!(size_of::<RawMetadata>() == 32);

/// An entry of the metadata table.
#[derive(Clone, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct RawItem {
    /// 0x00
    pub(super) item_id: [u8; 16],
    /// 0x10: from the metadata's start.
    pub(super) offset: U32,
    /// 0x14
    pub(super) length: U32,
    /// 0x18: bit 0 a user's, bit 1 the disk's, bit 2 required.
    pub(super) flags: U32,
    /// 0x1c
    pub(super) reserved: U32,
}

const _: () = assert!(size_of::<RawItem>() == 32);

/// Returns the checksum of a structure, whose field for it (bytes 4 to 7) counts as zeros.
pub(super) fn checksum(bytes: &[u8]) -> u32 {
    let sum = crc32c::crc32c(bytes.get(..4).unwrap_or_default());
    let sum = crc32c::crc32c_append(sum, &[0; 4]);
    crc32c::crc32c_append(sum, bytes.get(8..).unwrap_or_default())
}

/// Returns how many blocks there are between two sector bitmaps in the table.
pub(super) fn chunk_ratio(sector_size: u64, block_size: u64) -> u64 {
    sector_size
        .saturating_mul(1 << 23)
        .checked_div(block_size)
        .unwrap_or(1)
        .max(1)
}

/// Returns where a block's entry stands in the table.
pub(super) fn entry_index(block: u64, chunk_ratio: u64) -> u64 {
    block.saturating_add(block.checked_div(chunk_ratio).unwrap_or(0))
}
