//! A compressed image (streamOptimized) that arrives in order: its markers tell everything.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

use std::io::Read;

use forger_block::{Error, Result};
use zerocopy::FromBytes;

use super::error::ReadError;
use super::grain::Inflater;
use super::header::{MAGIC, RawGrain, RawHeader, RawMarker, check_descriptor, flag, marker};
use super::image::check_header;
use crate::arriving::{Arriving, fill};

/// The longest room before the first marker, in sectors.
const MAX_OVERHEAD: u64 = 1 << 14;

/// The longest table or directory, in sectors.
const MAX_TABLE: u64 = 1 << 14;

/// The disk in a compressed image that arrives in order.
pub struct StreamArriving<R> {
    stream: R,
    name: String,
    size: u64,
    /// Size of a grain, in bytes.
    grain: u64,
    /// Where the last grain ended, in bytes.
    reached: u64,
    ended: bool,
    packed: Vec<u8>,
    inflater: Inflater,
}

impl<R> std::fmt::Debug for StreamArriving<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StreamArriving")
            .field("name", &self.name)
            .field("size", &self.size)
            .field("reached", &self.reached)
            .finish_non_exhaustive()
    }
}

/// Tells whether a file that begins like this can be read in order.
#[must_use]
pub fn is_stream(head: &[u8]) -> bool {
    let header = RawHeader::read_from_prefix(head);
    header.is_ok_and(|(header, _)| header.magic == MAGIC && header.flags.get() & flag::MARKERS != 0)
}

impl<R: Read + Send> StreamArriving<R> {
    /// Begins with the first byte of a stream; `name` stands in messages.
    ///
    /// # Errors
    /// What is no stream that can be read in order, as an [`Error::Image`]; [`Error::Io`].
    pub fn open(mut stream: R, name: impl Into<String>) -> Result<Self> {
        let name = name.into();
        let mut bytes = [0; 512];
        read(&mut stream, &name, &mut bytes)?;
        let header = RawHeader::read_from_bytes(&bytes).map_err(|_| ReadError::NotVmdk)?;
        if !is_stream(&bytes) {
            return Err(ReadError::NotVmdk.into());
        }
        check_header(&header)?;
        let overhead = header.overhead.get();
        if !(1..=MAX_OVERHEAD).contains(&overhead) {
            return Err(field("overHead", overhead).into());
        }
        let rest = overhead.saturating_sub(1).saturating_mul(512);
        let mut before = vec![0; usize::try_from(rest).unwrap_or(0)];
        read(&mut stream, &name, &mut before)?;
        let (offset, size) = (header.descriptor_offset.get(), header.descriptor_size.get());
        if let Some(sectors) = offset.checked_sub(1) {
            let from = usize::try_from(sectors.saturating_mul(512)).unwrap_or(usize::MAX);
            let len = usize::try_from(size.saturating_mul(512)).unwrap_or(usize::MAX);
            let descriptor = before.get(from..).and_then(|rest| rest.get(..len));
            let descriptor = descriptor.ok_or_else(|| field("descriptorSize", size))?;
            check_descriptor(descriptor)?;
        }
        Ok(Self {
            stream,
            name,
            size: header.capacity.get().saturating_mul(512),
            grain: header.grain_size.get().saturating_mul(512),
            reached: 0,
            ended: false,
            packed: Vec::new(),
            inflater: Inflater::new(),
        })
    }

    /// Reads the grain behind a marker's head, of which `bytes` is the first sector.
    fn grain(&mut self, start: u64, bytes: &[u8], buffer: &mut Vec<u8>) -> Result<()> {
        let damaged = ReadError::Grain { guest: start };
        let (head, first) = RawGrain::read_from_prefix(bytes).map_err(|_| ReadError::NotVmdk)?;
        let most = self.grain.saturating_mul(2).saturating_add(1024);
        let len = u64::from(head.size.get());
        if len > most {
            return Err(damaged.into());
        }
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        self.packed.clear();
        self.packed.extend_from_slice(first);
        // In whole sectors.
        let whole = len.saturating_add(12).next_multiple_of(512);
        let more = whole.saturating_sub(512);
        let have = self.packed.len();
        self.packed.resize(have.saturating_add(more), 0);
        let rest = self.packed.get_mut(have..).unwrap_or_default();
        read(&mut self.stream, &self.name, rest)?;
        buffer.clear();
        buffer.resize(usize::try_from(self.grain).unwrap_or(0), 0);
        let needed = self.grain.min(self.size.saturating_sub(start));
        let packed = self.packed.get(..len).unwrap_or_default();
        if self.inflater.inflate(packed, buffer) < needed {
            return Err(damaged.into());
        }
        buffer.truncate(usize::try_from(needed).unwrap_or(usize::MAX));
        Ok(())
    }
}

impl<R: Read + Send> Arriving for StreamArriving<R> {
    fn known_len(&self) -> Option<u64> {
        Some(self.size)
    }

    fn next(&mut self, buffer: &mut Vec<u8>) -> Result<Option<u64>> {
        while !self.ended {
            let mut bytes = [0; 512];
            read(&mut self.stream, &self.name, &mut bytes)?;
            let (raw, _) = RawMarker::read_from_prefix(&bytes).map_err(|_| ReadError::NotVmdk)?;
            let value = raw.value.get();
            if raw.size.get() > 0 {
                let start = value.saturating_mul(512);
                let fits = start.is_multiple_of(self.grain.max(1)) && start < self.size;
                if !fits {
                    return Err(field("lba of a grain", value).into());
                }
                if start < self.reached {
                    let what = "a stream whose grains are not in order".to_owned();
                    return Err(ReadError::Unsupported { what }.into());
                }
                self.grain(start, &bytes, buffer)?;
                self.reached = start.saturating_add(self.grain).min(self.size);
                return Ok(Some(start));
            }
            match raw.kind.get() {
                marker::END_OF_STREAM => {
                    self.ended = true;
                    self.reached = self.size;
                }
                marker::GRAIN_TABLE | marker::GRAIN_DIRECTORY | marker::FOOTER => {
                    if value > MAX_TABLE {
                        return Err(field("length of a table", value).into());
                    }
                    for _ in 0..value {
                        read(&mut self.stream, &self.name, &mut bytes)?;
                    }
                }
                other => return Err(field("type of a marker", other.into()).into()),
            }
        }
        Ok(None)
    }

    fn reached(&self) -> u64 {
        self.reached
    }
}

fn field(field: &'static str, value: u64) -> ReadError {
    ReadError::Field { field, value }
}

/// Fills a buffer; an end before that is an error.
fn read(stream: &mut impl Read, name: &str, buffer: &mut [u8]) -> Result<()> {
    match fill(stream, buffer) {
        Ok(len) if len == buffer.len() => Ok(()),
        Ok(_) => {
            let what = "a stream that ends early".to_owned();
            Err(ReadError::Unsupported { what }.into())
        }
        Err(error) => Err(Error::io("read", name, error)),
    }
}
