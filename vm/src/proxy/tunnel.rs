//! `CONNECT`: bytes both ways, which nobody here understands.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;

use super::Options;
use super::connection::{Refusal, authority, connect};
use super::head::RequestHead;
use super::record::Request;
use super::relay::{self, FromGuest};
use crate::channel::Inbox;

/// What the guest's program is told when its tunnel stands.
const STANDS: &[u8] = b"HTTP/1.1 200 Connection established\r\n\r\n";

pub(super) fn serve(
    inbox: &Inbox,
    input: &mut FromGuest<'_>,
    head: &RequestHead,
    options: &Options,
    request: &mut Request,
) -> Result<(), Refusal> {
    let (host, port) = authority(head)?;
    let server = connect(host, port, options)?;
    request.status = Some(200);
    let copy = server.try_clone();
    let copy = copy.map_err(|error| Refusal::new(502, error.to_string()))?;
    let mut guest = inbox.outlet();
    if guest.write_all(STANDS).is_err() {
        return Ok(());
    }
    let downward = thread::Builder::new().spawn(move || {
        let received = relay::to_guest(&copy, &mut guest, None, |_| {});
        // Both ends learn that this direction is over.
        let _ = guest.send(&forger_wire::Message::Close {
            side: forger_wire::Side::Stdin,
        });
        received
    });
    let sent = upward(input, &server);
    let received = match downward {
        Ok(thread) => thread.join().unwrap_or(Ok(0)),
        Err(error) => Err(error),
    };
    request.sent = sent.as_ref().copied().unwrap_or(0);
    request.received = received.as_ref().copied().unwrap_or(0);
    request.problem = sent.and(received).err().map(|error| error.to_string());
    Ok(())
}

/// Carries what the guest's program says to the server.
fn upward(input: &mut FromGuest<'_>, mut server: &TcpStream) -> io::Result<u64> {
    let carried = (|| {
        let mut sent = 0;
        let mut piece = vec![0; relay::PIECE];
        loop {
            match input.read(&mut piece)? {
                0 => return Ok(sent),
                len => {
                    server.write_all(&piece[..len])?;
                    sent += len as u64;
                }
            }
        }
    })();
    // An end of one direction, or of both after a failure.
    let how = match &carried {
        Ok(_) => Shutdown::Write,
        Err(_) => Shutdown::Both,
    };
    let _ = server.shutdown(how);
    carried
}
