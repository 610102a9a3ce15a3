//! Opens the images that commands read.

use std::ffi::OsStr;
use std::sync::Arc;

use forger::address::Address;
use forger_block::FileReader;
use forger_fs::ext4::{Image, Inode};

use crate::exit::Failure;
use crate::listing;
use crate::remedy;

/// What `IMAGE[:PATH]` means, for the help of every command that takes it.
pub(crate) const ADDRESS_HELP: &str =
    "An ext2, ext3 or ext4 image, and a path inside it: rootfs.ext4:/etc/passwd";

/// An open image, and the path inside it that was asked for.
pub(crate) struct Opened {
    /// The filesystem.
    pub(crate) image: Image,
    /// What was typed.
    pub(crate) address: Address,
}

impl Opened {
    /// Opens what was typed, for reading only.
    ///
    /// # Errors
    /// A file that cannot be read, or is no filesystem.
    pub(crate) fn open(typed: &OsStr) -> Result<Self, Failure> {
        let address = Address::parse(typed, |path| path.exists());
        let what = || format!("cannot read {}", address.image.display());
        if address.part.is_some() {
            return Err(Failure::failed(what())
                .because("images with partitions cannot be read yet")
                .help("cut the partition out of the disk first"));
        }
        let file =
            FileReader::open(&address.image).map_err(|error| remedy::block(what(), error))?;
        let image =
            Image::open(Arc::new(file)).map_err(|error| Failure::failed(what()).because(error))?;
        Ok(Self { image, address })
    }

    /// Finds the path that was asked for.
    ///
    /// # Errors
    /// A path that leads nowhere.
    pub(crate) fn lookup(&self, follow: bool) -> Result<Inode, Failure> {
        let path = self.address.path_or_root();
        self.image
            .lookup(path, follow)
            .map_err(|error| self.failure(error))
    }

    /// Explains why something inside could not be read.
    pub(crate) fn failure(
        &self,
        error: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Failure {
        self.failure_at(self.address.path_or_root(), error)
    }

    /// Explains why a path could not be read.
    pub(crate) fn failure_at(
        &self,
        path: &[u8],
        error: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Failure {
        let path = match path {
            b"" => "/".to_owned(),
            path => listing::shown(path),
        };
        let image = self.address.image.display();
        Failure::failed(format!("cannot read {path} in {image}")).because(error)
    }
}
