//! QEMU: a virtual machine, by KVM where that works, else by emulation.
//!
//! | in the guest | on the host |
//! |---|---|
//! | `/dev/vport0p1` | one end of a socket pair: the channel (virtio-serial) |
//! | the serial console | another one |
//! | `/dev/vda`, `/dev/vdb`, ... | the disks, served from this process (vhost-user-blk) |
//!
//! QEMU gets no network, no monitor, no display, no default device and no configuration of the user's; it
//! opens nothing by a name of the host's but its own firmware: kernel, initial RAM disk and sockets are
//! inherited. Its system calls are filtered where it was built so (`-sandbox`), so that it starts no
//! process and gains no rights. When this process is killed, QEMU ends with it.

mod line;

use std::fs::File;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::{Access, Backend, Child, Isolation, Machine, Running, Started};
use crate::console::Console;
use crate::error::Error;
use crate::initramfs::Module;
use crate::kernel::{Format, Kernel};

use self::line::Line;

/// The modules by which a guest reaches its channel and its disks, where its kernel does not have them
/// built in; each with all that it needs.
const MODULES: [&str; 4] = ["virtio_pci", "virtio_console", "virtio_blk", "ext4"];

/// Least memory in bytes: below it Debian's kernels do not come up.
const LEAST_MEMORY: u64 = 128 << 20;

/// The most disks: the slots of one bus.
const MAX_DISKS: usize = 24;

/// The most processors.
const MAX_CPUS: u32 = 255;

/// What runs the guest's instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accelerator {
    /// The processor, by the host's kernel.
    Kvm,
    /// A translator, many times slower.
    Tcg,
}

/// What kind of machine it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Architecture {
    /// A PC (`q35`).
    X86_64,
    /// QEMU's own board (`virt`).
    Aarch64,
}

impl Architecture {
    /// Returns the kind of this machine, if QEMU can run guests of that kind here.
    #[must_use]
    pub fn of_host() -> Option<Self> {
        match std::env::consts::ARCH {
            "x86_64" => Some(Self::X86_64),
            "aarch64" => Some(Self::Aarch64),
            _ => None,
        }
    }

    /// Returns the name of QEMU's program for it.
    #[must_use]
    pub fn program(self) -> &'static str {
        match self {
            Self::X86_64 => "qemu-system-x86_64",
            Self::Aarch64 => "qemu-system-aarch64",
        }
    }
}

/// QEMU as a backend.
#[derive(Clone, Debug)]
pub struct Qemu {
    /// QEMU itself.
    pub program: PathBuf,
    /// What kind of machine it makes.
    pub architecture: Architecture,
    /// What runs the guest's instructions. Whether KVM works here is the [canary's](crate::canary) to say.
    pub accelerator: Accelerator,
    /// The kernel: a bzImage, or arm64's Image, and its modules.
    pub kernel: Kernel,
}

impl Qemu {
    fn unusable(&self, reason: impl Into<String>) -> Error {
        Error::Unusable {
            backend: self.name(),
            reason: reason.into(),
        }
    }

    /// Returns QEMU's version, as it says.
    ///
    /// # Errors
    /// [`Error::Unusable`] where it cannot be started.
    pub fn version(&self) -> Result<String, Error> {
        let program = self.program.display();
        let said = Command::new(&self.program)
            .env_clear()
            .arg("--version")
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .output()
            .map_err(|error| self.unusable(format!("cannot start {program}: {error}")))?;
        let text = String::from_utf8_lossy(&said.stdout);
        let mut words = text.lines().next().unwrap_or_default().split(' ');
        let version = words.find(|word| word.starts_with(|c: char| c.is_ascii_digit()));
        let plain = |version: &&str| version.chars().all(|c| c.is_ascii_graphic());
        version
            .filter(plain)
            .map(str::to_owned)
            .ok_or_else(|| self.unusable(format!("{program} says no version of QEMU")))
    }

    fn kernel(&self) -> Result<File, Error> {
        File::open(&self.kernel.path).map_err(|error| {
            let shown = self.kernel.path.display();
            self.unusable(format!("cannot read the kernel {shown}: {error}"))
        })
    }

    fn check_kernel(&self) -> Result<(), Error> {
        let boots = match self.architecture {
            Architecture::X86_64 => {
                matches!(self.kernel.image.format, Format::BzImage | Format::Vmlinux)
            }
            Architecture::Aarch64 => self.kernel.image.format == Format::Arm64Image,
        };
        match boots {
            true => self.kernel().map(drop),
            false => Err(self.unusable(format!(
                "{} is no kernel that {} boots",
                self.kernel.path.display(),
                self.architecture.program()
            ))),
        }
    }

    fn check_machine(&self, machine: &Machine) -> Result<(), Error> {
        let refuse = |option, reason: String| Err(Error::Option { option, reason });
        if machine.memory < LEAST_MEMORY {
            return refuse(
                "memory",
                "a guest of QEMU needs 128 MiB at least".to_owned(),
            );
        }
        if machine.disks.len() > MAX_DISKS {
            return refuse("disks", format!("at most {MAX_DISKS} fit"));
        }
        if machine.cpus > MAX_CPUS {
            return refuse("cpus", format!("at most {MAX_CPUS}"));
        }
        Ok(())
    }
}

impl Backend for Qemu {
    fn name(&self) -> &'static str {
        match self.accelerator {
            Accelerator::Kvm => "qemu",
            Accelerator::Tcg => "qemu-tcg",
        }
    }

    fn isolation(&self) -> Isolation {
        Isolation::Machine
    }

    fn is_emulation(&self) -> bool {
        self.accelerator == Accelerator::Tcg
    }

    fn probe(&self) -> Result<(), Error> {
        self.check_kernel()?;
        self.version().map(drop)
    }

    fn modules(&self) -> Result<Vec<Module>, Error> {
        let loaded = self.kernel.load(&MODULES, &[]);
        loaded.map_err(|error| self.unusable(error.to_string()))
    }

    fn start(&self, machine: Machine) -> Result<Started, Error> {
        self.check_machine(&machine)?;
        let mut line = Line::new(self, &machine)?;
        let channel = line.channel()?;
        let console = line.console()?;
        line.boot(self.kernel()?, &machine)?;
        let (disks, devices) = line.disks(&machine)?;
        let child = Child::start(line.command, line.inherited)?;
        Ok(Started {
            channel,
            ring: None,
            devices,
            access: Access::Served,
            console: Console::listen(console)?,
            instance: Box::new(Running { child, disks }),
        })
    }
}
