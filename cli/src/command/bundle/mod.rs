//! `forger bundle VERB FILE`

mod extract;
pub(crate) mod pull;
mod show;
mod verify;

use std::ffi::{OsStr, OsString};

use clap::Subcommand;
use forger::bundle::Facts;
use serde_json::{Value, json};

use crate::args::size::both;
use crate::args::{Global, uuid};
use crate::exit::Failure;
use crate::input::stream::{self, Stream};
use crate::print;
use crate::progress::Console;

/// Fetches, checks, unpacks and shows bundles
#[derive(Debug, clap::Args)]
#[command(arg_required_else_help = true, subcommand_required = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Verify(verify::Args),
    Extract(extract::Args),
    Pull(pull::Args),
    Show(show::Args),
}

/// Does what the verb says.
pub(super) fn run(args: &Args, global: Global) -> Result<(), Failure> {
    match &args.verb {
        Verb::Verify(args) => verify::run(args, global),
        Verb::Extract(args) => extract::run(args, global),
        Verb::Pull(args) => pull::run(args, global),
        Verb::Show(args) => show::run(args, global),
    }
}

/// The bundle to open, and what it is expected to be.
#[derive(Debug, clap::Args)]
struct FileArgs {
    /// The bundle: a file, a FIFO, or - for standard input
    #[arg(value_name = "FILE")]
    file: OsString,
}

/// What a bundle must be.
#[derive(Debug, clap::Args)]
pub(crate) struct DigestArgs {
    /// Refuses a bundle with another SHA-256, in 64 hexadecimal digits [default: any]
    #[arg(long, value_name = "HEX", value_parser = uuid::sha256)]
    pub(crate) sha256: Option<[u8; 32]>,
}

impl FileArgs {
    fn open(&self, console: &mut Console) -> Result<Stream, Failure> {
        stream::open(&self.file, "bundle", console)
    }

    /// How the bundle is called in messages.
    fn shown(&self) -> String {
        stream::shown(&self.file)
    }
}

/// Returns what was found as aligned lines.
fn text(file: &OsStr, facts: &Facts) -> String {
    let blake3 = facts.blake3.map(|digest| hex(&digest));
    print::rows([
        ("bundle", Some(file.display().to_string())),
        ("sha256", Some(hex(&facts.sha256))),
        ("size", Some(both(facts.size))),
        ("image", Some(both(facts.image_size))),
        ("blake3", blake3.or_else(|| Some("not computed".into()))),
    ])
}

/// Returns what was found as a JSON object.
fn object(file: &OsStr, facts: &Facts) -> Value {
    json!({
        "path": file.to_string_lossy(),
        "sha256": hex(&facts.sha256),
        "size": facts.size,
        "image_size": facts.image_size,
        "blake3": facts.blake3.map(|digest| hex(&digest)),
        "manifest": facts.manifest,
    })
}

/// Says so where a bundle's image could not be compared with anything.
fn note_unverified(facts: &Facts, console: &mut Console) {
    if facts.manifest.blake3.is_none() {
        console.say(
            "the manifest has no BLAKE3, as those of older tools: the image was compared with \
             nothing",
        );
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
