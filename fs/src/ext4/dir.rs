//! Directories: blocks of entries, each a name, an inode and the length to the next.
//!
//! See [Directory Entries](https://docs.kernel.org/filesystems/ext4/dynamic.html#directory-entries).
//!
//! ```text
//! entry  inode u32 | rec_len u16 | name_len u8 | file_type u8 | name, padded to 4 bytes
//! block  entries, the last of which reaches to the tail
//! tail   0 u32 | 12 u16 | 0 u8 | 0xde u8 | checksum u32 over all before it
//! ```
//!
//! A directory whose entries fit one block is that block; a larger one gets a hash tree
//! ([`htree`]).

use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::checksum::Seed;
use super::{InodeNo, htree};

/// Length of a block in bytes, as the writer makes them.
pub(crate) const BLOCK: usize = 4096;
/// Length of an entry without its name.
pub(crate) const HEAD: usize = 8;
/// Length of the tail.
pub(crate) const TAIL: usize = 12;
/// `file_type` of the tail, which no entry has.
pub(crate) const TAIL_TYPE: u8 = 0xde;
/// Bytes of a block that entries may take.
pub(crate) const ROOM: usize = BLOCK - TAIL;

/// `file_type` of an entry.
pub(crate) mod file_type {
    /// Not known.
    pub(crate) const UNKNOWN: u8 = 0;
    /// Regular file.
    pub(crate) const FILE: u8 = 1;
    /// Directory.
    pub(crate) const DIRECTORY: u8 = 2;
    /// Character device.
    pub(crate) const CHAR: u8 = 3;
    /// Block device.
    pub(crate) const BLOCK: u8 = 4;
    /// Named pipe.
    pub(crate) const FIFO: u8 = 5;
    /// Socket.
    pub(crate) const SOCKET: u8 = 6;
    /// Symbolic link.
    pub(crate) const SYMLINK: u8 = 7;
}

/// The head of an entry.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct RawDirEntry {
    /// 0x0: the inode; 0 is an unused entry.
    pub(crate) inode: U32,
    /// 0x4: bytes to the next entry.
    pub(crate) rec_len: U16,
    /// 0x6: bytes of the name.
    pub(crate) name_len: u8,
    /// 0x7: [`file_type`].
    pub(crate) file_type: u8,
}

/// The tail of a block of entries; it looks like an unused entry.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct RawDirTail {
    /// 0x0: 0, as if an unused entry.
    pub(crate) det_reserved_zero1: U32,
    /// 0x4: 12.
    pub(crate) det_rec_len: U16,
    /// 0x6: 0.
    pub(crate) det_reserved_zero2: u8,
    /// 0x7: [`TAIL_TYPE`].
    pub(crate) det_reserved_ft: u8,
    /// 0x8: checksum over the block before the tail.
    pub(crate) det_checksum: U32,
}

const _: () = {
    use std::mem::size_of;
    assert!(size_of::<RawDirEntry>() == HEAD);
    assert!(size_of::<RawDirTail>() == TAIL);
};

/// A name in a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DirEntry<'a> {
    /// The name: 1 to 255 bytes without `/` and NUL.
    pub(crate) name: &'a [u8],
    /// The inode it stands for.
    pub(crate) inode: InodeNo,
    /// One of [`file_type`].
    pub(crate) file_type: u8,
}

impl<'a> DirEntry<'a> {
    /// Returns the bytes the entry takes at least.
    pub(crate) fn len(&self) -> usize {
        record_len(self.name.len())
    }

    /// Returns the entry that names the directory itself.
    pub(crate) fn dot(own: InodeNo) -> Self {
        Self::directory(b".", own)
    }

    /// Returns the entry that names the directory above.
    pub(crate) fn dot_dot(parent: InodeNo) -> Self {
        Self::directory(b"..", parent)
    }

    fn directory(name: &'a [u8], inode: InodeNo) -> Self {
        Self {
            name,
            inode,
            file_type: file_type::DIRECTORY,
        }
    }

    /// Writes the entry with a length of `rec_len` at the start of `at`.
    pub(crate) fn write(&self, at: &mut [u8], rec_len: usize) {
        let (head, name) = at.split_at_mut(HEAD);
        let raw = RawDirEntry {
            inode: self.inode.0.into(),
            rec_len: U16::new(encode_len(rec_len)),
            name_len: u8::try_from(self.name.len()).expect("names have at most 255 bytes"),
            file_type: self.file_type,
        };
        head.copy_from_slice(raw.as_bytes());
        name[..self.name.len()].copy_from_slice(self.name);
    }
}

/// Returns `rec_len` of an entry that takes so many bytes; only the whole of a block of 64 KiB does not
/// fit the field, and has a value of its own.
pub(crate) fn encode_len(len: usize) -> u16 {
    u16::try_from(len).unwrap_or(u16::MAX)
}

/// Returns how many bytes of a block of a length entries may take.
pub(crate) const fn room(block_len: usize, summed: bool) -> usize {
    if summed { block_len - TAIL } else { block_len }
}

/// Returns the bytes that an entry takes at least whose name has so many.
pub(crate) const fn record_len(name_len: usize) -> usize {
    (HEAD + name_len).next_multiple_of(4)
}

/// The directory has more names than a hash tree of two levels can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{names} names are more than a directory can hold")]
pub(crate) struct TooManyNames {
    /// Names in the directory.
    pub(crate) names: usize,
}

/// A finished directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Built {
    /// Its content: whole blocks with their checksums.
    pub(crate) data: Vec<u8>,
    /// Whether it has a hash tree and its inode needs [`INDEX`](super::inode::flag::INDEX).
    pub(crate) indexed: bool,
}

/// Builds a directory of `entries`, which are sorted by name and do not hold `.` and `..`.
///
/// With `min_blocks` above 1, a directory that fits one block gets empty blocks up to that number: the
/// room that `e2fsck` wants in `lost+found`, where it must not allocate. A generation of 0 is assumed.
pub(crate) fn build(
    entries: &[DirEntry<'_>],
    own: InodeNo,
    parent: InodeNo,
    hash_seed: &[u8; 16],
    seed: Seed,
    min_blocks: u32,
) -> Result<Built, TooManyNames> {
    let seed = seed.inode(own, 0);
    let dots = [DirEntry::dot(own), DirEntry::dot_dot(parent)];
    let len: usize = dots.iter().chain(entries).map(DirEntry::len).sum();
    if len > ROOM {
        let data = htree::build(entries, dots, &htree::Form::new(hash_seed, seed))?;
        return Ok(Built {
            data,
            indexed: true,
        });
    }
    let blocks = usize::try_from(min_blocks.max(1)).expect("a block count fits the memory");
    let mut data = vec![0; blocks * BLOCK];
    let (first, further) = data.split_at_mut(BLOCK);
    fill_block(first, dots.iter().chain(entries).copied(), Some(seed));
    for block in further.chunks_exact_mut(BLOCK) {
        fill_block(block, std::iter::empty(), Some(seed));
    }
    Ok(Built {
        data,
        indexed: false,
    })
}

/// Fills a zeroed block with entries that fit, the last of which reaches to the tail; without any, with
/// one unused entry. Then seals it with the seed of the directory's inode.
pub(crate) fn fill_block<'a>(
    block: &mut [u8],
    entries: impl IntoIterator<Item = DirEntry<'a>>,
    seed: Option<Seed>,
) {
    let room = room(block.len(), seed.is_some());
    let unused = DirEntry {
        name: b"",
        inode: InodeNo(0),
        file_type: file_type::UNKNOWN,
    };
    let (mut last, mut at) = (unused, 0);
    for (i, entry) in entries.into_iter().enumerate() {
        if i > 0 {
            last.write(&mut block[at..], last.len());
            at += last.len();
        }
        last = entry;
    }
    last.write(&mut block[at..], room - at);
    if let Some(seed) = seed {
        seal_block(block, seed);
    }
}

/// Writes the tail of a block of entries.
pub(crate) fn seal_block(block: &mut [u8], seed: Seed) {
    let (entries, tail) = block.split_at_mut(block.len() - TAIL);
    let raw = RawDirTail {
        det_reserved_zero1: 0.into(),
        det_rec_len: 12.into(),
        det_reserved_zero2: 0,
        det_reserved_ft: TAIL_TYPE,
        det_checksum: seed.checksum(entries).into(),
    };
    tail.copy_from_slice(raw.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH_SEED: [u8; 16] = [0x11; 16];

    fn names(count: usize) -> Vec<String> {
        (0..count).map(|i| format!("{i:04}")).collect()
    }

    fn entries(names: &[String]) -> Vec<DirEntry<'_>> {
        names
            .iter()
            .map(|name| DirEntry {
                name: name.as_bytes(),
                inode: InodeNo(20),
                file_type: file_type::FILE,
            })
            .collect()
    }

    fn built(names: &[String], min_blocks: u32) -> Built {
        let entries = entries(names);
        build(
            &entries,
            InodeNo(12),
            InodeNo(2),
            &HASH_SEED,
            Seed(1),
            min_blocks,
        )
        .unwrap()
    }

    /// Inode 11 of an image of mke2fs.
    #[test]
    fn lost_and_found_equals_that_of_mke2fs() {
        let uuid = b"\x01\x23\x45\x67\x89\xab\xcd\xef\x01\x23\x45\x67\x89\xab\xcd\xef";
        let seed = Seed::from_uuid(uuid);
        let own = InodeNo::LOST_FOUND;
        let built = build(&[], own, InodeNo::ROOT, &HASH_SEED, seed, 4).unwrap();
        assert!(!built.indexed);
        assert_eq!(built.data.len(), 4 * BLOCK);
        assert_eq!(
            built.data[..27],
            *b"\x0b\0\0\0\x0c\0\x01\x02.\0\0\0\x02\0\0\0\xe8\x0f\x02\x02..\0\0\0\0\0"
        );
        let tail = |i: usize| &built.data[(i + 1) * BLOCK - TAIL..(i + 1) * BLOCK];
        assert_eq!(tail(0), TAIL_OF_FIRST);
        assert_eq!(built.data[BLOCK..BLOCK + 8], *b"\0\0\0\0\xf4\x0f\0\0");
        assert_eq!(tail(1), TAIL_OF_EMPTY);
        assert_eq!(tail(3), TAIL_OF_EMPTY);
    }

    const TAIL_OF_FIRST: &[u8] = b"\0\0\0\0\x0c\0\0\xde\xb9\xfc\x30\x4e";
    const TAIL_OF_EMPTY: &[u8] = b"\0\0\0\0\x0c\0\0\xde\x57\xda\x40\x1c";

    #[test]
    fn directory_is_linear_as_long_as_one_block_holds_it() {
        // 24 bytes for . and .., 12 for each name: 338 names fill 4080 of 4084 bytes.
        let linear = built(&names(338), 1);
        assert_eq!((linear.data.len(), linear.indexed), (BLOCK, false));
        let indexed = built(&names(339), 1);
        assert_eq!((indexed.data.len(), indexed.indexed), (3 * BLOCK, true));
    }

    #[test]
    fn last_entry_reaches_to_the_tail() {
        let built = built(&names(2), 1);
        let mut at = 0;
        let mut seen = Vec::new();
        while at < ROOM {
            let (raw, rest) = RawDirEntry::ref_from_prefix(&built.data[at..]).unwrap();
            seen.push(rest[..raw.name_len.into()].to_vec());
            at += usize::from(raw.rec_len.get());
        }
        assert_eq!(at, ROOM);
        assert_eq!(seen, [&b"."[..], b"..", b"0000", b"0001"]);
    }

    #[test]
    fn min_blocks_do_not_pad_a_hash_tree() {
        assert_eq!(built(&names(339), 9).data.len(), 3 * BLOCK);
    }

    #[test]
    fn longest_names_fill_their_records() {
        assert_eq!(record_len(255), 264);
        assert_eq!(record_len(1), 12);
        assert_eq!(record_len(4), 12);
        assert_eq!(record_len(5), 16);
    }
}
