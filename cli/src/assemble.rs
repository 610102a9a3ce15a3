//! Where filesystems and disks meet: a root filesystem becomes a disk that boots.
//!
//! ```text
//! 1 MiB      GPT
//! esp        FAT32: systemd-boot and entries, or unified kernel images, found in the root filesystem
//! root       the root filesystem, where it stands
//! 1 MiB      the GPT's copy
//! ```

use std::sync::Arc;

use forger_block::{BlockRead, SparseImage};
use forger_disk::Guid;
use forger_disk::partition::{
    ATTRIBUTE_GROW_FILESYSTEM, Kind as PartitionKind, Layout, LayoutError, Part, Size as PartSize,
    Table,
};
use forger_fs::ext4::{Image, ReadError};
use forger_fs::fat;
use forger_fs::observe::Observer;
use forger_fs::tree::{Content, Kind, Meta, Policy, Time, Tree};

use crate::boot::{self, Architecture, Kernel, Loader};

/// Partitions start at multiples of it, in bytes.
const ALIGN: u64 = 1 << 20;
/// What a disk has beside its partitions at least: the table before and its copy behind them.
const TABLES: u64 = 2 * ALIGN;
/// The size of a boot partition unless another is asked for: enough for two kernels, and for FAT32 with
/// sectors of 4096 bytes (which take 258 MiB).
const ESP: u64 = 260 << 20;
/// The smallest boot partition of which firmware and systemd think well, in bytes.
const LEAST_ESP: u64 = 100 << 20;

/// Has systemd-repart grow the root partition.
const REPART: &str = "[Partition]\nType=root\n";
/// Has the root filesystem grown to its partition: before version 254 systemd does so of itself only for
/// filesystems in fstab.
const GROW_ROOT: &str = "\
[Unit]
Description=Grow the root filesystem to its partition
DefaultDependencies=no
ConditionPathExists=/usr/lib/systemd/systemd-growfs
After=systemd-remount-fs.service systemd-repart.service
Before=local-fs.target shutdown.target
Conflicts=shutdown.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/lib/systemd/systemd-growfs /
";

/// What a disk shall be.
#[derive(Clone, Debug)]
pub struct Options {
    /// Size of the disk in bytes; as small as its content when `None`.
    pub size: Option<u64>,
    /// Size of a sector: 512 or 4096 bytes.
    pub sector_size: u64,
    /// Size of the boot partition in bytes.
    pub esp_size: Option<u64>,
    /// What it boots with; without a boot partition when `None`.
    pub loader: Option<Loader>,
    /// What the kernels' command line says beside `root=` and `rw`.
    pub cmdline: String,
    /// Grows partition and filesystem to the disk at boot.
    pub grow_root: bool,
    /// The machine; told by the programs of the root filesystem when `None`.
    pub architecture: Option<Architecture>,
    /// The stub of unified kernel images, instead of the root filesystem's.
    pub stub: Option<Content>,
    /// systemd-boot, instead of the root filesystem's.
    pub systemd_boot: Option<Content>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            size: None,
            sector_size: 512,
            esp_size: None,
            loader: Some(Loader::SystemdBoot),
            cmdline: String::new(),
            grow_root: true,
            architecture: None,
            stub: None,
            systemd_boot: None,
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
    pub cmdline: Option<String>,
    /// The machine it is for, where that is known.
    pub architecture: Option<Architecture>,
}

/// Why no disk can be assembled.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The root filesystem cannot be read.
    #[error("the root filesystem cannot be read")]
    Root(#[source] ReadError),
    /// What it boots from cannot be put together.
    #[error(transparent)]
    Boot(#[from] boot::Error),
    /// The boot partition cannot be made.
    #[error("the boot partition")]
    Esp(#[source] fat::Error),
    /// The partitions do not fit.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// The disk is too small for anything.
    #[error(
        "a disk of {size} bytes has no room for a root filesystem; {needed} bytes go to tables and boot partition"
    )]
    TooSmall {
        /// The size asked for.
        size: u64,
        /// What is taken before the root filesystem.
        needed: u64,
    },
    /// The boot partition is smaller than it can be.
    #[error(
        "a boot partition of {size} bytes is no FAT32 that firmware takes; {least} bytes are the least"
    )]
    SmallEsp {
        /// The size asked for.
        size: u64,
        /// The least.
        least: u64,
    },
}

impl Options {
    /// Returns the size of the boot partition, 0 without one.
    fn esp(&self) -> Result<u64, Error> {
        if self.loader.is_none() {
            return Ok(0);
        }
        let least = if self.sector_size == 4096 {
            ESP
        } else {
            LEAST_ESP
        };
        let size = self.esp_size.unwrap_or(ESP).next_multiple_of(ALIGN);
        match size < least {
            true => Err(Error::SmallEsp { size, least }),
            false => Ok(size),
        }
    }

    /// Returns the bytes that the root filesystem has on a disk of a given size; nothing where it decides the
    /// size.
    ///
    /// # Errors
    /// [`Error::TooSmall`] where nothing is left for it.
    pub fn root_size(&self) -> Result<Option<u64>, Error> {
        let Some(size) = self.size else {
            return Ok(None);
        };
        let needed = TABLES + self.esp()?;
        let left = size.saturating_sub(needed);
        let whole = left - left % ALIGN;
        match whole {
            0 => Err(Error::TooSmall { size, needed }),
            whole => Ok(Some(whole)),
        }
    }

    /// Returns what is laid over the root filesystem: with `grow_root` the configuration of systemd-repart
    /// and a unit that grows the filesystem after it. Nothing without it.
    #[must_use]
    pub fn overlay(&self) -> Option<Tree<Content>> {
        if !self.grow_root {
            return None;
        }
        let meta = |mode| Meta {
            mode,
            ..Meta::default()
        };
        let mut tree = Tree::new(meta(0o755));
        let text = |text: &'static str| Kind::File(Content::inline(text));
        let link = Kind::Symlink((*b"../grow-root.service").into());
        let units = "usr/lib/systemd/system";
        for (path, mode, kind) in [
            (
                "usr/lib/repart.d/50-root.conf".to_owned(),
                0o644,
                text(REPART),
            ),
            (format!("{units}/grow-root.service"), 0o644, text(GROW_ROOT)),
            (
                format!("{units}/local-fs.target.wants/grow-root.service"),
                0o777,
                link,
            ),
        ] {
            // The names are legal, and nothing else is in the tree.
            let _ = tree.put(path.as_bytes(), meta(mode), kind, Policy::default());
        }
        Some(tree)
    }
}

/// Assembles a disk around a root filesystem.
///
/// # Errors
/// What is missing for booting, and what does not fit.
pub fn assemble(
    root: &Arc<dyn BlockRead>,
    options: &Options,
    observer: &mut dyn Observer,
) -> Result<Disk, Error> {
    let image = Image::open(Arc::clone(root)).map_err(Error::Root)?;
    let superblock = image.superblock();
    let seed = [&superblock.uuid()[..], &options.sector_size.to_le_bytes()].concat();
    let root_guid = Guid::derived(&seed, "root partition");
    let mut disk = Disk {
        image: SparseImage::default(),
        table: Table {
            scheme: forger_disk::partition::Scheme::Mbr(0),
            sector_size: options.sector_size,
            partitions: Vec::new(),
            notes: Vec::new(),
        },
        kernels: Vec::new(),
        cmdline: None,
        architecture: options.architecture,
    };
    let mut parts = Vec::new();
    if let Some(loader) = options.loader {
        let architecture = match options.architecture {
            Some(architecture) => architecture,
            None => Architecture::of(&image)?,
        };
        disk.architecture = Some(architecture);
        let mut cmdline = format!("root=PARTUUID={root_guid} rw");
        if !options.cmdline.is_empty() {
            cmdline = format!("{cmdline} {}", options.cmdline);
        }
        let time = superblock.made();
        let boot = boot::plan(
            &image,
            &boot::Options {
                loader,
                architecture,
                cmdline: cmdline.clone(),
                stub: options.stub.clone(),
                systemd_boot: options.systemd_boot.clone(),
                time,
            },
        )?;
        (disk.kernels, disk.cmdline) = (boot.kernels, Some(cmdline));
        parts.push(esp(&boot.tree, options, time, observer)?);
    }
    let architecture = disk.architecture.or_else(|| Architecture::of(&image).ok());
    let name = architecture.map_or("linux-generic", Architecture::root_partition);
    let kind = PartitionKind::guid_named(name);
    parts.push(Part {
        kind: kind.unwrap_or(Part::default().kind),
        name: "root".into(),
        guid: Some(root_guid),
        attributes: if options.grow_root {
            ATTRIBUTE_GROW_FILESYSTEM
        } else {
            0
        },
        size: PartSize::Bytes(root.len().next_multiple_of(ALIGN)),
        content: Some(Arc::clone(root)),
    });
    let layout = Layout {
        size: options.size,
        sector_size: options.sector_size,
        align: ALIGN,
        seed,
        guid: None,
        parts,
    };
    let planned = layout.plan()?;
    (disk.image, disk.table) = (planned.image, planned.table);
    Ok(disk)
}

/// Makes the boot partition.
fn esp(
    files: &Tree<Content>,
    options: &Options,
    time: Time,
    observer: &mut dyn Observer,
) -> Result<Part, Error> {
    let size = options.esp()?;
    let sector = u32::try_from(options.sector_size).unwrap_or(512);
    let fat = fat::Options {
        size: fat::Size::Exact(size),
        sector_size: sector,
        bits: Some(fat::Bits::Fat32),
        label: Some("ESP".into()),
        time: Some(time),
        hidden_sectors: u32::try_from(ALIGN).unwrap_or(0) / sector,
        ..fat::Options::default()
    };
    let (image, _) = fat::plan(files, &fat, observer).map_err(Error::Esp)?;
    Ok(Part {
        kind: PartitionKind::guid_named("esp").unwrap_or(Part::default().kind),
        name: "esp".into(),
        size: PartSize::Bytes(size),
        content: Some(Arc::new(image)),
        ..Part::default()
    })
}
