//! The refcount table, its blocks, and whether they say what was counted.

use std::collections::BTreeSet;
use std::sync::Arc;

use forger_block::BlockRead;

use super::super::error::{Damage, Place, ReadError};
use super::super::header::Header;
use super::super::image::words;
use super::super::refcount;
use super::Check;
use super::references::PAGE;
use crate::cache::Cache;
use crate::check::Report;
use crate::padded::read_padded;

/// The largest refcount table, in bytes; QEMU has the same limit.
const MAX_LEN: u64 = 8 << 20;

/// So much memory refcount blocks may take, in bytes.
const BLOCKS: u64 = 16 << 20;

/// Bits of an entry of the table that mean nothing.
const RESERVED: u64 = 0x1ff;

/// Refcounts as they stand in the image.
pub(super) struct Refcounts {
    table: Vec<u64>,
    bits: u32,
    cluster: u64,
    blocks: Cache<Vec<u8>>,
}

/// Clusters with the same refcount and the same number of references.
struct Span {
    first: u64,
    end: u64,
    refcount: u64,
    references: u64,
}

impl Refcounts {
    /// Reads the table; `None` where there can be none, which is reported.
    pub(super) fn read(
        file: &dyn BlockRead,
        header: &Header,
        report: &mut Report,
    ) -> Result<Option<Self>, ReadError> {
        let offset = header.refcount_table_offset;
        let len = header
            .refcount_table_clusters
            .saturating_mul(header.cluster_size);
        if len > MAX_LEN.max(header.cluster_size) {
            let damage = Damage::Field {
                field: "refcount_table_clusters",
                value: header.refcount_table_clusters,
            };
            report.error(Place::Header, damage);
            return Ok(None);
        }
        if len == 0 {
            report.error(Place::Header, "there is no refcount table");
            return Ok(None);
        }
        let inside = offset
            .checked_add(len)
            .is_some_and(|end| i64::try_from(end).is_ok());
        if !offset.is_multiple_of(header.cluster_size) || !inside {
            let damage = Damage::Field {
                field: "refcount_table_offset",
                value: offset,
            };
            report.error(Place::Header, damage);
            return Ok(None);
        }
        let mut bytes = vec![0; usize::try_from(len).unwrap_or(0)];
        read_padded(file, offset, &mut bytes)?;
        Ok(Some(Self {
            table: words(&bytes),
            bits: header.refcount_bits,
            cluster: header.cluster_size,
            blocks: Cache::new(header.cluster_size, BLOCKS),
        }))
    }

    /// Returns how many clusters a block counts.
    fn in_block(&self) -> u64 {
        self.cluster
            .saturating_mul(8)
            .checked_div(self.bits.into())
            .unwrap_or(1)
            .max(1)
    }

    /// Returns a block; `None` where there is none, or none can be.
    fn block(&self, file: &dyn BlockRead, index: u64) -> Result<Option<Arc<Vec<u8>>>, ReadError> {
        let index = usize::try_from(index).unwrap_or(usize::MAX);
        let offset = self.table.get(index).copied().unwrap_or(0) & !RESERVED;
        if offset == 0 || !offset.is_multiple_of(self.cluster) || offset >= file.len() {
            return Ok(None);
        }
        let block = self.blocks.get(offset, || {
            let mut block = vec![0; usize::try_from(self.cluster).unwrap_or(0)];
            read_padded(file, offset, &mut block).map(|()| block)
        })?;
        Ok(Some(block))
    }

    /// Returns the refcount of a cluster; `None` where its block cannot be.
    pub(super) fn of(&self, file: &dyn BlockRead, cluster: u64) -> Result<Option<u64>, ReadError> {
        let in_block = self.in_block();
        let index = cluster.checked_div(in_block).unwrap_or(0);
        let entry = usize::try_from(index)
            .ok()
            .and_then(|index| self.table.get(index));
        let offset = entry.copied().unwrap_or(0) & !RESERVED;
        if !offset.is_multiple_of(self.cluster) {
            return Ok(None);
        }
        let within = usize::try_from(cluster.checked_rem(in_block).unwrap_or(0)).unwrap_or(0);
        let block = self.block(file, index)?;
        let count = block.and_then(|block| refcount::get(&block, within, self.bits));
        Ok(Some(count.unwrap_or(0)))
    }
}

impl Check<'_> {
    /// Counts the references to the refcount table and its blocks.
    pub(super) fn refcount_structures(&mut self) -> Result<(), ReadError> {
        let len = self
            .header
            .refcount_table_clusters
            .saturating_mul(self.header.cluster_size);
        let offset = self.header.refcount_table_offset;
        self.refer(&"the refcount table", offset, len, 1, true)?;
        for index in 0..self.refcounts.table.len() {
            let entry = self.refcounts.table.get(index).copied().unwrap_or(0);
            let place = format!("entry {index} of the refcount table");
            let offset = entry & !RESERVED;
            if entry & RESERVED != 0 {
                self.report
                    .error(&place, format!("reserved bits are set: 0x{entry:016x}"));
            } else if !offset.is_multiple_of(self.header.cluster_size) {
                let damage =
                    format!("the refcount block at offset {offset} does not begin a cluster");
                self.report.error(&place, damage);
            } else if offset != 0 && offset >= self.file.len() {
                let size = self.file.len();
                self.report.error(
                    &place,
                    format!("the refcount block would stand at offset {offset} in a file of {size} bytes"),
                );
            } else if offset != 0 {
                self.refer(&place, offset, self.header.cluster_size, 1, true)?;
            }
        }
        Ok(())
    }

    /// Compares what the image counts with what was counted.
    pub(super) fn compare(&mut self) -> Result<(), ReadError> {
        // The last one may be referred to although the file ends before it.
        let clusters = self.file.len().div_ceil(self.header.cluster_size.max(1));
        let clusters = clusters.max(self.references.end());
        let in_block = self.refcounts.in_block();
        let table = u64::try_from(self.refcounts.table.len()).unwrap_or(u64::MAX);
        let covered = table.saturating_mul(in_block).min(clusters);
        let blocks = covered.div_ceil(in_block.max(1));
        let mut seen = BTreeSet::new();
        let mut span: Option<Span> = None;
        for index in 0..blocks {
            let first = index.saturating_mul(in_block);
            let end = first.saturating_add(in_block).min(clusters);
            let block = self.refcounts.block(self.file, index)?;
            // One that is used twice, which was said, is compared once.
            let entry = usize::try_from(index).unwrap_or(usize::MAX);
            let offset = self.refcounts.table.get(entry).copied().unwrap_or(0);
            let block = block.filter(|block| seen.insert(offset) && !forger_block::is_zero(block));
            match block {
                Some(block) => self.compare_block(&block, first, end, &mut span),
                None => self.compare_pages(first, end, &mut span),
            }
        }
        self.compare_pages(covered, clusters, &mut span);
        self.end_span(span);
        Ok(())
    }

    fn compare_block(&mut self, block: &[u8], first: u64, end: u64, span: &mut Option<Span>) {
        let bits = self.refcounts.bits;
        let mut at = first;
        while at < end {
            let references = self.references.page(at / PAGE);
            let page_end = (at / PAGE).saturating_add(1).saturating_mul(PAGE).min(end);
            let skip = usize::try_from(at % PAGE).unwrap_or(0);
            for (cluster, references) in (at..page_end).zip(references.into_iter().skip(skip)) {
                let index = usize::try_from(cluster.saturating_sub(first)).unwrap_or(usize::MAX);
                let refcount = refcount::get(block, index, bits).unwrap_or(0);
                self.judge(cluster, refcount, references.into(), span);
            }
            at = page_end;
        }
    }

    /// Compares where the image counts nothing.
    fn compare_pages(&mut self, first: u64, end: u64, span: &mut Option<Span>) {
        let pages: Vec<u64> = self
            .references
            .pages_from(first / PAGE)
            .take_while(|page| page.saturating_mul(PAGE) < end)
            .collect();
        for page in pages {
            let start = page.saturating_mul(PAGE);
            for (cluster, references) in (start..).zip(self.references.page(page)) {
                if (first..end).contains(&cluster) {
                    self.judge(cluster, 0, references.into(), span);
                }
            }
        }
    }

    /// Takes a cluster into the span of those that are wrong alike, if it is wrong.
    fn judge(&mut self, cluster: u64, refcount: u64, references: u64, span: &mut Option<Span>) {
        let most = refcount::max(self.refcounts.bits);
        if references > most {
            let at = cluster.saturating_mul(self.header.cluster_size);
            self.report.error(
                format!("the cluster at offset {at}"),
                format!("{references} references are more than its refcount can hold, {most}"),
            );
        }
        if refcount == references {
            return;
        }
        match span {
            Some(span)
                if span.end == cluster
                    && (span.refcount, span.references) == (refcount, references) =>
            {
                span.end = cluster.saturating_add(1);
            }
            _ => {
                let new = Span {
                    first: cluster,
                    end: cluster.saturating_add(1),
                    refcount,
                    references,
                };
                let old = span.replace(new);
                self.end_span(old);
            }
        }
    }

    fn end_span(&mut self, span: Option<Span>) {
        let Some(span) = span else { return };
        let size = self.header.cluster_size;
        let first = span.first.saturating_mul(size);
        let place = match span.end.saturating_sub(span.first) {
            1 => format!("the cluster at offset {first}"),
            count => format!("{count} clusters from offset {first} on"),
        };
        let (refcount, references) = (span.refcount, span.references);
        let damage = format!("refcount {refcount}, but {references} references");
        match refcount > references {
            true => self.report.leak(place, damage),
            false => self.report.error(place, damage),
        }
    }
}
