//! Hashes of blocks, and of many of them by several threads.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use forger_block::{BlockRead, Run, is_zero};
use ring::digest::{Context, SHA256};

use super::error::Result;
use super::{BLOCK, BLOCK_LEN, HASH, HASHES};

/// Blocks of hashes that one thread makes at a time: 4 MiB of data.
const PART: u64 = 8;

/// A hash.
pub(super) type Hash = [u8; HASH];

/// What hashes blocks: the salt comes first.
#[derive(Clone)]
pub(super) struct Hasher {
    salted: Context,
    /// The hash of a block of zeros.
    zeros: Hash,
}

impl Hasher {
    pub(super) fn new(salt: &[u8]) -> Self {
        let mut salted = Context::new(&SHA256);
        salted.update(salt);
        let zeros = hash(&salted, &[0; BLOCK_LEN]);
        Self { salted, zeros }
    }

    /// Returns the hash of a block.
    pub(super) fn hash(&self, block: &[u8]) -> Hash {
        hash(&self.salted, block)
    }
}

fn hash(salted: &Context, block: &[u8]) -> Hash {
    let mut context = salted.clone();
    context.update(block);
    let digest = context.finish();
    digest.as_ref().try_into().unwrap_or([0; HASH])
}

/// Some blocks of the lowest level, one behind the other, and the hash of each.
pub(super) struct Part {
    pub(super) blocks: Vec<u8>,
    pub(super) hashes: Vec<Hash>,
}

/// Hashes all data with so many threads, and gives the blocks of the lowest level to `take`, in order.
///
/// A thread is at most two parts ahead, so that memory stays bounded.
pub(super) fn each_part(
    data: &dyn BlockRead,
    hasher: &Hasher,
    threads: usize,
    mut take: impl FnMut(Part) -> Result<()>,
) -> Result<()> {
    let blocks = data.len() / BLOCK;
    let parts = blocks.div_ceil(HASHES * PART);
    let threads = u64::try_from(threads.max(1)).unwrap_or(1).min(parts);
    std::thread::scope(|scope| {
        let receivers: Vec<Receiver<Result<Part>>> = (0..threads)
            .map(|first| {
                let (sender, receiver) = sync_channel(2);
                scope.spawn(move || work(data, hasher, first, threads, parts, &sender));
                receiver
            })
            .collect();
        for part in 0..parts {
            let from = usize::try_from(part % threads).unwrap_or(0);
            // A thread that panicked sends nothing; the scope passes its panic on.
            let Some(Ok(result)) = receivers.get(from).map(Receiver::recv) else {
                break;
            };
            take(result?)?;
        }
        Ok(())
    })
}

/// Hashes every `step`th part from `first` on, until nobody takes them.
fn work(
    data: &dyn BlockRead,
    hasher: &Hasher,
    first: u64,
    step: u64,
    parts: u64,
    sender: &SyncSender<Result<Part>>,
) {
    let mut worker = Worker::new(data, hasher);
    let mut part = first;
    while part < parts {
        let result = worker.part(part);
        let failed = result.is_err();
        if sender.send(result).is_err() || failed {
            return;
        }
        part += step;
    }
}

struct Worker<'a> {
    data: &'a dyn BlockRead,
    hasher: &'a Hasher,
    buffer: Vec<u8>,
    /// A block of hashes of blocks of zeros, and its hash.
    zeros: (Vec<u8>, Hash),
}

impl<'a> Worker<'a> {
    fn new(data: &'a dyn BlockRead, hasher: &'a Hasher) -> Self {
        let zeros = hasher.zeros.repeat(count(HASHES));
        let hash = hasher.hash(&zeros);
        Self {
            data,
            hasher,
            buffer: Vec::new(),
            zeros: (zeros, hash),
        }
    }

    fn part(&mut self, part: u64) -> Result<Part> {
        let blocks = self.data.len() / BLOCK;
        let (first, last) = (
            part * PART * HASHES,
            ((part + 1) * PART * HASHES).min(blocks),
        );
        let mut made = Part {
            blocks: Vec::with_capacity(count(PART) * BLOCK_LEN),
            hashes: Vec::new(),
        };
        let mut at = first;
        while at < last {
            let end = (at + HASHES).min(last);
            self.block(at, end, &mut made)?;
            at = end;
        }
        Ok(made)
    }

    /// Makes the block of hashes of the blocks of data from `first` to `end`.
    fn block(&mut self, first: u64, end: u64, made: &mut Part) -> Result<()> {
        let (from, len) = (first * BLOCK, (end - first) * BLOCK);
        let hole = matches!(self.data.run_at(from)?, Run::Hole(hole) if hole >= len);
        if hole && end - first == HASHES {
            made.blocks.extend_from_slice(&self.zeros.0);
            made.hashes.push(self.zeros.1);
            return Ok(());
        }
        let start = made.blocks.len();
        if hole {
            for _ in first..end {
                made.blocks.extend_from_slice(&self.hasher.zeros);
            }
        } else {
            self.buffer.resize(count(len), 0);
            self.data.read_at(from, &mut self.buffer)?;
            for block in self.buffer.chunks(BLOCK_LEN) {
                let hash = if is_zero(block) {
                    self.hasher.zeros
                } else {
                    self.hasher.hash(block)
                };
                made.blocks.extend_from_slice(&hash);
            }
        }
        made.blocks.resize(start + BLOCK_LEN, 0);
        let hash = self.hasher.hash(&made.blocks[start..]);
        made.hashes.push(hash);
        Ok(())
    }
}

fn count(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
