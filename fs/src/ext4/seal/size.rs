//! How large the image becomes: groups, inodes, journal and free space, as one fixpoint.

use super::bodies::split;
use crate::ext4::cursor::{Cursor, Gap};
use crate::ext4::geometry::{
    BLOCKS_PER_GROUP, Frame, INODES_PER_BLOCK, MAX_INODES_PER_GROUP, groups, has_super,
};
use crate::ext4::options::{Free, Inodes, Journal, Options, Size};
use crate::ext4::units::{BLOCK_SIZE, BlockNo, Extent, GroupNo};
use crate::ext4::{Error, extent};

/// Space per inode where nothing else is asked for, in bytes.
const BYTES_PER_INODE: u64 = 16 << 10;
/// Free space beside the content, at least, in blocks: 16 MiB.
const MIN_FREE: u64 = (16 << 20) / BLOCK_SIZE;
/// An automatic size is a whole number of MiB.
const ROUND: u64 = (1 << 20) / BLOCK_SIZE;

/// What the size depends on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Need {
    /// The cursor after everything but the journal, bitmaps and inode tables.
    pub(crate) cursor: Cursor,
    /// Blocks below the cursor that are free again.
    pub(crate) released: u64,
    /// Inodes in use, reserved ones included.
    pub(crate) inodes: u64,
}

/// The size, and where everything stands whose place depends on it.
#[derive(Clone, Debug)]
pub(crate) struct Sized {
    /// Blocks of the filesystem.
    pub(crate) blocks: u64,
    /// Length of the image in bytes; more than the blocks where an exact size ends in a group that
    /// would be too small.
    pub(crate) bytes: u64,
    /// Inodes in each group.
    pub(crate) inodes_per_group: u64,
    /// The journal's extents, none without a journal.
    pub(crate) journal: Vec<Extent>,
    /// The blocks of the journal's extent tree.
    pub(crate) journal_tree: Vec<BlockNo>,
    /// Block bitmaps by group.
    pub(crate) block_bitmaps: Vec<BlockNo>,
    /// Inode bitmaps by group.
    pub(crate) inode_bitmaps: Vec<BlockNo>,
    /// First blocks of the inode tables by group.
    pub(crate) inode_tables: Vec<BlockNo>,
    /// Blocks below `end` that stayed free because a table did not fit there.
    pub(crate) gaps: Vec<Gap>,
    /// The first block that nothing uses any more, late ranges apart.
    pub(crate) end: BlockNo,
}

impl Sized {
    /// Returns the number of groups.
    pub(crate) fn groups(&self) -> u64 {
        groups(self.blocks)
    }

    /// Returns the journal's length in blocks.
    pub(crate) fn journal_blocks(&self) -> u64 {
        self.journal
            .iter()
            .map(|extent| u64::from(extent.len))
            .sum()
    }

    /// Returns the blocks of one inode table.
    pub(crate) fn table_blocks(&self) -> u64 {
        self.inodes_per_group / INODES_PER_BLOCK
    }
}

/// Finds the size that the options ask for.
pub(crate) fn size(need: &Need, options: &Options, frame: Frame) -> Result<Sized, Error> {
    match options.size {
        Size::Auto(free) => automatic(need, free, options, frame),
        Size::Exact(bytes) => exact(need, bytes, options, frame),
    }
}

/// Grows the image until content, tables, journal and free space fit.
fn automatic(need: &Need, free: Free, options: &Options, frame: Frame) -> Result<Sized, Error> {
    let inodes = inodes_wanted(need.inodes, options.inodes);
    let mut count = groups(need.cursor.position().0).max(inodes.div_ceil(MAX_INODES_PER_GROUP));
    let mut journal = 0;
    loop {
        let trial = Trial {
            groups: count,
            inodes,
            journal,
            options,
        };
        let layout = trial.layout(need.cursor);
        let allocated = allocated(&layout, need, frame);
        let blocks = fewest_blocks(&layout, allocated, free, count, frame);
        if blocks > frame.max_blocks() {
            return Err(Error::TooLarge {
                needed: blocks * BLOCK_SIZE,
                limit: frame.max_blocks() * BLOCK_SIZE,
            });
        }
        let wanted = journal_blocks(options.journal, blocks);
        if groups(blocks) <= count && wanted <= journal {
            return Ok(Sized {
                blocks,
                bytes: blocks * BLOCK_SIZE,
                ..layout
            });
        }
        count = count.max(groups(blocks));
        journal = journal.max(wanted);
    }
}

/// Returns the smallest size with the free space that is wanted and a last group that is large
/// enough, in blocks.
fn fewest_blocks(layout: &Sized, allocated: u64, free: Free, count: u64, frame: Frame) -> u64 {
    let mut blocks = layout.end.0;
    loop {
        let used = allocated + late_blocks(groups(blocks), frame);
        let wanted = match free {
            Free::Default => used + MIN_FREE.max(used / 20),
            Free::Bytes(bytes) => used + bytes.div_ceil(BLOCK_SIZE),
            Free::Share(share) => (used * 10_000).div_ceil(10_000 - u64::from(share.min(9_500))),
        };
        let mut next = wanted.max(layout.end.0).next_multiple_of(ROUND);
        // As many groups as the inodes need, and none that is too small.
        next = next.max((count - 1) * BLOCKS_PER_GROUP + 1);
        next = next.max(least_with_last_group(next, frame));
        if next <= blocks {
            return blocks;
        }
        blocks = next;
    }
}

/// Returns the least number of blocks, at least `blocks`, whose last group is large enough.
fn least_with_last_group(blocks: u64, frame: Frame) -> u64 {
    let last = groups(blocks) - 1;
    let least = frame.min_last_group(group_no(last)).next_multiple_of(ROUND);
    blocks.max(last * BLOCKS_PER_GROUP + least)
}

/// Fits everything into exactly so many bytes.
fn exact(need: &Need, bytes: u64, options: &Options, frame: Frame) -> Result<Sized, Error> {
    if !bytes.is_multiple_of(BLOCK_SIZE) {
        return Err(Error::Option {
            option: "size",
            reason: format!("{bytes} bytes is not a multiple of {BLOCK_SIZE}"),
        });
    }
    let mut blocks = bytes / BLOCK_SIZE;
    let last = groups(blocks).saturating_sub(1);
    if last > 0 && blocks - last * BLOCKS_PER_GROUP < frame.min_last_group(group_no(last)) {
        blocks = last * BLOCKS_PER_GROUP;
    }
    if blocks > frame.max_blocks() {
        let limit = frame.max_blocks() * BLOCK_SIZE;
        return Err(Error::TooLarge {
            needed: bytes,
            limit,
        });
    }
    let journal = journal_blocks(options.journal, blocks);
    // The spare inodes are given up before the image is called too small.
    for inodes in [inodes_wanted(need.inodes, options.inodes), need.inodes] {
        let groups = groups(blocks).max(1);
        if inodes > groups * MAX_INODES_PER_GROUP {
            continue;
        }
        let layout = Trial {
            groups,
            inodes,
            journal,
            options,
        }
        .layout(need.cursor);
        let used = allocated(&layout, need, frame) + late_blocks(groups, frame);
        if layout.end.0 <= blocks && used <= blocks {
            return Ok(Sized {
                blocks,
                bytes,
                ..layout
            });
        }
    }
    let automatic = automatic(need, Free::Bytes(0), options, frame)?;
    let needed = automatic.bytes.max(bytes + BLOCK_SIZE);
    Err(Error::TooSmall {
        needed,
        size: bytes,
        missing: needed - bytes,
    })
}

/// One try: so many groups, inodes in all, and journal blocks.
struct Trial<'a> {
    groups: u64,
    inodes: u64,
    journal: u64,
    options: &'a Options,
}

impl Trial<'_> {
    /// Lays out journal, bitmaps and inode tables behind the cursor.
    fn layout(&self, mut cursor: Cursor) -> Sized {
        let mut gaps = Vec::new();
        let journal = cursor.take_extents(u32::try_from(self.journal).unwrap_or(u32::MAX));
        let mut single = || cursor.take(1).0;
        let tree_blocks = extent::tree_blocks(split(&journal).count());
        let journal_tree = (0..tree_blocks).map(|_| single()).collect();
        let block_bitmaps = (0..self.groups).map(|_| single()).collect();
        let inode_bitmaps = (0..self.groups).map(|_| single()).collect();
        let per_group = self.inodes_per_group();
        let table = per_group / INODES_PER_BLOCK;
        let inode_tables = (0..self.groups)
            .map(|_| cursor.take_contiguous(table, &mut gaps))
            .collect();
        Sized {
            blocks: 0,
            bytes: 0,
            inodes_per_group: per_group,
            journal,
            journal_tree,
            block_bitmaps,
            inode_bitmaps,
            inode_tables,
            gaps,
            end: cursor.position(),
        }
    }

    /// As many as the space calls for and as many as are needed, in whole blocks.
    fn inodes_per_group(&self) -> u64 {
        let group = BLOCKS_PER_GROUP * BLOCK_SIZE;
        let by_space = match self.options.inodes {
            Inodes::Auto => group / BYTES_PER_INODE,
            Inodes::Count(_) => 0,
            Inodes::BytesPerInode(bytes) => group / bytes.max(1),
        };
        by_space
            .max(self.inodes.div_ceil(self.groups))
            .next_multiple_of(INODES_PER_BLOCK)
            .clamp(INODES_PER_BLOCK, MAX_INODES_PER_GROUP)
    }
}

/// Returns how many inodes there shall be at least, spare ones included.
fn inodes_wanted(used: u64, inodes: Inodes) -> u64 {
    match inodes {
        Inodes::Count(count) => count.max(used),
        Inodes::Auto | Inodes::BytesPerInode(_) => used + 1024.max(used / 10),
    }
}

/// Returns the blocks in use below the layout's end, late ranges apart.
fn allocated(layout: &Sized, need: &Need, frame: Frame) -> u64 {
    let gaps: u64 = layout.gaps.iter().map(|gap| gap.len).sum();
    layout.end.0 - late_blocks(groups(layout.end.0), frame) - gaps - need.released
}

/// Returns the blocks of all late ranges in the first `count` groups.
fn late_blocks(count: u64, frame: Frame) -> u64 {
    let backups = (0..count)
        .filter(|&group| has_super(group_no(group)))
        .count() as u64;
    backups * frame.late_blocks()
}

fn group_no(group: u64) -> GroupNo {
    GroupNo(u32::try_from(group).unwrap_or(u32::MAX))
}

/// Returns the journal's blocks in a filesystem of so many: mke2fs's table.
fn journal_blocks(journal: Journal, blocks: u64) -> u64 {
    match journal {
        Journal::None => 0,
        Journal::Bytes(bytes) => bytes / BLOCK_SIZE,
        Journal::Auto => match blocks {
            0..2_048 => 0,
            2_048..32_768 => 1_024,
            32_768..262_144 => 4_096,
            262_144..524_288 => 8_192,
            524_288..4_194_304 => 16_384,
            4_194_304..8_388_608 => 32_768,
            8_388_608..16_777_216 => 65_536,
            16_777_216..33_554_432 => 131_072,
            _ => 262_144,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: Frame = Frame { reserve: 128 };

    fn need(content: u64, inodes: u64) -> Need {
        let mut cursor = Cursor::new(FRAME);
        cursor.take_extents(u32::try_from(content).unwrap());
        Need {
            cursor,
            released: 0,
            inodes: 11 + inodes,
        }
    }

    fn free(need: &Need, sized: &Sized) -> u64 {
        sized.blocks - allocated(sized, need, FRAME) - late_blocks(sized.groups(), FRAME)
    }

    #[test]
    fn automatic_leaves_sixteen_mebibytes_or_five_percent() {
        for (content, inodes) in [(0, 0), (1000, 10), (32_000, 100), (400_000, 70_000)] {
            let need = need(content, inodes);
            let sized = size(&need, &Options::default(), FRAME).unwrap();
            let free = free(&need, &sized);
            let used = sized.blocks - free;
            assert!(free >= MIN_FREE.max(used / 20), "{content}: {free}");
            assert!(
                free <= MIN_FREE.max(used / 20) + ROUND + 400,
                "{content}: {free}"
            );
            assert!(sized.inodes_per_group * sized.groups() >= (11 + inodes) + 1024);
        }
    }

    #[test]
    fn many_inodes_make_more_groups() {
        let sized = size(&need(100, 200_000), &Options::default(), FRAME).unwrap();
        assert_eq!(sized.groups(), 7);
        assert!(sized.inodes_per_group * 7 >= 220_000);
    }

    #[test]
    fn exact_that_does_not_fit_says_how_much_is_missing() {
        let options = Options {
            size: Size::Exact(8 << 20),
            ..Options::default()
        };
        let error = size(&need(10_000, 10), &options, FRAME).unwrap_err();
        let Error::TooSmall {
            needed,
            size: 8_388_608,
            missing,
        } = error
        else {
            panic!()
        };
        assert_eq!(needed - missing, 8 << 20);
        let options = Options {
            size: Size::Exact(needed),
            ..Options::default()
        };
        size(&need(10_000, 10), &options, FRAME).unwrap();
    }

    #[test]
    fn exact_drops_a_last_group_that_is_too_small() {
        let bytes = (128 << 20) + (100 << 12);
        let options = Options {
            size: Size::Exact(bytes),
            ..Options::default()
        };
        let sized = size(&need(10, 10), &options, FRAME).unwrap();
        assert_eq!((sized.blocks, sized.bytes), (32_768, bytes));
    }

    #[test]
    fn a_share_of_free_space_is_of_the_finished_image() {
        let options = Options {
            size: Size::Auto(Free::Share(5_000)),
            ..Options::default()
        };
        let need = need(50_000, 10);
        let sized = size(&need, &options, FRAME).unwrap();
        assert!(free(&need, &sized) * 2 >= sized.blocks);
    }

    #[test]
    fn the_journal_follows_the_table_of_mke2fs() {
        let blocks = |blocks| journal_blocks(Journal::Auto, blocks);
        assert_eq!(
            [2_047, 2_048, 32_768, 400_000].map(blocks),
            [0, 1_024, 4_096, 8_192]
        );
    }
}
