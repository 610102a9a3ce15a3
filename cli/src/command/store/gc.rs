//! `forger store gc`

use crate::args::size::{self, human};
use crate::args::{Format, Global};
use crate::exit::Failure;
use crate::print::{self, Stream};
use crate::remedy;

/// Removes what was not used for longest from the local store
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  forger store gc --keep-bytes 10G
  forger store gc --keep-bytes 0

Exit status: 0 done, 1 failed, 2 wrong usage (forger --help says more).")]
pub(super) struct Args {
    /// Stops when no more than this is left: 10G, 500M, 0
    #[arg(long, value_name = "SIZE", value_parser = size::parse)]
    keep_bytes: u64,
}

/// Removes, and prints what.
pub(super) fn run(args: &Args, global: Global) -> Result<(), Failure> {
    let removed = super::open()?
        .collect(args.keep_bytes)
        .map_err(remedy::store)?;
    let report = match global.output {
        Format::Text => {
            let lines: String = removed.blobs.iter().map(super::line).collect();
            format!(
                "{lines}{} removed, {} left\n",
                removed.blobs.len(),
                human(removed.left)
            )
        }
        Format::Json => print::json_line(&serde_json::json!({
            "removed": removed.blobs.iter().map(super::object).collect::<Vec<_>>(),
            "left": removed.left,
        })),
    };
    print::result(Stream::Stdout, &report)
}
