//! A compressed image, written as its clusters are compressed.
//!
//! ```text
//! header | clusters in order, packed | L2 tables | L1 table | refcount blocks | refcount table
//! ```
//!
//! The header stands first and is written last.

use std::collections::BTreeMap;
use std::ops::Range;

use forger_block::{BlockRead, Bytes, Error, PlacedSink, Result, is_zero};

use super::compress::Compressor;
use super::entry::{ALL_ALLOCATED, COMPRESSED, COPIED, seal_compressed};
use super::error::WriteError;
use super::geometry::{Geometry, Head, Refcounts};
use super::options::{Compression, Options};
use super::plan::{Kind, words_of};
use super::refcount;
use crate::arriving::Arriving;
use crate::batch::Batches;
use crate::ordered::in_order;
use crate::progress::Progress;

/// So many bytes of the disk one thread takes at a time, at least a cluster.
const BATCH: u64 = 1 << 20;

/// Writes the compressed image of a disk, which is rounded up to 512 bytes, and returns its length in
/// bytes, with which the caller [finishes](PlacedSink::finish) the sink.
///
/// What it makes does not depend on the number of threads.
///
/// # Errors
/// Those of source and sink; [`Error::Interrupted`] when `progress` says so;
/// [`WriteError::TooLarge`]; options that are impossible.
pub fn write_compressed(
    source: &dyn BlockRead,
    options: &Options,
    compression: &Compression,
    sink: &mut dyn PlacedSink,
    progress: &mut dyn Progress,
) -> std::result::Result<u64, WriteError> {
    let geometry = Geometry::new(*options, source.len())?;
    let mut packer = Packer::new(*options);
    let done = packer.fill(Batches::Source(source), compression, sink, progress)?;
    // What is a hole was no batch.
    progress.advance(source.len() - done);
    packer.finish(geometry, &Head::alone(compression.codec), sink)
}

/// Writes the compressed image of a disk that arrives, as [`write_compressed`] does.
///
/// # Errors
/// As [`write_compressed`].
pub fn write_compressed_arriving(
    disk: &mut dyn Arriving,
    options: &Options,
    compression: &Compression,
    sink: &mut dyn PlacedSink,
    progress: &mut dyn Progress,
) -> std::result::Result<u64, WriteError> {
    options.validate()?;
    let mut packer = Packer::new(*options);
    packer.fill(Batches::Arriving(&mut *disk), compression, sink, progress)?;
    // Only now its length is known.
    let geometry = Geometry::new(*options, disk.reached())?;
    packer.finish(geometry, &Head::alone(compression.codec), sink)
}

/// A cluster as it is stored.
enum Form {
    Packed(Bytes),
    Plain(Bytes),
}

/// Gives clusters their places.
pub(super) struct Packer {
    options: Options,
    /// The entries of the L2 tables that are not empty, by the table's number.
    tables: BTreeMap<u64, Vec<u64>>,
    /// References to each cluster of the file.
    references: Vec<u16>,
    /// The next free cluster of the file.
    next: u64,
    /// Where the next compressed bytes go, inside the cluster before `next` or at its end.
    cursor: u64,
}

impl Packer {
    pub(super) fn new(options: Options) -> Self {
        Self {
            options,
            tables: BTreeMap::new(),
            references: vec![1],
            next: 1,
            cursor: options.cluster_size,
        }
    }

    fn cluster(&self) -> u64 {
        self.options.cluster_size
    }

    /// Says that clusters are zeros, whatever the backing file has.
    pub(super) fn zeros(&mut self, clusters: Range<u64>) {
        for number in clusters {
            self.set(number, words_of(Kind::Zero, 0, self.options.extended_l2));
        }
    }

    /// Compresses and writes all clusters that are not zeros, of chosen parts those as well, and returns
    /// where the last batch ends.
    pub(super) fn fill(
        &mut self,
        batches: Batches<'_>,
        compression: &Compression,
        sink: &mut dyn PlacedSink,
        progress: &mut dyn Progress,
    ) -> std::result::Result<u64, WriteError> {
        compression.validate(&self.options)?;
        let cluster = self.cluster();
        let chosen = matches!(batches, Batches::Parts(..));
        let begin = || {
            Compressor::new(compression.codec, compression.level)
                .map(|compressor| (compressor, Vec::new()))
                .map_err(compressing)
        };
        let mut done = 0;
        let (batches, loader) = batches.of(BATCH.max(cluster));
        in_order(
            compression.threads,
            batches,
            begin,
            |(compressor, packed), batch| {
                let (range, buffer) = loader.load(batch, size(cluster))?;
                let mut results = Vec::new();
                for (number, data) in (range.start / cluster..).zip(buffer.chunks(size(cluster))) {
                    if !chosen && is_zero(data) {
                        continue;
                    }
                    let form = match compressor.compress(data, packed).map_err(compressing)? {
                        true => Form::Packed(Bytes::copy_from_slice(packed)),
                        false => Form::Plain(Bytes::copy_from_slice(data)),
                    };
                    results.push((number, form));
                }
                loader.done(buffer);
                Ok((range.end, results))
            },
            |(end, results)| {
                for (number, form) in results {
                    self.put(number, form, sink)?;
                }
                progress.advance(end - done);
                done = end;
                match progress.cancelled() {
                    true => Err(Error::Interrupted),
                    false => Ok(()),
                }
            },
        )?;
        Ok(done)
    }

    fn put(&mut self, number: u64, form: Form, sink: &mut dyn PlacedSink) -> Result<()> {
        let (entry, offset, data) = match form {
            Form::Plain(data) => {
                let offset = self.take(1, 1) * self.cluster();
                (Some(COPIED | offset), offset, data)
            }
            Form::Packed(data) => {
                let len = data.len() as u64;
                let offset = self.pack(len);
                let bits = self.options.cluster_bits();
                (seal_compressed(offset, len, bits), offset, data)
            }
        };
        let Some(entry) = entry else {
            let problem = std::io::Error::other("the image exceeds what its entries can hold");
            return Err(Error::io("place a cluster in", "the image", problem));
        };
        let bitmap = match entry & COMPRESSED {
            0 => ALL_ALLOCATED,
            _ => 0,
        };
        self.set(number, [entry, bitmap]);
        sink.write_at(offset, data)
    }

    /// Sets the entry of a cluster of the disk: its first word, or with subclusters both.
    fn set(&mut self, number: u64, words: [u64; 2]) {
        let entries = self.options.l2_entries();
        let width = size(self.options.l2_entry_len() / 8);
        let table = self
            .tables
            .entry(number / entries)
            .or_insert_with(|| vec![0; size(entries) * width]);
        let at = size(number % entries) * width;
        table[at..at + width].copy_from_slice(&words[..width]);
    }

    /// Takes free clusters, each with so many references.
    fn take(&mut self, count: u64, references: u16) -> u64 {
        let first = self.next;
        self.next += count;
        self.references.resize(size(self.next), references);
        first
    }

    /// Returns where so many compressed bytes go: behind the others where they fit there or the
    /// next cluster is free, else into a new one.
    fn pack(&mut self, len: u64) -> u64 {
        let cluster = self.cluster();
        let last = self.cursor.div_ceil(cluster);
        let most = refcount::max(self.options.refcount_bits);
        let begun = self.references.get(size(self.cursor / cluster));
        if !self.cursor.is_multiple_of(cluster)
            && begun.is_some_and(|count| u64::from(*count) >= most)
        {
            // It cannot be referred to once more.
            self.cursor = last * cluster;
        }
        let room = last * cluster - self.cursor;
        if room < len {
            if last != self.next {
                self.cursor = self.next * cluster;
            }
            self.take(1, 0);
        }
        let offset = self.cursor;
        self.cursor += len;
        let clusters = offset / cluster..self.cursor.div_ceil(cluster);
        for references in &mut self.references[size(clusters.start)..size(clusters.end)] {
            // A cluster holds fewer than 2^16: no compressed one takes less than 32 bytes.
            *references = references.saturating_add(1);
        }
        offset
    }

    /// Writes the tables, and the header last.
    pub(super) fn finish(
        mut self,
        geometry: Geometry,
        head: &Head,
        sink: &mut dyn PlacedSink,
    ) -> std::result::Result<u64, WriteError> {
        let cluster = self.cluster();
        let tables = std::mem::take(&mut self.tables);
        let l2 = self.take(tables.len() as u64, 1);
        for (at, table) in (l2..).zip(tables.values()) {
            let bytes: Vec<u8> = table.iter().flat_map(|entry| entry.to_be_bytes()).collect();
            sink.write_at(at * cluster, bytes.into())?;
        }
        let l1 = self.take(geometry.l1_clusters(), 1);
        let bytes = geometry.l1(tables.into_keys(), l2);
        sink.write_at(l1 * cluster, bytes.into())?;
        let refcounts = geometry.refcounts(self.next)?;
        let blocks = self.take(refcounts.blocks, 1);
        let table = self.take(refcounts.table, 1);
        let Refcounts { blocks: count, .. } = refcounts;
        let mut bytes = refcount::seal(&self.references, self.options.refcount_bits);
        bytes.resize(size(count * cluster), 0);
        sink.write_at(blocks * cluster, bytes.into())?;
        let bytes = geometry.refcount_table(refcounts, blocks);
        sink.write_at(table * cluster, bytes.into())?;
        let header = geometry.header(head, l1, table, refcounts)?;
        sink.write_at(0, header.into())?;
        Ok(self.next * cluster)
    }
}

/// Wraps what a compressor says.
fn compressing(source: std::io::Error) -> Error {
    Error::io("compress", "a cluster", source)
}

fn size(value: u64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}
