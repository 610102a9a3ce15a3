//! `forger edit IMAGE [ACTION…]`

mod action;
mod ahead;
mod host;
mod put;
mod remedy;
mod script;
mod words;

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use forger_fs::ext4::{Committed, EditError, Way};
use forger_fs::tree::Time;
use serde_json::json;

use self::action::{Action, Surroundings};
use self::ahead::Ahead;
use super::subject::{self, Subject};
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
                  image's own journal, which is made larger meanwhile where it is too small; where there is \
                  none, or no room, a copy of the image is changed, which then takes its name. A partition of a raw \
                  disk is changed in place as well. Of another image (qcow2, vhd, vhdx, vmdk) a changed copy is \
                  made in the same format, which takes its name, mode and owner. The image is locked meanwhile. An image that is \
                  dirty, or has features that would not be kept right (quotas, bigalloc, mmp), is refused.",
    after_long_help = "\
Actions (options of an action may stand anywhere behind its name; paths are the image's, but SRC):
  put SRC DEST [--mode MODE] [--owner UID:GID] [--time TIME]
                                     a file of this machine, - is standard input; replaces a file
                                     [mode: that of SRC, 0644 from -; owner: 0:0; time: that of the change]
  put -r SRC DEST [--owner UID:GID] [--time TIME]
                                     a folder with all in it, hard links and special files too; folders that
                                     are there stay; extended attributes are not taken
  mkdir [-p] [--mode MODE] [--owner UID:GID] PATH…   -p: with those above, and it may exist
  rm [-r] [-f] PATH…                 -r: folders with all in them; -f: it may be missing
  ln EXISTING PATH                   one more name for a file
  ln -s TARGET PATH [--owner UID:GID]
  mknod PATH b|c MAJOR MINOR, mknod PATH p|s [--mode MODE] [--owner UID:GID]
  mv FROM TO                         TO is the new name itself, and may be a file that is replaced
  chmod MODE PATH…                   MODE is octal; an ACL follows
  chown UID:GID PATH…                also UID, UID: and :GID; changes nothing else
  touch PATH… [--time TIME]          access and modification of what exists  [time: that of the change]
  setxattr PATH NAME VALUE           VALUE is text, or 0x and hexadecimal digits; the mode follows an ACL
  rmxattr PATH NAME
  set-label LABEL
  set-uuid UUID                      checksums keep their start (metadata_csum_seed)

The time of the change is --time, else SOURCE_DATE_EPOCH, else now. What is new gets it, as ctime and crtime
always and as mtime and atime unless its --time says otherwise; what is changed gets it as ctime, and folders
whose names change as mtime too. Equal images, actions and times give equal bytes.

What is removed or replaced becomes zeros or holes in the image, its copies in the journal too, unless
--no-erase is given.

A script has one action on a line; words are split and quoted as in a shell (' \" \\), # begins a comment.

Examples:
  forger edit disk.ext4 put ./motd /etc/motd --mode 644
  forger edit vm.qcow2#root put ./motd /etc/motd
  forger edit --script changes.txt --dry-run disk.ext4
  hostname | forger edit disk.ext4 put - /etc/hostname

A script, changes.txt:
  # an agent with its unit, started at boot, and nothing left of the packages' cache
  mkdir -p /opt/agent
  put -r ./agent /opt/agent --owner 998:998
  put agent.service /etc/systemd/system/agent.service --mode 644
  ln -s ../agent.service /etc/systemd/system/multi-user.target.wants/agent.service
  chown 998:998 /var/lib/agent
  chmod 4755 /opt/agent/bin/helper
  setxattr /opt/agent/bin/agent security.capability 0x0100000200040000000000000000000000000000
  rm -r -f '/var/cache/apt/archives'
  set-label agent-root

Exit status: 0 done, 1 failed and nothing changed, 2 wrong usage (forger --help says more)."
)]
pub(crate) struct Args {
    /// The image to change, or a partition of a disk: vm.qcow2#root
    #[arg(value_name = "IMAGE[#PART]")]
    image: OsString,

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

    /// Leaves what is removed or replaced in free blocks, where it can be found: faster
    #[arg(long)]
    no_erase: bool,

    /// Checks and tries all actions, but writes nothing
    #[arg(long)]
    dry_run: bool,
}

/// An action and the line of the script that asked for it.
struct Step {
    line: Option<usize>,
    action: Action,
}

/// Does all actions, and commits them.
pub(super) fn run(args: &Args, global: Global) -> Result<(), Failure> {
    let environment = Environment::real();
    let now = time_of(args.time, &environment)?;
    let steps = args.steps()?;
    check_stdin(args.script.as_deref(), &steps)?;
    let subject = Subject::open(&args.image)?;
    let address = subject.address.clone();
    let shown = address.disk();
    let cannot = |error: EditError| match Subject::other(&address) {
        Some(other) if subject::is_other(&error) => other,
        _ => remedy::explain(&address, error),
    };
    let (mut editor, copy) = subject.editor(now).map_err(cannot)?;
    if args.no_erase {
        editor.keep_removed();
    }
    let surroundings = Surroundings {
        environment,
        files: Ahead::start(files(&steps)),
    };
    for step in &steps {
        step.action
            .apply(&mut editor, &surroundings)
            .map_err(|failure| {
                match (step.line, &args.script) {
                    (Some(line), Some(script)) => failure.at(&place(line, script)),
                    _ => failure,
                }
                .into_failure()
            })?;
    }
    let done = if args.dry_run {
        editor.plan()
    } else {
        editor.commit()
    }
    .map_err(cannot)?;
    match copy {
        Some(copy) if args.dry_run => copy.check()?,
        Some(copy) if done.way != Way::Nothing => copy.publish(global)?,
        _ => {}
    }
    let text = match global.output {
        Format::Text => text(&shown, steps.len(), args.dry_run, done),
        Format::Json => print::json_line(&json!({
            "path": shown,
            "actions": steps.len(),
            "dry_run": args.dry_run,
            "way": way(done.way),
            "metadata_blocks": done.blocks,
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

fn text(image: &str, actions: usize, dry_run: bool, done: Committed) -> String {
    let (tried, changed) = if dry_run {
        (", tried only", "would change")
    } else {
        ("", "changed")
    };
    format!(
        "path    {image}\nactions {actions}{tried}\nway     {}\nblocks  {} of metadata {changed}\n",
        way(done.way),
        done.blocks
    )
}

/// Returns the word for how a change was made.
pub(super) fn way(way: Way) -> &'static str {
    match way {
        Way::Nothing => "nothing",
        Way::Journal => "journal",
        Way::LargerJournal => "larger journal",
        Way::Copy => "copy",
        _ => "other",
    }
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
            return Ok(vec![Step { line: None, action }]);
        };
        let name = script.display().to_string();
        let text = read(script).map_err(|error| {
            Failure::failed(format!("cannot read the script {name}")).because(error)
        })?;
        let lines: Vec<&[u8]> = text.split(|byte| *byte == b'\n').collect();
        if lines.len() < LONG {
            return parse(&lines, 1, script);
        }
        // Half of it by a thread of its own.
        let (first, second) = lines.split_at(lines.len() / 2);
        std::thread::scope(|scope| {
            let second = scope.spawn(|| parse(second, first.len() + 1, script));
            let mut steps = parse(first, 1, script)?;
            match second.join() {
                Ok(rest) => steps.extend(rest?),
                Err(panic) => std::panic::resume_unwind(panic),
            }
            Ok(steps)
        })
    }
}

/// From so many lines on a script is long.
const LONG: usize = 2000;

/// Reads actions from lines, the first of which has a number.
fn parse(lines: &[&[u8]], first: usize, script: &Path) -> Result<Vec<Step>, Failure> {
    let mut steps = Vec::new();
    for (number, line) in (first..).zip(lines) {
        let wrong = |what: String| Failure::usage(format!("{}: {what}", place(number, script)));
        let words = script::words(line).map_err(|what| wrong(what.to_owned()))?;
        if words.is_empty() {
            continue;
        }
        let action = action::parse(words).map_err(wrong)?;
        steps.push(Step {
            line: Some(number),
            action,
        });
    }
    Ok(steps)
}

fn place(line: usize, script: &Path) -> String {
    format!("line {line} of {}", script.display())
}

/// Returns the files that are put, in order, those in folders not among them.
fn files(steps: &[Step]) -> Vec<PathBuf> {
    let file = |step: &Step| match &step.action {
        Action::Put {
            source,
            recursive: false,
            ..
        } if source != Path::new("-") => Some(source.clone()),
        _ => None,
    };
    steps.iter().filter_map(file).collect()
}

/// Refuses to read standard input more than once.
fn check_stdin(script: Option<&Path>, steps: &[Step]) -> Result<(), Failure> {
    let stdin = Path::new("-");
    let put = |step: &&Step| matches!(&step.action, Action::Put { source, .. } if source == stdin);
    let readers = steps.iter().filter(put).count() + usize::from(script == Some(stdin));
    if readers <= 1 {
        return Ok(());
    }
    Err(
        Failure::usage("standard input can be read only once, by --script - or by one put -")
            .help("./- is a file of that name"),
    )
}

fn read(script: &Path) -> std::io::Result<Vec<u8>> {
    if script == Path::new("-") {
        let mut text = Vec::new();
        std::io::Read::read_to_end(&mut std::io::stdin().lock(), &mut text)?;
        return Ok(text);
    }
    std::fs::read(script)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The script that the help shows is one.
    #[test]
    fn the_example_script_is_understood() {
        let command = <Args as clap::Args>::augment_args(clap::Command::new("edit"));
        let help = command.get_after_long_help().unwrap().to_string();
        let (_, script) = help.split_once("A script, changes.txt:\n").unwrap();
        let (script, _) = script.split_once("\n\n").unwrap();
        let mut actions = 0;
        for line in script.lines() {
            let words = script::words(line.as_bytes()).unwrap();
            if !words.is_empty() {
                action::parse(words).unwrap_or_else(|error| panic!("{line}: {error}"));
                actions += 1;
            }
        }
        assert_eq!(actions, 9);
    }
}
