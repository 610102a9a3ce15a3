//! `forger kernel rm NAME...`

use crate::args::{Format, Global};
use crate::exit::Failure;
use crate::guest::kernel::Kernels;
use crate::print::{self, Stream};

/// Removes kernels that are kept
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  forger kernel rm 6.1.0-18-cloud-amd64

Exit status: 0 done, 1 failed, 2 wrong usage (forger --help says more).")]
pub(super) struct Args {
    /// Which kernels, as kernel ls names them (repeatable)
    #[arg(value_name = "NAME", required = true)]
    names: Vec<String>,
}

/// Removes them, and prints which.
pub(super) fn run(args: &Args, global: Global) -> Result<(), Failure> {
    let kernels = Kernels::open()?;
    for name in &args.names {
        kernels.remove(name)?;
        print::result(
            Stream::Stdout,
            &match global.output {
                Format::Text => format!("{name}\n"),
                Format::Json => print::json_line(&serde_json::json!({ "removed": name })),
            },
        )?;
    }
    Ok(())
}
