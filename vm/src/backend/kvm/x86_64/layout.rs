//! Where things lie in a guest's address space.
//!
//! ```text
//!  0x00000500  segment descriptors              0xd0000000  registers of virtio devices, 4 KiB each
//!  0x00007000  what the kernel is told          0xfec00000  interrupt controller of the machine
//!  0x00008ff0  the first stack's end            0xfee00000  interrupt controllers of processors
//!  0x00009000  page tables                      0xfffbc000  identity map, task state (the host's)
//!  0x00020000  the kernel's command line        0x100000000 memory beyond 3 GiB
//!  0x0009fc00  no memory for the kernel
//!  0x000e0000  ACPI tables
//!  0x000ffff0  what a processor begins with that is started anew
//!  0x00100000  the kernel, further memory up to 3 GiB; the initial RAM disk at its end
//! ```

/// Segment descriptors.
pub(super) const GDT: u64 = 0x500;
/// The structure in which the kernel is told about its machine.
pub(super) const BOOT_INFO: u64 = 0x7000;
/// What belongs to it where it does not fit.
pub(super) const BOOT_MAP: u64 = 0x8000;
/// The end of the first stack.
pub(super) const STACK: u64 = 0x8ff0;
/// Page tables: three levels, a page each.
pub(super) const PAGE_TABLES: u64 = 0x9000;
/// The kernel's command line.
pub(super) const COMMAND_LINE: u64 = 0x2_0000;
/// Room for the command line in bytes.
pub(super) const COMMAND_LINE_LEN: usize = 0x1000;
/// The end of memory below the first MiB.
pub(super) const LOW_END: u64 = 0x9_fc00;
/// Where kernels look for ACPI tables.
pub(super) const ACPI: u64 = 0xe_0000;
/// Where a processor of the first generation begins, and whoever wants the machine to start anew by its firmware.
pub(super) const FIRMWARE: u64 = 0xf_fff0;
/// Where further memory begins.
pub(super) const HIGH: u64 = 0x10_0000;
/// Where memory makes room for devices.
const GAP: u64 = 0xc000_0000;
/// Where it goes on.
const BEHIND_GAP: u64 = 0x1_0000_0000;
/// Registers of virtio devices.
pub(in crate::backend::kvm) const REGISTERS: u64 = 0xd000_0000;
/// How much of them a device has.
pub(in crate::backend::kvm) const REGISTERS_LEN: u64 = 0x1000;
/// The interrupt controller of the machine.
pub(super) const IO_APIC: u32 = 0xfec0_0000;
/// The interrupt controllers of processors.
pub(super) const LOCAL_APIC: u32 = 0xfee0_0000;
/// What the host's KVM needs.
pub(super) const IDENTITY_MAP: u64 = 0xfffb_c000;
/// The same.
pub(super) const TSS: u64 = 0xfffb_d000;

/// The serial port's interrupt line.
pub(in crate::backend::kvm) const SERIAL_LINE: u32 = 4;
/// The first interrupt line of virtio devices; each has its own.
pub(in crate::backend::kvm) const FIRST_LINE: u32 = 5;
/// How many virtio devices there can be: the machine has 24 lines.
pub(in crate::backend::kvm) const MAX_DEVICES: usize = 19;

/// Returns where memory of so many bytes lies: start and length of its regions.
pub(in crate::backend::kvm) fn memory(len: u64) -> Vec<(u64, u64)> {
    let mut regions = vec![(0, len.min(GAP))];
    if len > GAP {
        regions.push((BEHIND_GAP, len - GAP));
    }
    regions
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_leaves_room_for_devices() {
        assert_eq!(memory(1 << 28), [(0, 1 << 28)]);
        assert_eq!(memory(GAP), [(0, GAP)]);
        assert_eq!(memory(4 << 30), [(0, GAP), (BEHIND_GAP, 1 << 30)]);
        let end = REGISTERS + 19 * REGISTERS_LEN;
        assert!(REGISTERS >= GAP && end <= IO_APIC.into());
    }
}
