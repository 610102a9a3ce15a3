//! KVM, with the machine's monitor in this process: no program beside forger is needed.
//!
//! ```text
//!  thread             does
//!  guest cpu N        runs the guest's instructions; ports and registers that the guest touches
//!  guest device N     one virtio device: what stands in its queues
//!  guest machine      waits for the end, stops the others, gives everything back
//! ```
//!
//! What a guest sees is small: memory, processors with their interrupt controllers, a serial port for
//! what its kernel says, and virtio devices, which ACPI tables announce. It is no PC beyond that: no PCI, no
//! timer chip that anybody uses, no firmware. The kernel tells that it wants to be switched off or
//! started anew, or that it panicked, by a register; each is the end of the machine.
//!
//! | in the guest | on the host |
//! |---|---|
//! | `/dev/vport0p0` | the channel |
//! | `/dev/vda`, `/dev/vdb`, ... | the disks, read and written where they are |
//! | `/dev/ttyS0` | what the kernel says |
//! | `/dev/hwrng` | random bytes of the host's |
//!
//! The guest is hostile. It reaches nothing but its own memory, by the processor's means; whatever it
//! writes into registers and queues is checked before it is used; and the threads that look at it may
//! make only the system calls they need (`seccomp`).
//!
//! What belongs to a processor architecture stands in a folder of its own (`x86_64/`): where memory lies,
//! how a kernel is loaded and entered, interrupts, tables, ports.

mod bus;
mod end;
mod machine;
mod memory;
mod seccomp;
mod vcpu;
mod virtio;
mod x86_64;

use std::fs::{self, File};
use std::path::PathBuf;

use super::{Access, Backend, Isolation, Machine, Started};
use crate::error::Error;
use crate::initramfs::Module;
use crate::kernel::Kernel;

use self::machine::Running;
use self::x86_64 as arch;

#[doc(hidden)]
pub use self::virtio::fuzz;

/// What the backend is called in messages.
const NAME: &str = "kvm";

/// The most disks.
const MAX_DISKS: usize = arch::MAX_DEVICES - 2;

/// The most processors.
const MAX_CPUS: u32 = 32;

/// Least and most memory in bytes.
const LEAST_MEMORY: u64 = 64 << 20;
const MOST_MEMORY: u64 = 1 << 40;

/// The modules by which a guest reaches its channel and its disks, where its kernel does not have them
/// built in; each with all that it needs.
pub const MODULES: [&str; 4] = ["virtio_mmio", "virtio_console", "virtio_blk", "ext4"];

/// What a guest can do without: random bytes of the host's, and saying that its kernel panicked (what it says on its
/// console tells as much).
pub const WISHED_MODULES: [&str; 2] = ["virtio_rng", "pvpanic_mmio"];

/// KVM as a backend.
#[derive(Clone, Debug)]
pub struct Kvm {
    /// The device: `/dev/kvm`.
    pub device: PathBuf,
    /// The kernel: a bzImage, or an ELF with an entry for virtual machines (PVH) or for 64 bits. [`MODULES`] that it
    /// does not have built in have to be among its modules.
    pub kernel: Kernel,
    /// Where random bytes for guests come from: `/dev/urandom`.
    pub entropy: PathBuf,
}

impl Kvm {
    fn unusable(reason: impl Into<String>) -> Error {
        Error::Unusable {
            backend: NAME,
            reason: reason.into(),
        }
    }

    /// Opens the kernel, if it is one that is entered here.
    fn open(&self) -> Result<File, Error> {
        let shown = self.kernel.path.display();
        if !arch::boots(self.kernel.image.format) {
            return Err(Self::unusable(format!(
                "{shown} is no kernel for a virtual machine: neither a bzImage nor a vmlinux"
            )));
        }
        File::open(&self.kernel.path)
            .map_err(|error| Self::unusable(format!("cannot read the kernel {shown}: {error}")))
    }
}

impl Backend for Kvm {
    fn name(&self) -> &'static str {
        NAME
    }

    fn isolation(&self) -> Isolation {
        Isolation::Machine
    }

    fn probe(&self) -> Result<(), Error> {
        let shown = self.device.display();
        if let Err(error) = fs::OpenOptions::new()
            .read(true)
            .write(true)
            .open(&self.device)
        {
            return Err(Self::unusable(format!("cannot open {shown}: {error}")));
        }
        self.open().map(drop)
    }

    fn modules(&self) -> Result<Vec<Module>, Error> {
        let loaded = self.kernel.load(&MODULES, &WISHED_MODULES);
        loaded.map_err(|error| Self::unusable(error.to_string()))
    }

    fn start(&self, machine: Machine) -> Result<Started, Error> {
        let refuse = |option, reason: String| Err(Error::Option { option, reason });
        if machine.memory < LEAST_MEMORY || machine.memory > MOST_MEMORY {
            return refuse("memory", "a guest needs 64 MiB to 1 TiB".to_owned());
        }
        if machine.cpus > MAX_CPUS {
            return refuse("cpus", format!("at most {MAX_CPUS}"));
        }
        if machine.disks.len() > MAX_DISKS {
            return refuse("disks", format!("at most {MAX_DISKS} fit"));
        }
        let kernel = self.open()?;
        let entropy = File::open(&self.entropy)
            .map_err(|error| Error::host(format!("open {}", self.entropy.display()), error))?;
        let (running, channel, console) = Running::start(machine::Parts {
            device: &self.device,
            kernel,
            format: self.kernel.image.format,
            entropy,
            machine: &machine,
        })?;
        let devices = (0..machine.disks.len())
            .map(|number| format!("/dev/vd{}", letter(number)).into_bytes())
            .collect();
        Ok(Started {
            channel,
            ring: None,
            devices,
            access: Access::Served,
            console,
            instance: Box::new(running),
        })
    }
}

/// Returns the letter of a disk: there are fewer than 26.
fn letter(number: usize) -> char {
    ('a'..='z').nth(number).unwrap_or('z')
}
