//! Reading an image.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

use std::sync::Arc;

use forger_block::{BlockRead, Error, MAX_LEN, PIECE, Result, Run, run_within};
use zerocopy::FromBytes;

use super::crc32::Sum;
use super::error::ReadError;
use super::header::{CHUNK_LEN, HEADER_LEN, MAGIC, RawChunk, RawHeader, kind};
use super::plan::Zeros;
use crate::mapped::{self, Mapped};
use crate::progress::Progress;

/// So many stretches of one kind an image may have: 100 MB of memory.
const MAX_STRETCHES: usize = 4 << 20;

/// So many checksums an image may have.
const MAX_SUMS: usize = 1 << 16;

/// The disk in an Android sparse image.
#[derive(Debug)]
pub struct Image {
    file: Arc<dyn BlockRead>,
    size: u64,
    block_size: u32,
    /// In ascending order, without gaps.
    stretches: Vec<Stretch>,
    /// So many bytes of the disk have this CRC-32.
    sums: Vec<(u64, u32)>,
    /// There are blocks of which it does not say what they hold.
    dont_care: bool,
}

/// Up to the next one, the disk is of one kind.
#[derive(Clone, Copy, Debug)]
struct Stretch {
    /// Where it begins, in bytes of the disk.
    start: u64,
    place: Place,
}

/// Where a stretch is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// In the file, at an offset.
    Raw(u64),
    /// These bytes, again and again.
    Fill([u8; 4]),
}

const ZEROS: Place = Place::Fill([0; 4]);

impl Image {
    /// Opens an image: the headers of all chunks are read.
    ///
    /// # Errors
    /// A file that is no Android sparse image, and a damaged one.
    pub fn open(file: Arc<dyn BlockRead>) -> std::result::Result<Self, ReadError> {
        let header = header(&file)?;
        let block_size = header.blk_sz.get();
        let size = u64::from(block_size).saturating_mul(header.total_blks.get().into());
        if size > MAX_LEN {
            return Err(field("total_blks", header.total_blks.get().into()));
        }
        let mut image = Self {
            file,
            size,
            block_size,
            stretches: Vec::new(),
            sums: Vec::new(),
            dont_care: false,
        };
        image.read_chunks(&header)?;
        Ok(image)
    }

    /// Returns the size of a block, in bytes.
    #[must_use]
    pub fn block_size(&self) -> u32 {
        self.block_size
    }

    /// Returns what became of blocks of zeros: where the image leaves blocks out, they were.
    #[must_use]
    pub fn zeros(&self) -> Zeros {
        match self.dont_care {
            true => Zeros::DontCare,
            false => Zeros::Fill,
        }
    }

    /// Tells whether the image has checksums, which [`verify`](Self::verify) compares.
    #[must_use]
    pub fn has_checksums(&self) -> bool {
        !self.sums.is_empty()
    }

    /// Compares all checksums. What the file holds is read as far as the last of them; what repeats is
    /// not, however long it is.
    ///
    /// # Errors
    /// [`ReadError::Sum`]; those of the file; [`Error::Interrupted`] when `progress` says so.
    pub fn verify(&self, progress: &mut dyn Progress) -> std::result::Result<(), ReadError> {
        let mut sum = Sum::new();
        let mut buffer = vec![0; PIECE];
        let mut at = 0_u64;
        for &(len, expected) in &self.sums {
            while at < len {
                let (place, run) = self.piece(at, len.saturating_sub(at))?;
                at = at.saturating_add(run);
                match place {
                    Place::Raw(start) => self.add(&mut sum, start, run, &mut buffer, progress)?,
                    // Stretches begin at multiples of four.
                    Place::Fill(word) => sum.repeat(word, run / 4),
                }
            }
            if progress.cancelled() {
                return Err(Error::Interrupted.into());
            }
            let found = sum.value();
            if found != expected {
                return Err(ReadError::Sum {
                    len,
                    expected,
                    found,
                });
            }
        }
        Ok(())
    }

    /// Adds bytes of the file to a checksum.
    fn add(
        &self,
        sum: &mut Sum,
        start: u64,
        len: u64,
        buffer: &mut [u8],
        progress: &mut dyn Progress,
    ) -> Result<()> {
        let end = start.saturating_add(len);
        let mut at = start;
        while at < end {
            let left = usize::try_from(end.saturating_sub(at)).unwrap_or(usize::MAX);
            let room = left.min(buffer.len());
            let piece = buffer.get_mut(..room).unwrap_or_default();
            self.file.read_at(at, piece)?;
            sum.update(piece);
            at = at.saturating_add(u64::try_from(room).unwrap_or(0));
            if progress.cancelled() {
                return Err(Error::Interrupted);
            }
        }
        Ok(())
    }

    fn read_chunks(&mut self, header: &RawHeader) -> std::result::Result<(), ReadError> {
        let mut offset = u64::from(header.file_hdr_sz.get());
        let mut at = 0_u64;
        for number in 0..header.total_chunks.get() {
            let beyond = ReadError::Beyond {
                chunk: number,
                offset,
                size: self.file.len(),
            };
            let inside = |len: u64| {
                let end = offset.checked_add(len);
                end.is_some_and(|end| end <= self.file.len())
            };
            if !inside(header.chunk_hdr_sz.get().into()) {
                return Err(beyond);
            }
            let mut bytes = [0; 12];
            self.file.read_at(offset, &mut bytes)?;
            let chunk: RawChunk = zerocopy::transmute!(bytes);
            let total = u64::from(chunk.total_sz.get());
            if !inside(total) {
                return Err(beyond);
            }
            let len = u64::from(chunk.chunk_sz.get()).saturating_mul(self.block_size.into());
            let end = at.saturating_add(len);
            let wrong = |field, value| ReadError::Chunk {
                chunk: number,
                offset,
                field,
                value,
            };
            if end > self.size {
                return Err(wrong("chunk_sz", chunk.chunk_sz.get().into()));
            }
            let body = offset.saturating_add(header.chunk_hdr_sz.get().into());
            let expected = match chunk.chunk_type.get() {
                kind::RAW => len,
                kind::FILL => 4,
                kind::DONT_CARE => 0,
                kind::CRC32 if len == 0 => 4,
                kind::CRC32 => return Err(wrong("chunk_sz", chunk.chunk_sz.get().into())),
                other => return Err(wrong("chunk_type", other.into())),
            };
            if total != u64::from(header.chunk_hdr_sz.get()).saturating_add(expected) {
                return Err(wrong("total_sz", total));
            }
            let mut word = [0; 4];
            if expected == 4 {
                self.file.read_at(body, &mut word)?;
            }
            self.dont_care |= chunk.chunk_type.get() == kind::DONT_CARE && len > 0;
            match chunk.chunk_type.get() {
                kind::CRC32 => self.sum(at, u32::from_le_bytes(word))?,
                kind::RAW => self.stretch(at, len, Place::Raw(body))?,
                _ => self.stretch(at, len, Place::Fill(word))?,
            }
            at = end;
            offset = offset.saturating_add(total);
        }
        if at != self.size {
            return Err(field("total_blks", header.total_blks.get().into()));
        }
        Ok(())
    }

    /// Adds a stretch, or makes the last one longer.
    fn stretch(
        &mut self,
        start: u64,
        len: u64,
        place: Place,
    ) -> std::result::Result<(), ReadError> {
        if len == 0
            || self
                .stretches
                .last()
                .is_some_and(|last| last.place == place)
        {
            return Ok(());
        }
        let limit = MAX_STRETCHES;
        if self.stretches.len() >= limit {
            return Err(ReadError::TooMany { limit });
        }
        self.stretches.push(Stretch { start, place });
        Ok(())
    }

    fn sum(&mut self, len: u64, sum: u32) -> std::result::Result<(), ReadError> {
        let limit = MAX_SUMS;
        if self.sums.len() >= limit {
            return Err(ReadError::TooMany { limit });
        }
        self.sums.push((len, sum));
        Ok(())
    }
}

/// Reads the file's header and checks it.
fn header(file: &dyn BlockRead) -> std::result::Result<RawHeader, ReadError> {
    let mut bytes = [0; 28];
    if file.len() < u64::from(HEADER_LEN) {
        return Err(ReadError::NotSparse);
    }
    file.read_at(0, &mut bytes)?;
    let header = RawHeader::read_from_bytes(&bytes).map_err(|_| ReadError::NotSparse)?;
    if header.magic != MAGIC {
        return Err(ReadError::NotSparse);
    }
    if header.major_version.get() != 1 {
        return Err(ReadError::Version {
            major: header.major_version.get(),
        });
    }
    if header.file_hdr_sz.get() < HEADER_LEN {
        return Err(field("file_hdr_sz", header.file_hdr_sz.get().into()));
    }
    if header.chunk_hdr_sz.get() < CHUNK_LEN {
        return Err(field("chunk_hdr_sz", header.chunk_hdr_sz.get().into()));
    }
    let block = header.blk_sz.get();
    if block == 0 || !block.is_multiple_of(4) {
        return Err(field("blk_sz", block.into()));
    }
    Ok(header)
}

fn field(field: &'static str, value: u64) -> ReadError {
    ReadError::Field { field, value }
}

impl Mapped for Image {
    type Place = Place;

    fn size(&self) -> u64 {
        self.size
    }

    fn piece(&self, offset: u64, most: u64) -> Result<(Place, u64)> {
        let next = self
            .stretches
            .partition_point(|stretch| stretch.start <= offset);
        let end = self
            .stretches
            .get(next)
            .map_or(self.size, |next| next.start);
        let index = next.checked_sub(1);
        let Some(stretch) = index.and_then(|index| self.stretches.get(index)) else {
            return Ok((ZEROS, most));
        };
        let within = offset.saturating_sub(stretch.start);
        let place = match stretch.place {
            Place::Raw(start) => Place::Raw(start.saturating_add(within)),
            fill @ Place::Fill(_) => fill,
        };
        Ok((place, end.saturating_sub(offset).min(most)))
    }

    fn fill(&self, offset: u64, place: &Place, part: &mut [u8]) -> Result<()> {
        match *place {
            Place::Raw(start) => self.file.read_at(start, part)?,
            ZEROS => part.fill(0),
            Place::Fill(word) => {
                // Stretches begin at multiples of four.
                let phase = usize::try_from(offset % 4).unwrap_or(0);
                let bytes = word.iter().cycle().skip(phase);
                for (byte, value) in part.iter_mut().zip(bytes) {
                    *byte = *value;
                }
            }
        }
        Ok(())
    }

    fn run(&self, _offset: u64, place: &Place, len: u64) -> Result<Run> {
        match *place {
            Place::Raw(start) => run_within(&self.file, start, len),
            ZEROS => Ok(Run::Hole(len)),
            Place::Fill(_) => Ok(Run::Data(len)),
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
