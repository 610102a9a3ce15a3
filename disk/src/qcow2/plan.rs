//! An uncompressed image, planned before anything is written.
//!
//! ```text
//! header | refcount table | refcount blocks | L1 table | L2 tables | data clusters in order
//! ```
//!
//! Everything is referred to once, so every refcount is 1.

use std::ops::Range;
use std::sync::Arc;

use forger_block::{BlockRead, Bytes, Result, SparseImage, check_range};

use super::entry::COPIED;
use super::error::WriteError;
use super::geometry::Geometry;
use super::options::{Codec, Options};
use crate::occupied::occupied;
use crate::progress::Progress;

/// Plans the image of a disk: its tables are made as they are read, its contents stay in `source`.
///
/// The disk is looked through for zeros first, on `threads` threads: which clusters an image has
/// depends on contents alone.
///
/// # Errors
/// Those of the source; [`WriteError::TooLarge`]; options that are impossible.
pub fn plan(
    source: &Arc<dyn BlockRead>,
    options: &Options,
    threads: usize,
    progress: &mut dyn Progress,
) -> std::result::Result<SparseImage, WriteError> {
    let geometry = Geometry::new(*options, source.len())?;
    let cluster = options.cluster_size;
    let runs = occupied(source, cluster, threads, progress)?;
    let tables = l2_tables(&runs, options.l2_entries());
    let data: u64 = runs.iter().map(|run| run.end - run.start).sum();
    let l1_clusters = geometry.l1_clusters();
    let l2_clusters = tables.len() as u64;
    let refcounts = geometry.refcounts(1 + l1_clusters + l2_clusters + data)?;
    // In clusters.
    let blocks_at = 1 + refcounts.table;
    let l1_at = blocks_at + refcounts.blocks;
    let l2_at = l1_at + l1_clusters;
    let data_at = l2_at + l2_clusters;
    let total = data_at + data;

    let mut image = SparseImage::builder();
    let header = geometry.header(Codec::Zlib, l1_at, 1, refcounts);
    image.bytes(0, header.into())?;
    let table = geometry.refcount_table(refcounts, blocks_at);
    image.bytes(cluster, table.into())?;
    let ones: Arc<dyn BlockRead> = Arc::new(Ones { count: total });
    image.span(blocks_at * cluster, ones.len(), &ones, 0)?;
    let l1 = geometry.l1(tables.iter().copied(), l2_at);
    image.bytes(l1_at * cluster, Bytes::from(l1))?;
    let l2: Arc<dyn BlockRead> = Arc::new(L2Tables::new(&runs, data_at, tables, options));
    image.span(l2_at * cluster, l2.len(), &l2, 0)?;
    let mut at = data_at;
    for run in &runs {
        let start = run.start * cluster;
        let len = (run.end * cluster).min(source.len()) - start;
        image.span(at * cluster, len, source, start)?;
        at += run.end - run.start;
    }
    Ok(image.finish(total * cluster)?)
}

/// Returns the numbers of the L2 tables that the runs need.
pub(super) fn l2_tables(runs: &[Range<u64>], entries: u64) -> Vec<u64> {
    let mut tables: Vec<u64> = Vec::new();
    for run in runs {
        let first = run.start / entries;
        let next = tables.last().map_or(first, |last| first.max(last + 1));
        tables.extend(next..=(run.end - 1) / entries);
    }
    tables
}

/// Refcounts of 16 bits, each 1.
#[derive(Debug)]
struct Ones {
    count: u64,
}

impl BlockRead for Ones {
    fn len(&self) -> u64 {
        self.count * 2
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        check_range(offset, buf.len() as u64, self.len())?;
        for (at, byte) in (offset..).zip(buf) {
            *byte = u8::from(at % 2 == 1);
        }
        Ok(())
    }
}

/// The L2 tables of an image, made as they are read.
#[derive(Debug)]
struct L2Tables {
    /// Clusters of the disk, and the cluster of the image that the first one stands at.
    runs: Vec<(Range<u64>, u64)>,
    /// Numbers of the tables, in order.
    tables: Vec<u64>,
    entries: u64,
    cluster: u64,
}

impl L2Tables {
    fn new(runs: &[Range<u64>], data_at: u64, tables: Vec<u64>, options: &Options) -> Self {
        let mut at = data_at;
        let runs = runs
            .iter()
            .map(|run| {
                let host = at;
                at += run.end - run.start;
                (run.clone(), host)
            })
            .collect();
        Self {
            runs,
            tables,
            entries: options.l2_entries(),
            cluster: options.cluster_size,
        }
    }

    /// Fills entries of a table, from `first` on.
    fn fill(&self, table: u64, first: u64, entries: &mut [[u8; 8]]) {
        let start = table * self.entries + first;
        let end = start + entries.len() as u64;
        entries.fill([0; 8]);
        let from = self.runs.partition_point(|(run, _)| run.end <= start);
        for (run, host) in &self.runs[from..] {
            if run.start >= end {
                break;
            }
            for cluster in run.start.max(start)..run.end.min(end) {
                let host = (host + (cluster - run.start)) * self.cluster;
                let at = usize::try_from(cluster - start).unwrap_or(usize::MAX);
                entries[at] = (COPIED | host).to_be_bytes();
            }
        }
    }
}

impl BlockRead for L2Tables {
    fn len(&self) -> u64 {
        self.tables.len() as u64 * self.cluster
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        check_range(offset, buf.len() as u64, self.len())?;
        let mut at = offset;
        let mut rest = buf;
        let mut entries = Vec::new();
        while !rest.is_empty() {
            let within = at % self.cluster;
            let room = usize::try_from(self.cluster - within).unwrap_or(usize::MAX);
            let (part, behind) = rest.split_at_mut(room.min(rest.len()));
            let (first, end) = (within / 8, (within + part.len() as u64).div_ceil(8));
            entries.resize(usize::try_from(end - first).unwrap_or(0), [0; 8]);
            let table = usize::try_from(at / self.cluster).unwrap_or(usize::MAX);
            self.fill(self.tables[table], first, &mut entries);
            let from = usize::try_from(within % 8).unwrap_or(0);
            part.copy_from_slice(&entries.as_flattened()[from..from + part.len()]);
            at += part.len() as u64;
            rest = behind;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use forger_block::conformance;

    #[test]
    fn tables_that_are_made_on_demand_keep_the_contract() {
        let options = Options {
            cluster_size: 512,
            ..Options::default()
        };
        let runs = [3..5, 70..200];
        let tables = l2_tables(&runs, options.l2_entries());
        assert_eq!(tables, [0, 1, 2, 3]);
        let l2 = L2Tables::new(&runs, 10, tables, &options);
        let mut expected = vec![0; 4 * 512];
        for (cluster, host) in (3..5).chain(70..200).zip(10_u64..) {
            let entry = (COPIED | (host * 512)).to_be_bytes();
            expected[cluster * 8..cluster * 8 + 8].copy_from_slice(&entry);
        }
        conformance::reader(&l2, &expected);
        conformance::reader(&Ones { count: 3 }, &[0, 1, 0, 1, 0, 1]);
    }
}
