//! Passing over a zstd frame without decompressing it (RFC 8878, section 3.1.1).
//!
//! A frame says how long its content is, if its maker knew, and each block how long it is:
//!
//! ```text
//!   magic 4 | descriptor 1 | window 0..1 | dictionary 0..4 | content size 0..8
//!   block: header 3 (last 1 bit, type 2 bits, size 21 bits, little-endian) | content
//!   checksum 0..4
//! ```
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// The longest frame header in bytes.
pub(super) const MAX_HEADER: usize = 18;
/// The length of a block header in bytes.
pub(super) const BLOCK_HEADER: usize = 3;

/// What a frame header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FrameHeader {
    /// Its own length in bytes.
    pub(super) len: usize,
    /// Length of the frame's content in bytes.
    pub(super) content: u64,
    /// Length of the checksum after the last block in bytes: 0 or 4.
    pub(super) checksum: usize,
}

/// Reads the header of a frame that states the length of its content; `None` for any other.
pub(super) fn parse_header(data: &[u8]) -> Option<FrameHeader> {
    let (&descriptor, fields) = data.strip_prefix(&MAGIC)?.split_first()?;
    let single_segment = descriptor & 0x20 != 0;
    if descriptor & 0x08 != 0 {
        return None;
    }
    let dictionary: usize = match descriptor & 0x03 {
        0 => 0,
        1 => 1,
        2 => 2,
        _ => 4,
    };
    let size: usize = match descriptor >> 6 {
        0 if single_segment => 1,
        0 => return None,
        1 => 2,
        2 => 4,
        _ => 8,
    };
    let before = usize::from(!single_segment).checked_add(dictionary)?;
    let field = fields.get(before..)?.get(..size)?;
    let mut bytes = [0; 8];
    bytes.get_mut(..size)?.copy_from_slice(field);
    // Two bytes hold the length less 256.
    let extra = if size == 2 { 256 } else { 0 };
    Some(FrameHeader {
        len: size
            .checked_add(before)?
            .checked_add(const { MAGIC.len() + 1 })?,
        content: u64::from_le_bytes(bytes).checked_add(extra)?,
        checksum: if descriptor & 0x04 != 0 { 4 } else { 0 },
    })
}

/// Reads a block header: the length of what follows it, and whether it is the last; `None` when
/// there is no such block.
pub(super) fn parse_block(header: [u8; BLOCK_HEADER]) -> Option<(usize, bool)> {
    let [low, middle, high] = header;
    let header = u32::from_le_bytes([low, middle, high, 0]);
    let size = usize::try_from(header >> 3).ok()?;
    let len = match header >> 1 & 0b11 {
        // Raw and compressed.
        0 | 2 => size,
        // One byte to repeat.
        1 => 1,
        _ => return None,
    };
    Some((len, header & 1 != 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_of_zstd_state_the_length_of_their_content() {
        for len in [0, 1, 255, 256, 65_791, 65_792, 1 << 20] {
            let frame = zstd::bulk::compress(&vec![7; len], 1).expect("encoded");
            let header = parse_header(&frame).expect("a stated length");
            assert_eq!(usize::try_from(header.content), Ok(len));
            for cut in 0..header.len {
                assert_eq!(parse_header(frame.get(..cut).expect("shorter")), None);
            }
        }
    }

    #[test]
    fn headers_without_a_length_and_other_frames_are_left_alone() {
        let stream = zstd::encode_all(&b"of unknown length"[..], 1).expect("encoded");
        assert_eq!(parse_header(&stream), None);
        assert_eq!(
            parse_header(b"\x50\x2a\x4d\x18\x08\0\0\0\0\0\0\0\0\0\0\0"),
            None
        );
        // The reserved bit.
        assert_eq!(parse_header(b"\x28\xb5\x2f\xfd\x28\x01\x09\0\0\x01"), None);
    }

    #[test]
    fn blocks_of_the_reserved_type_are_refused() {
        assert_eq!(parse_block([0x08, 0, 0]), Some((1, false)));
        assert_eq!(parse_block([0x03, 0, 0x10]), Some((1, true)));
        assert_eq!(parse_block([0x05, 0, 0x10]), Some((131_072, true)));
        assert_eq!(parse_block([0x06, 0, 0]), None);
    }
}
