//! An image, planned before anything is written.
//!
//! ```text
//! fixed    disk | footer
//! dynamic  footer | dynamic header | table | blocks, each with its bitmap before it | footer
//! ```

use std::ops::Range;
use std::sync::Arc;

use forger_block::{BlockRead, BlockSink, Bytes, SparseImage};

use super::error::WriteError;
use super::footer::{DYNAMIC_LEN, FOOTER_LEN, RawDynamic, RawFooter, disk_type};
use crate::Guid;
use crate::occupied::occupied;
use crate::progress::Progress;

/// Disks are rounded up to it, in bytes: Azure takes no others.
const UNIT: u64 = 1 << 20;

/// The largest disk, in bytes.
const MAX_SIZE: u64 = 2040 << 30;

/// Size of a block of a dynamic image, in bytes.
const BLOCK: u64 = 2 << 20;

/// Length of a block's bitmap, in bytes.
const BITMAP: u64 = BLOCK / 512 / 8;

/// Plans the fixed image of a disk, which is rounded up to 1 MiB.
///
/// # Errors
/// [`WriteError::TooLarge`].
pub fn plan_fixed(source: &Arc<dyn BlockRead>) -> Result<SparseImage, WriteError> {
    let size = rounded(source.len())?;
    let mut image = SparseImage::builder();
    image.span(0, source.len(), source, 0)?;
    image.bytes(size, Bytes::copy_from_slice(&fixed_footer(size)))?;
    Ok(image.finish(size + FOOTER_LEN)?)
}

/// Makes a fixed image of a disk that stands in a sink, by rounding it up and writing its footer;
/// the sink is not finished.
///
/// # Errors
/// Those of the sink; [`WriteError::TooLarge`].
pub fn append_fixed_footer(sink: &mut dyn BlockSink) -> Result<(), WriteError> {
    let size = rounded(sink.position())?;
    sink.skip(size - sink.position())?;
    Ok(sink.write(&fixed_footer(size))?)
}

fn fixed_footer(size: u64) -> [u8; 512] {
    RawFooter::new(size, disk_type::FIXED, id(size, &[])).seal()
}

/// Returns the length of the fixed image of a disk of `size` bytes, in bytes.
///
/// # Errors
/// [`WriteError::TooLarge`].
pub fn fixed_len(size: u64) -> Result<u64, WriteError> {
    Ok(rounded(size)? + FOOTER_LEN)
}

/// Returns the length of the dynamic image of a disk of `size` bytes without zeros, in bytes.
///
/// # Errors
/// [`WriteError::TooLarge`].
pub fn full_dynamic_len(size: u64) -> Result<u64, WriteError> {
    let blocks = size.div_ceil(BLOCK);
    Ok(blocks_at(rounded(size)?) + blocks * (BITMAP + BLOCK) + FOOTER_LEN)
}

/// Where the table of a dynamic image stands, in bytes.
const TABLE_AT: u64 = FOOTER_LEN + DYNAMIC_LEN;

/// Returns where the blocks of a dynamic image begin, in bytes.
fn blocks_at(size: u64) -> u64 {
    TABLE_AT + (size.div_ceil(BLOCK) * 4).next_multiple_of(512)
}

/// Plans the dynamic image of a disk, which is rounded up to 1 MiB: what is zeros takes no room, 2
/// MiB at a time.
///
/// The disk is looked through for zeros first, on `threads` threads.
///
/// # Errors
/// Those of the source; [`WriteError::TooLarge`].
pub fn plan_dynamic(
    source: &Arc<dyn BlockRead>,
    threads: usize,
    progress: &mut dyn Progress,
) -> Result<SparseImage, WriteError> {
    let size = rounded(source.len())?;
    let runs = occupied(source, BLOCK, threads, progress)?;
    let entries = size.div_ceil(BLOCK);
    let blocks_at = blocks_at(size);
    let footer = RawFooter::new(size, disk_type::DYNAMIC, id(size, &runs)).seal();
    let footer = Bytes::copy_from_slice(&footer);
    let header = RawDynamic::new(TABLE_AT, word(entries), word(BLOCK)).seal();

    let mut image = SparseImage::builder();
    image.bytes(0, footer.clone())?;
    image.bytes(FOOTER_LEN, Bytes::copy_from_slice(&header))?;
    let whole = Bytes::from(vec![0xff; usize::try_from(BITMAP).unwrap_or(0)]);
    let mut table = vec![u32::MAX; usize::try_from(entries).unwrap_or(usize::MAX)];
    let mut at = blocks_at;
    for block in runs.iter().cloned().flatten() {
        table[usize::try_from(block).unwrap_or(usize::MAX)] = word(at / 512);
        image.bytes(at, whole.clone())?;
        let start = block * BLOCK;
        let len = BLOCK.min(source.len() - start);
        image.span(at + BITMAP, len, source, start)?;
        at += BITMAP + BLOCK;
    }
    let mut bytes: Vec<u8> = table
        .iter()
        .flat_map(|sector| sector.to_be_bytes())
        .collect();
    bytes.resize(usize::try_from(blocks_at - TABLE_AT).unwrap_or(0), 0xff);
    image.bytes(TABLE_AT, bytes.into())?;
    image.bytes(at, footer)?;
    Ok(image.finish(at + FOOTER_LEN)?)
}

fn rounded(size: u64) -> Result<u64, WriteError> {
    match size.checked_next_multiple_of(UNIT) {
        Some(size) if size <= MAX_SIZE => Ok(size),
        _ => Err(WriteError::TooLarge { size }),
    }
}

/// Derives the image's identifier from what the plan knows.
fn id(size: u64, runs: &[Range<u64>]) -> Guid {
    let numbers = runs.iter().flat_map(|run| [run.start, run.end]);
    let seed: Vec<u8> = std::iter::once(size)
        .chain(numbers)
        .flat_map(u64::to_le_bytes)
        .collect();
    Guid::derived(&seed, "vhd")
}

/// Returns a number that the limit of sizes keeps small.
fn word(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}
