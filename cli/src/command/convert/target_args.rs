//! What `convert` shall make, as it is typed.

use std::ffi::OsStr;
use std::path::Path;

use clap::ValueEnum;
use forger_disk::{android_sparse, ova, qcow2, vhdx};

use super::Target;
use super::compress::{Compress, extension};
use crate::args::qcow2::Qcow2Args;
use crate::args::size;
use crate::exit::Failure;

/// What is made, of whatever disk.
#[derive(Clone, Debug, Default, clap::Args)]
pub(in crate::command) struct TargetArgs {
    /// Format of OUT: raw, qcow2, vhd, vhd-fixed, vhdx, vhdx-fixed, vmdk, android-sparse or ova
    /// [default: by its name]
    ///
    /// The disk in a VHD is rounded up to 1 MiB, as Azure wants it (which takes vhd-fixed only), that
    /// in a VMDK or OVA to 64 KiB, in an Android sparse image to 4 KiB.
    #[arg(long, value_name = "FORMAT", hide_possible_values = true)]
    pub(in crate::command) format: Option<OutputFormat>,

    /// Compresses qcow2 and raw: zstd[:1-19] or zlib[:1-9] (raw: as gzip), raw also: xz[:1-9], vmdk and ova: zlib
    /// [default: not, but .zst, .gz and .xz say so, and an ova always is; levels: zstd:3, zlib:9, xz:6, of an ova
    /// zlib:6]
    ///
    /// Every reader of qcow2 knows zlib; QEMU reads zstd since 5.1, which is faster and smaller. zlib:9
    /// makes files as small as qemu-img's; zlib:6 takes half the time for 4% more. A compressed vmdk is
    /// streamOptimized, as it stands in an OVA.
    #[arg(long, value_name = "NAME[:LEVEL]", value_parser = Compress::parse)]
    pub(in crate::command) compress: Option<Compress>,

    /// Size of a sector of the disk in a vhdx: 512 or 4096 [default: 512]
    #[arg(long, value_name = "BYTES", value_parser = sector_size)]
    pub(in crate::command) sector_size: Option<u64>,

    /// Leaves zeros out of an android-sparse image, for a device that has been erased; else they are
    /// written, whatever it holds
    #[arg(long)]
    pub(in crate::command) dont_care: bool,

    /// Processors of the machine in an ova [default: 2]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub(in crate::command) cpus: Option<u32>,

    /// Memory of the machine in an ova [default: 2G]
    #[arg(long, value_name = "SIZE", value_parser = size::parse)]
    pub(in crate::command) memory: Option<u64>,

    #[command(flatten)]
    pub(in crate::command) qcow2: Qcow2Args,
}

impl TargetArgs {
    /// Tells the format of the output.
    fn output_format(&self, out: &OsStr) -> Result<OutputFormat, Failure> {
        if let Some(format) = self.format {
            return Ok(format);
        }
        let (out, _) = unpacked_name(Path::new(out));
        match extension(out).as_deref() {
            Some("qcow2") => Ok(OutputFormat::Qcow2),
            Some("raw" | "img") => Ok(OutputFormat::Raw),
            Some("vhd") => Ok(OutputFormat::Vhd),
            Some("vhdx") => Ok(OutputFormat::Vhdx),
            Some("vmdk") => Ok(OutputFormat::Vmdk),
            Some("simg") => Ok(OutputFormat::AndroidSparse),
            Some("ova") => Ok(OutputFormat::Ova),
            _ => Err(Failure::usage(format!(
                "{} does not say which format it shall have",
                out.display()
            ))
            .help(
                "give it with --format raw, qcow2, vhd, vhd-fixed, vhdx, vhdx-fixed, vmdk, \
                 android-sparse or ova",
            )),
        }
    }

    /// Puts format and options together, for an output of this name.
    ///
    /// # Errors
    /// A format that is not known, and options that do not belong together.
    pub(in crate::command) fn of(&self, out: &OsStr) -> Result<Target, Failure> {
        use OutputFormat as Format;
        let format = self.output_format(out)?;
        let only: [(&str, bool, &[Format]); 6] = [
            (
                "--compress",
                self.compress.is_some(),
                &[Format::Raw, Format::Qcow2, Format::Vmdk, Format::Ova],
            ),
            (
                self.qcow2.given().unwrap_or_default(),
                self.qcow2.given().is_some(),
                &[Format::Qcow2],
            ),
            (
                "--sector-size",
                self.sector_size.is_some(),
                &[Format::Vhdx, Format::VhdxFixed],
            ),
            ("--cpus", self.cpus.is_some(), &[Format::Ova]),
            ("--memory", self.memory.is_some(), &[Format::Ova]),
            ("--dont-care", self.dont_care, &[Format::AndroidSparse]),
        ];
        for (option, given, formats) in only {
            if given && !formats.contains(&format) {
                let formats: Vec<String> = formats.iter().map(|format| format.name()).collect();
                return Err(not_for(option, &format.name(), &formats.join(", ")));
            }
        }
        Ok(match format {
            Format::Raw => self.raw(out)?,
            Format::Qcow2 => self.qcow2()?,
            Format::Vhd => Target::VhdDynamic,
            Format::VhdFixed => Target::VhdFixed,
            Format::Vhdx | Format::VhdxFixed => {
                let default = vhdx::Options::default();
                Target::Vhdx(vhdx::Options {
                    sector_size: self.sector_size.unwrap_or(default.sector_size),
                    fixed: format == Format::VhdxFixed,
                })
            }
            Format::Vmdk => self.vmdk(out)?,
            Format::Ova => self.ova(out)?,
            Format::AndroidSparse => {
                let default = android_sparse::Options::default();
                Target::AndroidSparse(android_sparse::Options {
                    zeros: match self.dont_care {
                        true => android_sparse::Zeros::DontCare,
                        false => default.zeros,
                    },
                    ..default
                })
            }
        })
    }

    /// A raw disk may be compressed as a whole: its name says so, or the option.
    fn raw(&self, out: &OsStr) -> Result<Target, Failure> {
        let (_, by_name) = unpacked_name(Path::new(out));
        Ok(match self.compress.or(by_name) {
            None => Target::Raw,
            Some(compress) => Target::RawPacked(compress.packing()?),
        })
    }

    fn qcow2(&self) -> Result<Target, Failure> {
        let options = self.qcow2.options()?;
        let codec = self.compress.map(Compress::codec).transpose()?;
        let valid = match codec {
            Some((codec, level)) => qcow2::Compression {
                codec,
                level,
                threads: 1,
            }
            .validate(&options),
            None => Ok(()),
        };
        valid.map_err(|error| Failure::usage(error.to_string()))?;
        Ok(Target::Qcow2(options, codec))
    }

    /// A machine is called as its file.
    fn ova(&self, out: &OsStr) -> Result<Target, Failure> {
        let default = ova::Options::default();
        let level = self.compress.map(|compress| compress.zlib("an ova"));
        let level = level.transpose()?.unwrap_or(default.level);
        let memory = match self.memory {
            None => default.memory,
            Some(bytes) if bytes >= 1 << 20 && bytes.is_multiple_of(1 << 20) => bytes >> 20,
            Some(_) => return Err(Failure::usage("--memory is a multiple of 1M")),
        };
        let name = match Path::new(out).file_stem() {
            Some(name) if name != "-" => name.to_string_lossy().into_owned(),
            _ => default.name,
        };
        Ok(Target::Ova(ova::Options {
            name,
            firmware: None,
            cpus: self.cpus.unwrap_or(default.cpus),
            memory,
            level,
        }))
    }

    fn vmdk(&self, out: &OsStr) -> Result<Target, Failure> {
        let name = match Path::new(out).file_name() {
            Some(name) if name != "-" => name.to_string_lossy().into_owned(),
            _ => "disk.vmdk".to_owned(),
        };
        let level = self.compress.map(|compress| compress.zlib("a vmdk"));
        Ok(Target::Vmdk(name, level.transpose()?))
    }
}

/// Refuses an option that is for outputs of other formats.
pub(in crate::command) fn not_for(option: &str, format: &str, others: &str) -> Failure {
    Failure::usage(format!("{option} is for {others}, not for {format}"))
}

/// Returns the target that another command's options mean.
///
/// # Errors
/// As for this command's.
pub(in crate::command) fn target_for(
    out: &OsStr,
    format: Option<OutputFormat>,
    compress: Option<Compress>,
    sector_size: Option<u64>,
) -> Result<Target, Failure> {
    let args = TargetArgs {
        format,
        compress,
        sector_size,
        ..TargetArgs::default()
    };
    args.of(out)
}

/// Returns a name without what says how the file is compressed, and that.
fn unpacked_name(path: &Path) -> (&Path, Option<Compress>) {
    let packing = extension(path).and_then(|extension| Compress::of_extension(&extension));
    match (packing, path.file_stem()) {
        (Some(packing), Some(stem)) => (Path::new(stem), Some(packing)),
        _ => (path, None),
    }
}

/// Reads `--sector-size`.
pub(in crate::command) fn sector_size(text: &str) -> Result<u64, String> {
    match text {
        "512" => Ok(512),
        "4096" | "4K" => Ok(4096),
        _ => Err("expected 512 or 4096".to_owned()),
    }
}

/// A format that can be made, as it is typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::command) enum OutputFormat {
    Raw,
    Qcow2,
    Vhd,
    VhdFixed,
    Vhdx,
    VhdxFixed,
    Vmdk,
    #[value(alias = "simg")]
    AndroidSparse,
    Ova,
}

impl OutputFormat {
    /// Returns the name by which it is given.
    fn name(&self) -> String {
        let value = self.to_possible_value();
        value.map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::Cli;
    use crate::command::Command;

    fn args(line: &str) -> super::super::Args {
        let words = ["forger", "convert"].into_iter().chain(line.split(' '));
        let cli = Cli::try_parse_from(words).expect("clap understands it");
        match cli.command {
            Command::Convert(args) => args,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_format_is_told_by_the_name_or_given() {
        let format = |line| {
            let args = args(line);
            args.target.output_format(&args.out).ok()
        };
        assert_eq!(format("a b.qcow2"), Some(OutputFormat::Qcow2));
        assert_eq!(format("a b.IMG"), Some(OutputFormat::Raw));
        assert_eq!(format("a b.vhd"), Some(OutputFormat::Vhd));
        let fixed = format("a b.vhd --format vhd-fixed");
        assert_eq!(fixed, Some(OutputFormat::VhdFixed));
        assert_eq!(format("a b.raw.zst"), Some(OutputFormat::Raw));
        assert_eq!(format("a b.simg"), Some(OutputFormat::AndroidSparse));
        let sparse = format("a - --format simg");
        assert_eq!(sparse, Some(OutputFormat::AndroidSparse));
        assert_eq!(format("a b.zst"), None);
        assert_eq!(format("a -"), None);
        assert_eq!(format("a b.ext4"), None);
    }

    #[test]
    fn options_are_for_their_formats_and_within_their_bounds() {
        let valid = |line| {
            let args = args(line);
            args.target.of(&args.out).is_ok()
        };
        assert!(valid("a b.qcow2 --compress zstd --cluster-size 2M"));
        assert!(valid("a b.qcow2 --compress zlib:9 --qcow2-version 2"));
        assert!(valid("a b.vmdk --compress zlib:9"));
        assert!(valid("a b.vhdx --sector-size 4096"));
        assert!(!valid("a b.qcow2 --compress zstd --qcow2-version 2"));
        assert!(!valid("a b.qcow2 --compress zlib:10"));
        assert!(!valid("a b.qcow2 --cluster-size 3K"));
        assert!(!valid("a b.qcow2 --sector-size 512"));
        assert!(!valid("a b.vmdk --compress zstd"));
        assert!(valid("a b.raw --compress zlib"));
        assert!(valid("a b.img.zst --compress zstd:19"));
        assert!(valid("a b.raw.xz --compress xz:9"));
        assert!(!valid("a b.qcow2 --compress xz"));
        assert!(valid("a b.vhdx --format vhdx-fixed --sector-size 4096"));
        assert!(valid("a b.simg --dont-care"));
        assert!(!valid("a b.raw --compress zstd:20"));
        assert!(!valid("a b.raw --dont-care"));
        assert!(valid("a b.ova --cpus 4 --memory 512M --compress zlib:1"));
        assert!(!valid("a b.ova --memory 1000"));
        assert!(!valid("a b.ova --compress zstd"));
        assert!(!valid("a b.vmdk --cpus 4"));
        assert!(!valid("a b.vhd --compress zlib"));
    }
}
