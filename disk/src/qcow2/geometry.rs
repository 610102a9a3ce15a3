//! Where the parts of a new image stand, and its header.

use zerocopy::IntoBytes;

use super::entry::COPIED;
use super::error::WriteError;
use super::header::{MAGIC, MAX_L1_LEN, RawHeader, V2_LEN, incompatible};
use super::options::{Codec, Options};

/// The largest refcount table, in bytes; QEMU has the same limit.
const MAX_REFCOUNT_TABLE_LEN: u64 = 8 << 20;

/// The width of refcounts that are written, as a power of two: 16 bits.
const REFCOUNT_ORDER: u32 = 4;

/// Length of a header of version 3, in bytes.
const V3_HEADER_LEN: u32 = 112;

/// Sizes of an image's tables.
#[derive(Clone, Copy, Debug)]
pub(super) struct Geometry {
    pub(super) options: Options,
    /// Size of the disk, in bytes.
    pub(super) size: u64,
    /// Entries of the L1 table.
    pub(super) l1_entries: u64,
}

/// Where tables stand, in clusters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refcounts {
    /// Clusters of the refcount table.
    pub(super) table: u64,
    /// Number of refcount blocks, each a cluster.
    pub(super) blocks: u64,
}

impl Geometry {
    pub(super) fn new(options: Options, size: u64) -> Result<Self, WriteError> {
        options.validate()?;
        let cluster = options.cluster_size;
        let l1_entries = size.div_ceil(cluster * options.l2_entries());
        if l1_entries * 8 > MAX_L1_LEN {
            return Err(WriteError::TooLarge { size, cluster });
        }
        Ok(Self {
            options,
            size,
            l1_entries,
        })
    }

    /// Returns how many clusters the L1 table takes; one at least.
    pub(super) fn l1_clusters(&self) -> u64 {
        (self.l1_entries * 8)
            .div_ceil(self.options.cluster_size)
            .max(1)
    }

    /// Returns what counts the references to `clusters` clusters and to its own.
    pub(super) fn refcounts(&self, clusters: u64) -> Result<Refcounts, WriteError> {
        let cluster = self.options.cluster_size;
        let mut counts = Refcounts {
            table: 1,
            blocks: 1,
        };
        loop {
            let all = clusters + counts.table + counts.blocks;
            let blocks = all.div_ceil(cluster / 2);
            let table = (blocks * 8).div_ceil(cluster);
            let next = Refcounts {
                table: table.max(counts.table),
                blocks: blocks.max(counts.blocks),
            };
            if next.table * cluster > MAX_REFCOUNT_TABLE_LEN.max(cluster) {
                let size = self.size;
                return Err(WriteError::TooLarge { size, cluster });
            }
            if next == counts {
                return Ok(counts);
            }
            counts = next;
        }
    }

    /// Returns the header; the L1 table and the refcount table stand at these clusters.
    pub(super) fn header(
        &self,
        codec: Codec,
        l1: u64,
        refcount_table: u64,
        refcounts: Refcounts,
    ) -> Vec<u8> {
        let cluster = self.options.cluster_size;
        let zstd = codec == Codec::Zstd;
        let raw = RawHeader {
            magic: MAGIC,
            version: self.options.version.into(),
            backing_file_offset: 0.into(),
            backing_file_size: 0.into(),
            cluster_bits: self.options.cluster_bits().into(),
            size: self.size.into(),
            crypt_method: 0.into(),
            l1_size: narrow(self.l1_entries).into(),
            l1_table_offset: (l1 * cluster).into(),
            refcount_table_offset: (refcount_table * cluster).into(),
            refcount_table_clusters: narrow(refcounts.table).into(),
            nb_snapshots: 0.into(),
            snapshots_offset: 0.into(),
            incompatible_features: if zstd { incompatible::COMPRESSION } else { 0 }.into(),
            compatible_features: 0.into(),
            autoclear_features: 0.into(),
            refcount_order: REFCOUNT_ORDER.into(),
            header_length: V3_HEADER_LEN.into(),
            compression_type: u8::from(zstd),
            padding: [0; 7],
        };
        let len = if self.options.version == 2 {
            V2_LEN
        } else {
            V3_HEADER_LEN
        };
        // Behind it zeros, which are the end of the extensions.
        raw.as_bytes()[..len as usize].to_vec()
    }

    /// Returns the L1 table of an image whose L2 tables, by their numbers, stand one behind the
    /// other from a cluster on.
    pub(super) fn l1(&self, tables: impl Iterator<Item = u64>, first: u64) -> Vec<u8> {
        let mut l1 = vec![0; usize::try_from(self.l1_entries * 8).unwrap_or(usize::MAX)];
        let (entries, _) = l1.as_chunks_mut::<8>();
        for (cluster, table) in (first..).zip(tables) {
            let entry = COPIED | (cluster * self.options.cluster_size);
            entries[usize::try_from(table).unwrap_or(usize::MAX)] = entry.to_be_bytes();
        }
        l1
    }

    /// Returns the refcount table; the blocks stand one behind the other from a cluster on.
    pub(super) fn refcount_table(&self, refcounts: Refcounts, first: u64) -> Vec<u8> {
        (first..first + refcounts.blocks)
            .flat_map(|cluster| (cluster * self.options.cluster_size).to_be_bytes())
            .collect()
    }
}

/// Returns a number that is small because a table's length is.
fn narrow(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}
