//! Which kernel a guest gets: the one that is named, else the first of
//!
//! 1. the kernel that is kept and taken where none is named,
//! 2. that of the root filesystem itself,
//! 3. User-Mode Linux as a program of this machine,
//! 4. this machine's own, where its files may be read;
//!
//! each if it is one that the backend takes.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use forger::boot;
use forger_fs::ext4;
use forger_vm::kernel::{Architecture, Error, Folder, Format, Image, Kernel};

use super::store::{Kernels, slot};
use super::take;
use crate::config;
use crate::exit::Failure;

/// What a backend takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Takes {
    /// User-Mode Linux.
    Uml,
    /// Kernels for machines of an architecture.
    Machine(Architecture),
}

/// What is known of the kernel that a guest shall have.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wish<'a> {
    /// A file, or the name of a kernel that is kept: this one or none.
    pub(crate) named: Option<&'a OsStr>,
    /// The same, where the backend takes it.
    pub(crate) meant: Option<&'a OsStr>,
    /// The root filesystem, which may have one.
    pub(crate) system: Option<Arc<ext4::Image>>,
}

/// A kernel for a guest.
#[derive(Debug)]
pub(crate) struct Found {
    /// The kernel.
    pub(crate) kernel: Kernel,
    /// Where it was found, for people.
    pub(crate) place: String,
}

impl Takes {
    /// Tells whether a kernel is one.
    fn takes(self, image: &Image) -> bool {
        match self {
            Self::Uml => image.format == Format::Uml,
            Self::Machine(architecture) => {
                image.format != Format::Uml && image.architecture == architecture
            }
        }
    }

    /// Returns what it is called among the defaults.
    fn slot(self) -> String {
        match self {
            Self::Uml => Format::Uml.to_string(),
            Self::Machine(architecture) => architecture.to_string(),
        }
    }

    /// Returns what to do where there is none.
    fn help(self) -> &'static str {
        match self {
            Self::Uml => {
                "apt-get download user-mode-linux && forger kernel add user-mode-linux_*.deb keeps one, \
                 without being root; as root, apt-get install user-mode-linux"
            }
            Self::Machine(Architecture::X86_64) => {
                "apt-get download $(apt-cache depends linux-image-cloud-amd64 | grep -o 'linux-image-[0-9].*') && \
                 forger kernel add linux-image-*.deb keeps one, without being root"
            }
            Self::Machine(_) => {
                "apt-get download $(apt-cache depends linux-image-cloud-arm64 | grep -o 'linux-image-[0-9].*') && \
                 forger kernel add linux-image-*.deb keeps one, without being root"
            }
        }
    }
}

/// Finds the kernel for a guest.
///
/// # Errors
/// No kernel that the backend takes; what helps.
pub(crate) fn find(takes: Takes, wish: &Wish<'_>) -> Result<Found, Failure> {
    if let Some(named) = wish.named {
        let found = by_name(named)?;
        return match takes.takes(&found.kernel.image) {
            true => Ok(found),
            false => Err(Failure::failed(format!("cannot use {}", found.place))
                .because(format!(
                    "it is a kernel of kind {}, and the backend takes {}",
                    slot(&found.kernel.image),
                    takes.slot()
                ))
                .help("--backend chooses another backend, --kernel another kernel")),
        };
    }
    if let Some(meant) = wish.meant {
        let found = by_name(meant)?;
        if takes.takes(&found.kernel.image) {
            return Ok(found);
        }
    }
    // What is found first is all that is read.
    let found = stored(takes)?
        .or_else(|| in_image(takes, wish.system.as_ref()?))
        .or_else(|| host_uml(takes))
        .or_else(|| host_boot(takes));
    found.ok_or_else(|| {
        Failure::failed("there is no kernel for the guest")
            .because(format!(
                "none of kind {} is kept or found here",
                takes.slot()
            ))
            .help(takes.help())
    })
}

/// Checks that the kernel that is named can be read, where one is, before any backend is asked.
///
/// # Errors
/// One that cannot; what helps.
pub(crate) fn check_named(wish: &Wish<'_>) -> Result<(), Failure> {
    wish.named.map_or(Ok(()), |named| by_name(named).map(drop))
}

/// Returns a kernel that was asked for.
fn by_name(named: &OsStr) -> Result<Found, Failure> {
    let path = Path::new(named);
    let plain = named.to_str().filter(|name| !name.contains('/'));
    if let Some(name) = plain
        && !path.exists()
        && let Some(stored) = Kernels::open()?.get(name)?
    {
        return found(stored.kernel(), format!("the kernel {name}"));
    }
    let failed = Kernel::open(path);
    let shown = path.display().to_string();
    found(failed, shown).map_err(|failure| {
        failure.help("--kernel takes a file, or a name that forger kernel ls lists")
    })
}

fn found(kernel: Result<Kernel, Error>, place: String) -> Result<Found, Failure> {
    match kernel {
        Ok(kernel) => Ok(Found { kernel, place }),
        Err(error) => Err(Failure::failed(format!("cannot use {place}")).because(error)),
    }
}

/// Returns the one that is kept and taken where none is named.
fn stored(takes: Takes) -> Result<Option<Found>, Failure> {
    // Whoever has no folder for them keeps none, nor does who may not look into it: HOME can be another user's.
    let Ok(kernels) = Kernels::open() else {
        return Ok(None);
    };
    let looked = fs::read_dir(kernels.folder());
    if looked.is_err_and(|error| error.kind() == std::io::ErrorKind::PermissionDenied) {
        return Ok(None);
    }
    let Some(stored) = kernels.default(&takes.slot())? else {
        return Ok(None);
    };
    let place = format!("the kernel {}", stored.facts.name);
    found(stored.kernel(), place).map(Some)
}

/// Returns the newest of the root filesystem; what cannot be read there is not looked at.
fn in_image(takes: Takes, image: &Arc<ext4::Image>) -> Option<Found> {
    if takes == Takes::Uml {
        return None;
    }
    let kernels = boot::kernels(image).ok()?;
    kernels.iter().find_map(|kernel| {
        let bytes = take::contents(kernel).ok()?;
        let scratch = config::scratch_folder();
        let found = Kernel::of_bytes(&bytes, &scratch).ok()?;
        let files = take::modules(Arc::clone(image), &kernel.version);
        takes.takes(&found.image).then(|| Found {
            kernel: found.with_modules(Arc::new(files)),
            place: format!("the root filesystem's {}", kernel.path),
        })
    })
}

/// Returns User-Mode Linux as it is installed here.
fn host_uml(takes: Takes) -> Option<Found> {
    let path = config::program(&["linux.uml"]).filter(|_| takes == Takes::Uml)?;
    let kernel = Kernel::open(&path).ok()?;
    let release = kernel.image.release.clone().unwrap_or_default();
    let place = format!("this machine's {}", path.display());
    let modules = Path::new("/usr/lib/uml/modules").join(release);
    Some(Found {
        kernel: with_folder(kernel, modules),
        place,
    })
}

/// Returns the newest kernel of this machine that may be read.
fn host_boot(takes: Takes) -> Option<Found> {
    let entries = fs::read_dir("/boot").ok()?.flatten();
    let mut paths: Vec<(String, PathBuf)> = entries
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let release = name.strip_prefix("vmlinuz-")?.to_owned();
            Some((release, entry.path()))
        })
        .collect();
    paths.sort_by(|(a, _), (b, _)| boot::compare_versions(b, a));
    paths.into_iter().find_map(|(release, path)| {
        let kernel = Kernel::open(&path).ok()?;
        let modules = Path::new("/lib/modules").join(release);
        takes.takes(&kernel.image).then(|| Found {
            kernel: with_folder(kernel, modules),
            place: format!("this machine's {}", path.display()),
        })
    })
}

fn with_folder(kernel: Kernel, folder: PathBuf) -> Kernel {
    match folder.is_dir() {
        true => kernel.with_modules(Arc::new(Folder(folder))),
        false => kernel,
    }
}

/// Lists the kernels that are kept, each with what is wrong with it, and those of this machine.
///
/// # Errors
/// A folder of kernels that cannot be read.
pub(crate) fn listed() -> Result<Vec<Result<Found, Failure>>, Failure> {
    let mut all = Vec::new();
    if let Ok(kernels) = Kernels::open() {
        for stored in kernels.list()? {
            let place = format!("the kernel {}", stored.facts.name);
            all.push(found(stored.kernel(), place));
        }
    }
    all.extend(host_uml(Takes::Uml).map(Ok));
    let machines = [Architecture::X86_64, Architecture::Aarch64].map(Takes::Machine);
    all.extend(machines.into_iter().filter_map(host_boot).map(Ok));
    Ok(all)
}
