//! Opens the filesystems that commands read.

use std::ffi::OsStr;

use forger::address::Address;
use forger_fs::ext4::{Image, Inode, ReadError};

use crate::args::read::ReadArgs;
use crate::exit::Failure;
use crate::fat_view;
use crate::listing;
use crate::medium::Medium;

/// What `IMAGE[#PART][:PATH]` means, for the help of every command that takes it.
pub(crate) const ADDRESS_HELP: &str = "A disk (raw, qcow2, vhd, vhdx, vmdk) or an ext2, ext3 or ext4 image, a \
                                       partition of it (#2, #esp, #root), and a path inside: \
                                       rootfs.ext4:/etc/passwd, vm.qcow2#root:/etc";

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
    /// A file that cannot be read, or holds no filesystem.
    pub(crate) fn open(typed: &OsStr, args: &ReadArgs) -> Result<Self, Failure> {
        let address = Address::parse(typed, |path| path.exists());
        let medium = Medium::open(&address, args)?;
        let image = readable(&address, &medium)?;
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
        let image = self.address.disk();
        Failure::failed(format!("cannot read {path} in {image}")).because(error)
    }
}

/// Opens the filesystem of a disk or partition, whatever it is, for looking into it.
///
/// # Errors
/// When it holds none.
pub(crate) fn readable(address: &Address, medium: &Medium) -> Result<Image, Failure> {
    let what = || format!("cannot read {}", address.disk());
    match fat_view::volume(&medium.reader) {
        Ok(Some(volume)) if medium.partitions().is_none() => fat_view::seen(&volume, &what()),
        Err(error) if medium.partitions().is_none() => Err(Failure::failed(what()).because(error)),
        _ => filesystem(address, medium),
    }
}

/// Opens the ext2, ext3 or ext4 of a disk or partition.
///
/// # Errors
/// When it holds none.
pub(crate) fn filesystem(address: &Address, medium: &Medium) -> Result<Image, Failure> {
    let what = || format!("cannot read {}", address.disk());
    Image::open(medium.reader.clone()).map_err(|error| match (&error, medium.partitions()) {
        (ReadError::NotExt { .. }, Some(partitions)) => Failure::failed(what())
            .because("it is a disk with partitions")
            .help(format!(
                "name one, as in {}#root: there are {partitions}",
                address.image.display()
            )),
        _ => Failure::failed(what()).because(error),
    })
}
