//! What format an image file has.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

use std::fmt;

use forger_block::{BlockRead, Result};

use crate::android_sparse::header;
use crate::foreign;
use crate::ova::header::is_appliance;
use crate::vhd::footer;
use crate::vhdx::layout;

/// A format of disk images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Format {
    /// The disk's bytes and nothing else.
    Raw,
    /// QEMU's format, versions 2 and 3.
    Qcow2,
    /// Virtual PC's and Azure's format.
    Vhd,
    /// Hyper-V's format.
    Vhdx,
    /// VMware's format, as one sparse file.
    Vmdk,
    /// Android's format for what is flashed.
    AndroidSparse,
    /// A virtual machine around a VMDK, in an archive.
    Ova,
    /// One that is told by its magic and not read, by its name.
    Foreign(&'static str),
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Raw => "raw",
            Self::Qcow2 => "qcow2",
            Self::Vhd => "vhd",
            Self::Vhdx => "vhdx",
            Self::Vmdk => "vmdk",
            Self::AndroidSparse => "android-sparse",
            Self::Ova => "ova",
            Self::Foreign(name) => name,
        })
    }
}

/// Tells the format of an image file by its first bytes, that of a fixed VHD or a DMG by its last; what is
/// not known is [`Format::Raw`].
///
/// Whoever can write into a raw disk can make it look like another format. That has no
/// consequences beyond a wrong content: no format makes this crate read other files.
///
/// # Errors
/// Those of the file.
pub fn detect(file: &dyn BlockRead) -> Result<Format> {
    let mut block = [0; 512];
    let have = usize::try_from(file.len()).unwrap_or(usize::MAX);
    let head = block.get_mut(..have.min(512)).unwrap_or_default();
    file.read_at(0, head)?;
    let appliance = |head: &[u8]| head.try_into().is_ok_and(is_appliance);
    Ok(match *head {
        [b'Q', b'F', b'I', 0xfb, ..] => Format::Qcow2,
        [b'K', b'D', b'M', b'V', ..] => Format::Vmdk,
        [a, b, c, d, 1, 0, ..] if [a, b, c, d] == header::MAGIC => Format::AndroidSparse,
        _ if head.starts_with(&layout::FILE_SIGNATURE) => Format::Vhdx,
        _ if head.starts_with(&footer::COOKIE) => Format::Vhd,
        _ if appliance(head) => Format::Ova,
        _ => match foreign::named(head) {
            Some(name) => Format::Foreign(name),
            None => by_trailer(file)?,
        },
    })
}

/// Tells a format by the last bytes of a file.
fn by_trailer(file: &dyn BlockRead) -> Result<Format> {
    let Some(end) = file.len().checked_sub(512) else {
        return Ok(Format::Raw);
    };
    let mut magic = [0; 8];
    file.read_at(end, &mut magic)?;
    Ok(match magic {
        footer::COOKIE if file.len().is_multiple_of(512) => Format::Vhd,
        _ if magic.starts_with(foreign::DMG_TRAILER) => Format::Foreign(foreign::DMG),
        _ => Format::Raw,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_told_by_their_magic() {
        let format = |bytes: &[u8]| detect(&bytes.to_vec()).unwrap();
        assert_eq!(format(b"QFI\xfb\0\0\0\x02"), Format::Qcow2);
        assert_eq!(format(b"QFI\xfb\0\0\0\x03 and so on"), Format::Qcow2);
        // No version that is read, and no raw disk either.
        assert_eq!(format(b"QFI\xfb\0\0\0\x01"), Format::Qcow2);
        assert_eq!(format(b"QED\0"), Format::Foreign("QED image"));
        let vdi = |at| [&vec![b'<'; at][..], &[0x7f, 0x10, 0xda, 0xbe]].concat();
        assert_eq!(format(&vdi(0x40)), Format::Foreign("VDI image"));
        assert_eq!(format(&vdi(0x3f)), Format::Raw);
        let dmg = [&[0; 100][..], b"koly", &[0; 508]].concat();
        assert_eq!(format(&dmg), Format::Foreign("DMG image"));
        assert_eq!(format(b"QFI"), Format::Raw);
        assert_eq!(format(b""), Format::Raw);
        assert_eq!(format(b"vhdxfile"), Format::Vhdx);
        assert_eq!(format(b"conectix"), Format::Vhd);
        assert_eq!(format(b"KDMV\x01\0\0\0"), Format::Vmdk);
        assert_eq!(format(b"\x3a\xff\x26\xed\x01\0\0\0"), Format::AndroidSparse);
        assert_eq!(format(b"\x3a\xff\x26\xed\x02\0\0\0"), Format::Raw);
        let fixed = [&[0; 3584][..], b"conectix", &[0; 504]].concat();
        assert_eq!(format(&fixed), Format::Vhd);
    }
}
