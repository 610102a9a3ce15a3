//! Reading an image: one sparse extent, plain or compressed.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

use std::sync::{Arc, Mutex, PoisonError};

use forger_block::{BlockRead, MAX_LEN, Result, Run, run_within};
use zerocopy::FromBytes;

use super::error::ReadError;
use super::grain::Inflater;
use super::header::{AT_END, MAGIC, RawGrain, RawHeader, check_descriptor, flag};
use crate::cache::Cache;
use crate::mapped::{self, Mapped};

/// The largest grain directory, in bytes: a disk of 8 TiB has one of that size.
const MAX_DIRECTORY: u64 = 1 << 20;

/// The longest descriptor, in sectors.
const MAX_DESCRIPTOR: u64 = 2048;

/// So much memory grain tables may take, and decompressed grains, in bytes.
const TABLES: u64 = 1 << 20;
const GRAINS: u64 = 8 << 20;

/// The disk in a VMDK image.
#[derive(Debug)]
pub struct Image {
    file: Arc<dyn BlockRead>,
    header: RawHeader,
    size: u64,
    /// Size of a grain, in bytes.
    grain: u64,
    /// Entries of a grain table.
    entries: u64,
    compressed: bool,
    zeroed: bool,
    /// Sectors of the grain tables.
    directory: Vec<u32>,
    tables: Cache<Vec<u32>>,
    grains: Cache<Vec<u8>>,
    /// Those that nobody uses at the moment.
    inflaters: Mutex<Vec<Inflater>>,
}

/// Where a piece of the disk is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Zeros,
    /// In the file, at an offset.
    Plain(u64),
    /// In a compressed grain, whose sector this is.
    Compressed(u32),
}

impl Image {
    /// Opens an image.
    ///
    /// # Errors
    /// A file that is no sparse VMDK image, one that needs other files, and a damaged one.
    pub fn open(file: Arc<dyn BlockRead>) -> std::result::Result<Self, ReadError> {
        let mut header = header(&file, 0)?.ok_or(ReadError::NotVmdk)?;
        check_header(&header)?;
        read_descriptor(&file, &header)?;
        if header.gd_offset.get() == AT_END {
            let at = file.len().checked_sub(1024).ok_or(ReadError::NotVmdk)?;
            let missing = || ReadError::Unsupported {
                what: "a stream without its footer".to_owned(),
            };
            let footer = self::header(&file, at)?.ok_or_else(missing)?;
            check_header(&footer)?;
            if footer.capacity != header.capacity || footer.grain_size != header.grain_size {
                return Err(field("capacity of the footer", footer.capacity.get()));
            }
            header = footer;
        }
        let flags = header.flags.get();
        let size = header.capacity.get().saturating_mul(512);
        let grain = header.grain_size.get().saturating_mul(512);
        let entries = u64::from(header.num_gtes_per_gt.get());
        let tables = size.div_ceil(grain.saturating_mul(entries).max(1));
        let directory = read_words(&file, header.gd_offset.get(), tables)?;
        check_twice(&directory)?;
        Ok(Self {
            directory,
            size,
            grain,
            entries,
            compressed: flags & flag::COMPRESSED != 0,
            zeroed: flags & flag::ZEROED != 0,
            tables: Cache::new(entries.saturating_mul(4), TABLES),
            grains: Cache::new(grain, GRAINS),
            header,
            inflaters: Mutex::default(),
            file,
        })
    }

    /// Tells whether grains are compressed.
    #[must_use]
    pub fn is_compressed(&self) -> bool {
        self.compressed
    }

    pub(super) fn header(&self) -> &RawHeader {
        &self.header
    }

    /// Returns the sectors of the grain tables.
    pub(super) fn directory(&self) -> &[u32] {
        &self.directory
    }

    /// Returns the sector of the copy of the grain directory, if there is one.
    pub(super) fn redundant(&self) -> Option<u64> {
        let there = self.header.flags.get() & flag::REDUNDANT != 0;
        there.then_some(self.header.rgd_offset.get())
    }

    /// Returns how many entries a grain table has.
    pub(super) fn table_entries(&self) -> u64 {
        self.entries
    }

    /// Returns the size of a grain, in bytes.
    pub(super) fn grain_len(&self) -> u64 {
        self.grain
    }

    /// Tells whether an entry of a grain table refers to a grain.
    pub(super) fn is_grain(&self, sector: u32) -> bool {
        sector != 0 && !(sector == 1 && self.zeroed)
    }

    /// Returns where the rest of a grain is.
    fn place(&self, offset: u64) -> std::result::Result<Place, ReadError> {
        let index = offset.checked_div(self.grain).unwrap_or(0);
        let within = offset.checked_rem(self.grain).unwrap_or(0);
        let guest = offset.saturating_sub(within);
        let table = index.checked_div(self.entries).unwrap_or(0);
        let table = usize::try_from(table).unwrap_or(usize::MAX);
        let sector = self.directory.get(table).copied().unwrap_or(0);
        if sector == 0 {
            return Ok(Place::Zeros);
        }
        let beyond = |what, sector| ReadError::Beyond {
            what,
            guest,
            sector,
            size: self.file.len(),
        };
        let entries = self.tables.get(sector.into(), || {
            read_words(&self.file, sector.into(), self.entries)
                .map_err(|_| beyond("grain table", sector))
        })?;
        let entry = index.checked_rem(self.entries).unwrap_or(0);
        let entry = usize::try_from(entry).unwrap_or(usize::MAX);
        let sector = entries.get(entry).copied().unwrap_or(0);
        if !self.is_grain(sector) {
            return Ok(Place::Zeros);
        }
        let start = u64::from(sector).saturating_mul(512);
        if self.compressed {
            return match start < self.file.len() {
                true => Ok(Place::Compressed(sector)),
                false => Err(beyond("grain", sector)),
            };
        }
        // The last grain may be cut where the disk ends.
        let needed = self.grain.min(self.size.saturating_sub(guest));
        match start.saturating_add(needed) <= self.file.len() {
            true => Ok(Place::Plain(start.saturating_add(within))),
            false => Err(beyond("grain", sector)),
        }
    }

    /// Returns the place of a piece and its length, at most `most`.
    fn find(&self, offset: u64, most: u64) -> std::result::Result<(Place, u64), ReadError> {
        let place = self.place(offset)?;
        let within = offset.checked_rem(self.grain).unwrap_or(0);
        let mut len = self.grain.saturating_sub(within);
        while len < most {
            let next = self.place(offset.saturating_add(len))?;
            let continues = match (place, next) {
                (Place::Zeros, Place::Zeros) => true,
                (Place::Plain(start), Place::Plain(at)) => at == start.saturating_add(len),
                _ => false,
            };
            if !continues {
                break;
            }
            len = len.saturating_add(self.grain);
        }
        Ok((place, len.min(most)))
    }

    /// Fills a buffer as long as a grain with a compressed one.
    fn inflate(
        &self,
        guest: u64,
        sector: u32,
        grain: &mut [u8],
    ) -> std::result::Result<(), ReadError> {
        let damaged = ReadError::Grain { guest };
        let start = u64::from(sector).saturating_mul(512);
        let data = start.saturating_add(12);
        let mut head = [0; 12];
        if data > self.file.len() {
            return Err(damaged);
        }
        self.file.read_at(start, &mut head)?;
        let head: RawGrain = zerocopy::transmute!(head);
        let len = u64::from(head.size.get());
        let most = self.grain.saturating_mul(2).saturating_add(1024);
        let inside = len <= most && data.saturating_add(len) <= self.file.len();
        if !inside || head.lba.get().saturating_mul(512) != guest {
            return Err(damaged);
        }
        let mut packed = vec![0; usize::try_from(len).unwrap_or(0)];
        self.file.read_at(data, &mut packed)?;
        let idle = || {
            self.inflaters
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
        };
        let waiting = idle().pop();
        let mut inflater = waiting.unwrap_or_else(Inflater::new);
        let len = inflater.inflate(&packed, grain);
        idle().push(inflater);
        match len >= self.grain.min(self.size.saturating_sub(guest)) {
            true => Ok(()),
            false => Err(damaged),
        }
    }

    /// Fills a buffer with a part of a compressed grain.
    fn read_grain(&self, offset: u64, sector: u32, part: &mut [u8]) -> Result<()> {
        let within = offset.checked_rem(self.grain).unwrap_or(0);
        let guest = offset.saturating_sub(within);
        let size = usize::try_from(self.grain).unwrap_or(0);
        if part.len() == size {
            // A whole one is wanted once, as a rule.
            return Ok(self.inflate(guest, sector, part)?);
        }
        let grain = self.grains.get(guest, || {
            let mut grain = vec![0; size];
            self.inflate(guest, sector, &mut grain).map(|()| grain)
        })?;
        let from = usize::try_from(within).unwrap_or(usize::MAX);
        let bytes = grain.get(from..).and_then(|rest| rest.get(..part.len()));
        part.copy_from_slice(bytes.unwrap_or_default());
        Ok(())
    }
}

impl Mapped for Image {
    type Place = Place;

    const STRETCH: u64 = 64 << 30;

    fn size(&self) -> u64 {
        self.size
    }

    fn piece(&self, offset: u64, most: u64) -> Result<(Place, u64)> {
        Ok(self.find(offset, most)?)
    }

    fn fill(&self, offset: u64, place: &Place, part: &mut [u8]) -> Result<()> {
        match *place {
            Place::Zeros => part.fill(0),
            Place::Plain(start) => self.file.read_at(start, part)?,
            Place::Compressed(sector) => self.read_grain(offset, sector, part)?,
        }
        Ok(())
    }

    fn run(&self, _offset: u64, place: &Place, len: u64) -> Result<Run> {
        match *place {
            Place::Zeros => Ok(Run::Hole(len)),
            Place::Compressed(_) => Ok(Run::Data(len)),
            Place::Plain(start) => run_within(&self.file, start, len),
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

/// Checks that no grain table is used twice: a small file could make a disk that takes for ever to
/// walk.
fn check_twice(directory: &[u32]) -> std::result::Result<(), ReadError> {
    let mut tables: Vec<u32> = directory
        .iter()
        .copied()
        .filter(|sector| *sector != 0)
        .collect();
    tables.sort_unstable();
    let twice = tables.windows(2).find_map(|pair| match pair {
        [first, second] if first == second => Some(*first),
        _ => None,
    });
    match twice {
        Some(sector) => Err(field("sector of two grain tables", sector.into())),
        None => Ok(()),
    }
}

/// Reads a header, if one stands there.
fn header(file: &dyn BlockRead, offset: u64) -> std::result::Result<Option<RawHeader>, ReadError> {
    let mut bytes = [0; 512];
    if offset.saturating_add(512) > file.len() {
        return Ok(None);
    }
    file.read_at(offset, &mut bytes)?;
    let raw = RawHeader::read_from_bytes(&bytes).map_err(|_| ReadError::NotVmdk)?;
    Ok((raw.magic == MAGIC).then_some(raw))
}

pub(super) fn check_header(raw: &RawHeader) -> std::result::Result<(), ReadError> {
    let version = raw.version.get();
    if !(1..=3).contains(&version) {
        return Err(ReadError::Unsupported {
            what: format!("version {version} of VMDK"),
        });
    }
    let flags = raw.flags.get();
    if flags & flag::NEWLINES != 0 && raw.newlines != *b"\n \r\n" {
        return Err(ReadError::Unsupported {
            what: "a VMDK that was transferred as text".to_owned(),
        });
    }
    let grain = raw.grain_size.get();
    if !grain.is_power_of_two() || !(8..=4096).contains(&grain) {
        return Err(field("grainSize", grain));
    }
    let capacity = raw.capacity.get();
    if capacity > MAX_LEN / 512 {
        return Err(field("capacity", capacity));
    }
    let entries = raw.num_gtes_per_gt.get();
    if !(1..=512).contains(&entries) {
        return Err(field("numGTEsPerGT", entries.into()));
    }
    let compressed = flags & flag::COMPRESSED != 0;
    let algorithm = raw.compress_algorithm.get();
    if compressed && (algorithm != 1 || flags & flag::MARKERS == 0) {
        return Err(field("compressAlgorithm", algorithm.into()));
    }
    Ok(())
}

fn read_descriptor(file: &dyn BlockRead, header: &RawHeader) -> std::result::Result<(), ReadError> {
    let (offset, size) = (header.descriptor_offset.get(), header.descriptor_size.get());
    if offset == 0 {
        return Ok(());
    }
    let end = offset.saturating_add(size).saturating_mul(512);
    if size > MAX_DESCRIPTOR || end > file.len() {
        return Err(field("descriptorSize", size));
    }
    let len = usize::try_from(size.saturating_mul(512)).unwrap_or(0);
    let mut bytes = vec![0; len];
    file.read_at(offset.saturating_mul(512), &mut bytes)?;
    check_descriptor(&bytes)
}

/// Reads a table of sector numbers.
pub(super) fn read_words(
    file: &dyn BlockRead,
    sector: u64,
    count: u64,
) -> std::result::Result<Vec<u32>, ReadError> {
    let len = count.saturating_mul(4);
    let offset = sector.saturating_mul(512);
    if len > MAX_DIRECTORY || offset.saturating_add(len) > file.len() {
        return Err(field("gdOffset", sector));
    }
    let mut bytes = vec![0; usize::try_from(len).unwrap_or(0)];
    if !bytes.is_empty() {
        file.read_at(offset, &mut bytes)?;
    }
    let (words, _) = bytes.as_chunks::<4>();
    Ok(words.iter().map(|word| u32::from_le_bytes(*word)).collect())
}
