//! `forger oci inspect IMAGE`

use forger_oci::blob::{self, MANIFEST_LIMIT};
use serde_json::{Value, json};

use super::ImageArgs;
use crate::args::size::human;
use crate::args::{Format, Global};
use crate::exit::Failure;
use crate::oci::Image;
use crate::print::{self, Stream};
use crate::progress::Console;
use crate::remedy;

/// Shows what an image is: platform, layers, how it is run
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
--raw prints the manifest (or index) as it is, byte by byte; --config the configuration.

Examples:
  forger oci inspect oci:image:latest
  forger oci inspect --config docker-archive:app.tar | jq .config.Env

Exit status: 0 done, 1 failed, 2 wrong usage (forger --help says more).")]
pub(super) struct Args {
    #[command(flatten)]
    image: ImageArgs,

    /// Prints the manifest as it is; of an image for several platforms the index, unless --platform
    /// chooses one
    #[arg(long, conflicts_with = "config")]
    raw: bool,

    /// Prints the configuration as it is
    #[arg(long)]
    config: bool,
}

/// Shows the image.
pub(super) fn run(args: &Args, global: Global) -> Result<(), Failure> {
    let mut console = Console::start(global)?;
    let shown = shown(args, global, &console);
    let text = console.conclude(shown)?;
    print::result(Stream::Stdout, &text)
}

fn shown(args: &Args, global: Global, console: &Console) -> Result<String, Failure> {
    let transport = args.image.transport()?;
    let failed = |error| remedy::oci(format!("cannot read {transport}"), error);
    if args.raw && args.image.platform.is_none() {
        let images = crate::oci::open(&transport, &args.image.network, console)?;
        let root = images.root().map_err(failed)?;
        return text(blob::read(&*images, &root, MANIFEST_LIMIT).map_err(failed)?);
    }
    let image = args.image.open(console)?;
    let of = match (args.raw, args.config) {
        (true, _) => &image.descriptor,
        (_, true) => image.manifest.config(),
        _ => return describe(&image, &transport.to_string(), global),
    };
    text(blob::read(&**image.blobs(), of, MANIFEST_LIMIT).map_err(failed)?)
}

fn text(bytes: Vec<u8>) -> Result<String, Failure> {
    String::from_utf8(bytes)
        .map_err(|error| Failure::failed("the document is not UTF-8").because(error))
}

fn describe(image: &Image, place: &str, global: Global) -> Result<String, Failure> {
    let manifest = &image.manifest;
    let object = match forger_oci::media_type::is_config(manifest.config().media_type()) {
        true => described(image, place)?,
        false => artifact(image, place),
    };
    Ok(match global.output {
        Format::Json => print::json_line(&object),
        Format::Text => lines(&object),
    })
}

fn artifact(image: &Image, place: &str) -> Value {
    let manifest = &image.manifest;
    let kind = manifest
        .artifact_type()
        .as_ref()
        .unwrap_or(manifest.config().media_type());
    json!({
        "image": place,
        "digest": image.descriptor.digest().to_string(),
        "artifact_type": kind.to_string(),
        "layers": layers(image, &[]),
        "annotations": manifest.annotations(),
        "subject": manifest.subject().as_ref().map(|subject| subject.digest().to_string()),
    })
}

fn layers(image: &Image, diff_ids: &[String]) -> Value {
    let layers = image.manifest.layers().iter().enumerate();
    layers
        .map(|(index, layer)| {
            json!({
                "digest": layer.digest().to_string(),
                "media_type": layer.media_type().to_string(),
                "size": layer.size(),
                "diff_id": diff_ids.get(index),
            })
        })
        .collect()
}

fn described(image: &Image, place: &str) -> Result<Value, Failure> {
    let (config, _) = image.config()?;
    let run = config.config().clone().unwrap_or_default();
    Ok(json!({
        "image": place,
        "digest": image.descriptor.digest().to_string(),
        "media_type": image.descriptor.media_type().to_string(),
        "platform": forger_oci::Platform::new(
            &config.os().to_string(),
            &config.architecture().to_string(),
            config.variant().as_deref(),
        ).to_string(),
        "created": config.created(),
        "author": config.author(),
        "size": image.manifest.layers().iter().fold(0u64, |sum, layer| sum.saturating_add(layer.size())),
        "entrypoint": run.entrypoint(),
        "cmd": run.cmd(),
        "env": run.env(),
        "working_dir": run.working_dir(),
        "user": run.user(),
        "labels": run.labels(),
        "annotations": image.manifest.annotations(),
        "layers": layers(image, config.rootfs().diff_ids()),
    }))
}

/// Returns an object as aligned lines; what is not said is left out.
fn lines(object: &Value) -> String {
    let mut out = String::new();
    for (name, value) in object.as_object().into_iter().flatten() {
        match value {
            Value::Null => {}
            Value::Array(items) if name == "layers" => {
                for layer in items {
                    let size = layer["size"].as_u64().unwrap_or(0);
                    let digest = layer["digest"].as_str().unwrap_or_default();
                    let kind = layer["media_type"].as_str().unwrap_or_default();
                    out.push_str(&format!("{:<14}{digest} {} {kind}\n", "layer", human(size)));
                }
            }
            Value::Object(items) => {
                for (key, value) in items {
                    out.push_str(&format!("{name:<14}{key}={}\n", plain(value)));
                }
            }
            value => out.push_str(&format!("{name:<14}{}\n", plain(value))),
        }
    }
    out
}

/// A value on one line; what could move a terminal's cursor is escaped.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.chars().flat_map(escaped).collect(),
        value => value.to_string(),
    }
}

fn escaped(letter: char) -> impl Iterator<Item = char> {
    let plain = (!letter.is_control()).then_some(letter);
    plain
        .into_iter()
        .chain(letter.escape_default().filter(move |_| letter.is_control()))
}
