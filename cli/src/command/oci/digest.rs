//! `forger oci digest IMAGE`

use serde_json::json;

use super::ImageArgs;
use crate::args::{Format, Global};
use crate::exit::Failure;
use crate::print::{self, Stream};
use crate::progress::Console;
use crate::remedy;

/// Prints the digest that an image is known by
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Of an image for several platforms it is the index's, unless --platform chooses one. The manifest is
read and verified.

Examples:
  forger oci digest oci:app
  forger oci digest oci-archive:app.tar:1.2 --platform linux/arm64

Exit status: 0 done, 1 failed, 2 wrong usage (forger --help says more).")]
pub(super) struct Args {
    #[command(flatten)]
    image: ImageArgs,
}

/// Prints the digest.
pub(super) fn run(args: &Args, global: Global) -> Result<(), Failure> {
    let mut console = Console::start(global)?;
    let digest = digest(args, &console);
    let digest = console.conclude(digest)?;
    let text = match global.output {
        Format::Text => format!("{digest}\n"),
        Format::Json => print::json_line(&json!({ "digest": digest })),
    };
    print::result(Stream::Stdout, &text)
}

fn digest(args: &Args, console: &Console) -> Result<String, Failure> {
    if args.image.platform.is_some() {
        return Ok(args.image.open(console)?.descriptor.digest().to_string());
    }
    let transport = args.image.transport()?;
    let failed = |error| remedy::oci(format!("cannot read {transport}"), error);
    let images = crate::oci::open(&transport, &args.image.network, console)?;
    let root = images.root().map_err(failed)?;
    forger_oci::manifest::Manifest::read(&*images, &root).map_err(failed)?;
    Ok(root.digest().to_string())
}
