//! Reading an image, fixed or dynamic.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

use std::sync::Arc;

use forger_block::{BlockRead, MAX_LEN, Result, Run, run_within};

use super::error::ReadError;
use super::footer::{DYNAMIC_LEN, FOOTER_LEN, RawDynamic, RawFooter, disk_type};
use crate::cache::Cache;
use crate::mapped::{self, Mapped};

/// An entry of the table for a block that is not there.
pub(super) const UNUSED: u32 = u32::MAX;

/// The largest table that is read, in bytes: enough for 2 TiB in blocks of 512 KiB.
const MAX_TABLE: u64 = 16 << 20;

/// So much memory bitmaps may take that are kept, in bytes.
const BITMAPS: u64 = 4 << 20;

/// The disk in a VHD image.
#[derive(Debug)]
pub struct Image {
    file: Arc<dyn BlockRead>,
    size: u64,
    blocks: Option<Blocks>,
}

/// The blocks of a dynamic image.
#[derive(Debug)]
pub(super) struct Blocks {
    pub(super) header_offset: u64,
    pub(super) table_offset: u64,
    pub(super) size: u64,
    /// The sector where each block's bitmap stands, with its data behind.
    pub(super) table: Vec<u32>,
    /// Length of a bitmap, in bytes, in whole sectors.
    pub(super) bitmap_len: u64,
    bitmaps: Cache<Vec<u8>>,
}

impl Image {
    /// Opens an image.
    ///
    /// # Errors
    /// A file that is no VHD image, a differencing one, and a damaged one.
    pub fn open(file: Arc<dyn BlockRead>) -> std::result::Result<Self, ReadError> {
        let footer = footer(&file)?;
        let size = footer.current_size.get();
        let wrong = |field, value| ReadError::Field {
            structure: "footer",
            field,
            value,
        };
        if size > MAX_LEN {
            return Err(wrong("current size", size));
        }
        let blocks = match footer.disk_type.get() {
            disk_type::FIXED if size.saturating_add(FOOTER_LEN) <= file.len() => None,
            disk_type::FIXED => return Err(wrong("current size", size)),
            disk_type::DYNAMIC => Some(Blocks::read(&file, &footer, size)?),
            disk_type::DIFFERENCING => return Err(ReadError::Differencing),
            other => return Err(wrong("disk type", other.into())),
        };
        Ok(Self { file, size, blocks })
    }

    /// Tells whether all of the disk has its place in the file.
    #[must_use]
    pub fn is_fixed(&self) -> bool {
        self.blocks.is_none()
    }

    /// Returns the blocks of a dynamic image.
    pub(super) fn blocks(&self) -> Option<&Blocks> {
        self.blocks.as_ref()
    }

    /// Returns where a piece of the disk stands in the file, `None` for zeros, and its length, at
    /// most `most`.
    fn find(&self, offset: u64, most: u64) -> std::result::Result<(Option<u64>, u64), ReadError> {
        match &self.blocks {
            None => Ok((Some(offset), most)),
            Some(blocks) => blocks.piece(&self.file, offset, most),
        }
    }
}

/// Reads the footer, or its copy at the start of a dynamic image.
fn footer(file: &dyn BlockRead) -> std::result::Result<RawFooter, ReadError> {
    let read = |offset: u64| -> std::result::Result<Option<RawFooter>, ReadError> {
        let mut bytes = [0; 512];
        file.read_at(offset, &mut bytes)?;
        RawFooter::parse(bytes)
    };
    let end = file
        .len()
        .checked_sub(FOOTER_LEN)
        .ok_or(ReadError::NotVhd)?;
    let last = read(end);
    if let Ok(Some(footer)) = last {
        return Ok(footer);
    }
    // The copy stands in for a footer that is damaged or gone.
    match (read(0), last) {
        (Ok(Some(copy)), _) => Ok(copy),
        (Err(error), _) | (_, Err(error)) => Err(error),
        _ => Err(ReadError::NotVhd),
    }
}

/// Tells whether these are the last bytes of a fixed image, whose disk has `len` bytes.
///
/// # Errors
/// A footer that speaks of another disk or is damaged.
pub(crate) fn is_fixed_footer(bytes: [u8; 512], len: u64) -> std::result::Result<bool, ReadError> {
    let Some(footer) = RawFooter::parse(bytes)? else {
        return Ok(false);
    };
    let size = footer.current_size.get();
    match footer.disk_type.get() {
        disk_type::FIXED if size == len => Ok(true),
        disk_type::FIXED => Err(ReadError::Field {
            structure: "footer",
            field: "current size",
            value: size,
        }),
        other => Err(ReadError::Field {
            structure: "footer",
            field: "disk type",
            value: other.into(),
        }),
    }
}

impl Blocks {
    fn read(
        file: &dyn BlockRead,
        footer: &RawFooter,
        disk: u64,
    ) -> std::result::Result<Self, ReadError> {
        let wrong = |field, value| ReadError::Field {
            structure: "dynamic header",
            field,
            value,
        };
        let inside =
            |offset: u64, len: u64| offset.checked_add(len).is_some_and(|end| end <= file.len());
        let offset = footer.data_offset.get();
        if !inside(offset, DYNAMIC_LEN) {
            return Err(ReadError::Field {
                structure: "footer",
                field: "data offset",
                value: offset,
            });
        }
        let mut bytes = [0; 1024];
        file.read_at(offset, &mut bytes)?;
        let header = RawDynamic::parse(bytes)?;
        let size = u64::from(header.block_size.get());
        let entries = disk.div_ceil(size.max(1));
        let max = u64::from(header.max_table_entries.get());
        let len = entries.saturating_mul(4);
        if entries > max || len > MAX_TABLE {
            return Err(wrong("max table entries", max));
        }
        let table_offset = header.table_offset.get();
        if !inside(table_offset, len) {
            return Err(wrong("table offset", table_offset));
        }
        let mut bytes = vec![0; usize::try_from(len).unwrap_or(0)];
        file.read_at(table_offset, &mut bytes)?;
        let (words, _) = bytes.as_chunks::<4>();
        let bitmap_len = (size / 4096).next_multiple_of(512);
        Ok(Self {
            header_offset: offset,
            table_offset,
            size,
            table: words.iter().map(|word| u32::from_be_bytes(*word)).collect(),
            bitmap_len,
            bitmaps: Cache::new(bitmap_len, BITMAPS),
        })
    }

    /// Returns the length of the table, in bytes.
    pub(super) fn table_len(&self) -> u64 {
        u64::try_from(self.table.len())
            .unwrap_or(u64::MAX)
            .saturating_mul(4)
    }

    fn piece(
        &self,
        file: &dyn BlockRead,
        offset: u64,
        most: u64,
    ) -> std::result::Result<(Option<u64>, u64), ReadError> {
        let block = offset.checked_div(self.size).unwrap_or(0);
        let within = offset.checked_rem(self.size).unwrap_or(0);
        let index = usize::try_from(block).unwrap_or(usize::MAX);
        let most = most.min(self.size.saturating_sub(within));
        let sector = self.table.get(index).copied().unwrap_or(UNUSED);
        if sector == UNUSED {
            return Ok((None, most));
        }
        let at = u64::from(sector).saturating_mul(512);
        let data = at.saturating_add(self.bitmap_len);
        let end = data.saturating_add(within).saturating_add(most);
        if end > file.len() {
            let size = file.len();
            return Err(ReadError::Beyond {
                block,
                sector,
                size,
            });
        }
        let bitmap = self.bitmaps.get(at, || {
            let mut bitmap = vec![0; usize::try_from(self.bitmap_len).unwrap_or(0)];
            file.read_at(at, &mut bitmap).map(|()| bitmap)
        })?;
        let present = |sector: u64| {
            let byte = usize::try_from(sector / 8)
                .ok()
                .and_then(|at| bitmap.get(at));
            let shift = u32::try_from(sector % 8).unwrap_or(0);
            byte.is_some_and(|byte| byte & 0x80_u8.checked_shr(shift).unwrap_or(0) != 0)
        };
        // As many sectors as are of one kind.
        let first = within / 512;
        let kind = present(first);
        let mut next = first.saturating_add(1);
        let last = within.saturating_add(most).div_ceil(512);
        while next < last && present(next) == kind {
            next = next.saturating_add(1);
        }
        let len = next.saturating_mul(512).saturating_sub(within).min(most);
        Ok((kind.then(|| data.saturating_add(within)), len))
    }
}

impl Mapped for Image {
    /// An offset in the file; none for zeros.
    type Place = Option<u64>;

    fn size(&self) -> u64 {
        self.size
    }

    fn piece(&self, offset: u64, most: u64) -> Result<(Option<u64>, u64)> {
        Ok(self.find(offset, most)?)
    }

    fn fill(&self, _offset: u64, place: &Option<u64>, part: &mut [u8]) -> Result<()> {
        match place {
            Some(place) => self.file.read_at(*place, part),
            None => {
                part.fill(0);
                Ok(())
            }
        }
    }

    fn run(&self, _offset: u64, place: &Option<u64>, len: u64) -> Result<Run> {
        match place {
            Some(place) => run_within(&self.file, *place, len),
            None => Ok(Run::Hole(len)),
        }
    }
}

impl BlockRead for Image {
    fn len(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        mapped::read_at(self, offset, buf)
    }

    fn run_at(&self, offset: u64) -> Result<Run> {
        mapped::run_at(self, offset)
    }
}
