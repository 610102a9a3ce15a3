//! `cargo xtask iotests`: QEMU's own tests of qcow2, with forger in the place of `qemu-img create` and
//! `qemu-img convert`.
//!
//! They come from the source package of the qemu-img that is installed, so that what they expect is what it
//! prints. The source stays in the build folder; nothing of it is part of this repository.

mod formatting;
mod shim;
mod source;

use std::fs;
use std::path::Path;

use forger_tests::process::Run;
use forger_tests::tools;

use crate::Outcome;
use crate::step::{self, cargo};
use crate::suite::target_dir;

pub(crate) use self::shim::run as shim;

/// The tests of a writer.
const TESTS: [&str; 24] = [
    "013", "014", "017", "018", "019", "022", "023", "031", "036", "042", "043", "049", "054",
    "074", "079", "104", "110", "111", "115", "150", "178", "190", "271", "287",
];

/// So many of them pass; 178 measures encrypted images, which takes a processor's clock that not
/// every machine has.
const MUST_PASS: usize = 22;

/// How long all of them may take, in seconds.
const LIMIT: u64 = 3600;

/// Runs the tests, or those that are named.
pub(crate) fn run(only: &[String]) -> Outcome {
    for program in [
        "qemu-img",
        "qemu-io",
        "apt-get",
        "dpkg-query",
        "python3",
        "xz",
    ] {
        if tools::find(program).is_none() {
            if tools::required() {
                return Err(format!("REQUIRE_TOOLS=1, but there is no {program}").into());
            }
            eprintln!("=== iotests: skipped, there is no {program}");
            return Ok(());
        }
    }
    step::run(
        "build",
        cargo(&[
            "build",
            "--package",
            "forger",
            "--bin",
            "forger",
            "--locked",
        ]),
    )?;
    let folder = source::fetch()?;
    let scratch = tempfile::tempdir()?;
    let program = scratch.path().join("qemu-img");
    shim::install(&program)?;
    let log = scratch.path().join("log");
    let tests: Vec<&str> = match only {
        [] => TESTS.to_vec(),
        only => only.iter().map(String::as_str).collect(),
    };
    eprintln!("=== iotests {}", tests.join(" "));
    let images = scratch.path().join("images");
    let sockets = scratch.path().join("sockets");
    fs::create_dir_all(&images)?;
    fs::create_dir_all(&sockets)?;
    let output = Run::new("python3")
        .args(["./check", "-qcow2", "-j2"])
        .args(&tests)
        .dir(&folder)
        .env("QEMU_PROG", "/bin/true")
        .env("QEMU_IMG_PROG", &program)
        .env("QEMU_IO_PROG", found("qemu-io"))
        .env("QEMU_NBD_PROG", found("qemu-nbd"))
        .env("QSD_PROG", found("qemu-storage-daemon"))
        .env("TEST_DIR", &images)
        .env("SOCK_DIR", &sockets)
        .env(
            shim::FORGER,
            std::path::absolute(target_dir().join("debug/forger"))?,
        )
        .env(shim::LOG, &log)
        .limit(LIMIT)
        .try_output()?;
    println!("{}", output.text());
    report(&output.text(), &log, tests.len(), only.is_empty())
}

fn found(program: &str) -> std::path::PathBuf {
    tools::find(program).unwrap_or_else(|| program.into())
}

/// Sums up what passed and who made the images.
fn report(text: &str, log: &Path, all: usize, whole: bool) -> Outcome {
    let with = |verdict: &str| -> Vec<&str> {
        let rows = text.lines().filter_map(|line| {
            let mut words = line.split_whitespace();
            let test = words.next()?;
            (words.next() == Some(verdict)).then_some(test)
        });
        rows.collect()
    };
    let (passed, failed) = (with("pass"), with("fail"));
    let log = fs::read_to_string(log).unwrap_or_default();
    let count = |who: &str| log.lines().filter(|line| line.starts_with(who)).count();
    let (ours, refused, theirs) = (count("forger "), count("refused "), count("qemu-img "));
    println!(
        "iotests: {} of {all} pass; failed: {failed:?}; of the images {ours} were made by forger, {refused} \
         refused by it as by qemu-img, {theirs} made by qemu-img",
        passed.len()
    );
    for line in log.lines().filter(|line| line.starts_with("qemu-img ")) {
        println!("    {line}");
    }
    if whole && passed.len() < MUST_PASS {
        return Err(format!("{} tests pass, fewer than {MUST_PASS}", passed.len()).into());
    }
    if ours == 0 {
        return Err("forger made no image".into());
    }
    Ok(())
}

/// Returns where the source is kept.
fn kept() -> std::path::PathBuf {
    target_dir().join("iotests")
}
