//! `forger oci VERB`

mod append;
mod changed;
mod diff;
mod digest;
mod flatten;
mod inspect;
mod ls;
mod mutate;
mod pack;
mod rm;
mod tags;
mod unpack;

use std::ffi::{OsStr, OsString};

use clap::Subcommand;
use forger_oci::{Platform, Transport};

use crate::args::Global;
use crate::args::network::NetworkArgs;
use crate::exit::Failure;
use crate::oci;
use crate::progress::Console;

/// Reads, makes and changes container images
#[derive(Debug, clap::Args)]
#[command(
    arg_required_else_help = true,
    subcommand_required = true,
    after_long_help = "\
IMAGE is written
  oci:DIR[:NAME], oci:DIR@DIGEST   in a folder with an image layout
  oci-archive:FILE[:NAME]          in a tar of one
  docker-archive:FILE[:NAME]       in what docker save writes
  oci://HOST/PATH[:TAG][@DIGEST]   in a registry
Without NAME the place must hold one image only. All blobs are verified whenever they are read.

Exit status: 0 done, 1 failed, 2 wrong usage (forger --help says more)."
)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Inspect(inspect::Args),
    Ls(ls::Args),
    Tags(tags::Args),
    Digest(digest::Args),
    Rm(rm::Args),
    Unpack(unpack::Args),
    Pack(Box<pack::Args>),
    Flatten(flatten::Args),
    Diff(Box<diff::Args>),
    Append(append::Args),
    Mutate(Box<mutate::Args>),
}

/// Does what the verb says.
pub(super) fn run(args: &Args, global: Global) -> Result<(), Failure> {
    match &args.verb {
        Verb::Inspect(args) => inspect::run(args, global),
        Verb::Ls(args) => ls::run(args, global),
        Verb::Tags(args) => tags::run(args, global),
        Verb::Digest(args) => digest::run(args, global),
        Verb::Rm(args) => rm::run(args, global),
        Verb::Unpack(args) => unpack::run(args, global),
        Verb::Pack(args) => pack::run(args, global),
        Verb::Flatten(args) => flatten::run(args, global),
        Verb::Diff(args) => diff::run(args, global),
        Verb::Append(args) => append::run(args, global),
        Verb::Mutate(args) => mutate::run(args, global),
    }
}

/// The image that a verb reads.
#[derive(Debug, clap::Args)]
struct ImageArgs {
    /// The image: oci:DIR[:NAME], oci-archive:FILE, docker-archive:FILE or oci://REGISTRY/NAME
    #[arg(value_name = "IMAGE")]
    image: OsString,

    /// The platform of an image for several: os/arch or os/arch/variant [default: linux and this
    /// machine's architecture]
    #[arg(long, value_name = "OS/ARCH")]
    platform: Option<Platform>,

    #[command(flatten)]
    network: NetworkArgs,
}

impl ImageArgs {
    fn transport(&self) -> Result<Transport, Failure> {
        transport(&self.image)
    }

    fn open(&self, console: &Console) -> Result<oci::Image, Failure> {
        let platform = self.platform.as_ref();
        oci::Image::open(&self.transport()?, platform, &self.network, console)
    }

    /// Opens the image, of which another one is made at `dest`; returns how both are reached.
    fn open_for(
        &self,
        dest: Option<&OsString>,
        console: &Console,
    ) -> Result<(oci::Image, NetworkArgs), Failure> {
        let network = NetworkArgs {
            registries: oci::hosts(dest.into_iter().chain([&self.image]))?,
            ..self.network.clone()
        };
        let platform = self.platform.as_ref();
        let image = oci::Image::open(&self.transport()?, platform, &network, console)?;
        Ok((image, network))
    }
}

/// Understands a transport.
fn transport(typed: &OsStr) -> Result<Transport, Failure> {
    oci::transport(typed)?.ok_or_else(|| {
        Failure::usage(format!(
            "{} does not say where the image is",
            typed.display()
        ))
        .help("put oci:, oci-archive:, docker-archive: or oci:// in front")
    })
}
