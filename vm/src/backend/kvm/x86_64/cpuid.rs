//! What a processor says it can do: what the host's can, as far as KVM passes it on.

use kvm_bindings::{KVM_MAX_CPUID_ENTRIES, kvm_cpuid_entry2};
use kvm_ioctls::{Cap, Kvm, VcpuFd};

use crate::error::Error;

/// Leaf 1, ECX: the timer of the local interrupt controller takes a moment of the time stamp counter.
const TSC_DEADLINE: u32 = 1 << 24;
/// Leaf 1, ECX, and leaf 0x80000001, ECX: the processor runs machines itself, Intel's and AMD's.
const VMX: u32 = 1 << 5;
const SVM: u32 = 1 << 2;
/// Leaf 1, ECX: this is a virtual machine.
const HYPERVISOR: u32 = 1 << 31;

/// Sets what a processor says.
pub(super) fn set(kvm: &Kvm, vcpu: &VcpuFd, number: u32, cpus: u32) -> Result<(), Error> {
    let failed = |error| Error::host("say what the processor can do", std::io::Error::from(error));
    let mut cpuid = kvm
        .get_supported_cpuid(KVM_MAX_CPUID_ENTRIES)
        .map_err(failed)?;
    let deadline = kvm.check_extension(Cap::TscDeadlineTimer);
    for entry in cpuid.as_mut_slice() {
        adapt(entry, number, cpus, deadline);
    }
    vcpu.set_cpuid2(&cpuid).map_err(failed)
}

/// Makes the host's processor one of the guest's: all of them are cores of one package.
fn adapt(entry: &mut kvm_cpuid_entry2, number: u32, cpus: u32, deadline: bool) {
    match entry.function {
        1 => {
            // Guests of guests would make more of the host's kernel reachable than guests need.
            entry.ecx = (entry.ecx & !VMX) | HYPERVISOR;
            if deadline {
                entry.ecx |= TSC_DEADLINE;
            }
            entry.ebx = (entry.ebx & 0xffff) | (cpus << 16) | (number << 24);
            // More than one logical processor in the package.
            entry.edx = (entry.edx & !(1 << 28)) | (u32::from(cpus > 1) << 28);
        }
        // Intel's caches: one thread each, so many cores a package.
        4 => entry.eax = (entry.eax & 0x3fff) | ((cpus - 1) << 26),
        0xb | 0x1f => {
            entry.edx = number;
            let bits = u32::BITS - (cpus - 1).leading_zeros();
            let (shift, below, kind) = match entry.index {
                0 => (0, 1, 1),
                1 => (bits, cpus, 2),
                _ => (0, 0, 0),
            };
            entry.eax = shift;
            entry.ebx = below;
            entry.ecx = entry.index | (kind << 8);
        }
        0x8000_0001 => entry.ecx &= !SVM,
        0x8000_0008 => entry.ecx = (entry.ecx & !0xf0ff) | (cpus - 1),
        // AMD's topology: no core has two threads.
        0x8000_001e => {
            entry.eax = number;
            entry.ebx = number;
            entry.ecx = 0;
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_processor_is_told_its_own_number() {
        for number in 0..3 {
            let mut entry = kvm_cpuid_entry2 {
                function: 1,
                ebx: 0x0708_0800,
                ecx: VMX,
                ..kvm_cpuid_entry2::default()
            };
            adapt(&mut entry, number, 3, true);
            assert_eq!(entry.ebx, 0x0003_0800 | (number << 24));
            assert_eq!(entry.ecx, HYPERVISOR | TSC_DEADLINE);
            let mut entry = kvm_cpuid_entry2 {
                function: 0xb,
                index: 1,
                ..kvm_cpuid_entry2::default()
            };
            adapt(&mut entry, number, 3, true);
            assert_eq!((entry.eax, entry.ebx, entry.edx), (2, 3, number));
        }
    }
}
