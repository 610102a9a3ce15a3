//! `forger measure [IMAGE]`

use std::ffi::{OsStr, OsString};
use std::sync::Arc;

use clap::ValueEnum;
use forger_block::{BlockRead, SparseImage};
use serde_json::json;

use super::convert::{OutputFormat, Target, TargetArgs};
use crate::args::read::ReadArgs;
use crate::args::{Format, Global, size};
use crate::config;
use crate::exit::Failure;
use crate::medium::{self, Medium};
use crate::print::{self, Stream};
use crate::progress::Console;
use crate::remedy;

/// Measures how large the image of a disk would be, in one format or in each
#[derive(Debug, clap::Args)]
#[command(
    arg_required_else_help = true,
    after_long_help = "\
required is the length of the file that forger convert makes of the disk, to the byte; fully-allocated is
its length if the disk held no zeros (and nothing that can be compressed), so an upper bound for whatever
the disk may hold. Of a compressed image, required is found by compressing.

Examples:
  forger measure disk.raw --format qcow2
  forger measure disk.raw --format qcow2 --compress zstd
  forger measure --size 20G
  forger measure --size 20G --format qcow2 --output json | jq .required

Exit status: 0 done, 1 failed, 2 wrong usage (forger --help says more)."
)]
pub(crate) struct Args {
    /// A disk, or a partition of it
    #[arg(
        value_name = "IMAGE[#PART]",
        required_unless_present = "size",
        conflicts_with = "size"
    )]
    image: Option<OsString>,

    /// Measures a disk of zeros of this size instead [default: the disk of IMAGE]
    #[arg(long, value_name = "SIZE", value_parser = size::parse)]
    size: Option<u64>,

    #[command(flatten)]
    target: TargetArgs,

    #[command(flatten)]
    read: ReadArgs,
}

/// Prints the sizes.
pub(super) fn run(args: &Args, global: Global) -> Result<(), Failure> {
    let mut console = Console::start(global)?;
    let measured = measure(args, &mut console);
    let measured = console.conclude(measured)?;
    let one = args.target.format.is_some();
    let text: String = match global.output {
        Format::Json => measured.iter().map(Measured::json).collect(),
        Format::Text if one => measured
            .iter()
            .map(|Measured { required, full, .. }| {
                format!("required size: {required}\nfully allocated size: {full}\n")
            })
            .collect(),
        Format::Text => std::iter::once(format!(
            "{:<15} {:>16} {:>16}\n",
            "format", "required", "fully allocated"
        ))
        .chain(measured.iter().map(|measured| {
            let Measured {
                format,
                required,
                full,
            } = measured;
            format!("{format:<15} {required:>16} {full:>16}\n")
        }))
        .collect(),
    };
    print::result(Stream::Stdout, &text)
}

/// What an image would take.
struct Measured {
    format: &'static str,
    /// Lengths of the file, in bytes.
    required: u64,
    full: u64,
}

impl Measured {
    fn json(&self) -> String {
        print::json_line(&json!({
            "format": self.format,
            "required": self.required,
            "fully-allocated": self.full,
        }))
    }
}

fn measure(args: &Args, console: &mut Console) -> Result<Vec<Measured>, Failure> {
    let targets = targets(&args.target)?;
    let mut medium = None;
    let disk: Arc<dyn BlockRead> = match (&args.image, args.size) {
        (Some(image), _) => {
            let address = medium::address(image)?;
            let opened = Medium::open_watched(&address, &args.read, console)?;
            let reader = Arc::clone(&opened.reader);
            medium = Some(opened);
            reader
        }
        (None, size) => {
            let empty = SparseImage::builder().finish(size.unwrap_or(0));
            Arc::new(empty.map_err(|error| remedy::block("cannot measure".to_owned(), error))?)
        }
    };
    let threads = config::processors();
    let mut measured = Vec::new();
    console.start_phase("measure");
    for target in targets {
        let lengths = target
            .required(Arc::clone(&disk), threads, console)
            .and_then(|required| Ok((required, target.full_len(disk.len())?)));
        match lengths {
            Ok((required, full)) => measured.push(Measured {
                format: target.name(),
                required,
                full,
            }),
            // One that was not asked for by its name may be too small for the disk.
            Err(error) if args.target.format.is_none() && error.is_too_large() => {
                console.say(&format!("the disk is too large for {}", target.name()));
            }
            Err(error) => {
                return Err(error.failure(format!("cannot make {} of it", target.name())));
            }
        }
    }
    if let Some(medium) = medium {
        let what = || "cannot use what was read".to_owned();
        let unchanged = medium.file.check_unchanged();
        unchanged.map_err(|error| remedy::block(what(), error))?;
    }
    Ok(measured)
}

/// Returns the format that was asked for, or all of them.
fn targets(args: &TargetArgs) -> Result<Vec<Target>, Failure> {
    // Its name stands in a VMDK, and takes the same room whatever it is.
    let name = OsStr::new("-");
    if args.format.is_some() {
        return args.of(name).map(|target| vec![target]);
    }
    OutputFormat::value_variants()
        .iter()
        .map(|format| {
            TargetArgs {
                format: Some(*format),
                ..args.clone()
            }
            .of(name)
        })
        .collect()
}
