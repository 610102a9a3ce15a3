//! A raw disk, compressed as a whole.

use std::io::{self, Write};
use std::num::NonZeroU64;

use flate2::Compression;
use flate2::write::GzEncoder;
use forger_block::{BlockSink, Error, MAX_LEN, Result, check_range};
use lzma_rust2::{XzOptions, XzWriterMt};
use zstd::Encoder;

/// So many zeros are compressed by one call, in bytes.
const ZEROS: usize = 64 << 10;

/// A way to compress a raw disk as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    /// gzip, levels 1 to 9.
    Gzip(u32),
    /// zstd, levels 1 to 19.
    Zstd(i32),
    /// xz, levels 1 to 9, in blocks of three times the size of the dictionary.
    Xz(u32),
}

/// A sink whose bytes, holes as zeros, arrive compressed in another.
///
/// What arrives does not depend on the number of threads.
pub struct Packed {
    encoder: Kind,
    position: u64,
}

enum Kind {
    Gzip(GzEncoder<Inner>),
    Zstd(Encoder<'static, Inner>),
    Xz(Box<XzWriterMt<Inner>>),
}

/// The other sink.
struct Inner(Box<dyn BlockSink>);

impl Write for Inner {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.0.write(data).map_err(io::Error::other)?;
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Packed {
    /// Starts with nothing in `sink`, which stays unfinished.
    ///
    /// # Errors
    /// [`Error::Io`] when there is no memory.
    pub fn new(sink: Box<dyn BlockSink>, packing: Packing, threads: usize) -> Result<Self> {
        let inner = Inner(sink);
        let encoder = match packing {
            Packing::Gzip(level) => Kind::Gzip(GzEncoder::new(inner, Compression::new(level))),
            Packing::Zstd(level) => {
                // One thread beside this one at least: without any, the bytes would be others.
                let threads = u32::try_from(threads.max(1)).unwrap_or(u32::MAX);
                let begin = || {
                    let mut encoder = Encoder::new(inner, level)?;
                    encoder.include_checksum(true)?;
                    encoder.multithread(threads)?;
                    Ok(encoder)
                };
                Kind::Zstd(begin().map_err(fail)?)
            }
            Packing::Xz(level) => {
                let mut options = XzOptions::with_preset(level);
                // As `xz -T` does.
                let block = 3 * u64::from(options.lzma_options.dict_size);
                options.set_block_size(NonZeroU64::new(block.max(1 << 20)));
                let threads = u32::try_from(threads.max(1)).unwrap_or(u32::MAX);
                let encoder = XzWriterMt::new(inner, options, threads);
                Kind::Xz(Box::new(encoder.map_err(fail)?))
            }
        };
        Ok(Self {
            encoder,
            position: 0,
        })
    }

    /// Completes the compressed stream, and returns the other sink.
    ///
    /// # Errors
    /// Those of the other sink.
    pub fn complete(self) -> Result<Box<dyn BlockSink>> {
        let inner = match self.encoder {
            Kind::Gzip(encoder) => encoder.finish(),
            Kind::Zstd(encoder) => encoder.finish(),
            Kind::Xz(encoder) => encoder.finish(),
        };
        inner.map(|inner| inner.0).map_err(fail)
    }

    fn put(&mut self, data: &[u8]) -> Result<()> {
        match &mut self.encoder {
            Kind::Gzip(encoder) => encoder.write_all(data),
            Kind::Zstd(encoder) => encoder.write_all(data),
            Kind::Xz(encoder) => encoder.write_all(data),
        }
        .map_err(fail)?;
        self.position += data.len() as u64;
        Ok(())
    }
}

impl BlockSink for Packed {
    fn position(&self) -> u64 {
        self.position
    }

    fn write(&mut self, data: &[u8]) -> Result<()> {
        check_range(self.position, data.len() as u64, MAX_LEN)?;
        self.put(data)
    }

    fn skip(&mut self, len: u64) -> Result<()> {
        check_range(self.position, len, MAX_LEN)?;
        let end = self.position + len;
        let zeros = [0; ZEROS];
        while self.position < end {
            let left = usize::try_from(end - self.position).unwrap_or(usize::MAX);
            self.put(&zeros[..left.min(ZEROS)])?;
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<()> {
        self.complete()?.finish()
    }
}

impl std::fmt::Debug for Packed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Packed")
            .field("position", &self.position)
            .finish_non_exhaustive()
    }
}

/// Takes the sink's own error out again.
fn fail(error: io::Error) -> Error {
    match error.downcast::<Error>() {
        Ok(error) => error,
        Err(error) => Error::io("compress", "the disk", error),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;
    use forger_block::conformance::{self, Made};
    use forger_block::{Forward, MemorySink};

    fn unpacked(packing: Packing, bytes: &[u8]) -> Vec<u8> {
        let mut plain = Vec::new();
        let read = match packing {
            Packing::Gzip(_) => flate2::read::GzDecoder::new(bytes).read_to_end(&mut plain),
            Packing::Zstd(_) => zstd::Decoder::new(bytes).unwrap().read_to_end(&mut plain),
            Packing::Xz(_) => lzma_rust2::XzReader::new(bytes, false).read_to_end(&mut plain),
        };
        read.unwrap();
        plain
    }

    #[test]
    fn packed_disks_keep_the_contract() {
        for packing in [Packing::Gzip(1), Packing::Zstd(1), Packing::Xz(1)] {
            conformance::block_sink(|| {
                let memory = MemorySink::new();
                let output = memory.output();
                let sink = Packed::new(Box::new(Forward::new(memory)), packing, 1).unwrap();
                Made::forward(sink, move || {
                    output.bytes().map(|bytes| unpacked(packing, &bytes))
                })
            });
        }
    }

    #[test]
    fn threads_change_nothing() {
        let packed = |packing, threads| {
            let memory = MemorySink::new();
            let output = memory.output();
            let sink = Box::new(Forward::new(memory));
            let mut sink = Box::new(Packed::new(sink, packing, threads).unwrap());
            sink.write(&b"some text ".repeat(500_000)).unwrap();
            sink.skip(9 << 20).unwrap();
            sink.finish().unwrap();
            output.bytes().unwrap()
        };
        for packing in [Packing::Zstd(3), Packing::Xz(1)] {
            let one = packed(packing, 1);
            assert!(packed(packing, 0) == one && packed(packing, 3) == one);
        }
    }
}
