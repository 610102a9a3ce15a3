//! `forger oci diff A B -o OUT`

use std::ffi::OsString;

use forger_oci::layer;
use serde_json::json;

use super::pack;
use crate::args::run::WriteArgs;
use crate::args::source::{SOURCE_HELP, SourceArgs};
use crate::args::{Format, Global};
use crate::command::extract::tar::Sink;
use crate::exit::Failure;
use crate::output::Output;
use crate::print;
use crate::progress::Console;
use crate::remedy;

/// Makes the layer that, laid over A, gives B
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
A and B are anything that forger mkfs takes: images, folders, tars, filesystems. The layer is a
plain tar with whiteouts for what is gone; equal inputs give equal bytes. forger oci append puts it on
an image. forger diff shows what differs.

Examples:
  forger oci diff oci:image:old oci:image:new -o layer.tar
  forger oci diff oci:image:base ./rootfs -o - | zstd > layer.tar.zst

Exit status: 0 done, 1 failed, 2 wrong usage (forger --help says more).")]
pub(super) struct Args {
    #[arg(value_name = "A", help = SOURCE_HELP)]
    lower: OsString,

    /// What it shall become: the same
    #[arg(value_name = "B")]
    upper: OsString,

    /// The layer to make: a file, or - for standard output
    #[arg(short, long, value_name = "FILE|-")]
    out: OsString,

    #[command(flatten)]
    write: WriteArgs,

    #[command(flatten)]
    source: SourceArgs,
}

/// Makes the layer.
pub(super) fn run(args: &Args, global: Global) -> Result<(), Failure> {
    let mut console = Console::start(global)?;
    let made = make(args, &mut console);
    let (output, changes) = console.conclude(made)?;
    let text = match global.output {
        Format::Text => format!("{} entries, {} removed\n", changes.entries, changes.removed),
        Format::Json => print::json_line(&json!({
            "path": output.path(),
            "entries": changes.entries,
            "removed": changes.removed,
        })),
    };
    print::summary(output.result_stream(), global, &text)
}

fn make(args: &Args, console: &mut Console) -> Result<(Output, layer::Changes), Failure> {
    let output = Output::check(&args.out, args.write)?;
    let mut source = args.source.clone();
    source.network.registries = crate::oci::hosts([&args.lower, &args.upper])?;
    let lower = pack::tree(&args.lower, &source, console)?;
    let upper = pack::tree(&args.upper, &source, console)?;
    let what = || format!("cannot make {}", output.product());
    console.start_phase("compare");
    let sink = Sink(output.open_forward(console.signals())?);
    let (sink, changes) = layer::diff(&lower, &upper, sink, &Default::default())
        .map_err(|error| Failure::failed(what()).because(error))?;
    sink.0
        .finish()
        .map_err(|error| remedy::block(what(), error))?;
    Ok((output, changes))
}
