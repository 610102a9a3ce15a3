//! A layer being written: archived, hashed, compressed, hashed again, in one go.

use std::io::{self, Write};

use super::hashing::Hashing;
use crate::media_type::Compression;
use crate::workshop::{BlobWriter, Workshop};
use crate::{Algorithm, Descriptor, Digest, Error, MediaType, Result};

/// A layer that takes the bytes of its archive.
pub struct LayerWriter {
    output: Output,
    hashing: Hashing,
    size: u64,
}

enum Output {
    Plain(Box<BlobWriter>),
    Gzip(Box<flate2::write::GzEncoder<BlobWriter>>),
    Zstd(Box<zstd::Encoder<'static, BlobWriter>>),
}

/// A layer that is written.
#[derive(Clone, Debug)]
pub struct Written {
    /// What refers to its blob.
    pub descriptor: Descriptor,
    /// The digest of its archive.
    pub diff_id: Digest,
    /// The length of its archive in bytes.
    pub size: u64,
}

impl LayerWriter {
    /// Begins a layer; `level` is the compression's own, `None` its usual one.
    ///
    /// # Errors
    /// Whatever is wrong with the place.
    pub fn begin(
        place: &dyn Workshop,
        compression: Compression,
        level: Option<u32>,
    ) -> Result<Self> {
        let blob = place.begin()?;
        let failed = |error| Error::read("what is written", error);
        let output = match compression {
            Compression::Plain => Output::Plain(Box::new(blob)),
            Compression::Gzip => {
                let level = flate2::Compression::new(level.unwrap_or(6).min(9));
                Output::Gzip(Box::new(flate2::write::GzEncoder::new(blob, level)))
            }
            Compression::Zstd => {
                let level = level
                    .and_then(|level| i32::try_from(level).ok())
                    .unwrap_or(3);
                let mut encoder = zstd::Encoder::new(blob, level).map_err(failed)?;
                encoder.include_checksum(true).map_err(failed)?;
                Output::Zstd(Box::new(encoder))
            }
        };
        Ok(Self {
            output,
            hashing: Hashing::start(Algorithm::Sha256).map_err(failed)?,
            size: 0,
        })
    }

    /// Publishes the layer's blob.
    ///
    /// # Errors
    /// Whatever is wrong with the place.
    pub fn finish(self) -> Result<Written> {
        let failed = |error| Error::read("what is written", error);
        let diff_id = self.hashing.finish().map_err(failed)?;
        let descriptor = match self.output {
            Output::Plain(blob) => blob.finish(MediaType::ImageLayer)?,
            Output::Gzip(encoder) => {
                let blob = encoder.finish().map_err(failed)?;
                blob.finish(MediaType::ImageLayerGzip)?
            }
            Output::Zstd(encoder) => {
                let blob = encoder.finish().map_err(failed)?;
                blob.finish(MediaType::ImageLayerZstd)?
            }
        };
        Ok(Written {
            descriptor,
            diff_id,
            size: self.size,
        })
    }
}

impl std::fmt::Debug for LayerWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LayerWriter")
            .field("size", &self.size)
            .finish_non_exhaustive()
    }
}

impl Write for LayerWriter {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        match &mut self.output {
            Output::Plain(output) => output.write_all(buf)?,
            Output::Gzip(output) => output.write_all(buf)?,
            Output::Zstd(output) => output.write_all(buf)?,
        }
        self.hashing.update(buf)?;
        self.size += buf.len() as u64;
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
