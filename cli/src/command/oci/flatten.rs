//! `forger oci flatten IMAGE OUT`

use std::ffi::OsString;

use forger_fs::ext4::Layer;
use forger_fs::source::Source;
use forger_fs::tar::{WriteOptions, Writer};
use forger_fs::tree::{Content, Tree};
use forger_oci::layer::{self, LayerOptions};

use super::ImageArgs;
use super::changed::{Changed, CompressArgs, DestinationArgs, WriteArgs};
use super::pack::{empty, layer_of};
use crate::args::Global;
use crate::command::extract::tar::Sink;
use crate::config;
use crate::exit::Failure;
use crate::oci::Image;
use crate::output::Output;
use crate::print::{self, Stream};
use crate::progress::Console;
use crate::remedy;

/// Makes one layer, or a tar, of all layers of an image
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
OUT is an image (oci:DIR[:NAME], oci-archive:FILE, docker-archive:FILE, oci://REGISTRY/NAME), or a tar: a
file, or - for standard output. An image keeps its configuration; its history becomes one step. A tar
is deterministic. forger mkfs IMAGE and forger make-bundle IMAGE make filesystems of images directly.

Examples:
  forger oci flatten oci:image:latest oci:image:flat
  forger oci flatten docker-archive:app.tar - | tar -tvf -

Exit status: 0 done, 1 failed, 2 wrong usage (forger --help says more).")]
pub(super) struct Args {
    #[command(flatten)]
    image: ImageArgs,

    /// The image or tar to make
    #[arg(value_name = "OUT")]
    out: OsString,

    #[command(flatten)]
    compress: CompressArgs,

    #[command(flatten)]
    write: WriteArgs,
}

/// Flattens the image.
pub(super) fn run(args: &Args, global: Global) -> Result<(), Failure> {
    let mut console = Console::start(global)?;
    let flattened = flatten(args, global, &mut console);
    let text = console.conclude(flattened)?;
    print::result(Stream::Stdout, &text)
}

fn flatten(args: &Args, global: Global, console: &mut Console) -> Result<String, Failure> {
    let (image, network) = args.image.open_for(Some(&args.out), console)?;
    let place = crate::oci::transport(&args.out)?;
    if place.is_none() {
        return tar(args, &image, console).map(|()| String::new());
    }
    let to = DestinationArgs {
        write: &args.write,
        network: &network,
    };
    let mut changed = Changed::begin(&image, Some(&args.out), &to, console)?;
    let tree = tree(&image, console)?;
    console.start_phase("flatten");
    let workshop = changed.destination.workshop();
    let written = layer_of(&empty(), &tree, workshop, &args.compress)?;
    changed.draft.clear_layers();
    changed
        .draft
        .append(&written, args.write.history("forger oci flatten", true));
    changed.finish(global, console)
}

/// Lays all layers of an image over each other.
pub(super) fn tree(image: &Image, console: &mut Console) -> Result<Tree<Content>, Failure> {
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
    layer::collect(&mut layers, &config::scratch_folder(), console)
        .map_err(|error| remedy::collect(format!("cannot read {}", image.shown()), error))
}

fn tar(args: &Args, image: &Image, console: &mut Console) -> Result<(), Failure> {
    let output = Output::check(&args.out, args.write.of_file())?;
    let tree = tree(image, console)?;
    let what = || format!("cannot make {}", output.product());
    let options = WriteOptions {
        acls_as_xattrs: true,
        ..WriteOptions::default()
    };
    let mut writer = Writer::with_options(Sink(output.open_forward(console.signals())?), options);
    let sink = writer
        .append_tree(&tree)
        .and_then(|()| writer.finish())
        .map_err(|error| Failure::failed(what()).because(error))?;
    sink.0
        .finish()
        .map_err(|error| remedy::block(what(), error))
}
