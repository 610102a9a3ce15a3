//! A part of a store as a store of its own.

use std::io::IoSlice;
use std::ops::Range;
use std::sync::Arc;

use crate::read::check_range;
use crate::{BlockRead, BlockStore, Result, Run, Window};

/// A byte range of another store: a partition of a disk that is changed in place.
#[derive(Clone, Debug)]
pub struct StoreWindow {
    store: Arc<dyn BlockStore>,
    reader: Window,
    start: u64,
}

impl StoreWindow {
    /// Makes the bytes `range` of `store` a store from 0 on.
    ///
    /// # Errors
    /// [`Error::OutOfRange`](crate::Error::OutOfRange) when the range does not lie inside the store.
    pub fn new(store: Arc<dyn BlockStore>, range: Range<u64>) -> Result<Self> {
        let source: Arc<dyn BlockRead> = Arc::<dyn BlockStore>::clone(&store);
        Ok(Self {
            store,
            start: range.start,
            reader: Window::new(source, range)?,
        })
    }

    /// Returns where bytes of the window stand in the store.
    fn place(&self, offset: u64, len: u64) -> Result<u64> {
        check_range(offset, len, self.reader.len())?;
        Ok(self.start + offset)
    }
}

impl BlockRead for StoreWindow {
    fn len(&self) -> u64 {
        self.reader.len()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.reader.read_at(offset, buf)
    }

    fn run_at(&self, offset: u64) -> Result<Run> {
        self.reader.run_at(offset)
    }
}

impl BlockStore for StoreWindow {
    fn write_at(&self, offset: u64, data: &[u8]) -> Result<()> {
        let at = self.place(offset, data.len() as u64)?;
        self.store.write_at(at, data)
    }

    fn write_parts_at(&self, offset: u64, parts: &mut [IoSlice<'_>]) -> Result<()> {
        let len = parts.iter().map(|part| part.len() as u64).sum();
        let at = self.place(offset, len)?;
        self.store.write_parts_at(at, parts)
    }

    fn erase(&self, offset: u64, len: u64) -> Result<()> {
        let at = self.place(offset, len)?;
        self.store.erase(at, len)
    }

    fn discard(&self, offset: u64, len: u64) -> Result<()> {
        let at = self.place(offset, len)?;
        self.store.discard(at, len)
    }

    fn sync(&self) -> Result<()> {
        self.store.sync()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Overlay, conformance};

    #[test]
    fn a_window_of_a_store_is_one_and_leaves_the_rest_alone() {
        let base: Arc<dyn BlockRead> = Arc::new(vec![7; 300_000]);
        let whole: Arc<dyn BlockStore> = Arc::new(Overlay::in_memory(base, u64::MAX));
        let len = 200_000;
        let window = StoreWindow::new(Arc::clone(&whole), 50_000..50_000 + len).unwrap();
        window.erase(0, len).unwrap();
        conformance::store(&window, vec![0; 200_000]);
        let mut edge = vec![0; 50_000];
        for at in [0, 250_000] {
            whole.read_at(at, &mut edge).unwrap();
            assert!(edge.iter().all(|byte| *byte == 7), "at {at}");
        }
        assert!(window.write_at(len - 1, &[1, 2]).is_err());
        assert!(StoreWindow::new(whole, 1..300_001).is_err());
    }
}
