//! One node that is no folder.

use rustix::fd::{AsFd, BorrowedFd};
use rustix::fs::{FileType, Mode, OFlags, makedev, mknodat, openat, symlinkat};
use rustix::io::Errno;

use super::meta::Handle;
use super::{Kept, WriteError, Writer};
use crate::tree::{Device, Kind, Visit};

impl Writer<'_> {
    /// Makes a node under a new name, with its metadata; tells whether it is there then.
    pub(super) fn node(
        &mut self,
        parent: BorrowedFd<'_>,
        visit: Visit<'_>,
        path: &[u8],
    ) -> Result<bool, WriteError> {
        let node = self.tree.node(visit.node);
        let io = |errno| WriteError::io("make", path, errno);
        let name = visit.name;
        if let Kind::File(content) = &node.kind {
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
            let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let file = openat(parent, name, flags, Mode::RUSR | Mode::WUSR).map_err(io)?;
            self.content(file.as_fd(), content, path)?;
            self.metadata(&Handle::Open(file.as_fd()), &node.meta, path)?;
            return Ok(true);
        }
        let made = match &node.kind {
            Kind::Symlink(target) => symlinkat(&**target, parent, name),
            Kind::CharDevice(device) => special(parent, name, FileType::CharacterDevice, *device),
            Kind::BlockDevice(device) => special(parent, name, FileType::BlockDevice, *device),
            Kind::Fifo => special(parent, name, FileType::Fifo, Device::default()),
            _ => special(parent, name, FileType::Socket, Device::default()),
        };
        let device = matches!(node.kind, Kind::CharDevice(_) | Kind::BlockDevice(_));
        match made {
            Err(errno @ (Errno::PERM | Errno::ACCESS)) if device => {
                self.not_kept(Kept::Devices, path, errno)?;
                return Ok(false);
            }
            made => made.map_err(io)?,
        }
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let handle = openat(parent, name, flags, Mode::empty()).map_err(io)?;
        let symlink = matches!(node.kind, Kind::Symlink(_));
        self.metadata(&Handle::Path(handle.as_fd(), symlink), &node.meta, path)?;
        Ok(true)
    }

    /// Gives a node its inode flags, where it has any.
    pub(super) fn flags_of_node(
        &mut self,
        parent: BorrowedFd<'_>,
        visit: Visit<'_>,
        path: &[u8],
    ) -> Result<(), WriteError> {
        let node = self.tree.node(visit.node);
        if node.meta.flags.0 == 0 {
            return Ok(());
        }
        if !matches!(node.kind, Kind::File(_)) {
            return self.not_kept(Kept::Flags, path, Errno::OPNOTSUPP);
        }
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match openat(parent, visit.name, flags, Mode::empty()) {
            Ok(file) => self.flags(file.as_fd(), node.meta.flags, path),
            Err(errno @ (Errno::PERM | Errno::ACCESS)) => self.not_kept(Kept::Flags, path, errno),
            Err(errno) => Err(WriteError::io("open", path, errno)),
        }
    }
}

fn special(
    parent: BorrowedFd<'_>,
    name: &[u8],
    kind: FileType,
    device: Device,
) -> Result<(), Errno> {
    let device = makedev(device.major, device.minor);
    mknodat(parent, name, kind, Mode::RUSR | Mode::WUSR, device)
}
