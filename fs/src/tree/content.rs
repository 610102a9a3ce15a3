//! A file's content by reference.

use std::sync::Arc;

use bytes::Bytes;
use forger_block::{BlockRead, Result, Run, check_range};

/// A file's content: its length, and spans of origins; what no span covers are holes.
///
/// Contents are never held, unless they are [`inline`](Self::inline). Reads like every
/// [`BlockRead`], holes as zeros.
#[derive(Clone, Debug, Default)]
pub struct Content {
    size: u64,
    spans: Vec<Span>,
}

/// A part of a content that stands in an origin.
#[derive(Clone, Debug)]
pub struct Span {
    /// Its place in the file in bytes.
    pub at: u64,
    /// Its length in bytes, never 0.
    pub len: u64,
    /// What holds it.
    pub origin: Arc<dyn BlockRead>,
    /// Its place in the origin in bytes.
    pub offset: u64,
}

impl Span {
    fn end(&self) -> u64 {
        self.at.saturating_add(self.len)
    }
}

impl Content {
    /// Makes an empty content.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes a content of bytes that are held in memory.
    #[must_use]
    pub fn inline(bytes: impl Into<Bytes>) -> Self {
        let mut content = Self::new();
        content.push_inline(bytes);
        content
    }

    /// Makes a content of `size` bytes that is one hole.
    #[must_use]
    pub fn hole(size: u64) -> Self {
        Self {
            size,
            spans: Vec::new(),
        }
    }

    /// Appends bytes that are held in memory.
    pub fn push_inline(&mut self, bytes: impl Into<Bytes>) {
        let bytes = bytes.into();
        if bytes.is_empty() {
            return;
        }
        let len = BlockRead::len(&bytes);
        let origin: Arc<dyn BlockRead> = Arc::new(bytes);
        self.push_span(&origin, 0, len);
    }

    /// Appends `len` bytes that stand at `offset` in an origin.
    pub fn push_span(&mut self, origin: &Arc<dyn BlockRead>, offset: u64, len: u64) {
        if len == 0 {
            return;
        }
        let at = self.size;
        self.size = self.size.saturating_add(len);
        if let Some(last) = self.spans.last_mut()
            && last.end() == at
            && last.offset.checked_add(last.len) == Some(offset)
            && Arc::ptr_eq(&last.origin, origin)
        {
            last.len = last.len.saturating_add(len);
            return;
        }
        self.spans.push(Span {
            at,
            len,
            origin: Arc::clone(origin),
            offset,
        });
    }

    /// Appends a hole of `len` bytes.
    pub fn push_hole(&mut self, len: u64) {
        self.size = self.size.saturating_add(len);
    }

    /// Returns the length in bytes, holes included.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Returns the spans, in file order and without overlap.
    #[must_use]
    pub fn spans(&self) -> &[Span] {
        &self.spans
    }

    /// Returns the runs of data and of hole, in file order and without gaps; neighbours are of
    /// different nature.
    pub fn runs(&self) -> impl Iterator<Item = Run> + '_ {
        let mut at = 0;
        std::iter::from_fn(move || {
            let run = self.run(at);
            at = at.saturating_add(run.len());
            (!run.is_empty()).then_some(run)
        })
    }

    /// Returns the run that starts at `at`, across all neighbouring spans; empty at the end.
    fn run(&self, at: u64) -> Run {
        let mut spans = self.spans_from(at).iter();
        match spans.next() {
            None => Run::Hole(self.size.saturating_sub(at)),
            Some(span) if span.at > at => Run::Hole(span.at - at),
            Some(span) => {
                let mut end = span.end();
                for next in spans {
                    if next.at > end {
                        break;
                    }
                    end = next.end();
                }
                Run::Data(end - at)
            }
        }
    }

    /// Returns the origin, where all spans have the same.
    #[must_use]
    pub fn origin(&self) -> Option<&Arc<dyn BlockRead>> {
        let (first, rest) = self.spans.split_first()?;
        rest.iter()
            .all(|span| Arc::ptr_eq(&span.origin, &first.origin))
            .then_some(&first.origin)
    }

    /// Returns the place in its origin of the byte at `at`, where that is data.
    #[must_use]
    pub fn origin_offset(&self, at: u64) -> Option<u64> {
        let span = self.spans_from(at).first()?;
        span.offset.checked_add(at.checked_sub(span.at)?)
    }

    /// Returns how many bytes the span at `at` has from there on, where there is one.
    pub(super) fn span_rest(&self, at: u64) -> Option<u64> {
        let span = self.spans_from(at).first()?;
        (span.at <= at).then(|| span.end() - at)
    }

    /// Returns the spans that end after `at`.
    fn spans_from(&self, at: u64) -> &[Span] {
        let first = self.spans.partition_point(|span| span.end() <= at);
        self.spans.get(first..).unwrap_or_default()
    }
}

impl BlockRead for Content {
    fn len(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        let len = buf.len() as u64;
        check_range(offset, len, self.size)?;
        let end = offset + len;
        buf.fill(0);
        for span in self.spans_from(offset) {
            if span.at >= end {
                break;
            }
            let from = span.at.max(offset);
            let to = span.end().min(end);
            let [start, stop] = [from - offset, to - offset].map(|at| {
                usize::try_from(at).expect("a place in the buffer, whose length is a usize")
            });
            let at = span.offset + (from - span.at);
            span.origin.read_at(at, &mut buf[start..stop])?;
        }
        Ok(())
    }

    fn run_at(&self, offset: u64) -> Result<Run> {
        check_range(offset, 0, self.size)?;
        Ok(self.run(offset))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_reads_as_its_spans_with_zeros_between() {
        let origin: Arc<dyn BlockRead> = Arc::new(b"0123456789".to_vec());
        let mut content = Content::new();
        content.push_hole(5);
        content.push_span(&origin, 2, 3);
        content.push_span(&origin, 5, 1);
        content.push_span(&origin, 0, 2);
        content.push_hole(2);
        content.push_hole(1);
        content.push_inline(&b"inline"[..]);
        content.push_span(&origin, 0, 0);
        let expected = b"-----234501---inline".map(|byte| if byte == b'-' { 0 } else { byte });
        forger_block::conformance::reader(&content, &expected);
        assert_eq!(content.spans().len(), 3, "neighbours are one span");
        let runs: Vec<_> = content.runs().collect();
        let expected = [Run::Hole(5), Run::Data(6), Run::Hole(3), Run::Data(6)];
        assert_eq!(runs, expected);
        assert_eq!(content.origin_offset(4), None);
        assert_eq!(content.origin_offset(8), Some(5));
        assert_eq!(content.origin_offset(9), Some(0));
        assert!(content.origin().is_none(), "there are two");
    }

    #[test]
    fn hole_without_spans_costs_nothing() {
        let content = Content::hole(1 << 40);
        assert_eq!(content.runs().collect::<Vec<_>>(), [Run::Hole(1 << 40)]);
        assert_eq!(Content::new().runs().count(), 0);
        let mut buf = [1; 4];
        content.read_at((1 << 40) - 4, &mut buf).unwrap();
        assert_eq!(buf, [0; 4]);
        assert!(content.read_at((1 << 40) - 3, &mut buf).is_err());
    }
}
