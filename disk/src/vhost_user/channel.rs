//! Messages over a socket, and the descriptors that come with them.

use std::fs::File;
use std::io::{ErrorKind, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use zerocopy::{FromZeros, IntoBytes};

use super::Error;
use super::message::{MAX_PAYLOAD, MAX_REGIONS, Message, RawHeader, flag};

/// A monitor has so long to send the rest of a message that it began, or to take a reply.
const PATIENCE: Duration = Duration::from_secs(10);

/// The server's end of a connection.
#[derive(Debug)]
pub(super) struct Channel {
    socket: UnixStream,
}

impl Channel {
    pub(super) fn new(socket: UnixStream) -> Self {
        // A socket that takes no limits has none.
        let _ = socket.set_read_timeout(Some(PATIENCE));
        let _ = socket.set_write_timeout(Some(PATIENCE));
        Self { socket }
    }

    /// Takes the next message, and the files that came with it; nothing when the monitor has gone.
    pub(super) fn receive(&mut self) -> Result<Option<(Message, Vec<File>)>, Error> {
        let mut header = RawHeader::new_zeroed();
        let mut files = Vec::new();
        let first = match self.receive_start(header.as_mut_bytes(), &mut files) {
            Ok(0) => return Ok(None),
            Ok(count) => count,
            // A machine that is killed leaves in the middle of whatever it did.
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(None),
            Err(error) => return Err(Error::Socket(error)),
        };
        let rest = header.as_mut_bytes().get_mut(first..).unwrap_or_default();
        self.socket.read_exact(rest).map_err(Error::Socket)?;
        let (request, flags, size) = (header.request.get(), header.flags.get(), header.size.get());
        let wrong = |why| Error::Message { request, why };
        if flags & flag::VERSION_MASK != flag::VERSION || flags & flag::REPLY != 0 {
            return Err(wrong("is of no known version"));
        }
        if size > MAX_PAYLOAD {
            return Err(wrong("is too long"));
        }
        let mut payload = vec![0; usize::try_from(size).unwrap_or(0)];
        self.socket
            .read_exact(&mut payload)
            .map_err(Error::Socket)?;
        let message = Message {
            request,
            needs_reply: flags & flag::NEED_REPLY != 0,
            payload,
        };
        Ok(Some((message, files)))
    }

    fn receive_start(&self, bytes: &mut [u8], files: &mut Vec<File>) -> std::io::Result<usize> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_REGIONS))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::CMSG_CLOEXEC;
        let got = rustix::io::retry_on_intr(|| {
            recvmsg(
                &self.socket,
                &mut [IoSliceMut::new(bytes)],
                &mut control,
                flags,
            )
        })?;
        for part in control.drain() {
            if let RecvAncillaryMessage::ScmRights(rights) = part {
                files.extend(rights.map(File::from));
            }
        }
        Ok(got.bytes)
    }

    /// Sends the answer to a message: its own, or that it was done where the monitor wants to know.
    pub(super) fn reply(
        &mut self,
        to: &Message,
        reply: Option<Vec<u8>>,
        acknowledges: bool,
    ) -> Result<(), Error> {
        let done = || (to.needs_reply && acknowledges).then(|| 0_u64.to_ne_bytes().to_vec());
        let Some(payload) = reply.or_else(done) else {
            return Ok(());
        };
        let header = RawHeader {
            request: to.request.into(),
            flags: (flag::VERSION | flag::REPLY).into(),
            size: u32::try_from(payload.len()).unwrap_or(0).into(),
        };
        let bytes = [header.as_bytes(), &payload].concat();
        match self.socket.write_all(&bytes) {
            Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(Error::Socket(error)),
            // The next message says that the monitor has gone.
            _ => Ok(()),
        }
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
