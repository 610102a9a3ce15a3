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
        Self::with(tar, bytes, files, &[])
    }

    /// Extracts an archive in which files may replace whole folders, and symlinks point anywhere.
    ///
    /// # Panics
    /// As [`of`](Self::of).
    #[must_use]
    pub fn replacing(tar: &Path, bytes: u64, files: u64) -> Self {
        // Without --absolute-names GNU tar makes symlinks that lead out of the folder at the end.
        Self::with(
            tar,
            bytes,
            files,
            &["--recursive-unlink", "--absolute-names"],
        )
    }

    fn with(tar: &Path, bytes: u64, files: u64, args: &[&str]) -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let mount = Mount::scratch(&dir.path().join("scratch.ext4"), bytes, files);
        Run::new("tar")
            .args([
                "--extract",
                "--preserve-permissions",
                "--same-owner",
                "--numeric-owner",
            ])
            // Folders get their times when nothing more will come into them.
            .args([
                "--delay-directory-restore",
                "--xattrs",
                "--xattrs-include=*",
                "--acls",
            ])
            .args(args)
            .arg("--file")
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
