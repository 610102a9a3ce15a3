//! The channel: one port of a virtio console, VIRTIO 1.2, section 5.3.
//!
//! ```text
//!  queue 0  to the guest      queue 2  to the guest: the port is there, it is open
//!  queue 1  from the guest    queue 3  from the guest: it has understood, it has opened it
//! ```
//!
//! Bytes are taken from one side only when those taken before have gone to the other: neither side
//! makes this one hold more than a piece.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use vmm_sys_util::epoll::EventSet;
use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::{Broken, Device, Identity, Queues, VERSION_1, rings};

/// The number of its kind.
const KIND: u32 = 3;

/// The feature by which there are ports beside a terminal.
const MULTIPORT: u64 = 1 << 1;

const TO_GUEST: usize = 0;
const FROM_GUEST: usize = 1;
const CONTROL_TO_GUEST: usize = 2;
const CONTROL_FROM_GUEST: usize = 3;

/// How much is read of the host's side at once in bytes.
const PIECE: usize = 64 << 10;
/// The most bytes a chain may have.
const MOST: usize = 1 << 20;
/// The most control messages that wait for room.
const MOST_CONTROL: usize = 64;

/// How long what a guest said at last may take to go to the host.
const PATIENCE: Duration = Duration::from_secs(5);

/// What control messages are about.
mod event {
    pub(super) const DEVICE_READY: u16 = 0;
    pub(super) const PORT_ADD: u16 = 1;
    pub(super) const PORT_READY: u16 = 3;
    pub(super) const PORT_OPEN: u16 = 6;
}

/// A control message.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RawControl {
    /// 0x00: the port.
    id: U32,
    /// 0x04
    event: U16,
    /// 0x06
    value: U16,
}

const _: () = assert!(size_of::<RawControl>() == 8);

/// The configuration space.
#[derive(Clone, Copy, Debug, IntoBytes, Immutable, Unaligned)]
#[repr(C)]
struct RawConfig {
    /// 0x00
    cols: U16,
    /// 0x02
    rows: U16,
    /// 0x04
    max_nr_ports: U32,
    /// 0x08
    emerg_wr: U32,
}

const _: () = assert!(size_of::<RawConfig>() == 12);

/// Bytes that wait to be taken over.
#[derive(Debug, Default)]
struct Waiting {
    bytes: Vec<u8>,
    taken: usize,
}

impl Waiting {
    fn left(&self) -> &[u8] {
        &self.bytes[self.taken..]
    }

    fn is_empty(&self) -> bool {
        self.taken == self.bytes.len()
    }

    fn take(&mut self, len: usize) {
        self.taken += len;
        if self.is_empty() {
            self.clear();
        }
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.taken = 0;
    }
}

/// The channel's device.
#[derive(Debug)]
pub(in crate::backend::kvm) struct Console {
    /// The way to the host's end, which never blocks.
    host: UnixStream,
    to_host: Waiting,
    to_guest: Waiting,
    control: VecDeque<RawControl>,
    /// Whether the guest has opened the port.
    open: bool,
    /// Whether it has closed it again, and the host was not told yet.
    closing: bool,
    /// Whether the host's end is gone.
    gone: bool,
}

impl Console {
    /// Makes a device of a stream.
    pub(in crate::backend::kvm) fn new(host: UnixStream) -> std::io::Result<Self> {
        host.set_nonblocking(true)?;
        Ok(Self {
            host,
            to_host: Waiting::default(),
            to_guest: Waiting::default(),
            control: VecDeque::new(),
            open: false,
            closing: false,
            gone: false,
        })
    }

    /// Takes what the driver says about the port.
    fn hear_control(&mut self, queues: &mut Queues<'_>) -> Result<bool, Broken> {
        let memory = queues.memory;
        let mut heard: Vec<RawControl> = Vec::new();
        let room = MOST_CONTROL.saturating_sub(self.control.len());
        let more = queues.each(CONTROL_FROM_GUEST, |chain| {
            if heard.len() >= room {
                return Ok(None);
            }
            let mut bytes = Vec::new();
            rings::read(chain, memory, MOST, &mut bytes)?;
            heard.extend(RawControl::read_from_prefix(&bytes).map(|(message, _)| message));
            Ok(Some(0))
        })?;
        for message in heard {
            self.obey(message);
        }
        Ok(more)
    }

    fn obey(&mut self, message: RawControl) {
        let value = message.value.get();
        let answer = match message.event.get() {
            event::DEVICE_READY if value == 1 => Some(event::PORT_ADD),
            event::PORT_READY if value == 1 => Some(event::PORT_OPEN),
            event::PORT_OPEN if message.id.get() == 0 => {
                self.closing = self.open && value == 0;
                self.open = value != 0;
                None
            }
            _ => None,
        };
        if let Some(event) = answer {
            self.say(event, 1);
        }
    }

    fn say(&mut self, event: u16, value: u16) {
        self.control.push_back(RawControl {
            id: 0.into(),
            event: event.into(),
            value: value.into(),
        });
    }

    /// Ends the way to the host if the guest has closed the port, after all that it had said.
    fn hang_up(&mut self) {
        if std::mem::take(&mut self.closing) {
            // It may be gone.
            let _ = self.host.shutdown(Shutdown::Write);
        }
    }

    fn tell_control(&mut self, queues: &mut Queues<'_>) -> Result<(), Broken> {
        let memory = queues.memory;
        queues.each(CONTROL_TO_GUEST, |chain| {
            let Some(message) = self.control.pop_front() else {
                return Ok(None);
            };
            let written = rings::write(chain, memory, message.as_bytes())?;
            Ok(Some(u32::try_from(written).unwrap_or(0)))
        })?;
        Ok(())
    }

    /// Passes on what the guest says.
    fn hear(&mut self, queues: &mut Queues<'_>) -> Result<bool, Broken> {
        let memory = queues.memory;
        self.flush();
        queues.each(FROM_GUEST, |chain| {
            if !self.to_host.is_empty() {
                return Ok(None);
            }
            rings::read(chain, memory, MOST, &mut self.to_host.bytes)?;
            self.flush();
            Ok(Some(0))
        })
    }

    /// Writes what waits to the host, as far as that takes it.
    fn flush(&mut self) {
        while !self.to_host.is_empty() {
            match self.host.write(self.to_host.left()) {
                Ok(len) => self.to_host.take(len),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(_) => {
                    // Nobody listens any more.
                    self.to_host.clear();
                    self.gone = true;
                }
            }
        }
    }

    /// Takes what the host says, if what it said before has gone on.
    fn listen(&mut self) {
        if self.gone || !self.open || !self.to_guest.is_empty() {
            return;
        }
        self.to_guest.bytes.resize(PIECE, 0);
        let read = loop {
            match self.host.read(&mut self.to_guest.bytes) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                read => break read,
            }
        };
        let len = match read {
            Ok(0) => {
                self.end();
                0
            }
            Ok(len) => len,
            Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
            Err(_) => {
                self.end();
                0
            }
        };
        self.to_guest.bytes.truncate(len);
    }

    /// The host's end is gone: for the guest the port is closed.
    fn end(&mut self) {
        self.gone = true;
        self.say(event::PORT_OPEN, 0);
    }

    /// Passes on what the host says.
    fn tell(&mut self, queues: &mut Queues<'_>) -> Result<(), Broken> {
        let memory = queues.memory;
        self.listen();
        queues.each(TO_GUEST, |chain| {
            if self.to_guest.is_empty() {
                self.listen();
            }
            if self.to_guest.is_empty() {
                return Ok(None);
            }
            let written = rings::write(chain, memory, self.to_guest.left())?;
            self.to_guest.take(written);
            Ok(Some(u32::try_from(written).unwrap_or(0)))
        })?;
        Ok(())
    }
}

impl Device for Console {
    fn identity(&self) -> Identity {
        let config = RawConfig {
            cols: 0.into(),
            rows: 0.into(),
            max_nr_ports: 1.into(),
            emerg_wr: 0.into(),
        };
        Identity {
            kind: KIND,
            features: VERSION_1 | MULTIPORT,
            queues: 4,
            configuration: config.as_bytes().to_vec(),
        }
    }

    fn serve(&mut self, queues: &mut Queues<'_>) -> Result<bool, Broken> {
        // What was said before the port was closed stands in the queue when that is known.
        let mut more = self.hear_control(queues)?;
        let said_more = self.hear(queues)?;
        if !said_more && self.to_host.is_empty() {
            self.hang_up();
        }
        more |= said_more;
        self.tell(queues)?;
        self.tell_control(queues)?;
        Ok(more)
    }

    fn reset(&mut self) {
        self.open = false;
        self.control.clear();
        self.to_guest.clear();
    }

    fn waits(&self) -> Option<(RawFd, EventSet)> {
        let mut set = EventSet::empty();
        if !self.to_host.is_empty() {
            set |= EventSet::OUT;
        }
        if self.open && !self.gone && self.to_guest.is_empty() {
            set |= EventSet::IN;
        }
        // With nothing to wait for it would be woken up by the other's end again and again.
        (!set.is_empty() && !self.gone).then(|| (self.host.as_raw_fd(), set))
    }

    fn finish(&mut self, queues: Option<&mut Queues<'_>>) {
        // A guest that says goodbye goes at once.
        let ready = self
            .host
            .set_nonblocking(false)
            .and_then(|()| self.host.set_write_timeout(Some(PATIENCE)));
        if ready.is_err() {
            return;
        }
        self.flush();
        if let Some(queues) = queues {
            // Whatever is broken now does not matter any more.
            let _ = self.hear(queues);
        }
    }
}
