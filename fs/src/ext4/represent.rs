//! Whether ext4 can hold an entry: what it cannot is refused, or left out with a note.

use std::error::Error as _;

use super::ingest::Failure;
use super::inode;
use super::options::Ignore;
use super::units::BLOCK_SIZE;
use super::{Error, xattr};
use crate::observe::{Note, Observer};
use crate::source::{Entry, EntryKind};
use crate::tree::{InodeFlags, Time, Xattrs};

/// The longest file: block numbers in a file have 32 bits.
const MAX_FILE: u64 = u32::MAX as u64 * BLOCK_SIZE;
/// The flags that ext4 keeps on files and directories.
const FLAGS: u32 = InodeFlags::SECURE_DELETE
    | InodeFlags::UNDELETE
    | InodeFlags::COMPRESS
    | InodeFlags::SYNC
    | InodeFlags::IMMUTABLE
    | InodeFlags::APPEND
    | InodeFlags::NODUMP
    | InodeFlags::NOATIME
    | InodeFlags::JOURNAL_DATA
    | InodeFlags::NOTAIL
    | InodeFlags::DIRSYNC
    | InodeFlags::TOPDIR
    | InodeFlags::PROJECT_INHERIT;

/// Checks entries against the limits of ext4.
pub(crate) struct Represent {
    ignore: Ignore,
}

impl Represent {
    pub(crate) fn new(ignore: Ignore) -> Self {
        Self { ignore }
    }

    /// Checks an entry, takes away what may be ignored, and says whether anything is left of it.
    pub(crate) fn entry(
        &self,
        entry: &mut Entry,
        observer: &mut dyn Observer,
    ) -> Result<bool, Error> {
        self.size(entry)?;
        if !self.device(entry, observer)? {
            return Ok(false);
        }
        self.times(entry, observer)?;
        self.flags(entry, observer)?;
        self.xattrs(entry, observer)?;
        Ok(true)
    }

    fn size(&self, entry: &Entry) -> Result<(), Error> {
        match entry.kind {
            EntryKind::File { size } | EntryKind::HardLink { size, .. } if size > MAX_FILE => {
                let what = format!("a file of {size} bytes; ext4 holds {MAX_FILE} at most");
                Err(Failure::of(entry).unrepresentable(what, None))
            }
            _ => Ok(()),
        }
    }

    fn device(&self, entry: &Entry, observer: &mut dyn Observer) -> Result<bool, Error> {
        let (EntryKind::CharDevice(device) | EntryKind::BlockDevice(device)) = entry.kind else {
            return Ok(true);
        };
        if inode::encode_device(device).is_some() {
            return Ok(true);
        }
        let what = format!(
            "device {}:{} is wider than 12 and 20 bits",
            device.major, device.minor
        );
        self.refuse(entry, what, "devices", self.ignore.devices, observer)
            .map(|()| false)
    }

    fn times(&self, entry: &mut Entry, observer: &mut dyn Observer) -> Result<(), Error> {
        let meta = &entry.meta;
        let times = [meta.mtime, meta.atime, meta.ctime, meta.crtime];
        let Some(bad) = times
            .into_iter()
            .flatten()
            .find(|time| nearest(*time) != *time)
        else {
            return Ok(());
        };
        let why = if inode::is_misread(bad) {
            "from 2310-04-04 to 2378-04-22 is taken by e2fsck for one before 1970"
        } else {
            "lies outside 1901..2446"
        };
        let what = format!("time {}.{:09} {why}", bad.sec, bad.nsec);
        self.refuse(entry, what, "times", self.ignore.times, observer)?;
        let meta = &mut entry.meta;
        for time in [
            &mut meta.mtime,
            &mut meta.atime,
            &mut meta.ctime,
            &mut meta.crtime,
        ] {
            *time = time.map(nearest);
        }
        Ok(())
    }

    fn flags(&self, entry: &mut Entry, observer: &mut dyn Observer) -> Result<(), Error> {
        let held = match entry.kind {
            EntryKind::File { .. } | EntryKind::Directory | EntryKind::HardLink { .. } => FLAGS,
            _ => 0,
        };
        let lost = entry.meta.flags.0 & !held;
        if lost != 0 {
            let what = format!("inode flags {lost:#x} do not exist in ext4 for its kind");
            self.refuse(entry, what, "flags", self.ignore.flags, observer)?;
            entry.meta.flags.0 &= held;
        }
        Ok(())
    }

    fn xattrs(&self, entry: &mut Entry, observer: &mut dyn Observer) -> Result<(), Error> {
        while let Err(error) = xattr::place(&entry.meta.xattrs) {
            let Some(name) = culprit(&entry.meta.xattrs) else {
                break;
            };
            let (mut what, mut cause) = (error.to_string(), error.source());
            while let Some(reason) = cause {
                what = format!("{what}: {reason}");
                cause = reason.source();
            }
            self.refuse(entry, what, "xattrs", self.ignore.xattrs, observer)?;
            entry.meta.xattrs.remove(&name);
        }
        Ok(())
    }

    /// Fails, or notes what is left out where that is allowed.
    fn refuse(
        &self,
        entry: &Entry,
        what: String,
        kind: &'static str,
        allowed: bool,
        observer: &mut dyn Observer,
    ) -> Result<(), Error> {
        if !allowed {
            return Err(Failure::of(entry).unrepresentable(what, Some(kind)));
        }
        let entry = String::from_utf8_lossy(&entry.path).into_owned();
        observer.note(Note::Ignored {
            entry,
            what: format!("{what}: left out"),
        });
        Ok(())
    }
}

/// Finds the attribute to leave out: the first that cannot be held at all, else the largest.
fn culprit(xattrs: &Xattrs) -> Option<Box<[u8]>> {
    let alone = |name: &[u8], value: &[u8]| Xattrs::from([(name.into(), value.into())]);
    let bad = xattrs
        .iter()
        .find(|(name, value)| xattr::place(&alone(name, value)).is_err());
    let largest = || xattrs.iter().max_by_key(|(_, value)| value.len());
    bad.or_else(largest).map(|(name, _)| name.clone())
}

/// Moves a time into what ext4 can hold and every reader understands.
fn nearest(time: Time) -> Time {
    if inode::is_misread(time) {
        Time::from_sec(inode::MISREAD.start - 1)
    } else if inode::encode_time(time).is_some() {
        time
    } else if time.sec < 0 {
        Time::from_sec(inode::FIRST_SECOND)
    } else {
        Time::from_sec(inode::LAST_SECOND)
    }
}
