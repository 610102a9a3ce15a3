//! `forger bundle show FILE`

use forger::bundle::{self, Facts};
use serde_json::Value;

use super::FileArgs;
use crate::args::{Format, Global};
use crate::exit::Failure;
use crate::print::{self, Stream};
use crate::progress::Console;
use crate::remedy;

/// Prints what a bundle's manifest says
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
The manifest stands at the end, so the bundle is read to its end; its digests are not checked
(forger bundle verify does that). With --output json the manifest is printed as it is.

Examples:
  forger bundle show app.tar.zst
  forger bundle show --output json app.tar.zst | jq -r .uuid

Exit status: 0 done, 1 failed, 2 wrong usage (forger --help says more).")]
pub(super) struct Args {
    #[command(flatten)]
    file: FileArgs,
}

/// Prints the manifest.
pub(super) fn run(args: &Args, global: Global) -> Result<(), Failure> {
    let mut console = Console::start(global)?;
    let report = args.file.open(&mut console).and_then(|stream| {
        let what = || format!("cannot show {}", args.file.shown());
        let facts =
            bundle::show(stream, &mut console).map_err(|error| remedy::open(what(), error))?;
        let manifest = serde_json::from_slice(&facts.manifest_json)
            .map_err(|error| Failure::failed(what()).because(error))?;
        Ok(match global.output {
            Format::Text => text(&manifest, &facts),
            Format::Json => print::json_line(&manifest),
        })
    });
    let report = console.conclude(report)?;
    print::result(Stream::Stdout, &report)
}

/// Returns the manifest as aligned lines, with what this version does not know as well.
fn text(manifest: &Value, facts: &Facts) -> String {
    let field = |(name, value): (&String, &Value)| {
        let value = value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned);
        format!("{name:<16}{}\n", printable(&value))
    };
    let fields: String = manifest
        .as_object()
        .into_iter()
        .flatten()
        .map(field)
        .collect();
    format!("{fields}{:<16}{}\n", "bundle_size", facts.size)
}

/// Escapes what could move a terminal's cursor: a manifest is somebody else's text.
fn printable(text: &str) -> String {
    text.chars()
        .flat_map(|c| {
            let escape = c.is_control();
            let plain = (!escape).then_some(c);
            plain
                .into_iter()
                .chain(c.escape_default().filter(move |_| escape))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped_and_the_rest_is_kept() {
        assert_eq!(printable("a\u{1b}[2Jé\n"), "a\\u{1b}[2Jé\\n");
    }
}
