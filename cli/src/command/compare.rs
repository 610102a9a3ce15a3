//! `forger compare A B`

use std::ffi::OsString;

use forger_block::BlockRead;
use serde_json::json;

use crate::args::read::ReadArgs;
use crate::args::{Format, Global};
use crate::config;
use crate::exit::Failure;
use crate::medium::{self, Medium};
use crate::print::{self, Stream};
use crate::progress::Console;
use crate::remedy;

/// Compares what two disks hold, whatever their formats
#[derive(Debug, clap::Args)]
#[command(
    arg_required_else_help = true,
    after_long_help = "\
Every byte of the disks (or partitions, as in vm.qcow2#root) is compared, and the offset of the first
difference printed. Zeros at the end of the longer one are no difference, unless --strict. To compare
what filesystems hold, there is forger diff.

Examples:
  forger compare disk.raw disk.qcow2
  forger compare root.ext4 vm.vhdx#root

Exit status: 0 equal, 1 different, 2 trouble: wrong usage, or something cannot be read."
)]
pub(crate) struct Args {
    /// A disk (raw, qcow2, vhd, vhdx, vmdk, android-sparse, compressed or not), or a partition of it
    #[arg(value_name = "A[#PART]")]
    first: OsString,

    /// The other one
    #[arg(value_name = "B[#PART]")]
    second: OsString,

    /// Takes disks of different sizes as different
    #[arg(long)]
    strict: bool,

    #[command(flatten)]
    read: ReadArgs,
}

/// Prints whether they are the same.
pub(super) fn run(args: &Args, global: Global) -> Result<(), Failure> {
    let mut console = Console::start(global).map_err(Failure::trouble)?;
    let compared = compare(args, &mut console);
    let found = console.conclude(compared).map_err(Failure::trouble)?;
    let same = found.offset.is_none() && !(args.strict && found.sizes[0] != found.sizes[1]);
    let text = match global.output {
        Format::Json => print::json_line(&json!({
            "same": same,
            "first_difference": found.offset,
            "sizes": found.sizes,
        })),
        Format::Text => match (found.offset, found.sizes) {
            (Some(offset), _) => format!("they differ at offset {offset}\n"),
            (None, [first, second]) if first != second => {
                format!("they are the same but for their sizes, {first} and {second} bytes\n")
            }
            (None, _) => "they are the same\n".to_owned(),
        },
    };
    print::result(Stream::Stdout, &text)?;
    match same {
        true => Ok(()),
        false => Err(Failure::different()),
    }
}

/// What a comparison found.
struct Found {
    /// Where the first difference is, in bytes.
    offset: Option<u64>,
    sizes: [u64; 2],
}

fn compare(args: &Args, console: &mut Console) -> Result<Found, Failure> {
    let mut open =
        |typed: &OsString| Medium::open_watched(&medium::address(typed)?, &args.read, console);
    let (first, second) = (open(&args.first)?, open(&args.second)?);
    let sizes = [first.reader.len(), second.reader.len()];
    console.meter().expect(sizes[0].max(sizes[1]));
    console.start_phase("compare");
    let threads = config::processors();
    let what = || {
        let (first, second) = (args.first.display(), args.second.display());
        format!("cannot compare {first} and {second}")
    };
    let offset = forger_disk::compare(&first.reader, &second.reader, threads, console)
        .map_err(|error| remedy::block(what(), error))?;
    for medium in [first, second] {
        medium
            .file
            .check_unchanged()
            .map_err(|error| remedy::block(what(), error))?;
    }
    Ok(Found { offset, sizes })
}
