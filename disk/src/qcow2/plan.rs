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

use super::entry::{ALL_ALLOCATED, COPIED, ZERO};
use super::error::WriteError;
use super::geometry::{Geometry, Head};
use super::options::{Codec, Options};
use super::refcount::Ones;
use crate::occupied::occupied;
use crate::progress::Progress;

/// Plans the image of a disk, which is rounded up to 512 bytes: its tables are made as they are read, its contents stay in `source`.
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
    let data = occupied(source, options.cluster_size, threads, progress)?;
    let runs = data.into_iter().map(|run| (run, Kind::Data)).collect();
    assemble(
        &geometry,
        &Head::alone(Codec::Zlib),
        runs,
        Some(source),
        None,
    )
}

/// What an image has of a cluster of the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Its data.
    Data,
    /// Room for its data; what is read is the backing file's, or zeros.
    Room,
    /// That it is zeros, whatever the backing file has.
    Zero,
}

/// Puts an image together from what it has of the disk's clusters, by their numbers, in ascending
/// order, of which the run `lead` stands first where there is one; without a source, data are zeros.
pub(super) fn assemble(
    geometry: &Geometry,
    head: &Head,
    runs: Vec<(Range<u64>, Kind)>,
    source: Option<&Arc<dyn BlockRead>>,
    lead: Option<&Range<u64>>,
) -> std::result::Result<SparseImage, WriteError> {
    let options = &geometry.options;
    let cluster = options.cluster_size;
    let tables = l2_tables(&runs, options.l2_entries());
    let elsewhere = head.data_file.is_some();
    let stored: u64 = runs
        .iter()
        .filter(|(_, kind)| *kind != Kind::Zero && !elsewhere)
        .map(|(run, _)| run.end - run.start)
        .sum();
    let l1_clusters = geometry.l1_clusters();
    let l2_clusters = tables.len() as u64;
    let refcounts = geometry.refcounts(1 + l1_clusters + l2_clusters + stored)?;
    // In clusters.
    let table_at = if lead.is_some() { 1 + stored } else { 1 };
    let blocks_at = table_at + refcounts.table;
    let l1_at = blocks_at + refcounts.blocks;
    let l2_at = l1_at + l1_clusters;
    let tables_end = l2_at + l2_clusters;
    let data_at = if lead.is_some() { 1 } else { tables_end };
    let total = tables_end.max(data_at + stored);
    let runs = places(runs, (!elsewhere).then_some(data_at), lead);

    let mut image = SparseImage::builder();
    let header = geometry.header(head, l1_at, table_at, refcounts)?;
    image.bytes(0, header.into())?;
    let table = geometry.refcount_table(refcounts, blocks_at);
    image.bytes(table_at * cluster, table.into())?;
    let ones: Arc<dyn BlockRead> = Arc::new(Ones {
        count: total,
        bits: options.refcount_bits,
    });
    image.span(blocks_at * cluster, ones.len(), &ones, 0)?;
    let l1 = geometry.l1(tables.iter().copied(), l2_at);
    image.bytes(l1_at * cluster, Bytes::from(l1))?;
    if let Some(source) = source {
        for (run, _, at) in runs.iter().filter(|(_, kind, _)| *kind == Kind::Data) {
            let start = run.start * cluster;
            let len = (run.end * cluster).min(source.len()) - start;
            image.span(at * cluster, len, source, start)?;
        }
    }
    let l2: Arc<dyn BlockRead> = Arc::new(L2Tables {
        runs,
        tables,
        options: *options,
    });
    image.span(l2_at * cluster, l2.len(), &l2, 0)?;
    Ok(image.finish(total * cluster)?)
}

/// Says at which cluster of the image each run begins: `lead` before the others, one behind the other
/// from `data_at` on, or in another file where they stand on the disk.
fn places(
    runs: Vec<(Range<u64>, Kind)>,
    data_at: Option<u64>,
    lead: Option<&Range<u64>>,
) -> Vec<(Range<u64>, Kind, u64)> {
    let first = data_at.unwrap_or(0);
    let mut at = first + lead.map_or(0, |lead| lead.end - lead.start);
    let place = |(run, kind): (Range<u64>, Kind)| {
        if data_at.is_none() {
            let host = run.start;
            return (run, kind, host);
        }
        if lead == Some(&run) {
            return (run, kind, first);
        }
        let host = at;
        if kind != Kind::Zero {
            at += run.end - run.start;
        }
        (run, kind, host)
    };
    runs.into_iter().map(place).collect()
}

/// Returns the numbers of the L2 tables that the runs need.
fn l2_tables(runs: &[(Range<u64>, Kind)], entries: u64) -> Vec<u64> {
    let mut tables: Vec<u64> = Vec::new();
    for (run, _) in runs {
        let first = run.start / entries;
        let next = tables.last().map_or(first, |last| first.max(last + 1));
        tables.extend(next..=(run.end - 1) / entries);
    }
    tables
}

/// The L2 tables of an image, made as they are read.
#[derive(Debug)]
struct L2Tables {
    /// Clusters of the disk, and the cluster of the image that the first one stands at.
    runs: Vec<(Range<u64>, Kind, u64)>,
    /// Numbers of the tables, in order.
    tables: Vec<u64>,
    options: Options,
}

impl L2Tables {
    /// Fills words of a table, from `first` on: an entry has one, or two with subclusters.
    fn fill(&self, table: u64, first: u64, words: &mut [[u8; 8]]) {
        let width = self.options.l2_entry_len() / 8;
        let base = table * self.options.l2_entries();
        let end = base + (first + words.len() as u64).div_ceil(width);
        let start = base + first / width;
        words.fill([0; 8]);
        let from = self.runs.partition_point(|(run, ..)| run.end <= start);
        for (run, kind, host) in &self.runs[from..] {
            if run.start >= end {
                break;
            }
            for cluster in run.start.max(start)..run.end.min(end) {
                let host = (host + (cluster - run.start)) * self.options.cluster_size;
                let at = (cluster - base) * width;
                let entry = words_of(*kind, host, self.options.extended_l2);
                for (word, value) in (at..at + width).zip(entry) {
                    let index = word
                        .checked_sub(first)
                        .and_then(|at| usize::try_from(at).ok());
                    if let Some(place) = index.and_then(|index| words.get_mut(index)) {
                        *place = value.to_be_bytes();
                    }
                }
            }
        }
    }
}

/// Returns the words of an entry, of which the second counts with subclusters.
pub(super) fn words_of(kind: Kind, host: u64, extended_l2: bool) -> [u64; 2] {
    match (kind, extended_l2) {
        (Kind::Data, _) => [COPIED | host, ALL_ALLOCATED],
        (Kind::Room, _) => [COPIED | host, 0],
        (Kind::Zero, false) => [ZERO, 0],
        (Kind::Zero, true) => [0, ALL_ALLOCATED << 32],
    }
}

impl BlockRead for L2Tables {
    fn len(&self) -> u64 {
        self.tables.len() as u64 * self.options.cluster_size
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        check_range(offset, buf.len() as u64, self.len())?;
        let mut at = offset;
        let mut rest = buf;
        let cluster = self.options.cluster_size;
        let mut entries = Vec::new();
        while !rest.is_empty() {
            let within = at % cluster;
            let room = usize::try_from(cluster - within).unwrap_or(usize::MAX);
            let (part, behind) = rest.split_at_mut(room.min(rest.len()));
            let (first, end) = (within / 8, (within + part.len() as u64).div_ceil(8));
            entries.resize(usize::try_from(end - first).unwrap_or(0), [0; 8]);
            let table = usize::try_from(at / cluster).unwrap_or(usize::MAX);
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
        let runs = vec![
            (3..5, Kind::Data),
            (6..7, Kind::Zero),
            (70..200, Kind::Room),
        ];
        let tables = l2_tables(&runs, options.l2_entries());
        assert_eq!(tables, [0, 1, 2, 3]);
        let l2 = L2Tables {
            runs: places(runs, Some(10), None),
            tables,
            options,
        };
        let mut expected = vec![0; 4 * 512];
        for (cluster, host) in (3..5).chain(70..200).zip(10_u64..) {
            let entry = (COPIED | (host * 512)).to_be_bytes();
            expected[cluster * 8..cluster * 8 + 8].copy_from_slice(&entry);
        }
        expected[6 * 8 + 7] = 1;
        conformance::reader(&l2, &expected);
    }

    #[test]
    fn entries_with_subclusters_have_two_words() {
        let options = Options {
            cluster_size: 16_384,
            extended_l2: true,
            ..Options::default()
        };
        let runs = vec![
            (1..2, Kind::Data),
            (2..3, Kind::Zero),
            (1030..1031, Kind::Room),
        ];
        let tables = l2_tables(&runs, options.l2_entries());
        assert_eq!(tables, [0, 1]);
        let l2 = L2Tables {
            runs: places(runs, Some(4), None),
            tables,
            options,
        };
        let mut expected = vec![0; 2 * 16_384];
        let mut put = |at: usize, word: u64| {
            expected[at..at + 8].copy_from_slice(&word.to_be_bytes());
        };
        put(16, COPIED | (4 * 16_384));
        put(24, 0xffff_ffff);
        put(40, 0xffff_ffff << 32);
        put(16_384 + 6 * 16, COPIED | (5 * 16_384));
        conformance::reader(&l2, &expected);
    }
}
