//! Where everything stands: a pure function of size, sector and options.

use std::fmt;

use super::{Error, Options};

/// How far a number of clusters keeps from the bounds of its kind, where it can: not everyone counts alike.
const MARGIN: u32 = 16;
/// The largest cluster in bytes.
const MAX_CLUSTER: u32 = 64 << 10;
/// Clusters start on multiples of so many bytes, as flash and disks of 4096-byte sectors like it.
const ALIGN: u32 = 4096;
/// Bytes of an entry of a folder.
pub(super) const ENTRY: u32 = 32;

/// The width of a table's entries, which the number of clusters decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Bits {
    /// 12 bits: up to 4084 clusters.
    Fat12,
    /// 16 bits: 4085 to 65,524 clusters.
    Fat16,
    /// 28 of 32 bits: 65,525 clusters and more.
    Fat32,
}

impl fmt::Display for Bits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fat12 => "FAT12",
            Self::Fat16 => "FAT16",
            Self::Fat32 => "FAT32",
        })
    }
}

impl Bits {
    /// Returns what a number of clusters means.
    pub(super) fn of_clusters(clusters: u32) -> Self {
        match clusters {
            0..=4084 => Self::Fat12,
            4085..=65_524 => Self::Fat16,
            _ => Self::Fat32,
        }
    }

    /// Returns the fewest and the most clusters.
    fn bounds(self) -> (u32, u32) {
        match self {
            Self::Fat12 => (1, 4084),
            Self::Fat16 => (4085, 65_524),
            Self::Fat32 => (65_525, 268_435_444),
        }
    }

    /// Returns the bits of an entry as it is stored.
    pub(super) fn width(self) -> u64 {
        match self {
            Self::Fat12 => 12,
            Self::Fat16 => 16,
            Self::Fat32 => 32,
        }
    }

    /// Returns the entry that ends a chain.
    pub(super) fn end(self) -> u32 {
        match self {
            Self::Fat12 => 0xfff,
            Self::Fat16 => 0xffff,
            Self::Fat32 => 0x0fff_ffff,
        }
    }
}

/// Where everything of a volume stands; sectors count from its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// The width of the table's entries.
    pub bits: Bits,
    /// Bytes in a sector.
    pub sector: u32,
    /// Sectors in all.
    pub sectors: u32,
    /// Sectors in a cluster.
    pub cluster_sectors: u32,
    /// Sectors before the first table.
    pub reserved: u32,
    /// Sectors of each table.
    pub table_sectors: u32,
    /// Tables.
    pub tables: u32,
    /// Entries of the root folder, 0 where it is a chain of clusters (FAT32).
    pub root_entries: u32,
    /// Clusters, numbered from 2.
    pub clusters: u32,
}

impl Geometry {
    /// Returns the bytes in a cluster.
    #[must_use]
    pub fn cluster(&self) -> u64 {
        u64::from(self.sector) * u64::from(self.cluster_sectors)
    }

    /// Returns where a table starts, in bytes.
    #[must_use]
    pub fn table(&self, index: u32) -> u64 {
        let sectors = u64::from(self.reserved) + u64::from(index) * u64::from(self.table_sectors);
        sectors * u64::from(self.sector)
    }

    /// Returns where the root folder of a FAT12 or FAT16 starts, in bytes.
    #[must_use]
    pub fn root(&self) -> u64 {
        self.table(self.tables)
    }

    /// Returns where a cluster starts, in bytes.
    #[must_use]
    pub fn offset(&self, cluster: u32) -> u64 {
        let data = self.root() + u64::from(self.root_entries) * u64::from(ENTRY);
        data + u64::from(cluster.saturating_sub(2)) * self.cluster()
    }

    /// Returns the volume's length in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        u64::from(self.sectors) * u64::from(self.sector)
    }

    /// Chooses the geometry of a volume of `bytes` whose root folder has `root` entries.
    pub(super) fn choose(bytes: u64, root: u32, options: &Options) -> Result<Self, Error> {
        let sector = options.sector();
        let wanted = match options.bits {
            Some(bits) => vec![bits],
            None if bytes < 8 << 20 => vec![Bits::Fat12, Bits::Fat16],
            None if bytes < 512 << 20 => vec![Bits::Fat16, Bits::Fat12, Bits::Fat32],
            None => vec![Bits::Fat32, Bits::Fat16],
        };
        let sectors = bytes / u64::from(sector);
        let fail = |bits: Bits, reason: String| Error::Geometry {
            bits: bits.to_string(),
            size: bytes,
            sector,
            reason,
        };
        let Ok(sectors) = u32::try_from(sectors) else {
            return Err(fail(
                wanted[0],
                format!("it has {sectors} sectors, 2^32 - 1 are possible"),
            ));
        };
        for margin in [MARGIN, 0] {
            for &bits in &wanted {
                let sizes = cluster_sizes(bits, bytes, sector, options.cluster_size);
                for cluster in sizes {
                    let made = Self::fit(bits, sector, sectors, cluster / sector, root);
                    let (least, most) = bits.bounds();
                    if let Some(made) = made
                        && made.clusters >= least.saturating_add(if least > 1 { margin } else { 0 })
                        && made.clusters <= most - margin
                    {
                        return Ok(made);
                    }
                }
            }
        }
        let (least, most) = wanted[0].bounds();
        Err(fail(
            wanted[0],
            format!("it needs {least} to {most} clusters"),
        ))
    }

    /// Lays a volume out; nothing where a part has no room, or there are more clusters than can be counted.
    fn fit(bits: Bits, sector: u32, sectors: u32, per: u32, root: u32) -> Option<Self> {
        let (root_entries, least_reserved) = match bits {
            Bits::Fat32 => (0, 32),
            _ => (root.max(512).next_multiple_of(sector / ENTRY), 1),
        };
        u16::try_from(root_entries).ok()?;
        let tables = 2;
        let root_sectors = root_entries * ENTRY / sector;
        let free = sectors.checked_sub(least_reserved + root_sectors)?;
        let mut table_sectors = 1_u32;
        loop {
            let clusters = free.checked_sub(table_sectors.checked_mul(tables)?)? / per;
            let bytes = ((u64::from(clusters) + 2) * bits.width()).div_ceil(8);
            let needed = u32::try_from(bytes.div_ceil(u64::from(sector))).ok()?;
            if needed <= table_sectors {
                break;
            }
            table_sectors = needed;
        }
        let data = least_reserved + tables * table_sectors + root_sectors;
        let align = per.max(ALIGN / sector);
        let reserved = least_reserved + data.next_multiple_of(align) - data;
        let clusters = sectors.checked_sub(data.next_multiple_of(align))? / per;
        u16::try_from(reserved).ok()?;
        let wide = bits == Bits::Fat32 || u16::try_from(table_sectors).is_ok();
        (clusters > 0 && clusters <= bits.bounds().1 && wide).then_some(Self {
            bits,
            sector,
            sectors,
            cluster_sectors: per,
            reserved,
            table_sectors,
            tables,
            root_entries,
            clusters,
        })
    }
}

/// Returns the sizes of clusters to try, in bytes, the preferred first.
fn cluster_sizes(bits: Bits, bytes: u64, sector: u32, asked: Option<u32>) -> Vec<u32> {
    if let Some(asked) = asked {
        return vec![asked];
    }
    let preferred: u32 = match (bits, bytes >> 30) {
        (Bits::Fat12 | Bits::Fat16, _) => 2 << 10,
        (Bits::Fat32, 0..8) => 4 << 10,
        (Bits::Fat32, 8..16) => 8 << 10,
        (Bits::Fat32, 16..32) => 16 << 10,
        (Bits::Fat32, _) => 32 << 10,
    };
    let preferred = preferred.max(sector);
    let larger = std::iter::successors(Some(preferred), |size| Some(size * 2));
    let smaller = std::iter::successors(Some(preferred / 2), |size| Some(size / 2));
    larger
        .take_while(|size| *size <= MAX_CLUSTER && size / sector < 256)
        .chain(smaller.take_while(|size| *size >= sector))
        .collect()
}
