//! An image, planned before anything is written.
//!
//! ```text
//! header | chunks, each with its header: the bytes of the disk, or the word that they repeat
//! ```

use std::sync::Arc;

use forger_block::{BlockRead, Bytes, SparseImage};
use zerocopy::IntoBytes;

use super::error::WriteError;
use super::header::{CHUNK_LEN, HEADER_LEN, MAGIC, RawChunk, RawHeader, kind};
use super::scan::{Stretch, scan};
use crate::progress::Progress;

/// The longest raw chunk, in bytes of the disk: readers count with signed numbers.
const MAX_CHUNK: u64 = 1 << 30;

/// How an image is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Size of a block, in bytes: a power of two from 4096 to 1 MiB.
    pub block_size: u32,
    /// What becomes of zeros.
    pub zeros: Zeros,
}

/// What becomes of blocks of zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Zeros {
    /// They are written: a device that is flashed holds the disk, whatever it held before.
    Fill,
    /// They are left out: the device has been erased.
    DontCare,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            block_size: 4096,
            zeros: Zeros::Fill,
        }
    }
}

impl Options {
    /// Checks every value.
    ///
    /// # Errors
    /// [`WriteError::BlockSize`].
    pub fn validate(&self) -> Result<(), WriteError> {
        let size = self.block_size;
        match size.is_power_of_two() && (4096..=1 << 20).contains(&size) {
            true => Ok(()),
            false => Err(WriteError::BlockSize { size }),
        }
    }

    /// Returns how many blocks a disk has.
    fn blocks(&self, size: u64) -> Result<u64, WriteError> {
        self.validate()?;
        let blocks = size.div_ceil(self.block_size.into());
        match u32::try_from(blocks) {
            Ok(_) => Ok(blocks),
            Err(_) => Err(WriteError::TooLarge {
                size,
                block: self.block_size,
            }),
        }
    }
}

/// Plans the image of a disk, which is rounded up to whole blocks.
///
/// The disk is looked through for what repeats first, on `threads` threads.
///
/// # Errors
/// Those of the source; [`WriteError::TooLarge`]; options that are impossible.
pub fn plan(
    source: &Arc<dyn BlockRead>,
    options: &Options,
    threads: usize,
    progress: &mut dyn Progress,
) -> Result<SparseImage, WriteError> {
    let blocks = options.blocks(source.len())?;
    let block = u64::from(options.block_size);
    let stretches = scan(source, block, threads, progress)?;
    let chunks = chunks(stretches, block);

    let mut headers = header(options, blocks, chunks.len()).as_bytes().to_vec();
    for chunk in &chunks {
        put(&mut headers, chunk, options);
    }
    // All headers stand in one buffer: parts of it cost no memory of their own.
    let headers = Bytes::from(headers);
    let mut image = SparseImage::builder();
    let (mut at, mut from, mut to) = (0, 0, usize::from(HEADER_LEN));
    for chunk in &chunks {
        to += head_len(chunk, options);
        if chunk.word.is_some() {
            continue;
        }
        let head = headers.slice(from..to);
        let start = chunk.blocks.start * block;
        let end = (chunk.blocks.end * block).min(source.len());
        let data_at = at + head.len() as u64;
        image.bytes(at, head)?;
        image.span(data_at, end - start, source, start)?;
        at = data_at + (chunk.blocks.end - chunk.blocks.start) * block;
        from = to;
    }
    let rest = headers.slice(from..);
    let len = at + rest.len() as u64;
    image.bytes(at, rest)?;
    Ok(image.finish(len)?)
}

/// Returns the length of the image of a disk of `size` bytes that repeats nowhere, in bytes.
///
/// # Errors
/// As [`plan`].
pub fn full_len(size: u64, options: &Options) -> Result<u64, WriteError> {
    let len = options.blocks(size)? * u64::from(options.block_size);
    let heads = len.div_ceil(MAX_CHUNK) * u64::from(CHUNK_LEN);
    Ok(u64::from(HEADER_LEN) + heads + len)
}

/// Cuts stretches into chunks.
fn chunks(stretches: Vec<Stretch>, block: u64) -> Vec<Stretch> {
    let most = MAX_CHUNK / block;
    let mut chunks = Vec::with_capacity(stretches.len());
    for Stretch { blocks, word } in stretches {
        let mut start = blocks.start;
        while start < blocks.end {
            let end = match word {
                Some(_) => blocks.end,
                None => blocks.end.min(start + most),
            };
            chunks.push(Stretch {
                blocks: start..end,
                word,
            });
            start = end;
        }
    }
    chunks
}

fn header(options: &Options, blocks: u64, chunks: usize) -> RawHeader {
    RawHeader {
        magic: MAGIC,
        major_version: 1.into(),
        minor_version: 0.into(),
        file_hdr_sz: HEADER_LEN.into(),
        chunk_hdr_sz: CHUNK_LEN.into(),
        blk_sz: options.block_size.into(),
        total_blks: word(blocks).into(),
        total_chunks: word(chunks as u64).into(),
        image_checksum: 0.into(),
    }
}

/// Returns the kind of a chunk, and how many bytes beside those of the disk follow its header.
fn kind_of(chunk: &Stretch, options: &Options) -> (u16, u16) {
    match chunk.word {
        None => (kind::RAW, 0),
        Some([0, 0, 0, 0]) if options.zeros == Zeros::DontCare => (kind::DONT_CARE, 0),
        Some(_) => (kind::FILL, 4),
    }
}

fn head_len(chunk: &Stretch, options: &Options) -> usize {
    usize::from(CHUNK_LEN + kind_of(chunk, options).1)
}

/// Appends what a chunk has beside the bytes of the disk.
fn put(headers: &mut Vec<u8>, chunk: &Stretch, options: &Options) {
    let (kind, extra) = kind_of(chunk, options);
    let blocks = chunk.blocks.end - chunk.blocks.start;
    let data = match chunk.word {
        None => blocks * u64::from(options.block_size),
        Some(_) => extra.into(),
    };
    let raw = RawChunk {
        chunk_type: kind.into(),
        reserved1: 0.into(),
        chunk_sz: word(blocks).into(),
        total_sz: word(u64::from(CHUNK_LEN) + data).into(),
    };
    headers.extend_from_slice(raw.as_bytes());
    if let (Some(bytes), 4) = (chunk.word, extra) {
        headers.extend_from_slice(&bytes);
    }
}

/// Returns a number that the limit of sizes keeps small.
fn word(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}
