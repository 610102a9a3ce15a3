//! What the device is: its features and its configuration space.

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromZeros, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::SECTOR;
use crate::Disk;

/// Most bytes of data in one request.
pub const MAX_TRANSFER: u64 = 64 << 20;

/// The feature by which both sides say from where on they want to be notified.
pub const EVENT_IDX: u64 = 1 << 29;

/// Most segments of data in one request: a queue of 256 without head and status.
const SEGMENTS: u32 = 254;
/// The logical block in bytes.
const BLOCK: u32 = 512;
/// A request of so many bytes is worth its way through the queue and back: a kernel reads twice as much ahead.
const OPTIMAL: u32 = 1 << 20;
/// Most sectors to discard or zero in one segment: 2 GiB.
const MAX_SECTORS: u32 = 1 << 22;

/// Bits of the features, by the names of the specification.
mod feature {
    pub(super) const SEG_MAX: u64 = 1 << 2;
    pub(super) const RO: u64 = 1 << 5;
    pub(super) const BLK_SIZE: u64 = 1 << 6;
    pub(super) const FLUSH: u64 = 1 << 9;
    pub(super) const TOPOLOGY: u64 = 1 << 10;
    pub(super) const DISCARD: u64 = 1 << 13;
    pub(super) const WRITE_ZEROES: u64 = 1 << 14;
    /// Of every device: descriptors in tables of their own, and the current version.
    pub(super) const INDIRECT_DESC: u64 = 1 << 28;
    pub(super) const VERSION_1: u64 = 1 << 32;
}

/// The configuration space.
#[derive(Clone, Copy, Debug, FromZeros, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RawConfig {
    /// 0x00: in sectors of 512 bytes.
    capacity: U64,
    /// 0x08
    size_max: U32,
    /// 0x0c
    seg_max: U32,
    /// 0x10: cylinders, heads, sectors.
    geometry: [u8; 4],
    /// 0x14: in bytes.
    blk_size: U32,
    /// 0x18: the physical block, and the least that should be written: nothing said.
    physical_block: [u8; 4],
    /// 0x1c: in logical blocks.
    opt_io_size: U32,
    /// 0x20
    writeback: u8,
    /// 0x21
    unused0: u8,
    /// 0x22
    num_queues: U16,
    /// 0x24
    max_discard_sectors: U32,
    /// 0x28
    max_discard_seg: U32,
    /// 0x2c
    discard_sector_alignment: U32,
    /// 0x30
    max_write_zeroes_sectors: U32,
    /// 0x34
    max_write_zeroes_seg: U32,
    /// 0x38
    write_zeroes_may_unmap: u8,
    /// 0x39
    unused1: [u8; 3],
}

const _: () = assert!(size_of::<RawConfig>() == 60);

/// Returns the features that the device offers.
#[must_use]
pub fn features(disk: &Disk) -> u64 {
    let always = feature::SEG_MAX
        | feature::BLK_SIZE
        | feature::FLUSH
        | feature::TOPOLOGY
        | feature::INDIRECT_DESC
        | EVENT_IDX
        | feature::VERSION_1;
    match disk.store() {
        Some(_) => always | feature::DISCARD | feature::WRITE_ZEROES,
        None => always | feature::RO,
    }
}

/// Returns the configuration space, 60 bytes.
#[must_use]
pub fn configuration(disk: &Disk) -> Vec<u8> {
    let mut config = RawConfig::new_zeroed();
    config.capacity = (disk.reader().len() / SECTOR).into();
    config.seg_max = SEGMENTS.into();
    config.blk_size = BLOCK.into();
    config.opt_io_size = (OPTIMAL / BLOCK).into();
    config.num_queues = 1.into();
    if disk.store().is_some() {
        config.max_discard_sectors = MAX_SECTORS.into();
        config.max_discard_seg = 1.into();
        config.discard_sector_alignment = 8.into();
        config.max_write_zeroes_sectors = MAX_SECTORS.into();
        config.max_write_zeroes_seg = 1.into();
        config.write_zeroes_may_unmap = 1;
    }
    config.as_bytes().to_vec()
}
