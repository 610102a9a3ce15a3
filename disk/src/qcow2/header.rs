//! The header and its extensions.
//!
//! QEMU's `docs/interop/qcow2.txt`, sections "Header" and "Header extensions". All numbers are
//! big-endian.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

use forger_block::BlockRead;
use zerocopy::big_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::error::{Damage, Place, ReadError};
use super::extension::Extensions;
use super::options::Codec;

/// What an image begins with.
pub(super) const MAGIC: [u8; 4] = *b"QFI\xfb";

/// Length of a version 2 header, in bytes.
pub(super) const V2_LEN: u32 = 72;

/// Length of a version 3 header up to the compression type, in bytes.
pub(super) const V3_LEN: u32 = 104;

/// The largest L1 table, in bytes; QEMU has the same limit.
pub(super) const MAX_L1_LEN: u64 = 32 << 20;

/// The largest number of snapshots; QEMU has the same limit.
const MAX_SNAPSHOTS: u32 = 65_536;

/// Incompatible features.
pub(super) mod incompatible {
    /// The refcounts may be wrong.
    pub(in super::super) const DIRTY: u64 = 1;
    /// Structures may be damaged.
    pub(in super::super) const CORRUPT: u64 = 1 << 1;
    /// Data clusters are in another file.
    pub(in super::super) const DATA_FILE: u64 = 1 << 2;
    /// Clusters may be compressed in another way than by zlib.
    pub(in super::super) const COMPRESSION: u64 = 1 << 3;
    /// L2 entries describe subclusters.
    pub(in super::super) const EXTENDED_L2: u64 = 1 << 4;
    /// All that are known.
    pub(in super::super) const KNOWN: u64 = (1 << 5) - 1;
}

/// A feature that whoever does not know it clears: bitmaps are consistent with the image.
const AUTOCLEAR_BITMAPS: u64 = 1;

/// The header, as far as version 3 has it.
#[derive(Clone, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct RawHeader {
    /// 0x00
    pub(super) magic: [u8; 4],
    /// 0x04
    pub(super) version: U32,
    /// 0x08
    pub(super) backing_file_offset: U64,
    /// 0x10
    pub(super) backing_file_size: U32,
    /// 0x14
    pub(super) cluster_bits: U32,
    /// 0x18
    pub(super) size: U64,
    /// 0x20
    pub(super) crypt_method: U32,
    /// 0x24
    pub(super) l1_size: U32,
    /// 0x28
    pub(super) l1_table_offset: U64,
    /// 0x30
    pub(super) refcount_table_offset: U64,
    /// 0x38
    pub(super) refcount_table_clusters: U32,
    /// 0x3c
    pub(super) nb_snapshots: U32,
    /// 0x40
    pub(super) snapshots_offset: U64,
    /// 0x48: from here on in version 3 only.
    pub(super) incompatible_features: U64,
    /// 0x50
    pub(super) compatible_features: U64,
    /// 0x58
    pub(super) autoclear_features: U64,
    /// 0x60
    pub(super) refcount_order: U32,
    /// 0x64
    pub(super) header_length: U32,
    /// 0x68: only where `header_length` says so.
    pub(super) compression_type: u8,
    /// 0x69
    pub(super) padding: [u8; 7],
}

const _: () = assert!(size_of::<RawHeader>() == 112);

/// What a qcow2 image says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Header {
    /// Version of the format: 2 or 3.
    pub version: u32,
    /// Size of the disk, in bytes.
    pub size: u64,
    /// Size of a cluster, in bytes.
    pub cluster_size: u64,
    /// Width of a refcount, in bits.
    pub refcount_bits: u32,
    /// How compressed clusters are compressed.
    pub codec: Codec,
    /// L2 entries describe 32 subclusters each.
    pub extended_l2: bool,
    /// The refcounts may be wrong; what is read is not affected.
    pub dirty: bool,
    /// Somebody has found damage.
    pub corrupt: bool,
    /// Name of the backing file.
    pub backing_file: Option<String>,
    /// Format of the backing file.
    pub backing_format: Option<String>,
    /// Data clusters are in another file, with its name where it is known.
    pub data_file: Option<String>,
    /// The snapshots inside.
    pub snapshots: Vec<super::Snapshot>,
    /// There are persistent bitmaps.
    pub bitmaps: bool,
    pub(super) cluster_bits: u32,
    pub(super) l1_table_offset: u64,
    pub(super) l1_size: u64,
    pub(super) refcount_table_offset: u64,
    pub(super) refcount_table_clusters: u64,
    pub(super) snapshots_offset: u64,
    /// Length of the list of snapshots, in bytes.
    pub(super) snapshots_len: u64,
    /// The extension of bitmaps, where it is valid.
    pub(super) bitmap_directory: Option<Vec<u8>>,
}

impl Header {
    /// Reads the header of an image.
    ///
    /// # Errors
    /// A file that is no qcow2 image, an image that uses what is not known, and a damaged one.
    pub fn read(file: &dyn BlockRead) -> Result<Self, ReadError> {
        let raw = raw(file)?;
        let (version, header_len) = match raw.version.get() {
            2 => (2, V2_LEN),
            3 => (3, raw.header_length.get()),
            other => {
                return Err(unsupported(format!("version {other} of qcow2")));
            }
        };
        let cluster_bits = raw.cluster_bits.get();
        if !(9..=21).contains(&cluster_bits) {
            return Err(field("cluster_bits", cluster_bits.into()));
        }
        let cluster_size = 1_u64 << cluster_bits;
        if version == 3 && (header_len < V3_LEN || u64::from(header_len) > cluster_size) {
            return Err(field("header_length", header_len.into()));
        }
        let backing = (raw.backing_file_offset.get() != 0).then_some(&raw);
        let end = backing.map_or(cluster_size, |raw| raw.backing_file_offset.get());
        if end > cluster_size {
            return Err(field("backing_file_offset", end));
        }
        let extensions = Extensions::read(file, header_len.into(), end)?;
        let features = if version == 3 {
            raw.incompatible_features.get()
        } else {
            0
        };
        check_features(features, &extensions.feature_names)?;
        // Whoever does not know bitmaps clears the bit when it writes to the image.
        let consistent = version == 3 && raw.autoclear_features.get() & AUTOCLEAR_BITMAPS != 0;
        if raw.crypt_method.get() != 0 {
            return Err(unsupported("an encrypted image".to_owned()));
        }
        let codec = codec(&raw, header_len, features)?;
        let extended_l2 = features & incompatible::EXTENDED_L2 != 0;
        if extended_l2 && cluster_bits < 14 {
            return Err(field("cluster_bits", cluster_bits.into()));
        }
        let refcount_order = if version == 3 {
            raw.refcount_order.get()
        } else {
            4
        };
        if refcount_order > 6 {
            return Err(field("refcount_order", refcount_order.into()));
        }
        let mut header = Self {
            version,
            size: size(&raw)?,
            cluster_size,
            refcount_bits: 1_u32.checked_shl(refcount_order).unwrap_or(0),
            codec,
            extended_l2,
            dirty: features & incompatible::DIRTY != 0,
            corrupt: features & incompatible::CORRUPT != 0,
            backing_file: backing.map(|raw| backing_name(file, raw)).transpose()?,
            backing_format: extensions.backing_format,
            data_file: (features & incompatible::DATA_FILE != 0)
                .then(|| extensions.data_file.unwrap_or_default()),
            snapshots: Vec::new(),
            bitmaps: extensions.bitmaps.is_some(),
            cluster_bits,
            l1_table_offset: raw.l1_table_offset.get(),
            l1_size: raw.l1_size.get().into(),
            refcount_table_offset: raw.refcount_table_offset.get(),
            refcount_table_clusters: raw.refcount_table_clusters.get().into(),
            snapshots_offset: raw.snapshots_offset.get(),
            snapshots_len: 0,
            bitmap_directory: extensions.bitmaps.filter(|_| consistent),
        };
        header.check_l1(file.len())?;
        (header.snapshots, header.snapshots_len) = snapshots(file, &raw)?;
        Ok(header)
    }

    /// Returns how many entries an L2 table has.
    pub(super) fn l2_entries(&self) -> u64 {
        self.cluster_size >> if self.extended_l2 { 4 } else { 3 }
    }

    /// Returns how many bytes of the disk one L2 table describes.
    pub(super) fn l2_reach(&self) -> u64 {
        self.cluster_size.saturating_mul(self.l2_entries())
    }

    pub(super) fn check_l1(&self, file_len: u64) -> Result<(), ReadError> {
        let needed = self.size.div_ceil(self.l2_reach().max(1));
        let len = self.l1_size.saturating_mul(8);
        if len > MAX_L1_LEN || self.l1_size < needed {
            return Err(field("l1_size", self.l1_size));
        }
        let offset = self.l1_table_offset;
        // What is missing behind the file's end is zeros.
        let inside = offset < file_len;
        if needed > 0 && (!inside || !offset.is_multiple_of(self.cluster_size)) {
            let damage = Damage::Offset {
                field: "l1_table_offset",
                offset,
                size: file_len,
            };
            return Err(ReadError::corrupt(Place::Header, damage));
        }
        Ok(())
    }
}

/// Reads the header's fields; those of version 3 are zeros in a version 2 image.
fn raw(file: &dyn BlockRead) -> Result<RawHeader, ReadError> {
    let mut bytes = [0; size_of::<RawHeader>()];
    let have = usize::try_from(file.len())
        .unwrap_or(usize::MAX)
        .min(bytes.len());
    if let Some(part) = bytes.get_mut(..have) {
        file.read_at(0, part)?;
    }
    let raw: RawHeader = zerocopy::transmute!(bytes);
    if raw.magic != MAGIC {
        return Err(ReadError::NotQcow2);
    }
    let needed = if raw.version.get() == 2 {
        V2_LEN
    } else {
        V3_LEN
    };
    if u64::from(needed) > file.len() {
        return Err(ReadError::corrupt(Place::Header, Damage::Short));
    }
    Ok(raw)
}

fn size(raw: &RawHeader) -> Result<u64, ReadError> {
    let size = raw.size.get();
    if size > forger_block::MAX_LEN {
        return Err(field("size", size));
    }
    Ok(size)
}

fn codec(raw: &RawHeader, header_len: u32, features: u64) -> Result<Codec, ReadError> {
    let other = features & incompatible::COMPRESSION != 0;
    let kind = if other && header_len > V3_LEN {
        raw.compression_type
    } else {
        0
    };
    match (kind, other) {
        (0, false) => Ok(Codec::Zlib),
        (1, true) => Ok(Codec::Zstd),
        (kind, _) => Err(field("compression_type", kind.into())),
    }
}

fn backing_name(file: &dyn BlockRead, raw: &RawHeader) -> Result<String, ReadError> {
    let len = raw.backing_file_size.get();
    let short = usize::try_from(len).ok().filter(|len| *len <= 1023);
    let Some(len) = short else {
        return Err(field("backing_file_size", len.into()));
    };
    let offset = raw.backing_file_offset.get();
    let mut name = vec![0; len];
    read_exact(file, offset, &mut name).map_err(|error| match error {
        ReadError::Corrupt { .. } => ReadError::corrupt(
            Place::Header,
            Damage::Offset {
                field: "backing_file_offset",
                offset,
                size: file.len(),
            },
        ),
        error => error,
    })?;
    Ok(String::from_utf8_lossy(&name).into_owned())
}

/// Reads bytes that must be in the file.
fn read_exact(file: &dyn BlockRead, offset: u64, buf: &mut [u8]) -> Result<(), ReadError> {
    let len = u64::try_from(buf.len()).unwrap_or(u64::MAX);
    match offset.checked_add(len) {
        Some(end) if end <= file.len() => Ok(file.read_at(offset, buf)?),
        _ => Err(ReadError::corrupt(Place::Header, Damage::Short)),
    }
}

/// Refuses features that are not known, by their names where the image has them.
fn check_features(features: u64, names: &[u8]) -> Result<(), ReadError> {
    let unknown = features & !incompatible::KNOWN;
    if unknown == 0 {
        return Ok(());
    }
    let name = |bit: u32| {
        let known = names.chunks_exact(48).find_map(|row| match row {
            [0, at, name @ ..] if u32::from(*at) == bit => Some(name),
            _ => None,
        });
        match known {
            Some(name) => {
                let end = name.iter().position(|byte| *byte == 0);
                let name = name.get(..end.unwrap_or(name.len())).unwrap_or_default();
                String::from_utf8_lossy(name).escape_default().to_string()
            }
            None => format!("incompatible bit {bit}"),
        }
    };
    let names: Vec<String> = (0..64)
        .filter(|bit| unknown >> bit & 1 == 1)
        .map(name)
        .collect();
    Err(unsupported(format!(
        "an image with the features {}",
        names.join(", ")
    )))
}

fn snapshots(
    file: &dyn BlockRead,
    raw: &RawHeader,
) -> Result<(Vec<super::Snapshot>, u64), ReadError> {
    let count = raw.nb_snapshots.get();
    if count > MAX_SNAPSHOTS {
        return Err(field("nb_snapshots", count.into()));
    }
    let offset = raw.snapshots_offset.get();
    let cluster_size = 1_u64.checked_shl(raw.cluster_bits.get()).unwrap_or(0);
    if count > 0 && (offset == 0 || !offset.is_multiple_of(cluster_size)) {
        return Err(field("snapshots_offset", offset));
    }
    super::snapshot::read(file, offset, count)
}

fn field(field: &'static str, value: u64) -> ReadError {
    ReadError::field(Place::Header, field, value)
}

fn unsupported(what: String) -> ReadError {
    ReadError::Unsupported { what }
}
