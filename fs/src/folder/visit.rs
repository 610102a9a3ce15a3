//! From a name in a folder to an entry.

use rustix::fd::OwnedFd;
use rustix::fs::{FileType, Mode, OFlags};

use super::body::Body;
use super::status::Status;
use super::{Error, Folder, Link, attributes, entry, meta};
use crate::source::{Entry, EntryKind};

/// How every entry is opened: never through a symlink, never waiting for the other end of a pipe.
const OPEN: OFlags = OFlags::RDONLY
    .union(OFlags::NOFOLLOW)
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY)
    .union(OFlags::CLOEXEC);

impl Folder {
    /// Delivers the entry at the current path, the last component of which is `name`.
    pub(super) fn visit(&mut self, name: &[u8]) -> Result<Entry, Error> {
        let parent = self.levels.folder();
        let status = Status::of(parent, name).map_err(|e| self.io("examine", e))?;
        let kind = match status.kind {
            FileType::Directory => return self.visit_folder(name, &status),
            FileType::RegularFile => EntryKind::File { size: status.size },
            FileType::Symlink => EntryKind::Symlink(self.read_link(name)?),
            FileType::CharacterDevice => EntryKind::CharDevice(status.device),
            FileType::BlockDevice => EntryKind::BlockDevice(status.device),
            FileType::Fifo => EntryKind::Fifo,
            FileType::Socket => EntryKind::Socket,
            FileType::Unknown => return Err(Error::UnknownKind { path: self.here() }),
        };
        if let Some(target) = self.earlier_name(&status) {
            let link = EntryKind::HardLink { target, size: 0 };
            return Ok(entry(&self.path, link, meta(&status, self.options.owners)));
        }
        if status.kind == FileType::RegularFile {
            return self.visit_file(name, &status);
        }
        let mut meta = meta(&status, self.options.owners);
        let host = self.host_path();
        meta.xattrs = attributes::of_name(self.levels.folder(), name, &host, &mut self.scratch)
            .map_err(|e| self.io("read the extended attributes of", e))?;
        Ok(entry(&self.path, kind, meta))
    }

    fn visit_file(&mut self, name: &[u8], seen: &Status) -> Result<Entry, Error> {
        let (fd, status) = self.open_at(name, OPEN, seen)?;
        let mut meta = meta(&status, self.options.owners);
        self.attributes(&fd, &mut meta)?;
        let kind = EntryKind::File { size: status.size };
        self.body = Some(Body::new(fd, &status));
        let place = self.places.as_ref();
        self.origin = place.map(|contents| contents.found(&self.path, &status));
        Ok(entry(&self.path, kind, meta))
    }

    fn visit_folder(&mut self, name: &[u8], seen: &Status) -> Result<Entry, Error> {
        let (fd, status) = self.open_at(name, OPEN | OFlags::DIRECTORY, seen)?;
        let mut meta = meta(&status, self.options.owners);
        self.attributes(&fd, &mut meta)?;
        let mounted = status.identity.device != self.levels.device();
        if !(self.options.one_file_system && mounted) {
            self.enter(fd, &status)?;
        }
        Ok(entry(&self.path, EntryKind::Directory, meta))
    }

    /// Opens an entry and makes sure that it is the one that was examined.
    fn open_at(
        &self,
        name: &[u8],
        flags: OFlags,
        seen: &Status,
    ) -> Result<(OwnedFd, Status), Error> {
        let parent = self.levels.folder();
        let fd =
            rustix::io::retry_on_intr(|| rustix::fs::openat(parent, name, flags, Mode::empty()))
                .map_err(|e| self.io("open", e))?;
        let status = Status::of_fd(&fd).map_err(|e| self.io("examine", e))?;
        if status.identity != seen.identity || status.kind != seen.kind {
            return Err(self.changed("another entry took its name"));
        }
        Ok((fd, status))
    }

    /// Returns the name under which the file was delivered before, and remembers this one otherwise.
    fn earlier_name(&mut self, status: &Status) -> Option<Vec<u8>> {
        if status.links < 2 {
            return None;
        }
        if let Some(link) = self.links.get_mut(&status.identity) {
            link.unseen = link.unseen.saturating_sub(1);
            let first = link.first.to_vec();
            if link.unseen == 0 {
                self.links.remove(&status.identity);
            }
            return Some(first);
        }
        let link = Link {
            first: self.path.as_slice().into(),
            unseen: status.links.saturating_sub(1),
        };
        self.links.insert(status.identity, link);
        None
    }

    fn read_link(&mut self, name: &[u8]) -> Result<Vec<u8>, Error> {
        let buffer = std::mem::take(&mut self.scratch);
        let target = rustix::fs::readlinkat(self.levels.folder(), name, buffer)
            .map_err(|e| self.io("read the symlink", e))?;
        let bytes = target.as_bytes().to_vec();
        self.scratch = target.into_bytes();
        Ok(bytes)
    }
}
