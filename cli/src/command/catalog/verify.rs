//! `forger catalog verify [CATALOG]`

use forger::bundle;
use forger::catalog::{Entry, Location};

use crate::args::network::NetworkArgs;
use crate::args::{Format, Global, catalog};
use crate::exit::Failure;
use crate::guest::kernel;
use crate::network::Network;
use crate::network::locate::Wanted;
use crate::print::{self, Stream};
use crate::progress::Console;
use crate::remedy;

/// Checks a catalog, and that every bundle and kernel of it is there and is the right one
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Every bundle is read from its start to its end; nothing is kept.

Examples:
  forger catalog verify catalog.json
  forger catalog verify --quick https://example.org/catalog.json

Exit status: 0 all is right, 1 it is not, 2 wrong usage (forger --help says more).")]
pub(super) struct Args {
    /// The catalog: a file, an http: or https: URL, or oci://REF [default: FORGER_CATALOG]
    #[arg(value_name = "CATALOG")]
    catalog: Option<String>,

    /// Checks the document only, and fetches no bundle
    #[arg(long)]
    quick: bool,

    #[command(flatten)]
    network: NetworkArgs,
}

/// Checks, and prints a line for each bundle.
pub(super) fn run(args: &Args, global: Global) -> Result<(), Failure> {
    let mut console = Console::start(global)?;
    let checked = check(args, global, &mut console);
    let (count, wrong) = console.conclude(checked)?;
    match wrong {
        0 => Ok(()),
        wrong => Err(Failure::failed(format!(
            "{wrong} of {count} bundles are not as the catalog says"
        ))),
    }
}

/// Returns how many bundles there are, and how many are not right.
fn check(args: &Args, global: Global, console: &mut Console) -> Result<(usize, usize), Failure> {
    let place = catalog::location(args.catalog.as_deref())?;
    let network = Network::start(&args.network, &catalog::registries([&place]), console)?;
    let entries = network.catalog(&place)?.entries;
    let mut wrong = 0_usize;
    for entry in &entries {
        let result = match args.quick {
            true => place
                .join(&entry.tarball_url)
                .map(drop)
                .map_err(|error| error.to_string()),
            false => verify(&network, &place, entry, console),
        };
        wrong = wrong.saturating_add(usize::from(result.is_err()));
        if console.signals().caught().is_some() {
            return Err(Failure::failed("stopped"));
        }
        print::result(Stream::Stdout, &shown(global.output, entry, &result))?;
    }
    Ok((entries.len(), wrong))
}

fn verify(
    network: &Network,
    place: &Location,
    entry: &Entry,
    console: &mut Console,
) -> Result<(), String> {
    let location = place
        .join(&entry.tarball_url)
        .map_err(|error| error.to_string())?;
    if entry.is_kernel() {
        return verify_kernel(network, location, entry, console);
    }
    console.start_phase("fetch");
    let fetched = network.fetch(&location).map_err(|failure| failure.line())?;
    let facts = bundle::verify(fetched.reader, entry.sha256(), console);
    let facts = facts.map_err(|error| remedy::open("it is refused".to_owned(), error).line())?;
    compare(entry, facts.size)
}

fn verify_kernel(
    network: &Network,
    location: Location,
    entry: &Entry,
    console: &mut Console,
) -> Result<(), String> {
    let wanted = Wanted {
        location,
        sha256: entry.sha256(),
        entry: Some(entry.clone()),
    };
    let size = kernel::verify(network, &wanted, console);
    compare(entry, size.map_err(|failure| failure.line())?)
}

fn compare(entry: &Entry, size: u64) -> Result<(), String> {
    match entry.size_bytes {
        Some(listed) if listed != size => {
            Err(format!("it has {size} bytes, the catalog says {listed}"))
        }
        _ => Ok(()),
    }
}

fn shown(format: Format, entry: &Entry, result: &Result<(), String>) -> String {
    let error = result.as_ref().err();
    match format {
        Format::Text => {
            let word = error.map_or_else(|| "ok".to_owned(), |error| format!("WRONG: {error}"));
            format!("{}  {word}\n", entry.file_name())
        }
        Format::Json => print::json_line(&serde_json::json!({
            "name": entry.name,
            "arch": entry.arch,
            "ok": error.is_none(),
            "error": error,
        })),
    }
}
