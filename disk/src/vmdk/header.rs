//! The header of a sparse extent, its descriptor, and the markers of a stream.
//!
//! VMware's "Virtual Disk Format 5.0". All numbers are little-endian, offsets in sectors.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::error::WriteError;

/// What a sparse extent begins with.
pub(crate) const MAGIC: [u8; 4] = *b"KDMV";

/// Where the grain directory is that comes last.
pub(super) const AT_END: u64 = u64::MAX;

/// Size of a grain that is written, in sectors: 64 KiB.
pub(super) const GRAIN_SECTORS: u64 = 128;

/// How many entries a grain table has.
pub(super) const TABLE_ENTRIES: u64 = 512;

/// How long the descriptor's room is, in sectors.
pub(super) const DESCRIPTOR_SECTORS: u64 = 20;

/// Flags of the header.
pub(super) mod flag {
    /// The newline characters are as they shall be.
    pub(in super::super) const NEWLINES: u32 = 1;
    /// There is a second copy of the tables.
    pub(in super::super) const REDUNDANT: u32 = 1 << 1;
    /// An entry of 1 is a grain of zeros.
    pub(in super::super) const ZEROED: u32 = 1 << 2;
    /// Grains are compressed.
    pub(in super::super) const COMPRESSED: u32 = 1 << 16;
    /// Everything has a marker before it.
    pub(in super::super) const MARKERS: u32 = 1 << 17;
}

/// Kinds of markers, in place of a grain's number.
pub(super) mod marker {
    pub(in super::super) const END_OF_STREAM: u32 = 0;
    pub(in super::super) const GRAIN_TABLE: u32 = 1;
    pub(in super::super) const GRAIN_DIRECTORY: u32 = 2;
    pub(in super::super) const FOOTER: u32 = 3;
}

/// The header of a sparse extent, and the footer of a stream.
#[derive(Clone, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct RawHeader {
    /// 0x000
    pub(super) magic: [u8; 4],
    /// 0x004
    pub(super) version: U32,
    /// 0x008
    pub(super) flags: U32,
    /// 0x00c
    pub(super) capacity: U64,
    /// 0x014
    pub(super) grain_size: U64,
    /// 0x01c
    pub(super) descriptor_offset: U64,
    /// 0x024
    pub(super) descriptor_size: U64,
    /// 0x02c
    pub(super) num_gtes_per_gt: U32,
    /// 0x030
    pub(super) rgd_offset: U64,
    /// 0x038
    pub(super) gd_offset: U64,
    /// 0x040
    pub(super) overhead: U64,
    /// 0x048
    pub(super) unclean_shutdown: u8,
    /// 0x049: what a transfer as text would change.
    pub(super) newlines: [u8; 4],
    /// 0x04d
    pub(super) compress_algorithm: U16,
    /// 0x04f
    pub(super) pad: [u8; 433],
}

const _: () = assert!(size_of::<RawHeader>() == 512);

impl RawHeader {
    /// Makes the header of a disk of so many sectors.
    pub(super) fn new(capacity: u64, version: u32, flags: u32) -> Self {
        Self {
            magic: MAGIC,
            version: version.into(),
            flags: (flags | flag::NEWLINES).into(),
            capacity: capacity.into(),
            grain_size: GRAIN_SECTORS.into(),
            descriptor_offset: 1.into(),
            descriptor_size: DESCRIPTOR_SECTORS.into(),
            num_gtes_per_gt: 512.into(),
            rgd_offset: 0.into(),
            gd_offset: 0.into(),
            overhead: GRAIN_SECTORS.into(),
            unclean_shutdown: 0,
            newlines: *b"\n \r\n",
            compress_algorithm: u16::from(flags & flag::COMPRESSED != 0).into(),
            pad: [0; 433],
        }
    }
}

/// The head of a compressed grain.
#[derive(Clone, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct RawGrain {
    /// 0x00: the disk's sector that it begins with.
    pub(super) lba: U64,
    /// 0x08: how many compressed bytes follow.
    pub(super) size: U32,
}

const _: () = assert!(size_of::<RawGrain>() == 12);

/// The head of a marker: of a grain, or of what follows.
#[derive(Clone, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct RawMarker {
    /// 0x00: the disk's sector that a grain begins with; else how many sectors follow.
    pub(super) value: U64,
    /// 0x08: how many compressed bytes follow; 0 for what is no grain.
    pub(super) size: U32,
    /// 0x0c: of what is no grain.
    pub(super) kind: U32,
}

const _: () = assert!(size_of::<RawMarker>() == 16);

/// Makes a marker's sector: so many sectors of a kind follow.
pub(super) fn marker_sector(sectors: u64, kind: u32) -> [u8; 512] {
    let mut bytes = [0; 512];
    let fields = sectors
        .to_le_bytes()
        .into_iter()
        .chain([0; 4])
        .chain(kind.to_le_bytes());
    for (byte, value) in bytes.iter_mut().zip(fields) {
        *byte = value;
    }
    bytes
}

/// Makes the descriptor of a disk, as long as its room.
///
/// # Errors
/// [`WriteError::Name`].
pub(super) fn descriptor(
    kind: &str,
    name: &str,
    capacity: u64,
    id: u32,
) -> Result<Vec<u8>, WriteError> {
    let odd = |letter: char| letter.is_control() || letter == '"';
    if name.is_empty() || name.len() > 255 || name.contains(odd) {
        return Err(WriteError::Name {
            name: name.to_owned(),
        });
    }
    let cylinders = (capacity / (255 * 63)).max(1);
    let text = format!(
        "# Disk DescriptorFile\n\
         version=1\n\
         CID={id:08x}\n\
         parentCID=ffffffff\n\
         createType=\"{kind}\"\n\
         \n\
         # Extent description\n\
         RW {capacity} SPARSE \"{name}\"\n\
         \n\
         # The Disk Data Base\n\
         #DDB\n\
         \n\
         ddb.virtualHWVersion = \"4\"\n\
         ddb.geometry.cylinders = \"{cylinders}\"\n\
         ddb.geometry.heads = \"255\"\n\
         ddb.geometry.sectors = \"63\"\n\
         ddb.adapterType = \"lsilogic\"\n"
    );
    let mut bytes = text.into_bytes();
    bytes.resize(20 * 512, 0);
    Ok(bytes)
}

/// Checks a descriptor: the disk must be in this one file.
pub(super) fn check_descriptor(bytes: &[u8]) -> Result<(), super::ReadError> {
    let text = String::from_utf8_lossy(bytes);
    let refuse = |what: String| Err(super::ReadError::Unsupported { what });
    let mut extents = 0_u32;
    for line in text.trim_end_matches('\0').lines().map(str::trim) {
        let value = |key: &str| {
            let (name, value) = line.split_once('=')?;
            let found = name.trim().eq_ignore_ascii_case(key);
            found.then(|| value.trim().trim_matches('"').to_owned())
        };
        if let Some(kind) = value("createType")
            && !matches!(kind.as_str(), "monolithicSparse" | "streamOptimized")
        {
            return refuse(format!("a VMDK of the kind {kind:?}"));
        }
        if let Some(parent) = value("parentCID")
            && !parent.eq_ignore_ascii_case("ffffffff")
        {
            return refuse("a VMDK that builds on another one".to_owned());
        }
        let access = ["RW ", "RDONLY ", "NOACCESS "];
        if access.iter().any(|access| line.starts_with(access)) {
            extents = extents.saturating_add(1);
        }
    }
    match extents {
        0 | 1 => Ok(()),
        more => refuse(format!("a VMDK in {more} files")),
    }
}
