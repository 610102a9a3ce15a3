//! Where filesystems and disks meet: a root filesystem becomes a disk that boots.
//!
//! ```text
//! 1 MiB      GPT
//! esp        FAT32: systemd-boot and entries, or unified kernel images, found in the root filesystem
//! others     swap, home, data ...
//! root       the root filesystem, where it stands; last, so that it can grow
//! 1 MiB      the GPT's copy
//! ```
//!
//! A root filesystem with a hash tree does not grow: both stand behind the boot partition.

mod assembly;
mod error;
mod esp;
mod grow;
mod hashes;
mod seal;
mod slot;
mod usual;

use std::sync::Arc;

use forger_block::{BlockRead, SparseImage};
use forger_disk::Guid;
use forger_disk::partition::{Label, Layout, Part, Partition, Size as PartSize, Table};
use forger_fs::observe::Observer;
use forger_fs::tree::{Content, Tree};

use self::assembly::Assembly;
use crate::boot::{Architecture, Kernel, Loader, OwnInitrd};

pub use error::Error;
pub use grow::grow_root;
pub use seal::{Sealed, machine_id};
pub use slot::{Fill, Native, Slot, Type};
pub use usual::Usual;

/// Partitions start at multiples of it, in bytes.
pub const ALIGN: u64 = 1 << 20;

/// What a disk shall be.
#[derive(Clone, Debug)]
pub struct Options {
    /// Size of the disk in bytes; as small as its content when `None`.
    pub size: Option<u64>,
    /// Size of a sector: 512 or 4096 bytes.
    pub sector_size: u64,
    /// The kind of partition table.
    pub label: Label,
    /// The disk's GUID in a GPT; derived when `None`.
    pub guid: Option<Guid>,
    /// The partitions, in the order of their numbers.
    pub slots: Vec<Slot>,
    /// Partitions that the MBR names as well, up to three: their numbers, names or types, as
    /// [`select`](crate::partition::select) takes them.
    pub hybrid: Vec<String>,
    /// What it boots with; nothing when `None`.
    pub loader: Option<Loader>,
    /// How the root filesystem is found.
    pub root: FindRoot,
    /// What the kernels' command line says beside where the root filesystem is.
    pub cmdline: String,
    /// The machine; told by the programs of the root filesystem when `None`.
    pub architecture: Option<Architecture>,
    /// The stub of unified kernel images, instead of the root filesystem's.
    pub stub: Option<Content>,
    /// systemd-boot, instead of the root filesystem's.
    pub systemd_boot: Option<Content>,
    /// Initial RAM disks before those of the root filesystem.
    pub initrds: Vec<Content>,
    /// Which others there are.
    pub own_initrd: OwnInitrd,
    /// Files of the boot partition beside what boots, which they may replace.
    pub boot_files: Option<Tree<Content>>,
    /// Threads that compute hash trees.
    pub threads: usize,
}

/// How the initial RAM disk finds the root filesystem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FindRoot {
    /// `root=PARTUUID=` on the kernel's command line.
    PartUuid,
    /// By its type, as the Discoverable Partitions Specification says: systemd does.
    Discoverable,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            size: None,
            sector_size: 512,
            label: Label::Gpt,
            guid: None,
            slots: Vec::new(),
            hybrid: Vec::new(),
            loader: Some(Loader::SystemdBoot),
            root: FindRoot::PartUuid,
            cmdline: String::new(),
            architecture: None,
            stub: None,
            systemd_boot: None,
            initrds: Vec::new(),
            own_initrd: OwnInitrd::Found,
            boot_files: None,
            threads: 1,
        }
    }
}

/// A disk that was assembled.
#[derive(Debug)]
pub struct Disk {
    /// Every byte of it.
    pub image: SparseImage,
    /// Its partitions.
    pub table: Table,
    /// The kernels that it can boot, the default first.
    pub kernels: Vec<Kernel>,
    /// The kernels' command line.
    pub cmdline: String,
    /// The machine it is for, where that is known.
    pub architecture: Option<Architecture>,
    /// The root hash of the root filesystem's hash tree, if it has one.
    pub root_hash: Option<String>,
    layout: Layout,
    /// The index of the root partition.
    root_at: usize,
}

impl Disk {
    /// Returns the root partition.
    #[must_use]
    pub fn root(&self) -> &Partition {
        &self.table.partitions[self.layout.index(self.root_at)]
    }

    /// Returns the disk with something else in the root partition.
    ///
    /// # Errors
    /// Where it has no room there.
    pub fn with_root(&self, root: Arc<dyn BlockRead>) -> Result<SparseImage, Error> {
        let mut layout = self.layout.clone();
        layout.parts[self.root_at].content = Some(root);
        Ok(layout.plan()?.image)
    }
}

impl Options {
    /// Returns the sizes of the partitions in bytes, where the root filesystem has `root` bytes; of what is
    /// not decided yet, what its content has.
    ///
    /// # Errors
    /// Sizes that a table or a disk does not have.
    pub fn sizes(&self, root: Option<u64>) -> Result<Vec<u64>, Error> {
        let mut layout = self.layout();
        if let Some((index, len)) = self.root().zip(root) {
            layout.parts[index].size = PartSize::Bytes(len);
            self.hash_sizes(&mut layout)?;
        }
        Ok(layout.lens()?)
    }

    /// Returns the bytes that the root filesystem has on a disk of a given size; nothing where it decides the
    /// size.
    ///
    /// # Errors
    /// [`Error::TooSmall`] where nothing is left for it.
    pub fn root_size(&self) -> Result<Option<u64>, Error> {
        let Some(root) = self.root() else {
            return Err(Error::Roles {
                what: "root partitions",
                count: 0,
            });
        };
        if let PartSize::Bytes(len) = self.slots[root].part.size {
            return Ok(Some(len - len % 4096));
        }
        let Some(size) = self.size else {
            return Ok(None);
        };
        let lens = match self.layout().lens() {
            Ok(lens) => lens,
            Err(forger_disk::partition::LayoutError::TooSmall { needed, .. }) => {
                return Err(Error::TooSmall { size, needed });
            }
            Err(error) => return Err(error.into()),
        };
        let room = lens[root] - lens[root] % ALIGN;
        let hashed = self.hashes_of(root).is_some();
        match if hashed { hashes::largest(room) } else { room } {
            0 => Err(Error::TooSmall {
                size,
                needed: size - room,
            }),
            len => Ok(Some(len)),
        }
    }

    /// Returns where the root partition starts, in bytes; what decides its own size need not be known.
    ///
    /// # Errors
    /// What does not fit.
    pub fn root_start(&self) -> Result<u64, Error> {
        let size = self.root_size()?.unwrap_or(ALIGN);
        let mut layout = self.layout();
        let root = self.root().unwrap_or(0);
        layout.parts[root].size = PartSize::Bytes(size);
        self.hash_sizes(&mut layout)?;
        let index = layout.index(root);
        Ok(layout.plan()?.table.partitions[index].start)
    }

    /// Returns the index of the slot of the root filesystem.
    fn root(&self) -> Option<usize> {
        self.slots.iter().position(|slot| slot.fill == Fill::Root)
    }

    /// Returns the index of the slot with the hash tree of another one.
    fn hashes_of(&self, of: usize) -> Option<usize> {
        self.slots
            .iter()
            .position(|slot| slot.fill == Fill::Hashes(of))
    }

    fn layout(&self) -> Layout {
        Layout {
            size: self.size,
            sector_size: self.sector_size,
            align: ALIGN,
            seed: Vec::new(),
            label: self.label,
            guid: self.guid,
            parts: self.slots.iter().map(|slot| slot.part.clone()).collect(),
            hybrid: Vec::new(),
        }
    }

    /// Gives the partitions with hash trees the sizes that these have.
    fn hash_sizes(&self, layout: &mut Layout) -> Result<(), Error> {
        for (index, slot) in self.slots.iter().enumerate() {
            let (Fill::Hashes(of), PartSize::Content) = (&slot.fill, slot.part.size) else {
                continue;
            };
            let Some(data) = layout.parts.get(*of) else {
                continue;
            };
            let len = hashes::len(data_len(data)).map_err(|source| Error::Verity {
                name: data.name.clone(),
                source,
            })?;
            layout.parts[index].size = PartSize::Bytes(len);
        }
        Ok(())
    }
}

/// Returns the bytes that a partition with a hash tree has.
fn data_len(part: &Part) -> u64 {
    let len = match (part.size, &part.content) {
        (PartSize::Bytes(len), _) => len,
        (_, Some(content)) => content.len(),
        (_, None) => 0,
    };
    len.checked_next_multiple_of(4096)
        .unwrap_or(u64::MAX - 4095)
}

/// Assembles a disk around a root filesystem; kernels and loaders are found in `system`, which usually is
/// the same.
///
/// # Errors
/// What is missing for booting, and what does not fit.
pub fn assemble(
    root: &Arc<dyn BlockRead>,
    system: &Arc<dyn BlockRead>,
    options: &Options,
    observer: &mut dyn Observer,
) -> Result<Disk, Error> {
    Assembly::start(root, system, options)?.finish(observer)
}
