//! Virtio devices behind registers in memory.
//!
//! [Virtual I/O Device (VIRTIO) 1.2](https://docs.oasis-open.org/virtio/virtio/v1.2/virtio-v1.2.html).
//!
//! ```text
//!  registers  what the driver reads and writes: a device is found, agreed on, started, stopped
//!  worker     a device's thread: it waits until there is something to do
//!  rings      how queues are served, whatever is in them
//!  block      disks
//!  console    the channel
//!  entropy    random bytes
//! ```
//!
//! Notifications take no way through a processor's thread: the driver's is an eventfd that the
//! worker waits for, the device's is one that the kernel makes an interrupt of.

mod block;
mod console;
mod entropy;
pub mod fuzz;
mod registers;
mod rings;
#[cfg(test)]
mod tests;
mod worker;

use std::os::fd::RawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use virtio_queue::Queue;
use vm_memory::GuestMemoryMmap;
use vmm_sys_util::epoll::EventSet;
use vmm_sys_util::eventfd::EventFd;

pub(super) use self::block::Block;
pub(super) use self::console::Console;
pub(super) use self::entropy::Entropy;
pub(super) use self::registers::Registers;
pub(super) use self::worker::{Place, Worker};

/// Most descriptors of a queue.
const QUEUE_SIZE: u16 = 256;

/// The feature of every device that follows the current specification.
const VERSION_1: u64 = 1 << 32;

/// What a device is, apart from how it is reached.
#[derive(Clone, Debug)]
pub(super) struct Identity {
    /// The number of its kind.
    kind: u32,
    features: u64,
    queues: usize,
    configuration: Vec<u8>,
}

/// A device, as its thread sees it.
pub(super) trait Device: Send {
    fn identity(&self) -> Identity;

    /// Does what there is to do, for a while; tells whether there may be more at once.
    ///
    /// # Errors
    /// Queues that contradict themselves: the driver has to start anew.
    fn serve(&mut self, queues: &mut Queues<'_>) -> Result<bool, Broken>;

    /// The driver has started anew.
    fn reset(&mut self) {}

    /// Returns what else it waits for, and what for.
    fn waits(&self) -> Option<(RawFd, EventSet)> {
        None
    }

    /// The machine has ended: what it has said already is passed on.
    fn finish(&mut self, queues: Option<&mut Queues<'_>>) {
        let _ = queues;
    }
}

/// A driver that does not keep to the specification.
#[derive(Debug, thiserror::Error)]
#[error("a queue contradicts itself")]
pub(super) struct Broken;

impl From<virtio_queue::Error> for Broken {
    fn from(_: virtio_queue::Error) -> Self {
        Self
    }
}

/// The queues of a device that was started, and the memory they lie in.
pub(super) struct Queues<'a> {
    queues: &'a mut [Queue],
    memory: &'a GuestMemoryMmap,
    interrupt: &'a Interrupt,
}

/// A device's interrupt line, and why it interrupts.
#[derive(Clone, Debug)]
struct Interrupt {
    line: Arc<EventFd>,
    status: Arc<AtomicU32>,
}

impl Interrupt {
    const USED: u32 = 1;
    const CHANGED: u32 = 2;

    fn new(line: EventFd) -> Self {
        Self {
            line: Arc::new(line),
            status: Arc::default(),
        }
    }

    /// Interrupts, because something was used.
    fn used(&self) {
        self.because(Self::USED);
    }

    fn because(&self, reason: u32) {
        self.status.fetch_or(reason, Ordering::SeqCst);
        // What cannot be counted any more is pending already.
        let _ = self.line.write(1);
    }

    fn status(&self) -> u32 {
        self.status.load(Ordering::SeqCst)
    }

    fn acknowledge(&self, reasons: u32) {
        self.status.fetch_and(!reasons, Ordering::SeqCst);
    }
}
