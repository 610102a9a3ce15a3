//! `forger kernel default NAME`

use crate::args::Global;
use crate::exit::Failure;
use crate::guest::kernel::Kernels;

/// Chooses the kernel that guests get where none is named
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
There is one for User-Mode Linux and one for machines of each architecture. Without a choice it is
the kernel that was added last.

Examples:
  forger kernel default 6.1.0-18-cloud-amd64

Prints name and path. Exit status: 0 done, 1 failed, 2 wrong usage (forger --help says more).")]
pub(super) struct Args {
    /// Which kernel, as kernel ls names it
    #[arg(value_name = "NAME")]
    name: String,
}

/// Chooses it.
pub(super) fn run(args: &Args, global: Global) -> Result<(), Failure> {
    let kernels = Kernels::open()?;
    let stored = kernels.named(&args.name)?;
    kernels.choose(&stored)?;
    super::report(&stored, global)
}
