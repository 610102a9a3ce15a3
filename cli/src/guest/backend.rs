//! Which backend runs a guest, and with which kernel.

use std::path::{Path, PathBuf};

use clap::ValueEnum;
use forger_vm::{Backend, Isolation, uml::Uml};

use super::failure;
use crate::config;
use crate::exit::Failure;

/// What `--backend` takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Choice {
    /// The first that works
    Auto,
    /// A microVM of our own on KVM
    Kvm,
    /// QEMU with KVM
    Qemu,
    /// User-Mode Linux, an ordinary process
    Uml,
    /// QEMU without KVM, slow
    QemuTcg,
}

/// What `--isolation` takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Wanted {
    /// Whatever the backend gives
    Any,
    /// A virtual machine, nothing weaker
    Vm,
}

/// Returns the kernel of User-Mode Linux.
pub(crate) fn uml(kernel: Option<&Path>) -> Uml {
    let found = || config::program(&["linux.uml"]);
    let kernel = kernel.map(Path::to_owned).or_else(found);
    Uml {
        kernel: kernel.unwrap_or_else(|| PathBuf::from("/usr/bin/linux.uml")),
        memory_folders: config::memory_folders(),
        serve_disks: false,
    }
}

/// Chooses a backend that works here.
///
/// # Errors
/// One that was asked for and does not work, or none that does; each with its reason.
pub(crate) fn choose(
    choice: Choice,
    isolation: Wanted,
    kernel: Option<&Path>,
) -> Result<Box<dyn Backend>, Failure> {
    let backend: Box<dyn Backend> = match choice {
        Choice::Auto | Choice::Uml => Box::new(uml(kernel)),
        Choice::Kvm | Choice::Qemu | Choice::QemuTcg => {
            return Err(Failure::failed("cannot start a guest")
                .because("this version of forger has no such backend yet")
                .help("--backend uml takes User-Mode Linux"));
        }
    };
    if isolation == Wanted::Vm && backend.isolation() != Isolation::Machine {
        return Err(Failure::failed("cannot start a guest")
            .because(format!(
                "--isolation vm asks for a virtual machine, and {} runs guests in {}",
                backend.name(),
                backend.isolation()
            ))
            .help("forger doctor says what works here, and what does not"));
    }
    match backend.probe() {
        Ok(()) => Ok(backend),
        Err(error) => Err(failure("cannot start a guest", error)),
    }
}
