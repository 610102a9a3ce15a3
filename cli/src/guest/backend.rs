//! Which backend runs a guest, and with which kernel.

use std::path::Path;

use clap::ValueEnum;
use forger_vm::canary::{self, Verdict};
use forger_vm::kernel;
use forger_vm::qemu::{Accelerator, Architecture, Qemu};
use forger_vm::{Backend, Isolation, uml::Uml};

use super::kernel::{Found, Takes, Wish, check_named, find};
use super::{DOCTOR, failure};
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

/// All backends, best first.
pub(crate) const ORDER: [Choice; 4] = [Choice::Kvm, Choice::Qemu, Choice::Uml, Choice::QemuTcg];

impl Choice {
    /// Returns the name by which it is chosen.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Kvm => "kvm",
            Self::Qemu => "qemu",
            Self::Uml => "uml",
            Self::QemuTcg => "qemu-tcg",
        }
    }

    /// Makes the backend, with the kernel that it takes.
    ///
    /// # Errors
    /// One that does not work here, as far as can be said without a guest; no kernel.
    pub(crate) fn make(self, wish: &Wish<'_>) -> Result<Made, Failure> {
        let made = match self {
            Self::Kvm => own_monitor(wish)?,
            Self::Qemu => qemu(Accelerator::Kvm, wish)?,
            Self::QemuTcg => qemu(Accelerator::Tcg, wish)?,
            Self::Auto | Self::Uml => uml(wish)?,
        };
        match made.backend.probe() {
            Ok(()) => Ok(made),
            Err(error) => Err(failure(WHAT, error)),
        }
    }
}

/// A backend with its kernel.
#[derive(Debug)]
pub(crate) struct Made {
    pub(crate) backend: Box<dyn Backend>,
    /// Where the kernel was found, for people.
    pub(crate) kernel: String,
}

/// What fails where a backend does not work.
const WHAT: &str = "cannot start a guest";

/// KVM's device.
const DEVICE: &str = "/dev/kvm";

#[cfg(target_arch = "x86_64")]
fn own_monitor(wish: &Wish<'_>) -> Result<Made, Failure> {
    check_kvm()?;
    let Found { kernel, place } = find(Takes::Machine(kernel::Architecture::X86_64), wish)?;
    Ok(Made {
        backend: Box::new(forger_vm::kvm::Kvm {
            device: DEVICE.into(),
            kernel,
            entropy: "/dev/urandom".into(),
        }),
        kernel: place,
    })
}

#[cfg(not(target_arch = "x86_64"))]
fn own_monitor(_wish: &Wish<'_>) -> Result<Made, Failure> {
    Err(Failure::failed(WHAT).because("forger is a monitor of machines on x86-64 only"))
}

fn uml(wish: &Wish<'_>) -> Result<Made, Failure> {
    let Found { kernel, place } = find(Takes::Uml, wish)?;
    Ok(Made {
        backend: Box::new(Uml {
            kernel: kernel.path,
            memory_folders: config::memory_folders(),
            serve_disks: true,
        }),
        kernel: place,
    })
}

fn qemu(accelerator: Accelerator, wish: &Wish<'_>) -> Result<Made, Failure> {
    let unusable = |reason: String| Failure::failed(WHAT).because(reason);
    let architecture = Architecture::of_host()
        .ok_or_else(|| unusable("forger knows no machine of QEMU for this processor".to_owned()))?;
    let name = architecture.program();
    let (package, takes) = match architecture {
        Architecture::X86_64 => ("qemu-system-x86", kernel::Architecture::X86_64),
        Architecture::Aarch64 => ("qemu-system-arm", kernel::Architecture::Aarch64),
    };
    let program = config::program(&[name]).ok_or_else(|| {
        unusable(format!("there is no {name}"))
            .help(format!("on Debian, apt-get install {package}"))
    })?;
    if accelerator == Accelerator::Kvm {
        check_kvm()?;
    }
    let Found { kernel, place } = find(Takes::Machine(takes), wish)?;
    Ok(Made {
        backend: Box::new(Qemu {
            program,
            architecture,
            accelerator,
            kernel,
        }),
        kernel: place,
    })
}

/// Fails where KVM does not work; once a boot a guest finds it out.
fn check_kvm() -> Result<(), Failure> {
    let folder = config::runtime_folder();
    match canary::verdict(Path::new(DEVICE), folder.as_deref()) {
        Verdict::Works => Ok(()),
        Verdict::Fails(reason) => {
            Err(Failure::failed(WHAT).because(format!("KVM does not work: {reason}")))
        }
    }
}

/// A backend that works here.
#[derive(Debug)]
pub(crate) struct Chosen {
    pub(crate) made: Made,
    /// Better ones, each with the reason why it is none.
    pub(crate) passed_over: Vec<String>,
}

/// Chooses a backend that works here.
///
/// # Errors
/// One that was asked for and does not work, or none that does; each with its reason.
pub(crate) fn choose(
    choice: Choice,
    isolation: Wanted,
    wish: &Wish<'_>,
) -> Result<Chosen, Failure> {
    if choice != Choice::Auto {
        let made = choice.make(wish)?;
        return match allowed(&*made.backend, isolation) {
            Ok(()) => Ok(Chosen {
                made,
                passed_over: Vec::new(),
            }),
            Err(reason) => Err(Failure::failed(WHAT).because(reason).help(DOCTOR)),
        };
    }
    check_named(wish)?;
    let (mut passed_over, mut advice) = (Vec::new(), None);
    for candidate in ORDER {
        let reason = match candidate.make(wish) {
            Ok(made) => match allowed(&*made.backend, isolation) {
                Ok(()) => {
                    return Ok(Chosen { made, passed_over });
                }
                Err(reason) => reason,
            },
            Err(failure) => {
                advice = better(advice, candidate, isolation, &failure);
                failure.reason()
            }
        };
        passed_over.push(format!("{}: {reason}", candidate.name()));
    }
    let help = match advice {
        Some(advice) => format!("{advice}; {DOCTOR}"),
        None => DOCTOR.to_owned(),
    };
    Err(Failure::failed(WHAT)
        .because(passed_over.join("; "))
        .help(help))
}

/// Chooses what to advise where no backend works: what takes least, a kernel of User-Mode Linux.
fn better(
    so_far: Option<String>,
    candidate: Choice,
    isolation: Wanted,
    failure: &Failure,
) -> Option<String> {
    let advice = failure.advice().filter(|advice| *advice != DOCTOR);
    let advice = advice.map(str::to_owned);
    match (candidate, isolation) {
        (Choice::Uml, Wanted::Any) => advice.or(so_far),
        (Choice::Uml, Wanted::Vm) => so_far,
        _ => so_far.or(advice),
    }
}

/// Tells whether a backend keeps its guests apart as far as is wanted.
fn allowed(backend: &dyn Backend, wanted: Wanted) -> Result<(), String> {
    match wanted == Wanted::Vm && backend.isolation() != Isolation::Machine {
        true => Err(format!(
            "--isolation vm asks for a virtual machine, and {} runs guests in {}",
            backend.name(),
            backend.isolation()
        )),
        false => Ok(()),
    }
}
