//! An OVA, written as its disk is compressed.
//!
//! ```text
//! header, descriptor | header, disk (streamOptimized VMDK) | header, manifest | two blocks of zeros
//! ```
//!
//! The descriptor, which knows the length of the disk's file, stands first and is written last.

use forger_block::{BlockRead, BlockSink, Bytes, Forward, PlacedSink, Result};
use ring::digest::{Context, Digest, SHA256, digest};

use super::descriptor::{self, Names};
use super::error::WriteError;
use super::header::{BLOCK, seal};
use super::options::{Firmware, Options};
use crate::hex::hex;
use crate::progress::Progress;
use crate::vmdk;

/// Writes a virtual machine around a disk, which is rounded up to 64 KiB, and returns the length of
/// the archive in bytes, with which the caller [finishes](PlacedSink::finish) the sink.
///
/// What it makes does not depend on the number of threads.
///
/// # Errors
/// Those of source and sink; [`WriteError`].
pub fn write(
    source: &dyn BlockRead,
    options: &Options,
    threads: usize,
    sink: &mut dyn PlacedSink,
    progress: &mut dyn Progress,
) -> std::result::Result<u64, WriteError> {
    let names = Names::of(&options.name)?;
    let firmware = options.firmware.unwrap_or_else(|| Firmware::of(source));
    let capacity = vmdk::rounded(source.len())?;
    let describe = |len| descriptor::write(options, firmware, capacity, (&names.disk, len));
    let disk_at = after(0, describe(0).len() as u64);

    let mut disk = Hashing {
        sink: Forward::new(Below {
            sink: &mut *sink,
            base: disk_at + BLOCK,
        }),
        context: Context::new(&SHA256),
    };
    let name = &names.disk;
    vmdk::write_stream(source, name, options.level, threads, &mut disk, progress)?;
    let (disk_len, disk_sum) = disk.complete()?;

    let text = describe(disk_len);
    let descriptor_sum = digest(&SHA256, text.as_bytes());
    let manifest = format!(
        "SHA256({})= {}\nSHA256({})= {}\n",
        names.descriptor,
        hex(descriptor_sum),
        names.disk,
        hex(disk_sum)
    );
    let manifest_at = after(disk_at, disk_len);
    let header = |name: &str, len| Bytes::copy_from_slice(&seal(name, len));
    sink.write_at(0, header(&names.descriptor, text.len() as u64))?;
    sink.write_at(BLOCK, text.into_bytes().into())?;
    sink.write_at(disk_at, header(&names.disk, disk_len))?;
    sink.write_at(manifest_at, header(&names.manifest, manifest.len() as u64))?;
    let end = after(manifest_at, manifest.len() as u64);
    sink.write_at(manifest_at + BLOCK, manifest.into_bytes().into())?;
    Ok(end + 2 * BLOCK)
}

/// Returns the length that the archive around a disk of `size` bytes has at most, in bytes.
///
/// # Errors
/// As [`write()`].
pub fn full_len(size: u64, options: &Options) -> std::result::Result<u64, WriteError> {
    let names = Names::of(&options.name)?;
    let capacity = vmdk::rounded(size)?;
    let text = descriptor::write(options, Firmware::Efi, capacity, (&names.disk, 0));
    let disk = after(after(0, text.len() as u64), vmdk::full_stream_len(size)?);
    // Two lines, each with a digest and a name.
    Ok(after(disk, 2 * 256) + 2 * BLOCK)
}

/// Returns where the member behind one stands, whose header stands at `at`.
fn after(at: u64, len: u64) -> u64 {
    at + BLOCK + len.next_multiple_of(BLOCK)
}

/// A part of a sink.
struct Below<'a> {
    sink: &'a mut dyn PlacedSink,
    base: u64,
}

impl PlacedSink for Below<'_> {
    fn write_at(&mut self, offset: u64, data: Bytes) -> Result<()> {
        self.sink.write_at(self.base + offset, data)
    }

    fn punch(&mut self, offset: u64, len: u64) -> Result<()> {
        self.sink.punch(self.base + offset, len)
    }

    /// Does nothing: the sink is its owner's.
    fn finish(self: Box<Self>, _len: u64) -> Result<()> {
        Ok(())
    }
}

/// A forward sink that takes the digest of everything.
struct Hashing<'a> {
    sink: Forward<Below<'a>>,
    context: Context,
}

impl Hashing<'_> {
    fn complete(self) -> Result<(u64, Digest)> {
        let (_, len) = self.sink.into_placed()?;
        Ok((len, self.context.finish()))
    }
}

impl BlockSink for Hashing<'_> {
    fn position(&self) -> u64 {
        self.sink.position()
    }

    fn write(&mut self, data: &[u8]) -> Result<()> {
        self.context.update(data);
        self.sink.write(data)
    }

    fn skip(&mut self, len: u64) -> Result<()> {
        const ZEROS: [u8; 4096] = [0; 4096];
        let mut left = len;
        while left > 0 {
            let piece = left.min(ZEROS.len() as u64);
            self.context
                .update(&ZEROS[..usize::try_from(piece).unwrap_or(0)]);
            left -= piece;
        }
        self.sink.skip(len)
    }

    /// Does nothing: the sink is its owner's.
    fn finish(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}
