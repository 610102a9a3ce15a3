//! `forger mkfs --type vfat`

use forger_fs::fat::{self, Summary};
use serde_json::json;

use super::Args;
use crate::args::size::both;
use crate::args::{Format, Global, time, uuid};
use crate::config::Environment;
use crate::exit::Failure;
use crate::input::Inputs;
use crate::output::Output;
use crate::print::{self, Stream};
use crate::progress::Console;
use crate::remedy;

/// A volume that was made, or would be.
struct Made {
    path: Option<String>,
    summary: Summary,
    stream: Stream,
}

/// Makes the volume and prints what it is.
pub(super) fn run(args: &Args, global: Global) -> Result<(), Failure> {
    let mut console = Console::start(global)?;
    let made = make(args, &mut console);
    let made = console.conclude(made)?;
    let text = match global.output {
        Format::Json => print::json_line(&json(&made)),
        Format::Text => text(&made),
    };
    print::summary(made.stream, global, &text)
}

fn make(args: &Args, console: &mut Console) -> Result<Made, Failure> {
    let ends = args.ends()?;
    if args.verity.verity {
        return Err(Failure::usage("--verity is for --type ext4")
            .help("forger verity adds a hash tree to any image"));
    }
    let environment = Environment::real();
    let options = args.fat.options(&args.image, &environment)?;
    let output = ends
        .out
        .as_deref()
        .map(|out| Output::check(out, args.run.write))
        .transpose()?;
    let ignore = args.image.ignored();
    let mut inputs = Inputs::open(&ends.source, &args.source, ignore, &environment, console)?;
    inputs.warn_of(output.as_ref().and_then(Output::folder), console);
    let source = ends.source.shown();
    let what = || format!("cannot make a vfat from {source}");
    let tree = inputs
        .tree()
        .map_err(|error| Failure::failed(what()).because(error))?;
    let (image, summary) =
        fat::plan(&tree, &options, console).map_err(|error| failure(what(), error))?;
    let Some(output) = output else {
        return Ok(Made {
            path: None,
            summary,
            stream: Stream::Stdout,
        });
    };
    let mut sink = output.open_forward(console.signals())?;
    console.finishing();
    let signals = console.signals().clone();
    image
        .stream(&mut *sink, &mut || signals.caught().is_some())
        .and_then(|()| inputs.check_unchanged())
        .and_then(|()| sink.finish())
        .map_err(|error| remedy::block(what(), error))?;
    Ok(Made {
        path: Some(output.path().to_owned()),
        summary,
        stream: output.result_stream(),
    })
}

/// Explains why no volume can be made.
pub(crate) fn failure(what: String, error: fat::Error) -> Failure {
    match error {
        fat::Error::Option { option, reason } => Failure::usage(format!("--{option}: {reason}")),
        fat::Error::Block(error) => remedy::block(what, error),
        error => {
            let help = match &error {
                fat::Error::Unrepresentable { ignore, .. } => ignore.map(|kind| {
                    format!("--ignore {kind} leaves such things out, with a note for each")
                }),
                fat::Error::TooSmall { needed, .. } => {
                    let mebibytes = needed.div_ceil(1 << 20);
                    Some(format!("--size {mebibytes}M is enough for it"))
                }
                _ => None,
            };
            Failure::failed(what).because(error).help_if(help)
        }
    }
}

fn text(made: &Made) -> String {
    let (summary, geometry) = (&made.summary, &made.summary.geometry);
    let free = u64::from(summary.free_clusters) * geometry.cluster();
    print::rows([
        ("path", made.path.clone()),
        ("size", Some(both(geometry.bytes()))),
        ("free", Some(both(free))),
        (
            "type",
            Some(format!(
                "{}, clusters of {} bytes",
                geometry.bits,
                geometry.cluster()
            )),
        ),
        ("label", summary.label.clone()),
        ("id", Some(uuid::volume_text(summary.volume_id))),
    ])
}

fn json(made: &Made) -> serde_json::Value {
    let (summary, geometry) = (&made.summary, &made.summary.geometry);
    json!({
        "path": made.path,
        "type": "vfat",
        "bits": geometry.bits.to_string(),
        "size": geometry.bytes(),
        "free": u64::from(summary.free_clusters) * geometry.cluster(),
        "sector_size": geometry.sector,
        "cluster_size": geometry.cluster(),
        "clusters": geometry.clusters,
        "volume_id": uuid::volume_text(summary.volume_id),
        "label": summary.label,
        "files": summary.files,
        "folders": summary.folders,
        "time": time::text(summary.time),
    })
}
