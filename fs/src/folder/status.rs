//! What the operating system says about an entry.

use rustix::fd::{AsFd, BorrowedFd};
use rustix::fs::{AtFlags, FileType, Statx, StatxFlags, statx};
use rustix::io::Result;

use super::device;
use crate::tree::{Device, Time};

/// What makes a file the same file: its device and inode number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Identity {
    pub(super) device: Device,
    pub(super) inode: u64,
}

/// What the operating system says about an entry.
#[derive(Clone, Copy, Debug)]
pub(super) struct Status {
    pub(super) kind: FileType,
    pub(super) identity: Identity,
    pub(super) mode: u16,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) links: u32,
    /// Length in bytes.
    pub(super) size: u64,
    pub(super) mtime: Time,
    /// The device that a device node stands for.
    pub(super) device: Device,
}

impl Status {
    /// Examines a name in an open folder, without following it.
    pub(super) fn of(folder: BorrowedFd<'_>, name: &[u8]) -> Result<Self> {
        let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
        statx(folder, name, flags, StatxFlags::BASIC_STATS).map(Self::from)
    }

    /// Examines what is open.
    pub(super) fn of_fd(fd: impl AsFd) -> Result<Self> {
        statx(fd, c"", AtFlags::EMPTY_PATH, StatxFlags::BASIC_STATS).map(Self::from)
    }
}

impl From<Statx> for Status {
    fn from(stat: Statx) -> Self {
        Self {
            kind: FileType::from_raw_mode(stat.stx_mode.into()),
            identity: Identity {
                device: device(stat.stx_dev_major, stat.stx_dev_minor),
                inode: stat.stx_ino,
            },
            mode: stat.stx_mode & 0o7777,
            uid: stat.stx_uid,
            gid: stat.stx_gid,
            links: stat.stx_nlink,
            size: stat.stx_size,
            mtime: Time {
                sec: stat.stx_mtime.tv_sec,
                nsec: stat.stx_mtime.tv_nsec,
            },
            device: device(stat.stx_rdev_major, stat.stx_rdev_minor),
        }
    }
}
