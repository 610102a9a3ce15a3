//! `forger completions SHELL`

use clap::CommandFactory;
use clap_complete::Shell;

use crate::args::Cli;
use crate::exit::Failure;
use crate::print::{self, Stream};

/// Prints a shell's completion script
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  forger completions bash > ~/.local/share/bash-completion/completions/forger
  forger completions zsh > ~/.zfunc/_forger
  forger completions fish > ~/.config/fish/completions/forger.fish")]
pub(crate) struct Args {
    /// The shell that shall complete forger's commands and options
    shell: Shell,
}

/// Prints the script.
pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "forger", &mut script);
    print::result(Stream::Stdout, &String::from_utf8_lossy(&script))
}
