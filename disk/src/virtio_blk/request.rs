//! One request: what the driver wrote, and what it gets.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

use std::cell::Cell;
use std::io::{Read, Write};
use std::sync::{Mutex, PoisonError};

use forger_block::{BlockRead, BlockStore, Error};
use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::SECTOR;
use super::configuration::MAX_TRANSFER;
use crate::Disk;

/// Data pass in pieces of so many bytes.
const PIECE: usize = 256 << 10;

thread_local! {
    /// Room for a piece: a thread that serves requests makes it once, not for each of them.
    static ROOM: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Length of the serial number that a driver gets, in bytes.
const ID_LEN: u64 = 20;

/// What a driver can ask for.
mod kind {
    pub(super) const IN: u32 = 0;
    pub(super) const OUT: u32 = 1;
    pub(super) const FLUSH: u32 = 4;
    pub(super) const GET_ID: u32 = 8;
    pub(super) const DISCARD: u32 = 11;
    pub(super) const WRITE_ZEROES: u32 = 13;
}

/// How a request ended: its last byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It is done.
    Ok,
    /// It is not, or only in part.
    IoError,
    /// The device cannot do such a thing.
    Unsupported,
}

impl Status {
    /// Returns the byte that stands for it.
    #[must_use]
    pub fn byte(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::IoError => 1,
            Self::Unsupported => 2,
        }
    }
}

/// What a request begins with.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RawHeader {
    /// 0x00
    kind: U32,
    /// 0x04
    reserved: U32,
    /// 0x08
    sector: U64,
}

const _: () = assert!(size_of::<RawHeader>() == 16);

/// A range to discard or to zero.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RawSegment {
    /// 0x00
    sector: U64,
    /// 0x08
    num_sectors: U32,
    /// 0x0c: bit 0 allows that room is given back.
    flags: U32,
}

const _: () = assert!(size_of::<RawSegment>() == 16);

/// The first thing that went wrong with the disk itself: the guest is told no more than that.
#[derive(Debug, Default)]
pub struct Faults(Mutex<Option<Error>>);

impl Faults {
    /// Takes out what went wrong first.
    #[must_use]
    pub fn take(&self) -> Option<Error> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn note(&self, error: Error) -> Status {
        // What lies outside of the disk is the guest's mistake.
        if !matches!(error, Error::OutOfRange { .. }) {
            let mut first = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            first.get_or_insert(error);
        }
        Status::IoError
    }
}

/// Answers one request: `input` is what the driver wrote, of `input_len` bytes; `output` is the room
/// for data, of `output_len` bytes, without the status byte.
pub fn answer(
    disk: &Disk,
    faults: &Faults,
    input: &mut dyn Read,
    input_len: u64,
    output: &mut dyn Write,
    output_len: u64,
) -> Status {
    let mut header = RawHeader::new_zeroed();
    let Some(data_len) = input_len.checked_sub(16) else {
        return Status::IoError;
    };
    if input.read_exact(header.as_mut_bytes()).is_err() {
        return Status::IoError;
    }
    if data_len > MAX_TRANSFER || output_len > MAX_TRANSFER {
        return Status::IoError;
    }
    let Some(offset) = header.sector.get().checked_mul(SECTOR) else {
        return Status::IoError;
    };
    let kind = header.kind.get();
    match (kind, disk.store()) {
        (kind::IN, _) => read(disk.reader(), faults, output, offset, output_len),
        (kind::GET_ID, _) => identify(output, output_len),
        (kind::FLUSH, None) => Status::Ok,
        (kind::FLUSH, Some(store)) => told(faults, store.sync()),
        (kind::OUT, Some(store)) => write(store, faults, input, offset, data_len),
        (kind::DISCARD | kind::WRITE_ZEROES, Some(store)) => {
            let zeroes = kind == kind::WRITE_ZEROES;
            erase(store, faults, input, data_len, zeroes)
        }
        (kind::OUT | kind::DISCARD | kind::WRITE_ZEROES, None) => Status::IoError,
        _ => Status::Unsupported,
    }
}

fn read(
    disk: &dyn BlockRead,
    faults: &Faults,
    output: &mut dyn Write,
    offset: u64,
    len: u64,
) -> Status {
    pieces(offset, len, |at, buffer| {
        if let Err(error) = disk.read_at(at, buffer) {
            return faults.note(error);
        }
        output
            .write_all(buffer)
            .map_or(Status::IoError, |()| Status::Ok)
    })
}

fn write(
    store: &dyn BlockStore,
    faults: &Faults,
    input: &mut dyn Read,
    offset: u64,
    len: u64,
) -> Status {
    pieces(offset, len, |at, buffer| {
        if input.read_exact(buffer).is_err() {
            return Status::IoError;
        }
        told(faults, store.write_at(at, buffer))
    })
}

/// Cuts a transfer of whole sectors into pieces, up to the first that fails.
fn pieces(offset: u64, len: u64, mut each: impl FnMut(u64, &mut [u8]) -> Status) -> Status {
    if !len.is_multiple_of(SECTOR) {
        return Status::IoError;
    }
    let room = usize::try_from(len).unwrap_or(PIECE).min(PIECE);
    let mut buffer = ROOM.take();
    buffer.resize(room.max(buffer.len()), 0);
    let status = in_pieces(offset, len, &mut buffer, &mut each);
    ROOM.set(buffer);
    status
}

fn in_pieces(
    offset: u64,
    len: u64,
    buffer: &mut [u8],
    each: &mut dyn FnMut(u64, &mut [u8]) -> Status,
) -> Status {
    let mut done = 0_u64;
    while done < len {
        let left = usize::try_from(len.saturating_sub(done)).unwrap_or(PIECE);
        let piece = left.min(buffer.len());
        let (Some(at), Some(part)) = (offset.checked_add(done), buffer.get_mut(..piece)) else {
            return Status::IoError;
        };
        let status = each(at, part);
        if status != Status::Ok {
            return status;
        }
        done = done.saturating_add(u64::try_from(piece).unwrap_or(u64::MAX));
    }
    Status::Ok
}

/// The device has no serial number: the driver gets an empty one.
fn identify(output: &mut dyn Write, output_len: u64) -> Status {
    let len = usize::try_from(output_len.min(ID_LEN)).unwrap_or(0);
    output
        .write_all([0; 20].get(..len).unwrap_or_default())
        .map_or(Status::IoError, |()| Status::Ok)
}

fn erase(
    store: &dyn BlockStore,
    faults: &Faults,
    input: &mut dyn Read,
    len: u64,
    zeroes: bool,
) -> Status {
    let mut segment = RawSegment::new_zeroed();
    // As the configuration says: one segment.
    if len != 16 || input.read_exact(segment.as_mut_bytes()).is_err() {
        return Status::IoError;
    }
    // A discard has no flags, zeroing has one.
    let known = u32::from(zeroes);
    if segment.flags.get() & !known != 0 {
        return Status::Unsupported;
    }
    let Some(offset) = segment.sector.get().checked_mul(SECTOR) else {
        return Status::IoError;
    };
    let len = u64::from(segment.num_sectors.get()).saturating_mul(SECTOR);
    told(
        faults,
        match zeroes {
            true => store.erase(offset, len),
            false => store.discard(offset, len),
        },
    )
}

fn told(faults: &Faults, result: forger_block::Result<()>) -> Status {
    result.map_or_else(|error| faults.note(error), |()| Status::Ok)
}
