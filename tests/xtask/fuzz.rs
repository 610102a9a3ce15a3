//! `cargo xtask fuzz`: every fuzz target built on stable Rust and run for some seconds.
//!
//! `cargo fuzz` runs the same targets; this needs no nightly compiler and nothing installed. The
//! flags are those of cargo-fuzz 0.13 with `--sanitizer none`: forger has no unsafe code, and
//! what a sanitizer would find in safe Rust, the checks compiled in find as well.

use std::fs;
use std::path::{Path, PathBuf};

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

/// How many results of the target `edit` are judged by e2fsck.
const JUDGED: usize = 400;

/// Runs every target, or one.
pub(crate) fn run(seconds: u64, only: Option<&str>) -> Outcome {
    let fuzz = workspace().join("fuzz");
    let mut names = targets(&fuzz)?;
    if let Some(only) = only {
        names.retain(|name| name == only);
        if names.is_empty() {
            return Err(format!("there is no fuzz target {only}").into());
        }
    }
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
        let target = Run::new(&program)
            .arg(format!("-max_total_time={seconds}"))
            .arg(format!("-max_len={MAX_INPUT}"))
            .arg(format!("-rss_limit_mb={MEMORY}"))
            .arg(format!("-timeout={HANG}"))
            .arg(format!("-artifact_prefix={}/", artifacts.display()))
            .args(["-print_final_stats=1", "-verbosity=0"])
            .arg(&corpus)
            .limit(seconds + 120);
        step::run(&format!("fuzz {name}, {seconds} s"), target)?;
        if name == "edit" {
            judge_edits(&program, &corpus)?;
        }
    }
    Ok(())
}

/// Runs the target once more over some of the inputs that it found, keeps the images, and lets e2fsck
/// judge them.
fn judge_edits(program: &Path, corpus: &Path) -> Outcome {
    let mut inputs: Vec<PathBuf> = Vec::new();
    for entry in fs::read_dir(corpus)? {
        inputs.push(entry?.path());
    }
    // Names are digests of the inputs: the first are as good as any.
    inputs.sort();
    inputs.truncate(JUDGED);
    let folder = tempfile::tempdir()?;
    let run = Run::new(program).args(&inputs).limit(300);
    let run = run.env("FORGER_FUZZ_KEEP", folder.path()).try_output()?;
    if !run.status.success() {
        return Err(run.to_string().into());
    }
    let mut clean = 0;
    for entry in fs::read_dir(folder.path())? {
        let image = entry?.path();
        let judged = Run::new("e2fsck").arg("-fn").arg(&image).try_output()?;
        if !judged.status.success() {
            return Err(judged.to_string().into());
        }
        clean += 1;
    }
    eprintln!(
        "e2fsck -fn: {clean} images of {} inputs are clean",
        inputs.len()
    );
    if clean == 0 && !inputs.is_empty() {
        return Err("the target kept no image".into());
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
