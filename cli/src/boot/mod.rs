//! What a machine boots from: the files of an EFI system partition, found in a root filesystem.
//!
//! Nothing of the root filesystem is run: kernels, initial RAM disks and loaders are files, which are read
//! where they stand. Follows the Boot Loader Specification and the UAPI group's "Unified Kernel Image".

mod architecture;
mod entry;
mod error;
mod initrd;
mod kernel;
mod pe;
mod release;
mod uki;

use forger_fs::ext4::{FileType, Image, ReadError};
use forger_fs::tree::{Content, Kind, Meta, Policy, Time, Tree};

pub use architecture::Architecture;
pub use error::{Error, PeError};
pub use initrd::{BUILT, MakeInitrd, OwnInitrd};
pub use kernel::{Initrd, Kernel, compare_versions, kernels};
pub use release::Release;
pub use uki::{Parts, assemble, joined};

/// How a kernel gets started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loader {
    /// systemd-boot with an entry of the Boot Loader Specification for each kernel.
    SystemdBoot,
    /// A unified kernel image for each kernel; with systemd-boot where the root filesystem has it, else
    /// the newest is what the firmware starts.
    Uki,
}

/// What goes into a boot partition beside kernels.
#[derive(Clone, Debug)]
pub struct Options {
    /// How kernels get started.
    pub loader: Loader,
    /// The machine.
    pub architecture: Architecture,
    /// The kernels' command line, `root=` included.
    pub cmdline: String,
    /// The stub of unified kernel images, instead of the root filesystem's.
    pub stub: Option<Content>,
    /// systemd-boot, instead of the root filesystem's.
    pub systemd_boot: Option<Content>,
    /// Initial RAM disks before those of the root filesystem.
    pub initrds: Vec<Content>,
    /// Which others there are.
    pub own_initrd: OwnInitrd,
    /// The time of the files.
    pub time: Time,
}

/// A boot partition's files, and what they boot.
#[derive(Debug)]
pub struct Boot {
    /// The files.
    pub tree: Tree<Content>,
    /// The kernels that can be booted, the default first.
    pub kernels: Vec<Kernel>,
    /// What the root filesystem calls itself.
    pub release: Release,
}

impl Options {
    /// Returns the initial RAM disks that a kernel gets, in order.
    fn initrds_of<'a>(&'a self, kernel: &'a Kernel) -> impl Iterator<Item = &'a Content> {
        let own = kernel.initrds.iter().map(|initrd| &initrd.content);
        self.initrds.iter().chain(own)
    }
}

/// Puts together what a boot partition needs to boot a root filesystem.
///
/// # Errors
/// Kernels, loaders or stubs that are not there or cannot be used.
pub fn plan(image: &Image, options: &Options) -> Result<Boot, Error> {
    let release = release::of(image)?;
    let kernels = options.own_initrd.kernels(image)?;
    if kernels.is_empty() {
        return Err(Error::NoKernel);
    }
    let mut files = Files::new(options.time);
    match options.loader {
        Loader::SystemdBoot => entry::install(image, options, &release, &kernels, &mut files)?,
        Loader::Uki => uki::install(image, options, &release, &kernels, &mut files)?,
    }
    Ok(Boot {
        tree: files.tree,
        kernels,
        release,
    })
}

/// The files of a boot partition as they come together.
struct Files {
    tree: Tree<Content>,
    time: Time,
}

impl Files {
    fn new(time: Time) -> Self {
        let meta = Meta {
            mode: 0o755,
            mtime: Some(time),
            ..Meta::default()
        };
        Self {
            tree: Tree::new(meta),
            time,
        }
    }

    fn put(&mut self, path: &str, content: Content) -> Result<(), Error> {
        let meta = Meta {
            mode: 0o644,
            mtime: Some(self.time),
            ..Meta::default()
        };
        let put = self.tree.put(
            path.as_bytes(),
            meta,
            Kind::File(content),
            Policy::default(),
        );
        put.map(drop).map_err(|source| Error::Path {
            path: path.to_owned(),
            source,
        })
    }

    fn text(&mut self, path: &str, text: impl Into<Vec<u8>>) -> Result<(), Error> {
        self.put(path, Content::inline(text.into()))
    }
}

/// Returns a file's content, if there is a file.
fn file(image: &Image, path: &str) -> Result<Option<Content>, Error> {
    match image.lookup(path.as_bytes(), true) {
        Ok(inode) if inode.file_type() == FileType::File => {
            image.content(&inode).map(Some).map_err(Error::Read)
        }
        Ok(_) | Err(ReadError::NotFound { .. } | ReadError::NotADirectory { .. }) => Ok(None),
        Err(error) => Err(Error::Read(error)),
    }
}

/// Reads a file of at most `limit` bytes.
fn bytes(content: &Content, limit: u64, what: &'static str) -> Result<Vec<u8>, Error> {
    let len = match usize::try_from(content.size()) {
        Ok(len) if content.size() <= limit => len,
        _ => {
            return Err(Error::TooLarge {
                what,
                size: content.size(),
            });
        }
    };
    let mut bytes = vec![0; len];
    forger_block::BlockRead::read_at(content, 0, &mut bytes)?;
    Ok(bytes)
}
