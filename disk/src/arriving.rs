//! Disks whose bytes arrive in order, as through a pipe.

use std::io::{self, Read};

use forger_block::{BlockSink, Error, MAX_LEN, PIECE, Result, check_range};

use crate::copy::put;
use crate::progress::Progress;
use crate::vhd;

/// A disk whose bytes arrive in order: each once, and never again.
pub trait Arriving: Send {
    /// Returns the length of the disk in bytes, where it is known before its end.
    fn known_len(&self) -> Option<u64>;

    /// Fills `buffer` anew with the next bytes, at most 1 MiB of them, and returns the offset on the
    /// disk where they belong; `None` at the end.
    ///
    /// Offsets ascend, pieces do not overlap, and zeros stand between them.
    ///
    /// # Errors
    /// [`Error::Io`], and what is wrong with what arrives.
    fn next(&mut self, buffer: &mut Vec<u8>) -> Result<Option<u64>>;

    /// Returns the length of the disk in bytes, as far as it has arrived: all of it after the end.
    fn reached(&self) -> u64;
}

/// A raw disk that arrives in order.
#[derive(Debug)]
pub struct RawArriving<R> {
    stream: R,
    name: String,
    at: u64,
    /// What follows, where somebody has to look at it before what is before is passed on.
    ahead: Option<Vec<u8>>,
    vhd: bool,
    ended: bool,
}

impl<R: Read + Send> RawArriving<R> {
    /// Begins with the first byte of a stream; `name` stands in messages.
    pub fn new(stream: R, name: impl Into<String>) -> Self {
        Self {
            stream,
            name: name.into(),
            at: 0,
            ahead: None,
            vhd: false,
            ended: false,
        }
    }

    /// Takes a stream that ends with the footer of a VHD as the fixed image that it is.
    #[must_use]
    pub fn or_fixed_vhd(self) -> Self {
        Self { vhd: true, ..self }
    }

    /// Fills a buffer with what follows.
    fn read(&mut self, buffer: &mut Vec<u8>) -> Result<()> {
        buffer.resize(PIECE, 0);
        let len =
            fill(&mut self.stream, buffer).map_err(|error| Error::io("read", &self.name, error))?;
        buffer.truncate(len);
        self.ended = len < PIECE;
        Ok(())
    }

    /// As [`Arriving::next`], always one piece behind; the footer is left out.
    fn next_before_footer(&mut self, buffer: &mut Vec<u8>) -> Result<()> {
        match self.ahead.take() {
            Some(ahead) => *buffer = ahead,
            None if self.ended => buffer.clear(),
            None => self.read(buffer)?,
        }
        if !self.ended {
            let mut ahead = Vec::new();
            self.read(&mut ahead)?;
            self.ahead = Some(ahead).filter(|ahead| !ahead.is_empty());
        }
        if self.ahead.is_none() && buffer.len().is_multiple_of(512) {
            // The last piece: a footer stands in it whole.
            let disk = (self.at + buffer.len() as u64).saturating_sub(512);
            if let Some((_, footer)) = buffer.split_last_chunk::<512>()
                && vhd::is_fixed_footer(*footer, disk)?
            {
                buffer.truncate(buffer.len() - 512);
            }
        }
        Ok(())
    }
}

impl<R: Read + Send> Arriving for RawArriving<R> {
    fn known_len(&self) -> Option<u64> {
        None
    }

    fn next(&mut self, buffer: &mut Vec<u8>) -> Result<Option<u64>> {
        match (self.vhd, self.ended) {
            (true, _) => self.next_before_footer(buffer)?,
            (false, true) => return Ok(None),
            (false, false) => self.read(buffer)?,
        }
        let len = buffer.len() as u64;
        check_range(self.at, len, MAX_LEN)?;
        let start = self.at;
        self.at += len;
        Ok((len > 0).then_some(start))
    }

    fn reached(&self) -> u64 {
        self.at
    }
}

/// Reads until the buffer is full or the stream ends.
pub(crate) fn fill(stream: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut len = 0;
    while len < buffer.len() {
        match stream.read(&mut buffer[len..]) {
            Ok(0) => break,
            Ok(count) => len += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(len)
}

/// Appends a disk that arrives to a sink, which is not finished; zeros become holes, 64 KiB at a
/// time.
///
/// # Errors
/// Those of disk and sink; [`Error::Interrupted`] when `progress` says so.
pub fn receive(
    disk: &mut dyn Arriving,
    sink: &mut dyn BlockSink,
    progress: &mut dyn Progress,
) -> Result<()> {
    let mut buffer = Vec::new();
    let (mut at, mut hole) = (0, 0);
    while let Some(start) = disk.next(&mut buffer)? {
        hole += start - at;
        put(&buffer, &mut hole, sink)?;
        let end = start + buffer.len() as u64;
        progress.advance(end - at);
        at = end;
        if progress.cancelled() {
            return Err(Error::Interrupted);
        }
    }
    progress.advance(disk.reached() - at);
    sink.skip(hole + (disk.reached() - at))
}

/// A disk that arrives, in pieces that begin at multiples of `unit` bytes and are as long, but for
/// the last.
pub(crate) struct Gathered<'a> {
    disk: &'a mut dyn Arriving,
    unit: u64,
    /// What arrived and was not taken: where it belongs, and how much of the buffer was.
    waiting: Option<u64>,
    buffer: Vec<u8>,
    taken: usize,
}

impl<'a> Gathered<'a> {
    /// Gathers pieces of `unit` bytes.
    pub(crate) fn new(disk: &'a mut dyn Arriving, unit: u64) -> Self {
        Self {
            disk,
            unit,
            waiting: None,
            buffer: Vec::new(),
            taken: 0,
        }
    }

    /// Returns the next piece that holds anything that arrived.
    fn gather(&mut self) -> Result<Option<(u64, Vec<u8>)>> {
        if self.waiting.is_none() {
            self.waiting = self.disk.next(&mut self.buffer)?;
            self.taken = 0;
        }
        let Some(first) = self.waiting else {
            return Ok(None);
        };
        let start = first - first % self.unit;
        if first == start && self.taken == 0 && self.buffer.len() as u64 == self.unit {
            // As a raw disk arrives: passed on as it is.
            self.waiting = None;
            return Ok(Some((start, std::mem::take(&mut self.buffer))));
        }
        let mut piece = Vec::new();
        while let Some(at) = self.waiting.filter(|at| *at < start + self.unit) {
            let from = usize::try_from(at - start).unwrap_or(usize::MAX);
            let room = usize::try_from(self.unit).unwrap_or(usize::MAX) - from;
            let rest = &self.buffer[self.taken..];
            let len = rest.len().min(room);
            piece.resize(from, 0);
            piece.extend_from_slice(&rest[..len]);
            self.taken += len;
            self.waiting = match self.taken < self.buffer.len() {
                true => Some(at + len as u64),
                false => {
                    self.taken = 0;
                    self.disk.next(&mut self.buffer)?
                }
            };
        }
        Ok(Some((start, piece)))
    }
}

impl Iterator for Gathered<'_> {
    type Item = Result<(u64, Vec<u8>)>;

    fn next(&mut self) -> Option<Self::Item> {
        self.gather().transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Unwatched;
    use forger_block::{Forward, MemorySink};

    /// Pieces of a disk, as they arrive.
    struct Pieces(Vec<(u64, Vec<u8>)>, u64);

    impl Arriving for Pieces {
        fn known_len(&self) -> Option<u64> {
            Some(self.1)
        }
        fn next(&mut self, buffer: &mut Vec<u8>) -> Result<Option<u64>> {
            if self.0.is_empty() {
                return Ok(None);
            }
            let (at, bytes) = self.0.remove(0);
            *buffer = bytes;
            Ok(Some(at))
        }
        fn reached(&self) -> u64 {
            self.1
        }
    }

    fn received(disk: &mut dyn Arriving) -> Vec<u8> {
        let memory = MemorySink::new();
        let output = memory.output();
        let mut sink = Box::new(Forward::new(memory));
        receive(disk, &mut *sink, &mut Unwatched).unwrap();
        sink.finish().unwrap();
        output.bytes().unwrap().to_vec()
    }

    #[test]
    fn a_raw_disk_arrives_as_it_is() {
        for len in [0, 1, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE] {
            let mut bytes = vec![0; len];
            for byte in bytes.iter_mut().skip(len / 2).step_by(70_000) {
                *byte = 7;
            }
            let mut disk = RawArriving::new(&bytes[..], "memory");
            assert!(received(&mut disk) == bytes, "{len}");
            assert_eq!(disk.reached(), len as u64);
            let mut disk = RawArriving::new(&bytes[..], "memory");
            let gathered: Vec<u8> = Gathered::new(&mut disk, PIECE as u64)
                .flat_map(|piece| piece.unwrap().1)
                .collect();
            assert!(gathered == bytes, "{len}");
        }
    }

    #[test]
    fn a_fixed_vhd_arrives_without_its_footer() {
        for len in [1 << 20, 3 << 20] {
            let disk: Vec<u8> = (1..=255).cycle().take(len).collect();
            let source: std::sync::Arc<dyn forger_block::BlockRead> =
                std::sync::Arc::new(disk.clone());
            let image = vhd::plan_fixed(&source).unwrap();
            let mut file = vec![0; len + 512];
            forger_block::BlockRead::read_at(&image, 0, &mut file).unwrap();
            let mut arriving = RawArriving::new(&file[..], "memory").or_fixed_vhd();
            assert!(received(&mut arriving) == disk);
            let mut raw = RawArriving::new(&file[..], "memory");
            assert!(received(&mut raw) == file);
            // The footer speaks of another size.
            file.splice(0..512, []);
            let mut arriving = RawArriving::new(&file[..], "memory").or_fixed_vhd();
            let mut sink = Forward::new(MemorySink::new());
            assert!(receive(&mut arriving, &mut sink, &mut Unwatched).is_err());
        }
        for len in [0, 1, 512, PIECE - 1, PIECE, PIECE + 512] {
            let bytes = vec![7; len];
            let mut arriving = RawArriving::new(&bytes[..], "memory").or_fixed_vhd();
            assert!(received(&mut arriving) == bytes, "{len}");
        }
    }

    #[test]
    fn pieces_are_gathered_at_multiples_of_the_unit() {
        let pieces = || {
            let parts = vec![
                (10, vec![1; 20]),
                (90, vec![2; 230]),
                (500, vec![3; 100]),
                (600, vec![4; 50]),
                (999, vec![5]),
            ];
            Pieces(parts, 2000)
        };
        let expected = received(&mut pieces());
        assert_eq!(expected.len(), 2000);
        let mut disk = pieces();
        let mut bytes = vec![0; 2000];
        let mut starts = Vec::new();
        for piece in Gathered::new(&mut disk, 100) {
            let (start, piece) = piece.unwrap();
            assert!(piece.len() <= 100);
            let at = usize::try_from(start).unwrap();
            bytes[at..at + piece.len()].copy_from_slice(&piece);
            starts.push(start);
        }
        assert!(bytes == expected);
        assert_eq!(starts, [0, 100, 200, 300, 500, 600, 900]);
    }
}
