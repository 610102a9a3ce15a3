//! The command line of forger: it reads what was typed and asks the libraries to do it.
//!
//! The terminal, the environment, the clock and the exit status exist only in the modules below.
#![forbid(unsafe_code)]

mod args;
mod command;
mod config;
mod exit;
mod fat_view;
mod guest;
mod hash_tree;
mod image;
mod input;
mod listing;
mod lost_found;
mod medium;
mod network;
mod oci;
mod output;
mod planned;
mod print;
mod progress;
mod remedy;
mod signals;
mod spool;
mod summary;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    match args::Cli::try_parse() {
        Ok(cli) => {
            let format = cli.global.output;
            command::run(cli).map_or_else(|failure| failure.report(format), |()| ExitCode::SUCCESS)
        }
        Err(mut error) => {
            args::advise(&mut error);
            exit::usage(&error, args::asks_for_json(std::env::args_os()))
        }
    }
}
