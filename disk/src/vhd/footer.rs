//! The footer, which is the header of a dynamic image as well, and the dynamic header.
//!
//! Microsoft's "Virtual Hard Disk Image Format Specification", version 1.0. All numbers are
//! big-endian.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

use zerocopy::big_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::error::ReadError;
use crate::Guid;

/// What a footer begins with.
pub(crate) const COOKIE: [u8; 8] = *b"conectix";

/// What a dynamic header begins with.
const DYNAMIC_COOKIE: [u8; 8] = *b"cxsparse";

/// Length of the footer, in bytes.
pub(super) const FOOTER_LEN: u64 = 512;

/// Length of the dynamic header, in bytes.
pub(super) const DYNAMIC_LEN: u64 = 1024;

/// Types of disks.
pub(super) mod disk_type {
    pub(in super::super) const FIXED: u32 = 2;
    pub(in super::super) const DYNAMIC: u32 = 3;
    pub(in super::super) const DIFFERENCING: u32 = 4;
}

/// The footer of an image.
#[derive(Clone, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct RawFooter {
    /// 0x000
    pub(super) cookie: [u8; 8],
    /// 0x008: bit 1 is always set.
    pub(super) features: U32,
    /// 0x00c
    pub(super) file_format_version: U32,
    /// 0x010: of the dynamic header; all ones in a fixed image.
    pub(super) data_offset: U64,
    /// 0x018: seconds since 2000.
    pub(super) time_stamp: U32,
    /// 0x01c
    pub(super) creator_application: [u8; 4],
    /// 0x020
    pub(super) creator_version: U32,
    /// 0x024
    pub(super) creator_host_os: [u8; 4],
    /// 0x028
    pub(super) original_size: U64,
    /// 0x030
    pub(super) current_size: U64,
    /// 0x038
    pub(super) cylinders: U16,
    /// 0x03a
    pub(super) heads: u8,
    /// 0x03b
    pub(super) sectors_per_track: u8,
    /// 0x03c
    pub(super) disk_type: U32,
    /// 0x040
    pub(super) checksum: U32,
    /// 0x044
    pub(super) unique_id: [u8; 16],
    /// 0x054
    pub(super) saved_state: u8,
    /// 0x055
    pub(super) reserved: [u8; 427],
}

const _: () = assert!(size_of::<RawFooter>() == 512);

/// The header of a dynamic image.
#[derive(Clone, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct RawDynamic {
    /// 0x000
    pub(super) cookie: [u8; 8],
    /// 0x008: all ones.
    pub(super) data_offset: U64,
    /// 0x010: of the block allocation table.
    pub(super) table_offset: U64,
    /// 0x018
    pub(super) header_version: U32,
    /// 0x01c
    pub(super) max_table_entries: U32,
    /// 0x020: in bytes.
    pub(super) block_size: U32,
    /// 0x024
    pub(super) checksum: U32,
    /// 0x028: of differencing images, up to the end.
    pub(super) parent: [u8; 984],
}

const _: () = assert!(size_of::<RawDynamic>() == 1024);

/// Returns the checksum of a structure whose field for it is zero.
fn checksum(bytes: &[u8]) -> u32 {
    let sum = bytes
        .iter()
        .fold(0_u32, |sum, byte| sum.wrapping_add(u32::from(*byte)));
    !sum
}

impl RawFooter {
    /// Makes the footer of a disk of `size` bytes.
    pub(super) fn new(size: u64, disk_type: u32, id: Guid) -> Self {
        let geometry = Geometry::of(size / 512);
        Self {
            cookie: COOKIE,
            features: 2.into(),
            file_format_version: 0x0001_0000.into(),
            data_offset: if disk_type == disk_type::FIXED {
                u64::MAX
            } else {
                FOOTER_LEN
            }
            .into(),
            time_stamp: 0.into(),
            // QEMU and Virtual PC take the size of what Hyper-V makes, and the geometry of others.
            creator_application: *b"win ",
            creator_version: 0x000a_0000.into(),
            creator_host_os: *b"Wi2k",
            original_size: size.into(),
            current_size: size.into(),
            cylinders: geometry.cylinders.into(),
            heads: geometry.heads,
            sectors_per_track: geometry.sectors_per_track,
            disk_type: disk_type.into(),
            checksum: 0.into(),
            unique_id: id.to_disk(),
            saved_state: 0,
            reserved: [0; 427],
        }
    }

    /// Returns the footer's bytes with their checksum.
    pub(super) fn seal(mut self) -> [u8; 512] {
        self.checksum = 0.into();
        self.checksum = checksum(self.as_bytes()).into();
        zerocopy::transmute!(self)
    }

    /// Checks a footer's bytes; `None` when they are none.
    pub(super) fn parse(bytes: [u8; 512]) -> Result<Option<Self>, ReadError> {
        let raw: Self = zerocopy::transmute!(bytes);
        if raw.cookie != COOKIE {
            return Ok(None);
        }
        let mut unsealed = raw.clone();
        unsealed.checksum = 0.into();
        if checksum(unsealed.as_bytes()) != raw.checksum.get() {
            return Err(ReadError::Sum {
                structure: "footer",
            });
        }
        Ok(Some(raw))
    }
}

impl RawDynamic {
    /// Makes the header of an image with so many blocks.
    pub(super) fn new(table_offset: u64, entries: u32, block_size: u32) -> Self {
        Self {
            cookie: DYNAMIC_COOKIE,
            data_offset: u64::MAX.into(),
            table_offset: table_offset.into(),
            header_version: 0x0001_0000.into(),
            max_table_entries: entries.into(),
            block_size: block_size.into(),
            checksum: 0.into(),
            parent: [0; 984],
        }
    }

    /// Returns the header's bytes with their checksum.
    pub(super) fn seal(mut self) -> [u8; 1024] {
        self.checksum = 0.into();
        self.checksum = checksum(self.as_bytes()).into();
        zerocopy::transmute!(self)
    }

    /// Checks a header's bytes.
    pub(super) fn parse(bytes: [u8; 1024]) -> Result<Self, ReadError> {
        const STRUCTURE: &str = "dynamic header";
        let raw: Self = zerocopy::transmute!(bytes);
        let mut unsealed = raw.clone();
        unsealed.checksum = 0.into();
        if raw.cookie != DYNAMIC_COOKIE || checksum(unsealed.as_bytes()) != raw.checksum.get() {
            return Err(ReadError::Sum {
                structure: STRUCTURE,
            });
        }
        let block_size = raw.block_size.get();
        if !block_size.is_power_of_two() || !(4096..=1 << 28).contains(&block_size) {
            return Err(ReadError::Field {
                structure: STRUCTURE,
                field: "block size",
                value: block_size.into(),
            });
        }
        Ok(raw)
    }
}

/// Cylinders, heads and sectors, as the specification's appendix computes them.
struct Geometry {
    cylinders: u16,
    heads: u8,
    sectors_per_track: u8,
}

impl Geometry {
    fn of(sectors: u64) -> Self {
        let sectors = sectors.min(65_535 * 16 * 255);
        let per_track = |count: u64| sectors.checked_div(count).unwrap_or(0);
        let (sectors_per_track, heads) = if sectors > 65_535 * 16 * 63 {
            (255, 16)
        } else {
            let heads = (per_track(17).saturating_add(1023) / 1024).max(4);
            let fits = |sectors: u64, heads: u64| {
                heads <= 16 && per_track(sectors) < heads.saturating_mul(1024)
            };
            if fits(17, heads) {
                (17, heads)
            } else if fits(31, 16) {
                (31, 16)
            } else {
                (63, 16)
            }
        };
        let cylinders = per_track(sectors_per_track).checked_div(heads).unwrap_or(0);
        Self {
            cylinders: u16::try_from(cylinders).unwrap_or(u16::MAX),
            heads: u8::try_from(heads).unwrap_or(u8::MAX),
            sectors_per_track: u8::try_from(sectors_per_track).unwrap_or(u8::MAX),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn footers_and_headers_come_back_and_notice_changes() {
        let bytes = RawFooter::new(5 << 20, disk_type::FIXED, Guid::new(7)).seal();
        let footer = RawFooter::parse(bytes).unwrap().unwrap();
        assert_eq!(footer.current_size.get(), 5 << 20);
        let mut bad = bytes;
        bad[300] = 1;
        assert!(RawFooter::parse(bad).is_err());
        assert!(RawFooter::parse([0; 512]).unwrap().is_none());
        let bytes = RawDynamic::new(1536, 3, 2 << 20).seal();
        assert_eq!(RawDynamic::parse(bytes).unwrap().max_table_entries.get(), 3);
        let mut bad = bytes;
        bad[1000] = 1;
        assert!(RawDynamic::parse(bad).is_err());
    }

    #[test]
    fn geometries_are_those_of_the_specification() {
        let of = |sectors| {
            let geometry = Geometry::of(sectors);
            (
                geometry.cylinders,
                geometry.heads,
                geometry.sectors_per_track,
            )
        };
        // Those that qemu-img makes of disks of 100 MiB and 100 GiB.
        assert_eq!(of(204_800), (1003, 12, 17));
        assert_eq!(of(209_715_200), (51_400, 16, 255));
    }
}
