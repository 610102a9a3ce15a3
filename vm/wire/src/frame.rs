//! Frames: a header with length and checksum, then a payload.
//!
//! ```text
//!  0x00  magic     u32   "fgW1"
//!  0x04  kind      u8
//!  0x05  zero      u8 x 3
//!  0x08  stream    u32   0 for what belongs to no stream
//!  0x0c  length    u32   of the payload in bytes
//!  0x10  checksum  u32   CRC-32C of the 16 bytes above and the payload
//!  0x14  payload
//! ```
//!
//! All numbers are little-endian.

use crate::checksum::crc32c;
use crate::error::WireError;
use crate::message::Message;

/// The first four bytes of each frame.
const MAGIC: u32 = u32::from_le_bytes(*b"fgW1");

/// The length of a frame's header in bytes.
pub const HEADER_LEN: usize = 20;

/// How much of the header its checksum covers.
const CHECKED: usize = 16;

/// The longest payload in bytes.
pub const MAX_PAYLOAD: usize = 512 << 10;

/// One frame that arrived whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// What kind of message the payload is.
    pub kind: u8,
    /// The stream that it belongs to; 0 for none.
    pub stream: u32,
    /// The message's fields.
    pub payload: &'a [u8],
}

impl<'a> Frame<'a> {
    /// Reads the message.
    ///
    /// # Errors
    /// A payload that no message of this kind has.
    pub fn message(&self) -> Result<Message<'a>, WireError> {
        Message::decode(self.kind, self.payload)
    }
}

/// Appends a frame to `out`, whose payload `fill` appends.
pub(crate) fn append(out: &mut Vec<u8>, kind: u8, stream: u32, fill: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&MAGIC.to_le_bytes());
    out.extend_from_slice(&[kind, 0, 0, 0]);
    out.extend_from_slice(&stream.to_le_bytes());
    out.extend_from_slice(&[0; 8]);
    fill(out);
    let len = out.len() - start - HEADER_LEN;
    // A payload over the limit is the sender's mistake, and the receiver refuses it.
    let len = u32::try_from(len).unwrap_or(u32::MAX);
    out[start + 12..start + 16].copy_from_slice(&len.to_le_bytes());
    let (header, payload) = out[start..].split_at(HEADER_LEN);
    let checksum = crc32c(&[&header[..CHECKED], payload]);
    out[start + 16..start + HEADER_LEN].copy_from_slice(&checksum.to_le_bytes());
}

/// Finds frames in bytes that arrive in any pieces.
///
/// It holds at most one frame and what was pushed behind it.
#[derive(Debug, Default)]
pub struct Decoder {
    bytes: Vec<u8>,
    /// Where the next frame begins.
    at: usize,
}

impl Decoder {
    /// Starts at the beginning of a frame.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds bytes that arrived.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.at > 0 {
            self.bytes.drain(..self.at);
            self.at = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// Drops what arrived before the first frame: what a console says before the agent has it.
    ///
    /// Returns how many bytes that were.
    pub fn skip_to_frame(&mut self) -> usize {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let magic = MAGIC.to_le_bytes();
        let found = rest
            .windows(magic.len())
            .position(|window| window == magic)
            // What may be the beginning of the magic number stays.
            .unwrap_or(rest.len().saturating_sub(magic.len() - 1));
        self.at += found;
        found
    }

    /// Takes the next frame, if it is whole.
    ///
    /// # Errors
    /// Bytes that are no frame: from there on nothing can be understood.
    pub fn next_frame(&mut self) -> Result<Option<Frame<'_>>, WireError> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let Some((header, rest)) = rest.split_first_chunk::<HEADER_LEN>() else {
            return Ok(None);
        };
        let word = |at: usize| {
            let mut word = [0; 4];
            word.copy_from_slice(&header[at..at + 4]);
            u32::from_le_bytes(word)
        };
        if word(0) != MAGIC {
            return Err(WireError::Magic { found: word(0) });
        }
        let (kind, stream, stored) = (header[4], word(8), word(16));
        let len = usize::try_from(word(12))
            .ok()
            .filter(|len| *len <= MAX_PAYLOAD)
            .ok_or(WireError::Length { len: word(12) })?;
        let Some(payload) = rest.get(..len) else {
            return Ok(None);
        };
        let computed = crc32c(&[&header[..CHECKED], payload]);
        if computed != stored {
            return Err(WireError::Checksum {
                kind,
                stored,
                computed,
            });
        }
        self.at += HEADER_LEN + len;
        Ok(Some(Frame {
            kind,
            stream,
            payload,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Side;

    fn ping(stream: u32) -> Vec<u8> {
        let mut out = Vec::new();
        Message::Ping { token: 7 }.encode(stream, &mut out);
        out
    }

    #[test]
    fn frames_that_arrive_byte_by_byte_are_found() {
        let bytes = [ping(0), ping(3)].concat();
        let mut decoder = Decoder::new();
        let mut found = Vec::new();
        for byte in bytes {
            decoder.push(&[byte]);
            while let Some(frame) = decoder.next_frame().unwrap() {
                found.push((
                    frame.stream,
                    frame.message().unwrap() == Message::Ping { token: 7 },
                ));
            }
        }
        assert_eq!(found, [(0, true), (3, true)]);
    }

    #[test]
    fn every_changed_bit_is_noticed() {
        let whole = ping(1);
        for bit in 0..whole.len() * 8 {
            let mut bytes = whole.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let mut decoder = Decoder::new();
            decoder.push(&bytes);
            // A longer length waits for more, which the checksum covers.
            assert!(!matches!(decoder.next_frame(), Ok(Some(_))), "{bit}");
        }
    }

    #[test]
    fn a_length_over_the_limit_is_refused_before_it_is_waited_for() {
        let mut bytes = ping(1);
        bytes[12..16].copy_from_slice(&0x1000_0000_u32.to_le_bytes());
        let mut decoder = Decoder::new();
        decoder.push(&bytes);
        assert_eq!(
            decoder.next_frame(),
            Err(WireError::Length { len: 0x1000_0000 })
        );
    }

    #[test]
    fn what_stands_before_the_first_frame_is_skipped() {
        let mut decoder = Decoder::new();
        decoder.push(b"console noise f fg");
        decoder.skip_to_frame();
        assert_eq!(decoder.next_frame(), Ok(None));
        decoder.push(&ping(9));
        decoder.skip_to_frame();
        assert_eq!(decoder.next_frame().unwrap().unwrap().stream, 9);
    }

    #[test]
    fn the_largest_piece_of_data_fits() {
        let bytes = vec![7; crate::MAX_DATA];
        let mut out = Vec::new();
        let message = Message::Data {
            side: Side::Stdin,
            bytes: &bytes,
        };
        message.encode(2, &mut out);
        let mut decoder = Decoder::new();
        decoder.push(&out);
        let frame = decoder.next_frame().unwrap().unwrap();
        assert_eq!(frame.message().unwrap(), message);
    }
}
