//! `forger oci ls PLACE`

use std::ffi::OsString;

use forger_oci::layout::{Layout, name_of};
use forger_oci::{Descriptor, DockerArchive, Platform, Transport, manifest};
use serde_json::json;

use super::transport;
use crate::args::network::NetworkArgs;
use crate::args::{Format, Global};
use crate::exit::Failure;
use crate::print::{self, Lines};
use crate::progress::Console;
use crate::{config, remedy};

/// Lists the images of a layout or archive, or what refers to one of them
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
A line has the digest, the platform and the name; - where there is none. An image for several
platforms has one line for each of them, below its own.

Examples:
  forger oci ls oci:images
  forger oci ls --referrers oci:images:app
  forger oci ls --referrers oci://ghcr.io/org/app:1

Exit status: 0 done, 1 failed, 2 wrong usage (forger --help says more).")]
pub(super) struct Args {
    /// The place: oci:DIR, oci-archive:FILE or docker-archive:FILE; with --referrers an image of a
    /// registry, too
    #[arg(value_name = "PLACE")]
    place: OsString,

    /// Lists what refers to the image of this name instead: signatures, attestations
    #[arg(long)]
    referrers: bool,

    #[command(flatten)]
    network: NetworkArgs,
}

/// Lists the images.
pub(super) fn run(args: &Args, global: Global) -> Result<(), Failure> {
    let mut console = Console::start(global)?;
    let listed = list(args, global, &console);
    console.conclude(listed)
}

fn list(args: &Args, global: Global, console: &Console) -> Result<(), Failure> {
    let place = transport(&args.place)?;
    let failed = |error| remedy::oci(format!("cannot read {place}"), error);
    let mut lines = Lines::start();
    if args.referrers {
        let images = crate::oci::open(&place, &args.network, console)?;
        let root = images.root().map_err(failed)?;
        let digest = forger_oci::Digest::try_from(root.digest()).map_err(failed)?;
        for referrer in images.referrers(&digest).map_err(failed)? {
            lines.put(line(&referrer, global))?;
        }
        return lines.finish();
    }
    let images = crate::oci::open(&place, &args.network, console)?;
    for manifest in manifests(&place)? {
        lines.put(line(&manifest, global))?;
        if forger_oci::media_type::is_index(manifest.media_type()) {
            for image in manifest::images(&*images, &manifest).map_err(failed)? {
                lines.put(line(&image, global))?;
            }
        }
    }
    lines.finish()
}

fn manifests(place: &Transport) -> Result<Vec<Descriptor>, Failure> {
    let scratch = config::scratch_folder();
    let listed = match place {
        Transport::Layout(path, name) => {
            Layout::open(path, name.clone()).and_then(|layout| layout.manifests())
        }
        Transport::LayoutArchive(path, name) => {
            Layout::open_archive(path, name.clone(), &scratch).and_then(|layout| layout.manifests())
        }
        Transport::DockerArchive(path, name) => {
            DockerArchive::open(path, name.clone(), &scratch).map(|archive| archive.manifests())
        }
        Transport::Registry(_) => {
            return Err(
                Failure::usage(format!("{place} is one image of a registry"))
                    .help("forger oci tags lists the tags of its repository"),
            );
        }
    };
    listed.map_err(|error| remedy::oci(format!("cannot read {place}"), error))
}

fn line(image: &Descriptor, global: Global) -> String {
    let platform = image
        .platform()
        .as_ref()
        .map(|platform| Platform::of(platform).to_string());
    let name = name_of(image);
    match global.output {
        Format::Text => {
            let kind = image.artifact_type().as_ref().map(ToString::to_string);
            format!(
                "{} {:<14} {}\n",
                image.digest(),
                platform.or(kind).as_deref().unwrap_or("-"),
                name.unwrap_or("-").escape_debug(),
            )
        }
        Format::Json => print::json_line(&json!({
            "digest": image.digest().to_string(),
            "media_type": image.media_type().to_string(),
            "size": image.size(),
            "name": name,
            "platform": platform,
            "artifact_type": image.artifact_type().as_ref().map(ToString::to_string),
            "annotations": image.annotations(),
        })),
    }
}
