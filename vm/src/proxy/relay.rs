//! Content between a guest's connection and a server.

use std::io::{self, BufRead, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use forger_wire::{Message, Side};

use crate::channel::{Inbox, Item};

/// How much is read at once in bytes.
pub(super) const PIECE: usize = 128 << 10;

/// What a guest's program sends on a connection, as a reader.
pub(super) struct FromGuest<'a> {
    inbox: &'a Inbox,
    limit: Duration,
    piece: Vec<u8>,
    at: usize,
    over: bool,
}

impl<'a> FromGuest<'a> {
    pub(super) fn new(inbox: &'a Inbox, limit: Duration) -> Self {
        Self {
            inbox,
            limit,
            piece: Vec::new(),
            at: 0,
            over: false,
        }
    }
}

impl BufRead for FromGuest<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.at == self.piece.len() && !self.over {
            match self.inbox.next(Some(self.limit)) {
                Ok(Some(Item::Data(_, bytes))) => (self.piece, self.at) = (bytes, 0),
                Ok(Some(Item::Close(_))) => self.over = true,
                Ok(Some(_)) | Err(_) => return Err(io::ErrorKind::ConnectionReset.into()),
                Ok(None) => return Err(io::ErrorKind::TimedOut.into()),
            }
        }
        Ok(&self.piece[self.at..])
    }

    fn consume(&mut self, amount: usize) {
        self.at = (self.at + amount).min(self.piece.len());
    }
}

impl Read for FromGuest<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let len = self.fill_buf()?.read(buf)?;
        self.consume(len);
        Ok(len)
    }
}

/// Says that no more content follows to the guest.
pub(super) fn close(inbox: &Inbox) {
    // The guest may be gone.
    let _ = inbox.send(&Message::Close { side: Side::Stdin });
}

/// Carries at most `limit` bytes of a server's content to the guest; returns how many came.
pub(super) fn to_guest(
    mut server: impl Read,
    guest: &mut impl Write,
    limit: Option<u64>,
    mut see: impl FnMut(&[u8]),
) -> io::Result<u64> {
    let mut piece = vec![0; PIECE];
    let mut carried = 0_u64;
    while limit.is_none_or(|limit| carried < limit) {
        let left = limit.map_or(u64::MAX, |limit| limit - carried);
        let room = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
        let len = match server.read(&mut piece[..room]) {
            Ok(0) => break,
            Ok(len) => len,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        see(&piece[..len]);
        guest.write_all(&piece[..len])?;
        carried += len as u64;
    }
    Ok(carried)
}

/// Sets the time limits of a connection to a server.
pub(super) fn limit(server: &TcpStream, limit: Duration) -> io::Result<()> {
    server.set_read_timeout(Some(limit))?;
    server.set_write_timeout(Some(limit))?;
    server.set_nodelay(true)
}
