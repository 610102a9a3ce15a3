//! GNU tar as the judge of what an archive means.

use std::path::Path;

use tempfile::TempDir;

use crate::mount::Mount;
use crate::process::Run;
use crate::walk::Listing;

/// An archive as GNU tar extracts it as root, on an ext4 of its own.
#[derive(Debug)]
pub struct Extracted {
    // Unmounted before the folder with the image goes.
    mount: Mount,
    _dir: TempDir,
}

impl Extracted {
    /// Extracts the (plain or compressed) archive `tar`, whose contents have up to `bytes` in up
    /// to `files` files.
    ///
    /// # Panics
    /// When anything of that fails.
    #[must_use]
    pub fn of(tar: &Path, bytes: u64, files: u64) -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let mount = Mount::scratch(&dir.path().join("scratch.ext4"), bytes, files);
        Run::new("tar")
            .args([
                "--extract",
                "--preserve-permissions",
                "--same-owner",
                "--numeric-owner",
            ])
            .args(["--xattrs", "--xattrs-include=*", "--acls", "--file"])
            .arg(tar)
            .arg("--directory")
            .arg(mount.path())
            .limit(600)
            .ok();
        Self { mount, _dir: dir }
    }

    /// Returns what came out.
    #[must_use]
    pub fn listing(&self, implied: &[&str]) -> Listing {
        Listing::of(self.mount.path(), implied)
    }

    /// Returns the folder it is in.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.mount.path()
    }
}
