//! The channel's two directions.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::sync::{Arc, Mutex, PoisonError};

use forger_wire::{Decoder, Frame, Message};
use rustix::fs::{OFlags, SeekFrom, seek};
use rustix::termios::{OptionalActions, isatty, tcdrain, tcgetattr, tcsetattr};

use crate::device;
use crate::early::Boot;

/// How much is read at once.
const PIECE: usize = 64 << 10;

/// What direct reads of a device must be aligned to.
const BLOCK: usize = 4096;

/// Opens the channel and the ring.
pub(crate) fn open(boot: &Boot) -> io::Result<(Outgoing, Incoming)> {
    let flags = i32::try_from(OFlags::NOCTTY.bits()).map_err(io::Error::other)?;
    let mut options = OpenOptions::new();
    options.read(true).write(true).custom_flags(flags);
    let channel = device::open(&boot.channel, &options)?;
    if isatty(&channel) {
        let mut attributes = tcgetattr(&channel)?;
        attributes.make_raw();
        tcsetattr(&channel, OptionalActions::Now, &attributes)?;
    }
    let ring = boot.ring.as_deref().map(Ring::open).transpose()?;
    let outgoing = Outgoing(Arc::new(Mutex::new(Sending {
        channel: channel.try_clone()?,
        frame: Vec::new(),
    })));
    let incoming = Incoming {
        channel,
        ring,
        decoder: Decoder::new(),
        elsewhere: Decoder::new(),
        piece: vec![0; PIECE],
    };
    Ok((outgoing, incoming))
}

/// The way to the host, for any thread.
#[derive(Clone, Debug)]
pub(crate) struct Outgoing(Arc<Mutex<Sending>>);

#[derive(Debug)]
struct Sending {
    channel: File,
    /// Room for a frame, kept: new memory is what takes longest in some machines.
    frame: Vec<u8>,
}

impl Outgoing {
    /// Sends a message.
    pub(crate) fn send(&self, stream: u32, message: &Message<'_>) -> io::Result<()> {
        let mut sending = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Sending { channel, frame } = &mut *sending;
        frame.clear();
        message.encode(stream, frame);
        channel.write_all(frame)
    }

    /// Says a line for the host's log.
    pub(crate) fn log(&self, text: &str) {
        let text = text.to_owned();
        // A host that is gone needs no log.
        let _ = self.send(0, &Message::Log { text });
    }

    /// Waits until all is sent.
    pub(crate) fn drain(&self) {
        let sending = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Where it is no terminal there is nothing to wait for.
        let _ = tcdrain(&sending.channel);
    }
}

/// The way from the host.
#[derive(Debug)]
pub(crate) struct Incoming {
    channel: File,
    ring: Option<Ring>,
    decoder: Decoder,
    /// What lay in the ring.
    elsewhere: Decoder,
    piece: Vec<u8>,
}

impl Incoming {
    /// Returns the length of the ring in bytes, 0 for none.
    pub(crate) fn ring_len(&self) -> u64 {
        self.ring.as_ref().map_or(0, |ring| ring.len)
    }

    /// Hands the frames that arrive to `take` until it has had enough.
    ///
    /// # Errors
    /// A channel that ended; frames that are none.
    pub(crate) fn frames<T>(
        &mut self,
        outgoing: &Outgoing,
        mut take: impl FnMut(&Frame<'_>) -> io::Result<Option<T>>,
    ) -> io::Result<T> {
        loop {
            while let Some(frame) = self.elsewhere.next_frame().map_err(io::Error::other)? {
                if let Some(taken) = take(&frame)? {
                    return Ok(taken);
                }
            }
            let elsewhere = match self.decoder.next_frame().map_err(io::Error::other)? {
                Some(frame) => match frame.message().map_err(io::Error::other)? {
                    Message::Elsewhere { offset, len } => Some((offset, len)),
                    _ => match take(&frame)? {
                        Some(taken) => return Ok(taken),
                        None => continue,
                    },
                },
                None => None,
            };
            match elsewhere {
                Some((offset, len)) => self.fetch(offset, len, outgoing)?,
                None => self.read()?,
            }
        }
    }

    /// Waits for one message; the others are none of this moment's.
    pub(crate) fn message<T>(
        &mut self,
        outgoing: &Outgoing,
        mut want: impl FnMut(Message<'_>) -> Option<T>,
    ) -> io::Result<T> {
        self.frames(outgoing, |frame| {
            let message = frame.message().map_err(io::Error::other)?;
            Ok(want(message))
        })
    }

    fn read(&mut self) -> io::Result<()> {
        match self.channel.read(&mut self.piece) {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(len) => {
                self.decoder.push(&self.piece[..len]);
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Takes bytes out of the ring and tells the host so.
    fn fetch(&mut self, offset: u64, len: u32, outgoing: &Outgoing) -> io::Result<()> {
        let ring = self.ring.as_mut();
        let ring = ring.ok_or_else(|| io::Error::other("there is no ring to take data from"))?;
        self.elsewhere.push(ring.read(offset, len)?);
        outgoing.send(0, &Message::Taken { len })
    }
}

/// A small disk that the host writes while the guest reads, past all caches.
#[derive(Debug)]
struct Ring {
    device: File,
    len: u64,
    /// Room for one piece and to align it.
    buffer: Vec<u8>,
}

impl Ring {
    fn open(path: &std::path::Path) -> io::Result<Self> {
        let flags = i32::try_from(OFlags::DIRECT.bits()).map_err(io::Error::other)?;
        let mut options = OpenOptions::new();
        options.read(true).custom_flags(flags);
        let device = device::open(path, &options)?;
        let len = seek(&device, SeekFrom::End(0))?;
        Ok(Self {
            device,
            len,
            buffer: Vec::new(),
        })
    }

    fn read(&mut self, offset: u64, len: u32) -> io::Result<&[u8]> {
        let len = usize::try_from(len).map_err(io::Error::other)?;
        let room = len.next_multiple_of(BLOCK);
        if u64::try_from(room).map_err(io::Error::other)? > self.len {
            return Err(io::Error::other("more than the ring holds"));
        }
        if self.buffer.len() < room + BLOCK {
            self.buffer.resize(room + BLOCK, 0);
        }
        let start = self.buffer.as_ptr().align_offset(BLOCK);
        let aligned = self.buffer.get_mut(start..start + room);
        let aligned = aligned.ok_or_else(|| io::Error::other("no aligned memory"))?;
        self.device.read_exact_at(aligned, offset)?;
        Ok(&aligned[..len])
    }
}
