//! From what a disk shall be to its bytes: a pure function.

use std::fmt;
use std::sync::Arc;

use forger_block::{BlockRead, MAX_LEN, SparseImage, SparseImageBuilder};

use super::gpt::ENTRY_LEN;
use super::{LayoutError, Partition, Table};
use crate::Guid;

/// How many entries a table has.
pub(super) const ENTRIES: usize = 128;

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
    /// Where the GUIDs and the signature come from that are not given.
    pub seed: Vec<u8>,
    /// The kind of table.
    pub label: Label,
    /// The disk's GUID, in a GPT.
    pub guid: Option<Guid>,
    /// The partitions, in order.
    pub parts: Vec<Part>,
    /// Numbers of up to three partitions, from 1, that the MBR names as well: a hybrid one.
    pub hybrid: Vec<u32>,
}

/// A kind of partition table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Label {
    /// A GUID partition table.
    #[default]
    Gpt,
    /// A master boot record: names, GUIDs and all attributes but
    /// [`ATTRIBUTE_LEGACY_BOOT`](super::ATTRIBUTE_LEGACY_BOOT), which marks the active partition, are
    /// not in it.
    Mbr {
        /// What identifies the disk.
        signature: Option<u32>,
        /// How many of the first partitions are primary, the others being logical; all where that are
        /// four at most, else three, when `None`.
        primaries: Option<usize>,
    },
}

/// What a partition shall be.
#[derive(Clone)]
pub struct Part {
    /// What it is for.
    pub kind: Guid,
    /// What it is for in a master boot record; what stands for `kind` there when `None`.
    pub byte: Option<u8>,
    /// Its name: up to 36 UTF-16 units. A master boot record has none.
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
            label: Label::Gpt,
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
            byte: None,
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

    /// Checks that a partition of `len` bytes holds its content.
    pub(super) fn check(&self, number: u32, len: u64) -> Result<(), LayoutError> {
        if len == 0 {
            return Err(LayoutError::Empty { number });
        }
        match len < self.content_len() {
            true => Err(LayoutError::Content {
                number,
                size: len,
                content: self.content_len(),
            }),
            false => Ok(()),
        }
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
        match self.label {
            Label::Gpt => self.plan_gpt(&lens),
            Label::Mbr { signature, .. } => self.plan_mbr(signature, &lens),
        }
    }

    /// Returns the index in the [planned](Self::plan) table of one of the partitions: behind the primary
    /// ones a master boot record has the extended one.
    #[must_use]
    pub fn index(&self, part: usize) -> usize {
        match self.label {
            Label::Mbr { .. } if part >= self.primaries() => part + 1,
            _ => part,
        }
    }

    /// Returns the size of a disk whose last partition ends at a byte.
    pub(super) fn size_for(&self, end: u64) -> Result<u64, LayoutError> {
        let needed = end.saturating_add(self.backup());
        let size = self.size.unwrap_or_else(|| up(needed, self.align));
        match needed > size || size > MAX_LEN {
            true => Err(LayoutError::TooSmall { needed, size }),
            false => Ok(size),
        }
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
    pub(super) fn array(&self) -> u64 {
        up((ENTRIES * ENTRY_LEN) as u64, self.sector_size)
    }

    /// Returns how long the backup copy is, in bytes.
    fn backup(&self) -> u64 {
        match self.label {
            Label::Gpt => self.array() + self.sector_size,
            Label::Mbr { .. } => 0,
        }
    }

    /// Returns where the first partition may start, in bytes.
    pub(super) fn first(&self) -> u64 {
        let table = match self.label {
            Label::Gpt => 2 * self.sector_size + self.array(),
            Label::Mbr { .. } => self.sector_size,
        };
        up(table, self.align)
    }

    /// Returns the room between partitions that the records of logical ones take, in bytes.
    fn between(&self) -> u64 {
        let logical = match self.label {
            Label::Gpt => 0,
            Label::Mbr { .. } => self.parts.len() - self.primaries(),
        };
        self.align.saturating_mul(logical as u64)
    }

    /// Decides how large the partitions are, in bytes, in their order. Contents that are not there yet count
    /// as none.
    ///
    /// # Errors
    /// Shares of a disk that has no size, or that exceed it.
    pub fn lens(&self) -> Result<Vec<u64>, LayoutError> {
        // Where the partitions end, on a disk of a given size.
        let end = self.size.map(|size| size.saturating_sub(self.backup()));
        let taken = self.first().saturating_add(self.between());
        let room = end.map(|end| end.saturating_sub(taken));
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
                    .saturating_add(self.between())
                    .saturating_add(used)
                    .saturating_add(self.align.saturating_mul(unknown))
                    .saturating_add(self.backup()),
                size: self.size.unwrap_or(0),
            }),
            None => Ok(filled),
        }
    }

    /// Puts the contents of partitions where these stand.
    pub(super) fn add_contents(
        &self,
        table: &Table,
        image: &mut SparseImageBuilder,
    ) -> Result<(), LayoutError> {
        for (index, part) in self.parts.iter().enumerate() {
            if let (Some(content), Some(partition)) =
                (&part.content, table.partitions.get(self.index(index)))
            {
                image.span(partition.start, content.len(), content, 0)?;
            }
        }
        Ok(())
    }
}

pub(super) fn check_overlap(partitions: &[Partition]) -> Result<(), LayoutError> {
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

pub(super) fn number(index: usize) -> u32 {
    narrow(index + 1)
}

/// Returns a small number in the width that the table has for it.
pub(super) fn narrow(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

/// Rounds up to a multiple; what exceeds all numbers exceeds every disk as well.
pub(super) fn up(value: u64, unit: u64) -> u64 {
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
