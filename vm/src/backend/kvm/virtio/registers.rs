//! The registers of a device: VIRTIO 1.2, section 4.2.2.
//!
//! ```text
//!  0x000 magic       0x010 device features   0x020 driver features   0x030 queue: select
//!  0x004 version     0x014 select them       0x024 select them       0x034 most descriptors
//!  0x008 kind                                                        0x038 descriptors
//!  0x00c vendor      0x050 notify            0x060 interrupt status  0x044 ready
//!  0x070 status      0x080 descriptors at    0x064 acknowledge       0x090 available at
//!  0x0a0 used at     0x0fc generation        0x100 configuration
//! ```
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use kvm_ioctls::{IoEventAddress, VmFd};
use virtio_queue::{Queue, QueueT};
use vm_memory::GuestMemoryMmap;
use vmm_sys_util::eventfd::EventFd;

use super::{Identity, Interrupt, QUEUE_SIZE};
use crate::channel::locked;

const MAGIC: u32 = u32::from_le_bytes(*b"virt");
const VERSION: u32 = 2;
const VENDOR: u32 = u32::from_le_bytes(*b"forg");
/// Where the driver notifies.
const NOTIFY: u64 = 0x50;
/// Where the configuration begins.
const CONFIGURATION: u64 = 0x100;

/// What the driver says in the status register.
mod status {
    pub(super) const ACKNOWLEDGE: u32 = 1;
    pub(super) const DRIVER: u32 = 2;
    pub(super) const DRIVER_OK: u32 = 4;
    pub(super) const FEATURES_OK: u32 = 8;
    pub(super) const NEEDS_RESET: u32 = 64;
    pub(super) const FAILED: u32 = 128;
}

/// Without events by index queues are simpler, and a bit of the features.
const EVENT_IDX: u64 = 1 << 29;

/// What the registers and the worker share.
#[derive(Debug)]
pub(super) struct Shared {
    /// The queues, once the driver has started the device.
    pub(super) active: Mutex<Active>,
    /// Notified when the worker has let go of the queues.
    pub(super) stopped: Condvar,
    /// The driver's status register.
    status: AtomicU32,
    pub(super) interrupt: Interrupt,
    /// Written when there is something to do.
    pub(super) kick: EventFd,
}

/// The queues of a started device.
#[derive(Debug, Default)]
pub(super) struct Active {
    pub(super) queues: Option<Vec<Queue>>,
    /// The driver starts anew, and waits until the worker has let go of the queues.
    pub(super) stopping: bool,
    /// There is no worker any more.
    left: bool,
}

impl Shared {
    pub(super) fn new(line: EventFd, kick: EventFd) -> Self {
        Self {
            active: Mutex::default(),
            stopped: Condvar::new(),
            status: AtomicU32::new(0),
            interrupt: Interrupt::new(line),
            kick,
        }
    }

    /// Tells the driver that the device cannot go on.
    pub(super) fn break_down(&self, active: &mut Active) {
        active.queues = None;
        self.status.fetch_or(status::NEEDS_RESET, Ordering::SeqCst);
        self.interrupt.because(Interrupt::CHANGED);
    }

    /// Lets the driver do without the worker, which is gone before the machine's end.
    pub(super) fn leave(&self) {
        let mut active = locked(&self.active);
        active.left = true;
        active.stopping = false;
        self.break_down(&mut active);
        self.stopped.notify_all();
    }
}

/// A device, as a driver sees it.
#[derive(Debug)]
pub(in crate::backend::kvm) struct Registers {
    identity: Identity,
    memory: GuestMemoryMmap,
    shared: Arc<Shared>,
    queues: Vec<Queue>,
    device_features_select: u32,
    driver_features_select: u32,
    driver_features: u64,
    queue_select: u32,
}

impl Registers {
    pub(super) fn new(identity: Identity, memory: GuestMemoryMmap, shared: Arc<Shared>) -> Self {
        let queue = |_| Queue::new(QUEUE_SIZE).expect("256 is a power of two");
        Self {
            queues: (0..identity.queues).map(queue).collect(),
            identity,
            memory,
            shared,
            device_features_select: 0,
            driver_features_select: 0,
            driver_features: 0,
            queue_select: 0,
        }
    }

    /// Has the kernel pass the driver's notifications on without this process's help, for registers that lie at an
    /// address.
    pub(super) fn listen(&self, vm: &VmFd, registers: u64) -> std::io::Result<()> {
        let notify = IoEventAddress::Mmio(registers.saturating_add(NOTIFY));
        for number in 0..u32::try_from(self.queues.len()).unwrap_or(0) {
            vm.register_ioevent(&self.shared.kick, &notify, number)?;
        }
        Ok(())
    }

    /// Notifies the device as the driver does.
    pub(super) fn notify(&self) {
        // A counter that is full has notified it already.
        let _ = self.shared.kick.write(1);
    }

    /// Reads a register, or of the configuration whatever the driver wants.
    pub(in crate::backend::kvm) fn read(&self, offset: u64, data: &mut [u8]) {
        if let Some(within) = offset.checked_sub(CONFIGURATION) {
            let start = usize::try_from(within).unwrap_or(usize::MAX);
            let rest = self.identity.configuration.get(start..);
            let rest = rest.unwrap_or_default().iter().chain(std::iter::repeat(&0));
            data.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
            return;
        }
        // Registers are read as a whole.
        let register = match data.len() {
            4 => self.register(offset),
            _ => 0,
        };
        let bytes = register
            .to_le_bytes()
            .into_iter()
            .chain(std::iter::repeat(0));
        data.iter_mut().zip(bytes).for_each(|(to, from)| *to = from);
    }

    fn register(&self, offset: u64) -> u32 {
        match offset {
            0x00 => MAGIC,
            0x04 => VERSION,
            0x08 => self.identity.kind,
            0x0c => VENDOR,
            0x10 => half(self.identity.features, self.device_features_select),
            0x34 => self.queue().map_or(0, |queue| queue.max_size().into()),
            0x44 => u32::from(self.queue().is_some_and(QueueT::ready)),
            0x60 => self.shared.interrupt.status(),
            0x70 => self.status(),
            // Nothing in the configuration changes.
            _ => 0,
        }
    }

    fn status(&self) -> u32 {
        self.shared.status.load(Ordering::SeqCst)
    }

    fn queue(&self) -> Option<&Queue> {
        self.queues.get(usize::try_from(self.queue_select).ok()?)
    }

    /// Writes a register; nothing in the configuration can be set.
    pub(in crate::backend::kvm) fn write(&mut self, offset: u64, data: &[u8]) {
        let Ok(data) = <[u8; 4]>::try_from(data) else {
            return;
        };
        let value = u32::from_le_bytes(data);
        match offset {
            0x14 => self.device_features_select = value,
            0x24 => self.driver_features_select = value,
            0x20 => self.agree(value),
            0x30 => self.queue_select = value,
            // The kernel has passed it on, unless there is no such queue.
            NOTIFY => {}
            0x64 => self.shared.interrupt.acknowledge(value),
            0x70 => self.set_status(value),
            0x38 | 0x44 | 0x80..=0xa4 => self.set_queue(offset, value),
            _ => {}
        }
    }

    /// The driver says which features it wants; those that are not offered it does not get.
    fn agree(&mut self, value: u32) {
        if self.status() & (status::DRIVER | status::FEATURES_OK) != status::DRIVER {
            return;
        }
        let value = u64::from(value);
        self.driver_features = match self.driver_features_select {
            0 => (self.driver_features & !0xffff_ffff) | value,
            1 => (self.driver_features & 0xffff_ffff) | (value << 32),
            _ => return,
        };
    }

    fn set_queue(&mut self, offset: u64, value: u32) {
        // Queues are set up between the agreement and the start.
        let now = self.status() & (status::FEATURES_OK | status::DRIVER_OK);
        let number = usize::try_from(self.queue_select).unwrap_or(usize::MAX);
        let Some(queue) = self.queues.get_mut(number) else {
            return;
        };
        if now != status::FEATURES_OK {
            return;
        }
        match offset {
            0x38 => queue.set_size(u16::try_from(value).unwrap_or(0)),
            0x44 => queue.set_ready(value == 1),
            0x80 => queue.set_desc_table_address(Some(value), None),
            0x84 => queue.set_desc_table_address(None, Some(value)),
            0x90 => queue.set_avail_ring_address(Some(value), None),
            0x94 => queue.set_avail_ring_address(None, Some(value)),
            0xa0 => queue.set_used_ring_address(Some(value), None),
            0xa4 => queue.set_used_ring_address(None, Some(value)),
            _ => {}
        }
    }

    /// The driver goes on, or back to the start.
    fn set_status(&mut self, value: u32) {
        use status::{ACKNOWLEDGE, DRIVER, DRIVER_OK, FAILED, FEATURES_OK};
        if value == 0 {
            return self.reset();
        }
        let before = self.status();
        // Nothing is taken back but by a reset.
        let known = ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK | FAILED;
        let mut after = before | (value & known);
        let new = after & !before;
        let offered = self.driver_features & !self.identity.features == 0;
        if new & FEATURES_OK != 0 && !(offered && self.driver_features & super::VERSION_1 != 0) {
            after &= !FEATURES_OK;
        }
        if new & DRIVER_OK != 0 && (after & FEATURES_OK == 0 || !self.start()) {
            after &= !DRIVER_OK;
        }
        self.shared.status.store(after, Ordering::SeqCst);
    }

    /// Hands the queues to the worker; tells whether they can be served.
    fn start(&mut self) -> bool {
        let events = self.driver_features & EVENT_IDX != 0;
        for queue in &mut self.queues {
            queue.set_event_idx(events);
        }
        let mut queues = Vec::with_capacity(self.queues.len());
        for queue in &mut self.queues {
            // A queue that the driver does not use stays as it is, and is not served.
            if queue.ready() && !queue.is_valid(&self.memory) {
                return false;
            }
            let fresh = Queue::new(QUEUE_SIZE).expect("256 is a power of two");
            queues.push(std::mem::replace(queue, fresh));
        }
        // The driver may still ask whether they are ready: they are.
        for (own, given) in self.queues.iter_mut().zip(&queues) {
            own.set_ready(given.ready());
        }
        let mut active = locked(&self.shared.active);
        if active.left {
            return false;
        }
        active.queues = Some(queues);
        drop(active);
        self.notify();
        true
    }

    /// Stops the device: when this returns the worker has passed on what stood in the queues, as far as it
    /// could at once, and does not touch them any more.
    fn reset(&mut self) {
        let mut active = locked(&self.shared.active);
        if active.queues.is_some() {
            active.stopping = true;
            self.notify();
            while active.stopping {
                let waited = self.shared.stopped.wait(active);
                active = waited.unwrap_or_else(PoisonError::into_inner);
            }
        }
        self.shared.status.store(0, Ordering::SeqCst);
        self.shared.interrupt.acknowledge(u32::MAX);
        drop(active);
        for queue in &mut self.queues {
            queue.reset();
        }
        self.driver_features = 0;
        self.device_features_select = 0;
        self.driver_features_select = 0;
        self.queue_select = 0;
    }
}

/// Returns the upper or the lower half of features; there is nothing beyond.
fn half(features: u64, select: u32) -> u32 {
    let part = match select {
        0 => features & 0xffff_ffff,
        1 => features >> 32,
        _ => 0,
    };
    u32::try_from(part).unwrap_or(0)
}
