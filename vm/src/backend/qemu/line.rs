//! QEMU's command line, and the files that its process inherits.

use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};

use super::{Accelerator, Architecture, Qemu};
use crate::backend::{Inherited, Machine, MachineDisk, ServedDisk, pair};
use crate::error::Error;
use crate::scratch;

/// The letters of disks.
const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyz";

/// What is denied to QEMU itself.
const SANDBOX: &str = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny";

/// QEMU's command line while it is made.
pub(super) struct Line {
    pub(super) command: Command,
    pub(super) inherited: Inherited,
    architecture: Architecture,
    accelerator: Accelerator,
}

impl Line {
    pub(super) fn new(qemu: &Qemu, machine: &Machine) -> Result<Self, Error> {
        let (architecture, accelerator) = (qemu.architecture, qemu.accelerator);
        let memory = format!("{}K", machine.memory >> 10);
        let board = match architecture {
            Architecture::X86_64 => "q35,usb=off,vmport=off",
            Architecture::Aarch64 => "virt",
        };
        let (accelerated, processor) = match accelerator {
            Accelerator::Kvm => ("kvm", "host"),
            Accelerator::Tcg => ("tcg", "max"),
        };
        let mut command = Command::new(&qemu.program);
        command
            .env_clear()
            .args(["-nodefaults", "-no-user-config", "-no-reboot"])
            .args(["-display", "none", "-sandbox", SANDBOX])
            .args(["-machine", &format!("{board},memory-backend=memory")])
            .args(["-accel", accelerated, "-cpu", processor])
            .args(["-smp", &machine.cpus.to_string(), "-m", &memory])
            // Whoever serves the disks sees the guest's memory.
            .arg("-object")
            .arg(format!(
                "memory-backend-memfd,id=memory,size={memory},share=on"
            ))
            .stdin(Stdio::null());
        Ok(Self {
            command,
            inherited: Inherited::default(),
            architecture,
            accelerator,
        })
    }

    /// Adds the channel; returns the host's end.
    pub(super) fn channel(&mut self) -> Result<UnixStream, Error> {
        let (ours, theirs) = pair()?;
        self.socket("channel", theirs);
        self.command
            .args(["-device", "virtio-serial-pci,max_ports=2"])
            .args(["-device", "virtserialport,chardev=channel,name=forger"]);
        Ok(ours)
    }

    /// Adds the console, on which QEMU itself speaks too; returns the host's end.
    pub(super) fn console(&mut self) -> Result<UnixStream, Error> {
        let (ours, theirs) = pair()?;
        let copy = || {
            let copy = theirs.try_clone();
            copy.map_err(|error| Error::host("copy a file", error))
        };
        self.command
            .stdout(Stdio::from(OwnedFd::from(copy()?)))
            .stderr(Stdio::from(OwnedFd::from(copy()?)));
        self.socket("console", theirs);
        self.command.args(["-serial", "chardev:console"]);
        Ok(ours)
    }

    /// Adds what is booted.
    pub(super) fn boot(&mut self, kernel: File, machine: &Machine) -> Result<(), Error> {
        let mut initrd = scratch::file(&machine.scratch)?;
        initrd
            .write_all(&machine.initramfs)
            .map_err(|error| Error::host("write the initial RAM disk", error))?;
        let (kernel, initrd) = (self.file(kernel), self.file(initrd));
        let console = match self.architecture {
            Architecture::X86_64 => "ttyS0",
            Architecture::Aarch64 => "ttyAMA0",
        };
        let mut words = format!("console={console} quiet panic=-1 forger.channel=/dev/vport0p1");
        if self.accelerator == Accelerator::Tcg {
            // Nobody's secrets are behind a boundary that the translator does not have.
            words.push_str(" mitigations=off");
            if self.architecture == Architecture::X86_64 {
                // Clocks that are measured against a machine that is emulated take seconds and are wrong.
                words.push_str(" tsc_early_khz=2500000 lpj=5000000");
            }
        }
        self.command
            .args(["-kernel", &kernel, "-initrd", &initrd, "-append", &words]);
        Ok(())
    }

    /// Adds the disks as served from here; returns them and their names in the guest.
    pub(super) fn disks(
        &mut self,
        machine: &Machine,
    ) -> Result<(Vec<MachineDisk>, Vec<Vec<u8>>), Error> {
        let (mut disks, mut devices) = (Vec::new(), Vec::new());
        for (number, (disk, letter)) in machine.disks.iter().zip(LETTERS).enumerate() {
            let (served, theirs) = ServedDisk::connected(disk)?;
            let name = format!("disk{number}");
            self.socket(&name, theirs);
            self.command.arg("-device").arg(format!(
                "vhost-user-blk-pci,chardev={name},num-queues=1,queue-size=256"
            ));
            disks.push(MachineDisk::Served(served));
            devices.push([b"/dev/vd", &[*letter][..]].concat());
        }
        Ok((disks, devices))
    }

    /// Adds a socket that is connected already.
    fn socket(&mut self, name: &str, socket: impl Into<OwnedFd>) {
        let number = self.inherited.add(socket);
        self.command
            .arg("-chardev")
            .arg(format!("socket,id={name},fd={number}"));
    }

    /// Lets QEMU inherit a file; returns the path by which it can open it.
    fn file(&mut self, file: File) -> String {
        format!("/proc/self/fd/{}", self.inherited.add(file))
    }
}
