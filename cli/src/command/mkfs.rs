//! `forger mkfs SOURCE OUT`

use std::ffi::OsString;

use crate::args::image::ImageArgs;
use crate::args::run::RunArgs;
use crate::args::source::{Named, SOURCE_HELP, SourceArgs};
use crate::exit::Failure;

/// Makes a filesystem from a tar or a folder
#[derive(Debug, clap::Args)]
#[command(
    arg_required_else_help = true,
    override_usage = "forger mkfs [OPTIONS] SOURCE OUT\n       \
                      forger mkfs [OPTIONS] --rootfs-tar FILE|- OUT\n       \
                      forger mkfs [OPTIONS] --dry-run SOURCE",
    long_about = "Makes a filesystem from a tar or a folder.\n\n\
                  Equal input and options give equal bytes, on any machine. The output appears whole or \
                  not at all. A summary goes to standard output (to standard error when OUT is -).",
    after_long_help = "\
Examples:
  forger mkfs rootfs.tar.zst rootfs.ext4
  docker export box | forger mkfs - rootfs.ext4 --size 4G --label root
  forger mkfs ./rootfs rootfs.ext4 --exclude 'var/cache/**' --inject agent:/usr/bin/agent:0755
  forger mkfs --dry-run --output json rootfs.tar

Exit status: 0 done, 1 failed, 2 wrong usage, 130 or 143 stopped by a signal (forger --help says more)."
)]
pub(crate) struct Args {
    #[arg(value_name = "SOURCE", help = SOURCE_HELP)]
    first: Option<OsString>,

    /// The image to make: a file, a block device (with --force), a FIFO, or - for standard output
    #[arg(value_name = "OUT")]
    second: Option<OsString>,

    #[command(flatten)]
    source: SourceArgs,

    #[command(flatten)]
    image: ImageArgs,

    #[command(flatten)]
    run: RunArgs,
}

/// Where to read from and where to write to.
#[derive(Debug, PartialEq, Eq)]
struct Ends {
    source: Named,
    /// Nothing is written when `None`.
    out: Option<OsString>,
}

impl Args {
    /// Tells the source from the output: an option that names the source leaves one place, for the output.
    fn ends(&self) -> Result<Ends, Failure> {
        let (source, out) = match (self.source.by_option(), &self.first, &self.second) {
            (Some(source), out, None) => (source, out),
            (Some(_), _, Some(_)) => {
                return Err(Failure::usage("the source is given twice, as SOURCE and by an option")
                    .help("name it once, and lay the other over it with --overlay"));
            }
            (None, Some(source), out) => (Named::any(source), out),
            (None, None, _) => return Err(Failure::usage("SOURCE is missing").help(SHAPE)),
        };
        let out = out.clone().filter(|_| !self.run.dry_run);
        if out.is_none() && !self.run.dry_run {
            return Err(Failure::usage("OUT is missing").help(SHAPE));
        }
        Ok(Ends { source, out })
    }
}

/// What a correct line looks like.
const SHAPE: &str = "forger mkfs SOURCE OUT, or forger mkfs --dry-run SOURCE";
