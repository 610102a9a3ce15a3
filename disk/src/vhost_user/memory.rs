//! The guest's memory as the monitor shares it.

use std::fs::File;

use vm_memory::{FileOffset, GuestAddress, GuestMemoryMmap, GuestRegionMmap};
use zerocopy::FromBytes;

use super::Error;
use super::message::{MAX_REGIONS, Message, RawRegion, RawTable};

/// All regions, mapped.
#[derive(Debug)]
pub(super) struct Memory {
    pub(super) guest: GuestMemoryMmap,
    /// Start as the monitor sees it, length, start as the guest sees it.
    regions: Vec<(u64, u64, u64)>,
}

impl Memory {
    /// Maps what a message shares.
    ///
    /// # Errors
    /// Regions that overlap or lie outside of their files, and as many files as there are not regions.
    pub(super) fn map(message: &Message, files: Vec<File>) -> Result<Self, Error> {
        let count = message.get::<RawTable>()?.count.get();
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        if count == 0 || count > MAX_REGIONS || count != files.len() {
            return Err(message.wrong("shares no memory, or other files than regions"));
        }
        let mut rest = message
            .payload
            .get(size_of::<RawTable>()..)
            .unwrap_or_default();
        let (mut mapped, mut regions) = (Vec::new(), Vec::new());
        for file in files {
            let (region, behind) = RawRegion::read_from_prefix(rest)
                .map_err(|_| message.wrong("is too short for its regions"))?;
            rest = behind;
            mapped
                .push(one(region, file).ok_or_else(|| message.wrong("shares what is not there"))?);
            let (user, guest) = (region.user_address.get(), region.guest_address.get());
            regions.push((user, region.size.get(), guest));
        }
        // The order is the monitor's; the map is sorted.
        mapped.sort_by_key(vm_memory::GuestMemoryRegion::start_addr);
        let guest = GuestMemoryMmap::from_regions(mapped)
            .map_err(|_| message.wrong("shares the same addresses twice"))?;
        Ok(Self { guest, regions })
    }

    /// Returns the guest's address of what the monitor has at one of its own.
    pub(super) fn translate(&self, user: u64) -> Option<u64> {
        self.regions.iter().find_map(|(start, len, guest)| {
            let within = user.checked_sub(*start).filter(|within| within < len)?;
            guest.checked_add(within)
        })
    }
}

/// Maps one region, if its file has it.
fn one(region: RawRegion, file: File) -> Option<GuestRegionMmap> {
    let (size, offset) = (region.size.get(), region.offset.get());
    let end = offset.checked_add(size)?;
    region.user_address.get().checked_add(size)?;
    // Behind the end of the file memory is no memory.
    if size == 0 || file.metadata().ok()?.len() < end {
        return None;
    }
    let size = usize::try_from(size).ok()?;
    let start = GuestAddress(region.guest_address.get());
    GuestRegionMmap::from_range(start, size, Some(FileOffset::new(file, offset))).ok()
}
