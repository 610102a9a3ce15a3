//! `cargo xtask full`: everything that takes long.

use crate::step::{self, cargo};
use crate::{Outcome, bench, fuzz, iotests, suite, test_kvm};

/// Generated archives to judge, and seconds for each fuzz target.
const CASES: &str = "1000";
const FUZZ_SECONDS: u64 = 600;

pub(crate) fn run() -> Outcome {
    suite::run(&[])?;
    suite::run_ignored()?;
    test_kvm::run(&[])?;
    let property = [
        "test",
        "--package",
        "forger-tests",
        "--test",
        "integration",
        "property",
    ];
    step::run(
        "property",
        cargo(&property).env("PROPTEST_CASES", CASES).limit(3600),
    )?;
    iotests::run(&[])?;
    fuzz::run(FUZZ_SECONDS, None)?;
    bench::run(&[])
}
