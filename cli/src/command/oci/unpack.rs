//! `forger oci unpack IMAGE DIR`

use std::ffi::OsString;
use std::path::Path;

use forger_fs::ext4::Layer;
use forger_fs::source::Source;
use forger_oci::layer::{self, LayerOptions};
use forger_oci::rootless;
use serde_json::Value;

use super::ImageArgs;
use crate::args::run::WriteArgs;
use crate::args::{Format, Global};
use crate::command::extract::folder::write_tree;
use crate::config::{self, Environment};
use crate::exit::Failure;
use crate::print::{self, Stream};
use crate::progress::Console;
use crate::remedy;

/// Unpacks an image into a folder
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Root gets everything as the image has it. An ordinary user gets files of his own, and what he cannot
set (owners, setuid bits, capabilities, devices, flags) in extended attributes: owners in
user.rootlesscontainers, as umoci writes it, the rest in user.forger.*. forger oci pack and --rootless
restore it. DIR must be new or empty, and appears whole or not at all.

Examples:
  forger oci unpack oci:image:latest rootfs
  forger oci unpack --platform linux/arm64 oci-archive:app.tar rootfs

Exit status: 0 done, 1 failed, 2 wrong usage (forger --help says more).")]
pub(super) struct Args {
    #[command(flatten)]
    image: ImageArgs,

    /// The folder to make
    #[arg(value_name = "DIR")]
    dest: OsString,

    /// Keeps owners and the like in extended attributes for root, too
    #[arg(long)]
    rootless: bool,

    /// Fails when anything cannot be kept
    #[arg(long)]
    strict: bool,

    #[command(flatten)]
    write: WriteArgs,
}

/// Unpacks the image.
pub(super) fn run(args: &Args, global: Global) -> Result<(), Failure> {
    let mut console = Console::start(global)?;
    let unpacked = unpack(args, &mut console);
    let result = console.conclude(unpacked)?;
    match global.output {
        Format::Json => print::result(Stream::Stdout, &print::json_line(&result)),
        Format::Text => Ok(()),
    }
}

fn unpack(args: &Args, console: &mut Console) -> Result<Value, Failure> {
    let image = args.image.open(console)?;
    let options = LayerOptions {
        threads: config::processors(),
        ..LayerOptions::default()
    };
    let (mut sources, _) = image.layers(&options)?;
    let mut layers: Vec<Layer<'_>> = sources
        .iter_mut()
        .map(|source| Layer {
            source: source as &mut dyn Source,
            overlay: false,
        })
        .collect();
    console.start_phase("read");
    let what = || format!("cannot unpack {}", args.image.image.display());
    let mut tree = layer::collect(&mut layers, &config::scratch_folder(), console)
        .map_err(|error| remedy::collect(what(), error))?;
    let uid = Environment::real().uid;
    if args.rootless || uid != 0 {
        rootless::keep(&mut tree, uid, config::group())
            .map_err(|error| Failure::failed(what()).because(error))?;
    }
    write_tree(
        &tree,
        Path::new(&args.dest),
        args.strict,
        args.write,
        console,
    )
}
