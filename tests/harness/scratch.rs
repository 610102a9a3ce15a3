//! A test's own folder, and forger run in it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::forger::forger;
use crate::process::{Output, Run};

/// A temporary folder that everybody may enter; it goes when this is dropped.
#[derive(Debug)]
pub struct Scratch {
    dir: TempDir,
}

impl Default for Scratch {
    fn default() -> Self {
        Self::new()
    }
}

impl Scratch {
    /// Makes a folder.
    ///
    /// # Panics
    /// When that fails.
    #[must_use]
    pub fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let open = fs::Permissions::from_mode(0o755);
        fs::set_permissions(dir.path(), open).expect("the folder is ours");
        Self { dir }
    }

    /// Returns the folder.
    #[must_use]
    pub fn root(&self) -> &Path {
        self.dir.path()
    }

    /// Returns a path in the folder.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes a file into the folder and returns its path.
    ///
    /// # Panics
    /// When that fails.
    #[must_use]
    pub fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, bytes).expect("the file can be written");
        path
    }

    /// Returns the names in a folder below, sorted.
    ///
    /// # Panics
    /// When it cannot be read.
    #[must_use]
    pub fn names(&self, below: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(below)).expect("the folder can be read");
        let name = |entry: std::io::Result<fs::DirEntry>| {
            entry
                .expect("the folder can be read")
                .file_name()
                .to_string_lossy()
                .into_owned()
        };
        let mut names: Vec<String> = entries.map(name).collect();
        names.sort();
        names
    }

    /// Runs `forger mkfs SOURCE OUT` with further arguments; it must succeed.
    ///
    /// # Panics
    /// When it does not.
    pub fn mkfs(&self, source: &Path, name: &str, args: &[&str]) -> PathBuf {
        let image = self.path(name);
        forger().arg("mkfs").arg(source).arg(&image).args(args).ok();
        image
    }

    /// Runs `forger mkfs - OUT` with `archive` coming through a pipe.
    #[must_use]
    pub fn mkfs_piped(&self, archive: &[u8], name: &str, args: &[&str]) -> Output {
        let run = forger().args(["mkfs", "-"]).arg(self.path(name)).args(args);
        run.stdin(archive).output()
    }

    /// Copies a file of the folder, holes kept, and returns the copy's path.
    ///
    /// # Panics
    /// When that fails.
    #[must_use]
    pub fn copy(&self, of: &Path, name: &str) -> PathBuf {
        let copy = self.path(name);
        Run::new("cp")
            .args(["--sparse=always", "--"])
            .arg(of)
            .arg(&copy)
            .ok();
        copy
    }
}
