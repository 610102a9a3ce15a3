//! `forger oci VERB`

mod tags;

use clap::Subcommand;

use crate::args::Global;
use crate::exit::Failure;

/// Looks into container images and registries
#[derive(Debug, clap::Args)]
#[command(arg_required_else_help = true, subcommand_required = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Tags(tags::Args),
}

/// Does what the verb says.
pub(super) fn run(args: &Args, global: Global) -> Result<(), Failure> {
    match &args.verb {
        Verb::Tags(args) => tags::run(args, global),
    }
}
