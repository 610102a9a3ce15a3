//! The registers with which a processor begins.

use kvm_bindings::{Msrs, kvm_fpu, kvm_msr_entry, kvm_regs, kvm_segment};
use kvm_ioctls::VcpuFd;
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

use super::kernel::{Loaded, Mode};
use super::layout::{BOOT_INFO, FIRMWARE, GDT, PAGE_TABLES, STACK};
use super::ports::{RESET, RESET_VALUE};
use crate::error::Error;

/// The code segment's selector, as Linux wants it; data and task state follow.
const CODE: u16 = 0x10;

/// Bits of control registers.
const CR0_PE: u64 = 1;
const CR0_ET: u64 = 1 << 4;
const CR0_PG: u64 = 1 << 31;
const CR4_PAE: u64 = 1 << 5;
const EFER_LME: u64 = 1 << 8;
const EFER_LMA: u64 = 1 << 10;

/// Bits of a page table's entry: there, writable; and a large page.
const PRESENT: u64 = 0x3;
const LARGE: u64 = 1 << 7;

/// Model-specific registers: fast string operations, and memory that is cached.
const MISC_ENABLE: u32 = 0x1a0;
const MTRR_DEF_TYPE: u32 = 0x2ff;

/// Registers of the local interrupt controller: its two pins.
const LVT_LINT0: usize = 0x350;
const LVT_LINT1: usize = 0x360;
/// What comes in at a pin: interrupts of the old controller, or what cannot be masked.
const EXT_INT: u32 = 0x700;
const NMI: u32 = 0x400;

/// Makes a processor ready; all but the first wait to be started by the kernel.
pub(super) fn set(
    vcpu: &VcpuFd,
    number: u32,
    memory: &GuestMemoryMmap,
    loaded: &Loaded,
) -> Result<(), Error> {
    let failed = |error| Error::host("set the processor's registers", std::io::Error::from(error));
    let misc = [(MISC_ENABLE, 1), (MTRR_DEF_TYPE, 0x806)];
    let misc = misc.map(|(index, data)| kvm_msr_entry {
        index,
        data,
        ..kvm_msr_entry::default()
    });
    let misc = Msrs::from_entries(&misc).expect("two are fewer than the most");
    // What a processor does not have it does not need.
    vcpu.set_msrs(&misc).map_err(failed)?;
    pins(vcpu).map_err(failed)?;
    let fpu = kvm_fpu {
        fcw: 0x37f,
        mxcsr: 0x1f80,
        ..kvm_fpu::default()
    };
    vcpu.set_fpu(&fpu).map_err(failed)?;
    if number > 0 {
        return Ok(());
    }
    let mut special = vcpu.get_sregs().map_err(failed)?;
    let wide = loaded.mode == Mode::Linux64;
    special.cs = segment(CODE, 0xb, wide);
    let data = segment(CODE + 8, 0x3, wide);
    for register in [
        &mut special.ds,
        &mut special.es,
        &mut special.fs,
        &mut special.gs,
        &mut special.ss,
    ] {
        *register = data;
    }
    special.tr = kvm_segment {
        limit: 0x67,
        type_: 0xb,
        present: 1,
        selector: CODE + 16,
        ..kvm_segment::default()
    };
    special.gdt.base = GDT;
    special.gdt.limit = 5 * 8 - 1;
    special.idt.base = 0;
    special.idt.limit = 0;
    special.cr0 = CR0_PE | CR0_ET;
    if wide {
        special.cr0 |= CR0_PG;
        special.cr3 = PAGE_TABLES;
        special.cr4 = CR4_PAE;
        special.efer = EFER_LME | EFER_LMA;
    }
    tables(memory, wide)?;
    vcpu.set_sregs(&special).map_err(failed)?;
    let mut registers = kvm_regs {
        rflags: 2,
        rip: loaded.entry,
        rsp: STACK,
        rbp: STACK,
        ..kvm_regs::default()
    };
    match loaded.mode {
        Mode::Linux64 => registers.rsi = BOOT_INFO,
        Mode::Pvh => registers.rbx = BOOT_INFO,
    }
    vcpu.set_regs(&registers).map_err(failed)
}

/// A flat segment of code or data.
fn segment(selector: u16, kind: u8, wide: bool) -> kvm_segment {
    let code = kind & 8 != 0;
    kvm_segment {
        base: 0,
        limit: 0xffff_ffff,
        selector,
        type_: kind,
        present: 1,
        dpl: 0,
        db: u8::from(!(code && wide)),
        s: 1,
        l: u8::from(code && wide),
        g: 1,
        ..kvm_segment::default()
    }
}

/// All the firmware that there is: `mov dx, RESET; mov al, RESET_VALUE; out dx, al; hlt`, in 16-bit mode.
fn firmware() -> u64 {
    let [low, high] = RESET.to_le_bytes();
    u64::from_le_bytes([0xba, low, high, 0xb0, RESET_VALUE, 0xee, 0xf4, 0])
}

/// Writes segment descriptors, and page tables that map the first GiB to itself; and the firmware.
fn tables(memory: &GuestMemoryMmap, wide: bool) -> Result<(), Error> {
    put(memory, FIRMWARE, firmware())?;
    let code = if wide {
        0x00af_9b00_0000_ffff
    } else {
        0x00cf_9b00_0000_ffff
    };
    let descriptors: [u64; 5] = [0, 0, code, 0x00cf_9300_0000_ffff, 0x0000_8b00_0000_0067];
    for (at, descriptor) in (GDT..).step_by(8).zip(descriptors) {
        put(memory, at, descriptor)?;
    }
    if !wide {
        return Ok(());
    }
    let (second, third) = (PAGE_TABLES + 0x1000, PAGE_TABLES + 0x2000);
    put(memory, PAGE_TABLES, second | PRESENT)?;
    put(memory, second, third | PRESENT)?;
    for number in 0..512 {
        put(memory, third + number * 8, (number << 21) | LARGE | PRESENT)?;
    }
    Ok(())
}

fn put(memory: &GuestMemoryMmap, at: u64, value: u64) -> Result<(), Error> {
    memory
        .write_obj(value, GuestAddress(at))
        .map_err(|error| Error::host("write the guest's memory", std::io::Error::other(error)))
}

/// Connects the pins of the local interrupt controller as firmware does.
fn pins(vcpu: &VcpuFd) -> Result<(), kvm_ioctls::Error> {
    let mut controller = vcpu.get_lapic()?;
    for (register, kind) in [(LVT_LINT0, EXT_INT), (LVT_LINT1, NMI)] {
        let bytes = kind.to_le_bytes();
        for (to, byte) in controller.regs[register..].iter_mut().zip(bytes) {
            *to = i8::from_le_bytes([byte]);
        }
    }
    vcpu.set_lapic(&controller)
}
