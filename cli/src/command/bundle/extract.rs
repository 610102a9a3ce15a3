//! `forger bundle extract FILE --out FILE|DIR`

use std::ffi::OsString;

use forger::bundle::{self, Facts};

use super::{DigestArgs, FileArgs};
use crate::args::run::WriteArgs;
use crate::args::{Format, Global};
use crate::exit::Failure;
use crate::output::extracted::Extracted;
use crate::print::{self, Stream};
use crate::progress::Console;
use crate::remedy;

/// Takes the image out of a bundle, once it is verified
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
The image appears only when everything that forger bundle verify checks is right; runs of zeros are
holes again.

Examples:
  forger bundle extract app.tar.zst --out rootfs.ext4
  forger bundle extract app.tar.zst --out . --sha256 107d97...
  curl -s https://example.org/app.tar.zst | forger bundle extract - --out rootfs.ext4

Exit status: 0 done, 1 failed, 2 wrong usage, 130 or 143 stopped by a signal.")]
pub(super) struct Args {
    #[command(flatten)]
    file: FileArgs,

    /// Where the image goes: a file, a block device (with --force), a FIFO, - for standard output,
    /// or a folder, for rootfs.ext4 and manifest.json in it
    #[arg(short, long, value_name = "FILE|DIR|-", required = true)]
    out: OsString,

    #[command(flatten)]
    digest: DigestArgs,

    #[command(flatten)]
    write: WriteArgs,
}

/// Extracts the image and prints what it is.
pub(super) fn run(args: &Args, global: Global) -> Result<(), Failure> {
    let mut console = Console::start(global)?;
    let extracted = extract(args, &mut console);
    let (path, stream, facts) = console.conclude(extracted)?;
    super::note_unverified(&facts, &mut console);
    let report = match global.output {
        Format::Text => format!("path    {path}\n{}", super::text(&args.file.file, &facts)),
        Format::Json => {
            let mut object = super::object(&args.file.file, &facts);
            object["bundle"] = object["path"].take();
            object["path"] = path.into();
            print::json_line(&object)
        }
    };
    print::summary(stream, global, &report)
}

fn extract(args: &Args, console: &mut Console) -> Result<(String, Stream, Facts), Failure> {
    let output = Extracted::check(&args.out, args.write)?;
    let stream = args.file.open(console)?;
    let mut sink = output.open(console.signals())?;
    let facts =
        bundle::extract(stream, args.digest.sha256, sink.image(), console).map_err(|error| {
            remedy::open(
                format!("cannot extract the image from {}", args.file.shown()),
                error,
            )
        })?;
    console.finishing();
    let path = output.publish(sink, &facts.manifest_json)?;
    Ok((path, output.result_stream(), facts))
}
