//! How a bundle is made.

use forger_fs::ext4;

use super::error::Error;
use super::manifest::{self, RunConfig};

/// How a bundle is made. Equal input and options give equal bytes, with any number of threads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// How the filesystem is made.
    pub ext4: ext4::Options,
    /// Name of the image: at most 128 of `a-z 0-9 . _ -`, the first a letter or digit.
    pub name: String,
    /// Distribution, of the same form; may be empty.
    pub distro: String,
    /// Machine architecture, of the same form.
    pub arch: String,
    /// Name of the kernel that boots the image: one line.
    pub kernel_ref: Option<String>,
    /// What the image is for: at most 64 KiB.
    pub description: Option<String>,
    /// How the container image that it is made from is run, to be said in the manifest.
    pub config: Option<RunConfig>,
    /// Level of compression, 1..=22. Levels from 8 on take windows of 8 MiB in place of 4 MiB, those
    /// from 16 on 16 MiB, and so more memory.
    pub level: i32,
    /// Number of threads that compress, at least 1.
    pub threads: usize,
}

impl Options {
    /// Makes options for a bundle of this name, distribution and architecture: level 3, one
    /// compressing thread, the defaults of ext4.
    #[must_use]
    pub fn new(
        name: impl Into<String>,
        distro: impl Into<String>,
        arch: impl Into<String>,
    ) -> Self {
        Self {
            ext4: ext4::Options::default(),
            name: name.into(),
            distro: distro.into(),
            arch: arch.into(),
            kernel_ref: None,
            description: None,
            config: None,
            level: 3,
            threads: 1,
        }
    }

    /// Checks the fields of the manifest and the level; the filesystem's options are checked when
    /// it is made.
    ///
    /// # Errors
    /// [`Error::Field`], [`Error::Level`].
    pub fn validate(&self) -> Result<(), Error> {
        manifest::check_name("name", &self.name)?;
        if !self.distro.is_empty() {
            manifest::check_name("distro", &self.distro)?;
        }
        manifest::check_name("arch", &self.arch)?;
        if let Some(kernel_ref) = &self.kernel_ref {
            manifest::check_line("kernel_ref", kernel_ref)?;
        }
        if let Some(description) = &self.description {
            manifest::check_text("description", description)?;
        }
        match self.level {
            1..=22 => Ok(()),
            level => Err(Error::Level { level }),
        }
    }
}
