//! `forger catalog VERB`

mod add;
mod ls;
mod verify;

use clap::Subcommand;

use crate::args::Global;
use crate::exit::Failure;

/// Lists, extends and checks catalogs of bundles
#[derive(Debug, clap::Args)]
#[command(arg_required_else_help = true, subcommand_required = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Ls(ls::Args),
    Add(add::Args),
    Verify(verify::Args),
}

/// Does what the verb says.
pub(super) fn run(args: &Args, global: Global) -> Result<(), Failure> {
    match &args.verb {
        Verb::Ls(args) => ls::run(args, global),
        Verb::Add(args) => add::run(args, global),
        Verb::Verify(args) => verify::run(args, global),
    }
}
