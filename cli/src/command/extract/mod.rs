//! `forger extract IMAGE[:PATH] DEST` and `--to-tar OUT`

pub(crate) mod folder;
pub(crate) mod tar;

use std::ffi::OsString;

use crate::args::read::ReadArgs;
use crate::args::run::WriteArgs;
use crate::args::{Format, Global};
use crate::exit::Failure;
use crate::image::ADDRESS_HELP;
use crate::print::{self, Stream};
use crate::progress::Console;

/// Takes files out of an image, into a folder or as a tar
#[derive(Debug, clap::Args)]
#[command(
    arg_required_else_help = true,
    after_long_help = "\
With DEST, a folder (the whole image without a PATH) becomes DEST, which must be new or empty;
anything else becomes DEST, or gets its own name in a DEST that is a folder. DEST appears whole or
not at all, unless it was there before. Holes and hard links stay what they are. Nothing outside
DEST is touched, whatever the image says. Root keeps everything; an ordinary user keeps what he may
set: modes, times, user attributes, ACLs, and no setuid bit for another's file. What could not be
set is said once for each kind on standard error; --strict refuses it.

With --to-tar, the archive is deterministic (PAX, sorted, numeric owners) and holds everything:
owners, modes, ns times, xattrs, ACLs, capabilities, devices, hard links, holes. Sockets, which no
tar can hold, are refused by name. Left out is only what mkfs makes of itself: times that repeat the
mtime, and an empty lost+found, so that a deterministic tar that became an image comes back byte for
byte. A folder becomes the archive's root; a file becomes its only member.

With --output json the result of an extraction to DEST is one object: path, and not_kept, which has
for each kind of fact that could not be set what it is, the number of entries and the first one.

Examples:
  forger extract rootfs.ext4 rootfs/
  forger extract rootfs.ext4:/etc/ssh ./ssh --strict
  forger extract rootfs.ext4:/boot/vmlinuz vmlinuz
  forger extract rootfs.ext4 --to-tar rootfs.tar
  forger extract rootfs.ext4:/etc --to-tar - | tar -tvf -

Exit status: 0 done, 1 failed, 2 wrong usage (forger --help says more)."
)]
pub(crate) struct Args {
    #[arg(value_name = "IMAGE[:PATH]", help = ADDRESS_HELP)]
    address: OsString,

    /// The folder (or file) to make
    #[arg(
        value_name = "DEST",
        required_unless_present = "to_tar",
        conflicts_with = "to_tar"
    )]
    dest: Option<OsString>,

    /// The archive to make instead: a file, or - for standard output [default: a folder is made]
    #[arg(long, value_name = "OUT")]
    to_tar: Option<OsString>,

    /// Fails when anything cannot be set as the image has it
    #[arg(long, conflicts_with = "to_tar")]
    strict: bool,

    #[command(flatten)]
    write: WriteArgs,

    #[command(flatten)]
    read: ReadArgs,
}

/// Takes out what was asked for.
pub(super) fn run(args: &Args, global: Global) -> Result<(), Failure> {
    let mut console = Console::start(global)?;
    let done = match (&args.dest, &args.to_tar) {
        (Some(dest), _) => folder::extract(args, dest, &mut console).map(Some),
        (None, Some(out)) => tar::extract(args, out, &console).map(|()| None),
        (None, None) => Ok(None),
    };
    match console.conclude(done)? {
        Some(result) if global.output == Format::Json => {
            print::result(Stream::Stdout, &print::json_line(&result))
        }
        _ => Ok(()),
    }
}
