//! The list of snapshots inside an image.
//!
//! QEMU's `docs/interop/qcow2.txt`, section "Snapshots".
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

use forger_block::BlockRead;
use zerocopy::big_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::error::{Damage, Place, ReadError};

/// A list may take so much, in bytes; QEMU has the same limit.
const MAX_LEN: u64 = 64 << 20;

/// A snapshot inside an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Its identifier: a number, as a rule.
    pub id: String,
    /// Its name.
    pub name: String,
    /// When it was taken: seconds since 1970.
    pub seconds: u32,
    /// And nanoseconds.
    pub nanoseconds: u32,
    /// How much state of a running machine belongs to it, in bytes.
    pub vm_state_size: u64,
    /// The disk's size then, where it is known, in bytes.
    pub disk_size: Option<u64>,
    pub(super) l1_table_offset: u64,
    pub(super) l1_size: u64,
    /// Length of what versions added, in bytes.
    pub(super) extra_len: u64,
}

/// The head of an entry.
#[derive(Clone, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RawSnapshot {
    /// 0x00
    l1_table_offset: U64,
    /// 0x08
    l1_size: U32,
    /// 0x0c
    id_str_size: U16,
    /// 0x0e
    name_size: U16,
    /// 0x10
    date_sec: U32,
    /// 0x14
    date_nsec: U32,
    /// 0x18
    vm_clock_nsec: U64,
    /// 0x20
    vm_state_size: U32,
    /// 0x24
    extra_data_size: U32,
}

const _: () = assert!(size_of::<RawSnapshot>() == 40);

/// Reads `count` snapshots from `offset` on, and returns how many bytes they take as well.
pub(super) fn read(
    file: &dyn BlockRead,
    offset: u64,
    count: u32,
) -> Result<(Vec<Snapshot>, u64), ReadError> {
    let mut snapshots = Vec::new();
    let mut at = offset;
    for number in 0..count {
        let short = || ReadError::corrupt(Place::Snapshot(number), Damage::Short);
        let take = |at: &mut u64, len: u64| -> Result<Vec<u8>, ReadError> {
            let end = at.checked_add(len).filter(|end| *end <= file.len());
            let end = end.ok_or_else(short)?;
            // An entry's parts are at most 64 KiB each, and inside the file.
            let mut bytes = vec![0; usize::try_from(len).map_err(|_| short())?];
            file.read_at(*at, &mut bytes)?;
            *at = end;
            Ok(bytes)
        };
        let head = take(&mut at, 40)?;
        let raw = RawSnapshot::read_from_bytes(&head).map_err(|_| short())?;
        let extra_len = u64::from(raw.extra_data_size.get());
        if extra_len > 1024 {
            let place = Place::Snapshot(number);
            return Err(ReadError::field(place, "extra_data_size", extra_len));
        }
        let extra = take(&mut at, extra_len)?;
        let id = take(&mut at, raw.id_str_size.get().into())?;
        let name = take(&mut at, raw.name_size.get().into())?;
        at = at.checked_next_multiple_of(8).ok_or_else(short)?;
        if at.saturating_sub(offset) > MAX_LEN {
            let place = Place::Snapshot(number);
            return Err(ReadError::field(place, "nb_snapshots", count.into()));
        }
        let extra_field = |at: usize| {
            let bytes = extra.get(at..)?.first_chunk::<8>()?;
            Some(u64::from_be_bytes(*bytes))
        };
        snapshots.push(Snapshot {
            id: String::from_utf8_lossy(&id).into_owned(),
            name: String::from_utf8_lossy(&name).into_owned(),
            seconds: raw.date_sec.get(),
            nanoseconds: raw.date_nsec.get(),
            vm_state_size: extra_field(0).unwrap_or_else(|| raw.vm_state_size.get().into()),
            disk_size: extra_field(8),
            l1_table_offset: raw.l1_table_offset.get(),
            l1_size: raw.l1_size.get().into(),
            extra_len,
        });
    }
    Ok((snapshots, at.saturating_sub(offset)))
}
