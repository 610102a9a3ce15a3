//! The guest's memory.
#![expect(
    unsafe_code,
    reason = "only the kernel knows that a guest may use this process's memory as its own"
)]

use kvm_bindings::kvm_userspace_memory_region;
use kvm_ioctls::VmFd;
use vm_memory::{Address, GuestAddress, GuestMemoryBackend, GuestMemoryMmap, GuestMemoryRegion};

use super::arch;
use crate::error::Error;

/// A machine's file, and the memory that it uses: neither goes before the other.
#[derive(Debug)]
pub(super) struct Memory {
    /// Before the memory: fields are dropped in this order.
    vm: VmFd,
    guest: GuestMemoryMmap,
}

impl Memory {
    /// Makes memory of so many bytes and gives it to a machine; pages are taken when they are used.
    pub(super) fn give(vm: VmFd, len: u64) -> Result<Self, Error> {
        let ranges: Vec<(GuestAddress, usize)> = arch::memory(len)
            .into_iter()
            .map(|(start, len)| {
                (
                    GuestAddress(start),
                    usize::try_from(len).unwrap_or(usize::MAX),
                )
            })
            .collect();
        let failed = |error| Error::host("make the guest's memory", error);
        let guest = GuestMemoryMmap::from_ranges(&ranges)
            .map_err(|error| failed(std::io::Error::other(error)))?;
        for (slot, region) in (0..).zip(guest.iter()) {
            let region = kvm_userspace_memory_region {
                slot,
                flags: 0,
                guest_phys_addr: region.start_addr().raw_value(),
                memory_size: region.len(),
                userspace_addr: u64::try_from(region.as_ptr().addr())
                    .map_err(|error| failed(std::io::Error::other(error)))?,
            };
            // SAFETY: the region is mapped with this length, and stays so for as long as the machine's file
            // is open: both stand in one structure, whose memory is dropped after the file. (Processors
            // hold the machine open, too: `Running` ends their threads before it drops this.) Regions
            // do not overlap, and this process reads and writes them by volatile accesses only.
            unsafe { vm.set_user_memory_region(region) }.map_err(|error| failed(error.into()))?;
        }
        Ok(Self { vm, guest })
    }

    /// Returns the machine.
    pub(super) fn vm(&self) -> &VmFd {
        &self.vm
    }

    /// Returns the memory, for reading and writing.
    pub(super) fn guest(&self) -> &GuestMemoryMmap {
        &self.guest
    }
}
