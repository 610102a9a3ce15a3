//! What is particular to x86-64.
//!
//! ```text
//!  layout     where memory, tables and registers lie
//!  kernel     a bzImage or an ELF put into memory, with what it is told
//!  entry      the registers a processor begins with
//!  cpuid      what a processor says it can do
//!  acpi       the tables that announce processors and devices
//!  ports      the serial port, the keyboard controller's reset line, the registers for sleep, reset and panic
//! ```

mod acpi;
mod cpuid;
mod entry;
mod kernel;
mod layout;
mod ports;

use kvm_bindings::{KVM_PIT_SPEAKER_DUMMY, kvm_pit_config};
use kvm_ioctls::{Kvm, VcpuFd, VmFd};

use super::memory::Memory;
use crate::error::Error;

pub(super) use self::kernel::{Loaded, boots, load};
pub(super) use self::layout::{
    FIRST_LINE, MAX_DEVICES, REGISTERS, REGISTERS_LEN, SERIAL_LINE, memory,
};
pub(super) use self::ports::Ports;

/// What stands on every kernel's command line: no devices that are not there are looked for, and a kernel
/// that cannot go on ends the machine, by the register for that.
pub(super) const COMMAND_LINE: &str = "console=ttyS0 quiet panic=-1 reboot=acpi pci=off 8250.nr_uarts=1 \
     cryptomgr.notests random.trust_cpu=on no_timer_check";

/// Gives a machine its interrupt controllers.
pub(super) fn prepare(vm: &VmFd) -> Result<(), Error> {
    let failed = |what: &str, error: kvm_ioctls::Error| {
        Error::host(
            format!("give the machine its {what}"),
            std::io::Error::from(error),
        )
    };
    // What processors without a mode for real addresses need, in nobody's way.
    let address = usize::try_from(layout::TSS).unwrap_or(0);
    vm.set_tss_address(address)
        .map_err(|error| failed("task state", error))?;
    vm.set_identity_map_address(layout::IDENTITY_MAP)
        .map_err(|error| failed("identity map", error))?;
    vm.create_irq_chip()
        .map_err(|error| failed("interrupt controllers", error))?;
    let pit = kvm_pit_config {
        flags: KVM_PIT_SPEAKER_DUMMY,
        ..kvm_pit_config::default()
    };
    vm.create_pit2(pit).map_err(|error| failed("timer", error))
}

/// Puts the tables into memory that say what the machine has.
pub(super) fn announce(memory: &Memory, cpus: u32, devices: u32) -> Result<(), Error> {
    acpi::write(memory.guest(), cpus, devices)
}

/// Makes a processor ready to enter the kernel; all but the first wait to be started by it.
pub(super) fn ready(
    kvm: &Kvm,
    vcpu: &VcpuFd,
    number: u32,
    cpus: u32,
    memory: &Memory,
    loaded: &Loaded,
) -> Result<(), Error> {
    cpuid::set(kvm, vcpu, number, cpus)?;
    entry::set(vcpu, number, memory.guest(), loaded)
}
