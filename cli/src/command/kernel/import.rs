//! `forger kernel import --from IMAGE`

use std::ffi::OsString;
use std::sync::Arc;

use forger_fs::ext4::Image;

use super::KeepArgs;
use crate::args::Global;
use crate::args::source::{Named, SourceArgs};
use crate::exit::Failure;
use crate::guest::kernel::{Adding, Kernels, Stored, from_image};
use crate::guest::root::{self, Planned};
use crate::input::Way;
use crate::progress::Console;

/// Keeps the kernel of a root filesystem, with its modules
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Kernels are looked for in /boot and in /usr/lib/modules, as distributions put them there.

Examples:
  forger kernel import --from vm.qcow2#root
  forger kernel import --from rootfs.tar --release 6.1.0-18-cloud-amd64 --name cloud

Prints name and path. Exit status: 0 done, 1 failed, 2 wrong usage, 130 or 143 stopped by a signal.")]
pub(super) struct Args {
    /// Where the root filesystem is: an image, a partition of one, a tar, a folder, a container image
    #[arg(long, value_name = "SOURCE")]
    from: OsString,

    /// The kernel's release [default: the newest]
    #[arg(long, value_name = "RELEASE")]
    release: Option<String>,

    #[command(flatten)]
    keep: KeepArgs,
}

/// Keeps the kernel and prints what it is.
pub(super) fn run(args: &Args, global: Global) -> Result<(), Failure> {
    let mut console = Console::start(global)?;
    let imported = import(args, &mut console);
    let stored = console.conclude(imported)?;
    super::report(&stored, global)
}

fn import(args: &Args, console: &mut Console) -> Result<Stored, Failure> {
    let named = Named::any(&args.from);
    let shown = named.shown();
    // Nothing is added to it: the filesystem needs no room.
    let (size, way) = (root::size(0), Way::InPlace);
    let planned = Planned::open(&named, &SourceArgs::default(), size, way, console)?;
    let image = Image::open(Arc::clone(&planned.base))
        .map_err(|error| Failure::failed(format!("cannot read {shown}")).because(error))?;
    let mut adding = Adding::begin(&Kernels::open()?, console.signals())?;
    from_image(&mut adding, &image, args.release.as_deref(), &shown)?;
    console.finishing();
    adding.finish(&args.keep.keep())
}
