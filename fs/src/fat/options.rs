//! Everything that decides a volume's bytes beside its content.

use super::Bits;
use crate::tree::Time;

/// How a volume is made. Equal input and options give equal bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// How large the volume becomes.
    pub size: Size,
    /// Bytes in a sector: 512 (the default when 0), 1024, 2048 or 4096.
    pub sector_size: u32,
    /// The width of the table's entries; by size when `None`: 32 bits from 512 MiB on.
    pub bits: Option<Bits>,
    /// Bytes in a cluster: a power of two from a sector to 64 KiB; by size when `None`.
    pub cluster_size: Option<u32>,
    /// Volume label: up to 11 characters of the short-name alphabet, and spaces.
    pub label: Option<String>,
    /// Volume id; derived from names, sizes, times and options when `None`.
    pub volume_id: Option<u32>,
    /// The time of what has none; the newest mtime of the tree when `None`, 1980 where there is none.
    pub time: Option<Time>,
    /// Lowers every time after the volume's time to it.
    pub clamp_mtime: bool,
    /// Sectors before the volume on its disk.
    pub hidden_sectors: u32,
    /// The kinds of entries that may be left out, each with a note.
    pub ignore: Ignore,
}

impl Options {
    /// Returns the bytes in a sector.
    pub(super) fn sector(&self) -> u32 {
        match self.sector_size {
            0 => 512,
            size => size,
        }
    }
}

/// How large the volume becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// The content and at least so many free bytes, in whole MiB.
    Auto {
        /// Free space in bytes.
        free: u64,
    },
    /// Exactly so many bytes, a multiple of the sector.
    Exact(u64),
}

impl Default for Size {
    fn default() -> Self {
        Self::Auto { free: 1 << 20 }
    }
}

/// What may be left out, with a note, where FAT cannot hold it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ignore {
    /// Symlinks.
    pub symlinks: bool,
    /// Devices, fifos and sockets.
    pub devices: bool,
}
