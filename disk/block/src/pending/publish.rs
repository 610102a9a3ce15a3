//! Giving a pending file its name.

use std::ffi::OsStr;
use std::path::Path;

use rustix::fs::{
    AtFlags, CWD, FileType, Gid, Mode, RenameFlags, Uid, fchmod, fchown, linkat, renameat,
    renameat_with, statat,
};
use rustix::io::Errno;

use super::{PendingFile, proc_path};
use crate::{Error, Result};

/// How an output gets its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Publish {
    /// Replaces what stands under the name; without it that is an error.
    pub force: bool,
    /// Makes the output durable before it is visible, and its name after that.
    pub sync: bool,
}

impl Default for Publish {
    /// Nothing is replaced, everything is durable.
    fn default() -> Self {
        Self {
            force: false,
            sync: true,
        }
    }
}

impl PendingFile {
    pub(super) fn publish_at(mut self, name: &OsStr, path: &Path, publish: Publish) -> Result<()> {
        self.set_mode(name, path, publish)?;
        if publish.sync {
            self.file.sync()?;
        }
        let linked = if publish.force {
            self.link_over(name)
        } else {
            self.link_new(name)
        };
        let path = || path.display().to_string();
        match linked {
            Ok(()) => {}
            Err(Errno::EXIST) if !publish.force => return Err(Error::Exists { path: path() }),
            Err(error) => return Err(Error::io("create", path(), error.into())),
        }
        if publish.sync {
            self.folder.sync(&self.file.file)?;
        }
        Ok(())
    }

    /// Gives the file the mode of the one it replaces, and its owner where that is permitted, or
    /// the mode of a new one.
    fn set_mode(&self, name: &OsStr, path: &Path, publish: Publish) -> Result<()> {
        let old = match statat(&self.folder, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) if !publish.force => {
                return Err(Error::Exists {
                    path: path.display().to_string(),
                });
            }
            Ok(old) => FileType::from_raw_mode(old.st_mode)
                .is_file()
                .then_some(old),
            Err(_) => None,
        };
        let mode = match old {
            _ if self.private => return Ok(()),
            Some(old) => {
                let (uid, gid) = (Uid::from_raw(old.st_uid), Gid::from_raw(old.st_gid));
                // Giving files away is for root; anyone else replaces it with one of their own.
                let _ = fchown(&self.file.file, Some(uid), Some(gid));
                Mode::from_raw_mode(old.st_mode & 0o777)
            }
            None if self.temporary.is_some() => self.mode,
            None => return Ok(()),
        };
        fchmod(&self.file.file, mode)
            .map_err(|error| self.file.error("set the mode of", error.into()))
    }

    /// Takes a name that must be free.
    pub(super) fn link_new(&mut self, name: &OsStr) -> rustix::io::Result<()> {
        let Some(temporary) = &self.temporary else {
            return self.link_unnamed(name);
        };
        let folder = &self.folder;
        match renameat_with(folder, temporary, folder, name, RenameFlags::NOREPLACE) {
            // The filesystem cannot do that; a hard link will not replace anything either.
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                self.link_hidden(temporary, name)
            }
            Ok(()) => {
                self.temporary = None;
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Gives a file with a hidden name another one, which must be free; the hidden one goes away
    /// with `self`.
    pub(super) fn link_hidden(&self, hidden: &OsStr, name: &OsStr) -> rustix::io::Result<()> {
        linkat(&self.folder, hidden, &self.folder, name, AtFlags::empty())
    }

    /// Takes a name from whatever has it.
    fn link_over(&mut self, name: &OsStr) -> rustix::io::Result<()> {
        if self.temporary.is_none() {
            match self.link_unnamed(name) {
                Err(Errno::EXIST) => {}
                result => return result,
            }
            // Linking cannot replace, renaming can: take a hidden name on the way.
            let mut last = Errno::EXIST;
            let linked = self.folder.with_temporary_name(|hidden| {
                self.link_unnamed(hidden).inspect_err(|&error| last = error)
            });
            match linked {
                Ok((hidden, ())) => self.temporary = Some(hidden),
                Err(_) => return Err(last),
            }
        }
        if let Some(temporary) = &self.temporary {
            renameat(&self.folder, temporary, &self.folder, name)?;
        }
        self.temporary = None;
        Ok(())
    }

    /// Gives a file without a name its first one, which must be free.
    fn link_unnamed(&self, name: &OsStr) -> rustix::io::Result<()> {
        let from = proc_path(&self.file.file);
        linkat(CWD, from, &self.folder, name, AtFlags::SYMLINK_FOLLOW)
    }
}
