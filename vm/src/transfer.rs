//! Files in and out of a running guest, as tar streams.

use std::io::{self, Read, Write};

use forger_wire::{Message, Side};

use crate::channel::{Inbox, Item};
use crate::error::Error;
use crate::guest::Guest;

/// How much is read at once in bytes.
const PIECE: usize = 128 << 10;

impl Guest {
    /// Unpacks a tar into a folder of the guest, which is made where it is missing.
    ///
    /// # Errors
    /// A tar that cannot be read here, or unpacked there; a guest that is gone, or takes nothing for as long as
    /// it may be silent.
    pub fn put(&self, path: &[u8], mut tar: impl Read) -> Result<(), Error> {
        let inbox = self.channel().start(&Message::Put {
            path: path.to_vec(),
        })?;
        let outlet = inbox.outlet();
        let mut piece = vec![0; PIECE];
        loop {
            let len = match tar.read(&mut piece) {
                Ok(0) => break,
                Ok(len) => len,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(Error::host("read the tar to carry in", error)),
            };
            match outlet.write_within(&piece[..len], self.silence_limit()) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                    return Err(self.stalled("take what is carried in"));
                }
                // The guest has refused it, and says why.
                Err(_) => break,
            }
        }
        // As above.
        let _ = outlet.send(&Message::Close { side: Side::Stdin });
        self.finish(&inbox, path, &mut io::sink())
    }

    /// Writes what is at a path of the guest as a tar: of a folder what is in it, of anything else
    /// itself.
    ///
    /// What arrives is the guest's word: nothing in it was checked, and its length is bounded by `tar` alone, whose
    /// error ends the transfer.
    ///
    /// # Errors
    /// A path that the guest cannot read, an output that does not take the bytes; a guest that is gone, or sends
    /// nothing for as long as it may be silent.
    pub fn get(&self, path: &[u8], tar: &mut dyn Write) -> Result<(), Error> {
        let inbox = self.channel().start(&Message::Get {
            path: path.to_vec(),
        })?;
        self.finish(&inbox, path, tar)
    }

    /// Takes content to the end of a transfer.
    fn finish(&self, inbox: &Inbox, path: &[u8], out: &mut dyn Write) -> Result<(), Error> {
        let refused = |reason: String| Error::Transfer {
            path: String::from_utf8_lossy(path).into_owned(),
            reason,
        };
        loop {
            let item = inbox.next(Some(self.silence_limit()));
            match item.map_err(|_| self.channel().lost("the transfer was complete"))? {
                Some(Item::Data(Side::Stdout, bytes)) => out
                    .write_all(&bytes)
                    .map_err(|error| Error::host("write what was carried out", error))?,
                Some(Item::Done(error)) if error.is_empty() => return Ok(()),
                Some(Item::Done(error)) => return Err(refused(error)),
                Some(_) => return Err(refused("the guest sent something else".to_owned())),
                None => return Err(self.stalled("go on with a transfer")),
            }
        }
    }

    /// Says that nothing happened for too long.
    fn stalled(&self, what: &'static str) -> Error {
        Error::Late {
            what,
            seconds: self.silence_limit().as_secs(),
            console: self.channel().console().tail(),
        }
    }
}
