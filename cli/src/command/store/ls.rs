//! `forger store ls`

use crate::args::{Format, Global};
use crate::exit::Failure;
use crate::print::{self, Stream};
use crate::remedy;

/// Lists what is in the local store, the last used first
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  forger store ls
  FORGER_STORE=/srv/forger forger store ls --output json

Exit status: 0 done, 1 failed, 2 wrong usage (forger --help says more).")]
pub(super) struct Args {}

/// Prints a line for each blob.
pub(super) fn run(_: &Args, global: Global) -> Result<(), Failure> {
    let all = super::open()?.list().map_err(remedy::store)?;
    let report: String = match global.output {
        Format::Text => all.iter().map(super::line).collect(),
        Format::Json => all
            .iter()
            .map(|kept| print::json_line(&super::object(kept)))
            .collect(),
    };
    print::result(Stream::Stdout, &report)
}
