//! `forger make-bundle [SOURCE]`

use std::ffi::OsString;

use forger::bundle::{self, Made, RunConfig};
use forger_fs::ext4;
use serde_json::json;

use crate::args::image::{Filesystem, ImageArgs};
use crate::args::run::RunArgs;
use crate::args::source::{Named, SOURCE_HELP, SourceArgs};
use crate::args::{Format, Global};
use crate::config::{self, Environment};
use crate::exit::Failure;
use crate::input::Inputs;
use crate::output::bundle::BundleOutput;
use crate::print::{self, Stream};
use crate::progress::Console;
use crate::{remedy, summary};

/// Makes a bundle, a compressed root filesystem with its manifest, from a tar or a folder
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "forger make-bundle [OPTIONS] --name NAME --arch ARCH --out FILE|DIR|- \
                      [SOURCE]",
    long_about = "Makes a bundle, a compressed root filesystem with its manifest, from a tar or a \
        folder.\n\n\
        A bundle is a tar compressed with zstd that holds rootfs.ext4 and manifest.json. Equal \
        input and options give equal bytes, on any machine and with any number of threads. Three \
        lines go to standard output: the bundle's path, its SHA-256, its size in bytes (to \
        standard error when --out is -).",
    after_long_help = "\
Examples:
  docker export box | forger make-bundle --name debian --distro debian --arch x86_64 --out .
  forger make-bundle --name app --arch aarch64 --out app.tar.zst --size 4G ./rootfs
  forger make-bundle --name app --arch x86_64 --out - rootfs.tar | ssh host 'cat > app.tar.zst'

Exit status: 0 done, 1 failed, 2 wrong usage, 130 or 143 stopped by a signal."
)]
pub(crate) struct Args {
    #[arg(
        value_name = "SOURCE",
        help = SOURCE_HELP,
        long_help = format!("{SOURCE_HELP} [default: standard input]")
    )]
    positional: Option<OsString>,

    #[command(flatten)]
    bundle: BundleArgs,

    #[command(flatten)]
    source: SourceArgs,

    #[command(flatten)]
    image: ImageArgs,

    #[command(flatten)]
    run: RunArgs,
}

/// What the manifest says, and where and how the bundle is written.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Bundle")]
struct BundleArgs {
    /// Name of the image: lower-case letters, digits, dots, hyphens and underscores
    #[arg(long, value_name = "NAME", required = true)]
    name: Option<String>,

    /// Machine architecture, such as x86_64 or aarch64
    #[arg(long, value_name = "ARCH", required = true)]
    arch: Option<String>,

    /// Distribution, such as debian [default: none]
    #[arg(long, value_name = "DISTRO")]
    distro: Option<String>,

    /// Name of the kernel that boots the image, in the words of whoever boots it [default: none]
    #[arg(long, value_name = "REF")]
    kernel_ref: Option<String>,

    /// What the image is for, in a sentence [default: none]
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,

    /// Says in the manifest how a container image is run: entrypoint, arguments, environment, folder, user
    #[arg(long)]
    image_config: bool,

    /// The bundle to make: a file, a folder, or - for standard output; not needed with --dry-run
    ///
    /// In a folder the bundle is called NAME-ARCH-DIGITS.tar.zst, with the first 12 digits of its
    /// SHA-256. It is left alone if it is there already, with the same bytes.
    #[arg(
        short,
        long,
        value_name = "FILE|DIR|-",
        required_unless_present = "dry_run"
    )]
    out: Option<OsString>,

    /// Level of compression, 1 to 22: larger is smaller, slower and takes more memory [default: 3]
    #[arg(long, value_name = "LEVEL", value_parser = clap::value_parser!(i32).range(1..=22))]
    level: Option<i32>,

    /// Number of threads that compress, at least 1 [default: one per processor]
    ///
    /// The bundle is the same whatever their number; memory grows with it.
    #[arg(long, value_name = "N")]
    threads: Option<std::num::NonZeroUsize>,
}

/// Makes the bundle and prints where it is.
pub(super) fn run(args: &Args, global: Global) -> Result<(), Failure> {
    let mut console = Console::start(global)?;
    let report = make(args, global.output, &mut console);
    let (stream, report) = console.conclude(report)?;
    print::summary(stream, global, &report)
}

fn make(args: &Args, format: Format, console: &mut Console) -> Result<(Stream, String), Failure> {
    if args.image.filesystem != Filesystem::Ext4 {
        return Err(Failure::usage("a bundle holds an ext4"));
    }
    let environment = Environment::real();
    let mut notes = Vec::new();
    let mut options = args
        .bundle
        .options(args.image.options(&environment, &mut notes)?);
    options
        .validate()
        .map_err(|error| remedy::bundle("cannot make a bundle".into(), error))?;
    notes.iter().for_each(|note| console.say(note));
    let output = args
        .out()
        .map(|out| BundleOutput::check(out, args.run.write))
        .transpose()?;
    let named = args
        .source
        .named(args.positional.as_ref())?
        .unwrap_or_else(|| Named::any("-"));
    let mut inputs = Inputs::open(
        &named,
        &args.source,
        options.ext4.ignore,
        &environment,
        console,
    )?;
    inputs.warn_of(output.as_ref().and_then(BundleOutput::folder), console);
    let source = named.shown();
    if args.bundle.image_config {
        options.config = Some(run_config(&inputs, &source)?);
    }
    let Some(output) = output else {
        let summary =
            ext4::dry_run(&mut inputs.layers(), &options.ext4, console).map_err(|error| {
                remedy::ext4(format!("cannot make a filesystem from {source}"), error)
            })?;
        return Ok((Stream::Stdout, summary::report(format, None, &summary)));
    };
    let what = || format!("cannot make a bundle from {source}");
    let file = output.open()?;
    let made = bundle::make(&mut inputs.layers(), &options, &file, console)
        .map_err(|error| remedy::bundle(what(), error))?;
    console.detail(&summary::derived(&made.image));
    console.finishing();
    let path = output.publish(file, &made, console)?;
    Ok((output.result_stream(), report(format, &path, &made)))
}

/// Takes what a container image says how it is run.
fn run_config(inputs: &Inputs, source: &str) -> Result<RunConfig, Failure> {
    let Some(config) = inputs.config() else {
        return Err(Failure::usage(format!(
            "--image-config: {source} is no container image, and has no configuration"
        )));
    };
    let run = config.config().clone().unwrap_or_default();
    Ok(RunConfig {
        entrypoint: run.entrypoint().clone().unwrap_or_default(),
        cmd: run.cmd().clone().unwrap_or_default(),
        env: run.env().clone().unwrap_or_default(),
        working_dir: run.working_dir().clone().unwrap_or_default(),
        user: run.user().clone().unwrap_or_default(),
    })
}

impl Args {
    /// Returns the output; nothing is written when `None`.
    fn out(&self) -> Option<&OsString> {
        self.bundle.out.as_ref().filter(|_| !self.run.dry_run)
    }
}

impl BundleArgs {
    fn options(&self, ext4: ext4::Options) -> bundle::Options {
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        bundle::Options {
            ext4,
            kernel_ref: self.kernel_ref.clone(),
            description: self.description.clone(),
            level: self.level.unwrap_or(3),
            threads: self.threads.map_or_else(config::processors, usize::from),
            ..bundle::Options::new(text(&self.name), text(&self.distro), text(&self.arch))
        }
    }
}

/// Returns the three lines, or the object.
fn report(format: Format, path: &str, made: &Made) -> String {
    let sha256 = made.sha256_hex();
    match format {
        Format::Text => format!("{path}\n{sha256}\n{}\n", made.size),
        Format::Json => print::json_line(&json!({
            "path": path,
            "sha256": sha256,
            "size": made.size,
            "manifest": made.manifest,
            "image": summary::json(None, &made.image),
        })),
    }
}
