//! Gives every entry of an archive the same owner.

use std::sync::Arc;

use forger_block::BlockRead;
use forger_fs::observe::Note;
use forger_fs::source::{BodyPlace, BodyRun, Entry, Error, Source};

/// A source whose entries all belong to one user and group.
pub(super) struct Owned<S> {
    source: S,
    uid: u32,
    gid: u32,
}

impl<S> Owned<S> {
    pub(super) fn new(source: S, uid: u32, gid: u32) -> Self {
        Self { source, uid, gid }
    }
}

impl<S: Source> Source for Owned<S> {
    fn next_entry(&mut self) -> Result<Option<Entry>, Error> {
        let mut entry = self.source.next_entry()?;
        if let Some(entry) = &mut entry {
            entry.meta.uid = self.uid;
            entry.meta.gid = self.gid;
        }
        Ok(entry)
    }

    fn next_run(&mut self) -> Result<Option<BodyRun<'_>>, Error> {
        self.source.next_run()
    }

    fn next_place(&mut self) -> Result<Option<BodyPlace>, Error> {
        self.source.next_place()
    }

    fn origin(&self) -> Option<Arc<dyn BlockRead>> {
        self.source.origin()
    }

    fn has_whiteouts(&self) -> bool {
        self.source.has_whiteouts()
    }

    fn take_notes(&mut self) -> Vec<Note> {
        self.source.take_notes()
    }
}
