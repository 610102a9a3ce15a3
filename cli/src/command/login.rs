//! `forger login HOST`

use std::io::{self, BufRead, IsTerminal, Read, Write};
use std::path::Path;
use std::sync::Arc;

use forger_block::{PendingFile, Publish};
use forger_oci::http::Secret;
use forger_oci::registry::{ConfigFile, Credentials, Error, Keychain};
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};

use crate::args::network::NetworkArgs;
use crate::args::{Format, Global};
use crate::config;
use crate::exit::Failure;
use crate::network::{self, Helper, Network};
use crate::print::{self, Stream};
use crate::progress::Console;
use crate::remedy;

/// The longest password, in bytes.
const LIMIT: u64 = 64 << 10;

/// Asks a registry whether it knows a user, and keeps name and password
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
They are kept as docker does it: by the credential helper that the file names for the registry, else
in the file itself (REGISTRY_AUTH_FILE, else config.json in DOCKER_CONFIG or ~/.docker), which only
its owner can read. --auth-file names another file of that kind.

Examples:
  forger login ghcr.io -u ann
  echo $TOKEN | forger login registry.example.org:5000 -u ci --password-stdin

Exit status: 0 done, 1 failed, 2 wrong usage (forger --help says more).")]
pub(crate) struct Args {
    /// The registry: a host, perhaps with a port
    #[arg(value_name = "HOST")]
    pub(super) host: String,

    /// The user's name [default: asked for]
    #[arg(short, long, value_name = "NAME")]
    username: Option<String>,

    /// Reads the password from standard input
    #[arg(long)]
    password_stdin: bool,

    #[command(flatten)]
    network: NetworkArgs,
}

/// Knows the user who logs in.
#[derive(Debug)]
struct Claimed(Credentials);

impl Keychain for Claimed {
    fn credentials(&self, _: &str, _: &str) -> Result<Credentials, Error> {
        Ok(self.0.clone())
    }
}

/// Logs in.
pub(super) fn run(args: &Args, global: Global) -> Result<(), Failure> {
    let mut console = Console::start(global)?;
    let done = log_in(args, &console);
    let (username, kept) = console.conclude(done)?;
    let report = match global.output {
        Format::Text => format!("{} knows {username}; kept {kept}\n", args.host),
        Format::Json => print::json_line(&serde_json::json!({
            "host": args.host,
            "username": username,
            "kept": kept,
        })),
    };
    print::result(Stream::Stdout, &report)
}

fn log_in(args: &Args, console: &Console) -> Result<(String, String), Failure> {
    let host = registry(&args.host)?;
    let (username, password) = ask(args)?;
    let path = args.network.auth_file.clone().or_else(config::login_file);
    let path = path.ok_or_else(|| {
        Failure::failed("there is no place to keep credentials")
            .help("name a file with --auth-file")
    })?;
    // What is kept there already is not what is shown now.
    let network = NetworkArgs {
        auth_file: None,
        ..args.network.clone()
    };
    let network = Network::start(&network, &[], console)?;
    let claimed = Credentials::Basic {
        username: username.clone(),
        password: password.clone(),
    };
    network.log_in(&host, Arc::new(Claimed(claimed)))?;
    let mut file = read(&path)?;
    let kept = match file.helper(&host) {
        Some((name, server)) => {
            let stored = Helper::new(&name).and_then(|helper| {
                helper.store(&server, &username, &password)?;
                Ok(helper.program().to_owned())
            });
            let program = stored.map_err(|error| {
                Failure::failed("the password could not be kept").because(error)
            })?;
            format!("by {program}")
        }
        None => {
            file.set(&host, &username, &password);
            write(&path, &file)?;
            format!("in {}", path.display())
        }
    };
    Ok((username, kept))
}

/// Reads a registry's name as references have it.
pub(super) fn registry(typed: &str) -> Result<String, Failure> {
    let bare = typed
        .trim_start_matches("https://")
        .trim_start_matches("http://");
    let bare = bare.trim_end_matches('/');
    let bare = bare
        .strip_suffix("/v1")
        .or(bare.strip_suffix("/v2"))
        .unwrap_or(bare);
    let reference: forger_oci::Result<forger_oci::Reference> = format!("{bare}/a/b").parse();
    match reference {
        Ok(reference) if reference.repository() == "a/b" => Ok(reference.host().to_owned()),
        _ => Err(Failure::usage(format!("{typed:?} is no registry"))
            .help("a registry is a host name with a dot or a port, or localhost")),
    }
}

/// Reads a file of credentials; one that is not there has nothing.
pub(super) fn read(path: &Path) -> Result<ConfigFile, Failure> {
    let failed = |error| Failure::failed(format!("cannot read {}", path.display())).because(error);
    network::config_file(path).map_err(failed)
}

/// Replaces a file of credentials, which only its owner can read.
pub(super) fn write(path: &Path, file: &ConfigFile) -> Result<(), Failure> {
    let what = || format!("cannot write {}", path.display());
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(|error| Failure::failed(what()).because(error))?;
    }
    let publish = Publish {
        force: true,
        sync: true,
    };
    let written = || {
        let mut pending = PendingFile::for_target(path)?;
        pending.make_private()?;
        pending.write_at(0, &file.to_bytes())?;
        pending.publish(publish)
    };
    written().map_err(|error| remedy::block(what(), error))
}

/// Finds out who logs in.
fn ask(args: &Args) -> Result<(String, Secret), Failure> {
    let failed = |error: io::Error| Failure::failed("cannot read name and password").because(error);
    let mut stdin = io::stdin().lock();
    let terminal = stdin.is_terminal();
    if args.password_stdin {
        let Some(username) = args.username.clone() else {
            return Err(Failure::usage("--password-stdin needs --username"));
        };
        let mut password = String::new();
        stdin
            .take(LIMIT)
            .read_to_string(&mut password)
            .map_err(failed)?;
        return checked(username, password.trim_end_matches(['\n', '\r']));
    }
    if !terminal {
        return Err(Failure::usage(
            "nobody can be asked for a password: standard input is no terminal",
        )
        .help("--password-stdin reads it from there"));
    }
    let username = match args.username.clone() {
        Some(username) => username,
        None => prompt("Username: ", &mut stdin).map_err(failed)?,
    };
    // The terminal shows no password; whatever happens, it shows what follows.
    let before = tcgetattr(io::stdin()).map_err(|error| failed(error.into()))?;
    let mut silent = before.clone();
    silent.local_modes.remove(LocalModes::ECHO);
    tcsetattr(io::stdin(), OptionalActions::Flush, &silent)
        .map_err(|error| failed(error.into()))?;
    let password = prompt("Password: ", &mut stdin);
    let restored = tcsetattr(io::stdin(), OptionalActions::Flush, &before);
    eprintln!();
    restored.map_err(|error| failed(error.into()))?;
    checked(username, &password.map_err(failed)?)
}

fn checked(username: String, password: &str) -> Result<(String, Secret), Failure> {
    match () {
        () if username.is_empty() || username.contains(':') => Err(Failure::usage(
            "a user's name is not empty and has no colon",
        )),
        () if password.is_empty() => Err(Failure::usage("the password is empty")),
        () => Ok((username, Secret::new(password))),
    }
}

fn prompt(text: &str, input: &mut impl BufRead) -> io::Result<String> {
    let mut stderr = io::stderr().lock();
    stderr.write_all(text.as_bytes())?;
    stderr.flush()?;
    let mut line = String::new();
    input.take(LIMIT).read_line(&mut line)?;
    Ok(line.trim_end_matches(['\n', '\r']).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_is_named_in_several_ways() {
        for (typed, host) in [
            ("ghcr.io", "ghcr.io"),
            ("https://ghcr.io/v2/", "ghcr.io"),
            ("localhost:5000", "localhost:5000"),
            ("https://index.docker.io/v1/", "docker.io"),
            ("docker.io", "docker.io"),
        ] {
            assert_eq!(registry(typed).unwrap(), host);
        }
        for typed in ["", "ghcr", "a b.io", "ghcr.io/team"] {
            assert!(registry(typed).is_err(), "{typed}");
        }
    }
}
