//! The header of a member of the archive: ustar, and its number form for members from 8 GiB on.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Length of a header, and the unit of members, in bytes.
pub(super) const BLOCK: u64 = 512;

/// The largest size that fits octal digits, in bytes.
const MAX_OCTAL: u64 = (1 << 33) - 1;

/// The header of a member.
#[derive(Clone, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct RawMember {
    /// 0x000
    name: [u8; 100],
    /// 0x064
    mode: [u8; 8],
    /// 0x06c
    uid: [u8; 8],
    /// 0x074
    gid: [u8; 8],
    /// 0x07c
    size: [u8; 12],
    /// 0x088
    mtime: [u8; 12],
    /// 0x094: the sum of all bytes, with spaces here.
    chksum: [u8; 8],
    /// 0x09c
    typeflag: u8,
    /// 0x09d
    linkname: [u8; 100],
    /// 0x101
    magic: [u8; 6],
    /// 0x107
    version: [u8; 2],
    /// 0x109
    uname: [u8; 32],
    /// 0x129
    gname: [u8; 32],
    /// 0x149
    devmajor: [u8; 8],
    /// 0x151
    devminor: [u8; 8],
    /// 0x159
    prefix: [u8; 155],
    /// 0x1f4
    pad: [u8; 12],
}

const _: () = assert!(size_of::<RawMember>() == 512);

/// A member of an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) name: String,
    /// In bytes.
    pub(super) size: u64,
    /// It is a file, and no record about one.
    pub(super) is_file: bool,
}

/// Returns the header of a file; `name` has 1 to 100 bytes.
pub(super) fn seal(name: &str, size: u64) -> [u8; 512] {
    let mut raw = RawMember::new_zeroed();
    for (to, from) in raw.name.iter_mut().zip(name.bytes()) {
        *to = from;
    }
    raw.mode = *b"0000644\0";
    raw.uid = *b"0000000\0";
    raw.gid = *b"0000000\0";
    raw.mtime = *b"00000000000\0";
    raw.typeflag = b'0';
    raw.magic = *b"ustar\0";
    raw.version = *b"00";
    if size <= MAX_OCTAL {
        copy(&mut raw.size, format!("{size:011o}\0").as_bytes());
    } else {
        let [a, b, c, d, e, f, g, h] = size.to_be_bytes();
        raw.size = [0x80, 0, 0, 0, a, b, c, d, e, f, g, h];
    }
    let sum = sum(&raw);
    copy(&mut raw.chksum, format!("{sum:06o}\0 ").as_bytes());
    zerocopy::transmute!(raw)
}

/// Reads a header; `None` for a block of zeros, and for one that is none.
pub(super) fn parse(block: [u8; 512]) -> Option<Member> {
    let raw: RawMember = zerocopy::transmute!(block);
    if octal(&raw.chksum)? != u64::from(sum(&raw)) {
        return None;
    }
    let size = match raw.size {
        [0x80, 0, 0, 0, a, b, c, d, e, f, g, h] => u64::from_be_bytes([a, b, c, d, e, f, g, h]),
        digits => octal(&digits)?,
    };
    let text = |field: &[u8]| {
        let bytes = field.split(|byte| *byte == 0).next().unwrap_or_default();
        String::from_utf8_lossy(bytes).into_owned()
    };
    let mut name = text(&raw.name);
    if raw.magic == *b"ustar\0" && raw.prefix.first().is_some_and(|byte| *byte != 0) {
        name = format!("{}/{name}", text(&raw.prefix));
    }
    Some(Member {
        name,
        size,
        is_file: matches!(raw.typeflag, b'0' | 0),
    })
}

/// Tells whether an archive that begins with this is one of a virtual machine.
pub(crate) fn is_appliance(block: &[u8; 512]) -> bool {
    let member = parse(*block);
    member
        .is_some_and(|member| member.is_file && member.name.to_ascii_lowercase().ends_with(".ovf"))
}

fn sum(raw: &RawMember) -> u32 {
    let mut unsealed = raw.clone();
    unsealed.chksum = [b' '; 8];
    // 512 bytes.
    let bytes = unsealed.as_bytes().iter();
    bytes.fold(0, |sum, byte| sum.wrapping_add(u32::from(*byte)))
}

fn octal(field: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(field).ok()?;
    let digits = text.trim_matches(['\0', ' ']);
    match digits.bytes().all(|digit| digit.is_ascii_digit()) {
        true => u64::from_str_radix(digits, 8).ok(),
        false => None,
    }
}

fn copy(to: &mut [u8], from: &[u8]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to = *from;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_come_back_and_a_second_opinion_agrees() {
        for size in [0, 1, 511, MAX_OCTAL, MAX_OCTAL + 1, 1 << 40] {
            let block = seal("a-disk1.vmdk", size);
            let member = parse(block).unwrap();
            let expected = Member {
                name: "a-disk1.vmdk".to_owned(),
                size,
                is_file: true,
            };
            assert_eq!(member, expected);
            let mut other = block;
            other[0] = b'b';
            assert_eq!(parse(other), None);
        }
        assert_eq!(parse([0; 512]), None);
        assert!(is_appliance(&seal("a.OVF", 1)) && !is_appliance(&seal("ovf", 1)));
    }
}
