//! Gives a content its blocks as it arrives: zero runs become holes, everything else goes on.
//!
//! Whole blocks are decided one by one, in file order:
//!
//! | what arrives | what becomes of it |
//! |---|---|
//! | a block with a byte that is not zero | takes the cursor's next block |
//! | fewer than 16 zero blocks in a row | take blocks too |
//! | 16 zero blocks (64 KiB) or more in a row | a hole |
//! | a block wholly inside a declared hole | a hole |
//! | a block of which only the place is told | takes a block |

use xxhash_rust::xxh3::Xxh3Default;

use super::Error;
use super::cursor::Cursor;
use super::file_map::FileMap;
use super::options::Options;
use super::store::Store;
use super::units::{BLOCK_SIZE, BlockNo, Extent};
use crate::source::{BodyPlace, BodyRun};

const BLOCK: usize = 4096;
/// So many zero blocks in a row become a hole.
const HOLE_BLOCKS: u64 = 16;

/// Places the contents of one file after the other.
pub(crate) struct Placer {
    cursor: Cursor,
    max_blocks: u64,
    keep_zeros: bool,
    digests: bool,
    file: File,
}

/// The file that is being placed.
#[derive(Default)]
struct File {
    /// Whole blocks seen so far.
    logical: u64,
    /// Zero blocks before `logical` of which nobody knows yet whether they become a hole.
    zero_blocks: u64,
    /// The block at `logical`, while it comes in parts.
    partial: Partial,
    extents: Vec<Extent>,
    hasher: Box<Xxh3Default>,
    hashed: bool,
}

/// A block that comes in parts: where each part is from, and the bytes of those that were read.
#[derive(Default)]
struct Partial {
    len: usize,
    bytes: Vec<u8>,
    parts: Vec<Part>,
}

struct Part {
    len: usize,
    from: Origin,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// Zeros of a declared hole, or after the file's end.
    Hole,
    /// Data, and its place in the origin.
    Data(Option<u64>),
    /// Data of which only the place in the origin is known.
    Unread(u64),
}

impl Placer {
    pub(crate) fn new(cursor: Cursor, max_blocks: u64, options: &Options) -> Self {
        Self {
            cursor,
            max_blocks,
            // Whether a content was read, or could only be, must make no difference.
            keep_zeros: options.keep_zeros || options.unread,
            digests: !options.unread,
            file: File::default(),
        }
    }

    /// Returns the cursor after everything placed so far.
    pub(crate) fn cursor(&self) -> Cursor {
        self.cursor
    }

    /// Takes the next run of the current file.
    pub(crate) fn run(&mut self, run: BodyRun<'_>, store: &mut dyn Store) -> Result<(), Error> {
        match run {
            BodyRun::Data { bytes, at } => self.data(bytes, at, store),
            BodyRun::Hole(len) => self.hole(len, store),
        }
    }

    /// Takes the next run of the current file, unread.
    pub(crate) fn place(&mut self, place: BodyPlace, store: &mut dyn Store) -> Result<(), Error> {
        match place {
            BodyPlace::Data { at, len } => self.unread(at, len, store),
            BodyPlace::Hole(len) => self.hole(len, store),
        }
    }

    /// Ends the current file of `size` bytes.
    pub(crate) fn end(&mut self, size: u64, store: &mut dyn Store) -> Result<FileMap, Error> {
        let missing = self.file.partial.missing();
        if missing < BLOCK {
            self.fill(&[0; BLOCK][..missing], Origin::Hole, store)?;
        }
        self.settle_zeros(store)?;
        let file = &mut self.file;
        let digest = if file.hashed {
            file.hasher.digest128()
        } else {
            0
        };
        let map = FileMap::new(size, digest, &file.extents);
        if std::mem::take(&mut file.hashed) {
            file.hasher.reset();
        }
        file.extents.clear();
        file.logical = 0;
        Ok(map)
    }

    fn data(&mut self, bytes: &[u8], at: Option<u64>, store: &mut dyn Store) -> Result<(), Error> {
        let (mut bytes, mut at) = (bytes, at);
        let missing = self.file.partial.missing();
        if missing < BLOCK {
            let (now, later) = bytes.split_at(bytes.len().min(missing));
            self.fill(now, Origin::Data(at), store)?;
            at = at.map(|at| at + now.len() as u64);
            bytes = later;
        }
        let (whole, rest) = bytes.split_at(bytes.len() / BLOCK * BLOCK);
        self.whole_blocks(whole, at, store)?;
        let at = at.map(|at| at + whole.len() as u64);
        self.fill(rest, Origin::Data(at), store)
    }

    fn unread(&mut self, at: u64, len: u64, store: &mut dyn Store) -> Result<(), Error> {
        let (mut at, mut len) = (at, len);
        let missing = self.file.partial.missing();
        if missing < BLOCK {
            let now = usize::try_from(len).unwrap_or(BLOCK).min(missing);
            self.part(now, &[], Origin::Unread(at), store)?;
            (at, len) = (at + now as u64, len - now as u64);
        }
        let blocks = len / BLOCK_SIZE;
        if blocks > 0 {
            self.settle_zeros(store)?;
            let first = self.file.logical;
            self.allocate(first, blocks, |offset, start, len| {
                store.place(offset, len, at + start)
            })?;
            self.file.logical += blocks;
        }
        let rest = usize::try_from(len % BLOCK_SIZE).unwrap_or(0);
        self.part(rest, &[], Origin::Unread(at + blocks * BLOCK_SIZE), store)
    }

    fn hole(&mut self, len: u64, store: &mut dyn Store) -> Result<(), Error> {
        let mut len = len;
        let missing = self.file.partial.missing();
        if missing < BLOCK {
            let now = usize::try_from(len).unwrap_or(BLOCK).min(missing);
            self.fill(&[0; BLOCK][..now], Origin::Hole, store)?;
            len -= now as u64;
        }
        if len >= BLOCK_SIZE {
            self.declared(len / BLOCK_SIZE, store)?;
        }
        let rest = usize::try_from(len % BLOCK_SIZE).unwrap_or(0);
        self.fill(&[0; BLOCK][..rest], Origin::Hole, store)
    }

    /// Adds to the block that comes in parts; decides about it when it is whole.
    fn fill(&mut self, bytes: &[u8], from: Origin, store: &mut dyn Store) -> Result<(), Error> {
        self.part(bytes.len(), bytes, from, store)
    }

    /// As [`fill`](Self::fill), of `len` bytes that were perhaps not read.
    fn part(
        &mut self,
        len: usize,
        bytes: &[u8],
        from: Origin,
        store: &mut dyn Store,
    ) -> Result<(), Error> {
        self.file.partial.push(len, bytes, from);
        if self.file.partial.missing() > 0 {
            return Ok(());
        }
        let mut partial = std::mem::take(&mut self.file.partial);
        let result = self.assembled(&partial, store);
        partial.len = 0;
        partial.bytes.clear();
        partial.parts.clear();
        self.file.partial = partial;
        result
    }

    /// Takes a block that came in parts.
    fn assembled(&mut self, block: &Partial, store: &mut dyn Store) -> Result<(), Error> {
        if block.parts.iter().all(|part| part.from == Origin::Hole) {
            return self.declared(1, store);
        }
        if !self.keep_zeros && is_zero(&block.bytes) {
            self.file.logical += 1;
            self.file.zero_blocks += 1;
            return Ok(());
        }
        self.settle_zeros(store)?;
        let logical = self.file.logical;
        self.file.logical += 1;
        let mut bytes = &block.bytes[..];
        self.allocate(logical, 1, |mut offset, _, _| {
            for part in &block.parts {
                let len = part.len as u64;
                match part.from {
                    Origin::Hole => {
                        bytes = &bytes[part.len..];
                        store.zeros(offset, len)?;
                    }
                    Origin::Data(at) => {
                        let (now, later) = bytes.split_at(part.len);
                        bytes = later;
                        store.data(offset, now, at)?;
                    }
                    Origin::Unread(at) => store.place(offset, len, at)?,
                }
                offset += len;
            }
            Ok(())
        })?;
        self.hash(&block.bytes);
        Ok(())
    }

    /// Passes `count` blocks of a declared hole.
    fn declared(&mut self, count: u64, store: &mut dyn Store) -> Result<(), Error> {
        self.settle_zeros(store)?;
        self.file.logical += count;
        self.check_logical(self.file.logical)
    }

    /// Takes whole blocks of data.
    fn whole_blocks(
        &mut self,
        bytes: &[u8],
        at: Option<u64>,
        store: &mut dyn Store,
    ) -> Result<(), Error> {
        let mut start = 0;
        while start < bytes.len() {
            let zero = |from: usize| !self.keep_zeros && is_zero(&bytes[from..from + BLOCK]);
            if zero(start) {
                self.file.zero_blocks += 1;
                self.file.logical += 1;
                start += BLOCK;
                continue;
            }
            let mut end = start + BLOCK;
            while end < bytes.len() && !zero(end) {
                end += BLOCK;
            }
            self.settle_zeros(store)?;
            self.put(&bytes[start..end], at.map(|at| at + start as u64), store)?;
            start = end;
        }
        Ok(())
    }

    /// Decides about the zero blocks seen last: a hole, or blocks of their own.
    fn settle_zeros(&mut self, store: &mut dyn Store) -> Result<(), Error> {
        let count = std::mem::take(&mut self.file.zero_blocks);
        if count == 0 || count >= HOLE_BLOCKS {
            return Ok(());
        }
        static ZEROS: [u8; BLOCK * 15] = [0; BLOCK * 15];
        let first = self.file.logical - count;
        self.allocate(first, count, |offset, _, len| store.zeros(offset, len))?;
        self.hash(&ZEROS[..BLOCK * usize::try_from(count).unwrap_or(0)]);
        Ok(())
    }

    fn put(&mut self, bytes: &[u8], at: Option<u64>, store: &mut dyn Store) -> Result<(), Error> {
        let (first, blocks) = (self.file.logical, (bytes.len() / BLOCK) as u64);
        self.file.logical += blocks;
        self.allocate(first, blocks, |offset, start, len| {
            // Both lie within the bytes.
            let from = usize::try_from(start).unwrap_or(0);
            let part = &bytes[from..from + usize::try_from(len).unwrap_or(0)];
            store.data(offset, part, at.map(|at| at + start))
        })?;
        self.hash(bytes);
        Ok(())
    }

    /// Gives blocks to `blocks` of the file from `logical` on; hands on by extent where each part of them goes in
    /// the image, where it starts among them, and its length, all in bytes.
    fn allocate(
        &mut self,
        logical: u64,
        blocks: u64,
        mut store: impl FnMut(u64, u64, u64) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.check_logical(logical + blocks)?;
        let mut done = 0;
        while done < blocks {
            let (physical, count) = self.cursor.take(blocks - done);
            if physical.0 + count > self.max_blocks {
                return Err(Error::TooLarge {
                    needed: (physical.0 + count) * BLOCK_SIZE,
                    limit: self.max_blocks * BLOCK_SIZE,
                });
            }
            store(physical.offset(), done * BLOCK_SIZE, count * BLOCK_SIZE)?;
            self.file.grow(logical + done, physical, count);
            done += count;
        }
        Ok(())
    }

    fn hash(&mut self, bytes: &[u8]) {
        if self.digests {
            self.file.hash(bytes);
        }
    }

    fn check_logical(&self, blocks: u64) -> Result<(), Error> {
        if blocks <= u64::from(u32::MAX) {
            return Ok(());
        }
        Err(Error::TooLarge {
            needed: blocks * BLOCK_SIZE,
            limit: u64::from(u32::MAX) * BLOCK_SIZE,
        })
    }
}

impl File {
    /// Adds blocks to the extents; a neighbour is lengthened.
    fn grow(&mut self, logical: u64, physical: BlockNo, count: u64) {
        let logical = u32::try_from(logical).unwrap_or(u32::MAX);
        let len = u32::try_from(count).unwrap_or(u32::MAX);
        if let Some(last) = self.extents.last_mut()
            && last.logical + last.len == logical
            && last.physical.0 + u64::from(last.len) == physical.0
        {
            last.len += len;
        } else {
            self.extents.push(Extent {
                logical,
                len,
                physical,
            });
        }
    }

    fn hash(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
        self.hashed = true;
    }
}

impl Partial {
    /// Returns how many bytes are missing: a whole block's while none has come.
    fn missing(&self) -> usize {
        BLOCK - self.len
    }

    /// Adds a part of `more` bytes, and the bytes if they were read.
    fn push(&mut self, more: usize, bytes: &[u8], from: Origin) {
        if more == 0 {
            return;
        }
        self.len += more;
        self.bytes.extend_from_slice(bytes);
        match (self.parts.last_mut(), from) {
            (
                Some(Part {
                    len,
                    from: Origin::Hole,
                }),
                Origin::Hole,
            )
            | (
                Some(Part {
                    len,
                    from: Origin::Data(None),
                }),
                Origin::Data(None),
            ) => *len += more,
            (
                Some(Part {
                    len,
                    from: Origin::Data(Some(start)),
                }),
                Origin::Data(Some(at)),
            ) if *start + *len as u64 == at => {
                *len += more;
            }
            _ => self.parts.push(Part { len: more, from }),
        }
    }
}

/// Tells whether a block holds zeros only.
fn is_zero(block: &[u8]) -> bool {
    block[..16] == [0; 16] && block.chunks_exact(64).all(|chunk| *chunk == [0; 64])
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use forger_block::BlockRead;

    use super::*;
    use crate::ext4::cursor::Gap;
    use crate::ext4::geometry::Frame;

    /// Keeps what was stored: offset, bytes (`None` for zeros), origin.
    #[derive(Default)]
    struct Log(Vec<(u64, usize, Option<u64>)>);

    impl Store for Log {
        fn data(&mut self, offset: u64, bytes: &[u8], at: Option<u64>) -> Result<(), Error> {
            self.0.push((offset, bytes.len(), at));
            Ok(())
        }
        fn place(&mut self, offset: u64, len: u64, at: u64) -> Result<(), Error> {
            self.0
                .push((offset, usize::try_from(len).unwrap(), Some(at)));
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

    fn place(runs: &[BodyRun<'_>]) -> (FileMap, Log) {
        let frame = Frame { reserve: 128 };
        let options = Options::default();
        let mut placer = Placer::new(Cursor::new(frame), frame.max_blocks(), &options);
        let mut log = Log::default();
        let mut size = 0;
        for run in runs {
            size += match run {
                BodyRun::Data { bytes, .. } => bytes.len() as u64,
                BodyRun::Hole(len) => *len,
            };
            placer.run(*run, &mut log).unwrap();
        }
        (placer.end(size, &mut log).unwrap(), log)
    }

    fn data(bytes: &[u8], at: u64) -> BodyRun<'_> {
        BodyRun::Data {
            bytes,
            at: Some(at),
        }
    }

    fn shape(map: &FileMap) -> Vec<(u32, u32, u64)> {
        map.extents()
            .iter()
            .map(|e| (e.logical, e.len, e.physical.0))
            .collect()
    }

    #[test]
    fn a_small_file_takes_one_block_and_keeps_its_origin() {
        let (map, log) = place(&[data(b"hello", 512)]);
        assert_eq!(shape(&map), [(0, 1, 129)]);
        assert_eq!(log.0, [(129 * 4096, 5, Some(512))]);
        assert_eq!(map.size, 5);
    }

    #[test]
    fn fifteen_zero_blocks_are_data_and_sixteen_a_hole() {
        let mut bytes = vec![1; 4096 * 18];
        bytes[4096..4096 * 16].fill(0);
        let (map, _) = place(&[data(&bytes, 0)]);
        assert_eq!(shape(&map), [(0, 18, 129)]);
        bytes[4096..4096 * 17].fill(0);
        let (map, _) = place(&[data(&bytes, 0)]);
        assert_eq!(shape(&map), [(0, 1, 129), (17, 1, 130)]);
    }

    #[test]
    fn a_declared_hole_of_one_block_stays_a_hole() {
        let block = [1; 4096];
        let (map, _) = place(&[data(&block, 0), BodyRun::Hole(4096), data(&block, 4096)]);
        assert_eq!(shape(&map), [(0, 1, 129), (2, 1, 130)]);
    }

    #[test]
    fn a_block_half_hole_half_data_is_stored_with_both_parts() {
        let (map, log) = place(&[BodyRun::Hole(100), data(&[7; 50], 9), BodyRun::Hole(8042)]);
        assert_eq!(shape(&map), [(0, 1, 129)]);
        assert_eq!(log.0, [(129 * 4096 + 100, 50, Some(9))]);
        assert_eq!(map.size, 8192);
    }

    #[test]
    fn splitting_the_runs_changes_nothing() {
        let mut bytes: Vec<u8> = (0..200_000u32).map(|n| n.to_le_bytes()[1] ^ 0x5a).collect();
        bytes[8192..8192 + 70_000].fill(0);
        let (whole, _) = place(&[data(&bytes, 0)]);
        for step in [1, 511, 512, 4095, 4096, 4097, 65_536] {
            let mut at = 0;
            let parts: Vec<_> = bytes
                .chunks(step)
                .map(|part| {
                    at += part.len() as u64;
                    data(part, at - part.len() as u64)
                })
                .collect();
            assert_eq!(place(&parts).0, whole, "step {step}");
        }
    }

    #[test]
    fn extents_break_at_a_backup_group() {
        let bytes = vec![1; 4096 * 33_000];
        let (map, _) = place(&[data(&bytes, 0)]);
        assert_eq!(shape(&map), [(0, 32639, 129), (32639, 361, 32768 + 129)]);
    }
}
