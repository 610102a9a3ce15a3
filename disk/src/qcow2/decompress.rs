//! One compressed cluster.

use std::sync::{Mutex, PoisonError};

use flate2::{Decompress, FlushDecompress};
use zstd::zstd_safe::{self, DCtx};

use super::options::Codec;

/// Decompresses clusters, on any number of threads at once.
pub(super) struct Decompressors {
    codec: Codec,
    /// Those that nobody uses at the moment.
    idle: Mutex<Vec<Decompressor>>,
}

enum Decompressor {
    Zlib(Box<Decompress>),
    Zstd(DCtx<'static>),
}

impl Decompressors {
    pub(super) fn new(codec: Codec) -> Self {
        Self {
            codec,
            idle: Mutex::default(),
        }
    }

    /// Fills `output` with a cluster; `input` may go on behind its end. False when it does not hold
    /// one.
    pub(super) fn decompress(&self, input: &[u8], output: &mut [u8]) -> bool {
        let idle = || self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = idle().pop();
        let mut decompressor = waiting.unwrap_or_else(|| Decompressor::new(self.codec));
        let done = decompressor.decompress(input, output);
        idle().push(decompressor);
        done
    }
}

impl Decompressor {
    fn new(codec: Codec) -> Self {
        match codec {
            Codec::Zlib => Self::Zlib(Box::new(Decompress::new(false))),
            Codec::Zstd => Self::Zstd(DCtx::create()),
        }
    }

    fn decompress(&mut self, input: &[u8], output: &mut [u8]) -> bool {
        let len = output.len();
        match self {
            Self::Zlib(stream) => {
                stream.reset(false);
                // An error behind the last byte does not matter.
                let _ = stream.decompress(input, output, FlushDecompress::Finish);
                stream.total_out() == len as u64
            }
            Self::Zstd(context) => {
                // The frame alone, and at once into its place: no window is allocated.
                let frame = zstd_safe::find_frame_compressed_size(input).ok();
                frame
                    .and_then(|frame| input.get(..frame))
                    .and_then(|frame| context.decompress(output, frame).ok())
                    == Some(len)
            }
        }
    }
}

impl std::fmt::Debug for Decompressors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Decompressors")
            .field("codec", &self.codec)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::super::compress::Compressor;
    use super::*;

    #[test]
    fn clusters_come_back_with_anything_behind_them() {
        for codec in [Codec::Zlib, Codec::Zstd] {
            let data: Vec<u8> = (0..=255).cycle().take(65_536).collect();
            let mut packed = Vec::new();
            let mut compressor = Compressor::new(codec, 3).unwrap();
            assert!(compressor.compress(&data, &mut packed).unwrap());
            packed.extend([0xa5; 300]);
            let decompressors = Decompressors::new(codec);
            let unpacked = |input: &[u8], len| {
                let mut output = vec![0; len];
                decompressors
                    .decompress(input, &mut output)
                    .then_some(output)
            };
            // What fails leaves nothing behind that what follows would see.
            for _ in 0..3 {
                assert!(unpacked(&packed, data.len()).unwrap() == data);
                assert_eq!(unpacked(&packed[..50], data.len()), None);
                assert_eq!(unpacked(&packed, data.len() + 1), None);
                assert_eq!(unpacked(&[], 512), None);
                assert_eq!(unpacked(&[0xff; 600], 512), None);
            }
        }
    }
}
