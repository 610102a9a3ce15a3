//! Extended attributes and inode flags of an entry.

use rustix::fd::{AsFd, AsRawFd, BorrowedFd};
use rustix::fs::{Access, fgetxattr, flistxattr, ioctl_getflags, lgetxattr, llistxattr};
use rustix::io::{Errno, Result};

use crate::tree::{InodeFlags, Xattrs};

/// The longest list or value that is read, in bytes; Linux has 64 KiB.
const LIMIT: usize = 1 << 20;

/// Reads the attributes of an open file or folder.
pub(super) fn of_fd(fd: impl AsFd, scratch: &mut Vec<u8>) -> Result<Xattrs> {
    let fd = fd.as_fd();
    read(
        scratch,
        |buffer| flistxattr(fd, buffer),
        |name, buffer| fgetxattr(fd, name, buffer),
    )
}

/// Reads the attributes of a name in an open folder, without following or opening it.
///
/// No system call takes a folder and a name, so the folder goes by its name in `/proc`; where that
/// is not mounted, by the entry's path on the host.
pub(super) fn of_name(
    folder: BorrowedFd<'_>,
    name: &[u8],
    host: &[u8],
    scratch: &mut Vec<u8>,
) -> Result<Xattrs> {
    let proc = format!("/proc/self/fd/{}", folder.as_raw_fd());
    if rustix::fs::access(&proc, Access::EXISTS).is_err() {
        return of_path(host, scratch);
    }
    of_path(&[proc.as_bytes(), b"/", name].concat(), scratch)
}

fn of_path(path: &[u8], scratch: &mut Vec<u8>) -> Result<Xattrs> {
    read(
        scratch,
        |buffer| llistxattr(path, buffer),
        |name, buffer| lgetxattr(path, name, buffer),
    )
}

/// Lists names, then gets the value of each.
fn read(
    scratch: &mut Vec<u8>,
    list: impl Fn(&mut [u8]) -> Result<usize>,
    get: impl Fn(&[u8], &mut [u8]) -> Result<usize>,
) -> Result<Xattrs> {
    let mut xattrs = Xattrs::new();
    let names = match grown(scratch, &list) {
        Ok([]) => return Ok(xattrs),
        Ok(names) => names.to_vec(),
        Err(Errno::OPNOTSUPP) => return Ok(xattrs),
        Err(errno) => return Err(errno),
    };
    for name in names.split(|&byte| byte == 0) {
        if !name.is_empty() {
            let value = grown(scratch, |buffer| get(name, buffer))?;
            xattrs.insert(name.into(), value.into());
        }
    }
    Ok(xattrs)
}

/// Calls with a larger and larger buffer until the answer fits.
fn grown(scratch: &mut Vec<u8>, call: impl Fn(&mut [u8]) -> Result<usize>) -> Result<&[u8]> {
    if scratch.len() < 4096 {
        scratch.resize(4096, 0);
    }
    loop {
        match call(scratch) {
            Ok(len) => return scratch.get(..len).ok_or(Errno::RANGE),
            Err(Errno::RANGE) if scratch.len() < LIMIT => {
                scratch.resize(scratch.len() * 2, 0);
            }
            Err(errno) => return Err(errno),
        }
    }
}

/// Reads the inode flags that have a name here; filesystems without flags have none.
pub(super) fn flags(fd: impl AsFd) -> Result<InodeFlags> {
    match ioctl_getflags(fd) {
        Ok(flags) => Ok(InodeFlags(flags.bits() & InodeFlags::ALL)),
        Err(Errno::NOTTY | Errno::OPNOTSUPP | Errno::INVAL | Errno::NOSYS) => {
            Ok(InodeFlags::default())
        }
        Err(errno) => Err(errno),
    }
}
