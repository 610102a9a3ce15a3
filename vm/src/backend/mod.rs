//! Backends: ways to run a guest, all with the same contract.
//!
//! A backend is given a kernel, an initial RAM disk and disks, and gives back one byte stream that
//! leads to `forger-guest`. Everything else goes over that stream, whatever the backend is.

pub mod canary;
mod copied;
#[cfg(target_arch = "x86_64")]
pub mod kvm;
mod process;
pub mod qemu;
mod running;
mod served;
pub mod uml;

use std::fmt;
use std::fs::File;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;

use forger_block::{BlockRead, BlockStore};

use crate::console::Console;
use crate::error::Error;
use crate::initramfs::Module;

pub(crate) use copied::CopiedDisk;
pub(crate) use process::{Child, Inherited};
pub(crate) use running::{MachineDisk, Running};
pub(crate) use served::{ServedDisk, Sockets};

/// How a machine reaches its disks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Access {
    /// They are served from where they are planned or stand, and nothing is copied.
    Served,
    /// They were copied into unnamed files first.
    Copied,
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Served => "served as the guest reads them, without a copy",
            Self::Copied => "copied into unnamed files first",
        })
    }
}

/// How far a guest is kept from its host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Isolation {
    /// By hardware or a full emulation of it.
    Machine,
    /// By an ordinary process: a kernel that runs as the user, without rights beyond his.
    Process,
}

impl fmt::Display for Isolation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Machine => "a virtual machine",
            Self::Process => "an ordinary process, weaker than a virtual machine",
        })
    }
}

/// A way to run a guest.
///
/// Every implementor runs the conformance suite of the integration tests.
pub trait Backend: fmt::Debug + Send + Sync {
    /// Returns the name by which users choose it.
    fn name(&self) -> &'static str;

    /// Returns how far its guests are kept from the host.
    fn isolation(&self) -> Isolation;

    /// Tells whether guests are emulated, many times slower than this machine: they get more time.
    fn is_emulation(&self) -> bool {
        false
    }

    /// Tells whether it works on this machine, without starting a guest.
    ///
    /// # Errors
    /// [`Error::Unusable`].
    fn probe(&self) -> Result<(), Error>;

    /// Looks closer than [`probe`](Self::probe), for whoever wants to know why guests would not start.
    ///
    /// # Errors
    /// [`Error::Unusable`].
    fn check(&self) -> Result<(), Error> {
        self.probe()
    }

    /// Returns the modules that its kernel needs to reach its disks.
    ///
    /// # Errors
    /// Modules that cannot be read.
    fn modules(&self) -> Result<Vec<Module>, Error>;

    /// Starts a guest.
    ///
    /// # Errors
    /// What of the host did not work.
    fn start(&self, machine: Machine) -> Result<Started, Error>;
}

/// A machine to start.
#[derive(Debug)]
pub struct Machine {
    /// The initial RAM disk.
    pub initramfs: Vec<u8>,
    /// Memory in bytes.
    pub memory: u64,
    /// Processors.
    pub cpus: u32,
    /// The disks, in order.
    pub disks: Vec<Disk>,
    /// Where unnamed temporary files go.
    pub scratch: PathBuf,
}

/// A disk of a machine.
#[derive(Clone, Debug)]
pub struct Disk {
    /// What it holds; what the guest writes goes there too.
    pub store: Arc<dyn BlockStore>,
    /// Whether the guest may only read it.
    pub read_only: bool,
}

/// A machine that was started.
#[derive(Debug)]
pub struct Started {
    /// Leads to the guest's first program.
    pub channel: UnixStream,
    /// What the guest reads as a disk of its own, to lay data for it into, where the channel is slow.
    pub ring: Option<File>,
    /// The names of the disks in the guest.
    pub devices: Vec<Vec<u8>>,
    /// How it reaches them.
    pub access: Access,
    /// What the kernel says.
    pub console: Console,
    /// The machine itself.
    pub instance: Box<dyn Instance>,
}

/// A machine that runs; it is killed when this is dropped.
pub trait Instance: fmt::Debug + Send + Sync {
    /// Ends it at once, if it still runs, and whatever belongs to it.
    fn kill(&self);

    /// Waits for its end at most so long; tells whether it has ended.
    fn wait(&self, limit: std::time::Duration) -> bool;

    /// Returns when its first instruction ran, where that is known.
    fn entered(&self) -> Option<std::time::Instant> {
        None
    }

    /// Returns what a disk holds; complete once the machine has ended.
    ///
    /// # Errors
    /// What of the host did not work.
    fn disk(&self, number: usize) -> Result<Arc<dyn BlockRead>, Error>;
}

/// Makes two sockets that are connected.
pub(crate) fn pair() -> Result<(UnixStream, UnixStream), Error> {
    UnixStream::pair().map_err(|error| Error::host("make a socket pair", error))
}
