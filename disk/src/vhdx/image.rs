//! Reading an image.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

use std::ops::Range;
use std::sync::Arc;

use forger_block::{BlockRead, Result, Run, run_within};
use zerocopy::FromBytes;

use super::error::ReadError;
use super::layout::{
    BAT, FILE_SIGNATURE, HEADER_LEN, HEADERS, MAX_SIZE, METADATA, MIB, REGION_TABLES, RawHeader,
    RawItem, RawMetadata, RawRegion, RawRegions, TABLE_LEN, checksum, chunk_ratio, entry_index,
    item, state,
};
use crate::Guid;
use crate::cache::Cache;
use crate::mapped::{self, Mapped};

/// So much of the table is read at a time, in bytes.
const PAGE: u64 = 64 << 10;

/// So much memory the table may take, in bytes.
const PAGES: u64 = 4 << 20;

/// The disk in a VHDX image.
#[derive(Debug)]
pub struct Image {
    file: Arc<dyn BlockRead>,
    size: u64,
    block_size: u64,
    sector_size: u64,
    fixed: bool,
    chunk_ratio: u64,
    /// Where the block allocation table stands.
    bat: Range<u64>,
    pages: Cache<Vec<u8>>,
}

/// What the metadata says.
#[derive(Default)]
struct Facts {
    block_size: Option<u64>,
    fixed: bool,
    has_parent: bool,
    size: Option<u64>,
    sector_size: Option<u64>,
}

impl Image {
    /// Opens an image.
    ///
    /// # Errors
    /// A file that is no VHDX image, one that needs its parent or was not closed, and a damaged
    /// one.
    pub fn open(file: Arc<dyn BlockRead>) -> std::result::Result<Self, ReadError> {
        let image = Self::open_unclean(file)?;
        if header(&image.file)?.log_guid != [0; 16] {
            return Err(ReadError::Unsupported {
                what: "an image that was not closed: its log has to be replayed, and it",
            });
        }
        Ok(image)
    }

    /// Opens an image whose log may have to be replayed.
    pub(super) fn open_unclean(file: Arc<dyn BlockRead>) -> std::result::Result<Self, ReadError> {
        let mut magic = [0; 8];
        if file.len() < MIB {
            return Err(ReadError::NotVhdx);
        }
        file.read_at(0, &mut magic)?;
        if magic != FILE_SIGNATURE {
            return Err(ReadError::NotVhdx);
        }
        let header = header(&file)?;
        if header.version.get() != 1 {
            return Err(field("Version", header.version.get().into()));
        }
        let (bat, metadata) = regions(&file)?;
        let facts = Facts::read(&file, &metadata)?;
        if facts.has_parent {
            return Err(ReadError::Unsupported {
                what: "a differencing image",
            });
        }
        let need = |what| ReadError::Missing { what };
        let block_size = facts.block_size.ok_or(need("file parameters"))?;
        let size = facts.size.ok_or(need("virtual disk size"))?;
        let sector_size = facts.sector_size.ok_or(need("logical sector size"))?;
        if !block_size.is_power_of_two() || !(MIB..=256 << 20).contains(&block_size) {
            return Err(field("BlockSize", block_size));
        }
        if !matches!(sector_size, 512 | 4096) {
            return Err(field("LogicalSectorSize", sector_size));
        }
        if size > MAX_SIZE || !size.is_multiple_of(sector_size) {
            return Err(field("VirtualDiskSize", size));
        }
        let image = Self {
            size,
            block_size,
            sector_size,
            fixed: facts.fixed,
            chunk_ratio: chunk_ratio(sector_size, block_size),
            bat,
            pages: Cache::new(PAGE, PAGES),
            file,
        };
        image.check_bat()?;
        Ok(image)
    }

    /// Tells whether every block has its place in the file, zeros or not.
    #[must_use]
    pub fn is_fixed(&self) -> bool {
        self.fixed
    }

    /// Returns the size of a sector of the disk, in bytes.
    #[must_use]
    pub fn sector_size(&self) -> u64 {
        self.sector_size
    }

    /// Returns how many blocks the disk has.
    pub(super) fn blocks(&self) -> u64 {
        self.size.div_ceil(self.block_size.max(1))
    }

    /// Returns how many bytes of a block the disk needs.
    pub(super) fn block_len(&self, block: u64) -> u64 {
        // The last block may be cut where the disk ends.
        let start = block.saturating_mul(self.block_size);
        self.block_size.min(self.size.saturating_sub(start))
    }

    /// Checks that the table is as long as the disk needs.
    fn check_bat(&self) -> std::result::Result<(), ReadError> {
        let Some(last) = self.blocks().checked_sub(1) else {
            return Ok(());
        };
        let entries = entry_index(last, self.chunk_ratio).saturating_add(1);
        let len = self.bat.end.saturating_sub(self.bat.start);
        if entries.saturating_mul(8) > len {
            return Err(field("Length of the BAT", len));
        }
        Ok(())
    }

    /// Returns the entry of a block.
    fn entry(&self, block: u64) -> std::result::Result<u64, ReadError> {
        let at = entry_index(block, self.chunk_ratio).saturating_mul(8);
        let page = at / PAGE;
        let bytes = self.pages.get(page, || {
            let start = self.bat.start.saturating_add(page.saturating_mul(PAGE));
            let len = PAGE.min(self.bat.end.saturating_sub(start));
            let mut bytes = vec![0; usize::try_from(len).unwrap_or(0)];
            self.file.read_at(start, &mut bytes).map(|()| bytes)
        })?;
        let from = usize::try_from(at % PAGE).unwrap_or(usize::MAX);
        let word = bytes.get(from..).and_then(|rest| rest.first_chunk::<8>());
        Ok(word.map_or(0, |word| u64::from_le_bytes(*word)))
    }

    /// Returns where a block stands in the file; `None` for one of zeros.
    pub(super) fn block(&self, block: u64) -> std::result::Result<Option<u64>, ReadError> {
        let entry = self.entry(block)?;
        let size = self.file.len();
        let wrong = ReadError::Entry { block, entry, size };
        match entry & 7 {
            state::NOT_PRESENT | state::UNDEFINED | state::ZERO | state::UNMAPPED => Ok(None),
            state::FULLY_PRESENT => {
                let offset = (entry >> 20).saturating_mul(MIB);
                let inside = offset
                    .checked_add(self.block_len(block))
                    .is_some_and(|end| end <= size && offset >= MIB);
                inside.then_some(Some(offset)).ok_or(wrong)
            }
            _ => Err(wrong),
        }
    }

    /// Returns where a piece of the disk stands in the file, `None` for zeros, and its length, at
    /// most `most`.
    fn find(&self, offset: u64, most: u64) -> std::result::Result<(Option<u64>, u64), ReadError> {
        let mut block = offset.checked_div(self.block_size).unwrap_or(0);
        let within = offset.checked_rem(self.block_size).unwrap_or(0);
        let place = self.block(block)?;
        let start = place.map(|place| place.saturating_add(within));
        let mut len = self.block_size.saturating_sub(within);
        while len < most {
            block = block.saturating_add(1);
            let continues = match (start, self.block(block)?) {
                (None, None) => true,
                (Some(start), Some(next)) => next == start.saturating_add(len),
                _ => false,
            };
            if !continues {
                break;
            }
            len = len.saturating_add(self.block_size);
        }
        Ok((start, len.min(most)))
    }
}

impl Mapped for Image {
    /// An offset in the file; none for zeros.
    type Place = Option<u64>;

    const STRETCH: u64 = 1 << 40;

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

fn field(field: &'static str, value: u64) -> ReadError {
    ReadError::Field { field, value }
}

/// Reads the newer one of the two headers that are whole.
pub(super) fn header(file: &dyn BlockRead) -> std::result::Result<RawHeader, ReadError> {
    let mut newest: Option<RawHeader> = None;
    for offset in HEADERS {
        let mut bytes = vec![0; HEADER_LEN];
        file.read_at(offset, &mut bytes)?;
        let Ok((raw, _)) = RawHeader::read_from_prefix(&bytes) else {
            continue;
        };
        let whole = raw.signature == *b"head" && raw.checksum.get() == checksum(&bytes);
        let newer = newest
            .as_ref()
            .is_none_or(|other| other.sequence_number.get() < raw.sequence_number.get());
        if whole && newer {
            newest = Some(raw);
        }
    }
    newest.ok_or(ReadError::Damaged {
        structure: "header",
    })
}

/// Reads where block allocation table and metadata stand.
pub(super) fn regions(
    file: &dyn BlockRead,
) -> std::result::Result<(Range<u64>, Range<u64>), ReadError> {
    for offset in REGION_TABLES {
        let mut bytes = vec![0; TABLE_LEN];
        file.read_at(offset, &mut bytes)?;
        if let Ok((raw, entries)) = RawRegions::read_from_prefix(&bytes)
            && raw.signature == *b"regi"
            && raw.checksum.get() == checksum(&bytes)
        {
            return entries_of(file, &raw, entries);
        }
    }
    Err(ReadError::Damaged {
        structure: "region table",
    })
}

fn entries_of(
    file: &dyn BlockRead,
    raw: &RawRegions,
    entries: &[u8],
) -> std::result::Result<(Range<u64>, Range<u64>), ReadError> {
    let (mut bat, mut metadata) = (None, None);
    let count = usize::try_from(raw.entry_count.get()).unwrap_or(usize::MAX);
    for entry in entries.chunks_exact(32).take(count) {
        let Ok(region) = RawRegion::read_from_bytes(entry) else {
            continue;
        };
        let guid = Guid::from_disk(region.guid);
        let start = region.file_offset.get();
        let end = start.saturating_add(region.length.get().into());
        let place = match guid {
            BAT => &mut bat,
            METADATA => &mut metadata,
            _ if region.required.get() & 1 == 0 => continue,
            _ => {
                return Err(ReadError::Unsupported {
                    what: "an image with regions that are not known",
                });
            }
        };
        if start < MIB || end > file.len() {
            return Err(field("FileOffset of a region", start));
        }
        *place = Some(start..end);
    }
    let bat = bat.ok_or(ReadError::Missing { what: "BAT" })?;
    let metadata = metadata.ok_or(ReadError::Missing { what: "metadata" })?;
    Ok((bat, metadata))
}

impl Facts {
    fn read(file: &dyn BlockRead, region: &Range<u64>) -> std::result::Result<Self, ReadError> {
        let len = region.end.saturating_sub(region.start);
        let mut table = vec![0; TABLE_LEN];
        if len < u64::try_from(TABLE_LEN).unwrap_or(u64::MAX) {
            return Err(field("Length of the metadata", len));
        }
        file.read_at(region.start, &mut table)?;
        let (raw, entries) = RawMetadata::read_from_prefix(&table)
            .map_err(|_| ReadError::Missing { what: "metadata" })?;
        if raw.signature != *b"metadata" {
            return Err(ReadError::Missing { what: "metadata" });
        }
        let mut facts = Self::default();
        for entry in entries.chunks_exact(32).take(raw.entry_count.get().into()) {
            let Ok(entry) = RawItem::read_from_bytes(entry) else {
                continue;
            };
            facts.take(file, region, &entry)?;
        }
        Ok(facts)
    }

    fn take(
        &mut self,
        file: &dyn BlockRead,
        region: &Range<u64>,
        entry: &RawItem,
    ) -> std::result::Result<(), ReadError> {
        let read = |most: u32| -> std::result::Result<u64, ReadError> {
            let offset = u64::from(entry.offset.get());
            let start = region.start.saturating_add(offset);
            let mut bytes = [0; 8];
            let len = usize::try_from(most).unwrap_or(0);
            let inside = start.saturating_add(most.into()) <= region.end;
            match bytes.get_mut(..len) {
                Some(part) if inside && entry.length.get() >= most => file.read_at(start, part)?,
                _ => return Err(field("Offset of a metadata item", offset)),
            }
            Ok(u64::from_le_bytes(bytes))
        };
        match Guid::from_disk(entry.item_id) {
            item::FILE_PARAMETERS => {
                let both = read(8)?;
                self.block_size = Some(both & 0xffff_ffff);
                self.fixed = both >> 32 & 1 != 0;
                self.has_parent = both >> 32 & 2 != 0;
            }
            item::VIRTUAL_DISK_SIZE => self.size = Some(read(8)?),
            item::LOGICAL_SECTOR_SIZE => self.sector_size = Some(read(4)?),
            item::VIRTUAL_DISK_ID | item::PHYSICAL_SECTOR_SIZE => {}
            _ if entry.flags.get() & 4 == 0 => {}
            _ => {
                return Err(ReadError::Unsupported {
                    what: "an image with metadata that is not known",
                });
            }
        }
        Ok(())
    }
}
