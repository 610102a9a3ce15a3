//! The command line as a whole: it is consistent, every word of it is explained, and contradictions
//! are refused.

use clap::{Arg, Command, CommandFactory, Parser};

use super::{Cli, asks_for_json};

/// Calls `check` with every command of the tree and its full name.
fn each_command(check: &mut impl FnMut(&str, &Command)) {
    fn visit(name: &str, command: &Command, check: &mut impl FnMut(&str, &Command)) {
        check(name, command);
        for sub in command.get_subcommands() {
            visit(&format!("{name} {}", sub.get_name()), sub, check);
        }
    }
    let mut root = Cli::command();
    root.build();
    visit("forger", &root, check);
}

fn help_of(arg: &Arg) -> String {
    let help = arg.get_long_help().or_else(|| arg.get_help());
    help.map(ToString::to_string).unwrap_or_default()
}

/// Returns whether a command line is understood.
fn understood(line: &str) -> bool {
    Cli::try_parse_from(line.split(' ')).is_ok()
}

#[test]
fn definition_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn every_argument_is_explained() {
    each_command(&mut |name, command| {
        for arg in command.get_arguments() {
            assert!(
                help_of(arg).len() > 10,
                "{name}: {} has no help",
                arg.get_id()
            );
        }
    });
}

#[test]
fn every_value_says_its_default() {
    let mut silent = Vec::new();
    each_command(&mut |name, command| {
        for arg in command
            .get_arguments()
            .filter(|arg| arg.get_action().takes_values())
        {
            let help = help_of(arg);
            let said = ["[default:", "(repeatable", "Another way", "not needed"]
                .iter()
                .any(|word| help.contains(word))
                || arg.is_positional()
                || arg.is_required_set()
                || !(arg.get_default_values().is_empty() || arg.is_hide_default_value_set());
            if !said {
                silent.push(format!("{name}: {} says no default: {help}", arg.get_id()));
            }
        }
    });
    assert!(silent.is_empty(), "{silent:#?}");
}

#[test]
fn every_command_has_a_summary_and_examples() {
    each_command(&mut |name, command| {
        assert!(command.get_about().is_some(), "{name} has no summary");
        let help = command.clone().render_long_help().to_string();
        let leaf = !command.has_subcommands() && command.get_name() != "help";
        assert!(
            !leaf || help.contains("Examples:"),
            "{name} has no examples"
        );
    });
}

#[test]
fn help_fits_a_hundred_columns() {
    each_command(&mut |name, command| {
        let help = command
            .clone()
            .term_width(100)
            .render_long_help()
            .to_string();
        for line in help.lines() {
            assert!(line.chars().count() <= 100, "{name}: {line}");
        }
    });
}

#[test]
fn json_is_recognised_before_the_line_is_understood() {
    let asks = |line: &str| asks_for_json(line.split(' ').map(Into::into));
    assert!(asks("forger mkfs --output json --nonsense"));
    assert!(asks("forger --output=json"));
    assert!(!asks("forger mkfs --output text"));
    assert!(!asks("forger mkfs -- --output json"));
}

#[test]
fn quiet_and_verbose_contradict_each_other() {
    assert!(understood("forger man -q"));
    assert!(!understood("forger man -q -v"));
}

#[test]
fn options_that_contradict_each_other_are_refused() {
    for options in [
        "--rootfs-tar a --rootfs-dir b",
        "--rootfs-tar a --from b",
        "--rootfs-dir a --from b",
        "--no-journal --journal-size 64M",
        "--inodes 1000 --bytes-per-inode 16K",
    ] {
        assert!(
            !understood(&format!("forger mkfs {options} out")),
            "{options}"
        );
        for option in options.split(" --") {
            let option = option.trim_start_matches("--");
            assert!(
                understood(&format!("forger mkfs --{option} out")),
                "{option}"
            );
        }
    }
}

#[test]
fn values_that_make_no_sense_are_refused() {
    for option in [
        "--type xfs",
        "--size big",
        "--free 96%",
        "--reserved 51",
        "--journal-size 1M",
        "--bytes-per-inode 1",
        "--time yesterday",
        "--uuid 1",
        "--owner daemon",
        "--root-owner root",
        "--ignore colours",
        "--output xml",
        "--progress loud",
    ] {
        assert!(
            !understood(&format!("forger mkfs a b {option}")),
            "{option}"
        );
    }
}

#[test]
fn a_bundle_without_what_it_needs_hears_all_of_it_at_once() {
    let error = Cli::try_parse_from(["forger", "make-bundle"])
        .unwrap_err()
        .to_string();
    for missing in ["--name", "--arch", "--out"] {
        assert!(error.contains(missing), "{error}");
    }
    assert!(!error.contains("--distro"), "{error}");
    assert!(understood("forger make-bundle --name a --arch b --out ."));
    assert!(understood("forger make-bundle --name a --arch b --dry-run"));
    assert!(!understood(
        "forger make-bundle --name a --arch b --out . --level 23"
    ));
    assert!(!understood(
        "forger make-bundle --name a --arch b --out . --threads 0"
    ));
}
