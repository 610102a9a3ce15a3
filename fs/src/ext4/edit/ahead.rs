//! Inodes and directories read ahead of many operations, by a thread of its own, in the order in which
//! they stand in the image. What it reads is looked at like everything else when it is used.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use super::Superblock;
use super::groups::sums;
use super::overlay::{CLEAN, Overlay};
use super::volume::Volume;
use crate::ext4::group_desc::INODE_UNINIT;
use crate::ext4::inode::{flag, mode};
use crate::ext4::read::{Access, Blocks, Inode, Mapped};
use crate::ext4::{BlockNo, InodeNo};

/// So many bytes are read ahead at most: less than would push each other out.
const MOST: usize = CLEAN / 4 * 3;
/// So many chunks are read at once.
const STEP: u64 = 64;
/// So many blocks between two directories are read along.
const CLOSE: u64 = 4;

/// The thread; it ends with this.
#[derive(Debug)]
pub(super) struct Ahead {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// The inodes in use of a group.
struct Table {
    start: BlockNo,
    first: u32,
    count: u32,
}

struct Reader {
    superblock: Superblock,
    overlay: Arc<Overlay>,
    blocks: Blocks,
    stop: Arc<AtomicBool>,
    left: usize,
}

impl Ahead {
    /// Begins to read; none where there can be no thread.
    pub(super) fn start(volume: &Volume) -> Option<Self> {
        let superblock = volume.superblock.clone();
        let tables = tables(volume);
        let overlay = Arc::clone(&volume.overlay);
        let source: Arc<dyn forger_block::BlockRead> = Arc::<Overlay>::clone(&overlay);
        let stop = Arc::<AtomicBool>::default();
        let mut reader = Reader {
            blocks: Blocks::uncached(source, superblock.block_len()),
            superblock,
            overlay,
            stop: Arc::clone(&stop),
            left: MOST,
        };
        let thread = thread::Builder::new().spawn(move || {
            for table in tables {
                if reader.group(&table).is_none() {
                    return;
                }
            }
        });
        Some(Self {
            stop,
            thread: Some(thread.ok()?),
        })
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Returns where inodes in use stand.
fn tables(volume: &Volume) -> Vec<Table> {
    let superblock = &volume.superblock;
    let per_group = superblock.inodes_per_group();
    let table = |(number, group): (u32, &super::groups::Group)| {
        let desc = &group.desc;
        let count = match sums(superblock) {
            true if desc.bg_flags.get() & INODE_UNINIT != 0 => 0,
            true => per_group.saturating_sub(desc.itable_unused()),
            false => per_group,
        };
        Table {
            start: desc.inode_table(),
            first: number.saturating_mul(per_group).saturating_add(1),
            count,
        }
    };
    (0..).zip(&volume.groups.list).map(table).collect()
}

impl Reader {
    /// Reads the inodes of a group, then its directories; none when it is enough.
    fn group(&mut self, table: &Table) -> Option<()> {
        let size = usize::from(self.superblock.inode_size());
        let per_block = self.superblock.block_len() / size.max(1);
        let mut number = table.first;
        let end = table.first.saturating_add(table.count);
        let mut directories = Vec::new();
        let mut block = table.start;
        let blocks = table.count.div_ceil(u32::try_from(per_block.max(1)).ok()?);
        let mut warm = table.start;
        while number < end {
            if block >= warm {
                let left = u64::from(blocks).checked_sub(block.0 - table.start.0)?;
                warm = self.warm(block, left)?;
            }
            let candidates = self.overlay.view(block, |bytes| {
                let inodes = (number..end).zip(bytes.chunks_exact(size).take(per_block));
                let wanted = inodes.filter(|(_, inode)| is_directory(inode));
                let copied = wanted.map(|(number, inode)| (InodeNo(number), inode.to_vec()));
                copied.collect::<Vec<_>>()
            });
            for (number, inode) in candidates.ok()? {
                directories.extend(self.directory(number, &inode).unwrap_or_default());
            }
            number = number.saturating_add(u32::try_from(per_block).ok()?);
            block = BlockNo(block.0.saturating_add(1));
        }
        directories.sort_unstable_by_key(|run| run.physical);
        for (start, end) in merged(&directories) {
            let mut at = start;
            while at < end {
                at = self.warm(at, end.0 - at.0)?;
            }
        }
        Some(())
    }

    /// Returns where the entries of an inode stand that is a directory.
    fn directory(&self, number: InodeNo, bytes: &[u8]) -> Option<Vec<Mapped>> {
        let inode = Inode::parse_unsummed(number, bytes, &self.superblock).ok()?;
        if inode.has_flag(flag::INLINE_DATA) {
            return None;
        }
        let access = Access {
            superblock: &self.superblock,
            blocks: &self.blocks,
        };
        access.runs(&inode).ok()
    }

    /// Reads some of `len` blocks into the overlay; returns the first one that was not read.
    fn warm(&mut self, start: BlockNo, len: u64) -> Option<BlockNo> {
        if self.stop.load(Ordering::Relaxed) {
            return None;
        }
        let per_chunk = self.overlay.per_chunk();
        let end = start.0.checked_add(len)?;
        let (first, end) = (start.0 / per_chunk, end.div_ceil(per_chunk));
        let count = (end - first).min(STEP);
        self.left = self
            .left
            .checked_sub(self.overlay.warm(first, count).ok()?)?;
        Some(BlockNo((first + count).checked_mul(per_chunk)?))
    }
}

/// Tells whether the first field of an inode says so.
fn is_directory(inode: &[u8]) -> bool {
    let i_mode = inode.first_chunk().map(|bytes| u16::from_le_bytes(*bytes));
    i_mode.is_some_and(|i_mode| i_mode & mode::TYPE == mode::DIRECTORY)
}

/// Returns blocks from first to behind the last, those that are close together as one.
fn merged(runs: &[Mapped]) -> Vec<(BlockNo, BlockNo)> {
    let mut spans: Vec<(BlockNo, BlockNo)> = Vec::new();
    for run in runs {
        let end = BlockNo(run.physical.0.saturating_add(run.len));
        match spans.last_mut() {
            Some((_, last)) if run.physical.0 <= last.0.saturating_add(CLOSE) => {
                *last = end.max(*last);
            }
            _ => spans.push((run.physical, end)),
        }
    }
    spans
}
