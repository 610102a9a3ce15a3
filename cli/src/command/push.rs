//! `forger push IMAGE REF`

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::sync::Arc;

use forger_block::{BlockRead, FileReader};
use forger_oci::artifact::{BUNDLE_LAYER, DiskFacts, KERNEL_LAYER, Packed, WasmKind};
use forger_oci::blob::Images;
use forger_oci::{Name, Platform, Reference, Transport, manifest, registry};
use serde_json::{Value, json};

use crate::args::network::{JobsArgs, NetworkArgs};
use crate::args::reference;
use crate::args::size::{self, human};
use crate::args::{Format, Global};
use crate::config;
use crate::exit::Failure;
use crate::guest::kernel;
use crate::network::Network;
use crate::network::transfer::Transfer;
use crate::print::{self, Stream};
use crate::progress::Console;
use crate::remedy;

/// Sends an image, or a single file as an artifact, to a registry
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "forger push [OPTIONS] IMAGE REF",
    after_long_help = "\
IMAGE is a layout (a folder, a tar), what docker saved, or a file: a qcow2 disk, WebAssembly, a bundle or a
kernel bundle is known by its first bytes, any other disk image is sent with --artifact. Blobs that the
registry has are not sent again.

Examples:
  forger push ./layout ghcr.io/org/app:1
  forger push docker-archive:saved.tar localhost:5000/app
  forger push vm.qcow2 ghcr.io/org/builder-vm:12 --description 'Debian 12 with compilers'
  forger push cloud.kernel.tar.zst ghcr.io/org/kernel:6.1
  forger push --image vm.qcow2 --reference ghcr.io/org/builder-vm:12 --artifact --auth-file auth.json

Exit status: 0 done, 1 failed, 2 wrong usage, 130 or 143 stopped by a signal."
)]
pub(crate) struct Args {
    /// The image: a layout's folder or tar, oci:DIR[:NAME], oci-archive:FILE, docker-archive:FILE, or a
    /// file that is an artifact
    #[arg(value_name = "IMAGE", required_unless_present = "image")]
    first: Option<OsString>,

    /// Where it goes: [HOST[:PORT]/]PATH[:TAG]
    #[arg(value_name = "REF", required_unless_present = "reference")]
    second: Option<OsString>,

    /// Another way to name IMAGE
    #[arg(short, long, value_name = "IMAGE")]
    image: Option<OsString>,

    /// Another way to name REF
    #[arg(short, long, value_name = "REF")]
    reference: Option<String>,

    /// Takes IMAGE for a disk image, whatever it is
    #[arg(long)]
    artifact: bool,

    #[command(flatten)]
    facts: FactsArgs,

    /// Sends one platform of an image for several: os/arch or os/arch/variant [default: all]
    #[arg(long, value_name = "OS/ARCH")]
    platform: Option<Platform>,

    /// Sends blobs in chunks of this length [default: whole, and in chunks of 4M where that fails]
    #[arg(long, value_name = "SIZE", value_parser = size::parse)]
    chunk_size: Option<u64>,

    /// Mounts blobs from another repository of the registry where it has them (repeatable)
    #[arg(long, value_name = "REPOSITORY")]
    mount_from: Vec<String>,

    #[command(flatten)]
    jobs: JobsArgs,

    #[command(flatten)]
    network: NetworkArgs,
}

/// What is said of a disk image.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Artifact")]
struct FactsArgs {
    /// What the disk image is called [default: the file's name]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,

    /// Which version of it this is [default: the tag]
    #[arg(long, value_name = "VERSION")]
    artifact_version: Option<String>,

    /// The processor it is for [default: this machine's]
    #[arg(long, value_name = "ARCH")]
    arch: Option<String>,

    /// The operating system on it [default: linux]
    #[arg(long, value_name = "OS")]
    os: Option<String>,

    /// What it is good for [default: not said]
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
}

/// Pushes, and prints what.
pub(super) fn run(args: &Args, global: Global) -> Result<(), Failure> {
    let (image, reference) = args.named()?;
    let mut console = Console::start(global)?;
    let pushed = push(args, &image, &reference, &mut console);
    let object = console.conclude(pushed)?;
    let report = match global.output {
        Format::Text => {
            let size = object["size"].as_u64().map(human).unwrap_or_default();
            let digest = object["digest"].as_str().unwrap_or_default();
            format!("{reference}\n{digest}\n{size}\n")
        }
        Format::Json => print::json_line(&object),
    };
    print::result(Stream::Stdout, &report)
}

impl Args {
    /// Tells image and reference apart, by place or by option.
    fn named(&self) -> Result<(OsString, Reference), Failure> {
        let mut places = [&self.first, &self.second].into_iter().flatten();
        let image = self.image.as_ref().or_else(|| places.next());
        let option = self.reference.clone();
        let typed = option.or_else(|| Some(places.next()?.to_string_lossy().into_owned()));
        if places.next().is_some() {
            return Err(Failure::usage("the image or the reference is given twice"));
        }
        match (image, typed) {
            (Some(image), Some(typed)) => Ok((image.clone(), reference::parse(&typed)?)),
            _ => Err(Failure::usage("an image and a reference are needed")
                .help("forger push IMAGE REF, or --image IMAGE --reference REF")),
        }
    }
}

fn push(
    args: &Args,
    image: &OsStr,
    reference: &Reference,
    console: &mut Console,
) -> Result<Value, Failure> {
    let network = Network::start(&args.network, &[reference.host()], console)?;
    let failed = |error| {
        remedy::oci(
            format!("cannot push {} to {reference}", image.display()),
            error,
        )
    };
    let source = network.with_foreign(open(args, image, reference, console)?);
    let mut root = source.root().map_err(failed)?;
    if args.platform.is_some() {
        let platform = args.platform.as_ref();
        let image = manifest::image(&*source, &root, platform, &config::platform());
        root = image.map_err(failed)?.descriptor;
    }
    let options = registry::Options {
        chunk: args.chunk_size,
        mount_from: args.mount_from.clone(),
        ..registry::Options::default()
    };
    let repository = network.repository(reference, options)?;
    console.start_phase("push");
    let transfer = Transfer {
        source: &*source,
        sink: &repository,
        root,
        jobs: args.jobs.jobs,
        foreign: args.network.fetch_foreign,
    };
    let copied = transfer.run(console).map_err(failed)?;
    Ok(json!({
        "reference": reference.to_string(),
        "digest": transfer.root.digest().to_string(),
        "size": copied.bytes,
        "blobs": copied.blobs,
    }))
}

/// Opens what is sent.
fn open(
    args: &Args,
    image: &OsStr,
    reference: &Reference,
    console: &mut Console,
) -> Result<Arc<dyn Images>, Failure> {
    if let Some(transport) = crate::oci::transport(image)? {
        return match transport {
            Transport::Registry(_) => Err(Failure::usage(
                "an image goes from one registry to another by forger copy",
            )),
            local => crate::oci::local(&local),
        };
    }
    let path = Path::new(image);
    if path.is_dir() {
        return crate::oci::local(&Transport::Layout(path.to_owned(), Name::Only));
    }
    let what = || format!("cannot push {}", path.display());
    let file = FileReader::open(path).map_err(|error| remedy::block(what(), error))?;
    let mut start = [0; 8];
    let known = usize::try_from(file.len()).unwrap_or(8).min(8);
    let head = start.get_mut(..known).unwrap_or_default();
    file.read_at(0, head)
        .map_err(|error| remedy::block(what(), error))?;
    let kind = match () {
        () if args.artifact => FileKind::Disk,
        () if WasmKind::of(head).is_some() => FileKind::Wasm,
        () if head.starts_with(b"QFI\xfb") => FileKind::Disk,
        () if kernel::is_bundle(path) => FileKind::Kernel,
        () if head.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) || is_skippable(head) => FileKind::Bundle,
        () => return open_archive(path),
    };
    let name = path.display().to_string();
    let file: Arc<dyn BlockRead> = Arc::new(file);
    let title = path.file_name().unwrap_or_default().to_string_lossy();
    console.start_phase("hash");
    let packed = match kind {
        FileKind::Disk => Packed::disk(file, &name, &args.facts.facts(path, reference), console),
        FileKind::Wasm => Packed::wasm(file, &name, &title, console),
        FileKind::Kernel => Packed::other(file, &name, &title, KERNEL_LAYER, console),
        FileKind::Bundle => Packed::other(file, &name, &title, BUNDLE_LAYER, console),
    };
    Ok(Arc::new(
        packed.map_err(|error| remedy::oci(what(), error))?,
    ))
}

enum FileKind {
    Disk,
    Wasm,
    Kernel,
    Bundle,
}

/// Tells whether a zstd stream begins with a frame to be skipped.
fn is_skippable(head: &[u8]) -> bool {
    matches!(head, [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..])
}

/// Opens a tar: a layout's, or what docker saved.
fn open_archive(path: &Path) -> Result<Arc<dyn Images>, Failure> {
    let layout = Transport::LayoutArchive(path.to_owned(), Name::Only);
    crate::oci::local(&layout)
        .or_else(|_| crate::oci::local(&Transport::DockerArchive(path.to_owned(), Name::Only)))
        .map_err(|failure| failure.help("a disk image that is no qcow2 is sent with --artifact"))
}

impl FactsArgs {
    fn facts(&self, path: &Path, reference: &Reference) -> DiskFacts {
        let stem = || {
            path.file_stem()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned()
        };
        let platform = config::platform();
        let arch = self.arch.as_deref().unwrap_or(&platform.architecture);
        DiskFacts {
            name: self.name.clone().unwrap_or_else(stem),
            version: self.artifact_version.clone().unwrap_or_else(|| {
                reference
                    .tag()
                    .unwrap_or(forger_oci::DEFAULT_TAG)
                    .to_owned()
            }),
            architecture: Platform::new("linux", arch, None).architecture,
            os: self.os.clone().unwrap_or(platform.os),
            description: self.description.clone(),
        }
    }
}
