//! Builds what runs in and beside guests, so that forger carries it: the static init, and what
//! User-Mode Linux needs on processors with large register states.

mod guest;
mod preload;

use std::env;
use std::error::Error;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> ExitCode {
    match build() {
        Ok(()) => ExitCode::SUCCESS,
        // In lines, as it is meant to be read.
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn build() -> Result<(), Box<dyn Error>> {
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);
    println!("cargo::rerun-if-env-changed=DOCS_RS");
    let (guest, preload) = (out.join("forger-guest"), out.join("preload.so"));
    // Documentation has no guests, and its builder has no network.
    if env::var_os("DOCS_RS").is_some() {
        fs::write(guest, [])?;
        fs::write(preload, [])?;
        return Ok(());
    }
    guest::build(&out, &guest)?;
    preload::build(&preload)
}
