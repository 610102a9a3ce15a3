//! One layer as a source of entries.

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use forger_block::BlockRead;
use forger_fs::observe::Note;
use forger_fs::source::{self, BodyPlace, BodyRun, Entry, Source};
use forger_fs::tar;

use super::ahead::Ahead;
use crate::Error;

/// A layer, whose entries take away and replace those of the layers before it.
///
/// Nothing is opened before its first entry is asked for, except that layers that come soon are decompressed
/// ahead.
pub struct LayerSource {
    ahead: Arc<Ahead>,
    index: usize,
    state: State,
    /// What came up at the end.
    notes: Vec<Note>,
}

enum State {
    Waiting,
    Open(
        Box<tar::Reader<Box<dyn Read + Send>>>,
        Vec<Arc<std::sync::atomic::AtomicBool>>,
    ),
    Ended,
}

/// An error, and the layer it comes from.
#[derive(Debug, thiserror::Error)]
#[error("{label} cannot be read")]
struct InLayer {
    label: String,
    source: source::Error,
}

impl LayerSource {
    pub(super) fn new(ahead: Arc<Ahead>, index: usize) -> Self {
        Self {
            ahead,
            index,
            state: State::Waiting,
            notes: Vec::new(),
        }
    }

    /// Returns the layer's number and digest, for messages.
    #[must_use]
    pub fn label(&self) -> String {
        self.ahead.label(self.index)
    }

    fn failed(&self, source: source::Error) -> source::Error {
        source::Error::Other(Box::new(InLayer {
            label: self.label(),
            source,
        }))
    }
}

impl std::fmt::Debug for LayerSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LayerSource")
            .field("index", &self.index)
            .finish_non_exhaustive()
    }
}

impl Source for LayerSource {
    fn next_entry(&mut self) -> Result<Option<Entry>, source::Error> {
        if matches!(self.state, State::Waiting) {
            let opened = self.ahead.take(self.index);
            let opened =
                opened.map_err(|error| self.failed(source::Error::Other(Box::new(error))))?;
            let mut reader = tar::Reader::with_options(opened.stream, self.ahead.tar());
            if let Some(standing) = opened.standing {
                reader = reader.with_place(standing);
            }
            self.state = State::Open(Box::new(reader), opened.verdicts);
        }
        let State::Open(reader, verdicts) = &mut self.state else {
            return Ok(None);
        };
        let entry = reader.next_entry();
        match entry {
            Ok(Some(entry)) => return Ok(Some(entry)),
            Err(error) => return Err(self.failed(error)),
            Ok(None) => {}
        }
        self.notes = reader.take_notes();
        let verified = verdicts
            .iter()
            .all(|verdict| verdict.load(Ordering::Acquire));
        self.state = State::Ended;
        match verified {
            true => Ok(None),
            false => {
                let error = Error::invalid(self.label(), "something follows its archive");
                Err(source::Error::Other(Box::new(error)))
            }
        }
    }

    fn next_run(&mut self) -> Result<Option<BodyRun<'_>>, source::Error> {
        let label = || self.ahead.label(self.index);
        match &mut self.state {
            State::Open(reader, _) => reader.next_run().map_err(|source| {
                source::Error::Other(Box::new(InLayer {
                    label: label(),
                    source,
                }))
            }),
            State::Waiting | State::Ended => Ok(None),
        }
    }

    fn next_place(&mut self) -> Result<Option<BodyPlace>, source::Error> {
        match &mut self.state {
            State::Open(reader, _) => {
                let place = reader.next_place();
                place.map_err(|error| self.failed(error))
            }
            State::Waiting | State::Ended => Ok(None),
        }
    }

    fn origin(&self) -> Option<Arc<dyn BlockRead>> {
        match &self.state {
            State::Open(reader, _) => reader.origin(),
            State::Waiting | State::Ended => None,
        }
    }

    fn has_whiteouts(&self) -> bool {
        true
    }

    fn take_notes(&mut self) -> Vec<Note> {
        match &mut self.state {
            State::Open(reader, _) => reader.take_notes(),
            State::Waiting | State::Ended => std::mem::take(&mut self.notes),
        }
    }
}
