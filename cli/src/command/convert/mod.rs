//! `forger convert IN OUT`

mod target;

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::sync::Arc;

use clap::ValueEnum;
use forger_block::BlockRead;
use forger_disk::{qcow2, vhdx};
use serde_json::json;

pub(crate) use self::target::Target;
use crate::args::qcow2::{BackingArgs, Qcow2Args};
use crate::args::read::ReadArgs;
use crate::args::run::WriteArgs;
use crate::args::size::human;
use crate::args::{self, Global};
use crate::config;
use crate::exit::Failure;
use crate::input::disk::Input;
use crate::output::Output;
use crate::print::{self, Stream};
use crate::progress::Console;
use crate::remedy;

/// Converts a disk from one image format to another
#[derive(Debug, clap::Args)]
#[command(
    arg_required_else_help = true,
    long_about = "Converts a disk from one image format to another.\n\n\
        What IN is, is told by its first bytes: qcow2 (versions 2 and 3, compressed, with subclusters), VHD, \
        VHDX, VMDK (monolithicSparse, streamOptimized), raw, or raw compressed with gzip, zstd, xz or bzip2. Zeros become holes. Equal disks and options give \
        equal bytes. The output appears whole or not at all.",
    after_long_help = "\
What OUT becomes is told by its name (.raw, .img, .qcow2, .vhd, .vhdx, .vmdk) or by --format. As IN, - is standard
input, which is kept in a temporary file unless it is raw and becomes raw; as OUT, - is standard
output: a compressed qcow2 is kept in a temporary file first, the others are streamed.

Examples:
  forger convert disk.raw disk.qcow2
  forger convert disk.raw disk.qcow2 --compress zstd
  forger convert disk.qcow2 disk.raw
  forger convert disk.qcow2 azure.vhd --format vhd-fixed
  forger convert disk.qcow2 disk.vmdk --compress zlib
  forger convert disk.qcow2#root root.ext4 --format raw
  curl -s https://example.org/disk.raw.xz | forger convert - disk.qcow2
  forger convert overlay.qcow2 whole.qcow2 --allow-backing base.qcow2
  forger convert disk.raw overlay.qcow2 --backing base.qcow2

Exit status: 0 done, 1 failed, 2 wrong usage, 130 or 143 stopped by a signal."
)]
pub(crate) struct Args {
    /// The disk, or a partition of it (disk.qcow2#2), or - for standard input
    #[arg(value_name = "IN")]
    input: OsString,

    /// The image to make: a file, a block device (with --force), a FIFO, or - for standard output
    #[arg(value_name = "OUT")]
    out: OsString,

    /// Format of OUT: raw, qcow2, vhd, vhd-fixed, vhdx or vmdk [default: by its name]
    ///
    /// The disk in a VHD is rounded up to 1 MiB, as Azure wants it (which takes vhd-fixed only), that
    /// in a VMDK to 64 KiB.
    #[arg(long, value_name = "FORMAT", hide_possible_values = true)]
    format: Option<OutputFormat>,

    /// Compresses qcow2: zstd[:1-19] or zlib[:1-9], and vmdk: zlib [default: not; levels: zstd:3,
    /// zlib:9]
    ///
    /// Every reader of qcow2 knows zlib; QEMU reads zstd since 5.1, which is faster and smaller. zlib:9
    /// makes files as small as qemu-img's; zlib:6 takes half the time for 4% more. A compressed vmdk is
    /// streamOptimized, as it stands in an OVA.
    #[arg(long, value_name = "NAME[:LEVEL]", value_parser = compression)]
    compress: Option<(qcow2::Codec, i32)>,

    /// Size of a sector of the disk in a vhdx: 512 or 4096 [default: 512]
    #[arg(long, value_name = "BYTES", value_parser = sector_size)]
    sector_size: Option<u64>,

    /// Threads that read and compress [default: one per processor]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: Option<u16>,

    #[command(flatten)]
    qcow2: Qcow2Args,

    #[command(flatten)]
    backing: BackingArgs,

    #[command(flatten)]
    read: ReadArgs,

    #[command(flatten)]
    write: WriteArgs,
}

/// Converts, and prints what was made.
pub(super) fn run(args: &Args, global: Global) -> Result<(), Failure> {
    let mut console = Console::start(global)?;
    let made = convert(args, &mut console);
    let made = console.conclude(made)?;
    let text = match global.output {
        args::Format::Json => print::json_line(&json!({
            "path": made.path,
            "format": made.format,
            "input_format": made.input_format,
            "size": made.size,
            "file_size": made.file_len,
        })),
        args::Format::Text => format!(
            "path    {}\nformat  {} (from {})\nsize    {} bytes ({})\nfile    {} bytes ({})\n",
            made.path,
            made.format,
            made.input_format,
            made.size,
            human(made.size),
            made.file_len,
            human(made.file_len),
        ),
    };
    print::summary(made.stream, global, &text)
}

/// An image that was made.
struct Made {
    path: String,
    stream: Stream,
    format: &'static str,
    input_format: String,
    /// Of the disk, in bytes.
    size: u64,
    /// Of the file, holes included, in bytes.
    file_len: u64,
}

fn convert(args: &Args, console: &mut Console) -> Result<Made, Failure> {
    let target = args.target()?;
    let output = Output::check(&args.out, args.write)?;
    let base = args.backing.find(&args.out)?;
    let threads = args.threads.map_or_else(config::processors, usize::from);
    let input = Input::open(&args.input, &args.read, target == Target::Raw, console)?;
    let input_format = input.format();
    let disk: Arc<dyn BlockRead> = match input {
        Input::Stream(stream) => {
            let mut sink = output.open_forward(console.signals())?;
            console.start_phase("convert");
            let len = stream.pump(&mut *sink, console)?;
            console.finishing();
            sink.finish().map_err(|error| {
                remedy::block(format!("cannot make {}", output.product()), error)
            })?;
            return Ok(Made::of(&output, &target, input_format, len, len));
        }
        Input::Disk(ref medium) => Arc::clone(&medium.reader),
        Input::Spooled(ref disk) => disk.disk(),
    };
    let size = disk.len();
    console.meter().expect(size);
    let check = || input.check_unchanged();
    let file_len = match (base, &target) {
        (Some(base), Target::Qcow2(options, None)) => {
            let backing = qcow2::Backing {
                disk: base.open(&args.read)?,
                named: base.named,
            };
            target::write_over(&disk, &backing, options, &output, threads, console, check)?
        }
        (Some(_), _) => {
            return Err(
                Failure::usage("--compress and --backing cannot go together")
                    .help("without --compress the image has what differs from the backing file"),
            );
        }
        (None, target) => target.write(disk, &output, threads, console, check)?,
    };
    Ok(Made::of(&output, &target, input_format, size, file_len))
}

impl Made {
    fn of(
        output: &Output,
        target: &Target,
        input_format: String,
        size: u64,
        file_len: u64,
    ) -> Self {
        Self {
            path: output.path().to_owned(),
            stream: output.result_stream(),
            format: target.name(),
            input_format,
            size,
            file_len,
        }
    }
}

impl Args {
    /// Tells the format of the output.
    fn output_format(&self) -> Result<OutputFormat, Failure> {
        if let Some(format) = self.format {
            return Ok(format);
        }
        let extension = Path::new(&self.out).extension().and_then(OsStr::to_str);
        match extension.map(str::to_ascii_lowercase).as_deref() {
            Some("qcow2") => Ok(OutputFormat::Qcow2),
            Some("raw" | "img") => Ok(OutputFormat::Raw),
            Some("vhd") => Ok(OutputFormat::Vhd),
            Some("vhdx") => Ok(OutputFormat::Vhdx),
            Some("vmdk") => Ok(OutputFormat::Vmdk),
            _ => Err(Failure::usage(format!(
                "{} does not say which format it shall have",
                self.out.display()
            ))
            .help("give it with --format raw, qcow2, vhd, vhd-fixed, vhdx or vmdk")),
        }
    }

    /// Puts format and options together.
    fn target(&self) -> Result<Target, Failure> {
        use OutputFormat as Format;
        let format = self.output_format()?;
        let only: [(&str, bool, &[Format]); 4] = [
            (
                "--compress",
                self.compress.is_some(),
                &[Format::Qcow2, Format::Vmdk],
            ),
            (
                "--backing",
                self.backing.backing.is_some(),
                &[Format::Qcow2],
            ),
            (
                self.qcow2.given().unwrap_or_default(),
                self.qcow2.given().is_some(),
                &[Format::Qcow2],
            ),
            ("--sector-size", self.sector_size.is_some(), &[Format::Vhdx]),
        ];
        for (option, given, formats) in only {
            if given && !formats.contains(&format) {
                return Err(Failure::usage(format!(
                    "{option} says nothing about this format of output"
                )));
            }
        }
        Ok(match format {
            Format::Raw => Target::Raw,
            Format::Qcow2 => self.qcow2()?,
            Format::Vhd => Target::VhdDynamic,
            Format::VhdFixed => Target::VhdFixed,
            Format::Vhdx => {
                let default = vhdx::Options::default();
                Target::Vhdx(vhdx::Options {
                    sector_size: self.sector_size.unwrap_or(default.sector_size),
                })
            }
            Format::Vmdk => self.vmdk()?,
        })
    }

    fn qcow2(&self) -> Result<Target, Failure> {
        let options = self.qcow2.options()?;
        let valid = match self.compress {
            Some((codec, level)) => qcow2::Compression {
                codec,
                level,
                threads: 1,
            }
            .validate(&options),
            None => Ok(()),
        };
        valid.map_err(|error| Failure::usage(error.to_string()))?;
        Ok(Target::Qcow2(options, self.compress))
    }

    fn vmdk(&self) -> Result<Target, Failure> {
        let name = match Path::new(&self.out).file_name() {
            Some(name) if name != "-" => name.to_string_lossy().into_owned(),
            _ => "disk.vmdk".to_owned(),
        };
        match self.compress {
            None => Ok(Target::Vmdk(name, None)),
            Some((qcow2::Codec::Zlib, level @ 1..=9)) => {
                Ok(Target::Vmdk(name, Some(level.unsigned_abs())))
            }
            Some(_) => Err(Failure::usage("a vmdk is compressed with zlib, 1 to 9")),
        }
    }
}

/// Returns the target that another command's options mean.
///
/// # Errors
/// As for this command's.
pub(super) fn target_for(
    out: &OsStr,
    format: Option<OutputFormat>,
    compress: Option<(qcow2::Codec, i32)>,
    sector_size: Option<u64>,
) -> Result<Target, Failure> {
    let args = Args {
        input: OsString::new(),
        out: out.to_owned(),
        format,
        compress,
        sector_size,
        threads: None,
        qcow2: Qcow2Args::default(),
        backing: BackingArgs::default(),
        read: ReadArgs::default(),
        write: WriteArgs {
            force: false,
            no_sync: false,
        },
    };
    args.target()
}

/// Reads `--compress`.
pub(super) fn compression(text: &str) -> Result<(qcow2::Codec, i32), String> {
    let (name, level) = text.split_once(':').unwrap_or((text, ""));
    let (codec, usual) = match name {
        "zlib" => (qcow2::Codec::Zlib, 9),
        "zstd" => (qcow2::Codec::Zstd, 3),
        _ => return Err("expected zlib or zstd, perhaps with a level, as in zstd:9".to_owned()),
    };
    let level = match level {
        "" if !text.contains(':') => Ok(usual),
        level => level.parse(),
    };
    level
        .map(|level| (codec, level))
        .map_err(|_| "expected a number behind the colon".to_owned())
}

/// Reads `--sector-size`.
pub(super) fn sector_size(text: &str) -> Result<u64, String> {
    match text {
        "512" => Ok(512),
        "4096" | "4K" => Ok(4096),
        _ => Err("expected 512 or 4096".to_owned()),
    }
}

/// A format that can be made, as it is typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum OutputFormat {
    Raw,
    Qcow2,
    Vhd,
    VhdFixed,
    Vhdx,
    Vmdk,
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::Cli;
    use crate::command::Command;

    fn args(line: &str) -> Args {
        let words = ["forger", "convert"].into_iter().chain(line.split(' '));
        let cli = Cli::try_parse_from(words).expect("clap understands it");
        match cli.command {
            Command::Convert(args) => args,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_format_is_told_by_the_name_or_given() {
        let format = |line| args(line).output_format().ok();
        assert_eq!(format("a b.qcow2"), Some(OutputFormat::Qcow2));
        assert_eq!(format("a b.IMG"), Some(OutputFormat::Raw));
        assert_eq!(format("a b.vhd"), Some(OutputFormat::Vhd));
        let fixed = format("a b.vhd --format vhd-fixed");
        assert_eq!(fixed, Some(OutputFormat::VhdFixed));
        assert_eq!(format("a -"), None);
        assert_eq!(format("a b.ext4"), None);
    }

    #[test]
    fn options_are_for_their_formats_and_within_their_bounds() {
        let valid = |line| args(line).target().is_ok();
        assert!(valid("a b.qcow2 --compress zstd --cluster-size 2M"));
        assert!(valid("a b.qcow2 --compress zlib:9 --qcow2-version 2"));
        assert!(valid("a b.vmdk --compress zlib:9"));
        assert!(valid("a b.vhdx --sector-size 4096"));
        assert!(!valid("a b.qcow2 --compress zstd --qcow2-version 2"));
        assert!(!valid("a b.qcow2 --compress zlib:10"));
        assert!(!valid("a b.qcow2 --cluster-size 3K"));
        assert!(!valid("a b.qcow2 --sector-size 512"));
        assert!(!valid("a b.vmdk --compress zstd"));
        assert!(!valid("a b.raw --compress zlib"));
    }

    #[test]
    fn compression_has_a_name_and_perhaps_a_level() {
        assert_eq!(compression("zstd"), Ok((qcow2::Codec::Zstd, 3)));
        assert_eq!(compression("zlib:1"), Ok((qcow2::Codec::Zlib, 1)));
        for text in ["", "gzip", "zstd:", "zstd:x"] {
            assert!(compression(text).is_err(), "{text}");
        }
    }
}
