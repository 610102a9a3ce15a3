//! The library that User-Mode Linux loads first.

use std::env;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Builds the library for x86-64, the only machine with User-Mode Linux; elsewhere it is empty.
pub(crate) fn build(to: &Path) -> Result<(), Box<dyn Error>> {
    let vm = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").ok_or("cargo sets it")?);
    let source = vm.join("preload/uml.rs");
    println!("cargo::rerun-if-changed={}", source.display());
    let target = env::var("TARGET")?;
    if !target.starts_with("x86_64-unknown-linux-gnu") {
        fs::write(to, [])?;
        return Ok(());
    }
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let built = Command::new(rustc)
        .args(["--edition", "2024", "--crate-type", "cdylib"])
        .args(["--crate-name", "forger_preload", "--target", &target])
        .args(["-Copt-level=2", "-Cpanic=abort", "-Cstrip=symbols"])
        .arg("-o")
        .arg(to)
        .arg(&source)
        .output()?;
    match built.status.success() {
        true => Ok(()),
        false => {
            let errors = String::from_utf8_lossy(&built.stderr);
            Err(format!("cannot build {}\n{errors}", source.display()).into())
        }
    }
}
