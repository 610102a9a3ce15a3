//! Where an image that is made or changed goes.

use std::ffi::OsString;

use clap::ValueEnum;
use forger_fs::tree::Time;
use forger_oci::blob::{BlobSink, Blobs};
use forger_oci::image::Draft;
use forger_oci::layer::LayerWriter;
use forger_oci::layout::{LayoutFolder, name_of};
use forger_oci::media_type::Compression;
use forger_oci::{Descriptor, Name, Transport};
use serde_json::{Value, json};

use super::transport;
use crate::args::time::{self, When};
use crate::args::{Format, Global};
use crate::config::Environment;
use crate::exit::Failure;
use crate::oci::Image;
use crate::{listing, print, remedy};

/// How a layout is written.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Output")]
pub(super) struct WriteArgs {
    /// Time that the history has [default: SOURCE_DATE_EPOCH, else none]
    #[arg(long, value_name = "TIME", value_parser = time::parse)]
    time: Option<When>,

    /// Does not wait until the image is on the disk: faster, but a power cut may lose it
    #[arg(long)]
    pub(super) no_sync: bool,
}

/// How a layer is compressed.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Output")]
pub(super) struct CompressArgs {
    /// Compression of the layer: gzip, zstd or none, perhaps with a level, as zstd:9 [default: gzip]
    #[arg(long, value_name = "NAME[:LEVEL]", value_parser = compression)]
    compress: Option<(Compressor, Option<u32>)>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Compressor {
    Gzip,
    Zstd,
    None,
}

fn compression(text: &str) -> Result<(Compressor, Option<u32>), String> {
    let (name, level) = match text.split_once(':') {
        Some((name, level)) => (name, Some(level)),
        None => (text, None),
    };
    let form = || "expected gzip, zstd or none, perhaps with a level behind a colon".to_owned();
    let compressor = Compressor::from_str(name, false).map_err(|_| form())?;
    let most = match compressor {
        Compressor::Gzip => 9,
        Compressor::Zstd => 22,
        Compressor::None => 0,
    };
    let level = level.map(|level| {
        level
            .parse()
            .ok()
            .filter(|level| (1..=most).contains(level))
            .ok_or_else(form)
    });
    Ok((compressor, level.transpose()?))
}

impl CompressArgs {
    /// Begins a layer.
    pub(super) fn begin(&self, layout: &LayoutFolder) -> Result<LayerWriter, Failure> {
        let (compressor, level) = self.compress.unwrap_or((Compressor::Gzip, None));
        let compression = match compressor {
            Compressor::Gzip => Compression::Gzip,
            Compressor::Zstd => Compression::Zstd,
            Compressor::None => Compression::Plain,
        };
        LayerWriter::begin(layout, compression, level).map_err(failed)
    }
}

impl WriteArgs {
    /// Opens the layout that an image is written to.
    pub(super) fn layout(&self, place: &Transport) -> Result<LayoutFolder, Failure> {
        let Transport::Layout(path, name) = place else {
            return Err(Failure::usage(format!("cannot write to {place}")).help(
                "images are made in layouts, oci:DIR:NAME; forger copy takes them elsewhere",
            ));
        };
        if let Name::Digest(_) = name {
            return Err(Failure::usage(format!("cannot write to {place}"))
                .help("what is made has a digest of its own; give it a name, oci:DIR:NAME"));
        }
        LayoutFolder::create(path, name.clone(), !self.no_sync).map_err(failed)
    }

    /// Returns what the history says of a step.
    pub(super) fn history(&self, text: &str, layer: bool) -> Value {
        let environment = Environment::real();
        let created = match self.time {
            Some(When::At(time)) => Some(time),
            Some(When::Now) => Some((environment.clock)()),
            None => environment
                .source_date_epoch
                .as_ref()
                .and_then(|text| time::source_date_epoch(text.to_str()?)),
        };
        let mut history = json!({ "created_by": text, "comment": "forger" });
        if let Some(created) = created {
            history["created"] = listing::utc(Time::from_sec(created.sec)).into();
        }
        if !layer {
            history["empty_layer"] = true.into();
        }
        history
    }
}

/// An image that is changed, and where it goes.
pub(super) struct Changed {
    pub(super) draft: Draft,
    pub(super) layout: LayoutFolder,
    place: Transport,
}

impl Changed {
    /// Begins to change an image: in its own layout under its own name, unless `out` says another place.
    pub(super) fn begin(
        image: &Image,
        source: &Transport,
        out: Option<&OsString>,
        write: &WriteArgs,
    ) -> Result<Self, Failure> {
        let place = match out {
            Some(out) => transport(out)?,
            None => match (source, name_of(&image.root)) {
                (Transport::Layout(path, Name::Only), Some(name)) => {
                    Transport::Layout(path.clone(), Name::Named(name.to_owned()))
                }
                _ => source.clone(),
            },
        };
        if image.is_in_index() && out.is_none() {
            return Err(
                Failure::failed(format!("{source} is an image for several platforms"))
                    .help("--to oci:DIR:NAME makes an image of one of them"),
            );
        }
        let layout = write.layout(&place)?;
        let draft = Draft::of(&**image.blobs(), &image.descriptor).map_err(failed)?;
        Ok(Self {
            draft,
            layout,
            place,
        })
    }

    /// Takes over the layers that stay.
    pub(super) fn take_layers(&self, image: &Image) -> Result<(), Failure> {
        for layer in image.manifest.layers() {
            self.layout
                .put(layer, &**image.blobs() as &dyn Blobs)
                .map_err(failed)?;
        }
        Ok(())
    }

    /// Writes the image, and says which it is.
    pub(super) fn finish(self, global: Global) -> Result<String, Failure> {
        finish(self.draft, &self.layout, &self.place, global)
    }
}

/// Writes an image and lists it, and says which it is.
pub(super) fn finish(
    draft: Draft,
    layout: &LayoutFolder,
    place: &Transport,
    global: Global,
) -> Result<String, Failure> {
    let root = draft.write(layout).map_err(failed)?;
    let name = match place {
        Transport::Layout(_, Name::Named(name)) => Some(name.as_str()),
        _ => None,
    };
    layout.list(&root, name).map_err(failed)?;
    Ok(report(&root, place, global))
}

fn report(root: &Descriptor, place: &Transport, global: Global) -> String {
    match global.output {
        Format::Text => format!("{}\n", root.digest()),
        Format::Json => print::json_line(&json!({
            "image": place.to_string(),
            "digest": root.digest().to_string(),
            "size": root.size(),
        })),
    }
}

pub(super) fn failed(error: forger_oci::Error) -> Failure {
    remedy::oci("cannot write the image".to_owned(), error)
}
