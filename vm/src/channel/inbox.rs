//! What arrives on one stream.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use forger_wire::{Credit, Ended, Message, Side};

use super::sender::{Sender, Window};
use super::streams::Streams;

/// Something that arrived on a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Item {
    Started(u32),
    Data(Side, Vec<u8>),
    Close(Side),
    Exit(Ended),
    Done(String),
    Reset,
}

/// How many items may wait: all the pieces of content that there is credit for, and a few others.
const MAX_ITEMS: usize = 4096 + 16;

/// The sending end of an inbox.
#[derive(Debug)]
pub(super) struct Slot {
    items: SyncSender<Item>,
    pub(super) window: Arc<Window>,
    /// What the guest may still send; shared with whoever consumes.
    credit: Arc<std::sync::Mutex<Credit>>,
}

impl Slot {
    /// Takes note of content.
    pub(super) fn received(&self, len: usize) -> bool {
        super::locked(&self.credit).received(len).is_ok()
    }

    /// Hands an item on; tells whether there was room for it.
    pub(super) fn put(&self, item: Item) -> bool {
        !matches!(
            self.items.try_send(item),
            Err(std::sync::mpsc::TrySendError::Full(_))
        )
    }
}

/// The receiving end of a stream.
#[derive(Debug)]
pub(crate) struct Inbox {
    id: u32,
    items: Receiver<Item>,
    window: Arc<Window>,
    credit: Arc<std::sync::Mutex<Credit>>,
    sender: Sender,
    streams: Streams,
}

impl Inbox {
    pub(super) fn new(id: u32, sender: &Sender, streams: &Streams) -> (Slot, Self) {
        let (put, items) = sync_channel(MAX_ITEMS);
        let window = Arc::new(Window::new());
        let credit = Arc::new(std::sync::Mutex::new(Credit::default()));
        let slot = Slot {
            items: put,
            window: Arc::clone(&window),
            credit: Arc::clone(&credit),
        };
        let inbox = Self {
            id,
            items,
            window,
            credit,
            sender: sender.clone(),
            streams: streams.clone(),
        };
        (slot, inbox)
    }

    /// Returns the stream's number.
    pub(crate) fn id(&self) -> u32 {
        self.id
    }

    /// Waits for the next item; `None` when the channel has ended or `limit` is over.
    pub(crate) fn next(&self, limit: Option<Duration>) -> Result<Option<Item>, Closed> {
        let item = match limit {
            None => self.items.recv().map_err(|_| Closed)?,
            Some(limit) => match self.items.recv_timeout(limit) {
                Ok(item) => item,
                Err(RecvTimeoutError::Timeout) => return Ok(None),
                Err(RecvTimeoutError::Disconnected) => return Err(Closed),
            },
        };
        if let Item::Data(_, bytes) = &item {
            self.consumed(bytes.len());
        }
        Ok(Some(item))
    }

    fn consumed(&self, len: usize) {
        let credit = super::locked(&self.credit).consumed(len);
        if let Some(bytes) = credit {
            // A channel that ended is noticed by the next item.
            let _ = self.sender.send(self.id, &Message::Credit { bytes });
        }
    }

    /// Sends a message on this stream.
    pub(crate) fn send(&self, message: &Message<'_>) -> io::Result<()> {
        self.sender.send(self.id, message)
    }

    /// Returns what sends content on this stream, for another thread.
    pub(crate) fn outlet(&self) -> Outlet {
        Outlet {
            id: self.id,
            window: Arc::clone(&self.window),
            sender: self.sender.clone(),
        }
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        self.streams.close(self.id);
    }
}

/// The channel has ended, or the stream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Closed;

/// Sends content on a stream.
#[derive(Clone, Debug)]
pub(crate) struct Outlet {
    id: u32,
    window: Arc<Window>,
    sender: Sender,
}

impl Outlet {
    /// Sends a message on the stream.
    pub(crate) fn send(&self, message: &Message<'_>) -> io::Result<()> {
        self.sender.send(self.id, message)
    }

    /// Sends content, for which credit comes again within `limit`; else it is an error of kind `TimedOut`.
    pub(crate) fn write_within(&self, buf: &[u8], limit: Duration) -> io::Result<()> {
        self.window.put(&self.sender, self.id, buf, Some(limit))
    }
}

impl io::Write for Outlet {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.window.put(&self.sender, self.id, buf, None)?;
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
