//! An image as it is after its journal is replayed.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use forger_block::{BlockRead, Result, Run};

use super::journal::ESCAPED;
use crate::ext4::BlockNo;

/// The copy in the journal that holds for a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Patch {
    /// Where the copy stands in the image.
    pub(crate) copy: BlockNo,
    /// Whether its first four bytes stand for the journal's magic.
    pub(crate) escaped: bool,
}

/// An image whose blocks are, where the journal has a newer copy, that copy.
pub(crate) struct Replayed {
    source: Arc<dyn BlockRead>,
    block_len: u64,
    patches: BTreeMap<u64, Patch>,
}

impl fmt::Debug for Replayed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replayed")
            .field("source", &self.source)
            .field("patches", &self.patches.len())
            .finish()
    }
}

impl Replayed {
    pub(crate) fn new(
        source: Arc<dyn BlockRead>,
        block_len: u32,
        patches: BTreeMap<u64, Patch>,
    ) -> Self {
        Self {
            source,
            block_len: block_len.into(),
            patches,
        }
    }

    /// Returns the patch that covers `offset`, or how many bytes there are to the next.
    fn at(&self, offset: u64) -> std::result::Result<Patch, u64> {
        let block = self.block(offset);
        match self.patches.range(block..).next() {
            Some((patched, patch)) if *patched == block => Ok(*patch),
            Some((patched, _)) => {
                let start = patched.saturating_mul(self.block_len);
                Err(start.saturating_sub(offset))
            }
            None => Err(u64::MAX),
        }
    }

    fn block(&self, offset: u64) -> u64 {
        offset.checked_div(self.block_len).unwrap_or(0)
    }

    /// Returns how many bytes of the block at `offset` come before it.
    fn within(&self, offset: u64) -> u64 {
        offset.checked_rem(self.block_len).unwrap_or(0)
    }

    /// Fills `buf`, which ends with the block at the latest, from a copy.
    fn read_patch(&self, patch: Patch, within: u64, buf: &mut [u8]) -> Result<()> {
        let start = patch.copy.0.saturating_mul(self.block_len);
        self.source.read_at(start.saturating_add(within), buf)?;
        if patch.escaped {
            let skip = usize::try_from(within).unwrap_or(usize::MAX);
            for (byte, magic) in buf.iter_mut().zip(ESCAPED.iter().skip(skip)) {
                *byte = *magic;
            }
        }
        Ok(())
    }
}

impl BlockRead for Replayed {
    fn len(&self) -> u64 {
        self.source.len()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        // The source checks the range as a whole, before a part of it is read.
        let len = u64::try_from(buf.len()).unwrap_or(u64::MAX);
        if offset.checked_add(len).is_none_or(|end| end > self.len()) {
            return self.source.read_at(offset, buf);
        }
        let (mut at, mut rest) = (offset, buf);
        while !rest.is_empty() {
            let patch = self.at(at);
            let within = self.within(at);
            let room = match patch {
                Ok(_) => self.block_len.saturating_sub(within),
                Err(room) => room,
            };
            let len = usize::try_from(room).unwrap_or(usize::MAX).min(rest.len());
            let (piece, after) = rest.split_at_mut_checked(len).unwrap_or_default();
            match patch {
                Ok(patch) => self.read_patch(patch, within, piece)?,
                Err(_) => self.source.read_at(at, piece)?,
            }
            at = at.saturating_add(u64::try_from(len).unwrap_or(u64::MAX));
            rest = after;
        }
        Ok(())
    }

    fn run_at(&self, offset: u64) -> Result<Run> {
        let run = self.source.run_at(offset)?;
        if run.is_empty() {
            return Ok(run);
        }
        let rest = self.len().saturating_sub(offset);
        Ok(match (self.at(offset), run) {
            (Ok(_), _) => {
                let block_rest = self.block_len.saturating_sub(self.within(offset));
                Run::Data(block_rest.min(rest))
            }
            (Err(room), Run::Data(len)) => Run::Data(len.min(room)),
            (Err(room), Run::Hole(len)) => Run::Hole(len.min(room)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patched_blocks_read_as_their_copies() {
        let source: Vec<u8> = (0..8_u8).flat_map(|block| [block; 16]).collect();
        let patch = |copy, escaped| Patch {
            copy: BlockNo(copy),
            escaped,
        };
        let patches = BTreeMap::from([(1, patch(6, false)), (2, patch(7, true))]);
        let replayed = Replayed::new(Arc::new(source.clone()), 16, patches);
        let (start, end) = source.split_at(16);
        let mut expected = [start, &[6; 16], &ESCAPED, &[7; 12]].concat();
        expected.extend(end.iter().skip(32));
        forger_block::conformance::reader(&replayed, &expected);
    }
}
