//! Serving a queue, whatever is in it.

use std::io::{Read, Write};

use virtio_queue::{DescriptorChain, Queue, QueueOwnedT, QueueT};
use vm_memory::GuestMemoryMmap;

use super::{Broken, Queues};

/// Descriptors that belong together, as they were taken from a queue.
pub(super) type Chain<'a> = DescriptorChain<&'a GuestMemoryMmap>;

impl Queues<'_> {
    /// Returns a queue that the driver uses.
    fn queue(&mut self, number: usize) -> Option<&mut Queue> {
        self.queues.get_mut(number).filter(|queue| queue.ready())
    }

    /// Takes chains from a queue and gives them back until `each` wants no more, at most as many as
    /// fit into the queue; tells whether there may be more at once.
    ///
    /// `each` returns how many bytes of the chain it has written; `None` leaves the chain where it is and
    /// ends the round.
    pub(super) fn each(
        &mut self,
        number: usize,
        mut each: impl FnMut(Chain<'_>) -> Result<Option<u32>, Broken>,
    ) -> Result<bool, Broken> {
        let (memory, interrupt) = (self.memory, self.interrupt);
        let Some(queue) = self.queue(number) else {
            return Ok(false);
        };
        queue.disable_notification(memory)?;
        let mut served = 0;
        let mut left = false;
        while served < queue.size() {
            let Some(chain) = queue.iter(memory)?.next() else {
                break;
            };
            let head = chain.head_index();
            let Some(written) = each(chain)? else {
                let before = queue.next_avail().wrapping_sub(1);
                queue.set_next_avail(before);
                left = true;
                break;
            };
            queue.add_used(memory, head, written)?;
            served += 1;
        }
        if served > 0 && queue.needs_notification(memory)? {
            interrupt.used();
        }
        if left {
            return Ok(false);
        }
        Ok(served == queue.size() || queue.enable_notification(memory)?)
    }

    /// Lets `serve` take what it wants from a queue, a round of it; tells whether there may be more at once.
    pub(super) fn round(
        &mut self,
        number: usize,
        serve: impl FnOnce(&mut Queue, &GuestMemoryMmap) -> Result<usize, Broken>,
    ) -> Result<bool, Broken> {
        let (memory, interrupt) = (self.memory, self.interrupt);
        let Some(queue) = self.queue(number) else {
            return Ok(false);
        };
        queue.disable_notification(memory)?;
        let served = serve(queue, memory)?;
        if served > 0 && queue.needs_notification(memory)? {
            interrupt.used();
        }
        Ok(served > 0 || queue.enable_notification(memory)?)
    }
}

/// Reads what the driver wrote into a chain, at most `limit` bytes.
///
/// # Errors
/// A chain that leads out of memory, or is longer.
pub(super) fn read(
    chain: Chain<'_>,
    memory: &GuestMemoryMmap,
    limit: usize,
    out: &mut Vec<u8>,
) -> Result<(), Broken> {
    let mut reader = chain.reader(memory)?;
    let len = reader.available_bytes();
    if len > limit {
        return Err(Broken);
    }
    let before = out.len();
    out.resize(before + len, 0);
    reader.read_exact(&mut out[before..]).map_err(|_| Broken)
}

/// Writes bytes into a chain as far as there is room; returns how many.
///
/// # Errors
/// A chain that leads out of memory.
pub(super) fn write(
    chain: Chain<'_>,
    memory: &GuestMemoryMmap,
    bytes: &[u8],
) -> Result<usize, Broken> {
    let mut writer = chain.writer(memory)?;
    let len = writer.available_bytes().min(bytes.len());
    writer.write_all(&bytes[..len]).map_err(|_| Broken)?;
    Ok(len)
}
