//! How long an image would be.

use std::sync::Arc;

use forger_block::{BlockRead, BlockSink, Bytes, PlacedSink};
use forger_disk::{android_sparse, copy, ova, qcow2, vhd, vhdx, vmdk};

use super::Target;
use super::raw::packed;
use super::refused::Refused;
use crate::progress::Console;

impl Target {
    /// Returns how long the image of a disk would be, which is read for it, in bytes.
    ///
    /// # Errors
    /// When the disk cannot be read, or is too large.
    pub(crate) fn required(
        &self,
        disk: Arc<dyn BlockRead>,
        threads: usize,
        console: &mut Console,
    ) -> Result<u64, Refused> {
        match self {
            Self::Qcow2(options, Some((codec, level))) => {
                let compression = qcow2::Compression {
                    codec: *codec,
                    level: *level,
                    threads,
                };
                let mut sink = Nowhere::default();
                let len =
                    qcow2::write_compressed(&disk, options, &compression, &mut sink, console)?;
                Ok(len)
            }
            Self::Vmdk(name, Some(level)) => {
                let mut sink = Nowhere::default();
                vmdk::write_stream(&disk, name, *level, threads, &mut sink, console)?;
                Ok(sink.position())
            }
            Self::Ova(options) => {
                let mut sink = Nowhere::default();
                Ok(ova::write(&disk, options, threads, &mut sink, console)?)
            }
            Self::RawPacked(_) => {
                let sink = Box::new(Nowhere::default());
                let sink = packed(self, sink, threads, |sink| {
                    Ok(copy(&disk, sink, threads, console)?)
                })?;
                Ok(sink.position())
            }
            _ => Ok(self.plan(disk, None, threads, console)?.len()),
        }
    }

    /// Returns how long the image of a disk of `size` bytes would be at most, whatever it held, in
    /// bytes.
    ///
    /// # Errors
    /// When it is too large.
    pub(crate) fn full_len(&self, size: u64) -> Result<u64, Refused> {
        Ok(match self {
            Self::Raw => size,
            // What cannot be compressed is stored, with a little around it.
            Self::RawPacked(_) => size.saturating_add(size >> 8).saturating_add(1 << 16),
            Self::Qcow2(options, _) => qcow2::full_len(size, options)?,
            Self::VhdFixed => vhd::fixed_len(size)?,
            Self::VhdDynamic => vhd::full_dynamic_len(size)?,
            Self::Vhdx(options) => vhdx::full_len(size, options)?,
            Self::Vmdk(_, None) => vmdk::full_len(size)?,
            Self::Vmdk(_, Some(_)) => vmdk::full_stream_len(size)?,
            Self::AndroidSparse(options) => android_sparse::full_len(size, options)?,
            Self::Ova(options) => ova::full_len(size, options)?,
        })
    }
}

/// A sink that only counts.
#[derive(Default)]
struct Nowhere(u64);

impl BlockSink for Nowhere {
    fn position(&self) -> u64 {
        self.0
    }

    fn write(&mut self, data: &[u8]) -> forger_block::Result<()> {
        self.skip(data.len() as u64)
    }

    fn skip(&mut self, len: u64) -> forger_block::Result<()> {
        self.0 = self.0.saturating_add(len);
        Ok(())
    }

    fn finish(self: Box<Self>) -> forger_block::Result<()> {
        Ok(())
    }
}

impl PlacedSink for Nowhere {
    fn write_at(&mut self, _offset: u64, _data: Bytes) -> forger_block::Result<()> {
        Ok(())
    }

    fn punch(&mut self, _offset: u64, _len: u64) -> forger_block::Result<()> {
        Ok(())
    }

    fn finish(self: Box<Self>, _len: u64) -> forger_block::Result<()> {
        Ok(())
    }
}
