//! Which blocks of a disk are one word, again and again.

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use forger_block::{BlockRead, Error, PIECE, Result};

use crate::ordered::in_order;
use crate::pieces::Pieces;
use crate::progress::Progress;

/// What blocks in a row are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stretch {
    /// The numbers of the blocks.
    pub(super) blocks: Range<u64>,
    /// The word that they repeat; none for any bytes.
    pub(super) word: Option<[u8; 4]>,
}

/// Returns all of a disk in stretches, as long as can be.
///
/// What is found depends on the contents only.
///
/// # Errors
/// Those of the source; [`Error::Interrupted`].
pub(super) fn scan(
    source: &dyn BlockRead,
    block: u64,
    threads: usize,
    progress: &mut dyn Progress,
) -> Result<Vec<Stretch>> {
    let mut found = Vec::new();
    let spare: Mutex<Vec<Vec<u8>>> = Mutex::default();
    let lock = || spare.lock().unwrap_or_else(PoisonError::into_inner);
    let unit = usize::try_from(block).unwrap_or(usize::MAX);
    let piece = (PIECE as u64).max(block);
    let mut next = 0;
    in_order(
        threads,
        Pieces::new(source, piece),
        || Ok(()),
        |(), range: Range<u64>| {
            let len = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
            let mut buffer = lock().pop().unwrap_or_default();
            buffer.resize(len.next_multiple_of(unit), 0);
            let (inside, behind) = buffer.split_at_mut(len);
            source.read_at(range.start, inside)?;
            // The disk may end inside its last block.
            behind.fill(0);
            let mut stretches = Vec::new();
            for (number, bytes) in (range.start / block..).zip(buffer.chunks(unit)) {
                add(&mut stretches, number..number + 1, repeated(bytes));
            }
            lock().push(buffer);
            Ok(stretches)
        },
        |stretches| {
            for Stretch { blocks, word } in stretches {
                add(&mut found, next..blocks.start, Some([0; 4]));
                next = blocks.end;
                add(&mut found, blocks, word);
            }
            match progress.cancelled() {
                true => Err(Error::Interrupted),
                false => Ok(()),
            }
        },
    )?;
    add(&mut found, next..source.len().div_ceil(block), Some([0; 4]));
    Ok(found)
}

/// Adds a stretch, or makes the last one longer.
fn add(stretches: &mut Vec<Stretch>, blocks: Range<u64>, word: Option<[u8; 4]>) {
    if blocks.is_empty() {
        return;
    }
    match stretches.last_mut() {
        Some(last) if last.word == word && last.blocks.end == blocks.start => {
            last.blocks.end = blocks.end;
        }
        _ => stretches.push(Stretch { blocks, word }),
    }
}

/// Returns the word that a block repeats.
fn repeated(block: &[u8]) -> Option<[u8; 4]> {
    let word = block.first_chunk::<4>()?;
    (block[4..] == block[..block.len() - 4]).then_some(*word)
}
