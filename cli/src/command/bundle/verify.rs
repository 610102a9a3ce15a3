//! `forger bundle verify FILE`

use forger::bundle;

use super::{DigestArgs, FileArgs};
use crate::args::{Format, Global};
use crate::exit::Failure;
use crate::print::{self, Stream};
use crate::progress::Console;
use crate::remedy;

/// Checks that a bundle is whole and what its manifest says
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Reads the bundle once, from its start to its end, and checks that it holds rootfs.ext4 and
manifest.json and nothing else, the image's size and BLAKE3 as the manifest has them, and the
bundle's SHA-256 if one is given.

Examples:
  forger bundle verify debian-x86_64-8812e888670c.tar.zst
  curl -s https://example.org/app.tar.zst | forger bundle verify - --sha256 107d97...

Exit status: 0 all is right, 1 it is not, 2 wrong usage (forger --help says more).")]
pub(super) struct Args {
    #[command(flatten)]
    file: FileArgs,

    #[command(flatten)]
    digest: DigestArgs,
}

/// Verifies the bundle and prints its digests.
pub(super) fn run(args: &Args, global: Global) -> Result<(), Failure> {
    let mut console = Console::start(global)?;
    let facts = args.file.open(&mut console).and_then(|stream| {
        bundle::verify(stream, args.digest.sha256, &mut console).map_err(|error| {
            remedy::open(format!("{} is no sound bundle", args.file.shown()), error)
        })
    });
    let facts = console.conclude(facts)?;
    super::note_unverified(&facts, &mut console);
    let report = match global.output {
        Format::Text => super::text(&args.file.file, &facts),
        Format::Json => print::json_line(&super::object(&args.file.file, &facts)),
    };
    print::result(Stream::Stdout, &report)
}
