//! A kernel in a guest's memory, and what it is told about its machine.
//!
//! [The Linux/x86 boot protocol](https://docs.kernel.org/arch/x86/boot.html), its entry for 64 bits, and
//! [PVH](https://xenbits.xen.org/docs/unstable/misc/pvh.html).

use std::fs::File;
use std::io;

use linux_loader::configurator::linux::LinuxBootConfigurator;
use linux_loader::configurator::pvh::PvhBootConfigurator;
use linux_loader::configurator::{BootConfigurator, BootParams};
use linux_loader::loader::bootparam::{boot_e820_entry, boot_params, setup_header};
use linux_loader::loader::bzimage::BzImage;
use linux_loader::loader::elf::start_info::{
    hvm_memmap_table_entry, hvm_modlist_entry, hvm_start_info,
};
use linux_loader::loader::elf::{Elf, PvhBootCapability};
use linux_loader::loader::{KernelLoader, KernelLoaderResult};
use vm_memory::{Bytes, GuestAddress, GuestMemoryBackend, GuestMemoryMmap, GuestMemoryRegion};

use super::layout::{ACPI, BOOT_INFO, BOOT_MAP, COMMAND_LINE, COMMAND_LINE_LEN, HIGH, LOW_END};
use crate::error::Error;
use crate::kernel::Format;

/// The entry for 64 bits lies so far behind the start of a bzImage.
const ENTRY_64: u64 = 0x200;
/// In the header's `xloadflags`: there is such an entry.
const XLF_KERNEL_64: u16 = 1;
/// A boot loader without a number of its own.
const LOADER: u8 = 0xff;
/// What an ELF is told in place of a header that it does not have.
const BOOT_MAGIC: (u16, u32) = (0xaa55, 0x5372_6448);
/// `hvm_start_info.magic`.
const PVH_MAGIC: u32 = 0x336e_c578;
/// A kind of memory: ordinary, or not for the kernel.
const RAM: u32 = 1;
const RESERVED: u32 = 2;
/// Below this address an initial RAM disk lies, whatever the kernel.
const INITRD_END: u64 = 0x3800_0000;

/// Tells whether kernels of a format are entered here.
pub(in crate::backend::kvm) fn boots(format: Format) -> bool {
    matches!(format, Format::BzImage | Format::Vmlinux)
}

/// How a kernel is entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// In 64-bit mode, with Linux's own structure.
    Linux64,
    /// In 32-bit mode without paging, with PVH's structure.
    Pvh,
}

/// A kernel that was put into memory.
#[derive(Debug)]
pub(in crate::backend::kvm) struct Loaded {
    pub(super) entry: u64,
    pub(super) mode: Mode,
}

/// Puts a kernel into memory, its command line and its initial RAM disk.
///
/// # Errors
/// A file that is no kernel for this machine; too little memory.
pub(in crate::backend::kvm) fn load(
    memory: &GuestMemoryMmap,
    kernel: &mut File,
    format: Format,
    line: &str,
    initramfs: &[u8],
) -> Result<Loaded, Error> {
    let result = match format {
        Format::BzImage => BzImage::load(memory, None, kernel, Some(GuestAddress(HIGH))),
        _ => Elf::load(memory, None, kernel, Some(GuestAddress(HIGH))),
    }
    .map_err(|error| Error::host("load the kernel", io::Error::other(error)))?;
    write_line(memory, line)?;
    let initrd = write_initrd(memory, initramfs, end(&result))?;
    match result.pvh_boot_cap {
        PvhBootCapability::PvhEntryPresent(entry) => {
            tell_pvh(memory, initrd)?;
            Ok(Loaded {
                entry: entry.0,
                mode: Mode::Pvh,
            })
        }
        _ => tell_linux(memory, &result, initrd, line.len()),
    }
}

/// Returns where a kernel's room ends, once it has unpacked itself.
fn end(result: &KernelLoaderResult) -> u64 {
    let unpacked = result
        .setup_header
        .map(|header| header.pref_address.saturating_add(header.init_size.into()));
    result.kernel_end.max(unpacked.unwrap_or(0))
}

fn failed(what: &'static str) -> impl Fn(vm_memory::GuestMemoryError) -> Error {
    move |error| Error::host(what, io::Error::other(error))
}

fn write_line(memory: &GuestMemoryMmap, line: &str) -> Result<(), Error> {
    if line.len() >= COMMAND_LINE_LEN || line.contains('\0') {
        let source = io::Error::other("it is too long");
        return Err(Error::host("write the kernel's command line", source));
    }
    let bytes = [line.as_bytes(), &[0]].concat();
    memory
        .write_slice(&bytes, GuestAddress(COMMAND_LINE))
        .map_err(failed("write the kernel's command line"))
}

/// Puts the initial RAM disk as high as every kernel takes it; returns its start and length.
fn write_initrd(
    memory: &GuestMemoryMmap,
    initramfs: &[u8],
    kernel_end: u64,
) -> Result<(u64, u64), Error> {
    let len = u64::try_from(initramfs.len()).unwrap_or(u64::MAX);
    let end = low(memory).min(INITRD_END);
    let start = end.checked_sub(len).map(|start| start & !0xfff);
    let start = start.filter(|start| *start >= kernel_end).ok_or_else(|| {
        let source = io::Error::other("there is not enough memory for it beside the kernel");
        Error::host("load the initial RAM disk", source)
    })?;
    memory
        .write_slice(initramfs, GuestAddress(start))
        .map_err(failed("load the initial RAM disk"))?;
    Ok((start, len))
}

/// Returns the end of memory below the gap.
fn low(memory: &GuestMemoryMmap) -> u64 {
    memory.iter().next().map_or(0, GuestMemoryRegion::len)
}

/// Returns what memory there is: start, length, kind.
fn map(memory: &GuestMemoryMmap) -> Vec<(u64, u64, u32)> {
    let mut map = vec![
        (0, LOW_END, RAM),
        (LOW_END, HIGH - LOW_END, RESERVED),
        (HIGH, low(memory).saturating_sub(HIGH), RAM),
    ];
    let behind = memory.iter().skip(1);
    map.extend(behind.map(|region| (region.start_addr().0, region.len(), RAM)));
    map
}

/// Tells a kernel by Linux's own protocol.
fn tell_linux(
    memory: &GuestMemoryMmap,
    result: &KernelLoaderResult,
    (initrd, initrd_len): (u64, u64),
    line_len: usize,
) -> Result<Loaded, Error> {
    let field = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
    let mut params = boot_params::default();
    let entry = match result.setup_header {
        Some(header) if header.xloadflags & XLF_KERNEL_64 == 0 => {
            let source = io::Error::other("it is no kernel for 64 bits");
            return Err(Error::host("load the kernel", source));
        }
        Some(header) => {
            params.hdr = header;
            result.kernel_load.0 + ENTRY_64
        }
        None => {
            params.hdr = setup_header {
                boot_flag: BOOT_MAGIC.0,
                header: BOOT_MAGIC.1,
                kernel_alignment: 0x100_0000,
                ..setup_header::default()
            };
            result.kernel_load.0
        }
    };
    params.hdr.type_of_loader = LOADER;
    params.hdr.cmd_line_ptr = field(COMMAND_LINE);
    params.hdr.cmdline_size = field(u64::try_from(line_len).unwrap_or(0));
    params.hdr.ramdisk_image = field(initrd);
    params.hdr.ramdisk_size = field(initrd_len);
    params.acpi_rsdp_addr = ACPI;
    let map = map(memory);
    params.e820_entries = u8::try_from(map.len()).unwrap_or(u8::MAX);
    for (entry, (addr, size, kind)) in params.e820_table.iter_mut().zip(map) {
        *entry = boot_e820_entry {
            addr,
            size,
            r#type: kind,
        };
    }
    let params = BootParams::new::<boot_params>(&params, GuestAddress(BOOT_INFO));
    LinuxBootConfigurator::write_bootparams(&params, memory).map_err(|error| {
        Error::host("tell the kernel about its machine", io::Error::other(error))
    })?;
    Ok(Loaded {
        entry,
        mode: Mode::Linux64,
    })
}

/// Tells a kernel by PVH's protocol.
fn tell_pvh(memory: &GuestMemoryMmap, (initrd, initrd_len): (u64, u64)) -> Result<(), Error> {
    let map: Vec<hvm_memmap_table_entry> = map(memory)
        .into_iter()
        .map(|(addr, size, type_)| hvm_memmap_table_entry {
            addr,
            size,
            type_,
            reserved: 0,
        })
        .collect();
    let modules = [hvm_modlist_entry {
        paddr: initrd,
        size: initrd_len,
        ..hvm_modlist_entry::default()
    }];
    let modules_at = BOOT_MAP + 0x800;
    let info = hvm_start_info {
        magic: PVH_MAGIC,
        version: 1,
        nr_modules: 1,
        modlist_paddr: modules_at,
        cmdline_paddr: COMMAND_LINE,
        rsdp_paddr: ACPI,
        memmap_paddr: BOOT_MAP,
        memmap_entries: u32::try_from(map.len()).unwrap_or(0),
        ..hvm_start_info::default()
    };
    let mut params = BootParams::new::<hvm_start_info>(&info, GuestAddress(BOOT_INFO));
    params.set_sections::<hvm_memmap_table_entry>(&map, GuestAddress(BOOT_MAP));
    params.set_modules::<hvm_modlist_entry>(&modules, GuestAddress(modules_at));
    PvhBootConfigurator::write_bootparams(&params, memory)
        .map_err(|error| Error::host("tell the kernel about its machine", io::Error::other(error)))
}
