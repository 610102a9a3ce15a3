//! Requests from a queue in the guest's memory.

use std::io::Write;

use virtio_queue::{DescriptorChain, Queue, QueueOwnedT, QueueT};
use vm_memory::GuestMemoryMmap;

use super::request::{Faults, Status, answer};
use crate::Disk;

/// The queue itself is broken: nothing more can be served from it.
#[derive(Debug, thiserror::Error)]
#[error("the guest's queue of block requests is broken")]
pub struct QueueError(#[from] virtio_queue::Error);

/// Serves every request that stands in a queue, and returns how many there were.
///
/// A request whose descriptors lead outside of the guest's memory comes back without a status.
///
/// # Errors
/// When the rings themselves lie where no memory is, or contradict themselves.
pub fn process(
    queue: &mut Queue,
    memory: &GuestMemoryMmap,
    disk: &Disk,
    faults: &Faults,
) -> Result<usize, QueueError> {
    let mut served = 0;
    while let Some(chain) = queue.iter(memory)?.next() {
        let head = chain.head_index();
        let written = request(chain, memory, disk, faults).unwrap_or(0);
        queue.add_used(memory, head, written)?;
        served += 1;
        // A guest that puts requests in as fast as they are served gets its answers meanwhile.
        if served >= usize::from(queue.size()) {
            break;
        }
    }
    Ok(served)
}

/// Serves one request and returns how many bytes of the guest's were written; nothing when its
/// descriptors are no request.
fn request(
    chain: DescriptorChain<&GuestMemoryMmap>,
    memory: &GuestMemoryMmap,
    disk: &Disk,
    faults: &Faults,
) -> Option<u32> {
    let mut input = chain.clone().reader(memory).ok()?;
    let mut output = chain.writer(memory).ok()?;
    let data_len = output.available_bytes().checked_sub(1)?;
    let mut last = output.split_at(data_len).ok()?;
    let input_len = input.available_bytes();
    let status = answer(
        disk,
        faults,
        &mut input,
        u64::try_from(input_len).ok()?,
        &mut output,
        u64::try_from(data_len).ok()?,
    );
    last.write_all(&[status.byte()]).ok()?;
    // What was not written is not said to be: the driver would take old memory for data.
    let data = match status {
        Status::Ok => output.bytes_written(),
        Status::IoError | Status::Unsupported => 0,
    };
    u32::try_from(data).ok()?.checked_add(1)
}
