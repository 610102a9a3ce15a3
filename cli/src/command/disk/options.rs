//! What the disk is, as it is typed.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::sync::Arc;

use clap::ValueEnum;
use forger::assemble::{self, FindRoot, Slot, Usual};
use forger::boot::{Architecture, Loader};
use forger_block::{BlockRead, FileReader};
use forger_disk::Guid;
use forger_disk::partition::Label;
use forger_fs::ext4::{self, Size};
use forger_fs::tree::Content;

use super::{fill, initrd};
use crate::args::partition::{self, PartitionArg};
use crate::args::size;
use crate::command::convert::{Compress, OutputFormat, Target, sector_size, target_for};
use crate::config;
use crate::exit::Failure;
use crate::remedy;

/// What the disk is.
#[derive(clap::Args, Debug)]
#[command(
    next_help_heading = "Disk (--size is the disk's; --free, --label and --uuid are the root filesystem's)"
)]
pub(super) struct DiskArgs {
    /// Format of OUT: raw, qcow2, vhd, vhd-fixed, vhdx, vhdx-fixed, vmdk, android-sparse or ova
    /// [default: by its name]
    #[arg(long, value_name = "FORMAT", hide_possible_values = true)]
    format: Option<OutputFormat>,

    /// Compresses qcow2 and raw: zstd[:1-19] or zlib[:1-9], raw also: xz[:1-9], vmdk and ova: zlib
    /// [default: not, but .zst, .gz and .xz say so, and an ova always is]
    #[arg(long, value_name = "NAME[:LEVEL]", value_parser = Compress::parse)]
    compress: Option<Compress>,

    /// Bytes in a sector: 512 or 4096 [default: 512, or what --layout says]
    #[arg(long, value_name = "BYTES", value_parser = sector_size)]
    pub(super) sector_size: Option<u64>,

    /// Size of the boot partition, a SIZE of at least 100M, or 260M with sectors of 4096 bytes
    /// [default: 260M]
    #[arg(long, value_name = "SIZE", value_parser = size::parse, conflicts_with = "layout")]
    esp_size: Option<u64>,

    /// Size of the root partition [default: what the others leave of --size, else what it holds and
    /// --free]
    #[arg(long, value_name = "SIZE", value_parser = size::parse, conflicts_with = "layout")]
    root_size: Option<u64>,

    /// Adds a swap partition of this size [default: none]
    #[arg(long, value_name = "SIZE", value_parser = size::parse, conflicts_with = "layout")]
    pub(super) swap: Option<u64>,

    /// Adds a partition, or with --layout fills the one of this name (repeatable, in order)
    ///
    /// KEYs: size=SIZE, N%, rest or content; type=home, srv, var, swap, linux-generic, usr, another name of the
    /// Discoverable Partitions Specification, a GUID, or with an MBR a byte as 0x0c; source=DIR, TAR or IMAGE, whose files go in;
    /// format=ext4, vfat, swap or none (the bytes of source, as they are); label=TEXT of the filesystem;
    /// uuid=GUID of the partition; attrs=growfs, read-only, no-auto, required, legacy-boot or numbers of bits,
    /// with + between them; verity=yes, a hash tree in a partition of its own, for type=usr. A name that is
    /// also a type's is that type. \, is a comma inside a value.
    #[arg(long, value_name = "NAME[:KEY=VALUE,…]", value_parser = partition::parse)]
    pub(super) partition: Vec<PartitionArg>,

    /// Lays the disk out as a file says: what sfdisk --json wrote, or a folder of repart.d definitions
    /// [default: an ESP and a root, as the other options say]
    ///
    /// From a dump: places, types, names, GUIDs and attributes; its ESP and root are filled, swap is
    /// made, others stay empty unless --partition fills them. Of definitions (repart.d(5)): Type,
    /// Label, UUID, Weight, PaddingWeight, SizeMinBytes, SizeMaxBytes, PaddingMinBytes, PaddingMaxBytes,
    /// Format, CopyFiles (from SOURCE), ExcludeFiles, MakeDirectories, MakeSymlinks, Flags, NoAuto,
    /// ReadOnly, GrowFileSystem, Minimize, Verity (data, hash), VerityMatchKey, Priority, SupplementFor.
    #[arg(long, value_name = "FILE|DIR")]
    pub(super) layout: Option<PathBuf>,

    /// The partition table: gpt or mbr (three primary partitions and logical ones where there are more than
    /// four; it has no names and GUIDs, and the root does not grow of itself) [default: gpt, or what --layout
    /// says]
    #[arg(
        long,
        value_name = "TABLE",
        hide_possible_values = true,
        conflicts_with = "layout"
    )]
    table: Option<TableArg>,

    /// What identifies the disk: a GUID, or the 8 hexadecimal digits of an MBR's signature [default: derived,
    /// or what --layout says]
    #[arg(long, value_name = "ID")]
    disk_id: Option<String>,

    /// Marks a partition as the one that a legacy BIOS boots from, by its name, place or type: the active one
    /// of an MBR [default: none]
    #[arg(long, value_name = "PART")]
    pub(super) bootable: Option<String>,

    /// Names up to three partitions in the MBR as well, by number, name or type (esp,root): a hybrid MBR, for
    /// firmware that reads no GPT [default: none]
    #[arg(long, value_name = "PART,…", value_delimiter = ',')]
    hybrid_mbr: Vec<String>,

    /// What it boots with: systemd-boot (entries of the Boot Loader Specification), uki (unified kernel
    /// images) or none [default: systemd-boot]
    #[arg(long, value_name = "LOADER", hide_possible_values = true)]
    boot: Option<BootArg>,

    /// What the kernel's command line says beside root= and rw [default: nothing]
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true
    )]
    cmdline: String,

    /// How the root filesystem is found: partuuid (root=PARTUUID= on the command line) or discoverable
    /// (by its type: the initial RAM disk has to run systemd) [default: partuuid]
    #[arg(long, value_name = "HOW", hide_possible_values = true)]
    root: Option<RootArg>,

    /// Has systemd grow root partition and filesystem to the disk at boot [default: yes, but not with
    /// --verity, --layout or --table mbr]
    #[arg(long, overrides_with = "no_grow_root")]
    grow_root: bool,

    /// Leaves the root filesystem as it is when the disk is larger
    #[arg(long, overrides_with = "grow_root")]
    no_grow_root: bool,

    /// Makes the root filesystem read-only, with a dm-verity hash tree in a partition of its own and its root
    /// hash on the kernel's command line
    ///
    /// The initial RAM disk has to know roothash=, as systemd's veritysetup in dracut's and mkosi's does. Both
    /// partitions have the halves of the root hash as GUIDs.
    #[arg(long, conflicts_with_all = ["grow_root", "layout"])]
    pub(super) verity: bool,

    /// Leaves out of SOURCE what belongs to one installation: contents of machine-id, SSH host keys, logs,
    /// random seeds, leases, histories; lists what it was
    ///
    /// SSH needs new keys then, from cloud-init or ssh-keygen -A at the first boot.
    #[arg(long)]
    pub(super) seal: bool,

    /// Writes kernel, initial RAM disk, command line and configuration into a folder as well: vmlinuz, initrd,
    /// cmdline and config, for machines that start kernels themselves [default: not]
    #[arg(long, value_name = "DIR")]
    pub(super) extract_kernel: Option<PathBuf>,

    /// Machine: x86_64, aarch64, riscv64 or loongarch64 [default: told by the programs in SOURCE]
    #[arg(long, value_name = "ARCH", value_parser = architecture)]
    arch: Option<Architecture>,

    /// The stub of unified kernel images [default: SOURCE's linux*.efi.stub]
    #[arg(long, value_name = "FILE")]
    stub: Option<OsString>,

    /// systemd-boot [default: SOURCE's systemd-boot*.efi]
    #[arg(long, value_name = "FILE")]
    systemd_boot: Option<OsString>,

    /// The initial RAM disk: auto (SOURCE's, and where it has none for a kernel that needs one a small one
    /// that is built), image (SOURCE's), built, none; or a file that goes before it (repeatable, in order)
    /// [default: auto]
    ///
    /// A built one has the drivers of usual disks of virtual and real machines, out of SOURCE's modules, and a
    /// program that finds root=PARTUUID=, UUID= or /dev/NAME, mounts an ext4 there and starts init=. It knows
    /// no encryption, RAID, LVM, dm-verity, and no partitions by their type.
    #[arg(long, value_name = "WHICH|FILE")]
    initrd: Vec<OsString>,
}

/// What `--table` takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum TableArg {
    Gpt,
    Mbr,
}

/// What `--boot` takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum BootArg {
    SystemdBoot,
    Uki,
    None,
}

/// What `--root` takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum RootArg {
    Partuuid,
    Discoverable,
}

fn architecture(text: &str) -> Result<Architecture, String> {
    Architecture::named(text)
        .ok_or_else(|| "expected x86_64, aarch64, riscv64 or loongarch64".to_owned())
}

impl DiskArgs {
    /// Tells whether the root filesystem grows.
    pub(super) fn grows(&self) -> bool {
        let usual = !self.verity && self.layout.is_none() && !self.is_mbr();
        (usual || self.grow_root) && !self.no_grow_root
    }

    /// Returns what the arguments say of the disk, but for its partitions.
    ///
    /// # Errors
    /// Wrong usage, and files that cannot be read.
    pub(super) fn options(&self, ext4: &ext4::Options) -> Result<assemble::Options, Failure> {
        let loader = match self.boot {
            Some(BootArg::None) => None,
            Some(BootArg::Uki) => Some(Loader::Uki),
            Some(BootArg::SystemdBoot) | None => Some(Loader::SystemdBoot),
        };
        if self.cmdline.contains(|c: char| c.is_control()) {
            return Err(Failure::usage("--cmdline: a command line is one line"));
        }
        self.check_mbr()?;
        let (own_initrd, files) = initrd::choose(&self.initrd, self.needs_systemd())?;
        let initrds = files.into_iter().map(file);
        Ok(assemble::Options {
            size: match ext4.size {
                Size::Exact(size) => Some(size),
                Size::Auto(_) => None,
            },
            sector_size: self.sector_size.unwrap_or(512),
            label: match self.table {
                Some(TableArg::Mbr) => Label::Mbr {
                    signature: None,
                    primaries: None,
                },
                Some(TableArg::Gpt) | None => Label::Gpt,
            },
            hybrid: self.hybrid_mbr.clone(),
            loader,
            root: match self.root {
                Some(RootArg::Discoverable) => FindRoot::Discoverable,
                Some(RootArg::Partuuid) | None => FindRoot::PartUuid,
            },
            cmdline: self.cmdline.clone(),
            architecture: self.arch,
            stub: self.stub.as_deref().map(file).transpose()?,
            systemd_boot: self.systemd_boot.as_deref().map(file).transpose()?,
            initrds: initrds.collect::<Result<_, _>>()?,
            own_initrd,
            threads: config::processors(),
            ..assemble::Options::default()
        })
    }

    /// Tells whether the disk gets a master boot record.
    pub(super) fn is_mbr(&self) -> bool {
        self.table == Some(TableArg::Mbr)
    }

    /// Refuses what only a GPT has.
    fn check_mbr(&self) -> Result<(), Failure> {
        if !self.is_mbr() {
            return Ok(());
        }
        let contradicting = [
            (
                self.verity,
                "--verity: a root with a hash tree is found by GUIDs",
            ),
            (
                self.root == Some(RootArg::Discoverable),
                "--root discoverable: a root is found by its type's GUID",
            ),
            (
                self.grow_root,
                "--grow-root: systemd-repart grows partitions of GPTs",
            ),
            (
                !self.hybrid_mbr.is_empty(),
                "--hybrid-mbr: that one stands beside a GPT",
            ),
            (
                self.sector_size == Some(4096),
                "--sector-size 4096: an MBR does not say how large sectors are, and 512 is taken for granted",
            ),
        ];
        match contradicting.iter().find(|(given, _)| *given) {
            Some((_, why)) => Err(Failure::usage(format!("--table mbr and {why}"))),
            None => Ok(()),
        }
    }

    /// Says what can be said only where the partitions and the kind of table are known: which one boots,
    /// and what identifies the disk.
    ///
    /// # Errors
    /// Wrong usage.
    pub(super) fn finish(&self, options: &mut assemble::Options) -> Result<(), Failure> {
        if let Some(word) = &self.bootable {
            fill::activate(word, &mut options.slots)?;
        }
        let is_byte = |slot: &&Slot| options.label == Label::Gpt && slot.kind.byte().is_some();
        if let Some(slot) = options.slots.iter().find(is_byte) {
            let error = format!("--partition {}: its type is a byte", slot.part.name);
            return Err(Failure::usage(error).help("a GPT has GUIDs; --table mbr makes an MBR"));
        }
        self.identify(options)
    }

    /// Gives the disk the identity that was asked for.
    fn identify(&self, options: &mut assemble::Options) -> Result<(), Failure> {
        let Some(id) = &self.disk_id else {
            return Ok(());
        };
        let wrong = |expected| Failure::usage(format!("--disk-id {id}: expected {expected}"));
        match &mut options.label {
            Label::Gpt => {
                let guid: Guid = id.parse().map_err(|_| wrong("a GUID"))?;
                options.guid = Some(guid).filter(|guid| !guid.is_zero());
                options
                    .guid
                    .map(drop)
                    .ok_or_else(|| wrong("a GUID that is not zero"))
            }
            Label::Mbr { signature, .. } => {
                let digits = id.strip_prefix("0x").unwrap_or(id);
                let number = u32::from_str_radix(digits, 16).ok();
                let number = number.filter(|number| digits.len() == 8 && *number != 0);
                *signature =
                    Some(number.ok_or_else(|| wrong("8 hexadecimal digits, not all zero"))?);
                Ok(())
            }
        }
    }

    /// Tells whether the initial RAM disk has to find the root as only systemd does.
    fn needs_systemd(&self) -> bool {
        self.verity || self.root == Some(RootArg::Discoverable)
    }

    /// Returns the usual partitions, with no others yet.
    pub(super) fn usual(&self, options: &assemble::Options) -> Usual {
        Usual {
            boot: options.loader.is_some(),
            esp_size: self.esp_size,
            root_size: self.root_size,
            grow_root: self.grows(),
            verity: self.verity,
            others: Vec::new(),
        }
    }

    /// Returns the image that is made of the disk.
    ///
    /// # Errors
    /// As those of `forger convert`.
    pub(super) fn target(&self, out: &OsStr, sector_size: u64) -> Result<Target, Failure> {
        let mut target = target_for(out, self.format, self.compress, None)?;
        // No other format says how large sectors are.
        if let Target::Vhdx(options) = &mut target {
            options.sector_size = sector_size;
        }
        Ok(target)
    }
}

/// Opens a file whose content goes into the disk.
pub(super) fn file(path: &OsStr) -> Result<Content, Failure> {
    let file = FileReader::open(path)
        .map_err(|error| remedy::block(format!("cannot read {}", path.display()), error))?;
    let len = file.len();
    let file: Arc<dyn BlockRead> = Arc::new(file);
    let mut content = Content::new();
    content.push_span(&file, 0, len);
    Ok(content)
}
