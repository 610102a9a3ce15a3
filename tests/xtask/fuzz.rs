//! `cargo xtask fuzz`: every fuzz target built on stable Rust and run for some seconds.
//!
//! `cargo fuzz` runs the same targets; this needs no nightly compiler and nothing installed. The
//! flags are those of cargo-fuzz 0.13 with `--sanitizer none`: forger has no unsafe code, and
//! what a sanitizer would find in safe Rust, the checks compiled in find as well.

use std::fs;
use std::path::Path;

use forger_tests::process::Run;
use forger_tests::workspace;

use crate::Outcome;
use crate::step::{self, cargo};

const FLAGS: &str = "--cfg fuzzing -Cpasses=sancov-module -Ccodegen-units=1 \
    -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares \
    -Cllvm-args=-simplifycfg-branch-fold-threshold=0";

/// Bytes an input may have: more does not reach more states, only later.
const MAX_INPUT: u64 = 64 << 10;

/// Memory a target may take, in MiB, and seconds it may spend on one input.
const MEMORY: u64 = 1024;
const HANG: u64 = 20;

pub(crate) fn run(seconds: u64) -> Outcome {
    let fuzz = workspace().join("fuzz");
    let names = targets(&fuzz)?;
    let triple = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    // With a target named, build scripts and macros are built without the flags.
    let build = cargo(&["build", "--release", "--locked", "--target", &triple])
        .arg("--manifest-path")
        .arg(fuzz.join("Cargo.toml"))
        .env("RUSTFLAGS", FLAGS)
        .env("CARGO_TARGET_DIR", fuzz.join("target"));
    step::run("fuzz build", build)?;
    for name in names {
        let corpus = fuzz.join("corpus").join(&name);
        let artifacts = fuzz.join("artifacts").join(&name);
        fs::create_dir_all(&corpus)?;
        fs::create_dir_all(&artifacts)?;
        let program = fuzz
            .join("target")
            .join(&triple)
            .join("release")
            .join(&name);
        let target = Run::new(program)
            .arg(format!("-max_total_time={seconds}"))
            .arg(format!("-max_len={MAX_INPUT}"))
            .arg(format!("-rss_limit_mb={MEMORY}"))
            .arg(format!("-timeout={HANG}"))
            .arg(format!("-artifact_prefix={}/", artifacts.display()))
            .args(["-print_final_stats=1", "-verbosity=0"])
            .arg(corpus)
            .limit(seconds + 120);
        step::run(&format!("fuzz {name}, {seconds} s"), target)?;
    }
    Ok(())
}

/// Returns the names of the fuzz targets, sorted.
fn targets(fuzz: &Path) -> Result<Vec<String>, std::io::Error> {
    let mut names = Vec::new();
    for entry in fs::read_dir(fuzz.join("fuzz_targets"))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "rs") {
            names.extend(
                path.file_stem()
                    .map(|name| name.to_string_lossy().into_owned()),
            );
        }
    }
    names.sort();
    Ok(names)
}
