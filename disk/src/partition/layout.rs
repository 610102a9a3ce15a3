//! From what a disk shall be to its bytes: a pure function.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use forger_block::{BlockRead, Bytes, MAX_LEN, SparseImage};
use zerocopy::IntoBytes;
use zerocopy::little_endian::U16;

use super::gpt::{ENTRY_LEN, HEADER_LEN, REVISION, RawEntry, RawHeader, SIGNATURE, crc32};
use super::{Kind, LayoutError, Note, Partition, Scheme, Table, hybrid};
use crate::Guid;

/// How many entries a table has.
const ENTRIES: usize = 128;

/// Sizes of partitions are multiples of it, in bytes: what filesystems and both kinds of sectors
/// like.
const GRANULE: u64 = 4096;

/// What a disk shall be.
#[derive(Clone, Debug)]
pub struct Layout {
    /// Size of the disk, in bytes; `None` for as small as possible, in whole units of `align`.
    pub size: Option<u64>,
    /// Size of a sector, in bytes: 512 or 4096.
    pub sector_size: u64,
    /// Partitions start at multiples of it, in bytes.
    pub align: u64,
    /// Where the GUIDs come from that are not given.
    pub seed: Vec<u8>,
    /// The disk's GUID.
    pub guid: Option<Guid>,
    /// The partitions, in order.
    pub parts: Vec<Part>,
    /// Numbers of up to three partitions, from 1, that the MBR names as well: a hybrid one.
    pub hybrid: Vec<u32>,
}

/// What a partition shall be.
#[derive(Clone)]
pub struct Part {
    /// What it is for.
    pub kind: Guid,
    /// Its name: up to 36 UTF-16 units.
    pub name: String,
    /// Its own GUID.
    pub guid: Option<Guid>,
    /// Its attributes.
    pub attributes: u64,
    /// How large it is.
    pub size: Size,
    /// Where it starts, in bytes; behind the one before it where `None`.
    pub start: Option<u64>,
    /// What is in it; what it is longer than that is a hole.
    pub content: Option<Arc<dyn BlockRead>>,
}

/// How large a partition is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// So many bytes, rounded up to 4096, or to a sector where the partition has a place.
    Bytes(u64),
    /// So many hundredths of a percent of the disk's room for partitions.
    Share(u16),
    /// An equal share of what the others leave.
    Rest,
    /// As large as its content.
    Content,
}

/// A disk: its table, and what every byte of it is.
#[derive(Clone, Debug)]
pub struct Planned {
    /// The table, as reading it back gives it.
    pub table: Table,
    /// The disk.
    pub image: SparseImage,
}

impl Default for Layout {
    fn default() -> Self {
        Self {
            size: None,
            sector_size: 512,
            align: 1 << 20,
            seed: Vec::new(),
            guid: None,
            parts: Vec::new(),
            hybrid: Vec::new(),
        }
    }
}

impl Default for Part {
    fn default() -> Self {
        Self {
            // linux-generic
            kind: Guid::new(0x0fc63daf_8483_4772_8e79_3d69d8477de4),
            name: String::new(),
            guid: None,
            attributes: 0,
            size: Size::Content,
            start: None,
            content: None,
        }
    }
}

impl fmt::Debug for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Part")
            .field("kind", &self.kind)
            .field("name", &self.name)
            .field("size", &self.size)
            .field(
                "content",
                &self.content.as_ref().map(|content| content.len()),
            )
            .finish_non_exhaustive()
    }
}

impl Part {
    fn content_len(&self) -> u64 {
        self.content.as_ref().map_or(0, |content| content.len())
    }
}

impl Layout {
    /// Decides where everything stands.
    ///
    /// # Errors
    /// What is wrong with the layout, by the partition's number.
    pub fn plan(&self) -> Result<Planned, LayoutError> {
        self.validate()?;
        let lens = self.lens()?;
        let mut partitions = Vec::with_capacity(self.parts.len());
        let mut at = self.first();
        for (part, len) in self.parts.iter().zip(&lens) {
            let number = number(partitions.len());
            if let Some(start) = part.start {
                self.check_start(number, start)?;
                at = start;
            }
            if *len == 0 {
                return Err(LayoutError::Empty { number });
            }
            if *len < part.content_len() {
                return Err(LayoutError::Content {
                    number,
                    size: *len,
                    content: part.content_len(),
                });
            }
            partitions.push(self.partition(number, part, at, *len)?);
            at = up(at.saturating_add(*len), self.align);
        }
        check_overlap(&partitions)?;
        let ends = partitions.iter().map(Partition::end);
        let end = ends.max().unwrap_or(self.first());
        let needed = end.saturating_add(self.backup());
        let size = self.size.unwrap_or_else(|| up(needed, self.align));
        if needed > size || size > MAX_LEN {
            return Err(LayoutError::TooSmall { needed, size });
        }
        let guid = self
            .guid
            .unwrap_or_else(|| Guid::derived(&self.seed, "disk"));
        let table = Table {
            scheme: Scheme::Gpt(guid),
            sector_size: self.sector_size,
            partitions,
            notes: match self.hybrid.len() {
                0 => Vec::new(),
                partitions => vec![Note::Hybrid { partitions }],
            },
        };
        check_twice(&table, guid)?;
        let image = self.image(&table, guid, size)?;
        Ok(Planned { table, image })
    }

    /// Checks the place of a partition that has one.
    fn check_start(&self, number: u32, start: u64) -> Result<(), LayoutError> {
        let first = 2 * self.sector_size + self.array();
        if start >= first && start.is_multiple_of(self.sector_size) {
            return Ok(());
        }
        Err(LayoutError::Start {
            number,
            start,
            first,
            sector: self.sector_size,
        })
    }

    fn validate(&self) -> Result<(), LayoutError> {
        let sector = self.sector_size;
        if !matches!(sector, 512 | 4096) {
            return Err(LayoutError::SectorSize { size: sector });
        }
        if self.align == 0 || !self.align.is_multiple_of(sector.max(GRANULE)) {
            let align = self.align;
            return Err(LayoutError::Align { align, sector });
        }
        if self.parts.len() > ENTRIES {
            let count = self.parts.len();
            return Err(LayoutError::TooMany { count });
        }
        match self.size {
            Some(size) if !size.is_multiple_of(sector) => Err(LayoutError::Ragged { size, sector }),
            _ => Ok(()),
        }
    }

    /// Returns how long the array of entries is, in whole sectors, in bytes.
    fn array(&self) -> u64 {
        up((ENTRIES * ENTRY_LEN) as u64, self.sector_size)
    }

    /// Returns how long the backup copy is, in bytes.
    fn backup(&self) -> u64 {
        self.array() + self.sector_size
    }

    /// Returns where the first partition may start, in bytes.
    fn first(&self) -> u64 {
        up(2 * self.sector_size + self.array(), self.align)
    }

    /// Decides how large the partitions are, in bytes, in their order. Contents that are not there yet count
    /// as none.
    ///
    /// # Errors
    /// Shares of a disk that has no size, or that exceed it.
    pub fn lens(&self) -> Result<Vec<u64>, LayoutError> {
        // Where the partitions end, on a disk of a given size.
        let end = self.size.map(|size| size.saturating_sub(self.backup()));
        let room = end.map(|end| end.saturating_sub(self.first()));
        let mut shares = 0_u32;
        let mut lens = Vec::with_capacity(self.parts.len());
        for part in &self.parts {
            let len = match (part.size, room) {
                // What stands where it is told to is as large as it is told to be.
                (Size::Bytes(bytes), _) if part.start.is_some() => {
                    Some(up(bytes, self.sector_size))
                }
                (Size::Bytes(bytes), _) => Some(up(bytes, GRANULE)),
                (Size::Content, _) | (Size::Rest, None) => Some(up(part.content_len(), GRANULE)),
                (Size::Rest, Some(_)) => None,
                (Size::Share(share), Some(room)) => {
                    shares += u32::from(share);
                    Some(down(portion(room, share), self.align))
                }
                (Size::Share(_), None) => {
                    let number = number(lens.len());
                    return Err(LayoutError::NoSize { number });
                }
            };
            lens.push(len);
        }
        if shares > 10_000 {
            return Err(LayoutError::Shares);
        }
        self.fill(&lens, room.unwrap_or(0))
    }

    /// Gives the lengths that are not known an equal share of what is left of `room`.
    fn fill(&self, lens: &[Option<u64>], room: u64) -> Result<Vec<u64>, LayoutError> {
        let known = lens.iter().flatten();
        let used = known.fold(0_u64, |sum, len| sum.saturating_add(up(*len, self.align)));
        let unknown = lens.iter().filter(|len| len.is_none()).count() as u64;
        if unknown == 0 {
            return Ok(lens.iter().flatten().copied().collect());
        }
        let left = room.saturating_sub(used);
        let each = down(left / unknown, self.align);
        let last = lens.len() - 1;
        let mut filled = Vec::with_capacity(lens.len());
        for (index, len) in lens.iter().enumerate() {
            filled.push(match len {
                Some(len) => *len,
                // The last one ends where partitions must, not at a multiple of the alignment.
                None if index == last => down(left - each * (unknown - 1), GRANULE),
                None => each,
            });
        }
        match lens
            .iter()
            .zip(&filled)
            .position(|(len, filled)| len.is_none() && *filled == 0)
        {
            Some(_) => Err(LayoutError::TooSmall {
                needed: self
                    .first()
                    .saturating_add(used)
                    .saturating_add(self.align.saturating_mul(unknown))
                    .saturating_add(self.backup()),
                size: self.size.unwrap_or(0),
            }),
            None => Ok(filled),
        }
    }

    fn partition(
        &self,
        number: u32,
        part: &Part,
        start: u64,
        len: u64,
    ) -> Result<Partition, LayoutError> {
        let units = part.name.encode_utf16().count();
        if units > 36 || part.name.contains('\0') {
            return Err(LayoutError::Name {
                number,
                name: part.name.clone(),
                units,
            });
        }
        let purpose = format!("partition {number} {} {}", part.kind, part.name);
        let derived = || Guid::derived(&self.seed, &purpose);
        Ok(Partition {
            number,
            start,
            len,
            kind: Kind::Gpt(part.kind),
            guid: Some(part.guid.unwrap_or_else(derived)),
            name: part.name.clone(),
            attributes: part.attributes,
        })
    }

    fn image(&self, table: &Table, guid: Guid, size: u64) -> Result<SparseImage, LayoutError> {
        let sector = self.sector_size;
        let last = size / sector - 1;
        let array = self.array();
        let entries = entries(table, array);
        let primary = Copy {
            my_lba: 1,
            alternate_lba: last,
            entry_lba: 2,
        };
        let backup = Copy {
            my_lba: last,
            alternate_lba: 1,
            entry_lba: last - array / sector,
        };
        let usable = 2 + array / sector..=backup.entry_lba - 1;
        let header = |copy: Copy| {
            let raw = RawHeader {
                signature: SIGNATURE,
                revision: REVISION.into(),
                header_size: narrow(HEADER_LEN).into(),
                header_crc32: 0.into(),
                reserved: 0.into(),
                my_lba: copy.my_lba.into(),
                alternate_lba: copy.alternate_lba.into(),
                first_usable_lba: (*usable.start()).into(),
                last_usable_lba: (*usable.end()).into(),
                disk_guid: guid.to_disk(),
                partition_entry_lba: copy.entry_lba.into(),
                number_of_partition_entries: narrow(ENTRIES).into(),
                size_of_partition_entry: narrow(ENTRY_LEN).into(),
                partition_entry_array_crc32: crc32(&entries[..ENTRIES * ENTRY_LEN]).into(),
            };
            Bytes::copy_from_slice(&raw.seal())
        };
        let mut image = SparseImage::builder();
        let mbr = hybrid::record(table, &self.hybrid, size / sector)?;
        image.bytes(0, Bytes::copy_from_slice(mbr.as_bytes()))?;
        let entries = Bytes::copy_from_slice(&entries);
        for copy in [primary, backup] {
            image.bytes(copy.my_lba * sector, header(copy))?;
            image.bytes(copy.entry_lba * sector, entries.clone())?;
        }
        for (part, partition) in self.parts.iter().zip(&table.partitions) {
            if let Some(content) = &part.content {
                image.span(partition.start, content.len(), content, 0)?;
            }
        }
        Ok(image.finish(size)?)
    }
}

/// Where one of the two copies stands, in sectors.
#[derive(Clone, Copy)]
struct Copy {
    my_lba: u64,
    alternate_lba: u64,
    entry_lba: u64,
}

/// Returns the array of entries, `len` bytes.
fn entries(table: &Table, len: u64) -> Vec<u8> {
    let mut array = Vec::new();
    for partition in &table.partitions {
        let mut name = [U16::ZERO; 36];
        for (field, unit) in name.iter_mut().zip(partition.name.encode_utf16()) {
            *field = unit.into();
        }
        let kind = match partition.kind {
            Kind::Gpt(guid) => guid,
            Kind::Mbr(_) => Guid::ZERO,
        };
        let entry = RawEntry {
            partition_type_guid: kind.to_disk(),
            unique_partition_guid: partition.guid.unwrap_or_default().to_disk(),
            starting_lba: (partition.start / table.sector_size).into(),
            ending_lba: (partition.end() / table.sector_size - 1).into(),
            attributes: partition.attributes.into(),
            partition_name: name,
        };
        array.extend_from_slice(entry.as_bytes());
    }
    array.resize(usize::try_from(len).unwrap_or(usize::MAX), 0);
    array
}

fn check_overlap(partitions: &[Partition]) -> Result<(), LayoutError> {
    let mut order: Vec<&Partition> = partitions.iter().collect();
    order.sort_by_key(|partition| partition.start);
    for pair in order.windows(2) {
        if let [first, second] = pair
            && second.start < first.end()
        {
            let (first, second) = (first.number, second.number);
            return Err(LayoutError::Overlap { first, second });
        }
    }
    Ok(())
}

fn check_twice(table: &Table, disk: Guid) -> Result<(), LayoutError> {
    let mut seen = BTreeSet::from([disk]);
    for guid in table
        .partitions
        .iter()
        .filter_map(|partition| partition.guid)
    {
        if !seen.insert(guid) {
            return Err(LayoutError::Twice { guid });
        }
    }
    Ok(())
}

fn number(index: usize) -> u32 {
    narrow(index + 1)
}

/// Returns a small number in the width that the table has for it.
fn narrow(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

/// Rounds up to a multiple; what exceeds all numbers exceeds every disk as well.
fn up(value: u64, unit: u64) -> u64 {
    value
        .checked_next_multiple_of(unit)
        .unwrap_or(u64::MAX - (u64::MAX % unit))
}

fn down(value: u64, unit: u64) -> u64 {
    value - value % unit
}

/// Returns so many hundredths of a percent of something.
fn portion(whole: u64, share: u16) -> u64 {
    let part = u128::from(whole) * u128::from(share) / 10_000;
    u64::try_from(part).unwrap_or(u64::MAX)
}
