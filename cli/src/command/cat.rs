//! `forger cat IMAGE:PATH`

use std::ffi::OsString;
use std::io::{self, Write};

use forger_block::BlockRead;

use crate::args::Global;
use crate::args::read::ReadArgs;
use crate::exit::Failure;
use crate::image::Opened;

/// How much is read at a time, in bytes.
const PIECE: usize = 1 << 20;

/// Prints files of an image
#[derive(Debug, clap::Args)]
#[command(
    arg_required_else_help = true,
    after_long_help = "\
Symlinks are followed inside the image, as in a chroot. Holes are printed as zeros.

Examples:
  forger cat rootfs.ext4:/etc/os-release
  forger cat rootfs.ext4:/boot/vmlinuz >vmlinuz

Exit status: 0 done, 1 failed, 2 wrong usage (forger --help says more)."
)]
pub(crate) struct Args {
    /// Files inside images: rootfs.ext4:/etc/passwd
    #[arg(value_name = "IMAGE:PATH", required = true)]
    addresses: Vec<OsString>,

    #[command(flatten)]
    read: ReadArgs,
}

/// Writes every file to standard output.
pub(super) fn run(args: &Args, _global: Global) -> Result<(), Failure> {
    for address in &args.addresses {
        let opened = Opened::open(address, &args.read)?;
        if opened.address.path.is_none() {
            return Err(
                Failure::usage(format!("{} names no file inside", address.display()))
                    .help("name it as IMAGE:/PATH"),
            );
        }
        let inode = opened.lookup(true)?;
        let content = opened
            .image
            .content(&inode)
            .map_err(|error| opened.failure(error))?;
        let mut buffer = vec![0; PIECE];
        let mut at = 0;
        while at < content.len() {
            let left = usize::try_from(content.len() - at).unwrap_or(PIECE);
            let piece = &mut buffer[..left.min(PIECE)];
            content
                .read_at(at, piece)
                .map_err(|error| opened.failure(error))?;
            put(piece)?;
            at += piece.len() as u64;
        }
    }
    io::stdout().lock().flush().map_err(refused)
}

fn put(bytes: &[u8]) -> Result<(), Failure> {
    io::stdout().lock().write_all(bytes).map_err(refused)
}

/// Explains why standard output took no more.
fn refused(error: io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::broken_pipe(),
        _ => Failure::failed("cannot write to standard output").because(error),
    }
}
