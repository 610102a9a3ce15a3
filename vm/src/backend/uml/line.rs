//! The kernel's command line, and the files that its process inherits.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};

use super::PRELOAD;
use crate::backend::{CopiedDisk, Inherited, Machine, MachineDisk, ServedDisk, Sockets, pair};
use crate::channel::RING_LEN;
use crate::error::Error;
use crate::scratch;

/// The letters of the kernel's own disks.
const LETTERS: &[u8] = b"abcdefghijklmnop";

/// The kernel's command line while it is made.
pub(super) struct Line {
    pub(super) command: Command,
    pub(super) inherited: Inherited,
}

impl Line {
    pub(super) fn new(kernel: &Path, folder: &Path, memory: u64) -> Result<Self, Error> {
        let mut command = Command::new(kernel);
        command
            .env_clear()
            .env("TMPDIR", folder)
            // The kernel's program ends without it; it is used for nothing.
            .env("HOME", "/")
            .arg(format!("mem={}K", memory >> 10))
            // No folder for a management socket, and no folder of the host for the guest.
            .args(["uml_dir=/dev/null/", "hostfs=/dev/null"])
            .args(["con=null", "ssl=null", "quiet", "panic=-1"])
            .stdin(Stdio::null());
        Ok(Self {
            command,
            inherited: Inherited::default(),
        })
    }

    /// Adds the channel and the console; returns the host's ends.
    pub(super) fn channels(&mut self) -> Result<(UnixStream, UnixStream), Error> {
        let (channel, theirs) = pair()?;
        let number = self.inherited.add(theirs);
        self.command
            .arg(format!("ssl0=fd:{number},fd:{number}"))
            .arg("forger.channel=/dev/ttyS0");
        let (console, theirs) = pair()?;
        let copy = || {
            theirs
                .try_clone()
                .map_err(|e| Error::host("copy a file", e))
        };
        self.command
            .stdout(Stdio::from(OwnedFd::from(copy()?)))
            .stderr(Stdio::from(OwnedFd::from(copy()?)));
        let number = self.inherited.add(theirs);
        self.command.arg(format!("con0=fd:{number},fd:{number}"));
        Ok((channel, console))
    }

    pub(super) fn initramfs(&mut self, initramfs: &[u8], scratch: &Path) -> Result<(), Error> {
        let mut file = scratch::file(scratch)?;
        file.write_all(initramfs)
            .map_err(|error| Error::host("write the initial RAM disk", error))?;
        let path = self.inherit(file);
        self.argument("initrd=", &path);
        Ok(())
    }

    /// Adds the disks as copies; returns them and their names in the guest.
    pub(super) fn copied(
        &mut self,
        machine: &Machine,
    ) -> Result<(Vec<MachineDisk>, Vec<Vec<u8>>), Error> {
        let (mut disks, mut devices) = (Vec::new(), Vec::new());
        // The first one is the ring.
        for (number, (disk, letter)) in machine.disks.iter().zip(&LETTERS[1..]).enumerate() {
            let file = CopiedDisk::make(disk, &machine.scratch)?;
            let path = self.inherit(file.again()?);
            // Flag d: it is data, whatever it begins with. Otherwise a header in it could name a file
            // of the host.
            let flags = if disk.read_only { "rd" } else { "d" };
            self.argument(&format!("ubd{}{flags}=", number + 1), &path);
            disks.push(MachineDisk::Copied(file));
            devices.push([b"/dev/ubd", &[*letter][..]].concat());
        }
        Ok((disks, devices))
    }

    /// Adds the disks as served from here; returns them and their names in the guest.
    pub(super) fn served(
        &mut self,
        machine: &Machine,
        folder: &Path,
    ) -> Result<(Vec<MachineDisk>, Vec<Vec<u8>>), Error> {
        Sockets::sweep(folder);
        let sockets = Sockets::make(folder)?;
        let (mut disks, mut devices) = (Vec::new(), Vec::new());
        for (number, (disk, letter)) in machine.disks.iter().zip(LETTERS).enumerate() {
            let (served, socket) = ServedDisk::listening(disk, number, &sockets)?;
            let mut argument = OsString::from("virtio_uml.device=");
            argument.push(self.inherit(socket));
            // 2 is a block device.
            argument.push(":2");
            self.command.arg(argument);
            disks.push(MachineDisk::Served(served));
            devices.push([b"/dev/vd", &[*letter][..]].concat());
        }
        Ok((disks, devices))
    }

    /// Adds the ring.
    pub(super) fn ring(&mut self, scratch: &Path) -> Result<File, Error> {
        let ring = scratch::file(scratch)?;
        ring.set_len(RING_LEN)
            .map_err(|error| Error::host("make room for a temporary file", error))?;
        let copy = ring
            .try_clone()
            .map_err(|e| Error::host("copy a file", e))?;
        let path = self.inherit(copy);
        self.argument("ubd0rd=", &path);
        self.command.arg("forger.ring=/dev/ubda");
        Ok(ring)
    }

    /// Loads the library that stands between the kernel and the system.
    pub(super) fn preload(&mut self, folder: &Path) -> Result<(), Error> {
        if PRELOAD.is_empty() {
            return Ok(());
        }
        // In the folder for memory, whose files may be executed.
        let mut file = scratch::file(folder)?;
        file.write_all(PRELOAD)
            .map_err(|error| Error::host("write a temporary file", error))?;
        let path = self.inherit(file);
        self.command.env("LD_PRELOAD", path);
        Ok(())
    }

    /// Lets the process inherit a file; returns the path by which it can open it.
    fn inherit(&mut self, file: impl Into<OwnedFd>) -> OsString {
        let number = self.inherited.add(file);
        format!("/proc/self/fd/{number}").into()
    }

    fn argument(&mut self, key: &str, value: &OsStr) {
        let mut argument = OsString::from(key);
        argument.push(value);
        self.command.arg(argument);
    }
}
