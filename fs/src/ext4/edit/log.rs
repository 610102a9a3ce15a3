//! The journal: one transaction, as the blocks that are written into its log.
//!
//! See [Journal (jbd2)](https://docs.kernel.org/filesystems/ext4/journal.html). The log of a clean
//! journal is empty; the transaction starts at its first block.
//!
//! ```text
//! descriptor  header | tags: block, flags, checksum | checksum      one for so many blocks as fit
//! copies      the blocks in the order of the tags; one that begins with the magic begins with zeros
//! commit      header | checksum | time
//! ```

use std::borrow::Cow;

use forger_block::Run as Part;
use zerocopy::{FromBytes, IntoBytes};

use super::allocate::Run;
use super::batch::Batch;
use super::commit::Changed;
use super::error::{EditError, Result};
use super::refuse::FSCK;
use super::store::Store;
use super::volume::Volume;
use crate::ext4::BlockNo;
use crate::ext4::checksum::Seed;
use crate::ext4::halves::words;
use crate::ext4::journal::{MAGIC, RawJournalSuperblock, SUPERBLOCK_V2};
use crate::ext4::read::{Mapped, check_journal_superblock};
use crate::tree::Time;

const DESCRIPTOR: u32 = 1;
const COMMIT: u32 = 2;

const INCOMPAT_64BIT: u32 = 0x2;
const INCOMPAT_CSUM_V2: u32 = 0x8;
const INCOMPAT_CSUM_V3: u32 = 0x10;
const INCOMPAT_FAST_COMMIT: u32 = 0x20;

/// Tag flag: the copy's first four bytes stand for the journal's magic.
const ESCAPE: u32 = 0x1;
/// Tag flag: no uuid follows.
const SAME_UUID: u32 = 0x2;
/// Tag flag: the last one of its block.
const LAST: u32 = 0x8;

const HEADER: usize = 12;
const UUID: usize = 16;
const TAIL: usize = 4;

/// A clean journal inside the filesystem.
#[derive(Debug)]
pub(super) struct Log {
    runs: Vec<Mapped>,
    superblock: RawJournalSuperblock,
    incompat: u32,
    seed: Seed,
    first: u32,
    end: u32,
    block_len: usize,
}

impl Log {
    /// Finds the journal; none when the filesystem has none.
    pub(super) fn find(volume: &mut Volume) -> Result<Option<Self>> {
        use crate::ext4::features::compat;
        let state = |state| {
            let remedy = FSCK;
            Err(EditError::State { state, remedy })
        };
        let Some(number) = volume.superblock.journal() else {
            return if volume.superblock.has_compat(compat::HAS_JOURNAL) {
                Err(EditError::State {
                    state: "has its journal on another device",
                    remedy: "tune2fs -O ^has_journal",
                })
            } else {
                Ok(None)
            };
        };
        let inode = volume.inode(number)?;
        let runs = volume.access().runs(&inode)?;
        let Some(first) = place(&runs, 0) else {
            return state("has a journal without a superblock");
        };
        let block = volume.blocks.read(first)?;
        let (superblock, _) = RawJournalSuperblock::read_from_prefix(&block)
            .map_err(|_| super::error::damaged("the journal's superblock is cut off"))?;
        check_journal_superblock(&superblock)?;
        if superblock.s_start.get() != 0 || superblock.s_errno.get() != 0 {
            return state("has a journal that must be replayed first");
        }
        let incompat = if superblock.h_blocktype.get() == SUPERBLOCK_V2 {
            superblock.s_feature_incompat.get()
        } else {
            0
        };
        let fast = match superblock.s_num_fc_blks.get() {
            _ if incompat & INCOMPAT_FAST_COMMIT == 0 => 0,
            0 => 256,
            blocks => blocks,
        };
        let block_size = volume.superblock.block_size();
        let end = superblock.s_maxlen.get().saturating_sub(fast);
        let log = Self {
            seed: Seed::START.update(&superblock.s_uuid),
            first: superblock.s_first.get(),
            end,
            runs,
            incompat,
            block_len: volume.block_len(),
            superblock,
        };
        let whole = log.superblock.s_blocksize.get() == block_size
            && log.first > 0
            && (log.first..log.end).all(|block| place(&log.runs, block).is_some());
        if !whole {
            return Err(super::error::damaged(
                "the journal does not lie in its inode",
            ));
        }
        Ok(Some(log))
    }

    fn summed(&self) -> bool {
        self.incompat & (INCOMPAT_CSUM_V2 | INCOMPAT_CSUM_V3) != 0
    }

    fn tag_len(&self) -> usize {
        if self.incompat & INCOMPAT_CSUM_V3 != 0 {
            return 16;
        }
        let sum = if self.incompat & INCOMPAT_CSUM_V2 != 0 {
            2
        } else {
            0
        };
        let high = if self.incompat & INCOMPAT_64BIT != 0 {
            4
        } else {
            0
        };
        8 + sum + high
    }

    fn tags_per_block(&self) -> usize {
        let tail = if self.summed() { TAIL } else { 0 };
        (self.block_len - HEADER - UUID - tail) / self.tag_len()
    }

    /// Tells whether changes of so many blocks fit into the log, and their numbers into its tags.
    pub(super) fn holds(&self, blocks: &[BlockNo]) -> bool {
        self.would_hold(blocks, 0)
    }

    /// As [`holds`](Self::holds), if the log had so many blocks more.
    pub(super) fn would_hold(&self, blocks: &[BlockNo], more: u64) -> bool {
        self.needed(u64::try_from(blocks.len()).unwrap_or(u64::MAX >> 1)) <= self.room() + more
            && blocks.iter().all(|block| self.reaches(*block))
    }

    /// Returns how many blocks of log changes of so many blocks need.
    pub(super) fn needed(&self, blocks: u64) -> u64 {
        let per_block = u64::try_from(self.tags_per_block()).unwrap_or(1);
        blocks + blocks.div_ceil(per_block) + 1
    }

    /// Returns how many blocks a transaction may have in the log.
    pub(super) fn room(&self) -> u64 {
        self.end.saturating_sub(self.first).saturating_sub(1).into()
    }

    /// Tells whether the tags have room for the number of a block.
    fn reaches(&self, block: BlockNo) -> bool {
        block.0 <= u32::MAX.into() || self.incompat & INCOMPAT_64BIT != 0
    }

    /// Returns how many blocks the journal has, its superblock and what is for fast commits included.
    pub(super) fn blocks(&self) -> u32 {
        self.superblock.s_maxlen.get()
    }

    /// Makes the descriptors of a transaction, which hold the checksums of its blocks.
    pub(super) fn describe(&self, blocks: &[Changed]) -> Vec<Vec<u8>> {
        let parts = blocks.chunks(self.tags_per_block());
        parts.map(|part| self.descriptor(part)).collect()
    }

    /// Writes a transaction, for which there is room, to its place in the log.
    pub(super) fn write<'a>(
        &self,
        blocks: &'a [Changed],
        descriptors: Vec<Vec<u8>>,
        time: Time,
        batch: &mut Batch<'a>,
    ) -> Result<()> {
        let mut at = self.first;
        let mut put = |bytes: Cow<'a, [u8]>| {
            let place = place(&self.runs, at)
                .ok_or_else(|| super::error::damaged("the journal does not lie in its inode"))?;
            at += 1;
            batch.put(
                place.0 * u64::from(self.superblock.s_blocksize.get()),
                bytes,
            )
        };
        let parts = blocks.chunks(self.tags_per_block());
        for (part, descriptor) in parts.zip(descriptors) {
            put(descriptor.into())?;
            for (_, bytes) in part {
                match escape(bytes) {
                    None => put((&**bytes).into())?,
                    Some(copy) => put(copy.into())?,
                }
            }
        }
        put(self.commit_block(time).into())
    }

    /// Returns the blocks of the log, those for fast commits included.
    pub(super) fn places(&self) -> Vec<Run> {
        let (first, end) = (
            u64::from(self.first),
            u64::from(self.superblock.s_maxlen.get()),
        );
        let part = |run: &Mapped| {
            let (from, to) = (run.logical.max(first), (run.logical + run.len).min(end));
            let len = to
                .checked_sub(from)
                .filter(|len| *len > 0 && !run.unwritten)?;
            Some(Run {
                start: BlockNo(run.physical.0 + (from - run.logical)),
                len,
            })
        };
        self.runs.iter().filter_map(part).collect()
    }

    /// Makes zeros of all that earlier transactions left in the log, which must be clean.
    pub(super) fn erase(&self, block_size: u64, store: &dyn Store) -> Result<()> {
        for run in self.places() {
            let mut at = run.start.0 * block_size;
            let end = at + run.len * block_size;
            while at < end {
                let part = store.run_at(at)?;
                let len = part.len().clamp(1, end - at);
                if let Part::Data(_) = part {
                    store.erase(at, len)?;
                }
                at += len;
            }
        }
        Ok(())
    }

    fn header(&self, kind: u32) -> Vec<u8> {
        let mut block = Vec::with_capacity(self.block_len);
        for word in [MAGIC, kind, self.superblock.s_sequence.get()] {
            block.extend(word.to_be_bytes());
        }
        block
    }

    fn descriptor(&self, part: &[Changed]) -> Vec<u8> {
        let mut block = self.header(DESCRIPTOR);
        let seed = self
            .seed
            .update(&self.superblock.s_sequence.get().to_be_bytes());
        for (i, (number, bytes)) in part.iter().enumerate() {
            let copy = escape(bytes);
            let flags = (u32::from(copy.is_some()) * ESCAPE)
                | (u32::from(i > 0) * SAME_UUID)
                | (u32::from(i + 1 == part.len()) * LAST);
            let sum = seed.checksum(copy.as_deref().unwrap_or(bytes));
            self.tag(&mut block, *number, flags, sum);
            if i == 0 {
                block.extend(self.superblock.s_uuid);
            }
        }
        block.resize(self.block_len, 0);
        if self.summed() {
            let sum = self.seed.checksum(&block);
            let tail = self.block_len - TAIL;
            block[tail..].copy_from_slice(&sum.to_be_bytes());
        }
        block
    }

    fn tag(&self, block: &mut Vec<u8>, number: BlockNo, flags: u32, sum: u32) {
        let (lo, hi) = words(number.0);
        block.extend(lo.to_be_bytes());
        if self.incompat & INCOMPAT_CSUM_V3 != 0 {
            block.extend(flags.to_be_bytes());
            block.extend(hi.to_be_bytes());
            block.extend(sum.to_be_bytes());
            return;
        }
        let [_, _, sum @ ..] = if self.summed() { sum } else { 0 }.to_be_bytes();
        let [_, _, flags @ ..] = flags.to_be_bytes();
        block.extend(sum);
        block.extend(flags);
        if self.incompat & INCOMPAT_64BIT != 0 {
            block.extend(hi.to_be_bytes());
        }
        if self.incompat & INCOMPAT_CSUM_V2 != 0 {
            // The structure of the first checksums was meant to be shorter; so it is on disk.
            block.extend([0; 2]);
        }
    }

    fn commit_block(&self, time: Time) -> Vec<u8> {
        const SUM: usize = 16;
        const SECONDS: usize = 48;
        let mut block = self.header(COMMIT);
        block.resize(self.block_len, 0);
        block[SECONDS..SECONDS + 8].copy_from_slice(&time.sec.to_be_bytes());
        block[SECONDS + 8..SECONDS + 12].copy_from_slice(&time.nsec.to_be_bytes());
        if self.summed() {
            let sum = self.seed.checksum(&block);
            block[SUM..SUM + 4].copy_from_slice(&sum.to_be_bytes());
        }
        block
    }

    /// Returns the journal's superblock when the log holds the transaction, or none any more.
    pub(super) fn superblock(&self, full: bool) -> (BlockNo, Vec<u8>) {
        let mut raw = self.superblock.clone();
        if full {
            raw.s_start = self.first.into();
        } else {
            raw.s_start = 0.into();
            raw.s_sequence = raw.s_sequence.get().wrapping_add(1).into();
        }
        self.sealed(raw)
    }

    /// Returns the superblock of the clean journal with another number of blocks.
    pub(super) fn superblock_of(&self, blocks: u32) -> (BlockNo, Vec<u8>) {
        let mut raw = self.superblock.clone();
        raw.s_maxlen = blocks.into();
        self.sealed(raw)
    }

    fn sealed(&self, mut raw: RawJournalSuperblock) -> (BlockNo, Vec<u8>) {
        if self.summed() {
            raw.s_checksum = 0.into();
            raw.s_checksum = Seed::START.checksum(raw.as_bytes()).into();
        }
        let at = place(&self.runs, 0).unwrap_or_default();
        (at, raw.as_bytes().to_vec())
    }
}

/// Returns the copy of a block for the log, where its first bytes have to be hidden.
fn escape(bytes: &[u8]) -> Option<Vec<u8>> {
    let rest = bytes.strip_prefix(&MAGIC.to_be_bytes())?;
    Some([&[0; 4], rest].concat())
}

/// Returns where a block of the journal stands.
fn place(runs: &[Mapped], block: u32) -> Option<BlockNo> {
    let block = u64::from(block);
    let run = runs.get(runs.partition_point(|run| run.logical + run.len <= block))?;
    let step = block.checked_sub(run.logical)?;
    (!run.unwritten).then(|| BlockNo(run.physical.0 + step))
}
