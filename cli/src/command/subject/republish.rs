//! A changed disk as a new image file, in the format of the old one and under its name.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use forger::address::Address;
use forger_block::{BlockRead, Overlay};
use forger_disk::{Container, android_sparse, qcow2, vhdx};
use forger_fs::ext4::LockedFile;
use rustix::fs::{Mode, statvfs};
use rustix::process::umask;

use super::super::convert::Target;
use crate::args::Global;
use crate::args::run::WriteArgs;
use crate::args::size::human;
use crate::config;
use crate::exit::Failure;
use crate::medium::Medium;
use crate::output::Output;
use crate::progress::Console;

/// What is left to do when a disk has been changed that is not the file itself.
pub(crate) struct Republish {
    address: Address,
    medium: Medium,
    /// Nobody else changes the image meanwhile.
    _lock: LockedFile,
    over: Arc<Overlay>,
}

impl Republish {
    pub(super) fn new(
        address: Address,
        medium: Medium,
        lock: LockedFile,
        over: Arc<Overlay>,
    ) -> Self {
        Self {
            address,
            medium,
            _lock: lock,
            over,
        }
    }

    /// Checks that there is room for the new image beside the old one, and that it can take its name.
    ///
    /// # Errors
    /// As it says.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        let metadata = self.metadata()?;
        let names = metadata.nlink();
        if names > 1 {
            return Err(self.cannot(format!(
                "the image has {names} names (hard links), and a copy could take one of them only"
            )));
        }
        let needed = (metadata.blocks().saturating_mul(512)).saturating_add(self.over.used());
        let folder = match self.address.image.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        };
        let room = statvfs(folder).map_err(|error| self.cannot(error))?;
        let free = room.f_bavail.saturating_mul(room.f_frsize);
        if free < needed {
            let (needed, free) = (human(needed), human(free));
            let what =
                format!("a changed copy needs about {needed}, {free} are free in its folder");
            return Err(self.cannot(what).help("make room in the image's folder"));
        }
        self.target().map(drop)
    }

    /// Writes the new image, which takes the old one's name, and its mode and owner.
    ///
    /// # Errors
    /// Whatever fails; the old image is as it was then.
    pub(crate) fn publish(self, global: Global) -> Result<(), Failure> {
        self.check()?;
        let (target, metadata) = (self.target()?, self.metadata()?);
        let write = WriteArgs {
            force: true,
            no_sync: false,
        };
        let output = Output::check(self.address.image.as_os_str(), write)?;
        // A new file gets the old one's permissions from the beginning.
        umask(Mode::from_raw_mode(!metadata.mode() & 0o777));
        let disk: Arc<dyn BlockRead> = Arc::<Overlay>::clone(&self.over);
        let mut console = Console::start(global)?;
        console.meter().expect(disk.len());
        let made = target.write(disk, &output, config::processors(), &mut console, || Ok(()));
        console.conclude(made)?;
        let now = self.metadata()?;
        if (now.uid(), now.gid()) != (metadata.uid(), metadata.gid()) {
            let owner = (Some(metadata.uid()), Some(metadata.gid()));
            std::os::unix::fs::chown(&self.address.image, owner.0, owner.1)
                .map_err(|error| self.cannot(error))?;
        }
        Ok(())
    }

    /// Returns the format and options of the image as it is.
    fn target(&self) -> Result<Target, Failure> {
        Ok(match &self.medium.container {
            Container::Qcow2(image) => {
                let header = image.header();
                let options = qcow2::Options {
                    version: header.version,
                    cluster_size: header.cluster_size,
                    refcount_bits: header.refcount_bits,
                    extended_l2: header.extended_l2,
                };
                let compressed = image.is_compressed().map_err(|error| self.cannot(error))?;
                let level = match header.codec {
                    qcow2::Codec::Zlib => 9,
                    _ => 3,
                };
                Target::Qcow2(options, compressed.then_some((header.codec, level)))
            }
            Container::Vhd(image) if image.is_fixed() => Target::VhdFixed,
            Container::Vhd(_) => Target::VhdDynamic,
            Container::Vhdx(image) => Target::Vhdx(vhdx::Options {
                sector_size: image.sector_size(),
                fixed: image.is_fixed(),
            }),
            Container::Vmdk(image) => {
                let name = self.address.image.file_name().unwrap_or_default();
                let level = image.is_compressed().then_some(9);
                Target::Vmdk(name.to_string_lossy().into_owned(), level)
            }
            Container::AndroidSparse(image) => {
                if image.has_checksums() {
                    return Err(
                        self.cannot("it has checksums, which a changed copy would not have")
                    );
                }
                let options = android_sparse::Options {
                    block_size: image.block_size(),
                    zeros: image.zeros(),
                };
                options.validate().map_err(|error| self.cannot(error))?;
                Target::AndroidSparse(options)
            }
            other => {
                let what = format!("images in the format {} cannot be changed", other.format());
                let help = "forger convert IMAGE NEW.qcow2 makes one that can";
                return Err(self.cannot(what).help(help));
            }
        })
    }

    fn metadata(&self) -> Result<Metadata, Failure> {
        fs::metadata(&self.address.image).map_err(|error| self.cannot(error))
    }

    fn cannot(&self, cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Failure {
        Failure::failed(format!("cannot change {}", self.address.disk())).because(cause)
    }
}
