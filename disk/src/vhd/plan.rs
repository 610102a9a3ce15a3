//! An image, planned before anything is written.
//!
//! ```text
//! fixed    disk | footer
//! dynamic  footer | dynamic header | table | blocks, each with its bitmap before it | footer
//! ```

use std::ops::Range;
use std::sync::Arc;

use forger_block::{BlockRead, Bytes, SparseImage};

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
    let footer = RawFooter::new(size, disk_type::FIXED, id(size, &[])).seal();
    image.bytes(size, Bytes::copy_from_slice(&footer))?;
    Ok(image.finish(size + FOOTER_LEN)?)
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
    let table_at = FOOTER_LEN + DYNAMIC_LEN;
    let blocks_at = table_at + (entries * 4).next_multiple_of(512);
    let footer = RawFooter::new(size, disk_type::DYNAMIC, id(size, &runs)).seal();
    let footer = Bytes::copy_from_slice(&footer);
    let header = RawDynamic::new(table_at, word(entries), word(BLOCK)).seal();

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
    bytes.resize(usize::try_from(blocks_at - table_at).unwrap_or(0), 0xff);
    image.bytes(table_at, bytes.into())?;
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
