//! A folder's bytes: entries of 32 bytes, the long names before their short ones.

use super::NameError;
use super::name::{Short, UNITS, sum};
use super::stamp::Stamp;

/// Attributes of an entry.
pub(super) mod attribute {
    pub(in super::super) const LABEL: u8 = 0x08;
    pub(in super::super) const FOLDER: u8 = 0x10;
    pub(in super::super) const ARCHIVE: u8 = 0x20;
    /// All of read-only, hidden, system and label: an entry of a long name.
    pub(in super::super) const LONG: u8 = 0x0f;
}

/// The most entries of a folder.
pub(super) const MAX_ENTRIES: usize = 65_536;

/// The times of an entry.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Stamps {
    pub(super) created: Stamp,
    pub(super) accessed: Stamp,
    pub(super) modified: Stamp,
}

/// What a name refers to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record {
    pub(super) attributes: u8,
    pub(super) stamps: Stamps,
    /// The first cluster, 0 for none.
    pub(super) cluster: u32,
    /// Bytes of a file, 0 for a folder.
    pub(super) size: u32,
}

/// Returns how many entries a name takes.
pub(super) fn entries(long: Option<&[u16]>) -> usize {
    1 + long.map_or(0, |units| units.len().div_ceil(UNITS))
}

/// Appends the entries of a name.
pub(super) fn push(out: &mut Vec<u8>, short: &Short, long: Option<&[u16]>, record: &Record) {
    if let Some(units) = long {
        push_long(out, units, sum(short));
    }
    let [low, high] = [record.cluster & 0xffff, record.cluster >> 16]
        .map(|half| u16::try_from(half).unwrap_or(0).to_le_bytes());
    let stamps = &record.stamps;
    let start = out.len();
    // A first byte of 0xe5 would say that the entry is free.
    out.extend_from_slice(short);
    if out[start] == 0xe5 {
        out[start] = 0x05;
    }
    out.extend_from_slice(&[record.attributes, 0, stamps.created.hundredths]);
    for half in [
        stamps.created.time,
        stamps.created.date,
        stamps.accessed.date,
    ] {
        out.extend_from_slice(&half.to_le_bytes());
    }
    out.extend_from_slice(&high);
    out.extend_from_slice(&stamps.modified.time.to_le_bytes());
    out.extend_from_slice(&stamps.modified.date.to_le_bytes());
    out.extend_from_slice(&low);
    out.extend_from_slice(&record.size.to_le_bytes());
}

/// Appends the entries of a long name: its last part first, marked with 0x40.
fn push_long(out: &mut Vec<u8>, units: &[u16], sum: u8) {
    let parts = units.chunks(UNITS);
    let count = parts.len();
    for (index, part) in parts.enumerate().rev() {
        let mut padded = [0xffff_u16; UNITS];
        padded[..part.len()].copy_from_slice(part);
        if let Some(end) = padded.get_mut(part.len()) {
            *end = 0;
        }
        let last = if index + 1 == count { 0x40 } else { 0 };
        let order = u8::try_from(index + 1).unwrap_or(0) | last;
        let bytes: Vec<u8> = padded.iter().flat_map(|unit| unit.to_le_bytes()).collect();
        out.push(order);
        out.extend_from_slice(&bytes[..10]);
        out.extend_from_slice(&[attribute::LONG, 0, sum]);
        out.extend_from_slice(&bytes[10..22]);
        out.extend_from_slice(&[0, 0]);
        out.extend_from_slice(&bytes[22..]);
    }
}

/// Checks that a folder can have so many entries.
pub(super) fn check_count(entries: usize) -> Result<u32, NameError> {
    match u32::try_from(entries) {
        Ok(count) if entries <= MAX_ENTRIES => Ok(count),
        _ => Err(NameError::FullFolder),
    }
}
