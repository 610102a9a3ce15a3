//! What the guest sends, taken apart.

use std::io::Read;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::Instant;

use forger_wire::{Decoder, Frame, Message, Side};

use super::inbox::Item;
use super::sender::Sender;
use super::streams::{Streams, Taken};
use super::{End, MAX_LOG, Notice, Shared, locked};
use crate::error::Violation;

/// How much is read at once in bytes.
const PIECE: usize = 256 << 10;

/// The most bytes that may come before the guest's first word.
const MAX_NOISE: usize = 1 << 20;

/// Reads the channel to its end.
pub(super) struct Reader {
    pub(super) sender: Sender,
    pub(super) streams: Streams,
    pub(super) shared: Arc<Shared>,
    pub(super) notices: SyncSender<Notice>,
}

impl Reader {
    pub(super) fn run(self, stream: UnixStream) {
        let end = self.read(stream).unwrap_or_else(End::Violation);
        *locked(&self.shared.end) = Some(end);
        self.shared.ended.notify_all();
        self.sender.close();
        self.streams.close_all();
        // Whoever waits for a notice wakes up as the sender is dropped.
    }

    fn read(&self, mut stream: UnixStream) -> Result<End, Violation> {
        let mut decoder = Decoder::new();
        let mut piece = vec![0; PIECE];
        let mut noise = Some(0);
        loop {
            let len = match stream.read(&mut piece) {
                Ok(0) => return Ok(End::Lost),
                Ok(len) => len,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(_) => return Ok(End::Lost),
            };
            *locked(&self.shared.heard) = Instant::now();
            decoder.push(&piece[..len]);
            if let Some(so_far) = &mut noise {
                *so_far += decoder.skip_to_frame();
                if *so_far > MAX_NOISE {
                    let what = "noise before its first word";
                    return Err(Violation::Flood { what });
                }
            }
            while let Some(frame) = decoder.next_frame()? {
                noise = None;
                if let Some(end) = self.frame(&frame)? {
                    return Ok(end);
                }
            }
        }
    }

    fn frame(&self, frame: &Frame<'_>) -> Result<Option<End>, Violation> {
        let stream = frame.stream;
        let misplaced = Err(Violation::Misplaced { stream });
        let item = match frame.message()? {
            Message::Ready(ready) => return self.notice(Notice::Ready(ready)),
            Message::SetUp => return self.notice(Notice::SetUp),
            Message::Bye => {
                self.notice(Notice::Bye)?;
                return Ok(Some(End::Bye));
            }
            Message::Fault { what } => return Ok(Some(End::Fault(clean(&what)))),
            Message::Log { text } => {
                let mut log = locked(&self.shared.log);
                if log.len() < MAX_LOG {
                    log.push(clean(&text));
                }
                return Ok(None);
            }
            Message::Pong { .. } => return Ok(None),
            Message::Taken { .. } => {
                return match self.sender.taken() {
                    true => Ok(None),
                    false => misplaced,
                };
            }
            Message::Credit { bytes } => {
                self.streams.credit(stream, bytes);
                return Ok(None);
            }
            Message::Connect => {
                return match self.streams.connect(stream, &self.sender) {
                    Taken::Full => Err(Violation::Flood {
                        what: "connections",
                    }),
                    _ => Ok(None),
                };
            }
            Message::Data {
                side: Side::Stdin, ..
            }
            | Message::Close { side: Side::Stdin } => return misplaced,
            Message::Started { pid } => Item::Started(pid),
            Message::Data { side, bytes } => Item::Data(side, bytes.to_vec()),
            Message::Close { side } => Item::Close(side),
            Message::Exit(ended) => Item::Exit(ended),
            Message::Done { error } => Item::Done(clean(&error)),
            Message::Reset => Item::Reset,
            _ => return misplaced,
        };
        match self.streams.put(stream, item) {
            Taken::Yes | Taken::Over => Ok(None),
            Taken::Overdrawn => Err(Violation::Overdrawn { stream }),
            Taken::Full => Err(Violation::Flood { what: "messages" }),
        }
    }

    fn notice(&self, notice: Notice) -> Result<Option<End>, Violation> {
        // There are as many as there is room for, each once.
        let sent = self.notices.try_send(notice);
        match sent {
            Err(std::sync::mpsc::TrySendError::Full(_)) => {
                Err(Violation::Flood { what: "notices" })
            }
            _ => Ok(None),
        }
    }
}

/// The longest text that is taken over, in characters.
const MAX_TEXT: usize = 4000;

/// Takes a text of the guest's: bounded, and nothing in it that a terminal would obey.
fn clean(text: &str) -> String {
    let shown = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    text.chars().take(MAX_TEXT).map(shown).collect()
}
