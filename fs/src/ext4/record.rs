//! Remembers where contents stand in their sources, for an image that nobody writes out.

use std::sync::Arc;

use forger_block::{BlockRead, Bytes, SparseImageBuilder};

use super::Error;
use super::cursor::Gap;
use super::store::Store;
use super::units::BLOCK_SIZE;

/// Contents without an origin are kept; more than this in all is refused, in bytes.
const MAX_KEPT: u64 = 256 << 20;

/// Collects spans in ascending order of their place in the image.
#[derive(Default)]
pub(crate) struct Recorder {
    origins: Vec<Arc<dyn BlockRead>>,
    current: Option<usize>,
    spans: Vec<Span>,
    released: Vec<Gap>,
    kept: u64,
}

struct Span {
    at: u64,
    len: u64,
    from: Place,
}

enum Place {
    Origin { index: usize, offset: u64 },
    Kept(Vec<u8>),
}

impl Store for Recorder {
    fn data(&mut self, offset: u64, bytes: &[u8], at: Option<u64>) -> Result<(), Error> {
        let len = bytes.len() as u64;
        match (self.current, at) {
            (Some(index), Some(from)) => self.span(offset, len, index, from),
            _ => return self.keep(offset, bytes),
        }
        Ok(())
    }

    fn place(&mut self, offset: u64, len: u64, at: u64) -> Result<(), Error> {
        if let Some(index) = self.current {
            self.span(offset, len, index, at);
        }
        Ok(())
    }

    fn zeros(&mut self, _offset: u64, _len: u64) -> Result<(), Error> {
        Ok(())
    }

    fn release(&mut self, gap: Gap) -> Result<(), Error> {
        self.released.push(gap);
        Ok(())
    }

    fn origin(&mut self, origin: Option<Arc<dyn BlockRead>>) {
        self.current = origin.map(|origin| {
            if self
                .origins
                .last()
                .is_none_or(|last| !Arc::ptr_eq(last, &origin))
            {
                self.origins.push(origin);
            }
            self.origins.len() - 1
        });
    }

    fn flush(&mut self) -> Result<(), Error> {
        Ok(())
    }
}

impl Recorder {
    fn span(&mut self, at: u64, len: u64, index: usize, offset: u64) {
        if let Some(Span {
            at: last,
            len: before,
            from: Place::Origin {
                index: i,
                offset: o,
            },
        }) = self.spans.last_mut()
            && *i == index
            && *last + *before == at
            && *o + *before == offset
        {
            *before += len;
        } else {
            self.spans.push(Span {
                at,
                len,
                from: Place::Origin { index, offset },
            });
        }
    }

    fn keep(&mut self, at: u64, bytes: &[u8]) -> Result<(), Error> {
        self.kept += bytes.len() as u64;
        if self.kept > MAX_KEPT {
            return Err(Error::NotSeekable { limit: MAX_KEPT });
        }
        match self.spans.last_mut() {
            Some(Span {
                at: last,
                len,
                from: Place::Kept(kept),
            }) if *last + *len == at => {
                kept.extend_from_slice(bytes);
                *len += bytes.len() as u64;
            }
            _ => {
                let from = Place::Kept(bytes.to_vec());
                self.spans.push(Span {
                    at,
                    len: bytes.len() as u64,
                    from,
                });
            }
        }
        Ok(())
    }

    /// Returns an image of the contents that were not released.
    pub(crate) fn finish(mut self) -> Result<SparseImageBuilder, Error> {
        self.released.sort_unstable();
        let mut image = SparseImageBuilder::default();
        for span in &self.spans {
            for (at, len) in without(span.at, span.len, &self.released) {
                match &span.from {
                    Place::Origin { index, offset } => {
                        let offset = offset + (at - span.at);
                        image.span(at, len, &self.origins[*index], offset)?;
                    }
                    Place::Kept(bytes) => {
                        let start = usize::try_from(at - span.at).unwrap_or(usize::MAX);
                        let end = start + usize::try_from(len).unwrap_or(0);
                        image.bytes(at, Bytes::copy_from_slice(&bytes[start..end]))?;
                    }
                }
            }
        }
        Ok(image)
    }
}

/// Cuts the released blocks, which ascend, out of a range of bytes.
pub(super) fn without(at: u64, len: u64, released: &[Gap]) -> Vec<(u64, u64)> {
    let end = at + len;
    let mut parts = Vec::new();
    let mut next = at;
    let first = released.partition_point(|gap| gap.start.offset() + gap.len * BLOCK_SIZE <= at);
    for gap in &released[first..] {
        let (start, stop) = (
            gap.start.offset(),
            gap.start.offset() + gap.len * BLOCK_SIZE,
        );
        if start >= end {
            break;
        }
        if start > next {
            parts.push((next, start - next));
        }
        next = next.max(stop);
    }
    if next < end {
        parts.push((next, end - next));
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ext4::units::BlockNo;

    #[test]
    fn released_blocks_are_cut_out_of_spans() {
        let gap = |start, len| Gap {
            start: BlockNo(start),
            len,
        };
        let released = [gap(1, 1), gap(3, 2)];
        assert_eq!(
            without(0, 4096 * 6, &released),
            [(0, 4096), (8192, 4096), (20480, 4096)]
        );
        assert_eq!(without(4096, 4096, &released), []);
        assert_eq!(without(20480, 10, &released), [(20480, 10)]);
    }
}
