//! `forger copy SRC DST`

use std::ffi::OsString;

use forger_oci::{Platform, Transport, manifest, registry};
use serde_json::{Value, json};

use crate::args::network::{JobsArgs, NetworkArgs};
use crate::args::reference;
use crate::args::run::WriteArgs;
use crate::args::size::{self, human};
use crate::args::{Format, Global};
use crate::config;
use crate::exit::Failure;
use crate::network::Network;
use crate::network::transfer::{self, Transfer};
use crate::print::{self, Stream};
use crate::progress::Console;
use crate::remedy;

/// Copies an image from one place to another: registries, layouts, archives
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
An image for several platforms is copied whole, unless --platform chooses one. What is there already
is not copied again; within one registry blobs are mounted rather than sent.

Examples:
  forger copy oci://debian:12 oci://registry.example.org/base/debian:12
  forger copy docker-archive:saved.tar oci:layout:app
  forger copy oci://ghcr.io/org/app:1 oci-archive:app.tar --platform linux/arm64

Exit status: 0 done, 1 failed, 2 wrong usage, 130 or 143 stopped by a signal.")]
pub(crate) struct Args {
    /// The image: oci:DIR[:NAME], oci-archive:FILE[:NAME], docker-archive:FILE[:NAME], or a registry's,
    /// with or without oci:// before it
    #[arg(value_name = "SRC")]
    source: OsString,

    /// Where it goes, written in the same way
    #[arg(value_name = "DST")]
    dest: OsString,

    /// Copies one platform of an image for several: os/arch or os/arch/variant [default: all]
    #[arg(long, value_name = "OS/ARCH")]
    platform: Option<Platform>,

    /// Sends blobs in chunks of this length [default: whole, and in chunks of 4M where that fails]
    #[arg(long, value_name = "SIZE", value_parser = size::parse)]
    chunk_size: Option<u64>,

    #[command(flatten)]
    jobs: JobsArgs,

    #[command(flatten)]
    network: NetworkArgs,

    #[command(flatten)]
    write: WriteArgs,
}

/// Copies, and prints what.
pub(super) fn run(args: &Args, global: Global) -> Result<(), Failure> {
    let (source, dest) = (named(&args.source)?, named(&args.dest)?);
    let mut console = Console::start(global)?;
    let copied = copy(args, &source, &dest, &mut console);
    let object = console.conclude(copied)?;
    let report = match global.output {
        Format::Text => {
            let size = object["size"].as_u64().map(human).unwrap_or_default();
            let digest = object["digest"].as_str().unwrap_or_default();
            format!("{dest}\n{digest}\n{size}\n")
        }
        Format::Json => print::json_line(&object),
    };
    print::result(Stream::Stdout, &report)
}

/// A bare reference means a registry here.
fn named(typed: &OsString) -> Result<Transport, Failure> {
    match crate::oci::transport(typed)? {
        Some(transport) => Ok(transport),
        None => reference::parse(&typed.to_string_lossy()).map(Transport::Registry),
    }
}

fn copy(
    args: &Args,
    source: &Transport,
    dest: &Transport,
    console: &mut Console,
) -> Result<Value, Failure> {
    let hosts: Vec<&str> = [source, dest]
        .into_iter()
        .filter_map(crate::oci::host)
        .collect();
    let network = Network::start(&args.network, &hosts, console)?;
    let options = registry::Options {
        chunk: args.chunk_size,
        ..transfer::options(Some(source), dest)
    };
    console.start_phase("copy");
    let failed = |error| remedy::oci(format!("cannot copy {source} to {dest}"), error);
    let images = transfer::source(source, &network)?;
    let mut root = images.root().map_err(failed)?;
    if args.platform.is_some() {
        let platform = args.platform.as_ref();
        let image = manifest::image(&*images, &root, platform, &config::platform());
        root = image.map_err(failed)?.descriptor;
    }
    let sink = transfer::sink(dest, &network, options, args.write)?;
    let transfer = Transfer {
        source: &*images,
        sink: &*sink,
        root,
        jobs: args.jobs.jobs,
        foreign: args.network.fetch_foreign,
    };
    let copied = transfer.run(console).map_err(failed)?;
    Ok(json!({
        "source": source.to_string(),
        "destination": dest.to_string(),
        "digest": transfer.root.digest().to_string(),
        "size": copied.bytes,
        "blobs": copied.blobs,
    }))
}
