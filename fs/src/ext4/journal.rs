//! The journal's superblock (JBD2), the one structure of ext4 in big-endian order.
//!
//! See [Journal (jbd2)](https://docs.kernel.org/filesystems/ext4/journal.html). A clean journal is its
//! superblock and blocks that nobody reads.

use zerocopy::big_endian::U32;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// `h_magic` of every block the journal owns.
pub(crate) const MAGIC: u32 = 0xc03b_3998;
/// `h_blocktype`: a superblock of version 2.
pub(crate) const SUPERBLOCK_V2: u32 = 4;
/// Length of the superblock in bytes.
pub(crate) const SIZE: usize = 1024;

/// The journal's superblock as it stands on disk.
#[derive(Clone, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct RawJournalSuperblock {
    /// 0x00: [`MAGIC`].
    pub(crate) h_magic: U32,
    /// 0x04: [`SUPERBLOCK_V2`].
    pub(crate) h_blocktype: U32,
    /// 0x08: transaction id (0).
    pub(crate) h_sequence: U32,
    /// 0x0c: block size in bytes.
    pub(crate) s_blocksize: U32,
    /// 0x10: number of blocks.
    pub(crate) s_maxlen: U32,
    /// 0x14: first block of log.
    pub(crate) s_first: U32,
    /// 0x18: first transaction id to expect.
    pub(crate) s_sequence: U32,
    /// 0x1c: block where the log starts; 0 is a clean journal.
    pub(crate) s_start: U32,
    /// 0x20: error number of an aborted journal.
    pub(crate) s_errno: U32,
    /// 0x24: compatible features.
    pub(crate) s_feature_compat: U32,
    /// 0x28: incompatible features.
    pub(crate) s_feature_incompat: U32,
    /// 0x2c: features that forbid writing.
    pub(crate) s_feature_ro_compat: U32,
    /// 0x30: uuid of the journal: that of the filesystem.
    pub(crate) s_uuid: [u8; 16],
    /// 0x40: filesystems that share the journal.
    pub(crate) s_nr_users: U32,
    /// 0x44: place of a copy of this block (unused).
    pub(crate) s_dynsuper: U32,
    /// 0x48: journal blocks per transaction at most (unused).
    pub(crate) s_max_transaction: U32,
    /// 0x4c: data blocks per transaction at most (unused).
    pub(crate) s_max_trans_data: U32,
    /// 0x50: kind of checksum: 4 is CRC-32C.
    pub(crate) s_checksum_type: u8,
    /// 0x51: padding.
    pub(crate) s_padding2: [u8; 3],
    /// 0x54: fast-commit blocks at the end.
    pub(crate) s_num_fc_blks: U32,
    /// 0x58: head of the log of a clean journal.
    pub(crate) s_head: U32,
    /// 0x5c: padding.
    pub(crate) s_padding: [U32; 40],
    /// 0xfc: checksum of the superblock, with the checksum features.
    pub(crate) s_checksum: U32,
    /// 0x100: uuids of the filesystems that share the journal.
    pub(crate) s_users: [u8; 768],
}

const _: () = {
    use std::mem::{offset_of, size_of};
    assert!(size_of::<RawJournalSuperblock>() == SIZE);
    assert!(offset_of!(RawJournalSuperblock, s_uuid) == 0x30);
    assert!(offset_of!(RawJournalSuperblock, s_checksum) == 0xfc);
};

/// Returns the superblock of a clean journal of so many 4 KiB blocks.
pub(crate) fn superblock(blocks: u32, uuid: &[u8; 16]) -> [u8; SIZE] {
    let mut raw: RawJournalSuperblock = zerocopy::FromZeros::new_zeroed();
    raw.h_magic = MAGIC.into();
    raw.h_blocktype = SUPERBLOCK_V2.into();
    raw.s_blocksize = 4096.into();
    raw.s_maxlen = blocks.into();
    raw.s_first = 1.into();
    raw.s_sequence = 1.into();
    raw.s_uuid = *uuid;
    raw.s_nr_users = 1.into();
    zerocopy::transmute!(raw)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn journal_superblock_equals_that_of_mke2fs() {
        let uuid = *b"\x01\x23\x45\x67\x89\xab\xcd\xef\x01\x23\x45\x67\x89\xab\xcd\xef";
        let mut expected = [0; SIZE];
        expected[..32].copy_from_slice(
            b"\xc0\x3b\x39\x98\0\0\0\x04\0\0\0\0\0\0\x10\0\0\0\x04\0\0\0\0\x01\0\0\0\x01\0\0\0\0",
        );
        expected[48..64].copy_from_slice(&uuid);
        expected[64..68].copy_from_slice(b"\0\0\0\x01");
        assert_eq!(superblock(1024, &uuid), expected);
    }
}
