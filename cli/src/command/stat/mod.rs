//! `forger stat IMAGE:PATH...`

mod facts;
mod text;

use std::ffi::OsString;

use crate::args::read::ReadArgs;
use crate::args::{Format, Global};
use crate::exit::Failure;
use crate::image::Opened;
use crate::print::{self, Lines};

/// Shows everything about files, folders and other nodes of an image
#[derive(Debug, clap::Args)]
#[command(
    arg_required_else_help = true,
    after_long_help = "\
A symlink at the end of PATH is shown itself, not what it leads to; -L follows it. Inode flags come
with the letters of lsattr, capabilities and ACLs as getcap and getfacl have them, other extended
attributes as text where they are printable, else in hexadecimal. With --output json there is one
object a line for each PATH, which has every fact, the map of its blocks with --extents.

Examples:
  forger stat rootfs.ext4:/etc/passwd
  forger stat --extents rootfs.ext4:/boot/vmlinuz
  forger stat --output json rootfs.ext4:/bin/ping | jq -r '.xattrs[].capability'

Exit status: 0 done, 1 failed, 2 wrong usage (forger --help says more)."
)]
pub(crate) struct Args {
    /// Nodes inside images: rootfs.ext4:/etc/passwd; without a path, the root
    #[arg(value_name = "IMAGE:PATH", required = true)]
    addresses: Vec<OsString>,

    /// Follows a symlink at the end of PATH
    #[arg(short = 'L', long)]
    dereference: bool,

    /// Shows where the content stands, block by block; so does --verbose
    #[arg(short, long)]
    extents: bool,

    #[command(flatten)]
    read: ReadArgs,
}

/// Prints the facts of every node.
pub(super) fn run(args: &Args, global: Global) -> Result<(), Failure> {
    let mut lines = Lines::start();
    for (place, address) in args.addresses.iter().enumerate() {
        let opened = Opened::open(address, &args.read)?;
        let inode = opened.lookup(args.dereference)?;
        let facts = facts::collect(&opened, &inode, args.extents || global.verbose)
            .map_err(|error| opened.failure(error))?;
        if global.output == Format::Json {
            lines.put(print::json_line(&facts::json(&opened, &inode, &facts)))?;
            continue;
        }
        if place > 0 {
            lines.put("\n")?;
        }
        lines.put(text::text(&opened, &inode, &facts))?;
    }
    lines.finish()
}
