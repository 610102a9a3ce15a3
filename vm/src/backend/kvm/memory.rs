//! The guest's memory.
#![expect(
    unsafe_code,
    reason = "only the kernel knows that a guest may use this process's memory as its own"
)]

use std::io;
use std::sync::Arc;

use kvm_bindings::kvm_userspace_memory_region;
use kvm_ioctls::VmFd;
use vm_memory::mmap::MmapRegion;
use vm_memory::{
    Address, GuestAddress, GuestMemoryBackend, GuestMemoryMmap, GuestMemoryRegion, GuestRegionMmap,
};

use super::arch;
use crate::error::Error;

/// What a large page has, in bytes: where both the guest's and this process's addresses are multiples of it, the
/// processor finds both by one entry of its tables, and the host gives memory in one go.
const LARGE: usize = 2 << 20;

/// A machine's file, and the memory that it uses: neither goes before the other.
#[derive(Debug)]
pub(super) struct Memory {
    /// Before the memory: fields are dropped in this order.
    vm: VmFd,
    guest: GuestMemoryMmap,
    _held: Vec<Held>,
}

impl Memory {
    /// Makes memory of so many bytes and gives it to a machine; pages are taken when they are used.
    pub(super) fn give(vm: VmFd, len: u64) -> Result<Self, Error> {
        let failed = |error| Error::host("make the guest's memory", error);
        let mut held = Vec::new();
        let mut regions = Vec::new();
        for (start, len) in arch::memory(len) {
            let mapped = Held::map(usize::try_from(len).unwrap_or(usize::MAX)).map_err(failed)?;
            let region = GuestRegionMmap::with_arc(Arc::clone(&mapped.region), GuestAddress(start));
            regions.push(region.ok_or_else(|| failed(io::ErrorKind::InvalidInput.into()))?);
            held.push(mapped);
        }
        let guest = GuestMemoryMmap::from_regions(regions)
            .map_err(|error| failed(io::Error::other(error)))?;
        for (slot, region) in (0..).zip(guest.iter()) {
            let region = kvm_userspace_memory_region {
                slot,
                flags: 0,
                guest_phys_addr: region.start_addr().raw_value(),
                memory_size: region.len(),
                userspace_addr: u64::try_from(region.as_ptr().addr())
                    .map_err(|error| failed(io::Error::other(error)))?,
            };
            // SAFETY: the region is mapped with this length, and stays so for as long as the machine's file
            // is open: both stand in one structure, whose memory is dropped after the file. (Processors
            // hold the machine open, too: `Running` ends their threads before it drops this.) Regions
            // do not overlap, and this process reads and writes them by volatile accesses only.
            unsafe { vm.set_user_memory_region(region) }.map_err(|error| failed(error.into()))?;
        }
        Ok(Self {
            vm,
            guest,
            _held: held,
        })
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

/// A region of memory that begins at a multiple of a large page, inside of a mapping that is longer.
#[derive(Debug)]
struct Held {
    region: Arc<MmapRegion>,
    mapping: Option<MmapRegion>,
}

impl Held {
    fn map(len: usize) -> io::Result<Self> {
        let whole = len.checked_add(LARGE).ok_or(io::ErrorKind::OutOfMemory)?;
        let mapping = MmapRegion::new(whole).map_err(io::Error::other)?;
        let start = mapping.as_ptr();
        let skipped = start.addr().next_multiple_of(LARGE) - start.addr();
        let start = start.wrapping_add(skipped);
        // SAFETY: it lies inside of the mapping, which has room for as much more as was skipped, and is mapped
        // for as long as anybody has the region: `drop` sees to that.
        let region = unsafe { MmapRegion::build_raw(start, len, mapping.prot(), mapping.flags()) };
        let region = Arc::new(region.map_err(io::Error::other)?);
        // SAFETY: this is memory of the region, whose content does not change by it. A kernel that has no large pages
        // gives small ones.
        let _ = unsafe { libc::madvise(start.cast(), len, libc::MADV_HUGEPAGE) };
        Ok(Self {
            region,
            mapping: Some(mapping),
        })
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // Whoever still has the region keeps the memory: it is not given back then.
        if Arc::strong_count(&self.region) > 1 {
            std::mem::forget(self.mapping.take());
        }
    }
}
