//! The device behind the protocol: one queue of block requests.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::Ordering;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use virtio_queue::{Queue, QueueT};
use zerocopy::IntoBytes;
use zerocopy::native_endian::U64;

use super::Error;
use super::memory::Memory;
use super::message::{
    F_PROTOCOL_FEATURES, Message, NO_FD, RawAddresses, RawConfig, RawState, protocol_feature,
    request,
};
use crate::Disk;
use crate::virtio_blk::{EVENT_IDX, Faults, QueueError, configuration, features, process};

/// Most descriptors of the queue.
const QUEUE_SIZE: u16 = 256;
/// The configuration space ends here for everybody, in bytes.
const CONFIG_LEN: usize = 256;

/// A disk, its queue, and where the guest's memory is.
#[derive(Debug)]
pub(super) struct Device {
    disk: Disk,
    faults: Faults,
    memory: Option<Memory>,
    queue: Queue,
    /// What the two ends agreed on.
    features: u64,
    protocol: u64,
    /// The guest asks by it; the ring runs while it is there and `enabled`.
    kick: Option<File>,
    /// The guest is told by it.
    call: Option<File>,
    /// Nothing is ever asked of the monitor, but a machine sees the end of this as the server's.
    way_back: Option<File>,
    enabled: bool,
    /// There may be requests that were not looked at.
    pending: bool,
}

impl Device {
    pub(super) fn new(disk: Disk) -> Self {
        Self {
            disk,
            faults: Faults::default(),
            memory: None,
            queue: Queue::new(QUEUE_SIZE).expect("256 is a power of two"),
            features: 0,
            protocol: 0,
            kick: None,
            call: None,
            way_back: None,
            enabled: false,
            pending: false,
        }
    }

    /// Takes out what went wrong with the disk first.
    pub(super) fn fault(&self) -> Option<forger_block::Error> {
        self.faults.take()
    }

    /// Tells whether the monitor gets to know that a message was handled.
    pub(super) fn acknowledges(&self) -> bool {
        self.protocol & protocol_feature::REPLY_ACK != 0
    }

    /// Returns what can be read when the guest has put something into the queue.
    pub(super) fn kick(&self) -> Option<BorrowedFd<'_>> {
        let kick = self.kick.as_ref().filter(|_| self.runs())?;
        Some(kick.as_fd())
    }

    /// Takes a notification that is there.
    pub(super) fn take_kick(&mut self) -> Result<(), Error> {
        self.pending = true;
        match self.kick.as_mut().map(|kick| kick.read(&mut [0; 8])) {
            // The other end of a pipe is gone: nobody kicks any more.
            Some(Ok(0)) => self.kick = None,
            Some(Err(error)) if error.kind() != std::io::ErrorKind::WouldBlock => {
                return Err(Error::Socket(error));
            }
            _ => {}
        }
        Ok(())
    }

    fn runs(&self) -> bool {
        self.enabled && self.queue.ready() && self.memory.is_some()
    }

    /// Does what a message asks for and returns its own reply, if it has one.
    ///
    /// # Errors
    /// A message that makes no sense.
    pub(super) fn handle(
        &mut self,
        message: &Message,
        files: Vec<File>,
    ) -> Result<Option<Vec<u8>>, Error> {
        let number = |value: u64| Ok(Some(value.to_ne_bytes().to_vec()));
        match message.request {
            request::GET_FEATURES => return number(self.offers()),
            request::GET_PROTOCOL_FEATURES => {
                use protocol_feature::{BACKEND_REQ, CONFIG, REPLY_ACK};
                return number(CONFIG | REPLY_ACK | BACKEND_REQ);
            }
            request::GET_QUEUE_NUM => return number(1),
            request::GET_CONFIG => return self.config(message).map(Some),
            request::GET_VRING_BASE => return self.stop(message).map(Some),
            request::SET_OWNER | request::SET_VRING_ERR => {}
            // Nothing in the configuration space can be set.
            request::SET_CONFIG => {}
            request::RESET_OWNER => {
                self.enabled = false;
                self.queue.set_ready(false);
            }
            request::SET_FEATURES => self.agree(message)?,
            request::SET_PROTOCOL_FEATURES => self.protocol = message.get::<U64>()?.get(),
            request::SET_MEM_TABLE => self.memory = Some(Memory::map(message, files)?),
            request::SET_VRING_NUM => self.set_size(message)?,
            request::SET_VRING_ADDR => self.set_addresses(message)?,
            request::SET_VRING_BASE => {
                let base = u16::try_from(ring(message)?).unwrap_or(0);
                self.queue.set_next_avail(base);
            }
            request::SET_BACKEND_REQ_FD => {
                self.way_back = files.into_iter().next();
            }
            request::SET_VRING_KICK => {
                self.kick = descriptor(message, files)?;
                self.queue.set_ready(self.kick.is_some());
                self.pending = true;
            }
            request::SET_VRING_CALL => self.call = descriptor(message, files)?,
            request::SET_VRING_ENABLE => {
                self.enabled = ring(message)? != 0;
                self.pending = true;
            }
            _ => return Err(message.wrong("this server does not know")),
        }
        Ok(None)
    }

    fn offers(&self) -> u64 {
        features(&self.disk) | F_PROTOCOL_FEATURES
    }

    fn agree(&mut self, message: &Message) -> Result<(), Error> {
        let wanted = message.get::<U64>()?.get();
        if wanted & !self.offers() != 0 {
            return Err(message.wrong("wants what was not offered"));
        }
        self.features = wanted;
        self.queue.set_event_idx(wanted & EVENT_IDX != 0);
        // Without protocol features rings are enabled from the start.
        if wanted & F_PROTOCOL_FEATURES == 0 {
            self.enabled = true;
        }
        Ok(())
    }

    fn config(&self, message: &Message) -> Result<Vec<u8>, Error> {
        let asked = message.get::<RawConfig>()?;
        let start = usize::try_from(asked.offset.get()).unwrap_or(usize::MAX);
        let len = usize::try_from(asked.size.get()).unwrap_or(usize::MAX);
        let mut space = configuration(&self.disk);
        space.resize(CONFIG_LEN, 0);
        let end = start.saturating_add(len);
        let part = space.get(start..end);
        let part = part.ok_or_else(|| message.wrong("asks for more than there is"))?;
        Ok([asked.as_bytes(), part].concat())
    }

    fn set_size(&mut self, message: &Message) -> Result<(), Error> {
        let size = u16::try_from(ring(message)?).unwrap_or(0);
        if !size.is_power_of_two() || size > QUEUE_SIZE {
            return Err(message.wrong("sets an impossible size of the queue"));
        }
        self.queue.set_size(size);
        Ok(())
    }

    fn set_addresses(&mut self, message: &Message) -> Result<(), Error> {
        let raw = message.get::<RawAddresses>()?;
        if raw.index.get() != 0 {
            return Err(message.wrong("is about a queue that is not there"));
        }
        let outside = || message.wrong("puts the queue outside of memory");
        let memory = self.memory.as_ref().ok_or_else(outside)?;
        let guest = |user: U64| {
            let address = memory.translate(user.get()).ok_or_else(outside)?;
            Ok::<_, Error>(vm_memory::GuestAddress(address))
        };
        let (descriptors, available, used) = (
            guest(raw.descriptors)?,
            guest(raw.available)?,
            guest(raw.used)?,
        );
        let set = [
            self.queue.try_set_desc_table_address(descriptors),
            self.queue.try_set_avail_ring_address(available),
            self.queue.try_set_used_ring_address(used),
        ];
        if set.iter().any(Result::is_err) {
            return Err(message.wrong("puts the queue at odd addresses"));
        }
        // A queue that goes on where another server left it, goes on there.
        let used = self.queue.used_idx(&memory.guest, Ordering::Acquire);
        self.queue.set_next_used(used.map_err(|_| outside())?.0);
        Ok(())
    }

    /// Stops the ring and says how far it was read.
    fn stop(&mut self, message: &Message) -> Result<Vec<u8>, Error> {
        ring(message)?;
        let state = RawState {
            index: 0.into(),
            num: u32::from(self.queue.next_avail()).into(),
        };
        self.queue.set_ready(false);
        self.kick = None;
        self.call = None;
        Ok(state.as_bytes().to_vec())
    }

    /// Serves what stands in the queue; true when there may be more at once.
    ///
    /// # Errors
    /// A queue that contradicts itself.
    pub(super) fn serve_queue(&mut self) -> Result<bool, Error> {
        if !self.pending || !self.runs() {
            return Ok(false);
        }
        let Some(memory) = &self.memory else {
            return Ok(false);
        };
        let broken = |error| Error::Queue(QueueError::from(error));
        let memory = &memory.guest;
        if !self.queue.is_valid(memory) {
            return Err(broken(virtio_queue::Error::QueueNotReady));
        }
        self.queue.disable_notification(memory).map_err(broken)?;
        let served = process(&mut self.queue, memory, &self.disk, &self.faults)?;
        if served > 0 && self.queue.needs_notification(memory).map_err(broken)? {
            notify(self.call.as_mut());
        }
        // What came before the guest knew that it has to say so, is there already.
        let more = served > 0 || self.queue.enable_notification(memory).map_err(broken)?;
        self.pending = more;
        Ok(more)
    }
}

/// Reads a message about the only ring, and returns its number.
fn ring(message: &Message) -> Result<u32, Error> {
    let state = message.get::<RawState>()?;
    match state.index.get() {
        0 => Ok(state.num.get()),
        _ => Err(message.wrong("is about a queue that is not there")),
    }
}

/// Takes the descriptor out of a message about the only ring.
fn descriptor(message: &Message, files: Vec<File>) -> Result<Option<File>, Error> {
    let number = message.get::<U64>()?.get();
    if number & 0xff != 0 {
        return Err(message.wrong("is about a queue that is not there"));
    }
    match (number & NO_FD != 0, files.into_iter().next()) {
        (true, None) => Ok(None),
        (false, Some(file)) => Ok(Some(file)),
        _ => Err(message.wrong("has a descriptor too many or too few")),
    }
}

/// Tells the guest, unless notifications that it has not seen fill up what holds them.
fn notify(call: Option<&mut File>) {
    let Some(call) = call else { return };
    let mut fds = [PollFd::from_borrowed_fd(call.as_fd(), PollFlags::OUT)];
    if poll(&mut fds, Some(&Timespec::default())).is_ok_and(|ready| ready > 0) {
        // A guest that is gone needs no notification.
        let _ = call.write(&1_u64.to_ne_bytes());
    }
}
