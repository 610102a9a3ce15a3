//! The guest's init, built statically for the same target.

use std::env;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// What the linker says when there is no static C library.
const NO_LIBC: [&str; 3] = [
    "cannot find -lc",
    "cannot find -lgcc_eh",
    "unable to find library -lc",
];

/// Builds `forger-guest` in a folder of its own below `out` and copies it to `to`.
pub(crate) fn build(out: &Path, to: &Path) -> Result<(), Box<dyn Error>> {
    let vm = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").ok_or("cargo sets it")?);
    for path in ["guest/src", "guest/Cargo.toml", "wire/src", "build"] {
        println!("cargo::rerun-if-changed={}", vm.join(path).display());
    }
    let target = env::var("TARGET")?;
    let target_dir = out.join("guest-target");
    // What was fetched for the parent suffices as a rule, and the parent may be offline.
    let first = cargo(&vm, &target, &target_dir).arg("--offline").output()?;
    let built = match first.status.success() || env::var_os("CARGO_NET_OFFLINE").is_some() {
        true => first,
        false if wants_network(&first) => cargo(&vm, &target, &target_dir).output()?,
        false => first,
    };
    if !built.status.success() {
        return Err(explained(&built).into());
    }
    let binary = target_dir.join(&target).join("guest").join("forger-guest");
    fs::copy(&binary, to).map_err(|error| format!("{}: {error}", binary.display()))?;
    Ok(())
}

fn cargo(vm: &Path, target: &str, target_dir: &Path) -> Command {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .current_dir(vm)
        .args(["build", "--quiet", "--locked", "--profile", "guest"])
        .args(["--package", "forger-guest", "--target", target])
        .arg("--target-dir")
        .arg(target_dir)
        // The guest has its own flags, whatever forger is built or checked with.
        .env("CARGO_ENCODED_RUSTFLAGS", "-Ctarget-feature=+crt-static")
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_BUILD_RUSTFLAGS")
        .env_remove("RUSTC_WORKSPACE_WRAPPER")
        .env_remove("CARGO_BUILD_TARGET")
        .env_remove("CARGO_TARGET_DIR");
    command
}

fn wants_network(output: &Output) -> bool {
    String::from_utf8_lossy(&output.stderr).contains("--offline")
}

/// Says what went wrong, and what helps where that is known.
fn explained(output: &Output) -> String {
    let errors = String::from_utf8_lossy(&output.stderr);
    let help = match NO_LIBC.iter().any(|text| errors.contains(text)) {
        true => {
            "\nhelp: the guest's program is linked statically, for which the C library's static files \
             are missing: install libc6-dev (Debian, Ubuntu), glibc-static (Fedora) or musl-dev (Alpine)"
        }
        false => "",
    };
    format!("cannot build forger-guest\n{errors}{help}")
}
