//! `forger create OUT [SIZE]`

use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;

use clap::ValueEnum;
use forger_block::{BlockRead, BlockSink, PIECE, SparseImage};
use forger_disk::qcow2;
use serde_json::json;

use super::convert::{OutputFormat, Target, not_for, sector_size, target_for};
use crate::args::qcow2::{BackingArgs, Base, Qcow2Args, beside};
use crate::args::run::WriteArgs;
use crate::args::size::{self, both};
use crate::args::{self, Global};
use crate::exit::Failure;
use crate::output::Output;
use crate::print::{self, Stream};
use crate::progress::Console;
use crate::remedy;

/// Sectors of every disk have so many bytes at least.
const SECTOR: u64 = 512;

/// Makes an empty disk, or a qcow2 image that builds on another one
#[derive(Debug, clap::Args)]
#[command(
    arg_required_else_help = true,
    long_about = "Makes an empty disk, or a qcow2 image that builds on another one.\n\n\
        Nothing but its tables is written. Equal options give equal bytes.",
    after_long_help = "\
What OUT becomes is told by its name (.raw, .img, .qcow2, .vhd, .vhdx, .vmdk, .simg, .ova) or by --format. A size that is no
multiple of 512 bytes is rounded up to one, with a note.

Examples:
  forger create disk.qcow2 20G
  forger create disk.raw 8G
  forger create vm/overlay.qcow2 --backing base.qcow2
  forger create overlay.qcow2 40G --backing /images/base.raw --backing-format raw
  forger create disk.qcow2 20G --extended-l2 --cluster-size 128K --preallocation metadata
  forger create disk.qcow2 20G --data-file /images/disk.raw --data-file-raw

Exit status: 0 done, 1 failed, 2 wrong usage, 130 or 143 stopped by a signal."
)]
pub(crate) struct Args {
    /// The image to make: a file, or - for standard output
    #[arg(value_name = "OUT")]
    out: OsString,

    /// Size of the disk: 512M, 20G [default: that of the backing file]
    #[arg(value_name = "SIZE", value_parser = size::parse)]
    size: Option<u64>,

    /// Format of OUT: raw, qcow2, vhd, vhd-fixed, vhdx, vhdx-fixed, vmdk, android-sparse or ova [default: by its name]
    #[arg(long, value_name = "FORMAT", hide_possible_values = true)]
    format: Option<OutputFormat>,

    /// Size of a sector of the disk in a vhdx: 512 or 4096 [default: 512]
    #[arg(long, value_name = "BYTES", value_parser = sector_size)]
    sector_size: Option<u64>,

    #[command(flatten)]
    backing: BackingArgs,

    /// Keeps the data in this file, made as long as the disk; OUT has the tables alone [default: in OUT]
    ///
    /// The name stands in the image as it is typed. A relative one is made in the folder of the image,
    /// where forger looks it up; QEMU looks it up in the current folder.
    #[arg(long, value_name = "FILE", help_heading = "qcow2")]
    data_file: Option<String>,

    /// Lets the data file stay a raw disk that can be used without OUT
    #[arg(long, requires = "data_file", help_heading = "qcow2")]
    data_file_raw: bool,

    #[command(flatten)]
    qcow2: Qcow2Args,

    /// How whoever writes to it compresses clusters: zlib or zstd [default: zlib]
    #[arg(
        long,
        value_name = "NAME",
        hide_possible_values = true,
        help_heading = "qcow2"
    )]
    compression_type: Option<CompressionType>,

    /// Room for what will be written: off, metadata (places in a file of holes) or full (zeros are
    /// written) [default: off]
    #[arg(
        long,
        value_name = "MODE",
        hide_possible_values = true,
        help_heading = "qcow2"
    )]
    preallocation: Option<Preallocation>,

    /// Lets QEMU write refcounts late, which is faster, and repair them after a crash
    #[arg(long, help_heading = "qcow2")]
    lazy_refcounts: bool,

    #[command(flatten)]
    write: WriteArgs,
}

/// A codec, as it is typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum CompressionType {
    Zlib,
    Zstd,
}

/// How much room there is for what will be written, as it is typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Preallocation {
    Off,
    Metadata,
    Full,
}

/// Makes the image, and prints what was made.
pub(super) fn run(args: &Args, global: Global) -> Result<(), Failure> {
    let mut console = Console::start(global)?;
    let made = make(args, &mut console);
    let made = console.conclude(made)?;
    let text = match global.output {
        args::Format::Json => print::json_line(&json!({
            "path": made.path,
            "format": made.format,
            "size": made.size,
            "file_size": made.file_len,
            "backing_file": made.backing,
            "data_file": made.data,
        })),
        args::Format::Text => print::rows([
            ("path", Some(made.path)),
            ("format", Some(made.format.to_owned())),
            ("size", Some(both(made.size))),
            ("file", Some(both(made.file_len))),
        ]),
    };
    print::summary(made.stream, global, &text)
}

/// An image that was made.
struct Made {
    path: String,
    stream: Stream,
    format: &'static str,
    /// Of the disk, in bytes.
    size: u64,
    /// Of the file, holes included, in bytes.
    file_len: u64,
    backing: Option<String>,
    data: Option<String>,
}

fn make(args: &Args, console: &mut Console) -> Result<Made, Failure> {
    let target = target_for(&args.out, args.format, None, args.sector_size)?;
    let is_qcow2 = matches!(target, Target::Qcow2(..));
    if let Some(option) = args.of_qcow2().filter(|_| !is_qcow2) {
        return Err(not_for(option, target.name(), "qcow2"));
    }
    let base = args.backing.find(&args.out)?;
    let size = args.size(base.as_ref(), console)?;
    let output = Output::check(&args.out, args.write)?;
    let data = args.data_output()?;
    let file_len = if is_qcow2 {
        let image = args.plan(size, base.as_ref(), &output)?;
        let full = args.preallocation == Some(Preallocation::Full);
        let data = data.map(|output| room(&output, size, full, console).map(|sink| (sink, output)));
        // The image appears when there is what it names.
        let data = data.transpose()?;
        let sink = write(&image, &output, console)?;
        console.finishing();
        for (sink, output) in data.into_iter().chain([(sink, output.clone())]) {
            sink.finish().map_err(|error| {
                remedy::block(format!("cannot make {}", output.product()), error)
            })?;
        }
        image.len()
    } else {
        let what = || format!("cannot make {}", output.product());
        let empty = SparseImage::builder()
            .finish(size)
            .map_err(|error| remedy::block(what(), error))?;
        let empty: Arc<dyn BlockRead> = Arc::new(empty);
        target.write(empty, &output, 1, console, || Ok(()))?
    };
    Ok(Made {
        path: output.path().to_owned(),
        stream: output.result_stream(),
        format: target.name(),
        size,
        file_len,
        backing: base.map(|base| base.named.name),
        data: args.data_file.clone(),
    })
}

/// Makes a file of zeros, which are written if it shall be `full`; it stays unfinished.
fn room(
    output: &Output,
    size: u64,
    full: bool,
    console: &mut Console,
) -> Result<Box<dyn BlockSink>, Failure> {
    let block = |error| remedy::block(format!("cannot make {}", output.product()), error);
    let mut sink = output.open_forward(console.signals())?;
    if !full {
        sink.skip(size).map_err(block)?;
        return Ok(sink);
    }
    console.start_phase("create");
    let zeros = vec![0; PIECE];
    while sink.position() < size {
        let left = usize::try_from(size - sink.position()).unwrap_or(usize::MAX);
        sink.write(&zeros[..left.min(PIECE)]).map_err(block)?;
        if console.signals().caught().is_some() {
            return Err(block(forger_block::Error::Interrupted));
        }
    }
    Ok(sink)
}

/// Writes a planned image, its zeros where it has some; it stays unfinished.
fn write(
    image: &SparseImage,
    output: &Output,
    console: &mut Console,
) -> Result<Box<dyn BlockSink>, Failure> {
    let block = |error| remedy::block(format!("cannot make {}", output.product()), error);
    let mut sink = output.open_forward(console.signals())?;
    console.start_phase("create");
    let signals = console.signals().clone();
    image
        .stream(&mut *sink, &mut || signals.caught().is_some())
        .map_err(block)?;
    Ok(sink)
}

impl Args {
    /// Returns an option that was given and is for qcow2.
    fn of_qcow2(&self) -> Option<&'static str> {
        let own = [
            ("--backing", self.backing.backing.is_some()),
            ("--compression-type", self.compression_type.is_some()),
            ("--data-file", self.data_file.is_some()),
            ("--preallocation", self.preallocation.is_some()),
            ("--lazy-refcounts", self.lazy_refcounts),
        ];
        own.into_iter()
            .find_map(|(option, given)| given.then_some(option))
            .or_else(|| self.qcow2.given())
    }

    /// Looks at where the data file goes.
    fn data_output(&self) -> Result<Option<Output>, Failure> {
        let Some(name) = &self.data_file else {
            return Ok(None);
        };
        let path = beside(&self.out, name);
        let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
        if real(&path) == real(Path::new(&self.out)) {
            return Err(Failure::usage("image and data file cannot be one file"));
        }
        Output::check(path.as_os_str(), self.write).map(Some)
    }

    /// Returns the size of the disk, in whole sectors.
    fn size(&self, base: Option<&Base>, console: &mut Console) -> Result<u64, Failure> {
        let asked = match (self.size, base) {
            (Some(size), _) => size,
            (None, Some(base)) => base.size()?,
            (None, None) => {
                return Err(Failure::usage("the size of the disk is missing")
                    .help("give it behind the name, as in forger create disk.qcow2 20G"));
            }
        };
        let size = asked
            .checked_next_multiple_of(SECTOR)
            .ok_or_else(|| Failure::usage(format!("{asked} bytes are more than any disk has")))?;
        if size != asked {
            console.say(&format!(
                "the size of {asked} bytes is rounded up to {size}, a multiple of {SECTOR}"
            ));
        }
        Ok(size)
    }

    fn plan(
        &self,
        size: u64,
        base: Option<&Base>,
        output: &Output,
    ) -> Result<SparseImage, Failure> {
        let new = qcow2::Create {
            options: self.qcow2.options()?,
            codec: match self.compression_type {
                Some(CompressionType::Zstd) => qcow2::Codec::Zstd,
                _ => qcow2::Codec::Zlib,
            },
            backing: base.map(|base| base.named.clone()),
            data_file: self.data_file.as_ref().map(|name| qcow2::DataFile {
                name: name.clone(),
                raw: self.data_file_raw,
            }),
            preallocation: match self.preallocation {
                Some(Preallocation::Metadata) => qcow2::Preallocation::Metadata,
                Some(Preallocation::Full) => qcow2::Preallocation::Full,
                _ => qcow2::Preallocation::Off,
            },
            lazy_refcounts: self.lazy_refcounts,
            ..qcow2::Create::new(size)
        };
        qcow2::create(&new).map_err(|error| match error {
            qcow2::WriteError::Option { .. } => Failure::usage(error.to_string()),
            error => Failure::failed(format!("cannot make {}", output.product()))
                .because(error)
                .help("--cluster-size makes them larger"),
        })
    }
}
