//! The entries in a block of a directory.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

use zerocopy::FromBytes;

use super::superblock::Superblock;
use crate::ext4::InodeNo;
use crate::ext4::damage::Damage;
use crate::ext4::dir::{RawDirEntry, file_type, record_len};
use crate::ext4::features::incompat;

/// An entry as it stands in a block.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Record<'a> {
    /// Its place in the block in bytes.
    pub(crate) offset: u32,
    /// Bytes to the next entry.
    pub(crate) len: usize,
    /// The inode; 0 is an unused entry.
    pub(crate) inode: InodeNo,
    /// One of [`file_type`]; 0 where the filesystem does not keep it.
    pub(crate) file_type: u8,
    /// The name.
    pub(crate) name: &'a [u8],
}

/// The entries of a block, or of one part of an inline directory.
pub(crate) struct Records<'a> {
    superblock: &'a Superblock,
    block: &'a [u8],
    at: usize,
}

impl<'a> Records<'a> {
    pub(crate) fn new(superblock: &'a Superblock, block: &'a [u8]) -> Self {
        Self {
            superblock,
            block,
            at: 0,
        }
    }

    /// Returns the place of the next entry.
    pub(crate) fn offset(&self) -> u32 {
        u32::try_from(self.at).unwrap_or(u32::MAX)
    }

    fn record(&self, rest: &'a [u8]) -> Result<Record<'a>, Damage> {
        let (raw, names) = RawDirEntry::read_from_prefix(rest)
            .map_err(|_| Damage::Structure("the entry is cut off"))?;
        let len = decode_len(raw.rec_len.get(), self.superblock.block_len());
        let name_len = usize::from(raw.name_len);
        let rule = if len < record_len(1) {
            "entries have at least 12 bytes"
        } else if !len.is_multiple_of(4) {
            "it is a multiple of 4"
        } else if len < record_len(name_len) {
            "the name does not fit"
        } else if len > rest.len() {
            "entries end with their block"
        } else {
            let filetype = self.superblock.has_incompat(incompat::FILETYPE);
            return Ok(Record {
                offset: self.offset(),
                len,
                inode: InodeNo(raw.inode.get()),
                file_type: if filetype {
                    raw.file_type
                } else {
                    file_type::UNKNOWN
                },
                name: names.get(..name_len).unwrap_or_default(),
            });
        };
        Err(Damage::field("rec_len", raw.rec_len.get(), rule))
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>, Damage>;

    /// Returns the next entry; after a damage there is none.
    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.block.get(self.at..).filter(|rest| !rest.is_empty())?;
        let record = self.record(rest);
        self.at = match &record {
            Ok(record) => self.at.saturating_add(record.len),
            Err(_) => self.block.len(),
        };
        Some(record)
    }
}

/// Returns the length that `rec_len` means; blocks of 64 KiB need more bits than it has.
pub(super) fn decode_len(rec_len: u16, block_len: usize) -> usize {
    let len = usize::from(rec_len);
    if block_len < 1 << 16 {
        len
    } else if rec_len == 0 || rec_len == u16::MAX {
        block_len
    } else {
        (len & 0xfffc) | (len & 3) << 16
    }
}
