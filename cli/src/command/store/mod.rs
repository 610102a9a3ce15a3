//! `forger store VERB`

mod gc;
mod ls;

use clap::Subcommand;
use forger::store::{Kept, Store};

use crate::args::Global;
use crate::args::size::human;
use crate::config;
use crate::exit::Failure;
use crate::remedy;

/// Lists and empties the local store of what was pulled
#[derive(Debug, clap::Args)]
#[command(arg_required_else_help = true, subcommand_required = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Ls(ls::Args),
    Gc(gc::Args),
}

/// Does what the verb says.
pub(super) fn run(args: &Args, global: Global) -> Result<(), Failure> {
    match &args.verb {
        Verb::Ls(args) => ls::run(args, global),
        Verb::Gc(args) => gc::run(args, global),
    }
}

/// Opens the user's store.
pub(super) fn open() -> Result<Store, Failure> {
    let folder = config::store_folder().ok_or_else(|| {
        Failure::failed("there is no folder for the local store").help("set FORGER_STORE")
    })?;
    Store::open(folder).map_err(remedy::store)
}

fn line(kept: &Kept) -> String {
    // What came from elsewhere is somebody else's text: what could move a terminal's cursor is left out.
    let text = |text: &Option<String>| {
        let text = text.as_deref().unwrap_or("-");
        text.chars()
            .filter(|letter| !letter.is_control())
            .collect::<String>()
    };
    let facts = &kept.facts;
    format!(
        "{}  {:>10}  {:<24} {:<10} {}\n",
        kept.digest,
        human(kept.size),
        text(&facts.name),
        text(&facts.arch),
        text(&facts.source)
    )
}

fn object(kept: &Kept) -> serde_json::Value {
    let used = kept.used.duration_since(std::time::SystemTime::UNIX_EPOCH);
    serde_json::json!({
        "digest": kept.digest.to_string(),
        "size": kept.size,
        "used": used.map_or(0, |used| used.as_secs()),
        "name": kept.facts.name,
        "arch": kept.facts.arch,
        "kind": kept.facts.kind,
        "source": kept.facts.source,
    })
}
