//! The ring: a small disk of the guest into which the host lays data, where the channel is slow.
//!
//! A serial line of User-Mode Linux takes one byte per system call towards the guest: 1.5 MB/s. So
//! what is longer than a few bytes is laid into slots of a file that the guest reads as a disk, and
//! only the place goes over the line. Slots are used in turn; the guest says when it has taken one.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::{Condvar, Mutex, PoisonError};

use forger_wire::{HEADER_LEN, MAX_PAYLOAD};

/// A slot's length in bytes: a whole frame, rounded up to what direct reads need.
const SLOT: u64 = ((MAX_PAYLOAD + HEADER_LEN) as u64).next_multiple_of(4096);

/// How many slots there are.
const SLOTS: u32 = 16;

/// The ring's length in bytes.
pub(crate) const RING_LEN: u64 = SLOT * SLOTS as u64;

/// The slots.
#[derive(Debug)]
pub(super) struct Ring {
    file: File,
    /// How many are free; `None` when the channel is over.
    free: Mutex<Option<u32>>,
    freed: Condvar,
}

impl Ring {
    pub(super) fn new(file: File) -> Self {
        Self {
            file,
            free: Mutex::new(Some(SLOTS)),
            freed: Condvar::new(),
        }
    }

    /// Waits for a free slot and takes it.
    pub(super) fn reserve(&self) -> io::Result<()> {
        let mut free = super::locked(&self.free);
        loop {
            match &mut *free {
                None => return Err(io::ErrorKind::BrokenPipe.into()),
                Some(0) => {
                    free = self
                        .freed
                        .wait(free)
                        .unwrap_or_else(PoisonError::into_inner);
                }
                Some(free) => {
                    *free -= 1;
                    return Ok(());
                }
            }
        }
    }

    /// Lays a frame into the slot of this number; returns its place.
    pub(super) fn put(&self, number: u32, frame: &[u8]) -> io::Result<u64> {
        let offset = u64::from(number % SLOTS) * SLOT;
        self.file.write_all_at(frame, offset)?;
        Ok(offset)
    }

    /// Takes note that the guest has taken a slot; tells whether there was one to take.
    pub(super) fn release(&self) -> bool {
        let mut free = super::locked(&self.free);
        let released = match &mut *free {
            Some(free) if *free < SLOTS => {
                *free += 1;
                true
            }
            _ => false,
        };
        drop(free);
        self.freed.notify_all();
        released
    }

    /// Wakes up whoever waits.
    pub(super) fn close(&self) {
        super::locked(&self.free).take();
        self.freed.notify_all();
    }
}
