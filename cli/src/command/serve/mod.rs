//! `forger serve IMAGE[#PART]`

mod clients;
mod door;
mod machine;
mod source;

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::ValueEnum;
use forger_block::{BlockRead, Overlay};
use forger_disk::Disk;
use forger_disk::nbd::Export;
use forger_oci::Platform;
use serde_json::json;

use self::door::{Address, Door};
use self::source::Served;
use super::convert;
use crate::args::network::NetworkArgs;
use crate::args::read::ReadArgs;
use crate::args::run::WriteArgs;
use crate::args::size::{self, human};
use crate::args::{Format, Global};
use crate::config;
use crate::exit::Failure;
use crate::output::Output;
use crate::print::{self, Stream};
use crate::progress::Console;
use crate::remedy;

/// Serves a disk to other programs and machines
#[derive(Debug, clap::Args)]
#[command(
    arg_required_else_help = true,
    long_about = "Serves a disk to other programs and machines.\n\n\
        The disk of an image of any format, or a partition of it, over NBD (which qemu, qemu-img, nbdcopy, \
        nbdkit and the kernel's nbd-client understand) or as a virtio block device of a machine (QEMU, \
        User-Mode Linux). Nobody can write to it unless --overlay or --in-place says so. It serves until \
        Ctrl-C, and says where as soon as clients can come.",
    after_long_help = "\
Examples:
  forger serve vm.qcow2 --socket disk.sock
    qemu-img info 'nbd+unix:///?socket=disk.sock'
  forger serve vm.vhdx#root --tcp 10809 --once
  forger serve vm.qcow2 --socket disk.sock --overlay memory --save changed.qcow2
  forger serve --mkfs rootfs.tar --size 4G --socket disk.sock --overlay file
  forger serve --mkfs oci://debian:12 --socket disk.sock
  forger serve disk.raw --socket blk.sock --protocol vhost-user-blk --overlay memory
    qemu-system-x86_64 -chardev socket,id=c,path=blk.sock -device vhost-user-blk-pci,chardev=c \\
      -object memory-backend-memfd,id=m,size=1G,share=on -numa node,memdev=m -m 1G ...

Exit status: 0 done, or stopped by Ctrl-C while serving; 1 failed; 2 wrong usage."
)]
pub(crate) struct Args {
    /// A disk (raw, qcow2, vhd, vhdx, vmdk), or a partition of it; with --mkfs whatever forger mkfs takes
    #[arg(value_name = "IMAGE[#PART]")]
    image: OsString,

    /// Serves the ext4 that forger mkfs would make of IMAGE: without writing it where contents can be read
    /// again (a tar, an image), else from a file without a name in TMPDIR (a container image)
    #[arg(long)]
    mkfs: bool,

    /// The platform of a container image for several: os/arch or os/arch/variant [default: linux and
    /// this machine's architecture]
    #[arg(long, value_name = "OS/ARCH", requires = "mkfs")]
    platform: Option<Platform>,

    /// Size of what --mkfs makes, a SIZE [default: content and free space]
    #[arg(long, value_name = "SIZE", value_parser = size::parse, requires = "mkfs")]
    size: Option<u64>,

    /// Listens on a Unix socket of this name, which only this user can use and which goes at the end
    /// [default: none; this or --tcp is needed]
    #[arg(long, value_name = "PATH", required_unless_present = "tcp")]
    socket: Option<PathBuf>,

    /// Listens on a TCP port of this machine, or of an ADDRESS [default: none]
    #[arg(long, value_name = "[ADDRESS:]PORT", conflicts_with = "socket", value_parser = door::tcp)]
    tcp: Option<std::net::SocketAddr>,

    /// Lets --tcp listen on an address that other machines reach: nothing is encrypted, nobody asked
    /// who they are
    #[arg(long, requires = "tcp")]
    allow_remote: bool,

    /// What is spoken: nbd, or vhost-user-blk for one machine at a time [default: nbd]
    #[arg(
        long,
        value_name = "PROTOCOL",
        default_value = "nbd",
        hide_default_value = true,
        hide_possible_values = true
    )]
    protocol: Protocol,

    /// Name of the export; the empty one is what clients take that give none [default: empty]
    #[arg(
        long,
        value_name = "NAME",
        default_value = "",
        hide_default_value = true
    )]
    name: String,

    /// Lets clients write: the changes are kept in memory, or in a file without a name in TMPDIR, and
    /// are gone at the end unless --save keeps them [default: clients only read]
    #[arg(long, value_name = "memory|file", hide_possible_values = true)]
    overlay: Option<Kept>,

    /// Bytes that the changes may take, a SIZE [default: 1G in memory, any in a file]
    #[arg(long, value_name = "SIZE", value_parser = size::parse, requires = "overlay")]
    overlay_limit: Option<u64>,

    /// Writes the disk, as it is at the end, to a new image: raw, qcow2, vhd, vhdx or vmdk by its name
    /// [default: not]
    #[arg(long, value_name = "OUT", requires = "overlay")]
    save: Option<OsString>,

    /// Lets clients write to IMAGE itself, which is raw
    #[arg(long, conflicts_with_all = ["overlay", "mkfs"])]
    in_place: bool,

    /// Clients that are served at the same time; others wait [default: 16]
    #[arg(
        long,
        value_name = "N",
        default_value_t = 16,
        hide_default_value = true,
        value_parser = clap::value_parser!(u16).range(1..=1024)
    )]
    max_clients: u16,

    /// Ends when the last client has gone
    #[arg(long)]
    once: bool,

    /// Ends when there was no client for so many seconds [default: never]
    #[arg(long, value_name = "SECONDS")]
    exit_when_idle: Option<u32>,

    #[command(flatten)]
    read: ReadArgs,

    #[command(flatten)]
    network: NetworkArgs,

    #[command(flatten)]
    write: WriteArgs,
}

/// What is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Protocol {
    /// Network Block Device
    Nbd,
    /// The virtio block device of a machine
    VhostUserBlk,
}

impl Protocol {
    fn name(self) -> &'static str {
        match self {
            Self::Nbd => "nbd",
            Self::VhostUserBlk => "vhost-user-blk",
        }
    }
}

/// Where changes are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kept {
    /// In memory
    Memory,
    /// In a file without a name
    File,
}

/// Changes in memory may take so much where nothing else is said, in bytes.
const MEMORY: u64 = 1 << 30;

/// When the work is over, beside at a signal.
#[derive(Clone, Copy, Debug)]
struct Until {
    once: bool,
    idle: Option<Duration>,
}

/// Serves, and says where.
pub(super) fn run(args: &Args, global: Global) -> Result<(), Failure> {
    let mut console = Console::start(global)?;
    let served = serve(args, global, &mut console);
    console.conclude(served)
}

fn serve(args: &Args, global: Global, console: &mut Console) -> Result<(), Failure> {
    args.check()?;
    // What cannot be saved later is said now.
    let save = args
        .save
        .as_ref()
        .map(|out| {
            let target = convert::target_for(out, None, None, None)?;
            Ok::<_, Failure>((Output::check(out, args.write)?, target))
        })
        .transpose()?;
    let served = source::open(args, console)?;
    let (disk, overlay) = args.disk(&served)?;
    let door = Door::open(&args.address()?)?;
    announce(args, global, &door, disk.reader().len())?;
    let until = Until {
        once: args.once,
        idle: args
            .exit_when_idle
            .map(|seconds| Duration::from_secs(seconds.into())),
    };
    match args.protocol {
        Protocol::Nbd => {
            let export = Export {
                name: args.name.clone(),
                description: args.image.to_string_lossy().into_owned(),
                ..Export::new(disk)
            };
            clients::serve(&door, export, usize::from(args.max_clients), until, console)?;
        }
        Protocol::VhostUserBlk => machine::serve(&door, &disk, until, console)?,
    }
    drop(door);
    served.check_unchanged()?;
    let (Some((output, target)), Some(overlay)) = (save, overlay) else {
        return Ok(());
    };
    // The signal that ended the serving does not end the saving; a second one does.
    console.signals().forget();
    let disk: Arc<dyn BlockRead> = overlay;
    console.meter().expect(disk.len());
    target.write(disk, &output, config::processors(), console, || {
        served.check_unchanged()
    })?;
    Ok(())
}

/// Says where clients find the disk.
fn announce(args: &Args, global: Global, door: &Door, size: u64) -> Result<(), Failure> {
    let uri = match args.protocol {
        Protocol::Nbd => door.uri(&args.name),
        Protocol::VhostUserBlk => door.place(),
    };
    let writable = args.overlay.is_some() || args.in_place;
    let text = match global.output {
        Format::Json => print::json_line(&json!({
            "uri": uri,
            "protocol": args.protocol.name(),
            "size": size,
            "writable": writable,
        })),
        Format::Text => format!(
            "{uri}\n{} bytes ({}), {}\n",
            size,
            human(size),
            if writable { "writable" } else { "read-only" }
        ),
    };
    print::result(Stream::Stdout, &text)
}

impl Args {
    fn check(&self) -> Result<(), Failure> {
        if self.protocol == Protocol::VhostUserBlk {
            for (option, given) in [
                ("--tcp", self.tcp.is_some()),
                ("--name", !self.name.is_empty()),
            ] {
                if given {
                    return Err(Failure::usage(format!("{option} is for nbd only")));
                }
            }
        }
        if self.name.len() > 4096 {
            return Err(Failure::usage(
                "the name of an export has at most 4096 bytes",
            ));
        }
        Ok(())
    }

    fn address(&self) -> Result<Address, Failure> {
        match (&self.socket, self.tcp) {
            (Some(path), _) => Ok(Address::Unix(path.clone())),
            (None, Some(address)) if address.ip().is_loopback() || self.allow_remote => {
                Ok(Address::Tcp(address))
            }
            (None, Some(address)) => Err(Failure::usage(format!(
                "other machines reach {}, and NBD asks nobody who they are",
                address.ip()
            ))
            .help("--allow-remote means it; through ssh -L 127.0.0.1 is enough")),
            (None, None) => Err(Failure::usage("--socket or --tcp says where to listen")),
        }
    }

    /// Puts the overlay over what is served.
    fn disk(&self, served: &Served) -> Result<(Disk, Option<Arc<Overlay>>), Failure> {
        let whole = |len: u64| match self.protocol {
            Protocol::Nbd => len,
            Protocol::VhostUserBlk => len.next_multiple_of(forger_disk::virtio_blk::SECTOR),
        };
        let failed = |error| remedy::block("cannot keep changes of the disk".to_owned(), error);
        let base = match served.disk() {
            Disk::ReadOnly(base) => Arc::clone(base),
            Disk::Writable(store) => return Ok((Disk::Writable(Arc::clone(store)), None)),
        };
        let len = whole(base.len());
        let overlay = match self.overlay {
            // Nothing is ever written to it; what is missing of the last sector is zeros.
            None if len != base.len() => Overlay::in_memory(base, 0),
            None => return Ok((Disk::ReadOnly(base), None)),
            Some(Kept::Memory) => Overlay::in_memory(base, self.overlay_limit.unwrap_or(MEMORY)),
            Some(Kept::File) => {
                let file = forger_block::ScratchFile::create_in(config::scratch_folder())
                    .map_err(failed)?;
                Overlay::in_file(base, file, self.overlay_limit.unwrap_or(u64::MAX))
            }
        };
        let overlay = Arc::new(overlay.with_len(len).map_err(failed)?);
        Ok(match self.overlay {
            None => (Disk::ReadOnly(overlay), None),
            Some(_) => (
                Disk::Writable(Arc::<Overlay>::clone(&overlay)),
                Some(overlay),
            ),
        })
    }
}
