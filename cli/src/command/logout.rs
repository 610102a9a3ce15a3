//! `forger logout HOST`

use std::path::PathBuf;

use super::login;
use crate::args::{Format, Global};
use crate::config;
use crate::exit::Failure;
use crate::network::Helper;
use crate::print::{self, Stream};

/// Forgets the name and password for a registry
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  forger logout ghcr.io

Exit status: 0 done, 1 failed or not known, 2 wrong usage (forger --help says more).")]
pub(crate) struct Args {
    /// The registry: a host, perhaps with a port
    #[arg(value_name = "HOST")]
    host: String,

    /// The file where they are kept [default: the one of forger login]
    #[arg(long, short = 'a', value_name = "FILE")]
    auth_file: Option<PathBuf>,
}

/// Forgets.
pub(super) fn run(args: &Args, global: Global) -> Result<(), Failure> {
    let host = login::registry(&args.host)?;
    let path = args.auth_file.clone().or_else(config::login_file);
    let path = path.ok_or_else(|| {
        Failure::failed("there is no place where credentials are kept")
            .help("name a file with --auth-file")
    })?;
    let mut file = login::read(&path)?;
    let known = file.remove(&host);
    if known {
        login::write(&path, &file)?;
    }
    let helper = file.helper(&host);
    if let Some((name, server)) = &helper {
        let erased = Helper::new(name).and_then(|helper| helper.erase(server));
        erased.map_err(|error| {
            Failure::failed("the password could not be forgotten").because(error)
        })?;
    }
    if !known && helper.is_none() {
        return Err(Failure::failed(format!(
            "nobody is logged in to {host} by {}",
            path.display()
        )));
    }
    let report = match global.output {
        Format::Text => format!("forgot {host}\n"),
        Format::Json => print::json_line(&serde_json::json!({ "host": host })),
    };
    print::result(Stream::Stdout, &report)
}
