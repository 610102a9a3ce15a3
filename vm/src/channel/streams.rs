//! The streams that are open.

use std::collections::HashMap;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};

use super::inbox::{Inbox, Item, Slot};
use super::locked;
use super::sender::Sender;

/// How many streams of the guest's may be open or wait at once.
const MAX_CONNECTIONS: usize = 512;

/// Connections that the guest opened.
pub(crate) type Connections = Receiver<Inbox>;

/// All open streams.
#[derive(Clone, Debug)]
pub(super) struct Streams(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    open: HashMap<u32, Slot>,
    next: u32,
    /// Where connections go; none once the channel has ended.
    connections: Option<SyncSender<Inbox>>,
}

/// What became of something that arrived for a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// It was handed on.
    Yes,
    /// The stream is over: that is no mistake, the two ends may cross.
    Over,
    /// It was more than the guest may send.
    Overdrawn,
    /// There is no more room for such things.
    Full,
}

impl Streams {
    pub(super) fn new() -> (Self, Connections) {
        let (connections, receiver) = sync_channel(MAX_CONNECTIONS);
        let state = State {
            open: HashMap::new(),
            next: 2,
            connections: Some(connections),
        };
        (Self(Arc::new(Mutex::new(state))), receiver)
    }

    /// Opens a stream of the host's, unless the channel has ended.
    pub(super) fn open(&self, sender: &Sender) -> Option<Inbox> {
        let mut state = locked(&self.0);
        state.connections.as_ref()?;
        let id = state.next;
        // Even numbers; after two thousand million streams the first are long over.
        state.next = state.next.wrapping_add(2).max(2);
        let (slot, inbox) = Inbox::new(id, sender, self);
        state.open.insert(id, slot);
        Some(inbox)
    }

    /// Opens a stream of the guest's.
    pub(super) fn connect(&self, id: u32, sender: &Sender) -> Taken {
        let mut state = locked(&self.0);
        let theirs = state.open.keys().filter(|id| !id.is_multiple_of(2)).count();
        if id.is_multiple_of(2) || state.open.contains_key(&id) || theirs >= MAX_CONNECTIONS {
            return Taken::Full;
        }
        let Some(connections) = state.connections.clone() else {
            return Taken::Over;
        };
        let (slot, inbox) = Inbox::new(id, sender, self);
        state.open.insert(id, slot);
        drop(state);
        match connections.try_send(inbox) {
            Ok(()) => Taken::Yes,
            // It is closed as it is dropped.
            Err(_) => Taken::Full,
        }
    }

    /// Hands an item to its stream.
    pub(super) fn put(&self, id: u32, item: Item) -> Taken {
        let last = matches!(item, Item::Exit(_) | Item::Done(_) | Item::Reset);
        let mut state = locked(&self.0);
        let Some(slot) = state.open.get(&id) else {
            return Taken::Over;
        };
        if let Item::Data(_, bytes) = &item
            && !slot.received(bytes.len())
        {
            return Taken::Overdrawn;
        }
        let room = slot.put(item);
        if last && let Some(slot) = state.open.remove(&id) {
            // Nothing that comes later, such as another exit code, finds the stream.
            slot.window.close();
        }
        if room { Taken::Yes } else { Taken::Full }
    }

    /// Adds credit to a stream.
    pub(super) fn credit(&self, id: u32, bytes: u32) {
        if let Some(slot) = locked(&self.0).open.get(&id) {
            slot.window.add(bytes);
        }
    }

    /// Ends a stream.
    pub(super) fn close(&self, id: u32) {
        if let Some(slot) = locked(&self.0).open.remove(&id) {
            slot.window.close();
        }
    }

    /// Ends all streams, and opens no more.
    pub(super) fn close_all(&self) {
        let mut state = locked(&self.0);
        state.connections = None;
        for (_, slot) in state.open.drain() {
            slot.window.close();
        }
    }
}
