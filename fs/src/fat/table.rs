//! The file allocation table, made when it is read: files lie contiguous, so a chain is a range.

use forger_block::{BlockRead, Result, Run, check_range};

use super::geometry::Geometry;

/// A chain of clusters that follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Chain {
    /// Its first cluster.
    pub(super) first: u32,
    /// How many, at least 1.
    pub(super) clusters: u32,
}

/// A table: chains without gaps from cluster 2 on, the rest free.
#[derive(Debug)]
pub(super) struct Table {
    geometry: Geometry,
    /// The last clusters of all chains, ascending.
    ends: Vec<u32>,
}

impl Table {
    /// Makes the table of chains that follow each other without gaps from cluster 2 on.
    pub(super) fn new(geometry: Geometry, chains: &[Chain]) -> Self {
        let ends = chains
            .iter()
            .map(|chain| chain.first + (chain.clusters - 1));
        Self {
            geometry,
            ends: ends.collect(),
        }
    }

    /// Returns the entry of a cluster; the first two are the volume's own.
    fn entry(&self, cluster: u32) -> u32 {
        let end = self.geometry.bits.end();
        match cluster {
            // The media byte, with ones before it.
            0 => end & !0xff | 0xf8,
            1 => end,
            _ => match self
                .ends
                .get(self.ends.partition_point(|last| *last < cluster))
            {
                Some(last) if *last == cluster => end,
                Some(_) => cluster + 1,
                None => 0,
            },
        }
    }

    /// Returns how many bytes from the start hold entries that are not 0.
    fn used(&self) -> u64 {
        let last = self.ends.last().copied().unwrap_or(1);
        ((u64::from(last) + 1) * self.geometry.bits.width()).div_ceil(8)
    }

    fn byte(&self, at: u64) -> u8 {
        let bits = self.geometry.bits.width();
        let cluster = |bit: u64| u32::try_from(bit / bits).unwrap_or(u32::MAX);
        // A byte of a FAT12 can hold the end of one entry and the start of the next.
        let (first, shift) = (cluster(at * 8), at * 8 % bits);
        let mut value = u64::from(self.entry(first)) >> shift;
        if bits == 12 && shift == 8 {
            value |= u64::from(self.entry(first + 1)) << 4;
        }
        value.to_le_bytes()[0]
    }
}

impl BlockRead for Table {
    fn len(&self) -> u64 {
        u64::from(self.geometry.table_sectors) * u64::from(self.geometry.sector)
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        check_range(offset, buf.len() as u64, self.len())?;
        let used = self.used();
        for (at, byte) in (offset..).zip(buf) {
            *byte = if at < used { self.byte(at) } else { 0 };
        }
        Ok(())
    }

    fn run_at(&self, offset: u64) -> Result<Run> {
        let (size, used) = (self.len(), self.used());
        check_range(offset, 0, size)?;
        Ok(match offset < used {
            true => Run::Data(used - offset),
            false => Run::Hole(size - offset),
        })
    }
}
