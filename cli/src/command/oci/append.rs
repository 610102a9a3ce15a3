//! `forger oci append IMAGE LAYER…`

use std::ffi::{OsStr, OsString};
use std::io::{self, Read, Write};
use std::path::Path;

use forger_fs::decompress;
use forger_fs::source::Source;
use forger_fs::tar;
use forger_oci::layer::{LayerWriter, Written};

use super::changed::{Changed, CompressArgs, DestinationArgs, WriteArgs, failed};
use super::{ImageArgs, pack};
use crate::args::Global;
use crate::args::source::SourceArgs;
use crate::exit::Failure;
use crate::input::stream;
use crate::print::{self, Stream};
use crate::progress::Console;

/// Puts layers on top of an image
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
A LAYER is a tar of any compression, - for standard input, or a folder. A tar becomes a layer as it
is, whiteouts included; of a folder an archive is made. The image gets a new digest and keeps its
name, unless --to names another.

Examples:
  forger oci append oci:image:latest layer.tar
  forger oci append oci:image:base app/ --to oci:image:app --compress zstd
  forger oci append oci://debian:12 app/ --to oci://registry.example.org/app:1

Exit status: 0 done, 1 failed, 2 wrong usage (forger --help says more).")]
pub(super) struct Args {
    #[command(flatten)]
    image: ImageArgs,

    /// The layers, the lowest first
    #[arg(value_name = "LAYER", required = true)]
    layers: Vec<OsString>,

    /// The image to make: oci:DIR[:NAME], oci-archive:FILE, docker-archive:FILE or oci://REGISTRY/NAME
    /// [default: IMAGE itself, in a layout]
    #[arg(short, long = "to", value_name = "IMAGE")]
    to: Option<OsString>,

    #[command(flatten)]
    compress: CompressArgs,

    #[command(flatten)]
    write: WriteArgs,
}

/// Appends the layers.
pub(super) fn run(args: &Args, global: Global) -> Result<(), Failure> {
    let mut console = Console::start(global)?;
    let appended = append(args, global, &mut console);
    let text = console.conclude(appended)?;
    print::result(Stream::Stdout, &text)
}

fn append(args: &Args, global: Global, console: &mut Console) -> Result<String, Failure> {
    let (image, network) = args.image.open_for(args.to.as_ref(), console)?;
    let to = DestinationArgs {
        write: &args.write,
        network: &network,
    };
    let mut changed = Changed::begin(&image, args.to.as_ref(), &to, console)?;
    changed.take_layers(&image)?;
    console.start_phase("append");
    for path in &args.layers {
        let workshop = changed.destination.workshop();
        let written = match Path::new(path).is_dir() {
            true => {
                let tree = pack::tree(path, &SourceArgs::default(), console)?;
                pack::layer_of(&pack::empty(), &tree, workshop, &args.compress)?
            }
            false => archive(path, args.compress.begin(workshop)?, console)?,
        };
        let name = Path::new(path)
            .file_name()
            .unwrap_or(path)
            .display()
            .to_string();
        let history = args
            .write
            .history(&format!("forger oci append {name}"), true);
        changed.draft.append(&written, history);
    }
    changed.finish(global, console)
}

/// Takes a tar as a layer, as it is, after a look whether it is one.
fn archive(path: &OsStr, writer: LayerWriter, console: &mut Console) -> Result<Written, Failure> {
    let name = stream::shown(path);
    let stream = stream::open(path, "tar archive", console)?;
    let cannot = || Failure::failed(format!("cannot take {name} as a layer"));
    let stream = decompress::open(stream, &decompress::Options::default())
        .map_err(|error| cannot().because(error))?;
    let mut copied = Copied {
        input: stream,
        writer,
    };
    let mut reader = tar::Reader::new(&mut copied);
    loop {
        match reader.next_entry() {
            Ok(Some(_)) => {}
            Ok(None) => break,
            Err(error) => return Err(cannot().because(error)),
        }
    }
    drop(reader);
    io::copy(&mut copied, &mut io::sink()).map_err(|error| cannot().because(error))?;
    copied.writer.finish().map_err(failed)
}

/// A reader that copies what passes.
struct Copied<R> {
    input: R,
    writer: LayerWriter,
}

impl<R: Read> Read for Copied<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let count = self.input.read(buf)?;
        self.writer.write_all(&buf[..count])?;
        Ok(count)
    }
}
