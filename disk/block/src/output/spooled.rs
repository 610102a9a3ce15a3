//! Placed bytes for a target that can only go forward.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use super::writer::{Medium, Writer};
use crate::positioned::Positioned;
use crate::ranges::RangeSet;
use crate::read::check_range;
use crate::{
    BlockRead, BlockSink, FileReader, MAX_LEN, PlacedSink, Result, ScratchFile, SparseImage,
};

/// A [`PlacedSink`] that keeps everything in a [`ScratchFile`] and at the end streams it into a
/// [`BlockSink`], which it finishes.
///
/// Exactly what was never written, or punched, becomes holes, whatever the filesystem of the
/// scratch file makes of it.
pub struct Spooled {
    writer: Writer<ScratchFile>,
    written: RangeSet,
    sink: Box<dyn BlockSink>,
}

impl Medium for ScratchFile {
    fn file(&self) -> &Positioned {
        self.file()
    }
}

impl Spooled {
    /// Starts a scratch file in `folder`; nothing reaches `sink` before the end.
    ///
    /// # Errors
    /// As [`ScratchFile::create_in`].
    pub fn new(folder: impl AsRef<Path>, sink: Box<dyn BlockSink>) -> Result<Self> {
        Ok(Self {
            writer: Writer::start(ScratchFile::create_in(folder)?, false)?,
            written: RangeSet::default(),
            sink,
        })
    }
}

impl PlacedSink for Spooled {
    fn write_at(&mut self, offset: u64, data: Bytes) -> Result<()> {
        let len = data.len() as u64;
        self.writer.write_at(offset, data)?;
        self.written.insert(offset..offset + len);
        Ok(())
    }

    fn punch(&mut self, offset: u64, len: u64) -> Result<()> {
        self.writer.punch(offset, len)?;
        self.written.remove(offset..offset + len);
        Ok(())
    }

    fn finish(self: Box<Self>, len: u64) -> Result<()> {
        let Self {
            writer,
            written,
            mut sink,
        } = *self;
        check_range(0, len, MAX_LEN)?;
        check_range(0, writer.end(), len)?;
        let spool = writer.finish()?.into_reader()?;
        let spool: Arc<dyn BlockRead> = Arc::new(Solid(spool));
        let mut image = SparseImage::builder();
        for range in written.iter() {
            image.span(range.start, range.end - range.start, &spool, range.start)?;
        }
        image.finish(len)?.stream(&mut *sink, &mut || false)?;
        sink.finish()
    }
}

/// The scratch file without its own holes: a piece of zeros that was written stays data.
#[derive(Debug)]
struct Solid(FileReader);

impl BlockRead for Solid {
    fn len(&self) -> u64 {
        self.0.len()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.0.read_at(offset, buf)
    }
}

impl fmt::Debug for Spooled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spooled")
            .field("writer", &self.writer)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::conformance::{self, Made};
    use crate::{Forward, MemorySink, Run, Watched};

    #[test]
    fn a_spooled_sink_keeps_the_contract() {
        let folder = tempfile::tempdir().unwrap();
        conformance::placed_sink(|| {
            let sink = MemorySink::new();
            let output = sink.output();
            let sink = Spooled::new(folder.path(), Box::new(Forward::new(sink))).unwrap();
            Made::placed(sink, move || output.bytes().map(Vec::from))
        });
        assert_eq!(folder.path().read_dir().unwrap().count(), 0);
    }

    #[test]
    fn holes_are_exactly_what_was_not_written_or_was_punched() {
        let folder = tempfile::tempdir().unwrap();
        let runs = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&runs);
        let sink = Watched::new(Forward::new(MemorySink::new()), move |run| {
            seen.lock().unwrap().push(run);
            Ok(())
        });
        let mut sink = Box::new(Spooled::new(folder.path(), Box::new(sink)).unwrap());
        sink.write_at(10, vec![0; 5].into()).unwrap();
        sink.write_at(100_000, vec![1; 30].into()).unwrap();
        sink.punch(100_010, 10).unwrap();
        sink.finish(200_000).unwrap();
        assert_eq!(
            *runs.lock().unwrap(),
            [
                Run::Hole(10),
                Run::Data(5),
                Run::Hole(99_985),
                Run::Data(10),
                Run::Hole(10),
                Run::Data(10),
                Run::Hole(99_970),
            ]
        );
    }
}
