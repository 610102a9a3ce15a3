//! `forger kernel add FILE...`

use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};

use forger_vm::kernel::{Folder, MAX_FILE, ModuleFiles, Piece, Place};

use super::KeepArgs;
use crate::args::Global;
use crate::exit::Failure;
use crate::guest::kernel::{Adding, Kernels, Stored, take};
use crate::progress::Console;

/// Keeps a kernel out of files: a kernel, Debian packages, a kernel bundle or another tar
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
A kernel is a bzImage, an Image of arm64, a vmlinux or a linux.uml. Packages (.deb) are read
natively; kernel and modules may come in several of them. A metapackage names the package that it
stands for.

Examples:
  apt-get download linux-image-6.1.0-18-cloud-amd64 && forger kernel add linux-image-*.deb
  forger kernel add /boot/vmlinuz-6.1.0-18-amd64 --modules /lib/modules/6.1.0-18-amd64 --name host
  forger kernel add cloud-x86_64.kernel.tar.zst --default

Prints name and path. Exit status: 0 done, 1 failed, 2 wrong usage, 130 or 143 stopped by a signal.")]
pub(super) struct Args {
    /// A kernel, packages with one and its modules, a kernel bundle or another tar (repeatable)
    #[arg(value_name = "FILE", required = true)]
    files: Vec<OsString>,

    /// Takes the modules from a folder, as lib/modules/RELEASE is one [default: those in FILE]
    #[arg(long, value_name = "DIR")]
    modules: Option<PathBuf>,

    #[command(flatten)]
    keep: KeepArgs,
}

/// Keeps the kernel and prints what it is.
pub(super) fn run(args: &Args, global: Global) -> Result<(), Failure> {
    let mut console = Console::start(global)?;
    let added = add(args, &mut console);
    let stored = console.conclude(added)?;
    super::report(&stored, global)
}

fn add(args: &Args, console: &mut Console) -> Result<Stored, Failure> {
    let mut adding = Adding::begin(&Kernels::open()?, console.signals())?;
    console.start_phase("read");
    for path in &args.files {
        let shown = path.display().to_string();
        let file = File::open(path)
            .map_err(|error| Failure::failed(format!("cannot read {shown}")).because(error))?;
        take(&mut adding, file, &shown)?;
    }
    if let Some(folder) = &args.modules {
        modules(&mut adding, folder)?;
    }
    console.finishing();
    adding.finish(&args.keep.keep())
}

/// Takes the modules of a folder; its lists are made anew.
fn modules(adding: &mut Adding, folder: &Path) -> Result<(), Failure> {
    let shown = folder.display().to_string();
    let failed = |error: forger_vm::kernel::Error| {
        Failure::failed(format!("cannot take the modules in {shown}")).because(error)
    };
    let files = Folder(folder.to_owned());
    let builtin = "modules.builtin".to_owned();
    for path in files.list().map_err(failed)?.into_iter().chain([builtin]) {
        let place = Place::of(&format!("modules/{path}")).map_err(failed)?;
        let bytes = files.read(&path, MAX_FILE).map_err(failed)?;
        if let (Some(place), Some(bytes)) = (place, bytes) {
            adding.piece(Piece { place, bytes }, &shown)?;
        }
    }
    Ok(())
}
