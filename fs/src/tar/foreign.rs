//! What an input that is no tar archive looks like, for a message.

/// The first bytes of files that are mistaken for tar archives.
const MAGIC: [(&[u8], &str); 20] = [
    (b"PK\x03\x04", "a zip archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"070701", "a cpio archive"),
    (b"070702", "a cpio archive"),
    (b"070707", "a cpio archive"),
    (b"\xc7\x71", "a cpio archive"),
    (b"!<arch>\n", "an ar archive, perhaps a Debian package"),
    (b"\xed\xab\xee\xdb", "an RPM package"),
    (b"\x1f\x8b", "data compressed by gzip"),
    (b"\x28\xb5\x2f\xfd", "data compressed by zstd"),
    (b"\xfd7zXZ\0", "data compressed by xz"),
    (b"BZh", "data compressed by bzip2"),
    (
        b"\x04\x22\x4d\x18",
        "data compressed by lz4, which is not read",
    ),
    (b"LZIP", "data compressed by lzip, which is not read"),
    (b"\x89LZO", "data compressed by lzop, which is not read"),
    (b"\x5d\0\0", "data compressed by lzma, which is not read"),
    (
        b"\x1f\x9d",
        "data compressed by compress, which is not read",
    ),
    (b"hsqs", "a squashfs image"),
    (b"QFI\xfb", "a qcow2 image"),
    (b"\x7fELF", "a program"),
];

/// Tells what bytes look like, as the end of a sentence; empty if like nothing known.
pub(super) fn resemblance(head: &[u8]) -> String {
    let known = MAGIC.iter().find(|(magic, _)| head.starts_with(magic));
    known.map_or_else(String::new, |(_, what)| format!("; it looks like {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn input_of_another_kind_is_named() {
        assert_eq!(
            resemblance(b"PK\x03\x04\x14"),
            "; it looks like a zip archive"
        );
        assert_eq!(resemblance(b"plain text"), "");
        assert_eq!(resemblance(b""), "");
    }
}
