//! The virtio block device: what a guest's driver asks for, over queues in the guest's memory.
//!
//! [Virtual I/O Device (VIRTIO) 1.2](https://docs.oasis-open.org/virtio/virtio/v1.2/virtio-v1.2.html),
//! section 5.2. [`process`] serves what stands in a queue, and [`features`] and [`configuration`]
//! say what the device is; whoever has the guest's memory (a [server](crate::vhost_user), a
//! monitor of its own) brings both together. A guest is hostile: every address, length and sector
//! that it gives is checked, and a request takes no more memory than a piece of its data.

mod configuration;
mod queue;
mod request;
#[cfg(test)]
mod tests;

pub use self::configuration::{EVENT_IDX, MAX_TRANSFER, configuration, features};
pub use self::queue::{QueueError, process};
pub use self::request::{Faults, Status, answer};

/// The unit of all offsets and lengths, in bytes.
pub const SECTOR: u64 = 512;
