//! `forger diff A B`

pub(super) mod shown;

use std::ffi::OsString;

use clap::ValueEnum;
use forger_fs::observe::Observer;
use forger_fs::tree::compare::Comparison;
use forger_oci::Platform;

use crate::args::network::NetworkArgs;
use crate::args::owner::Owner;
use crate::args::read::ReadArgs;
use crate::args::source::SourceArgs;
use crate::args::{Format, Global};
use crate::exit::Failure;
use crate::input::compared::Compared;
use crate::listing;
use crate::oci;
use crate::print::{self, Lines};
use crate::progress::Console;
use crate::remedy;

/// Compares two filesystems, whatever they are: images, archives, folders
#[derive(Debug, clap::Args)]
#[command(
    arg_required_else_help = true,
    after_long_help = "\
A and B are what mkfs takes as SOURCE, each: an ext2, ext3 or ext4 image, alone or on
a disk (vm.qcow2#root), a path in one (rootfs.ext4:/etc), a tar of any compression, - for standard input, a folder,
or a container image (oci:DIR, oci-archive:FILE, docker-archive:FILE, oci://REGISTRY/NAME).

Each name that is only in A (-), only in B (+) or differs (~) is one line, in order of the bytes of
the names, a folder before what is in it, with what differs: type, mode, owner, size, content (and
where), mtime, symlink target, device number, the name that a file is shared with, inode flags,
extended attributes and ACLs. A fact that only one side says is no difference, nor is a hole where
the other has zeros, nor the empty lost+found of an image. A symlink's mode does not count.

Contents are compared byte by byte. Those of an archive that is compressed or comes through a pipe
go by digests of 64 KiB each, so that the place of a difference is known that closely.

With --output json there is one object a line: path, change (added, removed, changed) and either
the type or the differences, each with what, from and to.

Examples:
  forger diff yesterday.ext4 today.ext4
  forger diff rootfs.tar.zst rootfs.ext4
  forger diff --ignore times,owner rootfs.ext4:/etc ./etc
  docker export box | forger diff - rootfs.ext4
  forger diff oci://debian:12 oci://debian:13 --platform linux/arm64

Exit status: 0 equal, 1 different, 2 trouble: wrong usage, or something cannot be read."
)]
pub(crate) struct Args {
    /// What it was: an image, a path in one, a tar, -, a folder or a container image
    #[arg(value_name = "A")]
    first: OsString,

    /// What it is now: the same
    #[arg(value_name = "B")]
    second: OsString,

    /// Passes over differences: times, owner, mode, xattrs (and ACLs), flags, links (names of one
    /// file) or content; several with commas [default: none]
    #[arg(
        long,
        value_name = "KINDS",
        value_delimiter = ',',
        hide_possible_values = true
    )]
    ignore: Vec<Ignored>,

    /// The platform of container images for several: os/arch or os/arch/variant [default: linux and this
    /// machine's architecture]
    #[arg(long, value_name = "OS/ARCH")]
    platform: Option<Platform>,

    #[command(flatten)]
    read: ReadArgs,

    #[command(flatten)]
    network: NetworkArgs,
}

/// What `--ignore` takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Ignored {
    Times,
    Owner,
    Mode,
    Xattrs,
    Flags,
    Links,
    Content,
}

/// Prints what differs.
pub(super) fn run(args: &Args, global: Global) -> Result<(), Failure> {
    let mut console = Console::start(global).map_err(Failure::trouble)?;
    let compared = compare(args, global, &mut console);
    match console.conclude(compared) {
        Ok(false) => Ok(()),
        Ok(true) => Err(Failure::different()),
        Err(failure) => Err(failure.trouble()),
    }
}

/// Returns whether anything differs.
fn compare(args: &Args, global: Global, console: &mut Console) -> Result<bool, Failure> {
    if args.first == "-" && args.second == "-" {
        return Err(Failure::usage("A and B cannot both be standard input"));
    }
    let source = SourceArgs {
        owner: Some(Owner::Keep),
        platform: args.platform.clone(),
        read: args.read.clone(),
        network: NetworkArgs {
            registries: oci::hosts([&args.first, &args.second])?,
            ..args.network.clone()
        },
        ..SourceArgs::default()
    };
    let first = Compared::open(&args.first, &source, console)?;
    let second = Compared::open(&args.second, &source, console)?;
    let mut lines = Lines::start();
    let mut different = false;
    let what = || {
        let (first, second) = (args.first.display(), args.second.display());
        format!("cannot compare {first} and {second}")
    };
    let how = args.comparison();
    let mut differences = first
        .tree
        .compare_from(first.start, &second.tree, second.start, how);
    while let Some(difference) = differences.next() {
        if console.cancelled() {
            return Err(Failure::failed(what()));
        }
        let difference = difference.map_err(|error| {
            let path = listing::shown(differences.path());
            remedy::block(format!("{}: /{path}", what()), error)
        })?;
        different = true;
        lines.put(match global.output {
            Format::Text => shown::line(&difference),
            Format::Json => print::json_line(&shown::json(&difference)),
        })?;
    }
    for compared in [&first, &second] {
        compared
            .check_unchanged()
            .map_err(|error| remedy::block(what(), error))?;
    }
    lines.finish()?;
    Ok(different)
}

impl Args {
    fn comparison(&self) -> Comparison {
        let ignores = |kind| self.ignore.contains(&kind);
        Comparison {
            ignore_times: ignores(Ignored::Times),
            ignore_owner: ignores(Ignored::Owner),
            ignore_mode: ignores(Ignored::Mode),
            ignore_xattrs: ignores(Ignored::Xattrs),
            ignore_flags: ignores(Ignored::Flags),
            ignore_links: ignores(Ignored::Links),
            ignore_content: ignores(Ignored::Content),
            ..Comparison::default()
        }
    }
}
