//! What the integration tests and xtask share: archives made byte by byte, children with time-outs,
//! independent judges, and the comparator of two file trees.
//!
//! Nothing here uses forger's own crates: what judges the project must not share its mistakes.
#![forbid(unsafe_code)]

pub mod archive;
pub mod cache;
pub mod disks;
pub mod e2fsprogs;
pub mod forger;
pub mod generated;
pub mod gnutar;
pub mod images;
pub mod initramfs;
pub mod judge;
pub mod machines;
pub mod mount;
pub mod packages;
pub mod process;
pub mod registry;
pub mod rootfs;
pub mod sample;
pub mod scratch;
pub mod tools;
pub mod walk;

use std::path::{Path, PathBuf};

/// Returns the folder of the workspace.
///
/// # Panics
/// Never in a checkout: the package lies one folder below the workspace's.
#[must_use]
pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the package lies below the workspace")
        .to_path_buf()
}
