//! What was typed.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use forger_vm::proxy::{self, Observer, Pattern};

use super::share::{self, Share};
use crate::args::catalog::CatalogArgs;
use crate::args::run::WriteArgs;
use crate::args::size;
use crate::args::source::{SOURCE_HELP, SourceArgs};
use crate::exit::Failure;
use crate::guest::backend::{Choice, Wanted};
use crate::guest::secret::{self, Secret};

/// What a correct line looks like.
pub(super) const SHAPE: &str = "forger run SOURCE -- COMMAND [ARGUMENT]...";

/// Runs a command in a root filesystem, inside a guest
#[derive(Debug, clap::Args)]
#[command(
    arg_required_else_help = true,
    override_usage = "forger run [OPTIONS] SOURCE [-- COMMAND [ARGUMENT]...]",
    long_about = "Runs a command in a root filesystem, inside a guest.\n\n\
        SOURCE becomes the disk of a guest: a tar by its plan, an image as it stands. Nothing of it runs on this machine, and nothing that the guest \
        does changes SOURCE: what it writes is kept in an unnamed temporary file, and is gone \
        unless --to-tar, --commit or --diff ask for it. The command's output and exit status are \
        forger's own.",
    after_long_help = "\
Examples:
  forger run rootfs.tar -- dpkg -l
  forger run --net proxy --commit new.ext4 rootfs.tar -- sh -c 'apt update && apt install -y curl'
  forger run --diff rootfs.ext4 -- ldconfig
  forger run -it rootfs.ext4                                   a shell
  forger run --catalog https://example.org/catalog.json debian -- dpkg -l
  forger run --mount src:/src --cache cargo:/var/cache/cargo rust.tar --cwd /src -- make

A folder as SOURCE, and layers that are not compressed, are read where they stand while the guest
runs: what changes in them meanwhile is an error, and said. What can be read only once is kept in an
unnamed temporary file. --mount copies: the guest sees a folder as it was at the start.

A guest has no network. With --net proxy, programs in it that obey http_proxy and https_proxy reach
the hosts that --allow-host names, or all if it names none, but never this machine's own addresses
unless they are named. What --ca-file trusts is trusted in the guest as well, by what obeys
SSL_CERT_FILE, CURL_CA_BUNDLE, REQUESTS_CA_BUNDLE, PIP_CERT, GIT_SSL_CAINFO, NODE_EXTRA_CA_CERTS or
APT_CONFIG. 64 connections at once are served; further ones are refused.

A SOURCE that is no file here can be the name of a bundle in the catalog: it is fetched into the
local store first, and with it the kernel that the catalog names for it.

Exit status: the command's own; 128 and a signal's number when a signal ended it; 124 when it took
too long; 125 when forger cannot run it, or nobody knows how it ended; 126 when it cannot be started
and 127 when there is no such program; 2 wrong usage, 130 or 143 stopped by a signal."
)]
pub(crate) struct Args {
    #[arg(value_name = "SOURCE", help = SOURCE_HELP)]
    pub(super) first: Option<OsString>,

    /// The command and its arguments [default: /bin/sh]
    #[arg(last = true, value_name = "COMMAND")]
    pub(super) command: Vec<OsString>,

    #[command(flatten)]
    pub(super) source: SourceArgs,

    #[command(flatten)]
    pub(super) catalog: CatalogArgs,

    /// Passes standard input on
    #[arg(short, long, help_heading = "Job")]
    pub(super) interactive: bool,

    /// Runs the command on a terminal
    #[arg(short, long, help_heading = "Job")]
    pub(super) tty: bool,

    /// Sets a variable, or passes on one of this process (repeatable)
    #[arg(short, long, value_name = "NAME[=VALUE]", help_heading = "Job")]
    pub(super) env: Vec<String>,

    /// Runs the command as this user: names or numbers, by the files of SOURCE [default: root]
    #[arg(short, long, value_name = "USER[:GROUP]", help_heading = "Job")]
    pub(super) user: Option<String>,

    /// Runs the command in this folder [default: /]
    #[arg(short = 'w', long, value_name = "DIR", help_heading = "Job")]
    pub(super) cwd: Option<String>,

    /// Stops the command after so long, as in 90, 90s, 5m, 1h [default: never]
    #[arg(long, value_name = "TIME", value_parser = duration, help_heading = "Job")]
    pub(super) timeout: Option<Duration>,

    /// Keeps the changed root as an archive, as extract --to-tar makes it; - is standard output [default: not]
    #[arg(long, value_name = "OUT", help_heading = "Result")]
    pub(super) to_tar: Option<OsString>,

    /// Keeps the changed root as a new ext4 image [default: not]
    #[arg(long, value_name = "OUT", help_heading = "Result")]
    pub(super) commit: Option<OsString>,

    /// Lists what the command changed, as diff does, on standard output or in a file [default: not]
    #[arg(
        long,
        value_name = "FILE",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "-",
        help_heading = "Result"
    )]
    pub(super) diff: Option<OsString>,

    #[command(flatten)]
    pub(super) write: WriteArgs,

    /// How the guest runs: auto, kvm, qemu, uml or qemu-tcg [default: auto]
    #[arg(
        long,
        value_name = "NAME",
        default_value = "auto",
        hide_default_value = true,
        hide_possible_values = true,
        help_heading = "Guest"
    )]
    pub(super) backend: Choice,

    /// How far the guest is kept from this machine: any, or vm for nothing weaker than a virtual
    /// machine [default: any]
    #[arg(
        long,
        value_name = "KIND",
        default_value = "any",
        hide_default_value = true,
        hide_possible_values = true,
        help_heading = "Guest"
    )]
    pub(super) isolation: Wanted,

    /// The guest's kernel: a file, or the name of one that is kept [default: as forger kernel --help says]
    #[arg(long, value_name = "FILE|NAME", help_heading = "Guest")]
    pub(super) kernel: Option<OsString>,

    /// The guest's first program, instead of the one that forger brings [default: the one inside]
    #[arg(long, value_name = "FILE", help_heading = "Guest")]
    pub(super) guest_init: Option<PathBuf>,

    /// Memory of the guest, a SIZE [default: 1G]
    #[arg(short, long, value_name = "SIZE", value_parser = size::parse, default_value = "1G", hide_default_value = true, help_heading = "Guest")]
    pub(super) memory: u64,

    /// Processors of the guest [default: 1]
    #[arg(
        long,
        value_name = "N",
        default_value_t = 1,
        hide_default_value = true,
        help_heading = "Guest"
    )]
    pub(super) cpus: u32,

    /// Name of the guest [default: guest]
    #[arg(
        long,
        value_name = "NAME",
        default_value = "guest",
        hide_default_value = true,
        help_heading = "Guest"
    )]
    pub(super) hostname: String,

    /// Free room in the root, a SIZE; it costs nothing until it is used [default: 8G]
    #[arg(long, value_name = "SIZE", value_parser = size::parse, default_value = "8G", hide_default_value = true, help_heading = "Guest")]
    pub(super) free: u64,

    /// Lets nothing be written to the root
    #[arg(long, help_heading = "Guest", conflicts_with_all = ["to_tar", "commit", "diff"])]
    pub(super) read_only: bool,

    /// Says how long the parts took: until the machine was made, its first instruction, its first word, jobs could run; the job, the end
    #[arg(long, help_heading = "Guest")]
    pub(super) timings: bool,

    /// Mounts a copy of a folder or tar (repeatable); what is written there is gone afterwards
    #[arg(long, value_name = "SRC:DEST[:ro]", value_parser = share::mount, help_heading = "Shares")]
    pub(super) mount: Vec<Share>,

    /// Mounts a filesystem that is kept from one run to the next, under this name (repeatable)
    #[arg(long, value_name = "NAME:DEST", value_parser = share::cache, help_heading = "Shares")]
    pub(super) cache: Vec<Share>,

    /// Puts a file into /run/secrets, which is in memory and in no result (repeatable)
    #[arg(long, value_name = "NAME:FILE", value_parser = secret::parse, help_heading = "Shares")]
    pub(super) secret: Vec<Secret>,

    /// The way out: none, or proxy for HTTP and HTTPS through this machine [default: none]
    #[arg(
        long,
        value_name = "KIND",
        default_value = "none",
        hide_default_value = true,
        hide_possible_values = true,
        help_heading = "Network"
    )]
    pub(super) net: Net,

    /// Lets the guest reach this host (repeatable): HOST, *.DOMAIN or *, and perhaps :PORT [default: all]
    #[arg(long, value_name = "HOST", help_heading = "Network")]
    pub(super) allow_host: Vec<Pattern>,

    /// Writes one JSON object a line for each request as it ends: URL, status, size, SHA-256 [default: not]
    #[arg(long, value_name = "FILE", help_heading = "Network")]
    pub(super) net_log: Option<PathBuf>,
}

/// What `--net` takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Net {
    /// No way out
    None,
    /// HTTP and HTTPS through this machine
    Proxy,
}

impl Args {
    /// Checks that no option means something that another one leaves out.
    pub(super) fn check(&self) -> Result<(), Failure> {
        let idle = match self.net {
            Net::Proxy => None,
            Net::None if !self.allow_host.is_empty() => Some("--allow-host"),
            Net::None => self.net_log.is_some().then_some("--net-log"),
        };
        idle.map_or(Ok(()), |option| {
            Err(
                Failure::usage(format!("{option}: the guest has no network"))
                    .help("--net proxy gives it one"),
            )
        })
    }

    /// Returns what the guest may reach.
    pub(super) fn proxy(&self, observer: Option<Observer>) -> Option<proxy::Options> {
        (self.net == Net::Proxy).then(|| proxy::Options {
            allow: self.allow_host.clone(),
            observer,
            ..proxy::Options::default()
        })
    }
}

/// Reads `--timeout`.
fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return Err("expected a number and s, m or h".to_owned()),
    };
    digits
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(unit))
        .filter(|seconds| *seconds > 0)
        .map(Duration::from_secs)
        .ok_or_else(|| "expected a number and s, m or h".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read() {
        assert_eq!(duration("90"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("5m"), Ok(Duration::from_secs(300)));
        assert_eq!(duration("1h"), Ok(Duration::from_secs(3600)));
        for text in ["", "0", "-1", "5d", "s", "1.5", "99999999999999999999h"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
