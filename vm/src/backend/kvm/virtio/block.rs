//! Disks: [`forger_disk::virtio_blk`] serves their requests.

use forger_block::BlockRead;
use std::sync::Arc;

use forger_disk::{Disk as Served, virtio_blk};

use super::{Broken, Device, Identity, Queues};
use crate::backend::Disk;

/// The number of its kind.
const KIND: u32 = 2;

/// A disk of the machine's.
#[derive(Debug)]
pub(in crate::backend::kvm) struct Block {
    disk: Served,
    faults: Arc<virtio_blk::Faults>,
}

impl Block {
    /// Makes a device of a disk; what goes wrong with that is kept apart.
    pub(in crate::backend::kvm) fn new(disk: &Disk, faults: Arc<virtio_blk::Faults>) -> Self {
        Self {
            disk: match disk.read_only {
                true => Served::ReadOnly(Arc::clone(&disk.store) as Arc<dyn BlockRead>),
                false => Served::Writable(Arc::clone(&disk.store)),
            },
            faults,
        }
    }
}

impl Device for Block {
    fn identity(&self) -> Identity {
        Identity {
            kind: KIND,
            features: virtio_blk::features(&self.disk),
            queues: 1,
            configuration: virtio_blk::configuration(&self.disk),
        }
    }

    fn serve(&mut self, queues: &mut Queues<'_>) -> Result<bool, Broken> {
        queues.round(0, |queue, memory| {
            virtio_blk::process(queue, memory, &self.disk, &self.faults).map_err(|_| Broken)
        })
    }
}
