//! How registries and other servers are reached.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;
use forger_oci::http::{Proxies, Secret};

/// How often what fails for the moment is repeated.
const RETRIES: u32 = 5;

/// How many blobs are copied at a time.
const JOBS: u16 = 4;

/// Options of every command that asks a server.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Network")]
pub(crate) struct NetworkArgs {
    /// Takes the credentials from a file: {"username", "password"}, {"token"}, or docker's or podman's
    /// [default: see --help]
    ///
    /// Without it: FORGER_OCI_BEARER, then the files of podman and docker and the helpers that they
    /// name, then GITHUB_TOKEN (for ghcr.io only), then none.
    #[arg(long, short = 'a', value_name = "FILE")]
    pub(crate) auth_file: Option<PathBuf>,

    /// Speaks plain HTTP with every host; without it, with this machine only (localhost,
    /// 127.0.0.0/8, ::1)
    #[arg(long, conflicts_with = "tls")]
    pub(crate) plain_http: bool,

    /// Speaks TLS with this machine, too
    #[arg(long)]
    pub(crate) tls: bool,

    /// Trusts the authorities of a PEM file as well (repeatable)
    #[arg(long, value_name = "FILE")]
    pub(crate) ca_file: Vec<PathBuf>,

    /// Repeats what fails for the moment so many times [default: 5]
    ///
    /// After half a second, one, two, and so on, or after what the server asks for, up to a minute.
    /// A refusal is never repeated.
    #[arg(long, value_name = "N", default_value_t = RETRIES, hide_default_value = true, value_parser = clap::value_parser!(u32).range(0..=50))]
    pub(crate) retries: u32,

    /// Fetches layers that registries may not give away from the URLs that the image names, whatever hosts
    /// those are; without it such layers are left out of copies, and images that need them are refused
    #[arg(long)]
    pub(crate) fetch_foreign: bool,

    /// Registries that the command names: with several, none of them is shown a secret that does not
    /// say which it is for.
    #[arg(skip)]
    pub(crate) registries: Vec<String>,
}

impl Default for NetworkArgs {
    /// As without options.
    fn default() -> Self {
        Self {
            auth_file: None,
            plain_http: false,
            tls: false,
            ca_file: Vec::new(),
            retries: RETRIES,
            fetch_foreign: false,
            registries: Vec::new(),
        }
    }
}

/// Options of commands that copy blobs.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Network")]
pub(crate) struct JobsArgs {
    /// Copies so many blobs at a time [default: 4]
    #[arg(long, short = 'j', value_name = "N", default_value_t = JOBS, hide_default_value = true, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) jobs: u16,
}

impl Default for JobsArgs {
    /// As without options.
    fn default() -> Self {
        Self { jobs: JOBS }
    }
}

/// What the environment says of the network.
#[derive(Clone, Debug, Default)]
pub(crate) struct NetworkVariables {
    /// `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY`, `NO_PROXY`, upper or lower case.
    pub(crate) proxies: Proxies,
    /// `SSL_CERT_FILE`.
    pub(crate) certificates: Option<OsString>,
    /// `FORGER_OCI_BEARER`.
    pub(crate) bearer: Option<Secret>,
    /// `GITHUB_TOKEN`.
    pub(crate) github: Option<Secret>,
    /// Files of credentials, the first that knows a registry counts.
    pub(crate) auth_files: Vec<PathBuf>,
}
