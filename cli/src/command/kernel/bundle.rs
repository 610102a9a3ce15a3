//! `forger kernel bundle NAME -o FILE`

use std::ffi::OsString;
use std::path::Path;

use crate::args::run::WriteArgs;
use crate::args::{Format, Global};
use crate::command::extract::tar::Sink;
use crate::exit::Failure;
use crate::guest::kernel::{Kernels, write};
use crate::output::Output;
use crate::print;
use crate::progress::Console;
use crate::remedy;

/// The level of zstd: what modules weigh is what counts.
const LEVEL: i32 = 12;

/// Makes one file of a kernel that is kept, with its modules
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
The bundle is a tar, compressed with zstd, which forger kernel add and pull take, and forger push
takes to a registry. Equal kernels give equal bytes.

Examples:
  forger kernel bundle 6.1.0-18-cloud-amd64 -o .
  forger push cloud.kernel.tar.zst ghcr.io/org/kernel:6.1

Prints path. Exit status: 0 done, 1 failed, 2 wrong usage, 130 or 143 stopped by a signal.")]
pub(super) struct Args {
    /// The kernel, as forger kernel ls lists it
    #[arg(value_name = "NAME")]
    name: String,

    /// Where the bundle goes: a file, - for standard output, or a folder, for NAME.kernel.tar.zst in it
    #[arg(short, long, value_name = "FILE|DIR|-")]
    out: OsString,

    #[command(flatten)]
    write: WriteArgs,
}

/// Makes the bundle and prints where it is.
pub(super) fn run(args: &Args, global: Global) -> Result<(), Failure> {
    let mut console = Console::start(global)?;
    let made = make(args, &mut console);
    let output = console.conclude(made)?;
    let report = match global.output {
        Format::Text => format!("{}\n", output.path()),
        Format::Json => print::json_line(&serde_json::json!({ "path": output.path() })),
    };
    print::summary(output.result_stream(), global, &report)
}

fn make(args: &Args, console: &mut Console) -> Result<Output, Failure> {
    let stored = Kernels::open()?.named(&args.name)?;
    let folder = Path::new(&args.out);
    let path = match folder.is_dir() {
        true => folder.join(format!("{}.kernel.tar.zst", args.name)).into(),
        false => args.out.clone(),
    };
    let output = Output::check(&path, args.write)?;
    let what = || format!("cannot make {}", output.shown());
    let failed = |error: std::io::Error| Failure::failed(what()).because(error);
    console.start_phase("write");
    let sink = Sink(output.open_forward(console.signals())?);
    let encoder = zstd::Encoder::new(sink, LEVEL).map_err(failed)?;
    let encoder =
        write(&stored, encoder).map_err(|error| Failure::failed(what()).because(error))?;
    let sink = encoder.finish().map_err(failed)?;
    console.finishing();
    sink.0
        .finish()
        .map_err(|error| remedy::block(what(), error))?;
    Ok(output)
}
