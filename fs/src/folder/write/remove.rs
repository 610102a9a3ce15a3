//! Taking away what was made, however deep it is.

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, FileType, Mode, RawDir, chmodat, openat, renameat, statat, unlinkat};
use rustix::io::Errno;

use super::levels::FOLDER;

/// How many bytes of a folder are listed at a time.
const LIST: usize = 64 << 10;

/// Removes a name of an open folder, and all below it where it is a folder; symlinks are not
/// followed. A name that is not there is no error.
///
/// # Errors
/// The operating system's refusal.
pub fn remove(parent: BorrowedFd<'_>, name: &[u8]) -> std::io::Result<()> {
    match unlinkat(parent, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        Err(Errno::ISDIR | Errno::PERM) => {}
        Err(errno) => return Err(errno.into()),
    }
    let folder = open(parent, name)?;
    clear(folder.as_fd())?;
    Ok(unlinkat(parent, name, AtFlags::REMOVEDIR)?)
}

/// Removes all that is in an open folder.
///
/// Folders in folders are first moved up, so that no depth is too deep.
///
/// # Errors
/// The operating system's refusal.
pub fn clear(folder: BorrowedFd<'_>) -> std::io::Result<()> {
    let mut moved = 0_u64;
    loop {
        let names = names(folder)?;
        if names.is_empty() {
            return Ok(());
        }
        for name in names {
            if is_folder(folder, &name)? {
                empty(folder, &name, &mut moved)?;
                unlinkat(folder, &*name, AtFlags::REMOVEDIR)?;
            } else {
                unlinkat(folder, &*name, AtFlags::empty())?;
            }
        }
    }
}

/// Empties a folder of `top`: its files go, its folders move to `top`.
fn empty(top: BorrowedFd<'_>, name: &[u8], moved: &mut u64) -> Result<(), Errno> {
    let folder = open(top, name)?;
    for name in names(folder.as_fd())? {
        if !is_folder(folder.as_fd(), &name)? {
            unlinkat(&folder, &*name, AtFlags::empty())?;
            continue;
        }
        // Moving a folder to another changes it: it must be writable.
        chmodat(&folder, &*name, Mode::RWXU, AtFlags::empty())?;
        loop {
            *moved += 1;
            let to = format!(".removed-{moved}");
            // A folder that is there and not empty is not replaced.
            match renameat(&folder, &*name, top, &*to) {
                Err(Errno::EXIST | Errno::NOTEMPTY | Errno::NOTDIR) => {}
                done => break done?,
            }
        }
    }
    Ok(())
}

fn open(parent: BorrowedFd<'_>, name: &[u8]) -> Result<OwnedFd, Errno> {
    match openat(parent, name, FOLDER, Mode::empty()) {
        Err(Errno::ACCESS) => {}
        Ok(folder) => {
            // What is in it can only be removed where it may be written.
            let _ = rustix::fs::fchmod(&folder, Mode::RWXU);
            return Ok(folder);
        }
        Err(errno) => return Err(errno),
    }
    chmodat(parent, name, Mode::RWXU, AtFlags::empty())?;
    openat(parent, name, FOLDER, Mode::empty())
}

fn is_folder(parent: BorrowedFd<'_>, name: &[u8]) -> Result<bool, Errno> {
    let status = statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(FileType::from_raw_mode(status.st_mode).is_dir())
}

/// Lists a folder from its start.
fn names(folder: BorrowedFd<'_>) -> Result<Vec<Box<[u8]>>, Errno> {
    let again = openat(folder, ".", FOLDER, Mode::empty())?;
    let mut buffer = Vec::with_capacity(LIST);
    let mut list = RawDir::new(&again, buffer.spare_capacity_mut());
    let mut names = Vec::new();
    while let Some(entry) = list.next() {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push(name.into());
        }
    }
    Ok(names)
}
