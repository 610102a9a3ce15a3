//! Telling formats apart.

use crate::tar;

/// How many of the first bytes of a stream decide its format.
pub const HEAD: usize = 512;

/// A compression format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Format {
    /// Not compressed, as far as is known.
    Plain,
    /// gzip ([RFC 1952](https://www.rfc-editor.org/rfc/rfc1952)).
    Gzip,
    /// Zstandard ([RFC 8878](https://www.rfc-editor.org/rfc/rfc8878)).
    Zstd,
    /// xz ([the .xz file format](https://tukaani.org/xz/xz-file-format.txt)).
    Xz,
    /// bzip2.
    Bzip2,
}

impl std::fmt::Display for Format {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Plain => "plain",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Xz => "xz",
            Self::Bzip2 => "bzip2",
        })
    }
}

/// Tells a stream's format from its first [`HEAD`] bytes, or all of them if there are fewer.
///
/// A tar archive is plain, even if its first member's name looks like a compressed stream.
#[must_use]
pub fn detect(head: &[u8]) -> Format {
    if tar::is_header(head) {
        return Format::Plain;
    }
    match head {
        [0x1f, 0x8b, 8, ..] => Format::Gzip,
        // A frame, or a frame to be skipped.
        [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Format::Zstd,
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Format::Xz,
        [b'B', b'Z', b'h', b'1'..=b'9', block @ ..] if is_bzip2(block) => Format::Bzip2,
        _ => Format::Plain,
    }
}

/// Tells whether a block, or the end of an empty stream, follows: the digits of pi, or its root.
fn is_bzip2(block: &[u8]) -> bool {
    block.starts_with(&[0x31, 0x41, 0x59, 0x26, 0x53, 0x59])
        || block.starts_with(&[0x17, 0x72, 0x45, 0x38, 0x50, 0x90])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_told_by_their_first_bytes() {
        for (head, format) in [
            (&b"\x1f\x8b\x08\0"[..], Format::Gzip),
            (b"\x1f\x8b\x07\0", Format::Plain),
            (b"\x28\xb5\x2f\xfd\0", Format::Zstd),
            (b"\x5a\x2a\x4d\x18\0", Format::Zstd),
            (b"\xfd7zXZ\0\0", Format::Xz),
            (b"BZh91AY&SY", Format::Bzip2),
            (b"BZh9\x17\x72\x45\x38\x50\x90", Format::Bzip2),
            (b"BZh9 is a name", Format::Plain),
            (b"", Format::Plain),
            (b"\x1f", Format::Plain),
        ] {
            assert_eq!(detect(head), format, "{}", head.escape_ascii());
        }
    }

    #[test]
    fn tar_whose_first_name_is_a_magic_number_is_plain() {
        let mut header = ::tar::Header::new_gnu();
        header.set_path("BZh91AY&SY").unwrap();
        header.set_size(0);
        header.set_cksum();
        assert_eq!(detect(header.as_bytes()), Format::Plain);
    }
}
