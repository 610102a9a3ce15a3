//! `forger catalog ls [CATALOG]`

use forger::catalog::Entry;

use crate::args::network::NetworkArgs;
use crate::args::size::human;
use crate::args::{Format, Global, catalog};
use crate::exit::Failure;
use crate::network::Network;
use crate::print::{self, Stream};
use crate::progress::Console;

/// Lists the bundles of a catalog
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  forger catalog ls catalog.json
  forger catalog ls https://example.org/catalog.json --output json | jq -r .name

Exit status: 0 done, 1 failed, 2 wrong usage (forger --help says more).")]
pub(super) struct Args {
    /// The catalog: a file, an http: or https: URL, or oci://REF [default: FORGER_CATALOG]
    #[arg(value_name = "CATALOG")]
    catalog: Option<String>,

    #[command(flatten)]
    network: NetworkArgs,
}

/// Prints the entries.
pub(super) fn run(args: &Args, global: Global) -> Result<(), Failure> {
    let mut console = Console::start(global)?;
    let listed = list(args, &console);
    let entries = console.conclude(listed)?;
    let report: String = match global.output {
        Format::Text => entries.iter().map(line).collect(),
        Format::Json => {
            let object = |entry| serde_json::to_value(entry).unwrap_or_default();
            entries
                .iter()
                .map(|entry| print::json_line(&object(entry)))
                .collect()
        }
    };
    print::result(Stream::Stdout, &report)
}

fn list(args: &Args, console: &Console) -> Result<Vec<Entry>, Failure> {
    let place = catalog::location(args.catalog.as_deref())?;
    let network = Network::start(&args.network, &catalog::registries([&place]), console)?;
    Ok(network.catalog(&place)?.entries)
}

fn line(entry: &Entry) -> String {
    let size = entry.size_bytes.map_or_else(|| "-".to_owned(), human);
    let text = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    // Somebody else's text: what could move a terminal's cursor is left out.
    let description: String = text(&entry.description)
        .chars()
        .filter(|letter| !letter.is_control())
        .collect();
    let distro: String = text(&entry.distro)
        .chars()
        .filter(|letter| !letter.is_control())
        .collect();
    let digits = entry.tarball_sha256.get(..12).unwrap_or_default();
    format!(
        "{:<24} {:<10} {distro:<10} {size:>10}  {digits}  {description}\n",
        entry.name,
        text(&entry.arch)
    )
}
