//! Machines on KVM that never run: where KVM is emulated, the kernel's code stays as it is while there are some.
//!
//! With the first machine that has a processor Linux patches its scheduler (a static key), and with the last one's end
//! once more. While one processor patches an instruction, another one that comes by takes a breakpoint. QEMU 7.2 with a
//! thread for each processor can go on to execute that breakpoint when it is gone: it translates what stands there
//! while the other thread writes, and keeps it. Then the emulated machine stands still, with a busy processor, about
//! once in ten times on a busy host.
//!
//! No key changes while there is a machine of each kind: with and without interrupt controllers of KVM's.
#![cfg(target_arch = "x86_64")]

use std::sync::OnceLock;

use kvm_ioctls::{Kvm, VcpuFd, VmFd};

type Machine = (VmFd, VcpuFd);

/// Makes both machines, if there is a KVM; they stay until this process ends.
pub fn keep() {
    static KEPT: OnceLock<Vec<Machine>> = OnceLock::new();
    KEPT.get_or_init(|| [true, false].into_iter().filter_map(machine).collect());
}

fn machine(controllers: bool) -> Option<Machine> {
    let vm = Kvm::new().ok()?.create_vm().ok()?;
    if controllers {
        vm.create_irq_chip().ok()?;
    }
    let vcpu = vm.create_vcpu(0).ok()?;
    Some((vm, vcpu))
}
