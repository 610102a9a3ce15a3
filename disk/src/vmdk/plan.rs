//! An uncompressed image (monolithicSparse), planned before anything is written.
//!
//! ```text
//! header | descriptor | directory and tables | and again | grains
//! ```

use std::ops::Range;
use std::sync::Arc;

use forger_block::{BlockRead, Bytes, SparseImage};
use zerocopy::IntoBytes;

use super::error::WriteError;
use super::header::{
    DESCRIPTOR_SECTORS, GRAIN_SECTORS, RawHeader, TABLE_ENTRIES, descriptor, flag,
};
use crate::Guid;
use crate::occupied::occupied;
use crate::progress::Progress;
use crate::words::Words;

/// Size of a grain, in bytes.
pub(super) const GRAIN: u64 = GRAIN_SECTORS * 512;

/// The largest disk, in bytes: sectors of the file have 32 bits.
pub(super) const MAX_SIZE: u64 = (2 << 40) - (1 << 30);

/// Plans the image of a disk, which is rounded up to 64 KiB; `name` is the file's, which stands in
/// its descriptor.
///
/// The disk is looked through for zeros first, on `threads` threads.
///
/// # Errors
/// Those of the source; [`WriteError::TooLarge`]; a name that cannot stand there.
pub fn plan(
    source: &Arc<dyn BlockRead>,
    name: &str,
    threads: usize,
    progress: &mut dyn Progress,
) -> Result<SparseImage, WriteError> {
    let size = rounded(source.len())?;
    let capacity = size / 512;
    let runs = occupied(source, GRAIN, threads, progress)?;
    let Places {
        tables,
        directory_len,
        table_len,
        first_copy,
        second_copy,
        first,
    } = Places::new(size);

    let mut header = RawHeader::new(capacity, 1, flag::REDUNDANT);
    header.rgd_offset = first_copy.into();
    header.gd_offset = second_copy.into();
    header.overhead = first.into();
    let mut image = SparseImage::builder();
    image.bytes(0, Bytes::copy_from_slice(header.as_bytes()))?;
    let text = descriptor("monolithicSparse", name, capacity, id(size, &runs))?;
    image.bytes(512, text.into())?;
    let entries: Arc<dyn BlockRead> = Arc::new(entries(&runs, tables, first));
    for copy in [first_copy, second_copy] {
        let tables_at = copy + directory_len;
        let directory: Vec<u8> = (0..tables)
            .flat_map(|table| word(tables_at + table * table_len).to_le_bytes())
            .collect();
        image.bytes(copy * 512, directory.into())?;
        image.span(tables_at * 512, entries.len(), &entries, 0)?;
    }
    let mut at = first * 512;
    for run in &runs {
        let start = run.start * GRAIN;
        let len = (run.end * GRAIN).min(source.len()) - start;
        image.span(at, len, source, start)?;
        at += (run.end - run.start) * GRAIN;
    }
    Ok(image.finish(at)?)
}

/// Returns the length of the image of a disk of `size` bytes without zeros, in bytes.
///
/// # Errors
/// [`WriteError::TooLarge`].
pub fn full_len(size: u64) -> Result<u64, WriteError> {
    let size = rounded(size)?;
    Ok(Places::new(size).first * 512 + size)
}

/// Where tables and grains stand, in sectors.
struct Places {
    tables: u64,
    directory_len: u64,
    table_len: u64,
    first_copy: u64,
    second_copy: u64,
    /// Of the first grain.
    first: u64,
}

impl Places {
    fn new(size: u64) -> Self {
        let tables = size.div_ceil(GRAIN * TABLE_ENTRIES);
        let directory_len = (tables * 4).div_ceil(512);
        let table_len = TABLE_ENTRIES * 4 / 512;
        let first_copy = 1 + DESCRIPTOR_SECTORS;
        let second_copy = first_copy + directory_len + tables * table_len;
        let end = second_copy + directory_len + tables * table_len;
        Self {
            tables,
            directory_len,
            table_len,
            first_copy,
            second_copy,
            first: end.next_multiple_of(GRAIN_SECTORS),
        }
    }
}

/// Returns the entries of all grain tables; the grains of the runs stand one behind the other from
/// a sector on.
fn entries(runs: &[Range<u64>], tables: u64, first: u64) -> Words {
    let mut at = first;
    let placed: Vec<(Range<u64>, u64)> = runs
        .iter()
        .map(|run| {
            let place = at;
            at += (run.end - run.start) * GRAIN_SECTORS;
            (run.clone(), place)
        })
        .collect();
    let entry = move |grain: u64| {
        let after = placed.partition_point(|(run, _)| run.end <= grain);
        match placed.get(after) {
            Some((run, place)) if run.contains(&grain) => {
                word(place + (grain - run.start) * GRAIN_SECTORS)
            }
            _ => 0,
        }
    };
    Words::new(tables * TABLE_ENTRIES / 2, move |pair| {
        let (low, high) = (entry(pair * 2), entry(pair * 2 + 1));
        (u64::from(low) | u64::from(high) << 32).to_le_bytes()
    })
}

/// Rounds a disk's size up to whole grains.
pub(crate) fn rounded(size: u64) -> Result<u64, WriteError> {
    match size.checked_next_multiple_of(GRAIN) {
        Some(size) if size <= MAX_SIZE => Ok(size),
        _ => Err(WriteError::TooLarge { size }),
    }
}

/// Derives the content's identifier from what the plan knows.
pub(super) fn id(size: u64, runs: &[Range<u64>]) -> u32 {
    let numbers = runs.iter().flat_map(|run| [run.start, run.end]);
    let seed: Vec<u8> = std::iter::once(size)
        .chain(numbers)
        .flat_map(u64::to_le_bytes)
        .collect();
    let [a, b, c, d, ..] = Guid::derived(&seed, "vmdk").to_disk();
    // All ones and all but one mean other things.
    u32::from_le_bytes([a, b, c, d]) & 0x7fff_ffff
}

/// Returns a sector that the limit of sizes keeps small.
fn word(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}
