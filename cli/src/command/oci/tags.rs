//! `forger oci tags REPOSITORY`

use forger_oci::registry;

use crate::args::network::NetworkArgs;
use crate::args::reference;
use crate::args::{Format, Global};
use crate::exit::Failure;
use crate::network::Network;
use crate::print::{self, Stream};
use crate::progress::Console;
use crate::remedy;

/// Lists the tags of a repository
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  forger oci tags debian
  forger oci tags ghcr.io/org/app

Exit status: 0 done, 1 failed, 2 wrong usage (forger --help says more).")]
pub(super) struct Args {
    /// The repository; oci:// may stand before it
    #[arg(value_name = "REPOSITORY")]
    repository: String,

    #[command(flatten)]
    network: NetworkArgs,
}

/// Prints a tag a line.
pub(super) fn run(args: &Args, global: Global) -> Result<(), Failure> {
    let reference = reference::parse(&args.repository)?;
    let mut console = Console::start(global)?;
    let list = || {
        let network = Network::start(&args.network, &[reference.host()], &console)?;
        let repository = network.repository(&reference, registry::Options::default())?;
        let listed = repository.tags();
        listed.map_err(|error| {
            remedy::oci(
                format!("cannot list the tags of {}", reference.name()),
                error,
            )
        })
    };
    let listed = list();
    let tags = console.conclude(listed)?;
    let report = match global.output {
        Format::Text => tags.iter().map(|tag| format!("{tag}\n")).collect(),
        Format::Json => print::json_line(&serde_json::json!({
            "repository": reference.name(),
            "tags": tags,
        })),
    };
    print::result(Stream::Stdout, &report)
}
