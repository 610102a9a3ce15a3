//! A block map, its text, and the disk it belongs to.

use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use forger_block::{BlockRead, Error, PIECE, SparseImage};
use ring::digest::{self, Algorithm, Context};

use super::error::MapError;
use crate::hex::hex;
use crate::ordered::in_order;
use crate::progress::Progress;

/// Which blocks of a raw disk hold anything, and their checksums.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bmap {
    /// In bytes.
    pub(super) image_size: u64,
    /// In bytes.
    pub(super) block_size: u64,
    pub(super) algorithm: Sum,
    /// In ascending order.
    pub(super) ranges: Vec<Mapped>,
}

/// A range of blocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mapped {
    pub(super) blocks: Range<u64>,
    /// In hexadecimal; none in a map without checksums.
    pub(super) sum: Option<String>,
}

/// An algorithm of checksums.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sum {
    Sha1,
    Sha256,
    Sha384,
    Sha512,
}

impl Sum {
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "sha1" => Self::Sha1,
            "sha256" => Self::Sha256,
            "sha384" => Self::Sha384,
            "sha512" => Self::Sha512,
            _ => return None,
        })
    }

    fn name(self) -> &'static str {
        match self {
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
            Self::Sha384 => "sha384",
            Self::Sha512 => "sha512",
        }
    }

    pub(super) fn algorithm(self) -> &'static Algorithm {
        match self {
            Self::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => &digest::SHA256,
            Self::Sha384 => &digest::SHA384,
            Self::Sha512 => &digest::SHA512,
        }
    }

    /// Returns how many digits a checksum has.
    pub(super) fn digits(self) -> usize {
        self.algorithm().output_len() * 2
    }
}

impl Bmap {
    /// Returns the size of the disk, in bytes.
    #[must_use]
    pub fn image_size(&self) -> u64 {
        self.image_size
    }

    /// Returns how many blocks hold anything.
    #[must_use]
    pub fn mapped_blocks(&self) -> u64 {
        let lens = self.ranges.iter();
        lens.map(|range| range.blocks.end - range.blocks.start)
            .sum()
    }

    /// Tells whether every range has a checksum.
    #[must_use]
    pub fn has_checksums(&self) -> bool {
        self.ranges.iter().all(|range| range.sum.is_some())
    }

    /// Compares the checksums of all ranges, on `threads` threads.
    ///
    /// # Errors
    /// [`MapError`]; [`Error::Interrupted`] when `progress` says so.
    pub fn verify(
        &self,
        disk: &dyn BlockRead,
        threads: usize,
        progress: &mut dyn Progress,
    ) -> Result<(), MapError> {
        self.check_size(disk)?;
        let wrong: Mutex<Option<MapError>> = Mutex::default();
        let stopped = in_order(
            threads,
            self.ranges.iter().map(Ok),
            || Ok(vec![0; PIECE]),
            |buffer, range| {
                let mut context = Context::new(self.algorithm.algorithm());
                let bytes = self.bytes(range);
                let mut at = bytes.start;
                while at < bytes.end {
                    let left = usize::try_from(bytes.end - at).unwrap_or(usize::MAX);
                    let piece = &mut buffer[..left.min(PIECE)];
                    disk.read_at(at, piece)?;
                    context.update(piece);
                    at += piece.len() as u64;
                }
                Ok((range, hex(context.finish())))
            },
            |(range, found)| {
                if let Some(expected) = range.sum.as_ref().filter(|sum| **sum != found) {
                    let mut wrong = wrong.lock().unwrap_or_else(PoisonError::into_inner);
                    *wrong = Some(MapError::Sum {
                        first: range.blocks.start,
                        last: range.blocks.end - 1,
                        expected: expected.clone(),
                        found,
                    });
                    return Err(Error::Interrupted);
                }
                let bytes = self.bytes(range);
                progress.advance(bytes.end - bytes.start);
                match progress.cancelled() {
                    true => Err(Error::Interrupted),
                    false => Ok(()),
                }
            },
        );
        match wrong.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some(wrong) => Err(wrong),
            None => Ok(stopped?),
        }
    }

    /// Returns the disk with what is mapped, and holes where nothing is, whatever stands there.
    ///
    /// # Errors
    /// [`MapError::Size`].
    pub fn mapped(&self, disk: &Arc<dyn BlockRead>) -> Result<SparseImage, MapError> {
        self.check_size(disk)?;
        let mut image = SparseImage::builder();
        for range in &self.ranges {
            let bytes = self.bytes(range);
            image.span(bytes.start, bytes.end - bytes.start, disk, bytes.start)?;
        }
        Ok(image.finish(self.image_size)?)
    }

    fn check_size(&self, disk: &dyn BlockRead) -> Result<(), MapError> {
        let (expected, found) = (self.image_size, disk.len());
        match expected == found {
            true => Ok(()),
            false => Err(MapError::Size { expected, found }),
        }
    }

    /// Returns where a range stands; the last block may be cut.
    fn bytes(&self, range: &Mapped) -> Range<u64> {
        let end = range.blocks.end * self.block_size;
        range.blocks.start * self.block_size..end.min(self.image_size)
    }

    /// Returns the text with a checksum of the text.
    fn text(&self, sum: &str) -> String {
        let Self {
            image_size,
            block_size,
            ..
        } = self;
        let blocks = image_size.div_ceil(*block_size);
        let mapped = self.mapped_blocks();
        let name = self.algorithm.name();
        let mut text = format!(
            "<?xml version=\"1.0\" ?>\n\
             <!-- The blocks of a raw disk that hold anything: bmaptool copies them, and nothing else. -->\n\
             <bmap version=\"2.0\">\n\
             \x20   <ImageSize> {image_size} </ImageSize>\n\
             \x20   <BlockSize> {block_size} </BlockSize>\n\
             \x20   <BlocksCount> {blocks} </BlocksCount>\n\
             \x20   <MappedBlocksCount> {mapped} </MappedBlocksCount>\n\
             \x20   <ChecksumType> {name} </ChecksumType>\n\
             \x20   <BmapFileChecksum> {sum} </BmapFileChecksum>\n\
             \x20   <BlockMap>\n"
        );
        for Mapped { blocks, sum } in &self.ranges {
            let last = blocks.end - 1;
            let place = match last == blocks.start {
                true => last.to_string(),
                false => format!("{}-{last}", blocks.start),
            };
            let sum = match sum {
                Some(sum) => format!(" chksum=\"{sum}\""),
                None => String::new(),
            };
            text.push_str(&format!("        <Range{sum}> {place} </Range>\n"));
        }
        text.push_str("    </BlockMap>\n</bmap>\n");
        text
    }
}

/// Writes the block map as a file of version 2.0.
impl fmt::Display for Bmap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The checksum is that of the text with zeros in its place.
        let zeros = self.text(&"0".repeat(self.algorithm.digits()));
        let sum = digest::digest(self.algorithm.algorithm(), zeros.as_bytes());
        f.write_str(&self.text(&hex(sum)))
    }
}
