//! `forger oci pack SOURCE IMAGE`

use std::ffi::OsString;
use std::path::Path;

use forger_fs::tree::{Content, Meta, Tree};
use forger_oci::image::Draft;
use forger_oci::layer::{self, Written};
use forger_oci::rootless;
use forger_oci::workshop::Workshop;

use super::changed::{CompressArgs, Destination, DestinationArgs, WriteArgs, failed};
use super::mutate::RunArgs;
use super::transport;
use crate::args::Global;
use crate::args::owner::Owner;
use crate::args::source::{Named, SOURCE_HELP, SourceArgs};
use crate::config::{self, Environment};
use crate::exit::Failure;
use crate::input::Inputs;
use crate::print::{self, Stream};
use crate::progress::Console;
use crate::remedy;

/// Makes an image of one layer from a folder, a tar or an image of any kind
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
A folder that forger oci unpack (or umoci unpack --rootless) made as the same user gets back its owners,
setuid bits, capabilities and devices. Equal input and options give equal bytes.

Examples:
  forger oci pack rootfs oci:image:latest --entrypoint /bin/app
  docker export box | forger oci pack - oci:image:box
  forger oci pack rootfs docker-archive:app.tar:app:1

Exit status: 0 done, 1 failed, 2 wrong usage (forger --help says more).")]
pub(super) struct Args {
    #[arg(value_name = "SOURCE", help = SOURCE_HELP)]
    positional: OsString,

    /// The image to make: oci:DIR[:NAME], oci-archive:FILE, docker-archive:FILE or oci://REGISTRY/NAME
    #[arg(value_name = "IMAGE")]
    image: OsString,

    #[command(flatten)]
    run: RunArgs,

    #[command(flatten)]
    compress: CompressArgs,

    #[command(flatten)]
    write: WriteArgs,

    #[command(flatten)]
    source: SourceArgs,
}

/// Makes the image.
pub(super) fn run(args: &Args, global: Global) -> Result<(), Failure> {
    let mut console = Console::start(global)?;
    let packed = pack(args, global, &mut console);
    let text = console.conclude(packed)?;
    print::result(Stream::Stdout, &text)
}

fn pack(args: &Args, global: Global, console: &mut Console) -> Result<String, Failure> {
    let mut source = args.source.clone();
    source.network.registries = crate::oci::hosts([&args.positional, &args.image])?;
    let to = DestinationArgs {
        write: &args.write,
        network: &source.network,
    };
    // What cannot be written to is said before anything is read.
    let destination = Destination::open(transport(&args.image)?, None, &to, console)?;
    let tree = tree(&args.positional, &source, console)?;
    console.start_phase("pack");
    let written = layer_of(&empty(), &tree, destination.workshop(), &args.compress)?;
    let platform = args
        .source
        .platform
        .clone()
        .unwrap_or_else(config::platform);
    let mut draft = Draft::new(&platform);
    draft.append(&written, args.write.history("forger oci pack", true));
    args.run.apply(&mut draft)?;
    destination.finish(draft, global, console)
}

/// Takes a source as a tree, with what an unpacked folder keeps in attributes.
pub(super) fn tree(
    named: &OsString,
    args: &SourceArgs,
    console: &mut Console,
) -> Result<Tree<Content>, Failure> {
    let environment = Environment::real();
    let folder = crate::oci::transport(named)?.is_none() && Path::new(named).is_dir();
    let mut args = args.clone();
    let restore = folder && args.owner.is_none();
    if restore {
        args.owner = Some(Owner::Keep);
    }
    let mut inputs = Inputs::open(
        &Named::any(named.clone()),
        &args,
        Default::default(),
        &environment,
        console,
    )?;
    console.start_phase("read");
    let what = || format!("cannot read {}", named.display());
    let mut tree = layer::collect(&mut inputs.layers(), &config::scratch_folder(), console)
        .map_err(|error| remedy::collect(what(), error))?;
    if restore {
        rootless::restore(&mut tree, environment.uid, config::group())
            .map_err(|error| Failure::failed(what()).because(error))?;
    }
    Ok(tree)
}

/// Returns a tree with nothing in it.
pub(super) fn empty() -> Tree<Content> {
    Tree::new(Meta {
        mode: 0o755,
        ..Meta::default()
    })
}

/// Writes the layer that makes one tree of the other.
pub(super) fn layer_of(
    lower: &Tree<Content>,
    upper: &Tree<Content>,
    workshop: &dyn Workshop,
    compress: &CompressArgs,
) -> Result<Written, Failure> {
    let writer = compress.begin(workshop)?;
    let (writer, _) = layer::diff(lower, upper, writer, &Default::default())
        .map_err(|error| Failure::failed("cannot make the layer").because(error))?;
    writer.finish().map_err(failed)
}
