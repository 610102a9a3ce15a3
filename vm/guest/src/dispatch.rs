//! What the host asks for, and who does it.

use std::io;

use forger_wire::{Frame, Message, Setup, Side};
use rustix::process::{Signal, kill_process_group};

use crate::channel::{Incoming, Outgoing};
use crate::jobs::Jobs;
use crate::proxy;
use crate::stream::{Streams, locked};
use crate::transfer;

/// Serves the host's messages.
#[derive(Debug)]
pub(crate) struct Dispatch {
    outgoing: Outgoing,
    streams: Streams,
    jobs: Jobs,
}

impl Dispatch {
    /// Gets ready: whoever connects to the proxy is served from here on.
    pub(crate) fn new(outgoing: Outgoing, setup: &Setup) -> io::Result<Self> {
        let streams = Streams::default();
        if setup.proxy_port != 0 {
            proxy::listen(setup.proxy_port, &streams, &outgoing)?;
        }
        Ok(Self {
            jobs: Jobs::start(setup.privileged)?,
            outgoing,
            streams,
        })
    }

    /// Serves until the host wants the end.
    ///
    /// # Errors
    /// A channel that ended, or makes no sense.
    pub(crate) fn serve(&self, incoming: &mut Incoming) -> io::Result<()> {
        incoming.frames(&self.outgoing, |frame| self.frame(frame))
    }

    fn frame(&self, frame: &Frame<'_>) -> io::Result<Option<()>> {
        let id = frame.stream;
        let message = frame.message().map_err(io::Error::other)?;
        match message {
            Message::Run(job) => {
                let (stream, input) = self.streams.open(id, &self.outgoing);
                self.jobs.run(*job, stream, input, &self.streams);
            }
            Message::Get { path } => {
                let (stream, _) = self.streams.open(id, &self.outgoing);
                transfer::get(path, stream, &self.streams);
            }
            Message::Put { path } => {
                let (stream, input) = self.streams.open(id, &self.outgoing);
                transfer::put(path, stream, input, &self.streams);
            }
            Message::Ping { token } => self.outgoing.send(0, &Message::Pong { token })?,
            Message::Shutdown => return Ok(Some(())),
            message => self.on_stream(id, &message),
        }
        Ok(None)
    }

    /// Serves a message to a stream; one that is over meanwhile is passed by.
    fn on_stream(&self, id: u32, message: &Message<'_>) {
        let Some(stream) = self.streams.get(id) else {
            return;
        };
        match message {
            Message::Data {
                side: Side::Stdin,
                bytes,
            } => stream.take(bytes),
            Message::Close { side: Side::Stdin } => stream.end_input(),
            Message::Credit { bytes } => stream.add(*bytes),
            Message::Reset => self.streams.close(id),
            Message::Resize(size) => {
                if let Some(terminal) = &*locked(&stream.terminal) {
                    // A terminal that is gone needs no size.
                    let _ = crate::jobs::resize(terminal, *size);
                }
            }
            Message::Signal { number } => {
                if let Some(process) = *locked(&stream.process)
                    && let Some(signal) = Signal::from_named_raw(i32::from(*number))
                {
                    // It may have ended meanwhile.
                    let _ = kill_process_group(process, signal);
                }
            }
            _ => {}
        }
    }
}
