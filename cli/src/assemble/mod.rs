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

mod error;
mod esp;
mod grow;
mod hashes;
mod seal;
mod slot;

use std::sync::Arc;

use forger_block::{BlockRead, SparseImage};
use forger_disk::partition::{
    ATTRIBUTE_GROW_FILESYSTEM, ATTRIBUTE_READ_ONLY, Kind as PartitionKind, Layout, Part,
    Size as PartSize, Table,
};
use forger_disk::{Guid, swap};
use forger_fs::ext4::Image;
use forger_fs::observe::Observer;
use forger_fs::tree::{Content, INLINE_LIMIT, Meta, Policy, Tree, TreeSource};

use crate::boot::{self, Architecture, Kernel, Loader};

pub use error::Error;
pub use grow::grow_root;
pub use seal::{Sealed, machine_id};
pub use slot::{Fill, Native, Slot, Type};

/// Partitions start at multiples of it, in bytes.
pub const ALIGN: u64 = 1 << 20;

/// What a disk shall be.
#[derive(Clone, Debug)]
pub struct Options {
    /// Size of the disk in bytes; as small as its content when `None`.
    pub size: Option<u64>,
    /// Size of a sector: 512 or 4096 bytes.
    pub sector_size: u64,
    /// The disk's GUID; derived when `None`.
    pub guid: Option<Guid>,
    /// The partitions, in the order of their numbers.
    pub slots: Vec<Slot>,
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

/// The usual partitions of a disk.
#[derive(Clone, Debug)]
pub struct Usual {
    /// Has a boot partition.
    pub boot: bool,
    /// Size of the boot partition in bytes.
    pub esp_size: Option<u64>,
    /// Size of the root partition in bytes: what the others leave, or what it holds, when `None`.
    pub root_size: Option<u64>,
    /// Grows root partition and filesystem to the disk at boot.
    pub grow_root: bool,
    /// Gives the root filesystem a hash tree.
    pub verity: bool,
    /// Partitions beside these.
    pub others: Vec<Slot>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            size: None,
            sector_size: 512,
            guid: None,
            slots: Vec::new(),
            loader: Some(Loader::SystemdBoot),
            root: FindRoot::PartUuid,
            cmdline: String::new(),
            architecture: None,
            stub: None,
            systemd_boot: None,
            initrds: Vec::new(),
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
}

impl Usual {
    /// Returns the partitions, for a disk of sectors of so many bytes, and the index of the first of the
    /// others.
    ///
    /// # Errors
    /// [`Error::SmallEsp`].
    pub fn slots(self, sector_size: u64) -> Result<(Vec<Slot>, usize), Error> {
        let part = |name: &str| Part {
            name: name.into(),
            ..Part::default()
        };
        let mut slots = Vec::new();
        if self.boot {
            let size = PartSize::Bytes(esp::size(self.esp_size, sector_size)?);
            let kind = PartitionKind::guid_named("esp").unwrap_or(Part::default().kind);
            slots.push(Slot {
                kind: Type::Guid(kind),
                part: Part {
                    size,
                    ..part("esp")
                },
                fill: Fill::Boot,
            });
        }
        let root = |attributes| Slot {
            kind: Type::Native(Native::Root),
            part: Part {
                attributes,
                size: self.root_size.map_or(PartSize::Rest, PartSize::Bytes),
                ..part("root")
            },
            fill: Fill::Root,
        };
        if self.verity {
            slots.push(root(ATTRIBUTE_READ_ONLY));
            slots.push(Slot {
                kind: Type::Native(Native::RootVerity),
                part: Part {
                    attributes: ATTRIBUTE_READ_ONLY,
                    ..part("root-verity")
                },
                fill: Fill::Hashes(slots.len() - 1),
            });
        } else if !self.grow_root {
            slots.push(root(0));
        }
        let first = slots.len();
        slots.extend(self.others);
        if self.grow_root && !self.verity {
            slots.push(root(ATTRIBUTE_GROW_FILESYSTEM));
        }
        Ok((slots, first))
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
            guid: self.guid,
            parts: self.slots.iter().map(|slot| slot.part.clone()).collect(),
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

/// A disk that is being assembled.
struct Assembly<'a> {
    options: &'a Options,
    system: Image,
    layout: Layout,
    root: usize,
    architecture: Option<Architecture>,
    /// The partitions as they stand before they are filled.
    table: Table,
    root_hash: Option<String>,
    /// `usrhash=`, where there is a hash tree of /usr.
    usr_hash: Option<String>,
}

impl<'a> Assembly<'a> {
    /// Decides where everything stands.
    fn start(
        root: &Arc<dyn BlockRead>,
        system: &Arc<dyn BlockRead>,
        options: &'a Options,
    ) -> Result<Self, Error> {
        let image = Image::open(Arc::clone(root)).map_err(Error::Root)?;
        let system = Image::open(Arc::clone(system)).map_err(Error::Root)?;
        let uuid = image.superblock().uuid();
        let roots = options.slots.iter().filter(|slot| slot.fill == Fill::Root);
        let (Some(at), 1) = (options.root(), roots.count()) else {
            let roots = options.slots.iter().filter(|slot| slot.fill == Fill::Root);
            return Err(Error::Roles {
                what: "root partitions",
                count: roots.count(),
            });
        };
        let mut layout = options.layout();
        layout.seed = [&uuid[..], &options.sector_size.to_le_bytes()].concat();
        if !matches!(layout.parts[at].size, PartSize::Bytes(_)) {
            layout.parts[at].size = PartSize::Bytes(root.len().next_multiple_of(ALIGN));
        }
        layout.parts[at].content = Some(Arc::clone(root));
        options.hash_sizes(&mut layout)?;
        let architecture = match (options.architecture, Architecture::of(&system)) {
            (Some(architecture), _) | (None, Ok(architecture)) => Some(architecture),
            (None, Err(error)) if options.loader.is_some() => return Err(error.into()),
            (None, Err(_)) => None,
        };
        for (slot, part) in options.slots.iter().zip(&mut layout.parts) {
            part.kind = slot.kind.guid(architecture);
        }
        let table = layout.plan()?.table;
        Ok(Self {
            options,
            system,
            layout,
            root: at,
            architecture,
            table,
            root_hash: None,
            usr_hash: None,
        })
    }

    /// Fills the partitions: hash trees before what boots, which says their root hash.
    fn finish(mut self, observer: &mut dyn Observer) -> Result<Disk, Error> {
        for (index, slot) in self.options.slots.iter().enumerate() {
            match slot.fill {
                Fill::Swap => self.swap(index)?,
                Fill::Hashes(of) => self.hashes(index, of, observer)?,
                Fill::Given | Fill::Boot | Fill::Root => {}
            }
        }
        let seed = &self.layout.seed;
        let root_guid = *self.layout.parts[self.root]
            .guid
            .get_or_insert_with(|| Guid::derived(seed, "root partition"));
        let cmdline = self.cmdline(root_guid);
        let kernels = self.boot(&cmdline, observer)?;
        let planned = self.layout.plan()?;
        Ok(Disk {
            image: planned.image,
            table: planned.table,
            kernels,
            cmdline,
            architecture: self.architecture,
            root_hash: self.root_hash,
        })
    }

    fn swap(&mut self, index: usize) -> Result<(), Error> {
        let part = &mut self.layout.parts[index];
        let uuid = Guid::derived(&self.layout.seed, &format!("swap area {index}"));
        // Its label is the partition's name, where that fits.
        let label = if part.name.len() > 16 { "" } else { &part.name };
        let area = swap(self.table.partitions[index].len, uuid, label);
        let area = area.map_err(|source| Error::Swap {
            name: part.name.clone(),
            source,
        })?;
        part.content = Some(Arc::new(area));
        Ok(())
    }

    fn hashes(
        &mut self,
        index: usize,
        of: usize,
        observer: &mut dyn Observer,
    ) -> Result<(), Error> {
        let Some(data) = self.layout.parts.get(of) else {
            return Err(Error::Roles {
                what: "partitions for a hash tree",
                count: 0,
            });
        };
        let len = self.table.partitions[of].len;
        let made = hashes::of(data, len, self.options.threads, observer)?;
        for (index, guid) in [of, index].into_iter().zip(made.guids()) {
            let part = &mut self.layout.parts[index];
            if let Some(other) = part.guid.replace(guid)
                && other != guid
            {
                return Err(Error::FixedGuid {
                    name: part.name.clone(),
                    guid: other,
                });
            }
        }
        self.layout.parts[index].content = Some(made.area);
        let hash = Some(made.root.to_string());
        match of == self.root {
            true => self.root_hash = hash,
            false => self.usr_hash = hash,
        }
        Ok(())
    }

    /// Returns the kernels' command line.
    fn cmdline(&self, root: Guid) -> String {
        let mut words = match (&self.root_hash, self.options.root) {
            (Some(hash), FindRoot::PartUuid) => {
                format!("roothash={hash} root=/dev/mapper/root ro")
            }
            (Some(hash), FindRoot::Discoverable) => format!("roothash={hash} ro"),
            (None, FindRoot::PartUuid) => format!("root=PARTUUID={root} rw"),
            (None, FindRoot::Discoverable) => "rw".to_owned(),
        };
        if let Some(hash) = &self.usr_hash {
            words.push_str(&format!(" usrhash={hash}"));
        }
        if !self.options.cmdline.is_empty() {
            words.push(' ');
            words.push_str(&self.options.cmdline);
        }
        words
    }

    /// Fills the boot partition; returns the kernels in it.
    fn boot(&mut self, cmdline: &str, observer: &mut dyn Observer) -> Result<Vec<Kernel>, Error> {
        let slots = self.options.slots.iter().enumerate();
        let boots = slots.filter(|(_, slot)| slot.fill == Fill::Boot);
        let boots: Vec<usize> = boots.map(|(index, _)| index).collect();
        let index = match (&boots[..], self.options.loader) {
            ([], None) => return Ok(Vec::new()),
            ([index], _) => *index,
            _ => {
                return Err(Error::Roles {
                    what: "boot partitions",
                    count: boots.len(),
                });
            }
        };
        let time = self.system.superblock().made();
        let (mut tree, kernels) = match (self.options.loader, self.architecture) {
            (Some(loader), Some(architecture)) => {
                let options = boot::Options {
                    loader,
                    architecture,
                    cmdline: cmdline.to_owned(),
                    stub: self.options.stub.clone(),
                    systemd_boot: self.options.systemd_boot.clone(),
                    initrds: self.options.initrds.clone(),
                    time,
                };
                let boot = boot::plan(&self.system, &options)?;
                (boot.tree, boot.kernels)
            }
            _ => (Tree::new(Meta::default()), Vec::new()),
        };
        if let Some(files) = &self.options.boot_files {
            let mut files = TreeSource::new(files);
            tree.add(&mut files, Policy::default(), INLINE_LIMIT)
                .map_err(Error::BootFiles)?;
        }
        let place = &self.table.partitions[index];
        let sector = self.options.sector_size;
        esp::size(Some(place.len), sector)?;
        let image = esp::make(&tree, place.len, place.start, sector, time, observer)?;
        self.layout.parts[index].content = Some(image);
        Ok(kernels)
    }
}
