//! Putting a sparse image together, in any order.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::{Extent, Part, SparseImage};
use crate::read::check_range;
use crate::{BlockRead, Error, MAX_LEN, Result};

/// Collects the parts of a [`SparseImage`].
///
/// Parts may come in any order; that no two claim the same byte is checked by
/// [`finish`](Self::finish). What comes in ascending order costs least: spans that continue each
/// other become one extent at once, and the final sort has nothing to do.
#[derive(Default)]
pub struct SparseImageBuilder {
    extents: Vec<Extent>,
    parts: Vec<Part>,
    /// Address of a source in memory to its index in `parts`; the sources are kept alive there.
    sources: HashMap<usize, usize>,
    /// What is taken, merged where one insertion continues the one before.
    claims: Vec<Range<u64>>,
}

impl SparseImageBuilder {
    /// Says that the image holds `bytes` at `at`.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] when they would end beyond [`MAX_LEN`].
    pub fn bytes(&mut self, at: u64, bytes: Bytes) -> Result<()> {
        let len = bytes.len() as u64;
        if self.claim(at, len)? {
            let part = self.add(Part::Bytes(bytes));
            self.push(Extent {
                at,
                len,
                offset: 0,
                part,
            });
        }
        Ok(())
    }

    /// Says that the image holds at `at` the `len` bytes that stand at `offset` in `source`.
    ///
    /// The same source may be named any number of times; it is kept once.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] when the span does not lie inside the source, or would end beyond
    /// [`MAX_LEN`] in the image.
    pub fn span(
        &mut self,
        at: u64,
        len: u64,
        source: &Arc<dyn BlockRead>,
        offset: u64,
    ) -> Result<()> {
        check_range(offset, len, source.len())?;
        if self.claim(at, len)? {
            let part = self.source(source);
            self.push(Extent {
                at,
                len,
                offset,
                part,
            });
        }
        Ok(())
    }

    /// Says that the `len` bytes at `at` are a hole, which nothing else may take.
    ///
    /// What nothing takes is a hole anyway.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] when it would end beyond [`MAX_LEN`].
    pub fn hole(&mut self, at: u64, len: u64) -> Result<()> {
        self.claim(at, len).map(drop)
    }

    /// Puts a whole image at `at`: its extents become extents here, its holes are holes that
    /// nothing else may take.
    ///
    /// Any other reader is placed whole with [`span`](Self::span).
    ///
    /// # Errors
    /// [`Error::OutOfRange`] when it would end beyond [`MAX_LEN`].
    pub fn place(&mut self, at: u64, image: &SparseImage) -> Result<()> {
        if !self.claim(at, image.len)? {
            return Ok(());
        }
        let parts: Vec<usize> = image
            .parts
            .iter()
            .map(|part| match part {
                Part::Bytes(_) => self.add(part.clone()),
                Part::Source(source) => self.source(source),
            })
            .collect();
        for extent in &image.extents {
            self.push(Extent {
                at: at + extent.at,
                part: parts[extent.part],
                ..*extent
            });
        }
        Ok(())
    }

    /// Completes an image of `len` bytes.
    ///
    /// # Errors
    /// [`Error::Overlap`] when two parts claim the same bytes; [`Error::OutOfRange`] when one ends
    /// beyond `len`, or `len` is beyond [`MAX_LEN`].
    pub fn finish(self, len: u64) -> Result<SparseImage> {
        let Self {
            mut extents,
            mut parts,
            mut claims,
            ..
        } = self;
        check_range(0, len, MAX_LEN)?;
        claims.sort_by_key(|claim| claim.start);
        for pair in claims.windows(2) {
            let (first, second) = (&pair[0], &pair[1]);
            if second.start < first.end {
                return Err(Error::Overlap {
                    offset: second.start,
                    len: second.end.min(first.end) - second.start,
                });
            }
        }
        if let Some(last) = claims.last() {
            check_range(last.start, last.end - last.start, len)?;
        }
        extents.sort_by_key(|extent| extent.at);
        extents.dedup_by(|next, last| continue_with(last, next));
        extents.shrink_to_fit();
        parts.shrink_to_fit();
        Ok(SparseImage {
            len,
            extents,
            parts,
        })
    }

    /// Takes a range; false for an empty one.
    fn claim(&mut self, at: u64, len: u64) -> Result<bool> {
        check_range(at, len, MAX_LEN)?;
        if len == 0 {
            return Ok(false);
        }
        let end = at + len;
        match self.claims.last_mut() {
            Some(last) if last.end == at => last.end = end,
            _ => self.claims.push(at..end),
        }
        Ok(true)
    }

    fn push(&mut self, extent: Extent) {
        if let Some(last) = self.extents.last_mut()
            && continue_with(last, &extent)
        {
            return;
        }
        self.extents.push(extent);
    }

    fn add(&mut self, part: Part) -> usize {
        self.parts.push(part);
        self.parts.len() - 1
    }

    fn source(&mut self, source: &Arc<dyn BlockRead>) -> usize {
        let address = Arc::as_ptr(source).cast::<()>().addr();
        if let Some(&part) = self.sources.get(&address) {
            return part;
        }
        let part = self.add(Part::Source(Arc::clone(source)));
        self.sources.insert(address, part);
        part
    }
}

/// Makes `last` longer by `next` if that continues it both in the image and in the part.
fn continue_with(last: &mut Extent, next: &Extent) -> bool {
    let continues = last.part == next.part
        && last.end() == next.at
        && last.offset.checked_add(last.len) == Some(next.offset);
    if continues {
        last.len += next.len;
    }
    continues
}

impl fmt::Debug for SparseImageBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SparseImageBuilder")
            .field("extents", &self.extents.len())
            .field("parts", &self.parts.len())
            .finish_non_exhaustive()
    }
}
