//! The verbs, one file each: what was typed (`Args`) and what is done about it (`run`).

pub(crate) mod bundle;
mod cat;
mod catalog;
mod check;
mod compare;
mod completions;
mod convert;
mod copy;
mod create;
mod diff;
mod disk;
mod doctor;
mod du;
mod edit;
mod extract;
mod find;
mod help;
mod info;
mod kernel;
mod login;
mod logout;
mod ls;
mod make_bundle;
mod man;
mod measure;
mod mkfs;
mod oci;
mod pull;
mod push;
mod resize;
mod run;
mod serve;
mod stat;
pub(crate) mod store;
mod subject;
mod verity;

use clap::Subcommand;

use crate::args::Cli;
use crate::exit::Failure;

/// The command tree.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Mkfs(mkfs::Args),
    Disk(disk::Args),
    MakeBundle(make_bundle::Args),
    Bundle(bundle::Args),
    Catalog(catalog::Args),
    Store(store::Args),
    Pull(pull::Args),
    Push(push::Args),
    Copy(copy::Args),
    Login(login::Args),
    Logout(logout::Args),
    Edit(edit::Args),
    Resize(resize::Args),
    Verity(verity::Args),
    Ls(ls::Args),
    Cat(cat::Args),
    Stat(stat::Args),
    Find(find::Args),
    Du(du::Args),
    Diff(diff::Args),
    Info(info::Args),
    Oci(oci::Args),
    Extract(extract::Args),
    Check(check::Args),
    Create(create::Args),
    Convert(convert::Args),
    Compare(compare::Args),
    Serve(serve::Args),
    Measure(measure::Args),
    Run(Box<run::Args>),
    Kernel(kernel::Args),
    Doctor(doctor::Args),
    Completions(completions::Args),
    Man(man::Args),
    Help(help::Args),
}

/// Does what was asked for.
///
/// # Errors
/// What failed, why, and what helps.
pub(crate) fn run(cli: Cli) -> Result<(), Failure> {
    match cli.command {
        Command::Mkfs(args) => mkfs::run(&args, cli.global),
        Command::Disk(args) => disk::run(&args, cli.global),
        Command::MakeBundle(args) => make_bundle::run(&args, cli.global),
        Command::Bundle(args) => bundle::run(&args, cli.global),
        Command::Catalog(args) => catalog::run(&args, cli.global),
        Command::Store(args) => store::run(&args, cli.global),
        Command::Pull(args) => pull::run(&args, cli.global),
        Command::Push(args) => push::run(&args, cli.global),
        Command::Copy(args) => copy::run(&args, cli.global),
        Command::Login(args) => login::run(&args, cli.global),
        Command::Logout(args) => logout::run(&args, cli.global),
        Command::Edit(args) => edit::run(&args, cli.global),
        Command::Resize(args) => resize::run(&args, cli.global),
        Command::Verity(args) => verity::run(&args, cli.global),
        Command::Ls(args) => ls::run(&args, cli.global),
        Command::Cat(args) => cat::run(&args, cli.global),
        Command::Stat(args) => stat::run(&args, cli.global),
        Command::Find(args) => find::run(&args, cli.global),
        Command::Du(args) => du::run(&args, cli.global),
        Command::Diff(args) => diff::run(&args, cli.global),
        Command::Info(args) => info::run(&args, cli.global),
        Command::Oci(args) => oci::run(&args, cli.global),
        Command::Extract(args) => extract::run(&args, cli.global),
        Command::Check(args) => check::run(&args, cli.global),
        Command::Create(args) => create::run(&args, cli.global),
        Command::Convert(args) => convert::run(&args, cli.global),
        Command::Compare(args) => compare::run(&args, cli.global),
        Command::Serve(args) => serve::run(&args, cli.global),
        Command::Measure(args) => measure::run(&args, cli.global),
        Command::Run(args) => run::run(&args, cli.global),
        Command::Kernel(args) => kernel::run(&args, cli.global),
        Command::Doctor(args) => doctor::run(&args, cli.global),
        Command::Completions(args) => completions::run(&args),
        Command::Man(args) => man::run(&args),
        Command::Help(args) => help::run(&args),
    }
}
