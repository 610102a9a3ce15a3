//! The plan's result: what every byte of an image is.

mod builder;

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

pub use self::builder::SparseImageBuilder;
use crate::read::{check_range, clip, run_within};
use crate::{BlockRead, BlockSink, PlacedSink, Result, Run, stream};

/// A length and an ordered list of extents, each bytes or a span of a source, with holes between.
///
/// It is read at any offset like every [`BlockRead`], or streamed forward into a sink; an image
/// [placed](SparseImageBuilder::place) in another makes a sparse image again. Contents are never
/// held: an extent takes 32 bytes, whatever its length.
#[derive(Clone, Default)]
pub struct SparseImage {
    len: u64,
    /// In ascending order, never empty, never overlapping, inside `len`.
    extents: Vec<Extent>,
    parts: Vec<Part>,
}

/// `len` bytes at `at` in the image are the bytes at `offset` of a part.
#[derive(Clone, Copy, Debug)]
struct Extent {
    at: u64,
    len: u64,
    offset: u64,
    part: usize,
}

const _: () = assert!(size_of::<Extent>() <= 32);

impl Extent {
    fn end(&self) -> u64 {
        self.at + self.len
    }
}

/// What extents point into.
#[derive(Clone, Debug)]
enum Part {
    Bytes(Bytes),
    Source(Arc<dyn BlockRead>),
}

impl Part {
    fn reader(&self) -> &dyn BlockRead {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Source(source) => &**source,
        }
    }
}

impl SparseImage {
    /// Starts an image.
    #[must_use]
    pub fn builder() -> SparseImageBuilder {
        SparseImageBuilder::default()
    }

    /// Returns how many bytes the extents cover; the rest is holes.
    ///
    /// A span counts whole, also where its source has holes of its own.
    #[must_use]
    pub fn covered(&self) -> u64 {
        self.extents.iter().map(|extent| extent.len).sum()
    }

    /// Appends the whole image to a forward sink, holes as holes; see [`stream`].
    ///
    /// # Errors
    /// As [`stream`].
    pub fn stream(
        &self,
        sink: &mut dyn BlockSink,
        cancelled: &mut dyn FnMut() -> bool,
    ) -> Result<()> {
        stream::stream(self, sink, cancelled)
    }

    /// Writes the image's data to their places in a placed sink; see [`place`](crate::place).
    ///
    /// # Errors
    /// As [`place`](crate::place).
    pub fn place_into(
        &self,
        sink: &mut dyn PlacedSink,
        cancelled: &mut dyn FnMut() -> bool,
    ) -> Result<()> {
        stream::place(self, 0, sink, cancelled)
    }

    /// Returns the index of the first extent that ends after `offset`.
    fn extent_at(&self, offset: u64) -> usize {
        self.extents
            .partition_point(|extent| extent.end() <= offset)
    }
}

impl BlockRead for SparseImage {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        check_range(offset, buf.len() as u64, self.len)?;
        let mut at = offset;
        let mut rest = buf;
        let mut extents = self.extents[self.extent_at(offset)..].iter().peekable();
        while !rest.is_empty() {
            let piece;
            match extents.peek() {
                Some(extent) if extent.at <= at => {
                    let room = clip(extent.end() - at, rest.len());
                    (piece, rest) = rest.split_at_mut(room);
                    let offset = extent.offset + (at - extent.at);
                    self.parts[extent.part].reader().read_at(offset, piece)?;
                    extents.next();
                }
                next => {
                    let hole = next.map_or(self.len, |extent| extent.at) - at;
                    (piece, rest) = rest.split_at_mut(clip(hole, rest.len()));
                    piece.fill(0);
                }
            }
            at += piece.len() as u64;
        }
        Ok(())
    }

    fn run_at(&self, offset: u64) -> Result<Run> {
        check_range(offset, 0, self.len)?;
        match self.extents.get(self.extent_at(offset)) {
            Some(extent) if extent.at <= offset => {
                let within = offset - extent.at;
                run_within(
                    self.parts[extent.part].reader(),
                    extent.offset + within,
                    extent.len - within,
                )
            }
            Some(extent) => Ok(Run::Hole(extent.at - offset)),
            None => Ok(Run::Hole(self.len - offset)),
        }
    }
}

/// Says how much there is; a plan can have a hundred thousand extents.
impl fmt::Debug for SparseImage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SparseImage")
            .field("len", &self.len)
            .field("extents", &self.extents.len())
            .field("parts", &self.parts.len())
            .finish()
    }
}

#[cfg(test)]
mod tests;
