//! `forger oci rm IMAGE`

use std::ffi::OsString;
use std::path::Path;

use forger_oci::blob::Images;
use forger_oci::layout::{Layout, LayoutFolder};
use forger_oci::registry::{self, Repository};
use forger_oci::{Name, Transport};
use serde_json::json;

use super::transport;
use crate::args::network::NetworkArgs;
use crate::args::size::human;
use crate::args::{Format, Global};
use crate::exit::Failure;
use crate::network::Network;
use crate::print::{self, Stream};
use crate::progress::Console;
use crate::remedy;

/// Takes an image out of a layout or a registry
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
With a name, that name goes; with a digest, all names of that image. Blobs of a layout go once no
image of it needs them; while somebody else writes to the layout, --keep-blobs leaves them. A registry
decides itself when it gives back the room; many remove images by digest only, or not at all.

Examples:
  forger oci rm oci:images:old
  forger oci rm oci://registry.example.org/app@$(forger oci digest oci://registry.example.org/app:old)

Exit status: 0 done, 1 failed, 2 wrong usage (forger --help says more).")]
pub(super) struct Args {
    /// The image: oci:DIR[:NAME], oci:DIR@DIGEST or oci://REGISTRY/NAME[:TAG][@DIGEST]
    #[arg(value_name = "IMAGE")]
    image: OsString,

    /// Leaves all blobs of a layout where they are
    #[arg(long)]
    keep_blobs: bool,

    #[command(flatten)]
    network: NetworkArgs,
}

/// Removes the image.
pub(super) fn run(args: &Args, global: Global) -> Result<(), Failure> {
    let mut console = Console::start(global)?;
    let removed = remove(args, &console);
    let (images, blobs, bytes) = console.conclude(removed)?;
    let text = match global.output {
        Format::Text => format!("{images} images, {blobs} blobs, {}\n", human(bytes)),
        Format::Json => {
            print::json_line(&json!({ "images": images, "blobs": blobs, "bytes": bytes }))
        }
    };
    print::result(Stream::Stdout, &text)
}

fn remove(args: &Args, console: &Console) -> Result<(usize, u64, u64), Failure> {
    let place = transport(&args.image)?;
    match &place {
        Transport::Layout(path, name) => remove_from_layout(args, path, name, &place),
        Transport::Registry(reference) => {
            let network = Network::start(&args.network, &[reference.host()], console)?;
            remove_from_registry(&network.repository(reference, registry::Options::default())?)
        }
        _ => Err(Failure::usage(format!("cannot remove {place}"))
            .help("an archive has one image as a rule: remove the file")),
    }
}

fn remove_from_layout(
    args: &Args,
    path: &Path,
    name: &Name,
    place: &Transport,
) -> Result<(usize, u64, u64), Failure> {
    let failed = |error| remedy::oci(format!("cannot remove {place}"), error);
    // A folder that is no layout is not made one.
    Layout::open(path, name.clone()).map_err(failed)?;
    let layout = LayoutFolder::create(path, name.clone(), true).map_err(failed)?;
    let images = layout.unlist().map_err(failed)?;
    let (blobs, bytes) = match args.keep_blobs {
        true => (0, 0),
        false => layout.collect().map_err(failed)?,
    };
    Ok((images, blobs, bytes))
}

/// Removes a tag, or a manifest with all its tags; what becomes of the blobs is the registry's business.
fn remove_from_registry(repository: &Repository) -> Result<(usize, u64, u64), Failure> {
    let reference = repository.reference();
    match repository.remove() {
        Ok(()) => Ok((1, 0, 0)),
        Err(error) => {
            let tag_is_kept = reference.digest().is_none() && is_not_done(&error);
            let failure = remedy::oci(format!("cannot remove {reference}"), error);
            Err(match repository.root().ok().filter(|_| tag_is_kept) {
                Some(root) => failure.help(format!(
                    "the registry may remove images by their digests, with all their tags: {}@{}",
                    reference.name(),
                    root.digest()
                )),
                None => failure,
            })
        }
    }
}

/// Tells whether a registry says that it never does this.
fn is_not_done(error: &forger_oci::Error) -> bool {
    let forger_oci::Error::Other(inner) = error else {
        return false;
    };
    matches!(
        inner.downcast_ref(),
        Some(registry::Error::Refused {
            status: 400 | 405 | 501,
            ..
        })
    )
}
