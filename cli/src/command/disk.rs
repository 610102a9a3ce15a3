//! `forger disk SOURCE -o OUT`

use std::ffi::{OsStr, OsString};
use std::sync::Arc;

use clap::ValueEnum;
use forger::assemble::{self, Disk};
use forger::boot::{Architecture, Loader};
use forger_block::{BlockRead, FileReader};
use forger_disk::qcow2;
use forger_fs::ext4::{self, Size};
use forger_fs::tree::{Content, TreeSource};
use serde_json::{Value, json};

use super::convert::{OutputFormat, Target, compression, sector_size, target_for};
use crate::args::image::{Filesystem, ImageArgs};
use crate::args::run::WriteArgs;
use crate::args::size::{self, human};
use crate::args::source::{Named, SOURCE_HELP, SourceArgs};
use crate::args::{Format, Global, uuid};
use crate::config::{self, Environment};
use crate::exit::Failure;
use crate::input::Inputs;
use crate::output::Output;
use crate::output::scratch::Scratch;
use crate::print::{self, Stream};
use crate::progress::Console;
use crate::{remedy, summary};

/// Makes a disk that boots from a root filesystem
#[derive(Debug, clap::Args)]
#[command(
    arg_required_else_help = true,
    long_about = "Makes a disk that boots from a root filesystem: GPT, boot partition (ESP) and ext4 in one run.\n\n\
        Kernels, initial RAM disks and systemd-boot are taken from SOURCE; nothing of it is run. The \
        root partition is found by its PARTUUID and is a discoverable one. Equal input and options give equal \
        bytes. The output appears whole or not at all.",
    after_long_help = "\
SOURCE needs a kernel in /boot or /usr/lib/modules with its initial RAM disk, and systemd-boot (in Debian the
package systemd-boot-efi). A SOURCE that can be read twice (a plain tar, an image) needs no temporary file.

Examples:
  forger disk rootfs.tar -o vm.qcow2 --compress zstd
  forger disk rootfs.tar -o vm.raw --size 8G --cmdline 'console=ttyS0'
  docker export box | forger disk - -o vm.vhdx --boot uki --sector-size 4096
  forger disk rootfs.tar -o data.raw --boot none

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

/// What the disk is.
#[derive(clap::Args, Debug)]
#[command(
    next_help_heading = "Disk (--size is the disk's; --free, --label and --uuid are the root filesystem's)"
)]
struct DiskArgs {
    /// Format of OUT: raw, qcow2, vhd, vhd-fixed, vhdx or vmdk [default: by its name]
    #[arg(long, value_name = "FORMAT", hide_possible_values = true)]
    format: Option<OutputFormat>,

    /// Compresses qcow2: zstd[:1-19] or zlib[:1-9], and vmdk: zlib [default: not]
    #[arg(long, value_name = "NAME[:LEVEL]", value_parser = compression)]
    compress: Option<(qcow2::Codec, i32)>,

    /// Bytes in a sector: 512 or 4096 [default: 512]
    #[arg(long, value_name = "BYTES", value_parser = sector_size)]
    sector_size: Option<u64>,

    /// Size of the boot partition, a SIZE of at least 100M, or 260M with sectors of 4096 bytes
    /// [default: 260M]
    #[arg(long, value_name = "SIZE", value_parser = size::parse)]
    esp_size: Option<u64>,

    /// What it boots with: systemd-boot (entries of the Boot Loader Specification), uki (unified kernel
    /// images) or none [default: systemd-boot]
    #[arg(long, value_name = "LOADER", hide_possible_values = true)]
    boot: Option<BootArg>,

    /// What the kernel's command line says beside root= and rw [default: nothing]
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true
    )]
    cmdline: String,

    /// Leaves the root filesystem as it is when the disk is larger [default: systemd grows it at boot]
    #[arg(long)]
    no_grow_root: bool,

    /// Machine: x86_64, aarch64, riscv64 or loongarch64 [default: told by the programs in SOURCE]
    #[arg(long, value_name = "ARCH", value_parser = architecture)]
    arch: Option<Architecture>,

    /// The stub of unified kernel images [default: SOURCE's linux*.efi.stub]
    #[arg(long, value_name = "FILE")]
    stub: Option<OsString>,

    /// systemd-boot [default: SOURCE's systemd-boot*.efi]
    #[arg(long, value_name = "FILE")]
    systemd_boot: Option<OsString>,
}

/// What `--boot` takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum BootArg {
    SystemdBoot,
    Uki,
    None,
}

fn architecture(text: &str) -> Result<Architecture, String> {
    Architecture::named(text)
        .ok_or_else(|| "expected x86_64, aarch64, riscv64 or loongarch64".to_owned())
}

/// Makes the disk and prints what it is.
pub(super) fn run(args: &Args, global: Global) -> Result<(), Failure> {
    let mut console = Console::start(global)?;
    let made = make(args, &mut console);
    let made = console.conclude(made)?;
    let text = match global.output {
        Format::Json => print::json_line(&json(&made)),
        Format::Text => text(&made),
    };
    print::summary(made.stream, global, &text)
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
}

fn make(args: &Args, console: &mut Console) -> Result<Made, Failure> {
    if args.image.filesystem != Filesystem::Ext4 {
        return Err(Failure::usage("the root filesystem of a disk is an ext4"));
    }
    let environment = Environment::real();
    let mut notes = Vec::new();
    let mut ext4 = args.image.options(&environment, &mut notes)?;
    notes.iter().for_each(|note| console.say(note));
    let options = args.options(&ext4)?;
    if let Some(size) = options
        .root_size()
        .map_err(|error| failure("cannot make the disk", error))?
    {
        ext4.size = Size::Exact(size);
    }
    let planned = match &args.out {
        Some(out) if !args.dry_run => {
            Some((args.disk.target(out)?, Output::check(out, args.write)?))
        }
        _ => None,
    };
    let named = args
        .source
        .named(args.positional.as_ref())?
        .unwrap_or_else(|| Named::any("-"));
    let mut inputs = Inputs::open(&named, &args.source, ext4.ignore, &environment, console)?;
    let output = planned.as_ref().map(|(_, output)| output);
    inputs.warn_of(output.and_then(Output::folder), console);
    let what = format!("cannot make a disk from {}", named.shown());
    let (root, root_summary) = root(&mut inputs, &options, &ext4, console, &what)?;
    let disk =
        assemble::assemble(&root, &options, console).map_err(|error| failure(&what, error))?;
    console.detail(&summary::derived(&root_summary));
    let Some((target, output)) = planned else {
        return Ok(Made {
            path: None,
            format: "none",
            disk,
            root: root_summary,
            stream: Stream::Stdout,
            file_len: None,
        });
    };
    let image: Arc<dyn BlockRead> = Arc::new(disk.image.clone());
    console.meter().expect(image.len());
    let check = || {
        let unchanged = inputs.check_unchanged();
        unchanged.map_err(|error| remedy::block(what.clone(), error))
    };
    let file_len = target.write(image, &output, config::processors(), console, check)?;
    Ok(Made {
        path: Some(output.path().to_owned()),
        format: target.name(),
        disk,
        root: root_summary,
        stream: output.result_stream(),
        file_len: Some(file_len),
    })
}

/// Plans the root filesystem where its contents can be read again; else writes it into an unnamed file.
fn root(
    inputs: &mut Inputs,
    options: &assemble::Options,
    ext4: &ext4::Options,
    console: &mut Console,
    what: &str,
) -> Result<(Arc<dyn BlockRead>, ext4::Summary), Failure> {
    let failed = |error| remedy::ext4(what.to_owned(), error);
    let seekable = inputs.are_seekable();
    let overlay = options.overlay();
    let mut overlay = overlay.as_ref().map(TreeSource::new);
    let mut layers = inputs.layers();
    if let Some(source) = &mut overlay {
        layers.push(ext4::Layer {
            source,
            overlay: true,
        });
    }
    if seekable {
        let (image, summary) = ext4::plan(&mut layers, ext4, console).map_err(failed)?;
        return Ok((Arc::new(image), summary));
    }
    let mut scratch = Scratch::create()?;
    let summary = ext4::write(&mut layers, ext4, &mut scratch, console).map_err(failed)?;
    let reader = scratch
        .into_reader(summary.size)
        .map_err(|error| remedy::block(what.to_owned(), error))?;
    Ok((reader, summary))
}

impl Args {
    fn options(&self, ext4: &ext4::Options) -> Result<assemble::Options, Failure> {
        let disk = &self.disk;
        let loader = match disk.boot {
            Some(BootArg::None) => None,
            Some(BootArg::Uki) => Some(Loader::Uki),
            Some(BootArg::SystemdBoot) | None => Some(Loader::SystemdBoot),
        };
        if disk.cmdline.contains(|c: char| c.is_control()) {
            return Err(Failure::usage("--cmdline: a command line is one line"));
        }
        Ok(assemble::Options {
            size: match ext4.size {
                Size::Exact(size) => Some(size),
                Size::Auto(_) => None,
            },
            sector_size: disk.sector_size.unwrap_or(512),
            esp_size: disk.esp_size,
            loader,
            cmdline: disk.cmdline.clone(),
            grow_root: !disk.no_grow_root,
            architecture: disk.arch,
            stub: file(disk.stub.as_deref())?,
            systemd_boot: file(disk.systemd_boot.as_deref())?,
        })
    }
}

impl DiskArgs {
    fn target(&self, out: &OsStr) -> Result<Target, Failure> {
        let vhdx = self.format == Some(OutputFormat::Vhdx)
            || self.format.is_none() && out.as_encoded_bytes().ends_with(b".vhdx");
        let sector_size = self.sector_size.filter(|_| vhdx);
        target_for(out, self.format, self.compress, sector_size)
    }
}

/// Opens a file whose content goes into the disk.
fn file(path: Option<&OsStr>) -> Result<Option<Content>, Failure> {
    let Some(path) = path else {
        return Ok(None);
    };
    let file = FileReader::open(path)
        .map_err(|error| remedy::block(format!("cannot read {}", path.display()), error))?;
    let len = file.len();
    let file: Arc<dyn BlockRead> = Arc::new(file);
    let mut content = Content::new();
    content.push_span(&file, 0, len);
    Ok(Some(content))
}

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
        assemble::Error::Esp(_) => Some("--esp-size makes the boot partition larger"),
        _ => None,
    };
    Failure::failed(what)
        .because(error)
        .help_if(help.map(str::to_owned))
}

fn text(made: &Made) -> String {
    let bytes = |bytes: u64| format!("{bytes} bytes ({})", human(bytes));
    let size = BlockRead::len(&made.disk.image);
    let mut text = String::new();
    let mut row = |name: &str, value: String| text.push_str(&format!("{name:<8}{value}\n"));
    if let Some(path) = &made.path {
        row("path", path.clone());
        row("format", made.format.to_owned());
    }
    row("size", bytes(size));
    if let Some(len) = made.file_len {
        row("file", bytes(len));
    }
    for partition in &made.disk.table.partitions {
        let guid = partition
            .guid
            .map(|guid| guid.to_string())
            .unwrap_or_default();
        row(
            &format!("part {}", partition.number),
            format!("{}, {}, {guid}", partition.name, human(partition.len)),
        );
    }
    row("uuid", uuid::text(&made.root.uuid));
    for kernel in &made.disk.kernels {
        row("kernel", kernel.version.clone());
    }
    if let Some(cmdline) = &made.disk.cmdline {
        row("cmdline", format!(" {cmdline}").trim_start().to_owned());
    }
    text
}

fn json(made: &Made) -> Value {
    let partitions: Vec<Value> = made
        .disk
        .table
        .partitions
        .iter()
        .map(|partition| {
            json!({
                "number": partition.number,
                "name": partition.name,
                "type": partition.kind.to_string(),
                "start": partition.start,
                "size": partition.len,
                "guid": partition.guid.map(|guid| guid.to_string()),
            })
        })
        .collect();
    let kernels: Vec<Value> = made
        .disk
        .kernels
        .iter()
        .map(|kernel| {
            json!({
                "version": kernel.version,
                "path": kernel.path,
                "initrd": kernel.initrd_path,
            })
        })
        .collect();
    json!({
        "path": made.path,
        "format": made.format,
        "size": BlockRead::len(&made.disk.image),
        "file_size": made.file_len,
        "sector_size": made.disk.table.sector_size,
        "partitions": partitions,
        "kernels": kernels,
        "cmdline": made.disk.cmdline,
        "root": summary::json(None, &made.root),
    })
}
