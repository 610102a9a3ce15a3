//! `forger edit IMAGE [ACTION…]`

mod action;
mod host;
mod script;
mod words;

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use forger_fs::ext4::{Committed, EditError, Editor, Way};
use forger_fs::tree::Time;
use serde_json::json;

use self::action::Action;
use crate::args::time::{self, When};
use crate::args::{Format, Global};
use crate::config::Environment;
use crate::exit::Failure;
use crate::print::{self, Stream};

/// Changes an ext2, ext3 or ext4 image in place
#[derive(Debug, clap::Args)]
#[command(
    arg_required_else_help = true,
    override_usage = "forger edit [OPTIONS] IMAGE ACTION [ARGUMENTS]\n       \
                      forger edit [OPTIONS] --script FILE IMAGE",
    long_about = "Changes an ext2, ext3 or ext4 image in place.\n\n\
                  All actions together are one transaction: all of them are done, or none. It goes through the \
                  image's own journal; where there is none, or the change does not fit it, a copy of the \
                  image is changed, which then takes its name. The image is locked meanwhile. An image that is \
                  dirty, or has features that would not be kept right (quotas, bigalloc, mmp), is refused.",
    after_long_help = "\
Actions (options of an action may stand anywhere behind its name; paths are the image's, but SRC):
  put SRC DEST [--mode MODE] [--owner UID:GID] [--time TIME]
                                     a file of this machine; replaces a file  [mode: that of SRC; owner: 0:0;
                                     time: that of the change]
  mkdir [-p] [--mode MODE] [--owner UID:GID] PATH…   -p: with those above, and it may exist
  rm [-r] [-f] PATH…                 -r: folders with all in them; -f: it may be missing
  ln EXISTING PATH                   one more name for a file
  ln -s TARGET PATH [--owner UID:GID]
  mknod PATH b|c MAJOR MINOR, mknod PATH p|s [--mode MODE] [--owner UID:GID]
  mv FROM TO                         TO is the new name itself, and may be a file that is replaced
  chmod MODE PATH…                   MODE is octal
  chown UID:GID PATH…                also UID, UID: and :GID; changes nothing else
  touch PATH… [--time TIME]          access and modification  [time: that of the change]
  setxattr PATH NAME VALUE           VALUE is text, or 0x and hexadecimal digits
  removexattr PATH NAME
  set-label LABEL
  set-uuid UUID                      checksums keep their start (metadata_csum_seed)

A script has one action on a line; words are split and quoted as in a shell (' \" \\), # begins a comment.

Examples:
  forger edit disk.ext4 put ./motd /etc/motd --mode 644
  forger edit --script changes.txt --dry-run disk.ext4
  echo 'rm -r /var/cache/apt' | forger edit --script - disk.ext4

Exit status: 0 done, 1 failed and nothing changed, 2 wrong usage (forger --help says more)."
)]
pub(crate) struct Args {
    /// The image to change
    #[arg(value_name = "IMAGE")]
    image: PathBuf,

    /// The action and its arguments, see below
    #[arg(
        value_name = "ACTION",
        trailing_var_arg = true,
        allow_hyphen_values = true,
        num_args = 0..
    )]
    action: Vec<OsString>,

    /// Reads the actions from a file, or - for standard input [default: the ACTION of the command line]
    #[arg(long, value_name = "FILE", conflicts_with = "action")]
    script: Option<PathBuf>,

    /// Time of all changes: @SECONDS, RFC 3339 or now [default: SOURCE_DATE_EPOCH, else now]
    #[arg(long, value_name = "TIME", value_parser = time::parse)]
    time: Option<When>,

    /// Checks and tries all actions, but writes nothing
    #[arg(long)]
    dry_run: bool,
}

/// An action and where it was asked for, for messages.
struct Step {
    place: Option<String>,
    action: Action,
}

/// Does all actions, and commits them.
pub(super) fn run(args: &Args, global: Global) -> Result<(), Failure> {
    let environment = Environment::real();
    let now = time_of(args.time, &environment)?;
    let steps = args.steps()?;
    let shown = args.image.display().to_string();
    let cannot = |error: EditError| explain(format!("cannot edit {shown}"), error);
    let mut editor = Editor::open(&args.image, now).map_err(cannot)?;
    for step in &steps {
        step.action
            .apply(&mut editor, &environment)
            .map_err(|failure| {
                match &step.place {
                    Some(place) => failure.at(place),
                    None => failure,
                }
                .into_failure()
            })?;
    }
    let committed = if args.dry_run {
        None
    } else {
        Some(editor.commit().map_err(cannot)?)
    };
    let text = match global.output {
        Format::Text => text(&shown, steps.len(), committed),
        Format::Json => print::json_line(&json!({
            "path": shown,
            "actions": steps.len(),
            "dry_run": args.dry_run,
            "way": committed.map(|done| way(done.way)),
            "metadata_blocks": committed.map(|done| done.blocks),
        })),
    };
    print::result(Stream::Stdout, &text)
}

/// Returns the time of a change: what was typed, else the environment's, else now.
pub(super) fn time_of(typed: Option<When>, environment: &Environment) -> Result<Time, Failure> {
    match (typed, &environment.source_date_epoch) {
        (Some(When::At(time)), _) => Ok(time),
        (Some(When::Now), _) | (None, None) => Ok((environment.clock)()),
        (None, Some(value)) => value
            .to_str()
            .and_then(time::source_date_epoch)
            .ok_or_else(|| {
                Failure::usage(format!(
                    "SOURCE_DATE_EPOCH is {}, which is no number of seconds",
                    value.display()
                ))
            }),
    }
}

fn text(image: &str, actions: usize, committed: Option<Committed>) -> String {
    match committed {
        None => format!("path    {image}\nactions {actions}, tried only\n"),
        Some(done) => format!(
            "path    {image}\nactions {actions}\nway     {}\nblocks  {} of metadata changed\n",
            way(done.way),
            done.blocks
        ),
    }
}

/// Returns the word for how a change was made.
pub(super) fn way(way: Way) -> &'static str {
    match way {
        Way::Nothing => "nothing",
        Way::Journal => "journal",
        Way::Copy => "copy",
        _ => "other",
    }
}

/// Explains why an image could not be edited.
fn explain(what: String, error: EditError) -> Failure {
    let help = match &error {
        EditError::State { .. } | EditError::Damaged { .. } => {
            Some("let e2fsck -f mend it first; nothing was changed")
        }
        EditError::Locked { .. } => Some("wait until the other program is done"),
        EditError::NoRoomForCopy { .. } => Some("make room in the image's folder"),
        _ => None,
    };
    Failure::failed(what)
        .because(error)
        .help_if(help.map(str::to_owned))
}

impl Args {
    /// Reads all actions before the image is opened.
    fn steps(&self) -> Result<Vec<Step>, Failure> {
        let Some(script) = &self.script else {
            let words: Vec<Vec<u8>> = self
                .action
                .iter()
                .map(|word| word.clone().into_vec())
                .collect();
            if words.is_empty() {
                return Err(Failure::usage("ACTION is missing").help(
                    "forger edit --help lists the actions; --script reads them from a file",
                ));
            }
            let action = action::parse(words).map_err(Failure::usage)?;
            return Ok(vec![Step {
                place: None,
                action,
            }]);
        };
        let name = script.display().to_string();
        let text = read(script).map_err(|error| {
            Failure::failed(format!("cannot read the script {name}")).because(error)
        })?;
        let mut steps = Vec::new();
        for (number, line) in (1..).zip(text.split(|byte| *byte == b'\n')) {
            let place = format!("line {number} of {name}");
            let wrong = |what: String| Failure::usage(format!("{place}: {what}"));
            let words = script::words(line).map_err(|what| wrong(what.to_owned()))?;
            if words.is_empty() {
                continue;
            }
            let action = action::parse(words).map_err(wrong)?;
            steps.push(Step {
                place: Some(place),
                action,
            });
        }
        Ok(steps)
    }
}

fn read(script: &Path) -> std::io::Result<Vec<u8>> {
    if script == Path::new("-") {
        let mut text = Vec::new();
        std::io::Read::read_to_end(&mut std::io::stdin().lock(), &mut text)?;
        return Ok(text);
    }
    std::fs::read(script)
}
