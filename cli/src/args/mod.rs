//! What was typed: the command line as clap sees it, and the readers of its values.
//!
//! What it means is decided by the commands, which turn these values into the options of the
//! libraries.

pub(crate) mod catalog;
pub(crate) mod fat;
pub(crate) mod image;
pub(crate) mod inject;
pub(crate) mod network;
pub(crate) mod owner;
pub(crate) mod partition;
pub(crate) mod qcow2;
pub(crate) mod read;
pub(crate) mod reference;
pub(crate) mod run;
pub(crate) mod size;
pub(crate) mod source;
pub(crate) mod time;
pub(crate) mod uuid;
pub(crate) mod verity;

#[cfg(test)]
mod tests;

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Args, Parser, ValueEnum};

use crate::command::Command;

/// Turns file trees into filesystems, disks and bundles, and looks into them, without root
#[derive(Debug, Parser)]
#[command(
    name = "forger",
    version,
    about,
    long_about = "Turns file trees (tar streams of any compression, folders, images) into filesystems, disks \
                  that boot and bundles; reads, compares, checks, edits, resizes and converts images.\n\n\
                  It needs no root, no mount, no loop device, no user namespace and no other \
                  program.",
    after_help = "Every command explains itself: forger COMMAND --help, or forger help COMMAND.",
    after_long_help = EXIT_STATUS,
    subcommand_required = true,
    arg_required_else_help = true,
    propagate_version = true,
    disable_help_flag = true,
    disable_version_flag = true,
    disable_help_subcommand = true,
    max_term_width = 100
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The end of every long help.
pub(crate) const EXIT_STATUS: &str = "\
Exit status:
  0    done
  1    failed: nothing stands under the output's name that was not there before
  2    wrong usage
       diff: 0 equal, 1 different, 2 trouble of any kind
  3    check found leaks: space that is lost, and nothing else
  4    check found damage
  129, 130, 143
       stopped by SIGHUP, SIGINT (Ctrl-C), SIGTERM; nothing is left behind.
       A second Ctrl-C ends at once
  141  whoever read standard output went away

Environment:
  FORGER_CATALOG     the catalog of bundles [default: forger/catalog.json in XDG_CONFIG_HOME]
  FORGER_STORE       the folder of what was pulled [default: forger in XDG_DATA_HOME]
  FORGER_OCI_BEARER  a token for the registry that the command names
  GITHUB_TOKEN       a token for ghcr.io, where nobody logged in to it
  REGISTRY_AUTH_FILE, DOCKER_CONFIG
                     where credentials are kept, as podman and docker have it
  HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY
                     the proxies in between
  SSL_CERT_FILE      the authorities to trust, instead of the system's
  SOURCE_DATE_EPOCH  the image's time in seconds since 1970, where --time is not given
  NO_COLOR           no colours, when set and not empty
  TMPDIR             folder of unnamed temporary files [default: /tmp]";

/// Options that every command has.
#[derive(Args, Clone, Copy, Debug)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// Writes results and messages as text or json [default: text]
    ///
    /// With json the result on standard output is one object, or one a line where there are several
    /// (ls, stat, find, du, diff). On standard error progress, notes and errors are one object a
    /// line, with a "type": phase_start, progress, phase_done, note, info or error.
    #[arg(
        long,
        global = true,
        value_name = "FORMAT",
        default_value = "text",
        hide_default_value = true,
        hide_possible_values = true
    )]
    pub(crate) output: Format,

    /// Shows progress on standard error: auto, plain or none [default: auto]
    ///
    /// auto is a bar on a terminal and plain elsewhere; plain is one line per phase.
    #[arg(
        long,
        global = true,
        value_name = "STYLE",
        default_value = "auto",
        hide_default_value = true,
        hide_possible_values = true
    )]
    pub(crate) progress: ProgressStyle,

    /// Says nothing on standard error but errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,

    /// Says more: how the input was read and what was derived from it
    #[arg(short, long, global = true)]
    pub(crate) verbose: bool,

    /// Explains the command; -h is the short form
    #[arg(short, long, global = true, action = clap::ArgAction::Help)]
    help: Option<bool>,

    /// Prints forger's version
    #[arg(short = 'V', long, global = true, action = clap::ArgAction::Version)]
    version: Option<bool>,
}

/// How results and messages are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    Text,
    /// For programs
    Json,
}

/// How progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProgressStyle {
    /// A bar on a terminal, else lines
    Auto,
    /// One line per phase
    Plain,
    /// Nothing
    None,
}

/// Says in an error where the words of a guest's command belong, if it is about one of them.
pub(crate) fn advise(error: &mut clap::Error) {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => text.clone(),
        Some(ContextValue::StyledStr(text)) => text.to_string(),
        _ => String::new(),
    };
    let word = text(ContextKind::InvalidArg);
    let takes_command = text(ContextKind::Usage).contains("[-- COMMAND");
    if error.kind() == ErrorKind::UnknownArgument && takes_command && !word.starts_with('-') {
        let advice = format!("a command follows --, as in -- {word}");
        let advice = ContextValue::StyledStrs(vec![advice.into()]);
        error.insert(ContextKind::Suggested, advice);
    }
}

/// Tells whether a command line that could not be read asks for JSON, so that its error comes as
/// JSON.
pub(crate) fn asks_for_json(arguments: impl Iterator<Item = OsString>) -> bool {
    let mut previous = OsString::new();
    arguments
        .take_while(|argument| argument != "--")
        .any(|argument| {
            let json =
                argument == "--output=json" || (previous == "--output" && argument == "json");
            previous = argument;
            json
        })
}
