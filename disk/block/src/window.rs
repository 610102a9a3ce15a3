//! A part of something as something of its own.

use std::ops::Range;
use std::sync::Arc;

use crate::read::{check_range, run_within};
use crate::{BlockRead, Result, Run};

/// A byte range of another reader: a partition of a disk, a member of an archive.
#[derive(Clone, Debug)]
pub struct Window {
    source: Arc<dyn BlockRead>,
    start: u64,
    len: u64,
}

impl Window {
    /// Makes the bytes `range` of `source` readable from 0 on.
    ///
    /// # Errors
    /// [`Error::OutOfRange`](crate::Error::OutOfRange) when the range does not lie inside the source.
    pub fn new(source: Arc<dyn BlockRead>, range: Range<u64>) -> Result<Self> {
        let len = range.end.saturating_sub(range.start);
        check_range(range.start, len, source.len())?;
        Ok(Self {
            source,
            start: range.start,
            len,
        })
    }
}

impl BlockRead for Window {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        check_range(offset, buf.len() as u64, self.len)?;
        self.source.read_at(self.start + offset, buf)
    }

    fn run_at(&self, offset: u64) -> Result<Run> {
        check_range(offset, 0, self.len)?;
        if offset == self.len {
            return Ok(Run::Hole(0));
        }
        run_within(&*self.source, self.start + offset, self.len - offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Error, SparseImage, conformance};

    #[test]
    fn a_window_reads_as_its_part() {
        let whole: Vec<u8> = (0..=255).cycle().take(5000).collect();
        let source: Arc<dyn BlockRead> = Arc::new(whole.clone());
        for range in [0..5000, 1..4999, 100..100, 0..0, 5000..5000, 4999..5000_u16] {
            let (start, end) = (range.start, range.end);
            let window = Window::new(Arc::clone(&source), start.into()..end.into()).unwrap();
            conformance::reader(&window, &whole[start.into()..end.into()]);
        }
    }

    #[test]
    fn holes_of_the_source_are_cut_to_the_window() {
        let mut parts = SparseImage::builder();
        parts.bytes(100, vec![7; 10].into()).unwrap();
        let source: Arc<dyn BlockRead> = Arc::new(parts.finish(300).unwrap());
        let window = Window::new(source, 50..200).unwrap();
        assert_eq!(window.run_at(0).unwrap(), Run::Hole(50));
        assert_eq!(window.run_at(50).unwrap(), Run::Data(10));
        assert_eq!(window.run_at(60).unwrap(), Run::Hole(90));
    }

    #[test]
    fn a_window_beyond_the_source_is_out_of_range() {
        let source: Arc<dyn BlockRead> = Arc::new(vec![0; 10]);
        for range in [0..11, 11..11, 10..u64::MAX, u64::MAX..u64::MAX] {
            let error = Window::new(Arc::clone(&source), range).unwrap_err();
            assert!(matches!(error, Error::OutOfRange { size: 10, .. }));
        }
    }
}
