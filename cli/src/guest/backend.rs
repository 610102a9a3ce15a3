//! Which backend runs a guest, and with which kernel.

use clap::ValueEnum;
use forger_vm::{Backend, Isolation, uml::Uml};

use super::failure;
use super::kernel::{self, Takes, Wish};
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

/// Returns User-Mode Linux.
///
/// # Errors
/// No kernel that is one.
pub(crate) fn uml(wish: &Wish<'_>) -> Result<Uml, Failure> {
    Ok(Uml {
        kernel: kernel::find(Takes::Uml, wish)?.kernel.path,
        memory_folders: config::memory_folders(),
        serve_disks: false,
    })
}

/// Chooses a backend that works here.
///
/// # Errors
/// One that was asked for and does not work, or none that does; each with its reason.
pub(crate) fn choose(
    choice: Choice,
    isolation: Wanted,
    wish: &Wish<'_>,
) -> Result<Box<dyn Backend>, Failure> {
    let backend: Box<dyn Backend> = match choice {
        Choice::Auto | Choice::Uml => Box::new(uml(wish)?),
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
