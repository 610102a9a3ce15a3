//! Images mounted by the kernel, for tests that run as root.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::process::Run;

/// A mounted filesystem; dropping it unmounts it.
#[derive(Debug)]
pub struct Mount {
    point: TempDir,
}

impl Mount {
    /// Mounts an ext4 image for reading only.
    ///
    /// # Panics
    /// When the kernel refuses it.
    #[must_use]
    pub fn read_only(image: &Path) -> Self {
        Self::new(image, "loop,ro")
    }

    /// Mounts a partition of a raw disk, an ext4 that starts at `start` and has `len` bytes, for reading only.
    ///
    /// # Panics
    /// When the kernel refuses it.
    #[must_use]
    pub fn part_read_only(disk: &Path, start: u64, len: u64) -> Self {
        Self::new(disk, &format!("loop,ro,offset={start},sizelimit={len}"))
    }

    /// Mounts an ext4 image for reading and writing.
    ///
    /// # Panics
    /// When the kernel refuses it.
    #[must_use]
    pub fn read_write(image: &Path) -> Self {
        Self::new(image, "loop")
    }

    /// Mounts an ext4 image for reading and writing, if the kernel can.
    ///
    /// # Errors
    /// What mount says.
    ///
    /// # Panics
    /// When there is no temporary folder.
    pub fn try_read_write(image: &Path) -> Result<Self, String> {
        Self::try_new(image, "loop")
    }

    fn new(image: &Path, options: &str) -> Self {
        Self::try_new(image, options).unwrap_or_else(|error| panic!("{error}"))
    }

    fn try_new(image: &Path, options: &str) -> Result<Self, String> {
        let point = tempfile::tempdir().expect("a temporary folder");
        let mounted = Run::new("mount")
            .args(["-t", "ext4", "-o", options])
            .arg(image)
            .arg(point.path())
            .output();
        match mounted.status.success() {
            true => Ok(Self { point }),
            false => Err(mounted.to_string()),
        }
    }

    /// Mounts a RAM disk of `bytes`.
    ///
    /// # Panics
    /// When the kernel refuses it.
    #[must_use]
    pub fn ram(bytes: u64) -> Self {
        let point = tempfile::tempdir().expect("a temporary folder");
        let options = format!("size={bytes},mode=0755");
        Run::new("mount")
            .args(["-t", "tmpfs", "-o", &options, "tmpfs"])
            .arg(point.path())
            .ok();
        Self { point }
    }

    /// Makes an empty ext4 with room for `bytes` of content and `files` files, and mounts it.
    ///
    /// # Panics
    /// When mkfs.ext4 or the kernel refuses.
    #[must_use]
    pub fn scratch(image: &Path, bytes: u64, files: u64) -> Self {
        let size = bytes + bytes / 4 + files * 1024 + (64 << 20);
        let inodes = (files + files / 4 + 4096).to_string();
        let file = std::fs::File::create(image).expect("the scratch image can be made");
        file.set_len(size.next_multiple_of(1 << 20))
            .expect("the scratch image can be sized");
        Run::new("mkfs.ext4")
            .args(["-q", "-F", "-b", "4096", "-m", "0", "-N", &inodes])
            .arg(image)
            .ok();
        Self::read_write(image)
    }

    /// Returns the folder the filesystem is mounted on.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.point.path()
    }

    /// Returns a path below the folder.
    #[must_use]
    pub fn join(&self, path: impl AsRef<Path>) -> PathBuf {
        self.point.path().join(path)
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let unmount = |lazy: &[&str]| {
            Run::new("umount")
                .args(lazy)
                .arg(self.point.path())
                .try_output()
                .ok()
        };
        let done = unmount(&[]).is_some_and(|output| output.status.success());
        if !done {
            let _ = unmount(&["-l"]);
        }
    }
}
