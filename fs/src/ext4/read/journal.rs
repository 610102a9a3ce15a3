//! Replaying the journal in memory: the image is never written.
//!
//! See [Journal (jbd2)](https://docs.kernel.org/filesystems/ext4/journal.html). A transaction is one
//! or more descriptor blocks, each followed by copies of the blocks that it lists, revoke blocks, and
//! a commit block. Transactions without a commit block did not happen.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

use std::collections::BTreeMap;

use forger_block::Bytes;
use zerocopy::FromBytes;

use super::log::{self, Features, Tag};
use super::map::{Access, Mapped};
use super::replayed::Patch;
use super::{ReadError, inode};
use crate::ext4::checksum::Seed;
use crate::ext4::damage::{Damage, Location};
use crate::ext4::journal::{self as raw, RawJournalSuperblock};
use crate::ext4::{BlockNo, InodeNo};

/// Where the blocks of a journal stand, and what its superblock says.
#[derive(Debug)]
pub(crate) struct Journal<'a> {
    access: Access<'a>,
    runs: Vec<Mapped>,
    superblock: RawJournalSuperblock,
    features: Features,
    seed: Seed,
    /// First block of the log, and the one after its last.
    first: u32,
    end: u32,
}

impl<'a> Journal<'a> {
    /// Finds the journal and validates its superblock.
    pub(crate) fn open(access: Access<'a>, number: InodeNo) -> Result<Self, ReadError> {
        let (size, runs) = place_of(access, number)?;
        let damaged = |damage| ReadError::corrupt(Location::Journal { block: 0 }, damage);
        let block = read(access, &runs, 0)?;
        let (superblock, _) = RawJournalSuperblock::read_from_prefix(&block)
            .map_err(|_| damaged(Damage::Structure("the superblock is cut off")))?;
        let features = log::check_superblock(&superblock)?;
        let block_size = superblock.s_blocksize.get();
        if block_size != access.superblock.block_size() {
            let damage = Damage::field("s_blocksize", block_size, "it is that of the filesystem");
            return Err(damaged(damage));
        }
        let fast = features.fast_commit_blocks(&superblock);
        let (first, max) = (superblock.s_first.get(), superblock.s_maxlen.get());
        let blocks = size >> access.superblock.block_bits();
        let end = max
            .checked_sub(fast)
            .filter(|end| *end > first && first > 0 && u64::from(max) <= blocks)
            .ok_or_else(|| {
                damaged(Damage::field(
                    "s_maxlen",
                    max,
                    "the log lies inside the journal",
                ))
            })?;
        Ok(Self {
            access,
            runs,
            features,
            seed: Seed::START.update(&superblock.s_uuid),
            superblock,
            first,
            end,
        })
    }

    /// Returns the block where the log starts; 0 is a clean journal.
    pub(crate) fn start(&self) -> u32 {
        self.superblock.s_start.get()
    }

    /// Returns how many filesystems use it; 0 and 1 mean one.
    pub(crate) fn users(&self) -> u32 {
        self.superblock.s_nr_users.get()
    }

    /// Returns the blocks that the committed transactions change, with the copies that hold for them.
    pub(crate) fn replay(&self) -> Result<BTreeMap<u64, Patch>, ReadError> {
        let start = self.superblock.s_start.get();
        if start == 0 {
            return Ok(BTreeMap::new());
        }
        if !(self.first..self.end).contains(&start) {
            let damage = Damage::field("s_start", start, "the log starts inside the journal");
            return Err(ReadError::corrupt(Location::Journal { block: 0 }, damage));
        }
        let mut replay = Replay {
            journal: self,
            at: start,
            left: self.end.saturating_sub(self.first),
            sequence: self.superblock.s_sequence.get(),
            tags: Vec::new(),
            revoked: Vec::new(),
            sum: !0,
            patches: BTreeMap::new(),
        };
        while replay.step()? {}
        self.refuse_fast_commits(replay.sequence)?;
        Ok(replay.patches)
    }

    /// Fast commits change single facts, not blocks; they hold when they follow the last transaction.
    fn refuse_fast_commits(&self, sequence: u32) -> Result<(), ReadError> {
        if self.features.fast_commit_blocks(&self.superblock) == 0 {
            return Ok(());
        }
        let at = self.end.saturating_add(1);
        let block = self.read(at)?;
        if log::fast_commit_of(&block) == Some(sequence) {
            return Err(ReadError::Unsupported {
                location: Location::Journal { block: at },
                what: "a journal with fast commits to replay",
            });
        }
        Ok(())
    }

    fn read(&self, block: u32) -> Result<Bytes, ReadError> {
        read(self.access, &self.runs, block)
    }

    fn place(&self, block: u32) -> Result<BlockNo, ReadError> {
        place(&self.runs, block)
    }
}

/// Returns the size of the journal in bytes and where its blocks stand: from its inode, or where that
/// is damaged, from the copy in the superblock.
fn place_of(access: Access<'_>, number: InodeNo) -> Result<(u64, Vec<Mapped>), ReadError> {
    let from_inode = inode::read(access.superblock, access.blocks, number)
        .and_then(|inode| Ok((inode.size(), access.runs(&inode)?)));
    match from_inode {
        Err(ReadError::Corrupt { location, damage }) => {
            match access.superblock.journal_backup(number) {
                Some(inode) => Ok((inode.size(), access.runs(&inode)?)),
                None => Err(ReadError::Corrupt { location, damage }),
            }
        }
        other => other,
    }
}

/// Returns where a block of the journal stands in the image.
fn place(runs: &[Mapped], block: u32) -> Result<BlockNo, ReadError> {
    let block64 = u64::from(block);
    let after = runs.partition_point(|run| run.logical <= block64);
    let place = after.checked_sub(1).and_then(|at| {
        let run = runs.get(at)?;
        let step = block64.checked_sub(run.logical)?;
        (step < run.len).then(|| BlockNo(run.physical.0.saturating_add(step)))
    });
    place.ok_or_else(|| {
        let damage = Damage::Structure("the journal has a hole");
        ReadError::corrupt(Location::Journal { block }, damage)
    })
}

fn read(access: Access<'_>, runs: &[Mapped], block: u32) -> Result<Bytes, ReadError> {
    access.blocks.read(place(runs, block)?)
}

/// The walk along the log.
struct Replay<'a> {
    journal: &'a Journal<'a>,
    /// The next block.
    at: u32,
    /// Blocks that may still belong to the log, which does not overtake itself.
    left: u32,
    /// The transaction that is expected.
    sequence: u32,
    /// What the current transaction changes and revokes.
    tags: Vec<(u32, Tag)>,
    revoked: Vec<u64>,
    /// CRC-32 over the current transaction, for journals with the first kind of checksum.
    sum: u32,
    patches: BTreeMap<u64, Patch>,
}

impl Replay<'_> {
    /// Takes the next block of the log; false at its end.
    fn step(&mut self) -> Result<bool, ReadError> {
        let journal = self.journal;
        let Some(at) = self.advance() else {
            return Ok(false);
        };
        let block = journal.read(at)?;
        let damaged = |damage| ReadError::corrupt(Location::Journal { block: at }, damage);
        match log::header(&block) {
            Some((log::DESCRIPTOR, sequence)) if sequence == self.sequence => {
                if !journal.features.tail_is_right(&block, journal.seed) {
                    return Ok(false);
                }
                let tags = log::tags(&block, journal.features).map_err(damaged)?;
                self.descriptor(&block, tags)
            }
            Some((log::REVOKE, sequence)) if sequence == self.sequence => {
                if !journal.features.tail_is_right(&block, journal.seed) {
                    return Ok(false);
                }
                let blocks = log::revoked(&block, journal.features).map_err(damaged)?;
                self.revoked.extend(blocks);
                Ok(true)
            }
            Some((log::COMMIT, sequence)) if sequence == self.sequence => {
                if !journal
                    .features
                    .commit_is_right(&block, journal.seed, self.sum)
                {
                    return Ok(false);
                }
                self.commit()?;
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    /// Returns the next block of the log, if there can be one.
    fn advance(&mut self) -> Option<u32> {
        self.left = self.left.checked_sub(1)?;
        let at = self.at;
        let next = at.saturating_add(1);
        self.at = if next < self.journal.end {
            next
        } else {
            self.journal.first
        };
        Some(at)
    }

    fn descriptor(&mut self, block: &[u8], tags: Vec<Tag>) -> Result<bool, ReadError> {
        let summed = self.journal.features.sums_transactions();
        if summed {
            self.sum = log::crc32(self.sum, block);
        }
        for tag in tags {
            let Some(at) = self.advance() else {
                return Ok(false);
            };
            if summed {
                self.sum = log::crc32(self.sum, &self.journal.read(at)?);
            }
            self.tags.push((at, tag));
        }
        Ok(true)
    }

    /// Makes the current transaction hold.
    fn commit(&mut self) -> Result<(), ReadError> {
        let journal = self.journal;
        let superblock = journal.access.superblock;
        for (at, tag) in std::mem::take(&mut self.tags) {
            let damaged = |damage| ReadError::corrupt(Location::Journal { block: at }, damage);
            if tag.block >= superblock.blocks() {
                return Err(damaged(Damage::BlockOutside {
                    field: "the tag",
                    block: tag.block,
                }));
            }
            if journal.features.sums_blocks() {
                let computed = log::block_sum(&journal.read(at)?, self.sequence, journal.seed);
                journal
                    .features
                    .check_block(tag, computed)
                    .map_err(damaged)?;
            }
            let patch = Patch {
                copy: journal.place(at)?,
                escaped: tag.escaped,
            };
            self.patches.insert(tag.block, patch);
        }
        for block in std::mem::take(&mut self.revoked) {
            self.patches.remove(&block);
        }
        self.sum = !0;
        self.sequence = self.sequence.wrapping_add(1);
        Ok(())
    }
}

/// The first four bytes of a block that was escaped.
pub(crate) const ESCAPED: [u8; 4] = raw::MAGIC.to_be_bytes();
