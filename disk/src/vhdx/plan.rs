//! An image, planned before anything is written.
//!
//! ```text
//! identifier, headers, region tables | log, empty | block allocation table | metadata | blocks
//! ```

use std::ops::Range;
use std::sync::Arc;

use forger_block::{BlockRead, Bytes, SparseImage};
use zerocopy::IntoBytes;

use super::error::WriteError;
use super::layout::{
    BAT, FILE_SIGNATURE, HEADER_LEN, HEADERS, MAX_SIZE, METADATA, MIB, REGION_TABLES, RawHeader,
    RawItem, RawMetadata, RawRegion, RawRegions, TABLE_LEN, checksum, chunk_ratio, entry_index,
    item, state,
};
use crate::Guid;
use crate::occupied::occupied;
use crate::progress::Progress;
use crate::words::Words;

/// Size of a block, in bytes: the smallest there is, which keeps most holes.
const BLOCK: u64 = MIB;

/// Length of the log, in bytes.
const LOG: u64 = MIB;

/// How an image is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Size of a sector of the disk, in bytes: 512 or 4096.
    pub sector_size: u64,
    /// Every block has its place in the file, zeros or not.
    pub fixed: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            sector_size: 512,
            fixed: false,
        }
    }
}

impl Options {
    /// Returns the size of the disk, rounded up to whole sectors, in bytes.
    fn rounded(&self, size: u64) -> Result<u64, WriteError> {
        if !matches!(self.sector_size, 512 | 4096) {
            return Err(WriteError::SectorSize {
                size: self.sector_size,
            });
        }
        match size.checked_next_multiple_of(self.sector_size) {
            Some(size) if size <= MAX_SIZE => Ok(size),
            _ => Err(WriteError::TooLarge { size }),
        }
    }
}

/// Plans the image of a disk, which is rounded up to whole sectors: in a dynamic one, what is zeros
/// takes no room, 1 MiB at a time.
///
/// For a dynamic one the disk is looked through for zeros first, on `threads` threads.
///
/// # Errors
/// Those of the source; [`WriteError::TooLarge`]; an impossible size of sectors.
pub fn plan(
    source: &Arc<dyn BlockRead>,
    options: &Options,
    threads: usize,
    progress: &mut dyn Progress,
) -> Result<SparseImage, WriteError> {
    let sector_size = options.sector_size;
    let size = options.rounded(source.len())?;
    let runs = match (options.fixed, size.div_ceil(BLOCK)) {
        (false, _) => occupied(source, BLOCK, threads, progress)?,
        (true, 0) => Vec::new(),
        (true, blocks) => std::iter::once(0..blocks).collect(),
    };
    let ratio = chunk_ratio(sector_size, BLOCK);
    let (entries, bat, metadata) = regions(size, ratio);
    let first = metadata.start + metadata.len;

    let seed = seed(size, sector_size, &runs);
    let mut image = SparseImage::builder();
    let mut identifier = FILE_SIGNATURE.to_vec();
    identifier.extend("forger".encode_utf16().flat_map(u16::to_le_bytes));
    image.bytes(0, identifier.into())?;
    for (sequence, offset) in (1..).zip(HEADERS) {
        image.bytes(offset, header(sequence, &seed))?;
    }
    let table = region_table(bat, metadata);
    for offset in REGION_TABLES {
        image.bytes(offset, table.clone())?;
    }
    for (offset, bytes) in items(size, options, Guid::derived(&seed, "vhdx disk")) {
        image.bytes(metadata.start + offset, bytes)?;
    }
    let mut at = first;
    for run in &runs {
        let start = run.start * BLOCK;
        let len = (run.end * BLOCK).min(source.len()) - start;
        image.span(at, len, source, start)?;
        at += (run.end - run.start) * BLOCK;
    }
    let words: Arc<dyn BlockRead> = Arc::new(table_of(runs, entries, ratio, first));
    image.span(bat.start, words.len(), &words, 0)?;
    Ok(image.finish(at)?)
}

/// Returns the length of the image of a disk of `size` bytes without zeros, in bytes.
///
/// # Errors
/// As [`plan`].
pub fn full_len(size: u64, options: &Options) -> Result<u64, WriteError> {
    let size = options.rounded(size)?;
    let (_, _, metadata) = regions(size, chunk_ratio(options.sector_size, BLOCK));
    Ok(metadata.start + metadata.len + size.next_multiple_of(BLOCK))
}

/// Returns how many entries the block allocation table has, where it stands, and where the metadata
/// do.
fn regions(size: u64, ratio: u64) -> (u64, Place, Place) {
    let entries = size
        .div_ceil(BLOCK)
        .checked_sub(1)
        .map_or(0, |last| entry_index(last, ratio) + 1);
    let bat = Place {
        start: MIB + LOG,
        len: (entries * 8).next_multiple_of(MIB).max(MIB),
    };
    let metadata = Place {
        start: bat.start + bat.len,
        len: MIB,
    };
    (entries, bat, metadata)
}

/// Where a region stands, in bytes.
#[derive(Clone, Copy)]
struct Place {
    start: u64,
    len: u64,
}

/// Returns the block allocation table; the blocks of the runs stand one behind the other from
/// `first` on.
fn table_of(runs: Vec<Range<u64>>, entries: u64, ratio: u64, first: u64) -> Words {
    let mut at = first / MIB;
    let placed: Vec<(Range<u64>, u64)> = runs
        .into_iter()
        .map(|run| {
            let place = at;
            at += run.end - run.start;
            (run, place)
        })
        .collect();
    Words::new(entries, move |index| {
        // Each chunk of entries ends with that of a sector bitmap, which only differencing images
        // have.
        let (chunk, within) = (index / (ratio + 1), index % (ratio + 1));
        let block = chunk * ratio + within;
        let after = placed.partition_point(|(run, _)| run.end <= block);
        match placed.get(after) {
            Some((run, place)) if within < ratio && run.contains(&block) => {
                ((place + (block - run.start)) << 20 | state::FULLY_PRESENT).to_le_bytes()
            }
            _ => state::NOT_PRESENT.to_le_bytes(),
        }
    })
}

/// Returns what the identifiers are derived from.
fn seed(size: u64, sector_size: u64, runs: &[Range<u64>]) -> Vec<u8> {
    let numbers = runs.iter().flat_map(|run| [run.start, run.end]);
    [size, sector_size]
        .into_iter()
        .chain(numbers)
        .flat_map(u64::to_le_bytes)
        .collect()
}

fn header(sequence: u64, seed: &[u8]) -> Bytes {
    let raw = RawHeader {
        signature: *b"head",
        checksum: 0.into(),
        sequence_number: sequence.into(),
        file_write_guid: Guid::derived(seed, "vhdx file write").to_disk(),
        data_write_guid: Guid::derived(seed, "vhdx data write").to_disk(),
        log_guid: [0; 16],
        log_version: 0.into(),
        version: 1.into(),
        log_length: small(LOG).into(),
        log_offset: MIB.into(),
    };
    let mut bytes = raw.as_bytes().to_vec();
    bytes.resize(HEADER_LEN, 0);
    sealed(bytes)
}

fn region_table(bat: Place, metadata: Place) -> Bytes {
    let raw = RawRegions {
        signature: *b"regi",
        checksum: 0.into(),
        entry_count: 2.into(),
        reserved: 0.into(),
    };
    let mut bytes = raw.as_bytes().to_vec();
    for (guid, place) in [(BAT, bat), (METADATA, metadata)] {
        let region = RawRegion {
            guid: guid.to_disk(),
            file_offset: place.start.into(),
            length: small(place.len).into(),
            required: 1.into(),
        };
        bytes.extend_from_slice(region.as_bytes());
    }
    bytes.resize(TABLE_LEN, 0);
    sealed(bytes)
}

/// Returns the metadata: its table and its items, by their offsets.
fn items(size: u64, options: &Options, id: Guid) -> [(u64, Bytes); 2] {
    /// The disk's, and required.
    const DISK: u32 = 6;
    /// Required.
    const FILE: u32 = 4;
    // Behind the size of a block: whether blocks stay allocated.
    let parameters = BLOCK | u64::from(options.fixed) << 32;
    let values: [(Guid, u32, Vec<u8>); 5] = [
        (
            item::FILE_PARAMETERS,
            FILE,
            parameters.to_le_bytes().to_vec(),
        ),
        (item::VIRTUAL_DISK_SIZE, DISK, size.to_le_bytes().to_vec()),
        (item::VIRTUAL_DISK_ID, DISK, id.to_disk().to_vec()),
        (
            item::LOGICAL_SECTOR_SIZE,
            DISK,
            small(options.sector_size).to_le_bytes().to_vec(),
        ),
        (
            item::PHYSICAL_SECTOR_SIZE,
            DISK,
            4096_u32.to_le_bytes().to_vec(),
        ),
    ];
    let head = RawMetadata {
        signature: *b"metadata",
        reserved: 0.into(),
        entry_count: 5.into(),
        reserved2: [0; 20],
    };
    let mut table = head.as_bytes().to_vec();
    let mut contents = Vec::new();
    for (item_id, flags, value) in values {
        let entry = RawItem {
            item_id: item_id.to_disk(),
            offset: small((TABLE_LEN + contents.len()) as u64).into(),
            length: small(value.len() as u64).into(),
            flags: flags.into(),
            reserved: 0.into(),
        };
        table.extend_from_slice(entry.as_bytes());
        contents.extend(value);
    }
    [(0, table.into()), (TABLE_LEN as u64, contents.into())]
}

/// Puts the checksum in its place.
fn sealed(mut bytes: Vec<u8>) -> Bytes {
    let sum = checksum(&bytes);
    bytes[4..8].copy_from_slice(&sum.to_le_bytes());
    bytes.into()
}

/// Returns a number that the limit of sizes keeps small.
fn small(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}
