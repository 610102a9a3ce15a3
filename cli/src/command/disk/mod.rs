//! `forger disk SOURCE -o OUT`

mod fill;
mod initrd;
mod kernel;
mod layout;
mod making;
mod options;
mod root;
mod shown;

use std::ffi::OsString;
use std::sync::Arc;

use forger::assemble::{self, Disk, Slot};
use forger_fs::ext4::{self, Image};

use self::fill::{Filler, Other};
use self::kernel::Extraction;
use self::layout::Layout;
use self::making::Making;
use self::options::DiskArgs;
use crate::args::Global;
use crate::args::image::{Filesystem, ImageArgs};
use crate::args::run::WriteArgs;
use crate::args::source::{Named, SOURCE_HELP, SourceArgs};
use crate::command::convert::Work;
use crate::config::{self, Environment};
use crate::exit::Failure;
use crate::input::Inputs;
use crate::oci;
use crate::output::Output;
use crate::print::{self, Stream};
use crate::progress::Console;
use crate::{remedy, summary};

/// Makes a disk that boots from a root filesystem
#[derive(Debug, clap::Args)]
#[command(
    arg_required_else_help = true,
    override_usage = "forger disk [OPTIONS] <SOURCE> --out <OUT>",
    mut_arg("filesystem", |arg| arg.hide(true)),
    mut_arg("size", |arg| arg.help("Size of the disk: a SIZE, or auto for what is in it and free space").long_help(None)),
    long_about = "Makes a disk that boots from a root filesystem: partition table, boot partition (ESP) and ext4 in one run.\n\n\
        Kernels, initial RAM disks and systemd-boot are taken from SOURCE; nothing of it is run. The \
        root partition is found by its PARTUUID and is a discoverable one. Equal input and options give equal \
        bytes. The output appears whole or not at all.",
    after_long_help = "\
SOURCE needs a kernel in /boot or /usr/lib/modules, and systemd-boot (in Debian the package
systemd-boot-efi). Where it has no initial RAM disk for a kernel that needs one to reach its disk,
a small one is built (--initrd). A raw disk, a fixed VHD and a qcow2 that is not compressed are
written while SOURCE is read; the others need no temporary file either if SOURCE can be read twice
(a plain tar, an image).

Examples:
  forger disk rootfs.tar -o vm.qcow2 --compress zstd
  forger disk rootfs.tar -o vm.raw --size 8G --cmdline 'console=ttyS0'
  docker export box | forger disk - -o vm.vhdx --boot uki --sector-size 4096
  forger disk rootfs.tar -o vm.raw --size 20G --swap 1G --partition home:size=50%,attrs=growfs
  forger disk rootfs.tar -o vm.qcow2 --boot uki --verity --cmdline 'systemd.volatile=overlay'
  forger disk rootfs.tar -o golden.qcow2 --compress zstd --seal
  forger disk rootfs.tar -o vm.raw --layout repart.d/
  forger disk rootfs.tar -o old.raw --table mbr --bootable root
  forger disk rootfs.tar -o data.raw --boot none --extract-kernel boot/

Exit status: 0 done, 1 failed, 2 wrong usage, 130 or 143 stopped by a signal."
)]
pub(crate) struct Args {
    #[arg(value_name = "SOURCE", help = SOURCE_HELP)]
    positional: Option<OsString>,

    /// The disk to make: a file, a block device (with --force), a FIFO, or - for standard output; not
    /// needed with --dry-run
    #[arg(short, long, value_name = "OUT", required_unless_present = "dry_run")]
    out: Option<OsString>,

    /// Plans the disk and shows it; writes nothing
    #[arg(long)]
    dry_run: bool,

    #[command(flatten)]
    disk: DiskArgs,

    #[command(flatten)]
    source: SourceArgs,

    #[command(flatten)]
    image: ImageArgs,

    #[command(flatten)]
    write: WriteArgs,
}

/// Makes the disk and prints what it is.
pub(super) fn run(args: &Args, global: Global) -> Result<(), Failure> {
    let mut console = Console::start(global)?;
    let made = make(args, &mut console);
    let made = console.conclude(made)?;
    print::summary(made.stream, global, &shown::report(&made, global.output))
}

/// A disk that was made, or would be.
struct Made {
    path: Option<String>,
    format: &'static str,
    disk: Disk,
    root: ext4::Summary,
    stream: Stream,
    /// Of the file, holes included, in bytes.
    file_len: Option<u64>,
    /// What `--seal` left out.
    sealed: Option<Vec<String>>,
    /// What `--extract-kernel` wrote.
    extracted: Vec<String>,
}

fn make(args: &Args, console: &mut Console) -> Result<Made, Failure> {
    if args.image.filesystem != Filesystem::Ext4 {
        return Err(Failure::usage("the root filesystem of a disk is an ext4"));
    }
    let environment = Environment::real();
    let mut notes = Vec::new();
    let ext4 = args.image.options(&environment, &mut notes)?;
    notes.iter().for_each(|note| console.say(note));
    let layout = args.disk.layout.as_deref().map(layout::read).transpose()?;
    let mut options = args.disk.options(&ext4)?;
    let others = args.slots(layout.as_ref(), &mut options)?;
    args.disk.finish(&mut options)?;
    let planned = match &args.out {
        Some(out) if !args.dry_run => {
            let target = args.disk.target(out, options.sector_size)?;
            Some((target, Output::check(out, args.write)?))
        }
        _ => None,
    };
    let extraction = args
        .disk
        .extract_kernel
        .as_deref()
        .filter(|_| !args.dry_run);
    let extraction = extraction.map(|folder| Extraction::check(folder, args.write));
    let extraction = extraction.transpose()?;
    let named = args
        .source
        .named(args.positional.as_ref())?
        .unwrap_or_else(|| Named::any("-"));
    let what = format!("cannot make a disk from {}", named.shown());
    let mut source = args.source.clone();
    source.read_ahead = true;
    let further = others.iter().filter_map(|other| other.arg.source.as_ref());
    source.network.registries = oci::hosts(std::iter::once(&named.path).chain(further))?;
    let mut inputs = Inputs::open(&named, &source, ext4.ignore, &environment, console)?;
    let output = planned.as_ref().map(|(_, output)| output);
    inputs.warn_of(output.and_then(Output::folder), console);
    let sealed = args.disk.seal.then(|| inputs.seal());
    let filler = Filler {
        source: &source,
        ext4: &ext4,
        environment: &environment,
        sector_size: options.sector_size,
        inputs: Vec::new(),
    };
    let mut making = Making {
        args,
        options,
        filler,
        into: planned.as_ref(),
        what: &what,
    };
    let grounds = match &layout {
        Some(Layout::Definitions(definitions)) => {
            making.defined(definitions, &mut inputs, console)?
        }
        _ => making.planned(&others, &mut inputs, console)?,
    };
    let Making {
        options,
        filler: Filler { inputs: read, .. },
        ..
    } = making;
    let disk = assemble::assemble(&grounds.root, &grounds.system, &options, console)
        .map_err(|error| failure(&what, error))?;
    console.detail(&summary::derived(&grounds.summary));
    let mut made = Made {
        path: None,
        format: "none",
        disk,
        root: grounds.summary.clone(),
        stream: Stream::Stdout,
        file_len: None,
        sealed: sealed.map(|names| names.borrow().clone()),
        extracted: Vec::new(),
    };
    let Some((target, output)) = &planned else {
        return Ok(made);
    };
    let extracted = match extraction {
        None => None,
        Some(extraction) => {
            let system = Image::open(Arc::clone(&grounds.system))
                .map_err(|error| failure(&what, assemble::Error::Root(error)))?;
            Some(extraction.extract(&system, &options, &made.disk.cmdline)?)
        }
    };
    let check = || {
        let mut all = read.iter().chain([&inputs]);
        let unchanged = all.try_for_each(Inputs::check_unchanged);
        unchanged.map_err(|error| remedy::block(what.clone(), error))
    };
    let work = Work {
        output,
        threads: config::processors(),
        console,
    };
    let len = grounds.write(&made.disk, target, work, check)?;
    made.file_len = Some(len);
    if let Some(extracted) = extracted {
        made.extracted = extracted.publish()?;
    }
    made.path = Some(output.path().to_owned());
    made.format = target.name();
    made.stream = output.result_stream();
    Ok(made)
}

impl Args {
    /// Decides which partitions there are, but for those of definitions; returns those that are filled from
    /// something else than SOURCE.
    fn slots(
        &self,
        layout: Option<&Layout>,
        options: &mut assemble::Options,
    ) -> Result<Vec<Other>, Failure> {
        match layout {
            Some(Layout::Definitions(_)) if self.disk.partition.is_empty() => Ok(Vec::new()),
            Some(Layout::Definitions(_)) => {
                let error = "--partition and a folder of definitions contradict each other";
                Err(Failure::usage(error).help("CopyFiles= fills partitions there"))
            }
            Some(Layout::Dump(dump)) => {
                if let Some(size) = self
                    .disk
                    .sector_size
                    .filter(|size| *size != dump.sector_size)
                {
                    let error =
                        format!("--sector-size {size}: the layout has {}", dump.sector_size);
                    return Err(Failure::usage(error));
                }
                options.sector_size = dump.sector_size;
                options.size = options.size.or(dump.size);
                options.label = dump.label;
                options.guid = dump.guid;
                options.slots.clone_from(&dump.slots);
                self.disk
                    .partition
                    .iter()
                    .try_fold(Vec::new(), |mut others, arg| {
                        others.extend(fill::named(arg, &mut options.slots)?);
                        Ok(others)
                    })
            }
            None => {
                let slots = fill::slots(&self.disk, options.size.is_some())?;
                let (slots, args): (Vec<Slot>, Vec<_>) = slots.into_iter().unzip();
                let mut usual = self.disk.usual(options);
                usual.others = slots;
                let made = usual.slots(options.sector_size);
                let (slots, first) =
                    made.map_err(|error| failure("cannot make the disk", error))?;
                options.slots = slots;
                fill::check_names(&options.slots)?;
                fill::bind_hashes(&mut options.slots);
                let args = (first..).zip(args);
                let others = args
                    .filter_map(|(index, arg)| Other::new(index, arg?, &options.slots[index].kind));
                Ok(others.collect())
            }
        }
    }
}

/// Explains why no disk can be assembled.
fn failure(what: &str, error: assemble::Error) -> Failure {
    use forger::boot::Error as Boot;
    let help = match &error {
        assemble::Error::Boot(Boot::NoKernel) => {
            Some("install one in SOURCE, or make a disk that does not boot with --boot none")
        }
        assemble::Error::Boot(Boot::NoLoader { .. }) => Some(
            "install it in SOURCE (Debian: systemd-boot-efi), or give it with --systemd-boot or --stub",
        ),
        assemble::Error::Boot(Boot::NoArchitecture) => Some("--arch names the machine"),
        assemble::Error::Boot(Boot::Initrd { .. }) => {
            Some("install one in SOURCE, name one with --initrd FILE, or go without: --initrd none")
        }
        assemble::Error::Esp(_) => Some("--esp-size makes the boot partition larger"),
        assemble::Error::Roles { .. } => {
            Some("--boot none needs no boot partition; the root partition has the type root-…")
        }
        _ => None,
    };
    Failure::failed(what)
        .because(error)
        .help_if(help.map(str::to_owned))
}
