//! Where the parts of a new image stand, and its header.

use forger_block::MAX_LEN;
use zerocopy::IntoBytes;

use super::create::DataFile;
use super::entry::COPIED;
use super::error::WriteError;
use super::extension::{self, Named};
use super::header::{MAGIC, MAX_L1_LEN, RawHeader, V2_LEN, incompatible};
use super::options::{Codec, Options};

/// The largest refcount table, in bytes; QEMU has the same limit.
const MAX_REFCOUNT_TABLE_LEN: u64 = 8 << 20;

/// A compatible feature: refcounts may be written late.
const LAZY_REFCOUNTS: u64 = 1;

/// A feature that whoever does not know it clears: the data file is a raw disk of itself.
const RAW_DATA_FILE: u64 = 1 << 1;

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

/// What a header says beside sizes and places.
#[derive(Clone, Debug)]
pub(super) struct Head {
    pub(super) codec: Codec,
    pub(super) backing: Option<Named>,
    pub(super) data_file: Option<DataFile>,
    pub(super) lazy_refcounts: bool,
}

impl Head {
    /// That of an image that stands alone.
    pub(super) fn alone(codec: Codec) -> Self {
        Self {
            codec,
            backing: None,
            data_file: None,
            lazy_refcounts: false,
        }
    }
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
        if size > MAX_LEN - 512 {
            return Err(WriteError::TooLarge { size, cluster });
        }
        // QEMU leaves out what is no whole sector.
        let size = size.next_multiple_of(512);
        // One at least: its cluster must belong to something.
        let l1_entries = size.div_ceil(cluster * options.l2_entries()).max(1);
        if l1_entries > MAX_L1_LEN / 8 {
            return Err(WriteError::TooLarge { size, cluster });
        }
        Ok(Self {
            options,
            size,
            l1_entries,
        })
    }

    /// Returns how many clusters the L1 table takes.
    pub(super) fn l1_clusters(&self) -> u64 {
        (self.l1_entries * 8).div_ceil(self.options.cluster_size)
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
            let blocks = all.div_ceil(cluster * 8 / u64::from(self.options.refcount_bits));
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

    /// Returns the header with its extensions; the L1 table and the refcount table stand at these
    /// clusters.
    pub(super) fn header(
        &self,
        head: &Head,
        l1: u64,
        refcount_table: u64,
        refcounts: Refcounts,
    ) -> Result<Vec<u8>, WriteError> {
        let Options {
            version,
            cluster_size,
            refcount_bits,
            extended_l2,
        } = self.options;
        let zstd = head.codec == Codec::Zstd;
        let bit = |set: bool, bit: u64| if set { bit } else { 0 };
        let data = head.data_file.as_ref();
        let features = bit(zstd, incompatible::COMPRESSION)
            | bit(extended_l2, incompatible::EXTENDED_L2)
            | bit(data.is_some(), incompatible::DATA_FILE);
        let raw_data = data.is_some_and(|data| data.raw);
        let mut raw = RawHeader {
            magic: MAGIC,
            version: version.into(),
            backing_file_offset: 0.into(),
            backing_file_size: 0.into(),
            cluster_bits: self.options.cluster_bits().into(),
            size: self.size.into(),
            crypt_method: 0.into(),
            l1_size: narrow(self.l1_entries).into(),
            l1_table_offset: (l1 * cluster_size).into(),
            refcount_table_offset: (refcount_table * cluster_size).into(),
            refcount_table_clusters: narrow(refcounts.table).into(),
            nb_snapshots: 0.into(),
            snapshots_offset: 0.into(),
            incompatible_features: features.into(),
            compatible_features: bit(head.lazy_refcounts, LAZY_REFCOUNTS).into(),
            autoclear_features: bit(raw_data, RAW_DATA_FILE).into(),
            refcount_order: refcount_bits.ilog2().into(),
            header_length: V3_HEADER_LEN.into(),
            compression_type: u8::from(zstd),
            padding: [0; 7],
        };
        let len = match version {
            2 => V2_LEN,
            _ => V3_HEADER_LEN,
        };
        let backing = head.backing.as_ref();
        let room = cluster_size - u64::from(len);
        let data = data.map(|data| &*data.name);
        let extensions = extension::seal(backing, data, version >= 3, room)?;
        if let Some(backing) = backing {
            raw.backing_file_offset = (u64::from(len) + extensions.len() as u64).into();
            raw.backing_file_size = narrow(backing.name.len() as u64).into();
        }
        let mut bytes = raw.as_bytes()[..len as usize].to_vec();
        bytes.extend(extensions);
        if let Some(backing) = backing {
            bytes.extend_from_slice(backing.name.as_bytes());
        }
        Ok(bytes)
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

/// Returns the length of the image of a disk of `size` bytes without zeros, in bytes.
///
/// A compressed one is no longer, whatever it holds.
///
/// # Errors
/// [`WriteError::TooLarge`]; options that are impossible.
pub fn full_len(size: u64, options: &Options) -> Result<u64, WriteError> {
    let geometry = Geometry::new(*options, size)?;
    let data = size.div_ceil(options.cluster_size);
    let l2 = data.div_ceil(options.l2_entries());
    let clusters = 1 + geometry.l1_clusters() + l2 + data;
    let refcounts = geometry.refcounts(clusters)?;
    Ok((clusters + refcounts.table + refcounts.blocks) * options.cluster_size)
}

/// Returns a number that is small because a table's length is.
fn narrow(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}
