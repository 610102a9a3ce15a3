//! Reading zstd frames, forward and from any source.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

use std::io::{ErrorKind, Read};

use ring::digest::{Context, SHA256};
use zstd::stream::raw::{DParameter, Decoder, Operation};

use super::error::OpenError;
use super::{hole, skip};

/// The furthest that a frame may look back, as a power of two: 128 MiB, what zstd itself allows
/// unless it is told otherwise.
const WINDOW_LOG_MAX: u32 = 27;
/// How much is read at a time, in bytes; a whole hole frame fits.
const RAW: usize = 256 << 10;

/// What comes next in the decompressed stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// So many bytes were put into the buffer, at least one.
    Data(usize),
    /// So many zeros, at least one.
    Zeros(u64),
    /// Nothing: the stream ended, between two frames.
    End,
}

/// The decompressed content of any number of frames.
///
/// Memory: the window of the frames (128 MiB at most, 4 MiB for bundles made at the usual levels),
/// and 256 KiB.
pub(super) struct Frames<R> {
    input: R,
    raw: Box<[u8]>,
    /// The part of `raw` that has not been consumed.
    start: usize,
    end: usize,
    /// Bytes that have been read.
    size: u64,
    /// Whether the input has ended.
    ended: bool,
    sha256: Context,
    decoder: Decoder<'static>,
    /// Whether a frame has begun and not ended.
    within: bool,
    /// What is left of a hole frame.
    zeros: u64,
}

impl<R: Read> Frames<R> {
    /// Begins to read.
    pub(super) fn new(input: R) -> Result<Self, OpenError> {
        let start = |source| OpenError::Read { offset: 0, source };
        let mut decoder = Decoder::new().map_err(start)?;
        decoder
            .set_parameter(DParameter::WindowLogMax(WINDOW_LOG_MAX))
            .map_err(start)?;
        Ok(Self {
            input,
            raw: vec![0; RAW].into_boxed_slice(),
            start: 0,
            end: 0,
            size: 0,
            ended: false,
            sha256: Context::new(&SHA256),
            decoder,
            within: false,
            zeros: 0,
        })
    }

    /// Returns what comes next: bytes in `buf`, which is not empty, or up to `max` zeros.
    pub(super) fn next(&mut self, buf: &mut [u8], max: u64) -> Result<Next, OpenError> {
        loop {
            if self.zeros > 0 {
                let now = self.zeros.min(max);
                self.zeros = self.zeros.saturating_sub(now);
                return Ok(Next::Zeros(now));
            }
            if !self.within {
                self.fill(hole::MAX_FRAME)?;
                if self.unread().is_empty() {
                    return Ok(Next::End);
                }
                if let Some((used, zeros)) = hole::parse_hole(self.unread()) {
                    self.start = self.start.saturating_add(used);
                    self.zeros = zeros;
                    continue;
                }
                self.within = true;
            }
            let written = self.decompress(buf)?;
            if written > 0 {
                return Ok(Next::Data(written));
            }
        }
    }

    /// Passes over the next frame without decompressing it, if it begins here and says that it
    /// holds at most `max` bytes; returns how many, and 0 when it has to be read.
    pub(super) fn skip(&mut self, max: u64) -> Result<u64, OpenError> {
        if self.within || self.zeros > 0 {
            return Ok(0);
        }
        self.fill(skip::MAX_HEADER)?;
        let header = skip::parse_header(self.unread()).filter(|header| header.content <= max);
        let Some(header) = header else {
            return Ok(0);
        };
        self.pass(header.len)?;
        loop {
            self.fill(skip::BLOCK_HEADER)?;
            let Some(&block) = self.unread().first_chunk() else {
                return Err(OpenError::TruncatedFrame { offset: self.size });
            };
            let (len, last) = skip::parse_block(block).ok_or_else(|| OpenError::Zstd {
                offset: self.offset(),
                reason: "a block of the reserved type".to_owned(),
            })?;
            self.pass(skip::BLOCK_HEADER)?;
            self.pass(len)?;
            if last {
                self.pass(header.checksum)?;
                return Ok(header.content);
            }
        }
    }

    /// Passes over `len` bytes of the input.
    fn pass(&mut self, mut len: usize) -> Result<(), OpenError> {
        while len > 0 {
            self.fill(1)?;
            let now = self.unread().len().min(len);
            if now == 0 {
                return Err(OpenError::TruncatedFrame { offset: self.size });
            }
            self.start = self.start.saturating_add(now);
            len = len.saturating_sub(now);
        }
        Ok(())
    }

    /// Returns the place in the input up to which it was consumed, in bytes.
    fn offset(&self) -> u64 {
        let unread = u64::try_from(self.unread().len()).unwrap_or(0);
        self.size.saturating_sub(unread)
    }

    /// Decompresses a little more of the frame, perhaps nothing yet.
    fn decompress(&mut self, buf: &mut [u8]) -> Result<usize, OpenError> {
        let unread = self.raw.get(self.start..self.end).unwrap_or_default();
        let status = match self.decoder.run_on_buffers(unread, buf) {
            Ok(status) => status,
            Err(error) => {
                return Err(OpenError::Zstd {
                    offset: self.offset(),
                    reason: error.to_string(),
                });
            }
        };
        self.start = self.start.saturating_add(status.bytes_read);
        self.within = status.remaining > 0;
        if self.within && status.bytes_read == 0 && status.bytes_written == 0 {
            let had = self.unread().len();
            self.fill(had.saturating_add(1))?;
            if self.unread().len() == had {
                return Err(OpenError::TruncatedFrame { offset: self.size });
            }
        }
        Ok(status.bytes_written)
    }

    fn unread(&self) -> &[u8] {
        self.raw.get(self.start..self.end).unwrap_or_default()
    }

    /// Reads until `wanted` bytes are at hand, or the input ends.
    fn fill(&mut self, wanted: usize) -> Result<(), OpenError> {
        let wanted = wanted.min(self.raw.len());
        while !self.ended && self.unread().len() < wanted {
            if self.start > 0 {
                self.raw.copy_within(self.start..self.end, 0);
                self.end = self.end.saturating_sub(self.start);
                self.start = 0;
            }
            let room = self.raw.get_mut(self.end..).unwrap_or_default();
            match self.input.read(room) {
                Ok(0) => self.ended = true,
                Ok(len) => {
                    self.sha256.update(room.get(..len).unwrap_or_default());
                    self.end = self.end.saturating_add(len);
                    let len = u64::try_from(len).unwrap_or(u64::MAX);
                    self.size = self.size.saturating_add(len);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(source) => {
                    let offset = self.size;
                    return Err(OpenError::Read { offset, source });
                }
            }
        }
        Ok(())
    }

    /// Returns the length and the SHA-256 of what was read; of everything, after [`Next::End`].
    pub(super) fn finish(self) -> (u64, [u8; 32]) {
        let mut digest = [0; 32];
        digest.copy_from_slice(self.sha256.finish().as_ref());
        (self.size, digest)
    }
}

#[cfg(test)]
#[expect(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions,
    reason = "the tests' own numbers"
)]
mod tests {
    use super::*;

    fn read_all(input: &[u8], step: usize) -> Result<Vec<u8>, OpenError> {
        let mut frames = Frames::new(Slow(input, step))?;
        let mut all = Vec::new();
        let mut buf = [0; 1000];
        loop {
            match frames.next(&mut buf, 700)? {
                Next::Data(len) => all.extend_from_slice(&buf[..len]),
                Next::Zeros(len) => all.resize(all.len() + usize::try_from(len).expect("small"), 0),
                Next::End => return Ok(all),
            }
        }
    }

    /// Gives a few bytes at a time.
    struct Slow<'a>(&'a [u8], usize);

    impl Read for Slow<'_> {
        fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
            let len = buf.len().min(self.1);
            self.0.read(&mut buf[..len])
        }
    }

    fn frames() -> (Vec<u8>, Vec<u8>) {
        let text = b"what is written twice is written twice ".repeat(100);
        let mut stream = zstd::encode_all(&text[..], 3).expect("encoded");
        hole::push_filler(&mut stream, 100);
        hole::push_hole(&mut stream, 5000);
        stream.extend(zstd::encode_all(&text[..], 1).expect("encoded"));
        // A frame whose size stands in four bytes, as in a hole frame.
        stream.extend(zstd::bulk::compress(&vec![0; 70_000], 3).expect("encoded"));
        hole::push_filler(&mut stream, 8);
        let plain = [&text[..], &[0; 5000], &text, &[0; 70_000]].concat();
        (stream, plain)
    }

    #[test]
    fn frames_holes_and_fillers_are_read_in_any_pieces() {
        let (stream, plain) = frames();
        for step in [1, 3, 1000, usize::MAX] {
            assert!(read_all(&stream, step).expect("legal") == plain, "{step}");
        }
        assert_eq!(read_all(b"", 1).expect("nothing"), b"");
    }

    #[test]
    fn a_frame_cut_anywhere_is_truncated() {
        let (stream, plain) = frames();
        let mut whole = 0;
        for len in 0..stream.len() {
            match read_all(&stream[..len], usize::MAX) {
                Ok(read) => {
                    assert!(plain.starts_with(&read));
                    whole += 1;
                }
                Err(OpenError::TruncatedFrame { offset }) => assert_eq!(offset, len as u64),
                Err(error) => panic!("cut at {len}: {error}"),
            }
        }
        // Before the first frame, and after all but the last.
        assert_eq!(whole, 6);
    }

    #[test]
    fn frames_of_known_length_are_skipped_as_a_whole() {
        let (stream, plain) = frames();
        let mut frames = Frames::new(Slow(&stream, 7)).expect("memory");
        let mut buf = [0; 8192];
        // The first frame, from a stream encoder, does not say how long it is.
        assert_eq!(frames.skip(u64::MAX).expect("legal"), 0);
        let mut read_text = |frames: &mut Frames<_>| {
            let mut at = 0;
            while at < 3900 {
                let Next::Data(len) = frames.next(&mut buf, 8192).expect("legal") else {
                    panic!("no data at {at}");
                };
                assert!(plain[at..at + len] == buf[..len]);
                at += len;
            }
        };
        read_text(&mut frames);
        // A filler has no length; the hole frame behind it comes with the next read.
        let mut no_room = [0];
        assert_eq!(
            frames.next(&mut no_room, 5000).expect("legal"),
            Next::Zeros(5000)
        );
        read_text(&mut frames);
        assert_eq!(frames.skip(69_999).expect("legal"), 0);
        assert_eq!(frames.skip(70_000).expect("legal"), 70_000);
        assert_eq!(frames.next(&mut no_room, 1).expect("legal"), Next::End);
        let size = stream.len() as u64;
        assert_eq!(frames.finish().0, size);
    }

    #[test]
    fn garbage_is_no_frame() {
        let (mut stream, _) = frames();
        stream.extend_from_slice(b"trailing garbage");
        assert!(matches!(read_all(&stream, 50), Err(OpenError::Zstd { .. })));
        assert!(matches!(
            read_all(b"PK\x03\x04 not zstd", 50),
            Err(OpenError::Zstd { .. })
        ));
    }

    #[test]
    fn a_frame_that_looks_back_too_far_is_refused() {
        // Magic, no size, a window of 256 MiB.
        let frame = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 18 << 3, 0x01, 0x00, 0x00];
        let error = read_all(&frame, 50).expect_err("too far");
        assert!(
            matches!(error, OpenError::Zstd { offset: 0, .. }),
            "{error}"
        );
    }
}
