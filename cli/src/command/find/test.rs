//! What is looked for: every test must pass.

use forger_fs::ext4::{FileType, Inode, ReadError};
use forger_fs::source::Glob;
use forger_fs::tree::Xattrs;

use crate::args::size;

/// The tests that were asked for.
#[derive(Debug, Default)]
pub(super) struct Tests {
    pub(super) name: Option<Glob>,
    pub(super) types: Vec<FileType>,
    pub(super) permissions: Option<Permissions>,
    pub(super) uid: Option<u32>,
    pub(super) gid: Option<u32>,
    pub(super) size: Option<Size>,
    pub(super) xattr: Option<Glob>,
}

/// A mode to compare with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Permissions {
    /// Exactly these bits.
    Exactly(u16),
    /// At least these bits.
    All(u16),
    /// One of these bits.
    Any(u16),
}

/// A size in bytes to compare with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Size {
    Exactly(u64),
    Above(u64),
    Below(u64),
}

impl Tests {
    /// Tells whether a name alone passes.
    pub(super) fn pass_name(&self, name: &[u8]) -> bool {
        self.name.as_ref().is_none_or(|glob| glob.matches(name))
    }

    /// Tells whether a type passes.
    pub(super) fn pass_type(&self, file_type: FileType) -> bool {
        self.types.is_empty() || self.types.contains(&file_type)
    }

    /// Tells whether more than name and type must be known.
    pub(super) fn need_inode(&self) -> bool {
        self.permissions.is_some()
            || self.uid.is_some()
            || self.gid.is_some()
            || self.size.is_some()
            || self.xattr.is_some()
    }

    /// Tells whether an inode passes everything but the name.
    pub(super) fn pass(
        &self,
        inode: &Inode,
        xattrs: impl Fn() -> Result<Xattrs, ReadError>,
    ) -> Result<bool, ReadError> {
        let plain = self.pass_type(inode.file_type())
            && self
                .permissions
                .is_none_or(|permissions| permissions.fit(inode.mode()))
            && self.uid.is_none_or(|uid| uid == inode.uid())
            && self.gid.is_none_or(|gid| gid == inode.gid())
            && self
                .size
                .is_none_or(|size| inode.file_type() == FileType::File && size.fits(inode.size()));
        match &self.xattr {
            Some(glob) if plain => Ok(xattrs()?.keys().any(|name| glob.matches(name))),
            _ => Ok(plain),
        }
    }
}

impl Permissions {
    fn fit(self, mode: u16) -> bool {
        match self {
            Self::Exactly(bits) => mode == bits,
            Self::All(bits) => mode & bits == bits,
            // As with find, no bits at all are in every mode.
            Self::Any(bits) => bits == 0 || mode & bits != 0,
        }
    }
}

impl Size {
    fn fits(self, size: u64) -> bool {
        match self {
            Self::Exactly(bytes) => size == bytes,
            Self::Above(bytes) => size > bytes,
            Self::Below(bytes) => size < bytes,
        }
    }
}

/// Reads one letter of `--type`.
pub(super) fn parse_type(text: &str) -> Result<FileType, String> {
    Ok(match text {
        "f" | "file" => FileType::File,
        "d" | "directory" => FileType::Directory,
        "l" | "symlink" => FileType::Symlink,
        "c" | "char" => FileType::CharDevice,
        "b" | "block" => FileType::BlockDevice,
        "p" | "fifo" => FileType::Fifo,
        "s" | "socket" => FileType::Socket,
        _ => return Err("expected f, d, l, c, b, p or s".to_owned()),
    })
}

/// Reads `--perm`.
pub(super) fn parse_permissions(text: &str) -> Result<Permissions, String> {
    let (make, digits): (fn(u16) -> Permissions, &str) = match text.split_at_checked(1) {
        Some(("-", digits)) => (Permissions::All, digits),
        Some(("/", digits)) => (Permissions::Any, digits),
        _ => (Permissions::Exactly, text),
    };
    let octal = !digits.is_empty() && digits.bytes().all(|digit| matches!(digit, b'0'..=b'7'));
    u16::from_str_radix(digits, 8)
        .ok()
        .filter(|bits| octal && *bits <= 0o7777)
        .map(make)
        .ok_or_else(|| "expected an octal mode like 0644, -4000 (all bits) or /6000 (any)".into())
}

/// Reads `--size`.
pub(super) fn parse_size(text: &str) -> Result<Size, String> {
    match text.split_at_checked(1) {
        Some(("+", rest)) => size::parse(rest).map(Size::Above),
        Some(("-", rest)) => size::parse(rest).map(Size::Below),
        _ => size::parse(text).map(Size::Exactly),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_compared_as_find_compares_them() {
        let fits = |text: &str, mode| parse_permissions(text).unwrap().fit(mode);
        assert!(fits("644", 0o644) && fits("0644", 0o644) && !fits("644", 0o4644));
        assert!(fits("-4000", 0o4755) && !fits("-6000", 0o4755));
        assert!(fits("/6000", 0o4755) && fits("/6000", 0o2755) && !fits("/6000", 0o755));
        assert!(fits("/0", 0o644) && fits("-0", 0));
        for text in ["", "-", "/", "8", "10000", "u+s", "+644"] {
            assert!(parse_permissions(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_are_in_bytes() {
        assert_eq!(parse_size("+10M"), Ok(Size::Above(10 << 20)));
        assert_eq!(parse_size("-1k"), Ok(Size::Below(1024)));
        assert_eq!(parse_size("5"), Ok(Size::Exactly(5)));
        assert!(parse_size("x").is_err() && parse_size("+").is_err());
    }
}
