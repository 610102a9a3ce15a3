//! What goes into partitions beside boot and root.

use std::sync::Arc;

use forger::assemble::{self, Fill, Slot, Type};
use forger_block::BlockRead;
use forger_disk::Guid;
use forger_disk::partition::{ATTRIBUTE_LEGACY_BOOT, Part, Size as PartSize};
use forger_fs::ext4::{self, Size};
use forger_fs::fat;
use forger_fs::tree::Content;

use super::options::{DiskArgs, file};
use super::root::Wanted;
use crate::args::partition::{PartitionArg, PartitionFormat};
use crate::args::source::{Named, SourceArgs};
use crate::command::mkfs::vfat;
use crate::config::Environment;
use crate::exit::Failure;
use crate::input::Inputs;
use crate::progress::Console;

/// The type of a FAT in an MBR.
const FAT32: u8 = 0x0c;

/// A partition that is filled from something else than SOURCE.
pub(super) struct Other {
    /// Which of the disk's.
    pub(super) slot: usize,
    pub(super) arg: PartitionArg,
    format: PartitionFormat,
}

/// Makes what goes into partitions.
pub(super) struct Filler<'a> {
    pub(super) source: &'a SourceArgs,
    pub(super) ext4: &'a ext4::Options,
    pub(super) environment: &'a Environment,
    pub(super) sector_size: u64,
    /// What was read, to see at the end whether it changed.
    pub(super) inputs: Vec<Inputs>,
}

/// Returns the slots of `--swap` and `--partition`.
///
/// # Errors
/// Wrong usage.
pub(super) fn slots(
    args: &DiskArgs,
    sized: bool,
) -> Result<Vec<(Slot, Option<PartitionArg>)>, Failure> {
    let mut slots = Vec::new();
    if let Some(size) = args.swap {
        let swap = PartitionArg {
            name: "swap".to_owned(),
            size: Some(PartSize::Bytes(size)),
            ..PartitionArg::default()
        };
        slots.push((slot(&swap, sized)?, None));
    }
    for arg in &args.partition {
        let mut slot = slot(arg, sized)?;
        let is_fat = arg.format == Some(PartitionFormat::Vfat);
        if is_fat && args.is_mbr() && slot.kind == Type::Guid(Part::default().kind) {
            // That of any Linux filesystem, where no type was said.
            slot.kind = Type::Byte(FAT32);
        }
        let hashes = arg.verity.then(|| hashes(arg, &slot)).transpose()?;
        slots.push((slot, Some(arg.clone())));
        slots.extend(hashes.map(|hashes| (hashes, None)));
    }
    Ok(slots)
}

fn slot(arg: &PartitionArg, sized: bool) -> Result<Slot, Failure> {
    let kind = kind(arg);
    let size = match (arg.size, &arg.source) {
        (Some(size), _) => size,
        (None, Some(_)) => PartSize::Content,
        (None, None) if sized => PartSize::Rest,
        (None, None) => {
            return Err(
                Failure::usage(format!("--partition {}: how large?", arg.name))
                    .help("say size=SIZE, or source=DIR for a partition as large as its content"),
            );
        }
    };
    if !sized && matches!(size, PartSize::Share(_) | PartSize::Rest) {
        return Err(Failure::usage(format!(
            "--partition {}: a share needs a disk of a given size",
            arg.name
        ))
        .help("--size gives the disk one"));
    }
    if size == PartSize::Content && arg.source.is_none() {
        return Err(Failure::usage(format!(
            "--partition {}: size=content needs source=",
            arg.name
        )));
    }
    let fill = match format(arg, &kind) {
        PartitionFormat::Swap => Fill::Swap,
        _ => Fill::Given,
    };
    if fill == Fill::Swap && arg.source.is_some() {
        return Err(Failure::usage(format!(
            "--partition {}: a swap area has no source",
            arg.name
        )));
    }
    Ok(Slot {
        part: Part {
            name: arg.name.clone(),
            guid: arg.uuid,
            attributes: arg.attributes.unwrap_or(0),
            size,
            ..Part::default()
        },
        kind,
        fill,
    })
}

/// Returns the slot for the hash tree of a partition; which one that is, is said later.
fn hashes(arg: &PartitionArg, data: &Slot) -> Result<Slot, Failure> {
    let usr = Type::named("usr");
    if usr.as_ref() != Some(&data.kind) {
        return Err(Failure::usage(format!(
            "--partition {}: hash trees are found for root (--verity) and for type=usr",
            arg.name
        )));
    }
    if matches!(data.part.size, PartSize::Share(_) | PartSize::Rest) {
        return Err(Failure::usage(format!(
            "--partition {}: with a hash tree its size is a number or content",
            arg.name
        )));
    }
    Ok(Slot {
        kind: Type::named("usr-verity").unwrap_or_else(|| data.kind.clone()),
        part: Part {
            name: format!("{}-verity", arg.name),
            attributes: forger_disk::partition::ATTRIBUTE_READ_ONLY,
            ..Part::default()
        },
        fill: Fill::Hashes(usize::MAX),
    })
}

/// Points hash trees to the slots before them.
pub(super) fn bind_hashes(slots: &mut [Slot]) {
    for (index, slot) in slots.iter_mut().enumerate() {
        if slot.fill == Fill::Hashes(usize::MAX) {
            slot.fill = Fill::Hashes(index.saturating_sub(1));
        }
    }
}

/// Refuses two partitions of one name, by which nobody could tell them apart.
///
/// # Errors
/// The name.
pub(super) fn check_names(slots: &[Slot]) -> Result<(), Failure> {
    let mut rest = slots;
    while let Some((slot, behind)) = rest.split_first() {
        let name = &slot.part.name;
        if behind.iter().any(|other| other.part.name == *name) {
            let error = format!("--partition {name}: the disk has another partition of this name");
            return Err(Failure::usage(error).help(
                "--esp-size, --root-size and --swap say how large those are; others have names of their own",
            ));
        }
        rest = behind;
    }
    Ok(())
}

/// Says what fills the partition of a layout that has a name, number or type.
///
/// # Errors
/// A name that none has, and keys that the layout decides.
pub(super) fn named(arg: &PartitionArg, slots: &mut [Slot]) -> Result<Option<Other>, Failure> {
    let decided = [
        ("size", arg.size.is_some()),
        ("type", arg.kind.is_some()),
        ("uuid", arg.uuid.is_some()),
        ("attrs", arg.attributes.is_some()),
        ("verity", arg.verity),
    ];
    if let Some((key, _)) = decided.iter().find(|(_, given)| *given) {
        let error = format!("--partition {}: the layout decides {key}", arg.name);
        return Err(Failure::usage(error).help("source, format and label can be given"));
    }
    let Some(index) = find(slots, &arg.name) else {
        let error = format!("--partition {}: the layout has no such partition", arg.name);
        return Err(Failure::usage(error));
    };
    let slot = &mut slots[index];
    if matches!(slot.fill, Fill::Boot | Fill::Root) {
        let error = format!("--partition {}: SOURCE fills it", arg.name);
        return Err(Failure::usage(error));
    }
    slot.fill = match format(arg, &slot.kind) {
        PartitionFormat::Swap => Fill::Swap,
        _ => Fill::Given,
    };
    Ok(Other::new(index, arg.clone(), &slot.kind))
}

/// Marks the partition that a legacy BIOS boots from.
///
/// # Errors
/// A name that none has.
pub(super) fn activate(word: &str, slots: &mut [Slot]) -> Result<(), Failure> {
    let Some(index) = find(slots, word) else {
        let error = format!("--bootable {word}: the disk has no such partition");
        return Err(Failure::usage(error));
    };
    for slot in &mut *slots {
        slot.part.attributes &= !ATTRIBUTE_LEGACY_BOOT;
    }
    slots[index].part.attributes |= ATTRIBUTE_LEGACY_BOOT;
    Ok(())
}

/// Finds the partition that has a name, a place in the order, or a type.
fn find(slots: &[Slot], word: &str) -> Option<usize> {
    let at = |test: &dyn Fn(&Slot) -> bool| slots.iter().position(test);
    let number = || word.parse::<usize>().ok()?.checked_sub(1);
    let kind = Type::named(word);
    at(&|slot| slot.part.name == word)
        .or_else(|| number().filter(|index| *index < slots.len()))
        .or_else(|| {
            at(&|slot| {
                Some(&slot.kind) == kind.as_ref() || slot.kind.name().as_deref() == Some(word)
            })
        })
}

/// Returns a partition's type: the one that is said, or that has its name, or of any Linux filesystem.
fn kind(arg: &PartitionArg) -> Type {
    let usual = || Type::Guid(Part::default().kind);
    let named = || Type::named(&arg.name);
    arg.kind.clone().or_else(named).unwrap_or_else(usual)
}

fn format(arg: &PartitionArg, kind: &Type) -> PartitionFormat {
    let name = kind.name().unwrap_or_default();
    arg.format.unwrap_or(match name.as_str() {
        "swap" => PartitionFormat::Swap,
        "esp" | "xbootldr" | "fat16" | "fat32" => PartitionFormat::Vfat,
        "bios-boot" | "microsoft-reserved" | "linux-raid" | "linux-lvm" | "ntfs" => {
            PartitionFormat::None
        }
        _ => PartitionFormat::Ext4,
    })
}

impl Other {
    /// Describes what fills a slot; nothing where that is nothing, or a swap area.
    pub(super) fn new(slot: usize, arg: PartitionArg, kind: &Type) -> Option<Self> {
        let format = format(&arg, kind);
        let nothing = format == PartitionFormat::None && arg.source.is_none();
        let made = !nothing && format != PartitionFormat::Swap;
        made.then_some(Self { slot, arg, format })
    }

    /// Tells whether its content decides its size.
    pub(super) fn is_content_sized(&self, options: &assemble::Options) -> bool {
        options.slots[self.slot].part.size == PartSize::Content
    }
}

impl Filler<'_> {
    /// Makes the content of a partition: of `len` bytes, or as many as it takes.
    ///
    /// # Errors
    /// What cannot be read, or has no room.
    pub(super) fn content(
        &mut self,
        other: &Other,
        len: Option<u64>,
        seed: [u8; 16],
        console: &mut Console,
    ) -> Result<Arc<dyn BlockRead>, Failure> {
        let what = format!("cannot make the partition {}", other.arg.name);
        let mut inputs = match &other.arg.source {
            Some(source) if other.format == PartitionFormat::None => {
                let content: Content = file(source)?;
                return Ok(Arc::new(content));
            }
            Some(source) => {
                let args = SourceArgs {
                    owner: self.source.owner,
                    read: self.source.read.clone(),
                    network: self.source.network.clone(),
                    ..SourceArgs::default()
                };
                let named = Named::any(source.clone());
                Inputs::open(&named, &args, self.ext4.ignore, self.environment, console)?
            }
            None => Inputs::none(),
        };
        let made = match other.format {
            PartitionFormat::Vfat => self.vfat(&mut inputs, other, len, &what, console)?,
            _ => {
                let purpose = format!("filesystem {} {}", other.slot, other.arg.name);
                // One without files would be like every other such one.
                let uuid = other.arg.source.is_none();
                let exact = |len: u64| Size::Exact(len - len % 4096);
                let ext4 = ext4::Options {
                    size: len.map_or(Size::Auto(ext4::Free::Default), exact),
                    label: other.arg.label.clone().map(String::into_bytes),
                    uuid: uuid.then(|| Guid::derived(&seed, &purpose).to_bytes()),
                    hash_seed: None,
                    ..self.ext4.clone()
                };
                let wanted = Wanted {
                    overlay: None,
                    ext4: &ext4,
                    what: &what,
                };
                wanted.planned(&mut inputs, console)?.image
            }
        };
        self.inputs.push(inputs);
        Ok(made)
    }

    fn vfat(
        &self,
        inputs: &mut Inputs,
        other: &Other,
        len: Option<u64>,
        what: &str,
        console: &mut Console,
    ) -> Result<Arc<dyn BlockRead>, Failure> {
        let tree = inputs
            .tree()
            .map_err(|error| crate::remedy::collect(what.to_owned(), error))?;
        let options = fat::Options {
            size: len.map_or(fat::Size::default(), fat::Size::Exact),
            sector_size: u32::try_from(self.sector_size).unwrap_or(512),
            label: other.arg.label.clone(),
            time: self.ext4.time,
            ..fat::Options::default()
        };
        let (image, _) = fat::plan(&tree, &options, console)
            .map_err(|error| vfat::failure(what.to_owned(), error))?;
        Ok(Arc::new(image))
    }
}
