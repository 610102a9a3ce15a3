//! The clusters of persistent bitmaps, whose contents are nobody's here.

use zerocopy::big_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::super::error::ReadError;
use super::super::image::words;
use super::Check;
use crate::padded::read_padded;

/// The longest directory and the longest table of a bitmap, in bytes; QEMU has the same limits.
const MAX_DIRECTORY: u64 = 64 << 20;
const MAX_TABLE: u64 = 64 << 20;

/// The header extension.
#[derive(Clone, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RawBitmaps {
    /// 0x00
    nb_bitmaps: U32,
    /// 0x04
    reserved: U32,
    /// 0x08
    bitmap_directory_size: U64,
    /// 0x10
    bitmap_directory_offset: U64,
}

const _: () = assert!(size_of::<RawBitmaps>() == 24);

/// The head of an entry of the directory.
#[derive(Clone, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RawBitmap {
    /// 0x00
    bitmap_table_offset: U64,
    /// 0x08: entries, each of 8 bytes.
    bitmap_table_size: U32,
    /// 0x0c
    flags: U32,
    /// 0x10
    kind: u8,
    /// 0x11
    granularity_bits: u8,
    /// 0x12
    name_size: U16,
    /// 0x14
    extra_data_size: U32,
}

const _: () = assert!(size_of::<RawBitmap>() == 24);

/// Where data of a bitmap stands.
const OFFSET: u64 = 0x00ff_ffff_ffff_fe00;

impl Check<'_> {
    /// Counts the references of all bitmaps.
    pub(super) fn bitmaps(&mut self) -> Result<(), ReadError> {
        let Some(bytes) = &self.header.bitmap_directory else {
            return Ok(());
        };
        let Ok(raw) = RawBitmaps::read_from_bytes(bytes) else {
            self.report
                .error("the extension of bitmaps", "it has an impossible length");
            return Ok(());
        };
        let (offset, len) = (
            raw.bitmap_directory_offset.get(),
            raw.bitmap_directory_size.get(),
        );
        if raw.nb_bitmaps.get() == 0 || len > MAX_DIRECTORY {
            self.report.error(
                "the extension of bitmaps",
                format!("{len} bytes of directory"),
            );
            return Ok(());
        }
        self.refer(&"the directory of bitmaps", offset, len, 1, true)?;
        let mut bytes = vec![0; usize::try_from(len).unwrap_or(0)];
        read_padded(self.file, offset, &mut bytes)?;
        let mut rest = bytes.as_slice();
        // Tables that stand apart are not longer than the file.
        let mut left = self.file.len();
        for number in 0..raw.nb_bitmaps.get() {
            let place = format!("bitmap {number}");
            let entry = RawBitmap::read_from_prefix(rest).ok();
            let behind = entry
                .as_ref()
                .and_then(|(entry, _)| rest.get(entry.len()..));
            let (Some((entry, _)), Some(behind)) = (entry, behind) else {
                self.report.error(place, "its entry is cut short");
                break;
            };
            rest = behind;
            let table = u64::from(entry.bitmap_table_size.get()).saturating_mul(8);
            if table > MAX_TABLE.min(left) {
                self.report
                    .error(place, format!("its table has {table} bytes"));
                continue;
            }
            left = left.saturating_sub(table);
            self.shape(&place, &entry);
            self.bitmap(&place, entry.bitmap_table_offset.get(), table)?;
        }
        Ok(())
    }

    /// Checks that a bitmap that is in use by nobody fits the disk.
    fn shape(&mut self, place: &str, entry: &RawBitmap) {
        /// Whoever wrote to it did not finish, so that it says nothing.
        const IN_USE: u32 = 1;
        /// A dirty bitmap.
        const DIRTY: u8 = 1;
        let granularity = u32::from(entry.granularity_bits);
        if entry.kind != DIRTY || !(9..=31).contains(&granularity) {
            let kind = entry.kind;
            let damage = format!("kind {kind} and granularity 2^{granularity} are not known");
            self.report.error(place, damage);
            return;
        }
        let unit = 1_u64.checked_shl(granularity).unwrap_or(1);
        let bits = self.header.size.div_ceil(unit);
        let bytes = bits.div_ceil(64).saturating_mul(8);
        let needed = bytes.div_ceil(self.header.cluster_size.max(1));
        let entries = u64::from(entry.bitmap_table_size.get());
        if entry.flags.get() & IN_USE == 0 && entries != needed {
            let damage = format!("its table has {entries} entries; the disk needs {needed}");
            self.report.error(place, damage);
        }
    }

    fn bitmap(&mut self, place: &str, offset: u64, len: u64) -> Result<(), ReadError> {
        self.refer(&format!("the table of {place}"), offset, len, 1, true)?;
        let mut bytes = vec![0; usize::try_from(len).unwrap_or(0)];
        read_padded(self.file, offset, &mut bytes)?;
        for word in words(&bytes) {
            let data = word & OFFSET;
            if word & !(OFFSET | 1) != 0 || data != 0 && word & 1 != 0 {
                self.report
                    .error(place, format!("reserved bits are set: 0x{word:016x}"));
            }
            if data != 0 {
                self.refer(&place, data, self.header.cluster_size, 1, true)?;
            }
        }
        Ok(())
    }
}

impl RawBitmap {
    /// Returns the length of the entry, in bytes.
    fn len(&self) -> usize {
        let parts = [
            24,
            u64::from(self.extra_data_size.get()),
            u64::from(self.name_size.get()),
        ];
        let len: u64 = parts.into_iter().fold(0, u64::saturating_add);
        usize::try_from(len.next_multiple_of(8)).unwrap_or(usize::MAX)
    }
}
