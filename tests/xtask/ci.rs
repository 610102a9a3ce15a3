//! `cargo xtask ci`: everything a change must pass, the tests last.

use forger_tests::tools;

use crate::step::{self, cargo};
use crate::{Outcome, fuzz, suite, test_kvm};

/// How long each fuzz target runs, in seconds: enough to see that it works and finds its seeds good.
const FUZZ_SECONDS: u64 = 5;

pub(crate) fn run() -> Outcome {
    suite::install_tools()?;
    step::run("fmt", cargo(&["fmt", "--all", "--check"]))?;
    let clippy = [
        "clippy",
        "--workspace",
        "--all-targets",
        "--locked",
        "--",
        "-D",
        "warnings",
    ];
    step::run("clippy", cargo(&clippy))?;
    let doc = ["doc", "--workspace", "--no-deps", "--locked"];
    step::run("doc", cargo(&doc).env("RUSTDOCFLAGS", "-D warnings"))?;
    if tools::find("cargo-deny").is_some() {
        step::run("deny", cargo(&["deny", "--workspace", "check"]))?;
    } else {
        // The tidy tests assert licences and sources of all dependencies without it.
        eprintln!("=== deny: skipped, cargo-deny is not installed");
    }
    fuzz::run(FUZZ_SECONDS, None)?;
    suite::run(&[])?;
    test_kvm::run(&[])
}
