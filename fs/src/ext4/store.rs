//! What becomes of content bytes once they have their place: written, recorded, or only counted.

use std::sync::Arc;

use forger_block::{BlockRead, Bytes, PlacedSink};

use super::Error;
use super::cursor::Gap;
use super::units::BLOCK_SIZE;

/// How much is collected before it goes to the sink, in bytes.
const STAGE: usize = 1 << 20;

/// Takes content bytes at ascending image offsets.
pub(crate) trait Store {
    /// Takes bytes at `offset` of the image; `at` is their place in the source's origin.
    fn data(&mut self, offset: u64, bytes: &[u8], at: Option<u64>) -> Result<(), Error>;

    /// Takes `len` bytes at `offset` that nobody looked at: they stand at `at` of the source's origin.
    fn place(&mut self, offset: u64, len: u64, at: u64) -> Result<(), Error>;

    /// Says that `len` bytes at `offset` are zeros although their blocks are taken.
    fn zeros(&mut self, offset: u64, len: u64) -> Result<(), Error>;

    /// Says that blocks hold nothing any more.
    fn release(&mut self, gap: Gap) -> Result<(), Error>;

    /// Names what the `at` of the following data points into.
    fn origin(&mut self, origin: Option<Arc<dyn BlockRead>>);

    /// Completes pending writes.
    fn flush(&mut self) -> Result<(), Error>;
}

/// Writes contents to their final place, in pieces of up to 1 MiB.
pub(crate) struct Staged<'a> {
    sink: &'a mut dyn PlacedSink,
    origin: Option<Arc<dyn BlockRead>>,
    start: u64,
    stage: Vec<u8>,
}

impl<'a> Staged<'a> {
    pub(crate) fn new(sink: &'a mut dyn PlacedSink) -> Self {
        Self {
            sink,
            origin: None,
            start: 0,
            stage: Vec::new(),
        }
    }

    /// Makes room: afterwards the stage ends at `offset` and is not full.
    fn seek(&mut self, offset: u64) -> Result<(), Error> {
        if self.start + len_u64(&self.stage) != offset || self.stage.len() == STAGE {
            self.flush()?;
            self.start = offset;
        }
        if self.stage.capacity() == 0 {
            // The next flush falls on a multiple of the stage's size.
            let aligned = usize::try_from(offset % STAGE as u64).unwrap_or(0);
            self.stage.reserve_exact(STAGE - aligned);
        }
        Ok(())
    }

    fn room(&self) -> usize {
        let end = self.start + len_u64(&self.stage);
        STAGE - usize::try_from(end % STAGE as u64).unwrap_or(0)
    }
}

impl Store for Staged<'_> {
    fn data(&mut self, mut offset: u64, mut bytes: &[u8], _at: Option<u64>) -> Result<(), Error> {
        while !bytes.is_empty() {
            self.seek(offset)?;
            let (now, later) = bytes.split_at(bytes.len().min(self.room()));
            self.stage.extend_from_slice(now);
            offset += len_u64(now);
            bytes = later;
            self.flush_if_full()?;
        }
        Ok(())
    }

    fn place(&mut self, mut offset: u64, mut len: u64, mut at: u64) -> Result<(), Error> {
        while len > 0 {
            self.seek(offset)?;
            let room = self.room();
            let count = usize::try_from(len).map_or(room, |len| len.min(room));
            let before = self.stage.len();
            self.stage.resize(before + count, 0);
            if let Some(origin) = &self.origin {
                origin.read_at(at, &mut self.stage[before..])?;
            }
            (offset, at, len) = (offset + count as u64, at + count as u64, len - count as u64);
            self.flush_if_full()?;
        }
        Ok(())
    }

    fn zeros(&mut self, mut offset: u64, mut len: u64) -> Result<(), Error> {
        while len > 0 {
            self.seek(offset)?;
            let now = usize::try_from(len).unwrap_or(usize::MAX).min(self.room());
            self.stage.resize(self.stage.len() + now, 0);
            offset += now as u64;
            len -= now as u64;
            self.flush_if_full()?;
        }
        Ok(())
    }

    fn release(&mut self, gap: Gap) -> Result<(), Error> {
        self.flush()?;
        Ok(self.sink.punch(gap.start.offset(), gap.len * BLOCK_SIZE)?)
    }

    fn origin(&mut self, origin: Option<Arc<dyn BlockRead>>) {
        self.origin = origin;
    }

    fn flush(&mut self) -> Result<(), Error> {
        if !self.stage.is_empty() {
            let bytes = Bytes::from(std::mem::take(&mut self.stage));
            let start = self.start;
            self.start += bytes.len() as u64;
            self.sink.write_at(start, bytes)?;
        }
        Ok(())
    }
}

impl Staged<'_> {
    fn flush_if_full(&mut self) -> Result<(), Error> {
        let end = self.start + len_u64(&self.stage);
        if end.is_multiple_of(STAGE as u64) {
            self.flush()
        } else {
            Ok(())
        }
    }
}

fn len_u64(bytes: &[u8]) -> u64 {
    bytes.len() as u64
}

/// Stores nothing: for `--dry-run`.
pub(crate) struct Discarded;

impl Store for Discarded {
    fn data(&mut self, _: u64, _: &[u8], _: Option<u64>) -> Result<(), Error> {
        Ok(())
    }

    fn place(&mut self, _: u64, _: u64, _: u64) -> Result<(), Error> {
        Ok(())
    }

    fn zeros(&mut self, _: u64, _: u64) -> Result<(), Error> {
        Ok(())
    }

    fn release(&mut self, _: Gap) -> Result<(), Error> {
        Ok(())
    }

    fn origin(&mut self, _: Option<Arc<dyn BlockRead>>) {}

    fn flush(&mut self) -> Result<(), Error> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ext4::units::BlockNo;

    #[derive(Default)]
    struct Log(Vec<(u64, u64)>, Vec<(u64, u64)>);

    impl PlacedSink for Log {
        fn write_at(&mut self, offset: u64, data: Bytes) -> forger_block::Result<()> {
            self.0.push((offset, data.len() as u64));
            Ok(())
        }
        fn punch(&mut self, offset: u64, len: u64) -> forger_block::Result<()> {
            self.1.push((offset, len));
            Ok(())
        }
        fn finish(self: Box<Self>, _len: u64) -> forger_block::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn contiguous_data_leaves_in_aligned_pieces() {
        let mut log = Log::default();
        let mut staged = Staged::new(&mut log);
        let data = vec![1; 1_500_000];
        staged.data(4096, &data, None).unwrap();
        staged.zeros(4096 + 1_500_000, 700_000).unwrap();
        staged.flush().unwrap();
        let mib: u64 = 1 << 20;
        let end = 4096 + 2_200_000;
        assert_eq!(
            log.0,
            [(4096, mib - 4096), (mib, mib), (2 * mib, end - 2 * mib)]
        );
    }

    #[test]
    fn a_gap_starts_a_new_piece_and_a_release_flushes_first() {
        let mut log = Log::default();
        let mut staged = Staged::new(&mut log);
        staged.data(4096, &[1; 4096], None).unwrap();
        staged.data(16384, &[1; 4096], None).unwrap();
        staged
            .release(Gap {
                start: BlockNo(1),
                len: 1,
            })
            .unwrap();
        assert_eq!(log.0, [(4096, 4096), (16384, 4096)]);
        assert_eq!(log.1, [(4096, 4096)]);
    }
}
