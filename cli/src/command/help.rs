//! `forger help [COMMAND]...`

use clap::CommandFactory;

use crate::args::Cli;
use crate::exit::Failure;
use crate::print::{self, Stream};

/// Explains forger or one of its commands
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The command to explain, as in: forger help bundle verify [default: forger itself]
    command: Vec<String>,
}

/// Prints a command's long help.
pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let mut root = Cli::command();
    root.build();
    let mut command = &mut root;
    for name in &args.command {
        command = command.find_subcommand_mut(name).ok_or_else(|| {
            Failure::usage(format!("there is no command {}", args.command.join(" ")))
                .help("forger help lists them")
        })?;
    }
    print::result(Stream::Stdout, &command.render_long_help().to_string())
}
