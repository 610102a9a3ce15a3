//! The boot sector's parameters, each checked against the others and the volume's length.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

use forger_block::BlockRead;

use super::{Result, corrupt};
use crate::fat::ReadError;
use crate::fat::boot::ROOT_CLUSTER;
use crate::fat::geometry::{Bits, ENTRY, Geometry};
use crate::fat::name::Short;

/// What the boot sector says.
pub(super) struct Parameters {
    pub(super) geometry: Geometry,
    pub(super) volume_id: Option<u32>,
    pub(super) label: Option<Short>,
    /// The root folder's first cluster (FAT32).
    pub(super) root: u32,
}

/// A little-endian field of the boot sector.
fn field(sector: &[u8; 512], at: usize, len: usize) -> u32 {
    let bytes = sector.iter().skip(at).take(len).rev();
    bytes.fold(0, |value, byte| value << 8 | u32::from(*byte))
}

/// Reads and checks the boot sector.
pub(super) fn read(source: &dyn BlockRead) -> Result<Parameters> {
    let not_fat = |reason: &str| ReadError::NotFat {
        reason: reason.to_owned(),
    };
    let mut sector = [0; 512];
    if source.len() < 512 {
        return Err(not_fat("there are less than 512 bytes"));
    }
    source.read_at(0, &mut sector)?;
    let get = |at, len| field(&sector, at, len);
    if get(510, 2) != 0xaa55 {
        return Err(not_fat("bytes 510 and 511 are not 55 aa"));
    }
    let jump = get(0, 1);
    let (bytes, per) = (get(11, 2), get(13, 1));
    if ![0xeb, 0xe9].contains(&jump)
        || ![512, 1024, 2048, 4096].contains(&bytes)
        || !per.is_power_of_two()
    {
        return Err(not_fat("the boot sector has no parameters of a FAT"));
    }
    let (reserved, tables, root_entries) = (get(14, 2), get(16, 1), get(17, 2));
    if reserved == 0 || !(1..=2).contains(&tables) {
        return Err(not_fat("the boot sector has no parameters of a FAT"));
    }
    let either = |small: u32, large: u32| if small == 0 { large } else { small };
    let sectors = either(get(19, 2), get(32, 4));
    let wide = get(22, 2) == 0;
    let table_sectors = either(get(22, 2), get(36, 4));
    let root_sectors = root_entries.saturating_mul(ENTRY).div_ceil(bytes);
    let data = u64::from(reserved)
        .saturating_add(u64::from(tables).saturating_mul(u64::from(table_sectors)))
        .saturating_add(u64::from(root_sectors));
    let bad = |what: &str| corrupt("boot sector", what);
    let left = u64::from(sectors)
        .checked_sub(data)
        .ok_or_else(|| bad("the tables do not fit the volume"))?;
    let clusters = u32::try_from(left >> per.trailing_zeros()).unwrap_or(u32::MAX);
    let bits = match (wide, Bits::of_clusters(clusters)) {
        (true, _) => Bits::Fat32,
        (false, Bits::Fat12) => Bits::Fat12,
        (false, _) => Bits::Fat16,
    };
    let geometry = Geometry {
        bits,
        sector: bytes,
        sectors,
        cluster_sectors: per,
        reserved,
        table_sectors,
        tables,
        root_entries: if wide {
            0
        } else {
            root_sectors.saturating_mul(bytes / ENTRY)
        },
        clusters,
    };
    check(&geometry, source.len()).map_err(bad)?;
    let extended = if wide { 64 } else { 36 };
    let has = get(extended, 3) >> 16 == 0x29;
    let text = sector.iter().skip(extended.saturating_add(7));
    let mut label = Short::default();
    for (to, from) in label.iter_mut().zip(text) {
        *to = *from;
    }
    Ok(Parameters {
        geometry,
        volume_id: has.then(|| get(extended.saturating_add(3), 4)),
        label: has.then_some(label),
        root: if wide { get(44, 4) } else { ROOT_CLUSTER },
    })
}

/// Checks what the fields say together.
fn check(geometry: &Geometry, len: u64) -> std::result::Result<(), &'static str> {
    let entries = u64::from(geometry.clusters).saturating_add(2);
    let table = u64::from(geometry.table_sectors).saturating_mul(u64::from(geometry.sector));
    if geometry.clusters == 0 {
        Err("there are no clusters")
    } else if geometry.clusters > 0x0fff_fff5 {
        Err("there are more clusters than can be numbered")
    } else if geometry.bits == Bits::Fat16 && geometry.clusters > 65_524 {
        Err("there are more clusters than 16 bits can number")
    } else if table < entries.saturating_mul(geometry.bits.width()).div_ceil(8) {
        Err("the table is too short for the clusters")
    } else if geometry.bytes() > len {
        Err("the volume is longer than what holds it")
    } else {
        Ok(())
    }
}
