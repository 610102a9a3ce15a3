//! The device behind the protocol: one queue of block requests.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock};

use vhost::vhost_user::message::{VhostUserProtocolFeatures, VhostUserVirtioFeatures};
use vhost_user_backend::{VhostUserBackend, VringMutex, VringT};
use vm_memory::{GuestAddressSpace, GuestMemoryAtomic, GuestMemoryMmap};
use vmm_sys_util::epoll::EventSet;
use vmm_sys_util::event::{
    EventConsumer, EventFlag, EventNotifier, new_event_consumer_and_notifier,
};

use crate::Disk;
use crate::virtio_blk::{Faults, configuration, features, process};

/// Most descriptors of a queue.
const QUEUE_SIZE: usize = 256;

type Memory = GuestMemoryAtomic<GuestMemoryMmap>;

/// A disk, and where the guest's memory is.
#[derive(Debug)]
pub(super) struct Backend {
    disk: Disk,
    memory: RwLock<Option<Memory>>,
    event_idx: AtomicBool,
    faults: Faults,
    broken: AtomicBool,
}

impl Backend {
    pub(super) fn new(disk: Disk) -> Self {
        Self {
            disk,
            memory: RwLock::new(None),
            event_idx: AtomicBool::new(false),
            faults: Faults::default(),
            broken: AtomicBool::new(false),
        }
    }

    pub(super) fn faults(&self) -> &Faults {
        &self.faults
    }

    /// Tells whether the guest's queue cannot be served any more.
    pub(super) fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Relaxed)
    }

    /// Serves what stands in the queue, and says so to the guest.
    fn serve(&self, vring: &VringMutex<Memory>) -> io::Result<bool> {
        let memory = self
            .memory
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let Some(memory) = memory.map(|memory| memory.memory()) else {
            return Ok(false);
        };
        let mut state = vring.get_mut();
        let served = process(state.get_queue_mut(), &memory, &self.disk, &self.faults)
            .map_err(|error| self.broke(error))?;
        if served > 0
            && state
                .needs_notification()
                .map_err(|error| self.broke(error))?
        {
            state.signal_used_queue()?;
        }
        Ok(served > 0)
    }

    fn broke(&self, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
        self.broken.store(true, Ordering::Relaxed);
        io::Error::other(error)
    }
}

impl VhostUserBackend for Backend {
    type Bitmap = ();
    type Vring = VringMutex<Memory>;

    fn num_queues(&self) -> usize {
        1
    }

    fn max_queue_size(&self) -> usize {
        QUEUE_SIZE
    }

    fn features(&self) -> u64 {
        features(&self.disk) | VhostUserVirtioFeatures::PROTOCOL_FEATURES.bits()
    }

    fn protocol_features(&self) -> VhostUserProtocolFeatures {
        VhostUserProtocolFeatures::CONFIG | VhostUserProtocolFeatures::REPLY_ACK
    }

    fn set_event_idx(&self, enabled: bool) {
        self.event_idx.store(enabled, Ordering::Relaxed);
    }

    fn get_config(&self, offset: u32, size: u32) -> Vec<u8> {
        let space = configuration(&self.disk);
        let (start, len) = (
            usize::try_from(offset).unwrap_or(usize::MAX),
            usize::try_from(size).unwrap_or(usize::MAX),
        );
        // Fields of later versions are zero, as far as the protocol lets anybody ask.
        if start > 256 || len > 256 {
            return Vec::new();
        }
        let mut padded = space;
        padded.resize(start.saturating_add(len).max(padded.len()), 0);
        padded.drain(..start);
        padded.truncate(len);
        padded
    }

    fn update_memory(&self, memory: Memory) -> io::Result<()> {
        *self.memory.write().unwrap_or_else(PoisonError::into_inner) = Some(memory);
        Ok(())
    }

    fn exit_event(&self, _thread: usize) -> Option<(EventConsumer, EventNotifier)> {
        new_event_consumer_and_notifier(EventFlag::NONBLOCK | EventFlag::CLOEXEC).ok()
    }

    fn handle_event(
        &self,
        _event: u16,
        _set: EventSet,
        vrings: &[Self::Vring],
        _thread: usize,
    ) -> io::Result<()> {
        let Some(vring) = vrings.first() else {
            return Ok(());
        };
        if !self.event_idx.load(Ordering::Relaxed) {
            while self.serve(vring)? {}
            return Ok(());
        }
        // The driver says when it wants to be heard again: until nothing came meanwhile.
        loop {
            let quiet = |error| self.broke(error);
            vring.get_mut().disable_notification().map_err(quiet)?;
            while self.serve(vring)? {}
            if !vring.get_mut().enable_notification().map_err(quiet)? {
                return Ok(());
            }
        }
    }
}
