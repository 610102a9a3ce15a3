//! `forger kernel VERB`

mod add;
mod bundle;
mod default;
mod import;
mod info;
mod ls;
mod pull;
mod rm;

use clap::Subcommand;
use serde_json::{Value, json};

use crate::args::{Format, Global};
use crate::exit::Failure;
use crate::guest::kernel::{Keep, Kernels, Stored};
use crate::print::{self, Stream};

/// Keeps kernels for guests: adds, fetches, lists and removes them
#[derive(Debug, clap::Args)]
#[command(
    arg_required_else_help = true,
    subcommand_required = true,
    after_long_help = "\
A guest gets the kernel that --kernel names, else the one that is kept and was chosen or added last,
else that of its root filesystem, else this machine's linux.uml, else this machine's own from /boot;
each if the backend takes it. Kernels are kept below FORGER_STORE, else XDG_DATA_HOME/forger, in
kernels/.

Examples:
  apt-get download user-mode-linux && forger kernel add user-mode-linux_*.deb
  forger kernel import --from vm.qcow2#root
  forger kernel ls

Exit status: 0 done, 1 failed, 2 wrong usage (forger --help says more)."
)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Ls(ls::Args),
    Add(add::Args),
    Import(import::Args),
    Pull(pull::Args),
    Bundle(bundle::Args),
    Default(default::Args),
    Info(info::Args),
    Rm(rm::Args),
}

/// Does what the verb says.
pub(super) fn run(args: &Args, global: Global) -> Result<(), Failure> {
    match &args.verb {
        Verb::Ls(args) => ls::run(args, global),
        Verb::Add(args) => add::run(args, global),
        Verb::Import(args) => import::run(args, global),
        Verb::Pull(args) => pull::run(args, global),
        Verb::Bundle(args) => bundle::run(args, global),
        Verb::Default(args) => default::run(args, global),
        Verb::Info(args) => info::run(args, global),
        Verb::Rm(args) => rm::run(args, global),
    }
}

/// How a kernel is kept.
#[derive(Debug, clap::Args)]
struct KeepArgs {
    /// What it is called [default: its release, with uml- before that of User-Mode Linux]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,

    /// Takes it from now on where no kernel is named
    #[arg(long)]
    default: bool,

    /// Replaces the kernel of that name
    #[arg(long)]
    force: bool,

    /// Does not wait until it is on the disk
    #[arg(long)]
    no_sync: bool,
}

impl KeepArgs {
    fn keep(&self) -> Keep {
        Keep {
            name: self.name.clone(),
            force: self.force,
            default: self.default,
            sync: !self.no_sync,
        }
    }
}

/// Prints a kernel that was kept.
fn report(stored: &Stored, global: Global) -> Result<(), Failure> {
    let report = match global.output {
        Format::Text => format!("{}\n{}\n", stored.facts.name, stored.path().display()),
        Format::Json => print::json_line(&object(stored, is_default(stored)?)),
    };
    print::result(Stream::Stdout, &report)
}

/// Tells whether a kernel is the one to take where none is named.
fn is_default(stored: &Stored) -> Result<bool, Failure> {
    let default = Kernels::open()?.default(stored.slot())?;
    Ok(default.is_some_and(|default| default.facts.name == stored.facts.name))
}

fn object(stored: &Stored, default: bool) -> Value {
    let facts = &stored.facts;
    json!({
        "name": facts.name,
        "release": facts.release,
        "format": facts.format,
        "arch": facts.architecture,
        "modules": facts.modules,
        "default": default,
        "path": stored.path().to_string_lossy(),
        "modules_path": stored.modules().map(|path| path.to_string_lossy().into_owned()),
        "source": facts.source,
        "package": facts.package,
        "version": facts.version,
        "added": facts.added,
    })
}
