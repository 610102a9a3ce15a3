//! `forger kernel pull NAME|URL`

use super::KeepArgs;
use crate::args::Global;
use crate::args::catalog::CatalogArgs;
use crate::args::network::NetworkArgs;
use crate::command::bundle::DigestArgs;
use crate::exit::Failure;
use crate::guest::kernel::{Adding, Keep, Kernels, Stored, fetch};
use crate::network::locate::Query;
use crate::progress::Console;

/// Fetches a kernel of a catalog, or from an URL, and keeps it once it is verified
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
What is fetched is whatever forger kernel add takes: a kernel bundle, a package, a kernel by itself.
Nothing of it is looked at before its SHA-256 is that of the catalog or of --sha256.

Examples:
  forger kernel pull cloud --catalog https://example.org/catalog.json
  forger kernel pull oci://ghcr.io/org/kernel:6.1 --default
  forger kernel pull https://example.org/linux-image.deb --sha256 107d97...

Prints name and path. Exit status: 0 done, 1 failed, 2 wrong usage, 130 or 143 stopped by a signal.")]
pub(super) struct Args {
    /// The name of a kernel in the catalog, or an http:, https:, oci: or file: URL
    #[arg(value_name = "NAME|URL")]
    source: String,

    #[command(flatten)]
    catalog: CatalogArgs,

    /// The architecture, where the catalog has several [default: the only one]
    #[arg(long, value_name = "ARCH")]
    arch: Option<String>,

    #[command(flatten)]
    digest: DigestArgs,

    #[command(flatten)]
    keep: KeepArgs,

    #[command(flatten)]
    network: NetworkArgs,
}

/// Fetches the kernel and prints what it is.
pub(super) fn run(args: &Args, global: Global) -> Result<(), Failure> {
    let mut console = Console::start(global)?;
    let pulled = pull(args, &mut console);
    let stored = console.conclude(pulled)?;
    super::report(&stored, global)
}

fn pull(args: &Args, console: &mut Console) -> Result<Stored, Failure> {
    let query = Query {
        kind: "kernel",
        name: &args.source,
        catalog: args.catalog.catalog.as_deref(),
        arch: args.arch.as_deref(),
        sha256: args.digest.sha256,
    };
    let (network, wanted) = query.locate(&args.network, console)?;
    let mut adding = Adding::begin(&Kernels::open()?, console.signals())?;
    fetch(&mut adding, &network, &wanted, console)?;
    console.finishing();
    let keep = args.keep.keep();
    // What the catalog calls it, it is called here.
    let listed = wanted.entry.map(|entry| entry.name);
    adding.finish(&Keep {
        name: keep.name.clone().or(listed),
        ..keep
    })
}
