//! `cargo xtask testdata`: makes `testdata/` anew.

use std::fs;

use forger_tests::{sample, workspace};

use crate::Outcome;

/// Level of the stored compression: small is worth more than fast here.
const LEVEL: i32 = 19;

pub(crate) fn run() -> Outcome {
    let path = workspace().join("testdata/sample-rootfs.tar.zst");
    let packed = zstd::encode_all(&sample::rootfs()[..], LEVEL)?;
    fs::write(&path, &packed)?;
    println!("{}: {} bytes", path.display(), packed.len());
    Ok(())
}
