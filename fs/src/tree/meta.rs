//! What every node carries beside its content: owner, mode, times, flags, extended attributes.

use std::collections::BTreeMap;

/// A point in time: seconds since 1970-01-01T00:00:00Z, and nanoseconds (below 10^9) after it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time {
    /// Whole seconds; negative before 1970.
    pub sec: i64,
    /// Nanoseconds to add, 0..=999,999,999.
    pub nsec: u32,
}

impl Time {
    /// Makes a time of whole seconds.
    #[must_use]
    pub fn from_sec(sec: i64) -> Self {
        Self { sec, nsec: 0 }
    }
}

/// A device number, as wide as Linux can pass it: 12 bits of major, 20 bits of minor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Device {
    /// The driver's number.
    pub major: u32,
    /// The driver's own number for the device.
    pub minor: u32,
}

/// Inode flags as Linux' `FS_IOC_GETFLAGS` gives them (`chattr`, `FS_*_FL`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InodeFlags(pub u32);

impl InodeFlags {
    /// `s`: overwrite on deletion.
    pub const SECURE_DELETE: u32 = 0x1;
    /// `u`: keep for undeletion.
    pub const UNDELETE: u32 = 0x2;
    /// `c`: compress.
    pub const COMPRESS: u32 = 0x4;
    /// `S`: synchronous updates.
    pub const SYNC: u32 = 0x8;
    /// `i`: immutable.
    pub const IMMUTABLE: u32 = 0x10;
    /// `a`: append only.
    pub const APPEND: u32 = 0x20;
    /// `d`: no dump.
    pub const NODUMP: u32 = 0x40;
    /// `A`: no atime updates.
    pub const NOATIME: u32 = 0x80;
    /// `j`: journal the data.
    pub const JOURNAL_DATA: u32 = 0x4000;
    /// `t`: no tail merging.
    pub const NOTAIL: u32 = 0x8000;
    /// `D`: synchronous directory updates.
    pub const DIRSYNC: u32 = 0x1_0000;
    /// `T`: top of a directory hierarchy.
    pub const TOPDIR: u32 = 0x2_0000;
    /// `C`: no copy on write.
    pub const NOCOW: u32 = 0x80_0000;
    /// `P`: new files inherit the project id.
    pub const PROJECT_INHERIT: u32 = 0x2000_0000;
    /// All of these.
    pub const ALL: u32 = Self::SECURE_DELETE
        | Self::UNDELETE
        | Self::COMPRESS
        | Self::SYNC
        | Self::IMMUTABLE
        | Self::APPEND
        | Self::NODUMP
        | Self::NOATIME
        | Self::JOURNAL_DATA
        | Self::NOTAIL
        | Self::DIRSYNC
        | Self::TOPDIR
        | Self::NOCOW
        | Self::PROJECT_INHERIT;
}

/// Extended attributes: full name (`security.capability`) to value, in order of name.
///
/// POSIX ACLs are the attributes `system.posix_acl_access` and `system.posix_acl_default` in the
/// kernel's attribute form (version 2), see [`acl`](crate::tree::acl).
pub type Xattrs = BTreeMap<Box<[u8]>, Box<[u8]>>;

/// All metadata of a node; what is `None` was not in the source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Meta {
    /// Permission bits with setuid, setgid and sticky: 0..=0o7777.
    pub mode: u16,
    /// Owning user id.
    pub uid: u32,
    /// Owning group id.
    pub gid: u32,
    /// Time of the last change of the content; `None` becomes the image's time.
    pub mtime: Option<Time>,
    /// Time of the last access; `None` becomes the mtime.
    pub atime: Option<Time>,
    /// Time of the last change of the metadata; `None` becomes the mtime.
    pub ctime: Option<Time>,
    /// Time of creation; `None` becomes the mtime.
    pub crtime: Option<Time>,
    /// Inode flags.
    pub flags: InodeFlags,
    /// Project id of project quotas; 0 is the default project.
    pub project: u32,
    /// Extended attributes and ACLs.
    pub xattrs: Xattrs,
}
