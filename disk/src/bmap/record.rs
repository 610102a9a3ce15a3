//! A block map, made as the disk is written.

use forger_block::{BlockSink, Result};
use ring::digest::{Context, SHA256};

use super::map::{Bmap, Mapped, Sum};
use crate::hex::hex;

/// Size of a block, in bytes.
const BLOCK: u64 = 4096;

/// Takes checksums of what is written to a forward sink, which stays unfinished.
pub struct Recorder<'a> {
    sink: &'a mut dyn BlockSink,
    ranges: Vec<Mapped>,
    open: Option<Open>,
}

/// The range that is being written.
struct Open {
    /// Its first block.
    first: u64,
    /// How far it has been hashed, in bytes of the disk.
    end: u64,
    context: Context,
}

impl Open {
    /// Hashes zeros up to a place.
    fn pad(&mut self, end: u64) {
        let zeros = [0; 4096];
        while self.end < end {
            let len = (end - self.end).min(BLOCK);
            self.context
                .update(&zeros[..usize::try_from(len).unwrap_or(0)]);
            self.end += len;
        }
    }
}

impl<'a> Recorder<'a> {
    /// Begins with a sink in which nothing is.
    pub fn new(sink: &'a mut dyn BlockSink) -> Self {
        Self {
            sink,
            ranges: Vec::new(),
            open: None,
        }
    }

    /// Returns the block map of what was written.
    #[must_use]
    pub fn complete(mut self) -> Bmap {
        let image_size = self.sink.position();
        self.close(image_size);
        Bmap {
            image_size,
            block_size: BLOCK,
            algorithm: Sum::Sha256,
            ranges: self.ranges,
        }
    }

    /// Ends the range that is being written, on a disk of at least `size` bytes.
    fn close(&mut self, size: u64) {
        let Some(mut open) = self.open.take() else {
            return;
        };
        let end = open.end.next_multiple_of(BLOCK);
        open.pad(end.min(size));
        self.ranges.push(Mapped {
            blocks: open.first..end / BLOCK,
            sum: Some(hex(open.context.finish())),
        });
    }
}

impl BlockSink for Recorder<'_> {
    fn position(&self) -> u64 {
        self.sink.position()
    }

    fn write(&mut self, data: &[u8]) -> Result<()> {
        let at = self.sink.position();
        self.sink.write(data)?;
        if data.is_empty() {
            return Ok(());
        }
        if let Some(open) = &self.open
            && at / BLOCK > open.end.div_ceil(BLOCK)
        {
            self.close(at);
        }
        let open = self.open.get_or_insert_with(|| Open {
            first: at / BLOCK,
            end: at - at % BLOCK,
            context: Context::new(&SHA256),
        });
        // Less than two blocks.
        open.pad(at);
        open.context.update(data);
        open.end = at + data.len() as u64;
        Ok(())
    }

    fn skip(&mut self, len: u64) -> Result<()> {
        self.sink.skip(len)
    }

    /// Does nothing: the sink is its owner's.
    fn finish(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

impl std::fmt::Debug for Recorder<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recorder")
            .field("position", &self.sink.position())
            .finish_non_exhaustive()
    }
}
