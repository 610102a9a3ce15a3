//! Frames that hold nothing but zeros, and frames that hold nothing at all.
//!
//! ```text
//! hole frame (RFC 8878, section 3.1.1), for up to 1 GiB of zeros:
//!   28 b5 2f fd   magic
//!   80            descriptor: content size in 4 bytes, no checksum, no dictionary
//!   38            window of 128 KiB, which makes blocks of up to 128 KiB legal
//!   xx xx xx xx   content size, little-endian
//!   08 00 00 00   raw block of 1 byte: a zero
//!   02 00 10 00   RLE block of 128 KiB zeros, as often as needed
//!   xx xx xx 00   the rest, with the last-block bit
//! filler (section 3.1.2), a skippable frame that takes up room:
//!   50 2a 4d 18   magic
//!   xx xx xx xx   length of what follows, little-endian; zeros
//! ```
//!
//! Four bytes for 128 KiB is the least that the format allows: 3.2 MB for 100 GiB. The raw block
//! comes first because the command line of zstd up to 1.4.3 stumbles over a frame whose first block
//! is RLE. The frame is short enough to be recognised as a whole before it is decompressed.

const HEAD: [u8; 6] = [0x28, 0xb5, 0x2f, 0xfd, 0x80, 0x38];
const BLOCK: u32 = 128 << 10;
const FIRST: [u8; 4] = [0x08, 0, 0, 0];
const LAST_BIT: u32 = 1;
const KIND: u32 = 0b110;
const RLE: u32 = 1 << 1;
const SIZE_SHIFT: u32 = 3;
const FILLER: [u8; 4] = [0x50, 0x2a, 0x4d, 0x18];

/// The most zeros that one frame holds, in bytes.
pub(super) const MAX_ZEROS: u32 = 1 << 30;
/// The length of the longest hole frame in bytes.
pub(super) const MAX_FRAME: usize = 6 + 4 + 4 + 4 * (MAX_ZEROS / BLOCK) as usize;
/// The least room that a filler can take up, in bytes.
pub(super) const MIN_FILLER: u64 = 8;

/// Appends frames that decompress to `len` zeros.
pub(super) fn push_hole(out: &mut Vec<u8>, mut len: u64) {
    while len > 0 {
        let now = u32::try_from(len).map_or(MAX_ZEROS, |len| len.min(MAX_ZEROS));
        push_frame(out, now);
        len -= u64::from(now);
    }
}

fn push_frame(out: &mut Vec<u8>, len: u32) {
    out.extend_from_slice(&HEAD);
    out.extend_from_slice(&len.to_le_bytes());
    let mut first = FIRST;
    let mut left = len - 1;
    first[0] |= u8::from(left == 0);
    out.extend_from_slice(&first);
    while left > 0 {
        let size = left.min(BLOCK);
        left -= size;
        let last = if left == 0 { LAST_BIT } else { 0 };
        let header = (size << SIZE_SHIFT | RLE | last).to_le_bytes();
        // Three bytes of header; the fourth, a zero, is the byte to repeat.
        out.extend_from_slice(&header);
    }
}

/// Recognises a whole hole frame at the start of `data`: its length and the number of zeros.
///
/// A frame that is not of exactly this shape, or not there as a whole, is left to zstd.
#[deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions
)]
pub(super) fn parse_hole(data: &[u8]) -> Option<(usize, u64)> {
    let (content, blocks) = data.strip_prefix(&HEAD)?.split_first_chunk::<4>()?;
    let content = u32::from_le_bytes(*content);
    let mut sum = 0_u32;
    for (index, block) in blocks.as_chunks::<4>().0.iter().enumerate() {
        // The fourth byte is the one that is repeated. Unless it is zero, the size is far too large.
        let header = u32::from_le_bytes(*block);
        let (size, kind) = (header >> SIZE_SHIFT, header & KIND);
        let legal = match index {
            0 => kind == 0 && size == 1,
            _ => kind == RLE && (1..=BLOCK).contains(&size),
        };
        if !legal {
            return None;
        }
        sum = sum.checked_add(size)?;
        if header & LAST_BIT != 0 {
            let used = index
                .checked_mul(4)?
                .checked_add(const { HEAD.len() + 8 })?;
            return (sum == content).then_some((used, u64::from(sum)));
        }
    }
    None
}

/// Appends a filler of `room` bytes: 0, or at least [`MIN_FILLER`].
pub(super) fn push_filler(out: &mut Vec<u8>, mut room: u64) {
    while room > 0 {
        // One filler is at most 4 GiB long; a rest too short for one of its own is left with it.
        let now = room.min(1 << 30);
        let now = if room - now < MIN_FILLER { room } else { now };
        let content = u32::try_from(now - MIN_FILLER).expect("about 1 GiB at most");
        out.extend_from_slice(&FILLER);
        out.extend_from_slice(&content.to_le_bytes());
        out.resize(out.len() + content as usize, 0);
        room -= now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hole_frames_decompress_to_zeros_and_are_recognised() {
        for len in [1, 2, 4096, 131_072, 131_073, 131_074, 1 << 20, 5_000_000] {
            let mut frame = Vec::new();
            push_hole(&mut frame, len);
            assert_eq!(parse_hole(&frame), Some((frame.len(), len)));
            let plain = zstd::decode_all(&frame[..]).expect("legal");
            assert_eq!(plain.len() as u64, len);
            assert!(plain.iter().all(|&byte| byte == 0));
            assert_eq!(parse_hole(&frame[..frame.len() - 1]), None);
        }
    }

    #[test]
    fn a_hole_of_more_than_a_frame_becomes_several() {
        let mut frames = Vec::new();
        push_hole(&mut frames, (5 << 30) + 7);
        let (mut rest, mut sum, mut count) = (&frames[..], 0, 0);
        while !rest.is_empty() {
            let (used, zeros) = parse_hole(rest).expect("a hole frame");
            assert!(used <= MAX_FRAME);
            rest = &rest[used..];
            sum += zeros;
            count += 1;
        }
        assert_eq!((sum, count), ((5 << 30) + 7, 6));
    }

    #[test]
    fn a_frame_that_repeats_another_byte_is_no_hole() {
        let mut frame = Vec::new();
        push_hole(&mut frame, 1 << 20);
        for index in 0..frame.len() {
            let mut changed = frame.clone();
            changed[index] ^= 0x40;
            assert_ne!(
                parse_hole(&changed),
                Some((frame.len(), 1 << 20)),
                "{index}"
            );
        }
    }

    #[test]
    fn fillers_take_exactly_their_room_and_decompress_to_nothing() {
        for room in [0, 8, 9, 100, 65_536] {
            let mut filler = Vec::new();
            push_filler(&mut filler, room);
            assert_eq!(filler.len() as u64, room);
            push_hole(&mut filler, 3);
            assert_eq!(zstd::decode_all(&filler[..]).expect("legal"), [0; 3]);
        }
    }
}
