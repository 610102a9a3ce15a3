//! A compressed image, written as its clusters are compressed.
//!
//! ```text
//! header | clusters in order, packed | L2 tables | L1 table | refcount blocks | refcount table
//! ```
//!
//! The header stands first and is written last.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Mutex;

use forger_block::{BlockRead, Bytes, Error, PlacedSink, Result, is_zero};

use super::compress::Compressor;
use super::entry::{ALL_ALLOCATED, COMPRESSED, COPIED, seal_compressed};
use super::error::WriteError;
use super::geometry::{Geometry, Head, Refcounts};
use super::options::{Compression, Options};
use super::refcount;
use crate::ordered::in_order;
use crate::pieces::Pieces;
use crate::progress::Progress;

/// So many bytes of the disk one thread takes at a time, at least a cluster.
const BATCH: u64 = 1 << 20;

/// Writes the compressed image of a disk, which is rounded up to 512 bytes, and returns its length in bytes, with which the caller
/// [finishes](PlacedSink::finish) the sink.
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
    compression.validate(options)?;
    let cluster = options.cluster_size;
    let mut packer = Packer::new(geometry);
    let batch = BATCH.max(cluster);
    let spare = Mutex::new(Vec::new());
    let begin = || {
        Compressor::new(compression.codec, compression.level)
            .map(|compressor| (compressor, Vec::new()))
            .map_err(compressing)
    };
    let mut done = 0;
    in_order(
        compression.threads,
        Pieces::new(source, batch),
        begin,
        |(compressor, packed), range: Range<u64>| {
            let len = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
            let mut buffer: Vec<u8> = pop(&spare);
            buffer.resize(len.next_multiple_of(size(cluster)), 0);
            let (inside, behind) = buffer.split_at_mut(len);
            source.read_at(range.start, inside)?;
            // The disk may end inside its last cluster.
            behind.fill(0);
            let mut results = Vec::new();
            for (number, data) in (range.start / cluster..).zip(buffer.chunks(size(cluster))) {
                if is_zero(data) {
                    continue;
                }
                let form = match compressor.compress(data, packed).map_err(compressing)? {
                    true => Form::Packed(Bytes::copy_from_slice(packed)),
                    false => Form::Plain(Bytes::copy_from_slice(data)),
                };
                results.push((number, form));
            }
            push(&spare, buffer);
            Ok((range.end, results))
        },
        |(end, results)| {
            for (number, form) in results {
                packer.put(number, form, sink)?;
            }
            progress.advance(end - done);
            done = end;
            match progress.cancelled() {
                true => Err(Error::Interrupted),
                false => Ok(()),
            }
        },
    )?;
    progress.advance(source.len() - done);
    packer.finish(compression, sink)
}

/// A cluster as it is stored.
enum Form {
    Packed(Bytes),
    Plain(Bytes),
}

/// Gives clusters their places.
struct Packer {
    geometry: Geometry,
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
    fn new(geometry: Geometry) -> Self {
        Self {
            geometry,
            tables: BTreeMap::new(),
            references: vec![1],
            next: 1,
            cursor: geometry.options.cluster_size,
        }
    }

    fn cluster(&self) -> u64 {
        self.geometry.options.cluster_size
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
                let bits = self.geometry.options.cluster_bits();
                (seal_compressed(offset, len, bits), offset, data)
            }
        };
        let Some(entry) = entry else {
            let problem = std::io::Error::other("the image exceeds what its entries can hold");
            return Err(Error::io("place a cluster in", "the image", problem));
        };
        let options = &self.geometry.options;
        let entries = options.l2_entries();
        // With subclusters an entry has a second word.
        let width = options.l2_entry_len() / 8;
        let table = self
            .tables
            .entry(number / entries)
            .or_insert_with(|| vec![0; size(entries * width)]);
        let at = size(number % entries * width);
        table[at] = entry;
        if width == 2 && entry & COMPRESSED == 0 {
            table[at + 1] = ALL_ALLOCATED;
        }
        sink.write_at(offset, data)
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
        let most = refcount::max(self.geometry.options.refcount_bits);
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

    fn finish(
        mut self,
        compression: &Compression,
        sink: &mut dyn PlacedSink,
    ) -> std::result::Result<u64, WriteError> {
        let cluster = self.cluster();
        let tables = std::mem::take(&mut self.tables);
        let l2 = self.take(tables.len() as u64, 1);
        for (at, table) in (l2..).zip(tables.values()) {
            let bytes: Vec<u8> = table.iter().flat_map(|entry| entry.to_be_bytes()).collect();
            sink.write_at(at * cluster, bytes.into())?;
        }
        let l1 = self.take(self.geometry.l1_clusters(), 1);
        let bytes = self.geometry.l1(tables.into_keys(), l2);
        sink.write_at(l1 * cluster, bytes.into())?;
        let refcounts = self.geometry.refcounts(self.next)?;
        let blocks = self.take(refcounts.blocks, 1);
        let table = self.take(refcounts.table, 1);
        let Refcounts { blocks: count, .. } = refcounts;
        let bits = self.geometry.options.refcount_bits;
        let mut bytes = refcount::seal(&self.references, bits);
        bytes.resize(size(count * cluster), 0);
        sink.write_at(blocks * cluster, bytes.into())?;
        let bytes = self.geometry.refcount_table(refcounts, blocks);
        sink.write_at(table * cluster, bytes.into())?;
        let header = self
            .geometry
            .header(&Head::alone(compression.codec), l1, table, refcounts)?;
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

fn pop(spare: &Mutex<Vec<Vec<u8>>>) -> Vec<u8> {
    let mut spare = spare
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    spare.pop().unwrap_or_default()
}

fn push(spare: &Mutex<Vec<Vec<u8>>>, buffer: Vec<u8>) {
    let mut spare = spare
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    spare.push(buffer);
}
