//! `forger kernel ls`

use crate::args::{Format, Global};
use crate::exit::Failure;
use crate::guest::kernel::{Kernels, Stored};
use crate::print::{self, Stream};

/// Lists the kernels that are kept; those that are taken where none is named have a star
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Each line has name, kind of file, architecture, release, and how many modules there are.

Examples:
  forger kernel ls
  forger kernel ls --output json

Exit status: 0 done, 1 failed, 2 wrong usage (forger --help says more).")]
pub(super) struct Args {}

/// Prints a line for each.
pub(super) fn run(_: &Args, global: Global) -> Result<(), Failure> {
    let mut report = String::new();
    for stored in Kernels::open()?.list()? {
        let default = super::is_default(&stored)?;
        report.push_str(&match global.output {
            Format::Text => line(&stored, default),
            Format::Json => print::json_line(&super::object(&stored, default)),
        });
    }
    print::result(Stream::Stdout, &report)
}

fn line(stored: &Stored, default: bool) -> String {
    let facts = &stored.facts;
    let star = if default { '*' } else { ' ' };
    let release = facts.release.as_deref().unwrap_or("-");
    format!(
        "{star} {:<28} {:<8} {:<8} {release:<28} {} modules\n",
        facts.name, facts.format, facts.architecture, facts.modules
    )
}
