//! `forger convert IN OUT`

mod compress;
mod length;
mod raw;
mod refused;
mod target;
mod target_args;
mod work;

use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use forger_block::BlockRead;
use forger_disk::bmap::{self, Bmap};
use forger_disk::qcow2;
use serde_json::json;

pub(super) use self::compress::Compress;
pub(crate) use self::target::Target;
pub(super) use self::target_args::{OutputFormat, TargetArgs, not_for, sector_size, target_for};
pub(super) use self::work::Work;
use crate::args::qcow2::{BackingArgs, Base};
use crate::args::read::ReadArgs;
use crate::args::run::WriteArgs;
use crate::args::size::both;
use crate::args::{self, Global};
use crate::config;
use crate::exit::Failure;
use crate::input::disk::Input;
use crate::medium::Medium;
use crate::output::Output;
use crate::print::{self, Stream};
use crate::progress::Console;
use crate::remedy;

/// The longest block map that is read, in bytes.
const MAX_MAP: u64 = 256 << 20;

/// Converts a disk from one image format to another
#[derive(Debug, clap::Args)]
#[command(
    arg_required_else_help = true,
    long_about = "Converts a disk from one image format to another.\n\n\
        What IN is, is told by its first bytes: qcow2 (versions 2 and 3, compressed, with subclusters), VHD, \
        VHDX, VMDK (monolithicSparse, streamOptimized), OVA, Android sparse, raw, and any of them compressed with gzip, \
        zstd, xz or bzip2. Zeros become holes. Equal disks and options give equal bytes. The output appears whole \
        or not at all.",
    after_long_help = "\
What OUT becomes is told by its name (.raw, .img, .raw.zst, .img.gz, .raw.xz, .qcow2, .vhd, .vhdx,
.vmdk, .simg, .ova) or by --format.

As IN, - is standard input. A raw disk (compressed or not), a fixed VHD and a streamOptimized VMDK go
straight from there into a raw disk, a fixed VHD, a compressed qcow2, and the VMDK into a
streamOptimized VMDK again; all else is kept in a temporary file in TMPDIR first. As OUT, - is
standard output: a compressed qcow2 and an OVA are kept in a temporary file first, everything else
is streamed.

Examples:
  forger convert disk.raw disk.qcow2
  forger convert disk.raw disk.qcow2 --compress zstd
  forger convert disk.qcow2 disk.raw
  forger convert disk.qcow2 azure.vhd --format vhd-fixed
  forger convert disk.qcow2 disk.vmdk --compress zlib
  forger convert disk.qcow2 machine.ova --cpus 4 --memory 8G
  forger convert disk.qcow2 disk.raw.zst --bmap disk.bmap
  forger convert disk.qcow2#root root.ext4 --format raw
  curl -s https://example.org/disk.raw.xz | forger convert - disk.qcow2
  forger convert overlay.qcow2 whole.qcow2 --allow-backing base.qcow2
  forger convert disk.raw overlay.qcow2 --backing base.qcow2
  forger convert disk.raw overlay.qcow2 --backing base.qcow2 --compress zstd

Exit status: 0 done, 1 failed, 2 wrong usage, 130 or 143 stopped by a signal."
)]
pub(crate) struct Args {
    /// The disk, or a partition of it (disk.qcow2#2), or - for standard input
    #[arg(value_name = "IN")]
    input: OsString,

    /// The image to make: a file, a block device (with --force), a FIFO, or - for standard output
    #[arg(value_name = "OUT")]
    out: OsString,

    /// Writes a block map (bmap 2.0) with SHA-256 checksums of a raw OUT, for bmaptool [default: none]
    #[arg(long, value_name = "FILE")]
    bmap: Option<OsString>,

    /// Compares IN with the checksums of this block map and takes what it maps, nothing else [default: none]
    #[arg(long, value_name = "FILE")]
    input_bmap: Option<PathBuf>,

    /// Threads that read and compress [default: one per processor]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: Option<u16>,

    #[command(flatten)]
    target: TargetArgs,

    #[command(flatten)]
    backing: BackingArgs,

    #[command(flatten)]
    read: ReadArgs,

    #[command(flatten)]
    write: WriteArgs,
}

/// Converts, and prints what was made.
pub(super) fn run(args: &Args, global: Global) -> Result<(), Failure> {
    let mut console = Console::start(global)?;
    let made = convert(args, &mut console);
    let made = console.conclude(made)?;
    let text = match global.output {
        args::Format::Json => print::json_line(&json!({
            "path": made.path,
            "format": made.format,
            "input_format": made.input_format,
            "size": made.size,
            "file_size": made.file_len,
        })),
        args::Format::Text => print::rows([
            ("path", Some(made.path)),
            (
                "format",
                Some(format!("{} (from {})", made.format, made.input_format)),
            ),
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
    input_format: String,
    /// Of the disk, in bytes.
    size: u64,
    /// Of the file, holes included, in bytes.
    file_len: u64,
}

fn convert(args: &Args, console: &mut Console) -> Result<Made, Failure> {
    let target = args.target.of(&args.out)?;
    let output = Output::check(&args.out, args.write)?;
    let map = args.map(&target)?;
    let base = args.base(&target)?;
    let threads = args.threads.map_or_else(config::processors, usize::from);
    // With a block map or a backing file the disk is looked into before it is written.
    let whole = args.input_bmap.is_none() && base.is_none();
    let takes = |known_len| whole && target.takes_arriving(known_len);
    let input = Input::open(&args.input, &args.read, takes, console)?;
    let input_format = input.format();
    let disk: Arc<dyn BlockRead> = match input {
        Input::Stream(mut disk, _) => {
            let (size, len) =
                target.receive(&mut *disk, &output, map.as_ref(), threads, console)?;
            return Ok(Made::of(&output, &target, input_format, size, len));
        }
        Input::Disk(ref medium) => {
            verify(medium, args, console)?;
            Arc::clone(&medium.reader)
        }
        Input::Spooled(ref disk) => disk.disk(),
    };
    let disk = match &args.input_bmap {
        Some(path) => mapped(path, &disk, threads, console)?,
        None => disk,
    };
    let size = disk.len();
    console.meter().expect(size);
    let check = || input.check_unchanged();
    let work = Work {
        output: &output,
        threads,
        console,
    };
    let file_len = match (base, &target) {
        (Some(base), Target::Qcow2(options, codec)) => {
            let backing = qcow2::Backing {
                disk: base.open(&args.read)?,
                named: base.named,
            };
            target::write_over(&disk, &backing, options, *codec, work, check)?
        }
        _ => target.write_mapped(disk, map.as_ref(), work, check)?,
    };
    Ok(Made::of(&output, &target, input_format, size, file_len))
}

impl Args {
    /// Looks at where the block map goes.
    fn map(&self, target: &Target) -> Result<Option<Output>, Failure> {
        let Some(path) = &self.bmap else {
            return Ok(None);
        };
        if !matches!(target, Target::Raw | Target::RawPacked(_)) {
            return Err(Failure::usage("--bmap is for raw disks"));
        }
        Output::check(path, self.write).map(Some)
    }

    /// Looks for the file to build on.
    fn base(&self, target: &Target) -> Result<Option<Base>, Failure> {
        let given = self.backing.backing.is_some();
        match target {
            Target::Qcow2(..) => self.backing.find(&self.out),
            _ if given => Err(not_for("--backing", target.name(), "qcow2")),
            _ => Ok(None),
        }
    }
}

/// Compares a disk with a block map, and returns what is mapped of it.
fn mapped(
    path: &Path,
    disk: &Arc<dyn BlockRead>,
    threads: usize,
    console: &mut Console,
) -> Result<Arc<dyn BlockRead>, Failure> {
    let failed = || Failure::failed(format!("cannot read {}", path.display()));
    let mut text = String::new();
    File::open(path)
        .and_then(|file| file.take(MAX_MAP).read_to_string(&mut text))
        .map_err(|error| failed().because(error))?;
    let map: Bmap = text.parse().map_err(|error| failed().because(error))?;
    if !map.has_checksums() {
        console.say(&format!("{} has no checksums", path.display()));
    }
    console.start_phase("verify");
    let other = |error: bmap::MapError| {
        let what = format!("the disk is not the one of {}", path.display());
        match error {
            bmap::MapError::Block(error) => remedy::block("cannot read the disk".to_owned(), error),
            error => Failure::failed(what).because(error),
        }
    };
    console.meter().expect(disk.len());
    map.verify(disk, threads, console).map_err(other)?;
    Ok(Arc::new(map.mapped(disk).map_err(other)?))
}

/// Compares the checksums that an image has.
fn verify(medium: &Medium, args: &Args, console: &mut Console) -> Result<(), Failure> {
    medium.container.verify(console).map_err(|error| {
        Failure::failed(format!("cannot read {}", args.input.display())).because(error)
    })
}

impl Made {
    fn of(
        output: &Output,
        target: &Target,
        input_format: String,
        size: u64,
        file_len: u64,
    ) -> Self {
        Self {
            path: output.path().to_owned(),
            stream: output.result_stream(),
            format: target.name(),
            input_format,
            size,
            file_len,
        }
    }
}
