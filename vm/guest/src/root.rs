//! The guest's root filesystem and what is mounted in it.

use std::ffi::{CStr, OsStr};
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};

use forger_wire::{Filesystem, Mount, Setup};
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};
use rustix::mount::{MountFlags, UnmountFlags, mount, mount_move, mount_remount, unmount};

use crate::channel::Outgoing;
use crate::device::{self, explained};
use crate::loopback;

/// Where the root is mounted before it becomes the root.
const NEW_ROOT: &str = "/newroot";

/// What was set up, and has to be taken down.
#[derive(Debug, Default)]
pub(crate) struct System {
    /// Mounted, in this order.
    mounted: Vec<PathBuf>,
    /// Folders of the root that were made only to mount something on.
    made: Vec<Made>,
    /// Whether the root is a filesystem that is written to.
    writable: bool,
}

/// A folder that was made, and when the one above it had changed last.
#[derive(Debug)]
struct Made {
    path: PathBuf,
    above: PathBuf,
    times: Timestamps,
}

impl Made {
    /// Makes a folder.
    fn make(path: &Path, above: &Path) -> io::Result<Self> {
        let metadata = fs::metadata(above)?;
        fs::create_dir(path)?;
        let time = |tv_sec, tv_nsec| Timespec { tv_sec, tv_nsec };
        Ok(Self {
            path: path.to_owned(),
            above: above.to_owned(),
            times: Timestamps {
                last_access: time(metadata.atime(), metadata.atime_nsec()),
                last_modification: time(metadata.mtime(), metadata.mtime_nsec()),
            },
        })
    }

    /// Takes it away, as if it had never been there.
    fn unmake(&self) {
        // A job may have put something there; then it stays.
        if fs::remove_dir(&self.path).is_ok() {
            let _ = utimensat(CWD, &self.above, &self.times, AtFlags::empty());
        }
    }
}

impl System {
    /// Mounts everything and makes the first mount the root.
    pub(crate) fn set_up(setup: &Setup, outgoing: &Outgoing) -> io::Result<Self> {
        if !setup.hostname.is_empty() {
            rustix::system::sethostname(&setup.hostname)?;
        }
        loopback::up()?;
        let mut system = Self::default();
        let mut mounts = setup.mounts.iter();
        if let Some(root) = mounts.next() {
            system.enter(root)?;
            system.mount_kernel(outgoing)?;
        }
        for mount in mounts {
            system.mount(mount)?;
        }
        if !setup.privileged {
            // Nothing that the image holds becomes part of the kernel.
            let _ = fs::write("/proc/sys/kernel/modules_disabled", "1");
        }
        Ok(system)
    }

    /// Makes a filesystem the root.
    fn enter(&mut self, root: &Mount) -> io::Result<()> {
        fs::create_dir(NEW_ROOT)?;
        attach(root, Path::new(NEW_ROOT))?;
        self.writable = !root.read_only;
        std::env::set_current_dir(NEW_ROOT)?;
        mount_move(".", "/").map_err(|error| explained("move", Path::new(NEW_ROOT), error))?;
        rustix::process::chroot(".")?;
        std::env::set_current_dir("/")
    }

    /// Mounts what the kernel offers in the new root.
    fn mount_kernel(&mut self, outgoing: &Outgoing) -> io::Result<()> {
        let nosuid = MountFlags::NOSUID;
        let plain = nosuid | MountFlags::NOEXEC | MountFlags::NODEV;
        for (kind, target, flags, data) in [
            ("proc", "/proc", plain, None),
            ("sysfs", "/sys", plain, None),
            ("devtmpfs", "/dev", nosuid | MountFlags::NOEXEC, None),
            (
                "devpts",
                "/dev/pts",
                nosuid | MountFlags::NOEXEC,
                Some(c"newinstance,ptmxmode=0666,mode=0620,gid=5"),
            ),
            (
                "tmpfs",
                "/dev/shm",
                nosuid | MountFlags::NODEV,
                Some(c"mode=1777"),
            ),
        ] {
            let target = Path::new(target);
            if let Err(error) = self.folder(target) {
                // A root that is only read and has no such folder goes without.
                outgoing.log(&explained("make", target, error).to_string());
                continue;
            }
            let data: Option<&CStr> = data;
            mount(kind, target, kind, flags, data)
                .map_err(|error| explained("mount", target, error))?;
            self.mounted.push(target.to_owned());
        }
        for (name, target) in [
            ("/dev/fd", "/proc/self/fd"),
            ("/dev/stdin", "/proc/self/fd/0"),
            ("/dev/stdout", "/proc/self/fd/1"),
            ("/dev/stderr", "/proc/self/fd/2"),
            ("/dev/ptmx", "pts/ptmx"),
        ] {
            let _ = fs::remove_file(name);
            // A guest without them works for most.
            let _ = symlink(target, name);
        }
        Ok(())
    }

    /// Mounts one further filesystem.
    fn mount(&mut self, mount: &Mount) -> io::Result<()> {
        let target = PathBuf::from(OsStr::from_bytes(&mount.target));
        self.folder(&target)
            .map_err(|error| explained("make", &target, error))?;
        attach(mount, &target)?;
        self.mounted.push(target);
        Ok(())
    }

    /// Makes a folder and those above it, where they are missing, and remembers which.
    fn folder(&mut self, path: &Path) -> io::Result<()> {
        if path.is_dir() {
            return Ok(());
        }
        let above = path.parent().unwrap_or(Path::new("/"));
        self.folder(above)?;
        let made = Made::make(path, above)?;
        // What is made inside of another mount goes with it.
        if fs::metadata(above)?.dev() == fs::metadata("/")?.dev() {
            self.made.push(made);
        }
        Ok(())
    }

    /// Takes everything down, so that no filesystem needs repair.
    pub(crate) fn tear_down(self, outgoing: &Outgoing) {
        rustix::fs::sync();
        for target in self.mounted.iter().rev() {
            // What is still in use is detached: its filesystem is flushed by the sync above.
            if unmount(target, UnmountFlags::empty()).is_err() {
                let _ = unmount(target, UnmountFlags::DETACH);
            }
        }
        self.made.iter().rev().for_each(Made::unmake);
        if self.writable {
            let read_only = MountFlags::RDONLY;
            if let Err(error) = mount_remount("/", read_only, c"") {
                outgoing.log(&explained("remount", Path::new("/"), error).to_string());
            }
        }
        rustix::fs::sync();
    }
}

/// Mounts a filesystem of a device.
fn attach(filesystem: &Mount, target: &Path) -> io::Result<()> {
    let device = Path::new(OsStr::from_bytes(&filesystem.device));
    let flags = match filesystem.read_only {
        true => MountFlags::RDONLY,
        false => MountFlags::empty(),
    };
    let none = None::<&CStr>;
    match filesystem.filesystem {
        Filesystem::Ext4 => {
            device::wait(device)?;
            mount(device, target, "ext4", flags, none)
        }
        Filesystem::Tmpfs => mount(
            "tmpfs",
            target,
            "tmpfs",
            flags | MountFlags::NOSUID | MountFlags::NODEV,
            Some(c"mode=0755"),
        ),
    }
    .map_err(|error| explained("mount", target, error))
}
