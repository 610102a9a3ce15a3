//! What format an image file has.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

use std::fmt;

use forger_block::{BlockRead, Result};

use crate::android_sparse::header;
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
        })
    }
}

/// Tells the format of an image file by its first bytes, that of a fixed VHD by its last; what is
/// not known is [`Format::Raw`].
///
/// Whoever can write into a raw disk can make it look like another format. That has no
/// consequences beyond a wrong content: no format makes this crate read other files.
///
/// # Errors
/// Those of the file.
pub fn detect(file: &dyn BlockRead) -> Result<Format> {
    let mut magic = [0; 8];
    let have = usize::try_from(file.len()).unwrap_or(usize::MAX);
    let have = have.min(magic.len());
    if let Some(part) = magic.get_mut(..have) {
        file.read_at(0, part)?;
    }
    Ok(match magic {
        [b'Q', b'F', b'I', 0xfb, 0, 0, 0, 2 | 3] => Format::Qcow2,
        layout::FILE_SIGNATURE => Format::Vhdx,
        footer::COOKIE => Format::Vhd,
        [b'K', b'D', b'M', b'V', ..] => Format::Vmdk,
        [a, b, c, d, 1, 0, ..] if [a, b, c, d] == header::MAGIC => Format::AndroidSparse,
        _ if is_ova(file)? => Format::Ova,
        _ => match file.len().checked_sub(512) {
            Some(end) if file.len().is_multiple_of(512) => {
                file.read_at(end, &mut magic)?;
                match magic == footer::COOKIE {
                    true => Format::Vhd,
                    false => Format::Raw,
                }
            }
            _ => Format::Raw,
        },
    })
}

fn is_ova(file: &dyn BlockRead) -> Result<bool> {
    let mut block = [0; 512];
    if file.len() < 512 {
        return Ok(false);
    }
    file.read_at(0, &mut block)?;
    Ok(is_appliance(&block))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_told_by_their_magic() {
        let format = |bytes: &[u8]| detect(&bytes.to_vec()).unwrap();
        assert_eq!(format(b"QFI\xfb\0\0\0\x02"), Format::Qcow2);
        assert_eq!(format(b"QFI\xfb\0\0\0\x03 and so on"), Format::Qcow2);
        assert_eq!(format(b"QFI\xfb\0\0\0\x01"), Format::Raw);
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
