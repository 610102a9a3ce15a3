//! `forger oci rm oci:DIR[:NAME]`

use std::ffi::OsString;

use forger_oci::Transport;
use forger_oci::layout::{Layout, LayoutFolder};
use serde_json::json;

use super::transport;
use crate::args::size::human;
use crate::args::{Format, Global};
use crate::exit::Failure;
use crate::print::{self, Stream};
use crate::progress::Console;
use crate::remedy;

/// Takes an image out of a layout, with the blobs that no other image needs
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
With a name, that name goes; with a digest, all names of that image. Blobs go once no image of the
layout needs them; while somebody else writes to the layout, --keep-blobs leaves them.

Examples:
  forger oci rm oci:images:old

Exit status: 0 done, 1 failed, 2 wrong usage (forger --help says more).")]
pub(super) struct Args {
    /// The image: oci:DIR[:NAME] or oci:DIR@DIGEST
    #[arg(value_name = "IMAGE")]
    image: OsString,

    /// Leaves all blobs where they are
    #[arg(long)]
    keep_blobs: bool,
}

/// Removes the image.
pub(super) fn run(args: &Args, global: Global) -> Result<(), Failure> {
    let mut console = Console::start(global)?;
    let removed = remove(args);
    let (images, blobs, bytes) = console.conclude(removed)?;
    let text = match global.output {
        Format::Text => format!("{images} images, {blobs} blobs, {}\n", human(bytes)),
        Format::Json => {
            print::json_line(&json!({ "images": images, "blobs": blobs, "bytes": bytes }))
        }
    };
    print::result(Stream::Stdout, &text)
}

fn remove(args: &Args) -> Result<(usize, u64, u64), Failure> {
    let place = transport(&args.image)?;
    let Transport::Layout(path, name) = &place else {
        return Err(Failure::usage(format!("cannot remove {place}"))
            .help("only layouts, oci:DIR:NAME, are changed"));
    };
    let failed = |error| remedy::oci(format!("cannot remove {place}"), error);
    // A folder that is no layout is not made one.
    Layout::open(path, name.clone()).map_err(failed)?;
    let layout = LayoutFolder::create(path, name.clone(), true).map_err(failed)?;
    let images = layout.unlist().map_err(failed)?;
    let (blobs, bytes) = match args.keep_blobs {
        true => (0, 0),
        false => layout.collect().map_err(failed)?,
    };
    Ok((images, blobs, bytes))
}
