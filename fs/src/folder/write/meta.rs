//! Owners, modes, times, attributes and flags of what was made.

use std::collections::BTreeMap;
use std::fmt;

use rustix::fd::{AsRawFd, BorrowedFd};
use rustix::fs::{
    AtFlags, CWD, Gid, IFlags, Mode, Timespec, Timestamps, Uid, XattrFlags, chmod, chownat, fchmod,
    fsetxattr, fstat, futimens, ioctl_getflags, ioctl_setflags, setxattr, utimensat,
};
use rustix::io::Errno;

use super::{WriteError, Writer};
use crate::tree::{InodeFlags, Meta, NodeId, Time};

/// A kind of fact that may not be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Kept {
    /// Owning user and group.
    Owners,
    /// Setuid and setgid bits.
    SetIds,
    /// Permission bits of special files, where `/proc` is missing.
    Modes,
    /// Device nodes; they are not there at all.
    Devices,
    /// Extended attributes and ACLs.
    Xattrs,
    /// Inode flags.
    Flags,
    /// Project ids.
    Projects,
}

impl fmt::Display for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Owners => "the owner",
            Self::SetIds => "the setuid or setgid bit",
            Self::Modes => "the mode",
            Self::Devices => "the device",
            Self::Xattrs => "an extended attribute",
            Self::Flags => "the inode flags",
            Self::Projects => "the project id",
        })
    }
}

/// What could not be kept: how many entries of each kind, and one of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NotKept(pub BTreeMap<Kept, (u64, Vec<u8>)>);

/// How a node is held while its metadata is set.
pub(super) enum Handle<'a> {
    /// Open for reading or writing.
    Open(BorrowedFd<'a>),
    /// A path only; and whether it is a symlink.
    Path(BorrowedFd<'a>, bool),
}

impl Handle<'_> {
    fn fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Open(fd) | Self::Path(fd, _) => *fd,
        }
    }

    /// Returns a path that leads to just this node.
    fn proc(&self) -> String {
        format!("/proc/self/fd/{}", self.fd().as_raw_fd())
    }

    fn chown(&self, uid: Option<u32>, gid: Option<u32>) -> Result<(), Errno> {
        let (uid, gid) = (uid.map(Uid::from_raw), gid.map(Gid::from_raw));
        chownat(self.fd(), "", uid, gid, AtFlags::EMPTY_PATH)
    }

    fn chmod(&self, mode: u16) -> Result<(), Errno> {
        let mode = Mode::from_raw_mode(mode.into());
        match self {
            Self::Open(fd) => fchmod(fd, mode),
            Self::Path(_, true) => Ok(()),
            Self::Path(_, false) => chmod(self.proc(), mode),
        }
    }

    fn set_xattr(&self, name: &[u8], value: &[u8]) -> Result<(), Errno> {
        match self {
            Self::Open(fd) => fsetxattr(fd, name, value, XattrFlags::empty()),
            Self::Path(..) => setxattr(self.proc(), name, value, XattrFlags::empty()),
        }
    }

    fn set_times(&self, times: &Timestamps) -> Result<(), Errno> {
        match self {
            Self::Open(fd) => futimens(fd, times),
            Self::Path(fd, _) => match utimensat(fd, "", times, AtFlags::EMPTY_PATH) {
                // Before Linux 5.8.
                Err(Errno::INVAL) => utimensat(CWD, self.proc(), times, AtFlags::empty()),
                set => set,
            },
        }
    }
}

/// Tells whether an operation is not for this caller, or not for this filesystem.
fn is_refused(errno: Errno) -> bool {
    matches!(
        errno,
        Errno::PERM
            | Errno::ACCESS
            | Errno::OPNOTSUPP
            | Errno::NOTTY
            | Errno::NOSYS
            | Errno::INVAL
            | Errno::TOOBIG
            | Errno::RANGE
            | Errno::OVERFLOW
            // There is no `/proc`, by which alone some nodes can be reached.
            | Errno::NOENT
    )
}

impl Writer<'_> {
    /// Counts what could not be kept, or refuses it.
    pub(super) fn not_kept(
        &mut self,
        what: Kept,
        path: &[u8],
        errno: Errno,
    ) -> Result<(), WriteError> {
        if self.options.strict {
            return Err(WriteError::NotKept {
                path: crate::tree::shown(path),
                what,
                source: errno.into(),
            });
        }
        let (count, _) = self
            .not_kept
            .0
            .entry(what)
            .or_insert_with(|| (0, path.to_vec()));
        *count += 1;
        Ok(())
    }

    /// Passes success on, and counts a refusal once.
    fn kept(
        &mut self,
        result: Result<(), Errno>,
        what: Kept,
        path: &[u8],
    ) -> Result<bool, WriteError> {
        match result {
            Ok(()) => Ok(true),
            Err(errno) if is_refused(errno) => self.not_kept(what, path, errno).map(|()| false),
            Err(errno) => Err(WriteError::io("set the metadata of", path, errno)),
        }
    }

    /// Gives a node all metadata but its inode flags.
    ///
    /// In this order: a change of owner takes setuid bits and capabilities away, an ACL is a part
    /// of the mode.
    pub(super) fn metadata(
        &mut self,
        handle: &Handle<'_>,
        meta: &Meta,
        path: &[u8],
    ) -> Result<(), WriteError> {
        let mode = self.owner(handle, meta, path)?;
        let set = handle.chmod(mode);
        self.kept(set, Kept::Modes, path)?;
        let mut refused = None;
        for (name, value) in &meta.xattrs {
            match handle.set_xattr(name, value) {
                Err(errno) if is_refused(errno) => refused = Some(errno),
                set => set
                    .map_err(|errno| WriteError::io("set an extended attribute of", path, errno))?,
            }
        }
        if let Some(errno) = refused {
            self.not_kept(Kept::Xattrs, path, errno)?;
        }
        if meta.project != 0 {
            self.not_kept(Kept::Projects, path, Errno::OPNOTSUPP)?;
        }
        if let Some(mtime) = meta.mtime {
            let times = Timestamps {
                last_access: timespec(meta.atime.unwrap_or(mtime)),
                last_modification: timespec(mtime),
            };
            handle
                .set_times(&times)
                .map_err(|errno| WriteError::io("set the times of", path, errno))?;
        }
        Ok(())
    }

    /// Gives a node its owner; returns the mode that it may have then.
    fn owner(&mut self, handle: &Handle<'_>, meta: &Meta, path: &[u8]) -> Result<u16, WriteError> {
        if handle.chown(Some(meta.uid), Some(meta.gid)).is_ok() {
            return Ok(meta.mode);
        }
        // The group alone may be one of the caller's.
        let _ = handle.chown(None, Some(meta.gid));
        let is = fstat(handle.fd()).map_err(|errno| WriteError::io("examine", path, errno))?;
        let (user, group) = (is.st_uid == meta.uid, is.st_gid == meta.gid);
        if !(user && group) {
            self.not_kept(Kept::Owners, path, Errno::PERM)?;
        }
        let mut mode = meta.mode;
        if !user {
            mode &= !0o4000;
        }
        // On a folder the bit hands the group on; it gives nobody rights.
        if !group && !rustix::fs::FileType::from_raw_mode(is.st_mode).is_dir() {
            mode &= !0o2000;
        }
        if mode != meta.mode {
            self.not_kept(Kept::SetIds, path, Errno::PERM)?;
        }
        Ok(mode)
    }

    /// Gives a folder its metadata, after all in it is there.
    pub(super) fn finish(
        &mut self,
        node: NodeId,
        fd: BorrowedFd<'_>,
        path: &[u8],
    ) -> Result<(), WriteError> {
        let node = self.tree.node(node);
        // Nobody said anything of an implied folder.
        let implied = Meta {
            mode: 0o755,
            ..Meta::default()
        };
        let meta = match node.implied() {
            true => implied,
            false => node.meta.clone(),
        };
        self.metadata(&Handle::Open(fd), &meta, path)?;
        match meta.flags.0 {
            0 => Ok(()),
            _ => self.flags(fd, meta.flags, path),
        }
    }

    /// Gives an open file or folder its inode flags, beside those it has.
    pub(super) fn flags(
        &mut self,
        fd: BorrowedFd<'_>,
        flags: InodeFlags,
        path: &[u8],
    ) -> Result<(), WriteError> {
        let set = ioctl_getflags(fd).and_then(|has| {
            let own = IFlags::from_bits_retain(has.bits() | flags.0);
            ioctl_setflags(fd, own)
        });
        self.kept(set, Kept::Flags, path).map(drop)
    }
}

fn timespec(time: Time) -> Timespec {
    Timespec {
        tv_sec: time.sec,
        tv_nsec: time.nsec.into(),
    }
}
