//! Where an image that is made or changed goes.

use std::ffi::OsString;
use std::sync::Arc;

use clap::ValueEnum;
use forger_fs::tree::Time;
use forger_oci::blob::{BlobSink, Blobs, ImageSink};
use forger_oci::image::Draft;
use forger_oci::layer::LayerWriter;
use forger_oci::layout::{LayoutFolder, name_of};
use forger_oci::media_type::Compression;
use forger_oci::workshop::{Workbench, Workshop};
use forger_oci::{Descriptor, Name, Transport};
use serde_json::{Value, json};

use super::transport;
use crate::args::network::{JobsArgs, NetworkArgs};
use crate::args::time::{self, When};
use crate::args::{Format, Global, run};
use crate::config::{self, Environment};
use crate::exit::Failure;
use crate::network::Network;
use crate::network::transfer::{self, Transfer};
use crate::oci::{self, Image};
use crate::progress::Console;
use crate::{listing, print, remedy};

/// How a layout is written.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Output")]
pub(super) struct WriteArgs {
    /// Time that the history has [default: SOURCE_DATE_EPOCH, else none]
    #[arg(long, value_name = "TIME", value_parser = time::parse)]
    time: Option<When>,

    /// Replaces an archive that is there
    #[arg(long)]
    pub(super) force: bool,

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
    pub(super) fn begin(&self, workshop: &dyn Workshop) -> Result<LayerWriter, Failure> {
        let (compressor, level) = self.compress.unwrap_or((Compressor::Gzip, None));
        let compression = match compressor {
            Compressor::Gzip => Compression::Gzip,
            Compressor::Zstd => Compression::Zstd,
            Compressor::None => Compression::Plain,
        };
        LayerWriter::begin(workshop, compression, level).map_err(failed)
    }
}

impl WriteArgs {
    /// Returns how a file is written.
    pub(super) fn of_file(&self) -> run::WriteArgs {
        run::WriteArgs {
            force: self.force,
            no_sync: self.no_sync,
        }
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

/// Where an image that is made goes.
pub(super) struct Destination {
    place: Transport,
    way: Way,
}

enum Way {
    /// Its blobs are made where they stay.
    Layout(LayoutFolder),
    /// It is copied when it is made.
    Copy {
        bench: Arc<Workbench>,
        sink: Box<dyn ImageSink>,
        foreign: bool,
    },
}

impl Destination {
    /// Opens the place; `base` is an image whose blobs the new one has in part.
    pub(super) fn open(
        place: Transport,
        base: Option<&Image>,
        args: &DestinationArgs<'_>,
        console: &Console,
    ) -> Result<Self, Failure> {
        let digest = match &place {
            Transport::Layout(_, name)
            | Transport::LayoutArchive(_, name)
            | Transport::DockerArchive(_, name) => matches!(name, Name::Digest(_)),
            Transport::Registry(reference) => reference.digest().is_some(),
        };
        if digest {
            return Err(Failure::usage(format!("cannot write to {place}"))
                .help("what is made has a digest of its own; give it a name instead"));
        }
        let way = match &place {
            Transport::Layout(path, name) => Way::Layout(
                LayoutFolder::create(path, name.clone(), !args.write.no_sync).map_err(failed)?,
            ),
            elsewhere => {
                let hosts: Vec<&str> = [base.and_then(Image::host), oci::host(elsewhere)]
                    .into_iter()
                    .flatten()
                    .collect();
                let network = Network::start(args.network, &hosts, console)?;
                let options = transfer::options(base.map(Image::transport), elsewhere);
                let sink = transfer::sink(elsewhere, &network, options, args.write.of_file())?;
                let base = base.map(|base| Arc::clone(base.blobs()));
                Way::Copy {
                    bench: Arc::new(Workbench::new(config::scratch_folder(), base)),
                    sink,
                    foreign: network.fetches_foreign(),
                }
            }
        };
        Ok(Self { place, way })
    }

    /// Returns where the image's blobs are made.
    pub(super) fn workshop(&self) -> &dyn Workshop {
        match &self.way {
            Way::Layout(layout) => layout,
            Way::Copy { bench, .. } => &**bench,
        }
    }

    /// Takes over the layers of another image that stay.
    fn take_layers(&self, image: &Image) -> Result<(), Failure> {
        // A copy takes them along.
        let Way::Layout(layout) = &self.way else {
            return Ok(());
        };
        for layer in image.manifest.layers() {
            layout
                .put(layer, &**image.blobs() as &dyn Blobs)
                .map_err(failed)?;
        }
        Ok(())
    }

    /// Writes the image and gives it its name, and says which it is.
    pub(super) fn finish(
        self,
        draft: Draft,
        global: Global,
        console: &mut Console,
    ) -> Result<String, Failure> {
        let root = draft.write(self.workshop()).map_err(failed)?;
        match self.way {
            Way::Layout(layout) => {
                let name = match &self.place {
                    Transport::Layout(_, Name::Named(name)) => Some(name.as_str()),
                    _ => None,
                };
                layout.list(&root, name).map_err(failed)?;
            }
            Way::Copy {
                bench,
                sink,
                foreign,
            } => {
                console.start_phase("copy");
                let transfer = Transfer {
                    source: &*bench,
                    sink: &*sink,
                    root: root.clone(),
                    jobs: JobsArgs::default().jobs,
                    foreign,
                };
                transfer.run(console).map_err(|error| {
                    remedy::oci(format!("cannot write the image to {}", self.place), error)
                })?;
            }
        }
        Ok(report(&root, &self.place, global))
    }
}

/// How a [`Destination`] is reached.
#[derive(Clone, Copy)]
pub(super) struct DestinationArgs<'a> {
    pub(super) write: &'a WriteArgs,
    pub(super) network: &'a NetworkArgs,
}

/// An image that is changed, and where it goes.
pub(super) struct Changed {
    pub(super) draft: Draft,
    pub(super) destination: Destination,
}

impl Changed {
    /// Begins to change an image: in its own layout under its own name, unless `out` says another place.
    pub(super) fn begin(
        image: &Image,
        out: Option<&OsString>,
        args: &DestinationArgs<'_>,
        console: &Console,
    ) -> Result<Self, Failure> {
        let source = image.transport();
        let place = match (out, source) {
            (Some(out), _) => transport(out)?,
            (None, Transport::Layout(path, Name::Only)) => match name_of(&image.root) {
                Some(name) => Transport::Layout(path.clone(), Name::Named(name.to_owned())),
                None => source.clone(),
            },
            (None, Transport::Layout(..)) => source.clone(),
            (None, _) => {
                return Err(
                    Failure::usage(format!("{source} is not changed where it is"))
                        .help("--to says where the changed image goes"),
                );
            }
        };
        if image.is_in_index() && out.is_none() {
            return Err(
                Failure::failed(format!("{source} is an image for several platforms"))
                    .help("--to makes an image of one of them"),
            );
        }
        let draft = Draft::of(&**image.blobs(), &image.descriptor).map_err(failed)?;
        let destination = Destination::open(place, Some(image), args, console)?;
        Ok(Self { draft, destination })
    }

    /// Takes over the layers that stay.
    pub(super) fn take_layers(&self, image: &Image) -> Result<(), Failure> {
        self.destination.take_layers(image)
    }

    /// Writes the image, and says which it is.
    pub(super) fn finish(self, global: Global, console: &mut Console) -> Result<String, Failure> {
        self.destination.finish(self.draft, global, console)
    }
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
