//! Compressing one cluster.

use std::io;

use flate2::{Compress, Compression, FlushCompress, Status};
use zstd::bulk;
use zstd::zstd_safe::compress_bound;

use super::options::Codec;

/// The window of a deflated cluster, as a power of two; readers allocate no more.
const WINDOW_BITS: u8 = 12;

/// Compresses clusters, one after the other.
pub(super) enum Compressor {
    Zlib(Box<Compress>),
    Zstd(bulk::Compressor<'static>),
}

impl Compressor {
    /// Begins with a level, as [`Compression::validate`](super::Compression::validate) has it.
    pub(super) fn new(codec: Codec, level: i32) -> io::Result<Self> {
        Ok(match codec {
            Codec::Zlib => {
                let level = Compression::new(u32::try_from(level).unwrap_or(6));
                Self::Zlib(Box::new(Compress::new_with_window_bits(
                    level,
                    false,
                    WINDOW_BITS,
                )))
            }
            Codec::Zstd => Self::Zstd(bulk::Compressor::new(level)?),
        })
    }

    /// Makes `packed` the compressed form of a cluster; false when that is not smaller.
    pub(super) fn compress(&mut self, cluster: &[u8], packed: &mut Vec<u8>) -> io::Result<bool> {
        packed.clear();
        match self {
            Self::Zlib(stream) => {
                // Always room for all of it: a stream of zlib-rs 0.6 that was left unfinished panics
                // after its reset.
                packed.resize(cluster.len() + cluster.len() / 8 + 64, 0);
                stream.reset();
                let status = stream.compress(cluster, packed, FlushCompress::Finish)?;
                let len = usize::try_from(stream.total_out()).unwrap_or(0);
                packed.truncate(len);
                Ok(status == Status::StreamEnd && len < cluster.len())
            }
            Self::Zstd(compressor) => {
                packed.reserve(compress_bound(cluster.len()));
                compressor.compress_to_buffer(cluster, packed)?;
                Ok(packed.len() < cluster.len())
            }
        }
    }
}
