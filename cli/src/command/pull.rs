//! `forger pull REF [DEST]`

use std::ffi::{OsStr, OsString};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use forger_block::{BlockSink, ForwardFile, check_target, is_zero};
use forger_fs::observe::Observer;
use forger_oci::artifact::ArtifactFile;
use forger_oci::blob::{self, Images};
use forger_oci::manifest::{self, Manifest};
use forger_oci::{Descriptor, Name, Platform, Reference, Transport, registry};
use serde_json::{Value, json};

use crate::args::network::{JobsArgs, NetworkArgs};
use crate::args::reference;
use crate::args::run::WriteArgs;
use crate::args::size::human;
use crate::args::{Format, Global};
use crate::config;
use crate::exit::Failure;
use crate::network::Network;
use crate::network::transfer::Transfer;
use crate::print::{self, Stream};
use crate::progress::Console;
use crate::remedy;

/// What is read of a file at a time; zeros of this length become a hole.
const PIECE: usize = 64 << 10;

/// Fetches an image or an artifact from a registry
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
An image goes into a layout: a folder, a tar, or what docker takes. A disk image, WebAssembly or
bundle is an artifact: its one file goes to DEST, and appears when it is whole and verified.

Examples:
  forger pull debian:12                      # into the layout ./debian
  forger pull ghcr.io/org/app:1 oci-archive:app.tar
  forger pull ghcr.io/org/app:1 docker-archive:app.tar --platform linux/arm64
  forger pull ghcr.io/org/builder-vm:latest builder.qcow2

Exit status: 0 done, 1 failed, 2 wrong usage, 130 or 143 stopped by a signal.")]
pub(crate) struct Args {
    /// The image: [HOST[:PORT]/]PATH[:TAG][@DIGEST]; oci:// may stand before it
    #[arg(value_name = "REF", required_unless_present = "reference")]
    positional: Option<String>,

    /// Where it goes: oci:DIR[:NAME], oci-archive:FILE, docker-archive:FILE, or a path [default: the
    /// last part of the repository's name; of an artifact, its file's name]
    #[arg(value_name = "DEST")]
    dest: Option<OsString>,

    /// Another way to name REF
    #[arg(short, long, value_name = "REF", conflicts_with = "positional")]
    reference: Option<String>,

    /// Another way to name DEST
    #[arg(short, long, value_name = "DEST", conflicts_with = "dest")]
    out: Option<OsString>,

    /// The platform, of an image for several: os/arch or os/arch/variant [default: linux and this
    /// machine's architecture]
    #[arg(long, value_name = "OS/ARCH")]
    platform: Option<Platform>,

    /// Takes all platforms of an image for several
    #[arg(long, conflicts_with = "platform")]
    all_platforms: bool,

    #[command(flatten)]
    jobs: JobsArgs,

    #[command(flatten)]
    network: NetworkArgs,

    #[command(flatten)]
    write: WriteArgs,
}

impl Args {
    /// Returns where it goes, as it was named.
    fn destination(&self) -> Option<&OsString> {
        self.dest.as_ref().or(self.out.as_ref())
    }
}

/// Pulls, and prints what came and where it is.
pub(super) fn run(args: &Args, global: Global) -> Result<(), Failure> {
    let typed = args.positional.as_ref().or(args.reference.as_ref());
    let reference = reference::parse(typed.map_or("", String::as_str))?;
    let mut console = Console::start(global)?;
    let pulled = pull(args, &reference, &mut console);
    let object = console.conclude(pulled)?;
    let report = match global.output {
        Format::Text => text(&object),
        Format::Json => print::json_line(&object),
    };
    print::result(Stream::Stdout, &report)
}

fn text(object: &Value) -> String {
    let field = |name: &str| object[name].as_str().unwrap_or_default().to_owned();
    let size = object["size"].as_u64().map(human).unwrap_or_default();
    format!("{}\n{}\n{size}\n", field("path"), field("digest"))
}

fn pull(args: &Args, reference: &Reference, console: &mut Console) -> Result<Value, Failure> {
    let network = Network::start(&args.network, &[reference.host()], console)?;
    let repository = network.repository(reference, registry::Options::default())?;
    let repository = Arc::new(repository);
    console.start_phase("pull");
    let choose = || {
        let root = repository.root()?;
        if args.all_platforms {
            return Ok((root, None));
        }
        let platform = args.platform.as_ref();
        // What is no image for a platform is an artifact: taken as it is.
        if let Manifest::Image(manifest) = Manifest::read(&*repository, &root)?
            && let Some(file) = ArtifactFile::of(&manifest)?
        {
            return Ok((root, Some(file)));
        }
        let image = manifest::image(&*repository, &root, platform, &config::platform())?;
        let file = ArtifactFile::of(&image.manifest)?;
        Ok((image.descriptor, file))
    };
    let (root, file) =
        choose().map_err(|error| remedy::oci(format!("cannot pull {reference}"), error))?;
    let dest = args.destination();
    let place = dest.map(|dest| crate::oci::transport(dest)).transpose()?;
    match file {
        // In a layout an artifact is an image like any other.
        Some(file) if place.flatten().is_none() => {
            pull_file(args, &repository, &root, &file, dest, console)
        }
        _ => {
            let images = network.with_foreign(repository);
            pull_image(args, reference, &*images, root, console)
        }
    }
}

fn pull_image(
    args: &Args,
    reference: &Reference,
    images: &dyn Images,
    root: Descriptor,
    console: &mut Console,
) -> Result<Value, Failure> {
    let transport = destination(reference, args.destination())?;
    let sink = crate::oci::create(&transport, args.write)?;
    let transfer = Transfer {
        source: images,
        sink: &*sink,
        root,
        jobs: args.jobs.jobs,
        foreign: args.network.fetch_foreign,
    };
    let copied = transfer
        .run(console)
        .map_err(|error| remedy::oci(format!("cannot pull {reference} to {transport}"), error))?;
    Ok(json!({
        "reference": reference.to_string(),
        "path": transport.to_string(),
        "digest": transfer.root.digest().to_string(),
        "size": copied.bytes,
        "blobs": copied.blobs,
    }))
}

/// Finds out where an image goes.
fn destination(reference: &Reference, dest: Option<&OsString>) -> Result<Transport, Failure> {
    let name = || match reference.tag() {
        Some(tag) => Name::Named(tag.to_owned()),
        None => Name::Only,
    };
    let Some(dest) = dest else {
        let last = reference
            .repository()
            .rsplit('/')
            .next()
            .unwrap_or_default();
        return Ok(Transport::Layout(PathBuf::from(last), name()));
    };
    match crate::oci::transport(dest)? {
        Some(Transport::Registry(_)) => Err(Failure::usage(
            "an image goes from one registry to another by forger copy",
        )),
        Some(Transport::DockerArchive(path, Name::Only)) => Ok(Transport::DockerArchive(
            path,
            Name::Named(reference.to_string()),
        )),
        Some(transport) => Ok(transport),
        None if Path::new(dest).extension() == Some(OsStr::new("tar")) => {
            Ok(Transport::LayoutArchive(dest.into(), name()))
        }
        None => Ok(Transport::Layout(dest.into(), name())),
    }
}

fn pull_file(
    args: &Args,
    repository: &registry::Repository,
    root: &Descriptor,
    file: &ArtifactFile,
    dest: Option<&OsString>,
    console: &mut Console,
) -> Result<Value, Failure> {
    let reference = repository.reference();
    let last = reference
        .repository()
        .rsplit('/')
        .next()
        .unwrap_or_default();
    let title = file.title.as_deref().unwrap_or(last);
    let path = match dest.map(Path::new) {
        None => PathBuf::from(title),
        Some(folder) if folder.is_dir() => folder.join(title),
        Some(path) => path.to_owned(),
    };
    console.meter().expect(file.layer.size());
    write_file(repository, file, &path, args.write, console)?;
    Ok(json!({
        "reference": reference.to_string(),
        "path": path.to_string_lossy(),
        "digest": root.digest().to_string(),
        "size": file.layer.size(),
        "media_type": file.layer.media_type().to_string(),
        "file_digest": file.layer.digest().to_string(),
    }))
}

/// Writes an artifact's file, which appears when it is verified; zeros become holes.
fn write_file(
    repository: &registry::Repository,
    file: &ArtifactFile,
    path: &Path,
    write: WriteArgs,
    console: &mut Console,
) -> Result<(), Failure> {
    let failed = |error| remedy::block(format!("cannot write {}", path.display()), error);
    check_target(path, write.force).map_err(failed)?;
    let mut output = ForwardFile::create(path, crate::output::publish(write)).map_err(failed)?;
    let what = || format!("cannot pull {}", repository.reference());
    let unread = |error| {
        let error = forger_oci::Error::read(file.layer.digest().to_string(), error);
        remedy::oci(what(), error)
    };
    let mut reader =
        blob::open(repository, &file.layer).map_err(|error| remedy::oci(what(), error))?;
    let mut buffer = vec![0; PIECE];
    loop {
        let count = fill(&mut reader, &mut buffer).map_err(unread)?;
        let piece = buffer.get(..count).unwrap_or_default();
        if piece.is_empty() {
            break;
        }
        if Observer::cancelled(console) {
            return Err(Failure::failed(what()));
        }
        let count = u64::try_from(count).unwrap_or(0);
        match is_zero(piece) {
            true => output.skip(count),
            false => output.write(piece),
        }
        .map_err(failed)?;
        forger_disk::Progress::advance(console, count);
    }
    console.finishing();
    Box::new(output).finish().map_err(failed)
}

/// Reads until a buffer is full, or the end.
fn fill(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut count = 0;
    while let Some(rest) = buffer.get_mut(count..).filter(|rest| !rest.is_empty()) {
        match reader.read(rest)? {
            0 => break,
            read => count += read,
        }
    }
    Ok(count)
}
