//! Inodes: 256 bytes each, of which the first 160 are fields and the rest extended attributes.
//!
//! See [Index Nodes](https://docs.kernel.org/filesystems/ext4/dynamic.html#index-nodes).
//!
//! ```text
//! 0x00  mode, owner, size, times (seconds), links, blocks, flags
//! 0x28  i_block: extent root, symlink target, device number, or block pointers
//! 0x64  generation, xattr block, high halves of the above, checksum (low half)
//! 0x80  i_extra_isize (32), checksum (high half), nanoseconds and epochs, crtime, project
//! 0xa0  extended attributes to the end
//! ```

use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::checksum::Seed;
use super::halves::{join_shorts, join_words, shorts, words};
use super::{BlockNo, InodeNo};
use crate::tree::{Device, Time};

/// Length of an inode in bytes, as the writer makes them.
pub(crate) const SIZE: usize = 256;
/// Length of the fields.
pub(crate) const FIELDS: usize = 160;
/// Room for extended attributes in the inode.
pub(crate) const TAIL: usize = SIZE - FIELDS;
/// `i_extra_isize`: bytes of fields beyond the first 128.
pub(crate) const EXTRA_ISIZE: u16 = 32;

/// File types: the upper four bits of `i_mode`.
pub(crate) mod mode {
    /// All type bits.
    pub(crate) const TYPE: u16 = 0o170_000;
    /// Named pipe.
    pub(crate) const FIFO: u16 = 0o010_000;
    /// Character device.
    pub(crate) const CHAR: u16 = 0o020_000;
    /// Directory.
    pub(crate) const DIRECTORY: u16 = 0o040_000;
    /// Block device.
    pub(crate) const BLOCK: u16 = 0o060_000;
    /// Regular file.
    pub(crate) const FILE: u16 = 0o100_000;
    /// Symbolic link.
    pub(crate) const SYMLINK: u16 = 0o120_000;
    /// Socket.
    pub(crate) const SOCKET: u16 = 0o140_000;
}

/// Inode flags beside those that users set with `chattr`.
pub(crate) mod flag {
    /// Encrypted content or names.
    pub(crate) const ENCRYPT: u32 = 0x800;
    /// The directory has a hash tree.
    pub(crate) const INDEX: u32 = 0x1000;
    /// `i_blocks` counts filesystem blocks, not sectors.
    pub(crate) const HUGE_FILE: u32 = 0x4_0000;
    /// `i_block` is the root of an extent tree.
    pub(crate) const EXTENTS: u32 = 0x8_0000;
    /// fs-verity metadata follows the content.
    pub(crate) const VERITY: u32 = 0x10_0000;
    /// The inode holds the value of a large extended attribute.
    pub(crate) const EA_INODE: u32 = 0x20_0000;
    /// The content is in the inode.
    pub(crate) const INLINE_DATA: u32 = 0x1000_0000;
    /// Names in the directory are case-insensitive.
    pub(crate) const CASEFOLD: u32 = 0x4000_0000;
}

/// The first 160 bytes of an inode as they stand on disk.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct RawInode {
    /// 0x00: type and permissions.
    pub(crate) i_mode: U16,
    /// 0x02: owner, low half.
    pub(crate) i_uid: U16,
    /// 0x04: size in bytes, low word.
    pub(crate) i_size_lo: U32,
    /// 0x08: last access, seconds.
    pub(crate) i_atime: U32,
    /// 0x0c: last change of the inode, seconds.
    pub(crate) i_ctime: U32,
    /// 0x10: last change of the content, seconds.
    pub(crate) i_mtime: U32,
    /// 0x14: deletion, seconds; the next orphan's number in the orphan list.
    pub(crate) i_dtime: U32,
    /// 0x18: group, low half.
    pub(crate) i_gid: U16,
    /// 0x1a: names; 1 on a directory with more than 65,000 subdirectories.
    pub(crate) i_links_count: U16,
    /// 0x1c: sectors of 512 bytes, low word.
    pub(crate) i_blocks_lo: U32,
    /// 0x20: flags.
    pub(crate) i_flags: U32,
    /// 0x24: version, low word.
    pub(crate) i_version_lo: U32,
    /// 0x28: extent root, symlink target, device number or block pointers.
    pub(crate) i_block: [u8; 60],
    /// 0x64: generation, for NFS.
    pub(crate) i_generation: U32,
    /// 0x68: block of extended attributes, low word.
    pub(crate) i_file_acl_lo: U32,
    /// 0x6c: size in bytes, high word.
    pub(crate) i_size_high: U32,
    /// 0x70: fragment (unused).
    pub(crate) i_obso_faddr: U32,
    /// 0x74: sectors, high half.
    pub(crate) i_blocks_high: U16,
    /// 0x76: block of extended attributes, high half.
    pub(crate) i_file_acl_high: U16,
    /// 0x78: owner, high half.
    pub(crate) i_uid_high: U16,
    /// 0x7a: group, high half.
    pub(crate) i_gid_high: U16,
    /// 0x7c: checksum, low half.
    pub(crate) i_checksum_lo: U16,
    /// 0x7e: reserved.
    pub(crate) i_reserved: U16,
    /// 0x80: bytes of fields beyond the first 128.
    pub(crate) i_extra_isize: U16,
    /// 0x82: checksum, high half.
    pub(crate) i_checksum_hi: U16,
    /// 0x84: epoch and nanoseconds of `i_ctime`.
    pub(crate) i_ctime_extra: U32,
    /// 0x88: epoch and nanoseconds of `i_mtime`.
    pub(crate) i_mtime_extra: U32,
    /// 0x8c: epoch and nanoseconds of `i_atime`.
    pub(crate) i_atime_extra: U32,
    /// 0x90: creation, seconds.
    pub(crate) i_crtime: U32,
    /// 0x94: its epoch and nanoseconds.
    pub(crate) i_crtime_extra: U32,
    /// 0x98: version, high word.
    pub(crate) i_version_hi: U32,
    /// 0x9c: project id.
    pub(crate) i_projid: U32,
}

const _: () = {
    use std::mem::{offset_of, size_of};
    assert!(size_of::<RawInode>() == FIELDS);
    assert!(offset_of!(RawInode, i_block) == 0x28);
    assert!(offset_of!(RawInode, i_generation) == 0x64);
    assert!(offset_of!(RawInode, i_checksum_lo) == CHECKSUM_LO);
    assert!(offset_of!(RawInode, i_extra_isize) == 0x80);
    assert!(offset_of!(RawInode, i_checksum_hi) == CHECKSUM_HI);
    assert!(offset_of!(RawInode, i_projid) == 0x9c);
};

/// Offset of `i_checksum_lo`.
pub(crate) const CHECKSUM_LO: usize = 0x7c;
/// Offset of `i_checksum_hi`.
pub(crate) const CHECKSUM_HI: usize = 0x82;

impl RawInode {
    /// Returns an inode of zeros with its `i_extra_isize`.
    pub(crate) fn new() -> Self {
        let mut raw: Self = zerocopy::FromZeros::new_zeroed();
        raw.i_extra_isize = EXTRA_ISIZE.into();
        raw
    }

    /// Sets the owner.
    pub(crate) fn set_owner(&mut self, uid: u32, gid: u32) {
        let ((uid_lo, uid_hi), (gid_lo, gid_hi)) = (shorts(uid), shorts(gid));
        self.i_uid = uid_lo.into();
        self.i_uid_high = uid_hi.into();
        self.i_gid = gid_lo.into();
        self.i_gid_high = gid_hi.into();
    }

    /// Sets the size in bytes.
    pub(crate) fn set_size(&mut self, size: u64) {
        let (lo, hi) = words(size);
        self.i_size_lo = lo.into();
        self.i_size_high = hi.into();
    }

    /// Sets the number of 4 KiB blocks the inode takes: content, extent blocks, xattr block.
    ///
    /// The field counts sectors up to 2^48 - 1 of them; beyond, blocks and the flag
    /// [`HUGE_FILE`](flag::HUGE_FILE).
    pub(crate) fn set_blocks(&mut self, blocks: u64) {
        const SECTORS_PER_BLOCK: u64 = 8;
        let sectors = blocks.saturating_mul(SECTORS_PER_BLOCK);
        let huge = sectors >= 1 << 48;
        let (lo, hi) = words(if huge { blocks } else { sectors });
        let flags = self.i_flags.get();
        self.i_flags = if huge {
            (flags | flag::HUGE_FILE).into()
        } else {
            (flags & !flag::HUGE_FILE).into()
        };
        self.i_blocks_lo = lo.into();
        self.i_blocks_high = shorts(hi).0.into();
    }

    /// Sets the block of extended attributes; block 0 is none.
    pub(crate) fn set_file_acl(&mut self, block: BlockNo) {
        let (lo, hi) = words(block.0);
        self.i_file_acl_lo = lo.into();
        self.i_file_acl_high = shorts(hi).0.into();
    }

    /// Sets a time of last access from its two words.
    pub(crate) fn set_atime(&mut self, (seconds, extra): (u32, u32)) {
        self.i_atime = seconds.into();
        self.i_atime_extra = extra.into();
    }

    /// Sets a time of last inode change from its two words.
    pub(crate) fn set_ctime(&mut self, (seconds, extra): (u32, u32)) {
        self.i_ctime = seconds.into();
        self.i_ctime_extra = extra.into();
    }

    /// Sets a time of last content change from its two words.
    pub(crate) fn set_mtime(&mut self, (seconds, extra): (u32, u32)) {
        self.i_mtime = seconds.into();
        self.i_mtime_extra = extra.into();
    }

    /// Sets a time of creation from its two words.
    pub(crate) fn set_crtime(&mut self, (seconds, extra): (u32, u32)) {
        self.i_crtime = seconds.into();
        self.i_crtime_extra = extra.into();
    }

    /// Returns the owner's user id.
    pub(crate) fn uid(&self) -> u32 {
        join_shorts(self.i_uid.get(), self.i_uid_high.get())
    }

    /// Returns the owner's group id.
    pub(crate) fn gid(&self) -> u32 {
        join_shorts(self.i_gid.get(), self.i_gid_high.get())
    }

    /// Returns the size in bytes as the two words have it.
    pub(crate) fn size(&self) -> u64 {
        join_words(self.i_size_lo.get(), self.i_size_high.get())
    }

    /// Returns `i_blocks` as the two parts have it.
    pub(crate) fn blocks_field(&self) -> u64 {
        join_words(self.i_blocks_lo.get(), self.i_blocks_high.get().into())
    }

    /// Returns the block of extended attributes; block 0 is none.
    pub(crate) fn file_acl(&self) -> BlockNo {
        BlockNo(join_words(
            self.i_file_acl_lo.get(),
            self.i_file_acl_high.get().into(),
        ))
    }
}

/// Returns a whole inode: its fields, the extended attributes in it (at most [`TAIL`] bytes), both
/// halves of the checksum.
pub(crate) fn encode(raw: RawInode, tail: &[u8], inode: InodeNo, seed: Seed) -> [u8; SIZE] {
    debug_assert!(tail.len() <= TAIL, "extended attributes fit the inode");
    let mut bytes = [0; SIZE];
    let raw = RawInode {
        i_checksum_lo: 0.into(),
        i_checksum_hi: 0.into(),
        ..raw
    };
    bytes[..FIELDS].copy_from_slice(raw.as_bytes());
    bytes[FIELDS..FIELDS + tail.len()].copy_from_slice(tail);
    let sum = seed
        .inode(inode, raw.i_generation.get())
        .checksum(&bytes)
        .to_le_bytes();
    bytes[CHECKSUM_LO..CHECKSUM_LO + 2].copy_from_slice(&sum[..2]);
    bytes[CHECKSUM_HI..CHECKSUM_HI + 2].copy_from_slice(&sum[2..]);
    bytes
}

/// The first second that an inode can hold: 1901-12-13T20:45:52Z.
pub(crate) const FIRST_SECOND: i64 = -(1 << 31);
/// The last second that an inode can hold: 2446-05-10T22:38:55Z.
pub(crate) const LAST_SECOND: i64 = (1 << 34) - (1 << 31) - 1;

/// The seconds that e2fsck reports: kernels before 3.14 wrote times before 1970 like these, with both bits
/// of the epoch and a negative word.
pub(crate) const MISREAD: std::ops::Range<i64> = 10_737_418_240..12_884_901_888;

/// Tells whether a time, 2310-04-04 to 2378-04-22, is taken by e2fsck for one before 1970.
pub(crate) fn is_misread(time: Time) -> bool {
    MISREAD.contains(&time.sec)
}

/// Returns the seconds word and the extra word (2 bits of epoch, 30 bits of nanoseconds) of a time,
/// or nothing for one outside 1901-12-13..=2446-05-10.
pub(crate) fn encode_time(time: Time) -> Option<(u32, u32)> {
    if !(FIRST_SECOND..=LAST_SECOND).contains(&time.sec) || time.nsec >= 1_000_000_000 {
        return None;
    }
    let (seconds, _) = words(time.sec.cast_unsigned());
    let epoch = time.sec.checked_sub(i64::from(seconds.cast_signed()))? >> 32;
    Some((seconds, u32::try_from(epoch).ok()? | time.nsec << 2))
}

/// Returns the time that a seconds word and an extra word mean.
///
/// Nanoseconds of 10^9 and more, which the format can hold but no clock shows, become 0.
pub(crate) fn decode_time(seconds: u32, extra: u32) -> Time {
    let epoch = i64::from(extra & 3) << 32;
    let nsec = extra >> 2;
    Time {
        sec: i64::from(seconds.cast_signed()).saturating_add(epoch),
        nsec: if nsec < 1_000_000_000 { nsec } else { 0 },
    }
}

/// Returns `i_block` of a device node: one word of 8 + 8 bits where both numbers are below 256, else
/// the second word with 12 + 20 bits. Nothing when a number is wider.
pub(crate) fn encode_device(device: Device) -> Option<[u8; 60]> {
    let Device { major, minor } = device;
    let mut block = [0; 60];
    if major < 1 << 8 && minor < 1 << 8 {
        block[..4].copy_from_slice(&(major << 8 | minor).to_le_bytes());
    } else if major < 1 << 12 && minor < 1 << 20 {
        let word = minor & 0xff | major << 8 | (minor & !0xff) << 12;
        block[4..8].copy_from_slice(&word.to_le_bytes());
    } else {
        return None;
    }
    Some(block)
}

/// Returns the device number in `i_block` of a device node.
pub(crate) fn decode_device(block: &[u8; 60]) -> Device {
    let word = |i: usize| u32::from_le_bytes([block[i], block[i + 1], block[i + 2], block[i + 3]]);
    match (word(0), word(4)) {
        (0, new) => Device {
            major: new >> 8 & 0xfff,
            minor: new & 0xff | new >> 12 & 0xf_ff00,
        },
        (old, _) => Device {
            major: old >> 8 & 0xff,
            minor: old & 0xff,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UUID: [u8; 16] = *b"\x01\x23\x45\x67\x89\xab\xcd\xef\x01\x23\x45\x67\x89\xab\xcd\xef";

    /// Inode 14 of an image of mke2fs: a character device 5:1.
    #[test]
    fn device_inode_equals_that_of_mke2fs() {
        let mut raw = RawInode::new();
        raw.i_mode = (mode::CHAR | 0o644).into();
        raw.set_atime((0x6b01_26d2, 0));
        raw.set_ctime((0x6b01_26d2, 0));
        raw.set_mtime((0x6b01_26d2, 0));
        raw.set_crtime((0x6553_f100, 0));
        raw.i_links_count = 1.into();
        raw.i_block = encode_device(Device { major: 5, minor: 1 }).unwrap();
        let bytes = encode(raw, &[], InodeNo(14), Seed::from_uuid(&UUID));
        assert_eq!(
            &bytes[..28],
            b"\xa4\x21\0\0\0\0\0\0\xd2\x26\x01\x6b\xd2\x26\x01\x6b\xd2\x26\x01\x6b\0\0\0\0\0\0\x01\0"
        );
        assert_eq!(&bytes[40..44], b"\x01\x05\0\0");
        assert_eq!(&bytes[0x7c..0x84], b"\xd5\x67\0\0\x20\0\x80\xf0");
        assert_eq!(&bytes[0x90..0x94], b"\x00\xf1\x53\x65");
    }

    #[test]
    fn times_from_1901_to_2446_survive() {
        for sec in [
            FIRST_SECOND,
            -1,
            0,
            (1 << 31) - 1,
            1 << 31,
            (1 << 32) - 1,
            1 << 32,
            (1 << 33) + 5,
            LAST_SECOND,
        ] {
            for nsec in [0, 1, 999_999_999] {
                let time = Time { sec, nsec };
                let (seconds, extra) = encode_time(time).unwrap();
                assert_eq!(decode_time(seconds, extra), time);
            }
        }
    }

    #[test]
    fn times_have_the_documented_words() {
        let at = |sec, nsec| encode_time(Time { sec, nsec });
        assert_eq!(at(-1, 0), Some((0xffff_ffff, 0)));
        assert_eq!(at(0xffff_ffff, 0), Some((0xffff_ffff, 1)));
        assert_eq!(at(0x8000_0000, 7), Some((0x8000_0000, 1 | 7 << 2)));
        assert_eq!(at(LAST_SECOND, 0), Some((0x7fff_ffff, 3)));
    }

    #[test]
    fn times_outside_the_range_are_refused() {
        assert_eq!(encode_time(Time::from_sec(FIRST_SECOND - 1)), None);
        assert_eq!(encode_time(Time::from_sec(LAST_SECOND + 1)), None);
        assert_eq!(encode_time(Time::from_sec(i64::MIN)), None);
        assert_eq!(encode_time(Time::from_sec(i64::MAX)), None);
    }

    #[test]
    fn nanoseconds_beyond_a_second_read_as_zero() {
        assert_eq!(decode_time(5, !3), Time::from_sec(5));
    }

    #[test]
    fn devices_survive_in_both_forms() {
        for (major, minor) in [
            (0, 0),
            (5, 1),
            (255, 255),
            (256, 0),
            (0, 256),
            (300, 70000),
            (4095, 0xf_ffff),
        ] {
            let device = Device { major, minor };
            assert_eq!(decode_device(&encode_device(device).unwrap()), device);
        }
    }

    #[test]
    fn wide_device_numbers_are_refused() {
        let device = |major, minor| Device { major, minor };
        assert_eq!(encode_device(device(4096, 0)), None);
        assert_eq!(encode_device(device(0, 1 << 20)), None);
    }

    #[test]
    fn block_counts_switch_to_blocks_beyond_48_bits_of_sectors() {
        let mut raw = RawInode::new();
        raw.set_blocks((1 << 45) - 1);
        assert_eq!(raw.blocks_field(), ((1 << 45) - 1) * 8);
        assert_eq!(raw.i_flags.get(), 0);
        raw.set_blocks(1 << 45);
        assert_eq!(raw.blocks_field(), 1 << 45);
        assert_eq!(raw.i_flags.get(), flag::HUGE_FILE);
        raw.set_blocks(3);
        assert_eq!((raw.blocks_field(), raw.i_flags.get()), (24, 0));
    }

    #[test]
    fn wide_owners_sizes_and_blocks_split_and_join() {
        let mut raw = RawInode::new();
        raw.set_owner(0x1_0002, 0x3_0004);
        raw.set_size(0x5_0000_0006);
        raw.set_file_acl(BlockNo(0x7_0000_0008));
        assert_eq!((raw.uid(), raw.gid()), (0x1_0002, 0x3_0004));
        assert_eq!(raw.size(), 0x5_0000_0006);
        assert_eq!(raw.file_acl(), BlockNo(0x7_0000_0008));
    }
}
