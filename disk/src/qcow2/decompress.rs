//! One compressed cluster.

use flate2::{Decompress, FlushDecompress};
use zstd::zstd_safe;

use super::options::Codec;

/// Decompresses a cluster of `len` bytes; `input` may go on behind its end. `None` when it does not
/// hold one.
pub(super) fn decompress(codec: Codec, input: &[u8], len: usize) -> Option<Vec<u8>> {
    let mut output = vec![0; len];
    match codec {
        Codec::Zlib => {
            let mut stream = Decompress::new(false);
            // An error behind the last byte does not matter.
            let _ = stream.decompress(input, &mut output, FlushDecompress::Finish);
            (stream.total_out() == len as u64).then_some(output)
        }
        Codec::Zstd => {
            // The frame alone, and at once into its place: no window is allocated.
            let frame = zstd_safe::find_frame_compressed_size(input).ok()?;
            let done = zstd_safe::decompress(&mut output[..], input.get(..frame)?).ok()?;
            (done == len).then_some(output)
        }
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
            assert!(decompress(codec, &packed, data.len()).unwrap() == data);
            assert_eq!(decompress(codec, &packed[..50], data.len()), None);
            assert_eq!(decompress(codec, &packed, data.len() + 1), None);
            assert_eq!(decompress(codec, &[], 512), None);
            assert_eq!(decompress(codec, &[0xff; 600], 512), None);
        }
    }
}
