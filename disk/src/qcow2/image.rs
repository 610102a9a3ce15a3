//! Reading an image.
//!
//! A table or cluster is read when it is wanted, and a bounded number of them is kept.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

use std::sync::Arc;

use forger_block::{BlockRead, MAX_LEN, Result, Run};

use super::decompress::Decompressors;
use super::entry::{self, Cluster};
use super::error::{Damage, Place, ReadError, Role};
use super::header::Header;
use crate::cache::Cache;
use crate::mapped::{self, Mapped};
use crate::padded::{padded_run, read_padded};

/// So much memory the L2 tables may take that are kept, in bytes.
const TABLES: u64 = 16 << 20;

/// So much memory the decompressed clusters may take that are kept, in bytes.
const CLUSTERS: u64 = 8 << 20;

/// The other files of an image, which whoever opens it must have leave to read.
#[derive(Clone, Debug, Default)]
pub struct Neighbours {
    /// What is read where the image has nothing.
    pub backing: Option<Arc<dyn BlockRead>>,
    /// The data clusters, for an image that has them in another file.
    pub data: Option<Arc<dyn BlockRead>>,
}

/// The disk in a qcow2 image: its active state, or that of a snapshot.
#[derive(Debug)]
pub struct Image {
    header: Header,
    file: Arc<dyn BlockRead>,
    neighbours: Neighbours,
    /// Offsets of the L2 tables, as they stand in the L1 table.
    l1: Vec<u64>,
    tables: Cache<Vec<u64>>,
    clusters: Cache<Vec<u8>>,
    decompressors: Decompressors,
}

/// A piece of the disk: how long, and where it is.
struct Piece {
    len: u64,
    cluster: Cluster,
}

impl Image {
    /// Opens an image that needs no other files.
    ///
    /// # Errors
    /// As [`open_with`](Self::open_with); [`ReadError::Needs`] for one that does.
    pub fn open(file: Arc<dyn BlockRead>) -> std::result::Result<Self, ReadError> {
        Self::open_with(file, Neighbours::default())
    }

    /// Opens an image and gives it the other files that its header names.
    ///
    /// A file that the header does not name is not used.
    ///
    /// # Errors
    /// A file that is no qcow2 image, an image that uses what is not known, and a damaged one;
    /// [`ReadError::Needs`] when a file is missing.
    pub fn open_with(
        file: Arc<dyn BlockRead>,
        mut neighbours: Neighbours,
    ) -> std::result::Result<Self, ReadError> {
        let header = Header::read(&file)?;
        let needs = |role, name: &str| ReadError::Needs {
            role,
            name: name.to_owned(),
        };
        match (&header.backing_file, &neighbours.backing) {
            (Some(name), None) => return Err(needs(Role::Backing, name)),
            (None, _) => neighbours.backing = None,
            _ => {}
        }
        match (&header.data_file, &neighbours.data) {
            (Some(name), None) => return Err(needs(Role::Data, name)),
            (None, _) => neighbours.data = None,
            _ => {}
        }
        Self::of_state(file, header, neighbours)
    }

    /// Opens the state that a snapshot keeps, which is named by its identifier or its name; else as
    /// [`open_with`](Self::open_with).
    ///
    /// # Errors
    /// As there; [`ReadError::NoSnapshot`].
    pub fn open_snapshot(
        file: Arc<dyn BlockRead>,
        neighbours: Neighbours,
        snapshot: &str,
    ) -> std::result::Result<Self, ReadError> {
        let image = Self::open_with(file, neighbours)?;
        let Self {
            mut header,
            file,
            neighbours,
            ..
        } = image;
        let all = || header.snapshots.iter();
        let found = all()
            .find(|known| known.id == snapshot)
            .or_else(|| all().find(|known| known.name == snapshot));
        let Some(found) = found else {
            let names = all().map(|known| known.name.clone()).collect();
            let wanted = snapshot.to_owned();
            return Err(ReadError::NoSnapshot { wanted, names });
        };
        let size = found.disk_size.unwrap_or(header.size);
        if size > MAX_LEN {
            let place = Place::Header;
            return Err(ReadError::field(place, "size of the snapshot", size));
        }
        (header.l1_table_offset, header.l1_size) = (found.l1_table_offset, found.l1_size);
        header.size = size;
        header.check_l1(file.len())?;
        Self::of_state(file, header, neighbours)
    }

    /// Opens the state whose L1 table the header names.
    fn of_state(
        file: Arc<dyn BlockRead>,
        header: Header,
        neighbours: Neighbours,
    ) -> std::result::Result<Self, ReadError> {
        let l1 = read_l1(&file, &header)?;
        Ok(Self {
            tables: Cache::new(header.cluster_size, TABLES),
            clusters: Cache::new(header.cluster_size, CLUSTERS),
            decompressors: Decompressors::new(header.codec),
            header,
            file,
            neighbours,
            l1,
        })
    }

    /// Returns what the image says about itself.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Tells whether any cluster is compressed; looks at tables as far as the first that is.
    ///
    /// # Errors
    /// A damaged table.
    pub fn is_compressed(&self) -> std::result::Result<bool, ReadError> {
        let mut at = 0;
        while at < self.header.size {
            let piece = self.find(at, self.header.size.saturating_sub(at))?;
            if matches!(piece.cluster, Cluster::Compressed { .. }) {
                return Ok(true);
            }
            at = at.saturating_add(piece.len.max(1));
        }
        Ok(false)
    }

    /// Returns where data clusters stand.
    fn data(&self) -> &Arc<dyn BlockRead> {
        self.neighbours.data.as_ref().unwrap_or(&self.file)
    }

    /// Returns the piece at an offset: as far as one table tells, and what is of one kind.
    fn find(&self, offset: u64, most: u64) -> std::result::Result<Piece, ReadError> {
        let reach = self.header.l2_reach();
        let index = offset.checked_div(reach).unwrap_or(0);
        let within = offset.checked_rem(reach).unwrap_or(0);
        let table_end = reach.saturating_sub(within);
        let l1_entry = usize::try_from(index)
            .ok()
            .and_then(|index| self.l1.get(index));
        let table_offset = l1_entry.copied().unwrap_or(0);
        if table_offset == 0 {
            let empty = self.empty_tables(index);
            return Ok(Piece {
                len: table_end
                    .saturating_add(empty.saturating_mul(reach))
                    .min(most),
                cluster: Cluster::Unallocated,
            });
        }
        let table = self
            .tables
            .get(table_offset, || self.read_table(table_offset))?;
        let most = most.min(table_end);
        let first = self.part(&table, offset)?;
        let mut len = first.len.min(most);
        // What follows in the file as it does on the disk is one piece.
        while len < most {
            let next = self.part(&table, offset.saturating_add(len))?;
            let continues = match (first.cluster, next.cluster) {
                (Cluster::Data(start), Cluster::Data(at)) => at == start.saturating_add(len),
                (Cluster::Zero, Cluster::Zero) | (Cluster::Unallocated, Cluster::Unallocated) => {
                    true
                }
                _ => false,
            };
            if !continues {
                break;
            }
            len = len.saturating_add(next.len).min(most);
        }
        Ok(Piece {
            len,
            cluster: first.cluster,
        })
    }

    /// Returns how many entries behind one of the L1 table are empty as well.
    fn empty_tables(&self, index: u64) -> u64 {
        let next = usize::try_from(index.saturating_add(1)).unwrap_or(usize::MAX);
        let rest = self.l1.get(next..).unwrap_or_default();
        let empty = rest.iter().take_while(|entry| **entry == 0).count();
        u64::try_from(empty).unwrap_or(0)
    }

    /// Returns the piece at an offset, at most the rest of one cluster or subcluster.
    fn part(&self, table: &[u64], offset: u64) -> std::result::Result<Piece, ReadError> {
        let size = self.header.cluster_size;
        let index = offset
            .checked_div(size)
            .and_then(|cluster| cluster.checked_rem(self.header.l2_entries()));
        let index = usize::try_from(index.unwrap_or(0)).unwrap_or(usize::MAX);
        let within = offset.checked_rem(size).unwrap_or(0);
        let guest = offset.saturating_sub(within);
        let (entry, bitmap) = if self.header.extended_l2 {
            let at = index.saturating_mul(2);
            let at = |plus: usize| table.get(at.saturating_add(plus)).copied();
            (at(0).unwrap_or(0), Some(at(1).unwrap_or(0)))
        } else {
            (table.get(index).copied().unwrap_or(0), None)
        };
        let (cluster, unit) = match bitmap {
            _ if entry & entry::COMPRESSED != 0 => (self.compressed(entry, guest)?, size),
            None => (self.standard(entry, guest)?, size),
            Some(bitmap) => {
                let unit = size >> 5;
                let subcluster = within.checked_div(unit).unwrap_or(0);
                (self.subcluster(entry, bitmap, subcluster, guest)?, unit)
            }
        };
        let cluster = match cluster {
            Cluster::Data(start) => Cluster::Data(start.saturating_add(within)),
            other => other,
        };
        let len = unit.saturating_sub(within.checked_rem(unit).unwrap_or(0));
        Ok(Piece { len, cluster })
    }

    fn standard(&self, entry: u64, guest: u64) -> std::result::Result<Cluster, ReadError> {
        let offset = self.data_offset(entry, guest)?;
        if entry & entry::ZERO != 0 {
            if self.header.version < 3 {
                return Err(ReadError::field(Place::L2(guest), "bit 0", 1));
            }
            return Ok(Cluster::Zero);
        }
        Ok(offset.map_or(Cluster::Unallocated, Cluster::Data))
    }

    fn subcluster(
        &self,
        entry: u64,
        bitmap: u64,
        subcluster: u64,
        guest: u64,
    ) -> std::result::Result<Cluster, ReadError> {
        let offset = self.data_offset(entry, guest)?;
        let bit = |shift: u64| {
            let shift = u32::try_from(shift).unwrap_or(u32::MAX);
            bitmap.checked_shr(shift).unwrap_or(0) & 1 == 1
        };
        match (bit(subcluster), bit(subcluster.saturating_add(32)), offset) {
            (false, false, _) => Ok(Cluster::Unallocated),
            (false, true, _) => Ok(Cluster::Zero),
            (true, false, Some(offset)) => Ok(Cluster::Data(offset)),
            _ => Err(ReadError::field(
                Place::L2(guest),
                "subcluster bitmap",
                bitmap,
            )),
        }
    }

    /// Returns where the entry's cluster stands, if it has one.
    fn data_offset(&self, entry: u64, guest: u64) -> std::result::Result<Option<u64>, ReadError> {
        let offset = entry & entry::OFFSET;
        if offset == 0 {
            // The header stands there, but in a data file a cluster can.
            let at_start = self.neighbours.data.is_some() && entry & entry::COPIED != 0;
            return Ok(at_start.then_some(0));
        }
        let size = self.data().len();
        if offset >= size || !offset.is_multiple_of(self.header.cluster_size) {
            let damage = Damage::Offset {
                field: "host cluster offset",
                offset,
                size,
            };
            return Err(ReadError::corrupt(Place::L2(guest), damage));
        }
        Ok(Some(offset))
    }

    fn compressed(&self, entry: u64, guest: u64) -> std::result::Result<Cluster, ReadError> {
        let cluster = entry::compressed(entry, self.header.cluster_bits);
        let size = self.file.len();
        match cluster {
            Cluster::Compressed { offset, .. }
                if offset >= size || self.header.data_file.is_some() =>
            {
                let damage = Damage::Offset {
                    field: "compressed cluster",
                    offset,
                    size,
                };
                Err(ReadError::corrupt(Place::L2(guest), damage))
            }
            cluster => Ok(cluster),
        }
    }

    fn read_table(&self, offset: u64) -> std::result::Result<Vec<u64>, ReadError> {
        let len = usize::try_from(self.header.cluster_size).unwrap_or(0);
        let mut bytes = vec![0; len];
        read_padded(&self.file, offset, &mut bytes)?;
        Ok(words(&bytes))
    }

    /// Fills a buffer as long as a cluster with a compressed one.
    fn decompress(
        &self,
        guest: u64,
        offset: u64,
        len: u64,
        cluster: &mut [u8],
    ) -> std::result::Result<(), ReadError> {
        let end = offset.saturating_add(len).min(self.file.len());
        let len = usize::try_from(end.saturating_sub(offset)).unwrap_or(0);
        // At most two clusters.
        let mut packed = vec![0; len];
        self.file.read_at(offset, &mut packed)?;
        match self.decompressors.decompress(&packed, cluster) {
            true => Ok(()),
            false => {
                let damage = Damage::Decompress(cluster.len());
                Err(ReadError::corrupt(Place::Compressed(guest), damage))
            }
        }
    }

    /// Fills `buf` with what a cluster has for the disk's `offset`.
    fn read_cluster(&self, offset: u64, cluster: Cluster, buf: &mut [u8]) -> Result<()> {
        match cluster {
            Cluster::Zero => buf.fill(0),
            Cluster::Unallocated => match &self.neighbours.backing {
                Some(backing) => read_padded(backing, offset, buf)?,
                None => buf.fill(0),
            },
            // A file may end inside its last cluster.
            Cluster::Data(start) => read_padded(self.data(), start, buf)?,
            Cluster::Compressed { offset: at, len } => {
                let size = self.header.cluster_size;
                let within = offset.checked_rem(size).unwrap_or(0);
                let guest = offset.saturating_sub(within);
                let size = usize::try_from(size).unwrap_or(0);
                if buf.len() == size {
                    // A whole one is wanted once, as a rule.
                    return Ok(self.decompress(guest, at, len, buf)?);
                }
                let cluster = self.clusters.get(guest, || {
                    let mut cluster = vec![0; size];
                    self.decompress(guest, at, len, &mut cluster)
                        .map(|()| cluster)
                })?;
                let from = usize::try_from(within).unwrap_or(usize::MAX);
                let part = cluster.get(from..).and_then(|rest| rest.get(..buf.len()));
                buf.copy_from_slice(part.unwrap_or_default());
            }
        }
        Ok(())
    }
}

impl Mapped for Image {
    type Place = Cluster;

    fn size(&self) -> u64 {
        self.header.size
    }

    fn piece(&self, offset: u64, most: u64) -> Result<(Cluster, u64)> {
        let piece = self.find(offset, most)?;
        Ok((piece.cluster, piece.len))
    }

    fn fill(&self, offset: u64, cluster: &Cluster, part: &mut [u8]) -> Result<()> {
        self.read_cluster(offset, *cluster, part)
    }

    fn run(&self, offset: u64, cluster: &Cluster, len: u64) -> Result<Run> {
        match *cluster {
            Cluster::Zero => Ok(Run::Hole(len)),
            Cluster::Compressed { .. } => Ok(Run::Data(len)),
            Cluster::Data(start) => padded_run(self.data(), start, len),
            Cluster::Unallocated => match &self.neighbours.backing {
                Some(backing) => padded_run(backing, offset, len),
                None => Ok(Run::Hole(len)),
            },
        }
    }
}

impl BlockRead for Image {
    fn len(&self) -> u64 {
        self.header.size
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        mapped::read_at(self, offset, buf)
    }

    fn run_at(&self, offset: u64) -> Result<Run> {
        mapped::run_at(self, offset)
    }
}

/// Reads the part of the L1 table that the disk needs, and checks it.
fn read_l1(file: &dyn BlockRead, header: &Header) -> std::result::Result<Vec<u64>, ReadError> {
    let count = header.size.div_ceil(header.l2_reach().max(1));
    // At most 32 MiB, and inside the file: the header's check.
    let mut bytes = vec![0; usize::try_from(count.saturating_mul(8)).unwrap_or(0)];
    read_padded(file, header.l1_table_offset, &mut bytes)?;
    let mut l1 = words(&bytes);
    for (index, entry) in (0..).zip(&mut l1) {
        let offset = *entry & entry::OFFSET;
        let inside = offset < file.len();
        if offset != 0 && !(inside && offset.is_multiple_of(header.cluster_size)) {
            let damage = Damage::Offset {
                field: "l2_offset",
                offset,
                size: file.len(),
            };
            return Err(ReadError::corrupt(Place::L1(index), damage));
        }
        *entry = offset;
    }
    check_twice(&l1)?;
    Ok(l1)
}

/// Checks that no L2 table is used twice: a small file could make a disk that takes for ever to walk.
fn check_twice(l1: &[u64]) -> std::result::Result<(), ReadError> {
    let mut tables: Vec<(u64, u64)> = (0..)
        .zip(l1)
        .filter(|(_, offset)| **offset != 0)
        .map(|(index, offset)| (*offset, index))
        .collect();
    tables.sort_unstable();
    for pair in tables.windows(2) {
        if let [(first, _), (second, index)] = pair
            && first == second
        {
            let damage = Damage::Twice { offset: *second };
            return Err(ReadError::corrupt(Place::L1(*index), damage));
        }
    }
    Ok(())
}

/// Reads big-endian words.
pub(super) fn words(bytes: &[u8]) -> Vec<u64> {
    let (words, _) = bytes.as_chunks::<8>();
    words.iter().map(|word| u64::from_be_bytes(*word)).collect()
}
