//! `forger mkfs SOURCE OUT`

pub(super) mod vfat;

use std::ffi::OsString;

use forger_fs::ext4;

use crate::args::Global;
use crate::args::fat::FatArgs;
use crate::args::image::{Filesystem, ImageArgs};
use crate::args::run::RunArgs;
use crate::args::source::{Named, SOURCE_HELP, SourceArgs};
use crate::args::verity::VerityArgs;
use crate::config::Environment;
use crate::exit::Failure;
use crate::hash_tree::HashTree;
use crate::input::Inputs;
use crate::output::Output;
use crate::output::verified::Verified;
use crate::print::{self, Stream};
use crate::progress::Console;
use crate::{remedy, summary};

/// Makes a filesystem from a tar or a folder
#[derive(Debug, clap::Args)]
#[command(
    arg_required_else_help = true,
    override_usage = "forger mkfs [OPTIONS] SOURCE OUT\n       \
                      forger mkfs [OPTIONS] --rootfs-tar FILE|- OUT\n       \
                      forger mkfs [OPTIONS] --dry-run SOURCE",
    long_about = "Makes a filesystem from a tar or a folder.\n\n\
        Equal input and options give equal bytes, on any machine. The output appears whole or not \
        at all. A summary goes to standard output (to standard error when OUT is -).",
    after_long_help = "\
Examples:
  forger mkfs rootfs.tar.zst rootfs.ext4
  docker export box | forger mkfs - rootfs.ext4 --size 4G --label root
  forger mkfs ./rootfs rootfs.ext4 --exclude '/var/cache/*' --inject agent:/usr/bin/agent:0755
  forger mkfs rootfs.tar rootfs.ext4 --verity            with a dm-verity hash tree behind it
  forger mkfs --dry-run --output json rootfs.tar
  forger mkfs --type vfat --label CIDATA ./seed seed.img

Exit status: 0 done, 1 failed, 2 wrong usage, 130 or 143 stopped by a signal."
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
    verity: VerityArgs,

    #[command(flatten)]
    fat: FatArgs,

    #[command(flatten)]
    run: RunArgs,
}

/// Makes the filesystem and prints what it is.
pub(super) fn run(args: &Args, global: Global) -> Result<(), Failure> {
    if args.image.filesystem == Filesystem::Vfat {
        return vfat::run(args, global);
    }
    args.fat.refuse()?;
    let mut console = Console::start(global)?;
    let made = make(args, &mut console);
    let made = console.conclude(made)?;
    let text = summary::with_tree(
        global.output,
        made.path.as_deref(),
        &made.summary,
        made.tree.as_ref(),
    );
    print::summary(made.stream, global, &text)
}

/// A filesystem that was made, or would be.
struct Made {
    path: Option<String>,
    summary: ext4::Summary,
    tree: Option<HashTree>,
    stream: Stream,
}

fn make(args: &Args, console: &mut Console) -> Result<Made, Failure> {
    let ends = args.ends()?;
    let environment = Environment::real();
    let mut notes = Vec::new();
    let options = args.image.options(&environment, &mut notes)?;
    notes.iter().for_each(|note| console.say(note));
    let output = ends
        .out
        .as_deref()
        .map(|out| Output::check(out, args.run.write))
        .transpose()?;
    let verified = match &output {
        Some(output) if args.verity.verity => Some(Verified::check(
            output,
            args.verity.verity_hash_file.as_ref(),
            args.run.write,
        )?),
        _ => None,
    };
    let mut inputs = Inputs::open(
        &ends.source,
        &args.source,
        options.ignore,
        &environment,
        console,
    )?;
    inputs.warn_of(output.as_ref().and_then(Output::folder), console);
    let source = ends.source.shown();
    let Some(output) = &output else {
        let summary = ext4::dry_run(&mut inputs.layers(), &options, console).map_err(|error| {
            remedy::ext4(format!("cannot make a filesystem from {source}"), error)
        })?;
        return Ok(Made {
            path: None,
            summary,
            tree: None,
            stream: Stream::Stdout,
        });
    };
    let what = || format!("cannot make {} from {source}", output.product());
    let mut tree = None;
    let summary = if let Some(verified) = verified {
        let mut image = verified.open()?;
        let summary = ext4::write(&mut inputs.layers(), &options, &mut image, console)
            .map_err(|error| remedy::ext4(what(), error))?;
        console.detail(&summary::derived(&summary));
        let wanted = args.verity.wanted();
        tree = Some(verified.finish(image, summary.size, &wanted, console)?);
        summary
    } else if output.is_forward() && inputs.are_seekable() {
        stream(&mut inputs, &options, output, console, &what)?
    } else {
        place(&mut inputs, &options, output, console, &what)?
    };
    Ok(Made {
        path: Some(output.path().to_owned()),
        summary,
        tree,
        stream: output.result_stream(),
    })
}

/// Writes contents as they arrive, each to its place.
fn place(
    inputs: &mut Inputs,
    options: &ext4::Options,
    output: &Output,
    console: &mut Console,
    what: &dyn Fn() -> String,
) -> Result<ext4::Summary, Failure> {
    let mut sink = output.open_placed(console.signals())?;
    let summary = ext4::write(&mut inputs.layers(), options, &mut *sink, console)
        .map_err(|error| remedy::ext4(what(), error))?;
    console.detail(&summary::derived(&summary));
    console.finishing();
    sink.finish(summary.size)
        .map_err(|error| remedy::block(what(), error))?;
    Ok(summary)
}

/// Plans first, then reads the contents again in the order in which they leave: nothing is spooled.
fn stream(
    inputs: &mut Inputs,
    options: &ext4::Options,
    output: &Output,
    console: &mut Console,
    what: &dyn Fn() -> String,
) -> Result<ext4::Summary, Failure> {
    let mut sink = output.open_forward(console.signals())?;
    let (image, summary) = ext4::plan(&mut inputs.layers(), options, console)
        .map_err(|error| remedy::ext4(what(), error))?;
    console.detail(&summary::derived(&summary));
    console.finishing();
    let signals = console.signals().clone();
    image
        .stream(&mut *sink, &mut || signals.caught().is_some())
        .and_then(|()| inputs.check_unchanged())
        .and_then(|()| sink.finish())
        .map_err(|error| remedy::block(what(), error))?;
    Ok(summary)
}

/// Where to read from and where to write to.
#[derive(Debug, PartialEq, Eq)]
struct Ends {
    source: Named,
    /// Nothing is written when `None`.
    out: Option<OsString>,
}

impl Args {
    /// Tells the source from the output: an option that names the source leaves one place, for the
    /// output.
    fn ends(&self) -> Result<Ends, Failure> {
        let (source, out) = match (self.source.by_option(), &self.second) {
            (Some(source), None) => (source, &self.first),
            (_, out) => (
                self.source
                    .named(self.first.as_ref())?
                    .ok_or_else(missing)?,
                out,
            ),
        };
        let out = out.clone().filter(|_| !self.run.dry_run);
        if out.is_none() && !self.run.dry_run {
            return Err(Failure::usage("OUT is missing").help(SHAPE));
        }
        Ok(Ends { source, out })
    }
}

fn missing() -> Failure {
    Failure::usage("SOURCE is missing").help(SHAPE)
}

/// What a correct line looks like.
const SHAPE: &str = "forger mkfs SOURCE OUT, or forger mkfs --dry-run SOURCE";

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::Cli;
    use crate::args::source::Expect;
    use crate::command::Command;

    fn ends(line: &str) -> Result<Ends, Failure> {
        let words = ["forger", "mkfs"].into_iter().chain(line.split(' '));
        match Cli::try_parse_from(words)
            .expect("clap understands it")
            .command
        {
            Command::Mkfs(args) => args.ends(),
            other => panic!("{other:?}"),
        }
    }

    fn found(line: &str) -> (Named, Option<OsString>) {
        let Ends { source, out } = ends(line).expect(line);
        (source, out)
    }

    #[test]
    fn two_places_are_source_and_output() {
        assert_eq!(
            found("a.tar b.ext4"),
            (Named::any("a.tar"), Some("b.ext4".into()))
        );
        assert_eq!(found("- -"), (Named::any("-"), Some("-".into())));
    }

    #[test]
    fn an_option_for_the_source_leaves_one_place_for_the_output() {
        let tar = Named {
            path: "-".into(),
            expect: Expect::Tar,
        };
        assert_eq!(found("--rootfs-tar - out"), (tar, Some("out".into())));
        let folder = Named {
            path: "dir".into(),
            expect: Expect::Folder,
        };
        assert_eq!(found("out --rootfs-dir dir"), (folder, Some("out".into())));
        assert_eq!(
            found("--from dir out"),
            (Named::any("dir"), Some("out".into()))
        );
    }

    #[test]
    fn dry_run_needs_and_touches_no_output() {
        assert_eq!(found("--dry-run a.tar"), (Named::any("a.tar"), None));
        assert_eq!(found("--dry-run a.tar b.ext4"), (Named::any("a.tar"), None));
        assert_eq!(found("--dry-run --from a.tar"), (Named::any("a.tar"), None));
    }

    #[test]
    fn a_missing_or_double_end_is_wrong_usage() {
        for line in [
            "a.tar",
            "--from a.tar",
            "--from a.tar b.tar c.ext4",
            "--dry-run",
        ] {
            assert!(ends(line).is_err(), "{line}");
        }
    }
}
