//! `forger man [DIR]`

use std::path::{Path, PathBuf};

use clap::{Command, CommandFactory};
use clap_mangen::Man;

use crate::args::Cli;
use crate::exit::Failure;
use crate::print::{self, Stream};

/// Writes the man pages of all commands into a folder, or prints forger(1)
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  forger man | man -l -
  forger man ~/.local/share/man/man1")]
pub(crate) struct Args {
    /// Folder for forger.1, forger-mkfs.1 and so on; it is made if it is not there [default:
    /// forger.1 on standard output]
    dir: Option<PathBuf>,
}

/// Renders the pages.
pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let mut root = Cli::command();
    root.build();
    match &args.dir {
        None => {
            let page = render(&root)
                .map_err(|error| Failure::failed("cannot render forger(1)").because(error))?;
            print::result(Stream::Stdout, &String::from_utf8_lossy(&page))
        }
        Some(dir) => {
            std::fs::create_dir_all(dir).map_err(|error| {
                Failure::failed(format!("cannot make {}", dir.display())).because(error)
            })?;
            write_all(&root, dir)
        }
    }
}

/// Writes the page of a command and those of its subcommands.
fn write_all(command: &Command, dir: &Path) -> Result<(), Failure> {
    let name = command
        .get_display_name()
        .unwrap_or_else(|| command.get_name());
    let path = dir.join(format!("{name}.1"));
    render(command)
        .and_then(|page| std::fs::write(&path, page))
        .map_err(|error| {
            Failure::failed(format!("cannot write {}", path.display())).because(error)
        })?;
    command
        .get_subcommands()
        .try_for_each(|sub| write_all(sub, dir))
}

fn render(command: &Command) -> std::io::Result<Vec<u8>> {
    let mut page = Vec::new();
    Man::new(command.clone()).render(&mut page)?;
    Ok(page)
}
